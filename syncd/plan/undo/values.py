"""What undoing looks at, and what it comes to: values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from syncd.model.change import Change
from syncd.plan.diff import Origin
from syncd.plan.licences import HeldLicence
from syncd.plan.privileges import HeldPrivilege
from syncd.plan.substitution import Arranged


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A record of the target as it is now; ``written`` names the fields that we ever wrote."""

    fields: Mapping[str, str | None]
    origin: Origin | None
    source_key: int | None
    written: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """A change that was done (or planned, at place ``seq`` of its plan), and how things stand now.

    ``member_there``: the member has an account, or will have. ``remade``: its record is gone, and the same plan makes
    it anew. ``licences``: what the person holds now. ``moved``: the licence was given by hand, and went along with a
    rename. ``arranged``: the substitution of ours that the account has now. ``privileges``: the group's own record.
    """

    change: Change
    record: Record | None
    seq: int = -1
    linked: bool = False
    member_there: bool = True
    remade: bool = False
    licences: tuple[HeldLicence, ...] = ()
    moved: bool = False
    arranged: Arranged | None = None
    former: int | None = None
    """Of a handover the key of the source object whose record it was."""
    privileges: tuple[HeldPrivilege, ...] = ()


@dataclass(frozen=True, slots=True)
class Reverse:
    """What undoes a change, if anything does, and what of it cannot be undone or is left; empty: it is undone whole."""

    changes: tuple[Change, ...] = ()
    left: str = ""
