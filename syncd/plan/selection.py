"""Which changes of a plan are meant, said as a value: tried here on rows, and by the store as one SQL condition.

A plan may have a million memberships. A decision about them is made once, as a `Selection`; the store carries it out
in one statement and never holds them all.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from syncd.model.change import Action, ObjectKind, OutcomeStatus, Phase
from syncd.model.reason import Cause, Reason

ANY_OUTCOME: tuple[OutcomeStatus, ...] = ("planned", "held", "deferred", "dropped")
"""The outcomes that a change may have while nothing is sent."""

Same = Literal[
    "record", "record as member", "member as record", "member", "source", "type", "another type"
]  # fmt: skip
"""What another change has in common with this one. ``record as member``: its member is the record of this one, and the
other way round; ``type``: both are about one type of licence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedRow:
    """A change of a plan as far as selections look at it. ``member`` is a key, ``type`` the type of a licence.

    ``fresh``: it says nothing of values before. ``held_by``: earlier runs that hold the very same change, each with
    the run since which it is held.
    """

    seq: int
    action: Action
    object: ObjectKind
    phase: Phase
    record: int
    member: int | None = None
    type: str = ""
    source: int | None = None
    cause: Cause = Cause.NONE
    status: OutcomeStatus = "planned"
    fresh: bool = True
    held_by: frozenset[tuple[int, int]] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """Another change of the same plan that must be there: one of ``of``, which has all of ``same`` in common."""

    of: Selection
    same: tuple[Same, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Changes of one plan. What is left empty does not matter; all the rest must fit."""

    statuses: tuple[OutcomeStatus, ...] = ("planned",)
    actions: tuple[Action, ...] = ()
    objects: tuple[ObjectKind, ...] = ()
    phases: tuple[Phase, ...] = ()
    causes: tuple[Cause, ...] = ()
    but_causes: tuple[Cause, ...] = ()
    records: frozenset[int] | None = None
    seqs: frozenset[int] | None = None
    but_seqs: frozenset[int] = frozenset()
    fresh: bool | None = None
    held_by: tuple[int, int] | None = None
    """An earlier run that holds the very same change (done to the same, and for an update with the same values), and
    the run since which it is held."""
    beside: Beside | None = None
    without: Beside | None = None
    """Another change that must not be there."""


@dataclass(frozen=True, slots=True)
class Stop:
    """What becomes of the changes that any of these selections means, and why. ``since``: which run held it first."""

    status: OutcomeStatus
    reason: Reason
    selections: tuple[Selection, ...]
    since: int | None = None


def choose(selections: Iterable[Selection], rows: Sequence[PlannedRow]) -> Iterator[PlannedRow]:
    """Yield the rows of a plan that any of the selections means, in the order of the plan."""
    wanted = tuple(selections)
    for row in rows:
        if any(_means(selection, row, rows) for selection in wanted):
            yield row


def _means(selection: Selection, row: PlannedRow, rows: Sequence[PlannedRow]) -> bool:
    if selection.beside is not None and not _has(selection.beside, row, rows):
        return False
    if selection.without is not None and _has(selection.without, row, rows):
        return False
    return (
        row.status in selection.statuses
        and (not selection.actions or row.action in selection.actions)
        and (not selection.objects or row.object in selection.objects)
        and (not selection.phases or row.phase in selection.phases)
        and (not selection.causes or row.cause in selection.causes)
        and row.cause not in selection.but_causes
        and (selection.records is None or row.record in selection.records)
        and (selection.seqs is None or row.seq in selection.seqs)
        and row.seq not in selection.but_seqs
        and (selection.fresh is None or row.fresh == selection.fresh)
        and (selection.held_by is None or selection.held_by in row.held_by)
    )


def _has(beside: Beside, row: PlannedRow, rows: Sequence[PlannedRow]) -> bool:
    return any(all(_is_same(same, row, other) for same in beside.same) for other in choose((beside.of,), rows))


def _is_same(same: Same, row: PlannedRow, other: PlannedRow) -> bool:
    match same:
        case "record":
            return other.record == row.record
        case "record as member":
            return other.member == row.record
        case "member as record":
            return other.record == row.member
        case "member":
            return row.member is not None and other.member == row.member
        case "source":
            return row.source is not None and other.source == row.source
        case "type":
            return other.type == row.type
        case "another type":
            return other.type != row.type


def stop_seqs(status: OutcomeStatus, reason: Reason, seqs: Collection[int] | Sequence[int]) -> tuple[Stop, ...]:
    """Stop single changes, whatever they are by now."""
    return (Stop(status, reason, (Selection(seqs=frozenset(seqs), statuses=ANY_OUTCOME),)),) if seqs else ()
