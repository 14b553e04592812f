"""A change is one intended write; an outcome is what happened to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Literal

Action = Literal["create", "adopt", "update", "delete", "link", "unlink", "grant", "revoke"]
ObjectKind = Literal["user", "group", "membership", "ownership", "licence", "substitution"]

OutcomeStatus = Literal["planned", "started", "done", "failed", "deferred", "held", "dropped"]
"""planned: not tried yet; started: sent, and it is not known how it ended; deferred: not ready, tried again in the next
run; held: withheld by a guard; dropped: the run ended, or was only a plan, before it was tried."""


class Phase(IntEnum):
    """The order in which a plan is applied: additions first, removals in the reverse order of what they undo."""

    USERS = 10
    MANAGERS = 20
    GROUPS = 30
    LINKS = 40
    OWNERS = 45
    SUBSTITUTION_ENDS = 46
    SUBSTITUTIONS = 48
    REVOKES = 50
    GRANTS = 60
    UNLINKS = 70
    GROUP_DELETES = 80
    USER_DELETES = 90


@dataclass(frozen=True, slots=True)
class Change:
    """One intended write.

    ``bps_id`` is the record written to, ``target`` the member of a membership, the type of a licence or the substitute
    of a substitution. ``source_key`` is the store's key of the source object that wants it (None: nobody does, as for
    drift). ``before`` and ``after`` hold the fields that differ, and for a creation all that are set.
    """

    phase: Phase
    action: Action
    object: ObjectKind
    bps_id: str
    target: str = ""
    source_key: int | None = None
    before: Mapping[str, str | None] = field(default_factory=dict)
    after: Mapping[str, str | None] = field(default_factory=dict)
    reason: str = ""
    held: str = ""
    """Why the planner itself withholds it (its account waits for adoption, say); empty: it does not."""


@dataclass(frozen=True, slots=True)
class PlannedChange:
    """A change as it stands in the store: ``seq`` is its place in the plan of run ``run_id``."""

    run_id: int
    seq: int
    change: Change
    status: OutcomeStatus = "planned"
    error: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What happened to the change at ``seq``."""

    seq: int
    status: OutcomeStatus
    error: str = ""
