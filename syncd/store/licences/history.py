"""Since when accounts have their licences, and what is over: compared with the inventory after each change of it."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Insert,
    Text,
    Update,
    bindparam,
    case,
    exists,
    func,
    insert,
    select,
    update,
)

from syncd.model.history import Turn
from syncd.store.db.parameters import among_bound
from syncd.store.inventory.history import STAMP
from syncd.store.licences.taken import is_held
from syncd.store.schema.tables import Key, changes, licence_history, target_licences


def note_done(connection: Connection, run_id: int, holders: Collection[int], *, now: datetime) -> None:
    """A run has changed licences of these people: note what they have from now on, and what not any more.

    Each change has the cause of the run's own change; without one somebody did it by hand.
    """
    _note(connection, holders, Turn.BY_HAND, now=now, run=run_id)


def note_read(connection: Connection, holders: Collection[int], *, first: bool, now: datetime) -> None:
    """A reading showed these people's licences otherwise than they were known; ``first``: nothing was known before."""
    _note(connection, holders, Turn.FOUND if first else Turn.BY_HAND, now=now, run=None)


def _note(connection: Connection, holders: Collection[int], cause: Turn, *, now: datetime, run: int | None) -> None:
    if holders:
        for statement in (_END, _BEGIN):
            asked = {"holders": sorted(set(holders)), "now": now, "cause": cause.value, "run": run}
            connection.execute(statement, asked)


# ---- statements -----------------------------------------------------------------------------------------------------


def _explain(holder: ColumnElement[Any], kind: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return why: the cause of the change of this run, one of which no answer came, or the cause that is given."""
    same = changes.c.record_key == holder, changes.c.object == "licence", changes.c.target == kind
    done = (
        select(case((changes.c.cause == "", Turn.JOINED.value), else_=changes.c.cause))
        .where(*same, changes.c.run_id == bindparam("run", type_=Key), changes.c.status == "done")
        .order_by(changes.c.seq.desc())
        .limit(1)
        .scalar_subquery()
    )
    unsettled = exists().where(*same, changes.c.status == "started")
    return func.coalesce(done, case((unsettled, Turn.SETTLED.value), else_=bindparam("cause", type_=Text())))


def _end() -> Update:
    held = exists().where(
        target_licences.c.key == licence_history.c.holder_key,
        target_licences.c.type == licence_history.c.type,
        is_held(),
    )
    now, run, _, by = STAMP
    why = _explain(licence_history.c.holder_key, licence_history.c.type)
    return (
        update(licence_history)
        .where(among_bound(licence_history.c.holder_key, "holders"), licence_history.c.went_at.is_(None), ~held)
        .values(went_at=now, went_run=run, went_cause=why, went_by=by)
    )


def _begin() -> Insert:
    lasting = exists().where(
        licence_history.c.holder_key == target_licences.c.key,
        licence_history.c.type == target_licences.c.type,
        licence_history.c.went_at.is_(None),
    )
    now, run, _, by = STAMP
    why = _explain(target_licences.c.key, target_licences.c.type)
    fresh = select(target_licences.c.key, target_licences.c.type, now, run, why, by).where(
        among_bound(target_licences.c.key, "holders"), is_held(), ~lasting
    )
    names = ["holder_key", "type", "came_at", "came_run", "came_cause", "came_by"]
    return insert(licence_history).from_select(names, fresh)


_END = _end()
_BEGIN = _begin()
