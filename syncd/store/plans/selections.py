"""A selection of changes as the condition of a statement, and as its parameters.

`syncd.plan.selection` says what a `Selection` means; a test compares that with the conditions made here.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from functools import lru_cache

from sqlalchemy import ColumnElement, FromClause, Update, and_, bindparam, exists, func, or_, update

from syncd.model.reason import Cause
from syncd.plan.selection import Beside, Same, Selection
from syncd.store.db.parameters import among_bound
from syncd.store.schema.tables import changes

GUARDED = (Cause.GUARD.value, Cause.HELD_BEFORE.value)
"""The causes of what the guard holds."""


def gather_parameters(selection: Selection, prefix: str = "") -> dict[str, Collection[int] | int]:
    """Return the keys of a selection, and of what must be beside it, as the parameters of its statement."""
    found: dict[str, Collection[int] | int] = {}
    if selection.records is not None:
        found[f"{prefix}records"] = selection.records
    if selection.seqs is not None:
        found[f"{prefix}seqs"] = selection.seqs
    if selection.but_seqs:
        found[f"{prefix}but_seqs"] = selection.but_seqs
    if selection.held_by is not None:
        found[f"{prefix}held_by"], found[f"{prefix}held_from"] = selection.held_by
    if selection.beside is not None:
        found |= gather_parameters(selection.beside.of, f"{prefix}beside_")
    if selection.without is not None:
        found |= gather_parameters(selection.without.of, f"{prefix}without_")
    return found


_SOME = frozenset({-1})


def find_shape(selection: Selection) -> Selection:
    """Return a selection with all that its statement depends on: of its keys only that they are there."""
    beside, without = (
        None if each is None else replace(each, of=find_shape(each.of))
        for each in (selection.beside, selection.without)
    )
    return replace(
        selection,
        records=None if selection.records is None else _SOME,
        seqs=None if selection.seqs is None else _SOME,
        but_seqs=_SOME if selection.but_seqs else frozenset(),
        held_by=None if selection.held_by is None else (-1, -1),
        beside=beside,
        without=without,
    )


@lru_cache(maxsize=256)
def make_stop(shape: Selection) -> Update:
    """Return the statement without values that stops what a selection of this shape means in the run ``:run``."""
    return update(changes).where(changes.c.run_id == bindparam("run"), compile_selection(shape, changes))


def compile_selection(selection: Selection, table: FromClause, prefix: str = "") -> ColumnElement[bool]:
    """Return the condition that a row of ``table`` (changes, or an alias of it) is meant by a selection.

    Its parameters are those of `gather_parameters`, and ``:run``.
    """
    c = table.c
    found: list[ColumnElement[bool]] = [c.status.in_(selection.statuses)]
    if selection.actions:
        found.append(c.action.in_(selection.actions))
    if selection.objects:
        found.append(c.object.in_(selection.objects))
    if selection.phases:
        found.append(c.phase.in_([int(phase) for phase in selection.phases]))
    if selection.causes:
        found.append(c.cause.in_([cause.value for cause in selection.causes]))
    if selection.but_causes:
        found.append(c.cause.not_in([cause.value for cause in selection.but_causes]))
    if selection.records is not None:
        found.append(among_bound(c.record_key, f"{prefix}records"))
    if selection.seqs is not None:
        found.append(among_bound(c.seq, f"{prefix}seqs"))
    if selection.but_seqs:
        found.append(~among_bound(c.seq, f"{prefix}but_seqs"))
    if selection.fresh is not None:
        found.append(c.before.is_(None) if selection.fresh else c.before.is_not(None))
    if selection.held_by is not None:
        found.append(_is_held_by(table, prefix))
    if selection.beside is not None:
        found.append(_exists_beside(selection.beside, table, f"{prefix}beside_"))
    if selection.without is not None:
        found.append(~_exists_beside(selection.without, table, f"{prefix}without_"))
    return and_(*found)


def _is_held_by(table: FromClause, prefix: str) -> ColumnElement[bool]:
    """Return the condition that an earlier run holds the very same change because of the guard."""
    other, mine = changes.alias(), table.c
    return exists().where(
        other.c.run_id == bindparam(f"{prefix}held_by"),
        func.coalesce(other.c.held_since, other.c.run_id) == bindparam(f"{prefix}held_from"),
        other.c.status == "held",
        other.c.error_cause.in_(GUARDED),
        other.c.record_key == mine.record_key,
        func.coalesce(other.c.target_key, 0) == func.coalesce(mine.target_key, 0),
        other.c.action == mine.action,
        other.c.object == mine.object,
        or_(mine.action != "update", func.coalesce(other.c.after, "") == func.coalesce(mine.after, "")),
    )


def _exists_beside(beside: Beside, table: FromClause, prefix: str) -> ColumnElement[bool]:
    other = changes.alias()
    same = [_compile_same(each, table, other) for each in beside.same]
    return exists().where(other.c.run_id == bindparam("run"), *same, compile_selection(beside.of, other, prefix))


def _compile_same(same: Same, table: FromClause, other: FromClause) -> ColumnElement[bool]:
    match same:
        case "record":
            return other.c.record_key == table.c.record_key
        case "record as member":
            return other.c.target_key == table.c.record_key
        case "member as record":
            return other.c.record_key == table.c.target_key
        case "member":
            return other.c.target_key == table.c.target_key
        case "source":
            return other.c.source_key == table.c.source_key
        case "type":
            return other.c.target == table.c.target
        case "another type":
            return other.c.target != table.c.target
