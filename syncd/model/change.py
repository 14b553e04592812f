"""A change is one intended write; an outcome is what happened to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Literal, NamedTuple

from syncd.model.kinds import RecordKind
from syncd.model.reason import NO_REASON, Reason

Action = Literal["create", "adopt", "update", "handover", "delete", "link", "unlink", "grant", "revoke"]
REMOVALS: tuple[Action, ...] = ("delete", "unlink", "revoke")
ObjectKind = Literal["user", "group", "membership", "ownership", "licence", "substitution", "privilege"]

LinkKind = Literal["membership", "ownership"]
"""The two kinds of change that concern a person in a group."""

OutcomeStatus = Literal["planned", "started", "done", "failed", "deferred", "held", "dropped"]
"""planned: not tried yet; started: sent, and it is not known how it ended; deferred: not ready, tried again in the next
run; held: withheld by a guard; dropped: the run ended, or was only a plan, before it was tried."""

TRIED: tuple[OutcomeStatus, ...] = ("done", "failed", "started", "deferred")
"""How a change ends that a run came to."""


def find_written(kind: ObjectKind) -> RecordKind:
    """Return which kind of record of the target a change writes to: a membership, say, is written to its group."""
    return "user" if kind in ("user", "licence", "substitution") else "group"


class Phase(IntEnum):
    """The order in which a plan is applied: additions first, removals in the reverse order of what they undo."""

    USERS = 10
    HANDOVER_ENDS = 12
    HANDOVERS = 14
    MANAGERS = 20
    GROUPS = 30
    LINKS = 40
    OWNERS = 45
    SUBSTITUTION_ENDS = 46
    SUBSTITUTIONS = 48
    REVOKES = 50
    GRANTS = 60
    PRIVILEGES = 62
    PRIVILEGE_REVOKES = 64
    DISOWNS = 65
    UNLINKS = 70
    GROUP_DELETES = 80
    USER_DELETES = 90


LINK_PHASES: Mapping[LinkKind, Phase] = {"membership": Phase.LINKS, "ownership": Phase.OWNERS}
"""The phases in which people are put into groups."""
NEEDING_SYNCHRONIZED = frozenset(
    {Phase.MANAGERS, Phase.LINKS, Phase.OWNERS, Phase.SUBSTITUTIONS, Phase.GRANTS, Phase.PRIVILEGES}
)
"""Phases whose changes name records that WEBCON has to have synchronised before."""
NEEDING_SUCCESSORS = frozenset({Phase.REVOKES, Phase.DISOWNS, Phase.UNLINKS, Phase.USER_DELETES})
"""Phases that take something from a renamed record only when WEBCON has synchronised the new one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One intended write.

    ``bps_id`` is the record written to, ``target`` the person of a membership or ownership, the type of a licence, the
    substitute of a substitution, or what a privilege allows and where. ``source_key`` is the store's key of the source
    object that wants it (None: nobody does, as for drift). ``before`` and ``after`` hold the fields that differ, and
    for a creation all that are set.
    """

    phase: Phase
    action: Action
    object: ObjectKind
    bps_id: str
    target: str = ""
    source_key: int | None = None
    before: Mapping[str, str | None] = field(default_factory=dict)
    after: Mapping[str, str | None] = field(default_factory=dict)
    reason: Reason = NO_REASON
    held: Reason = NO_REASON
    """Why the planner itself withholds it (its account waits for adoption, say); empty: it does not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedChange:
    """A change as it stands in the store: ``seq`` is its place in the plan of run ``run_id``."""

    run_id: int
    seq: int
    change: Change
    status: OutcomeStatus = "planned"
    error: Reason = NO_REASON
    held_since: int | None = None
    """The run that held it first, where that is another one than this."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What happened to the change at ``seq``."""

    seq: int
    status: OutcomeStatus
    error: Reason = NO_REASON


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkBatch:
    """Planned links of one group and kind, kept in columns: a company has hundreds of thousands of them.

    ``record`` is the group's principal, ``seqs``, ``targets`` (principals) and ``members`` (BPS ids) belong together
    place by place.
    """

    record: int
    bps_id: str
    seqs: list[int]
    targets: list[int]
    members: list[str]
    kind: LinkKind = "membership"

    def places(self) -> list[tuple[int, int]]:
        """Return the group and the person (principals) of each link."""
        return [(self.record, target) for target in self.targets]

    def cut(self, start: int, end: int) -> LinkBatch:
        """Return the links from place ``start`` to before ``end``."""
        part = slice(start, end)
        seqs, targets, members = self.seqs[part], self.targets[part], self.members[part]
        return LinkBatch(
            record=self.record, bps_id=self.bps_id, seqs=seqs, targets=targets, members=members, kind=self.kind
        )

    def choose(self, places: Sequence[int]) -> LinkBatch:
        """Return the links at these places."""
        seqs, targets = [self.seqs[place] for place in places], [self.targets[place] for place in places]
        members = [self.members[place] for place in places]
        return LinkBatch(
            record=self.record, bps_id=self.bps_id, seqs=seqs, targets=targets, members=members, kind=self.kind
        )

    def join(self, more: LinkBatch) -> LinkBatch:
        """Return these links and more of the same group."""
        seqs, targets = self.seqs + more.seqs, self.targets + more.targets
        return LinkBatch(
            record=self.record,
            bps_id=self.bps_id,
            seqs=seqs,
            targets=targets,
            members=self.members + more.members,
            kind=self.kind,
        )


class PlainLinks(NamedTuple):
    """Links of which nothing else is to be said: ``members`` (principals) are put into the group ``record``.

    ``source_key`` is the source group that wants it; the members are in the order of their BPS ids.
    """

    record: int
    source_key: int
    members: Sequence[int]


@dataclass(frozen=True, slots=True)
class LinkOutcome:
    """What happened to some links of one group, all of them alike."""

    links: LinkBatch
    status: OutcomeStatus
    error: Reason = NO_REASON


Placed = tuple[PlannedChange, int, int | None]
"""A planned change with the key of its record and of its member; a licence or a privilege has a number instead."""
