"""Which runs still speak: the newest one that looked at everything, and those over one object that came after it.

Every run over everything plans anew what still stands, so that what earlier ones left open is settled with it. A run
over one object settles only what is open of the records that it looked at. A run that sets something back (an undo)
settles nothing, and nobody plans anew what it withheld. A plan that came from a file counts as one over everything for
what was withheld, and as one over a few objects for the rest: what is not in the file is as open as it was.

A run whose plan never became complete does not speak at all.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    Text,
    and_,
    bindparam,
    cast,
    exists,
    false,
    func,
    literal_column,
    or_,
    select,
    update,
)

from syncd.model.reason import Cause
from syncd.model.run import REVERSALS, SINGLE_KINDS
from syncd.plan.words import say
from syncd.store.db.markers import PLANNING
from syncd.store.db.stops import stopped
from syncd.store.schema.tables import (
    changes,
    desired_groups,
    facts,
    failures,
    runs,
    target_groups,
    touched_groups,
    touched_principals,
)

_OPEN = ("planned", "deferred", "held")


def select_newest_whole(*conditions: ColumnElement[bool]) -> Select[Any]:
    """Return a query for the newest run over everything that meets some conditions; NULL when there is none."""
    return select(func.max(runs.c.id)).where(runs.c.kind.not_in((*SINGLE_KINDS, *REVERSALS)), *conditions)


def find_newest_whole(connection: Connection, *conditions: Any) -> int:
    """Return the newest run over everything that meets some conditions, 0 when there is none."""
    return connection.scalar(select_newest_whole(*conditions)) or 0


def find_newest_planned(connection: Connection, *conditions: Any) -> int:
    """Return the newest run over everything that has come to a plan, empty or not; one that only reads has not yet.

    Nor has one that is making it: what of it is held is decided in the end. What the runs before left open stands until
    then, also when that run fails.
    """
    if not conditions:
        return max(connection.scalar(statement) or 0 for statement in _FIND_NEWEST_PLANNED)
    good = find_newest_whole(connection, runs.c.status.in_(("succeeded", "partial", "held")), *conditions)
    return max(good, find_newest_whole(connection, *_is_planned(), *conditions))


def _is_planned() -> tuple[ColumnElement[bool], ...]:
    """Return the conditions that a run has a plan, and is not making it any more."""
    return exists().where(changes.c.run_id == runs.c.id), is_complete()


def is_complete() -> ColumnElement[bool]:
    """Return the condition that the plan of a run is complete: nobody has judged what another one has in the store."""
    return ~exists().where(facts.c.name == literal_column(f"'{PLANNING}'", Text) + cast(runs.c.id, Text))


def is_open_still(connection: Connection, newest: int) -> ColumnElement[bool]:
    """Return the condition that what a run left undone is open beside ``newest``, a plan that came from a file.

    A file says nothing about what is not in it: of that the newest run that looked at everything speaks on, and every
    run since. What was withheld is not among it: nobody can release it any more, and the next run plans it anew.
    """
    looked = find_looked(connection, newest)
    return false() if looked is None else is_open_beside(looked, newest)


def find_looked(connection: Connection, newest: int) -> int | None:
    """Return the newest run that looked at everything, where ``newest`` is a plan that came from a file; else None."""
    if connection.scalar(_SELECT_KIND, {"run": newest}) != "apply":
        return None
    return find_newest_planned(connection, runs.c.kind.not_in(("plan", "apply")))


def is_open_beside(looked: int | ColumnElement[int], newest: int | ColumnElement[int]) -> ColumnElement[bool]:
    """Return the condition of `is_open_still` for what the run ``looked``, and every run since, left undone."""
    later = changes.alias("later")
    since = [runs.c.id >= looked, runs.c.kind.not_in(("plan", *REVERSALS)), is_complete()]
    overtaken = exists().where(
        later.c.record_key == changes.c.record_key,
        func.coalesce(later.c.target_key, 0) == func.coalesce(changes.c.target_key, 0),
        later.c.object == changes.c.object,
        later.c.phase == changes.c.phase,
        later.c.run_id > changes.c.run_id,
        later.c.status != "dropped",
        later.c.run_id.in_(select(runs.c.id).where(*since)),
    )
    return and_(
        changes.c.run_id.in_(select(runs.c.id).where(*since, runs.c.id < newest)),
        changes.c.status.in_(("planned", "started", "deferred")) | ((changes.c.status == "failed") & is_unsolved()),
        ~overtaken,
    )


def is_unsolved() -> ColumnElement[bool]:
    """Return the condition that what a change is about failed, and has not been done since."""
    failing = failures.alias("failing")  # a statement may look at failures by itself
    return exists().where(
        failing.c.record_key == changes.c.record_key,
        failing.c.target_key == func.coalesce(changes.c.target_key, 0),
        failing.c.object == changes.c.object,
    )


def is_in_force(newest: int | ColumnElement[int]) -> ColumnElement[bool]:
    """Return the condition that a change belongs to the run ``newest``, or to a later one over one object.

    It is one list of runs, by which an index over records is narrowed.
    """
    return changes.c.run_id.in_(select_in_force(newest))


def select_in_force(newest: int | ColumnElement[int]) -> Select[Any]:
    """Return a query for these runs."""
    later = and_(runs.c.id > newest, runs.c.kind.in_(SINGLE_KINDS), is_complete())
    return select(runs.c.id).where(or_(runs.c.id == newest, later))


def is_touched(record: ColumnElement[Any], member: ColumnElement[Any]) -> ColumnElement[bool]:
    """Return the condition that one of two principal keys is a record that is touched now."""
    sources = select(touched_groups.c.key)
    touched = (
        select(touched_principals.c.key)
        .union(
            select(target_groups.c.key).where(target_groups.c.source_key.in_(sources)),
            select(desired_groups.c.principal_key).where(
                desired_groups.c.key.in_(sources), desired_groups.c.principal_key.is_not(None)
            ),
        )
        .subquery()
    )
    keys = select(touched.c[0])
    return or_(record.in_(keys), member.in_(keys))


def settle_earlier(connection: Connection, run_id: int) -> None:
    """Drop what the runs that speak left open of the touched records: run ``run_id`` has planned these anew."""
    good = runs.c.status.in_(("succeeded", "partial", "held"))
    newest = find_newest_whole(connection, runs.c.kind.not_in(("plan", "apply")), good)
    writing = select(runs.c.id).where(runs.c.id >= newest, runs.c.id < run_id, runs.c.kind.not_in(("plan", *REVERSALS)))
    connection.execute(
        update(changes)
        .where(
            changes.c.run_id.in_(writing),
            changes.c.status.in_(_OPEN),
            is_touched(changes.c.record_key, changes.c.target_key),
        )
        .values(stopped("dropped", say(Cause.PLANNED_ANEW, run=run_id)))
    )


# ---- statements -----------------------------------------------------------------------------------------------------

_SELECT_KIND = select(runs.c.kind).where(runs.c.id == bindparam("run"))
_FIND_NEWEST_PLANNED = (
    select_newest_whole(runs.c.status.in_(("succeeded", "partial", "held"))),
    select_newest_whole(*_is_planned()),
)
