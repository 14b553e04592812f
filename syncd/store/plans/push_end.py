"""The end of a push: what it has settled, and what the next one must look at."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Delete, Select, bindparam, delete, exists, func, or_, select

from syncd.model.change import TRIED, Action
from syncd.store.db.database import reading
from syncd.store.db.markers import FULL_PUSH_DUE, RULES, load_markers, save_marker
from syncd.store.db.part import StorePart, in_thread
from syncd.store.plans.change_statements import COUNT_OUTCOMES
from syncd.store.runs.open_changes import is_touched, select_newest_whole, settle_earlier
from syncd.store.runs.retries import LATE, is_settled
from syncd.store.runs.touched import (
    UNFINISHED,
    clear_touches,
    recall_touches,
    touch_groups,
    touch_principals,
    touch_unfinished,
)
from syncd.store.schema.tables import (
    changes,
    desired_users,
    failures,
    runs,
    target_groups,
    target_users,
    touched_groups,
    touched_principals,
    touched_users,
    waiting_touches,
)


class PushEnds(StorePart):
    """Closes pushes. Its methods are called in the store's thread."""

    @in_thread
    def is_full_push_due(self, rules: str) -> bool:
        """Return whether the next push must look at everybody: a full pull happened, or the rules have changed."""
        found = load_markers(self._database, FULL_PUSH_DUE, RULES)
        return FULL_PUSH_DUE in found or found.get(RULES) != rules

    @in_thread
    def require_full_push(self) -> None:
        """Remember that everybody must be looked at until a push over everybody has finished.

        What the rules of an unfinished push, or of a dry run, made of people must not be taken for the decisions of
        other rules.
        """
        with self._database.transaction() as connection:
            save_marker(connection, FULL_PUSH_DUE, "yes")

    @in_thread
    def finish_push(self, run_id: int, *, rules: str, full: bool, now: datetime, single: bool = False) -> None:
        """Forget the touches that were looked at, and touch what did not get done, so that the next run sees it.

        A failure that nothing of this plan tries again is solved. Whoever reported to a deleted account is looked at,
        and what somebody had before a record was adopted for that person.
        ``single``: the plan was over one object, so that it says nothing about the failures of others.
        """
        run = {"run": run_id}
        with self._database.transaction() as connection:
            there = connection.execute(_LOOK, run).one()
            if there.failures:
                forgetting = _FORGET_SOLVED_TOUCHED if single else _FORGET_SOLVED
                connection.execute(forgetting, {**run, "late": now - LATE})
            if single:
                settle_earlier(connection, run_id)
            if there.touches:
                clear_touches(connection)
            if full:
                save_marker(connection, FULL_PUSH_DUE, None)
                save_marker(connection, RULES, rules)
            if there.changes:
                touch_unfinished(connection, run_id)
                touch_principals(connection, connection.scalars(_SELECT_LEFT_ACCOUNTS, run).all())
                touch_groups(connection, connection.scalars(_SELECT_LEFT_GROUPS, run).all(), whole=True)
                touch_principals(connection, connection.scalars(_SELECT_REPORTS, run).all())
                touch_principals(connection, connection.scalars(_SELECT_FREE, run).all())
            if there.waiting:
                recall_touches(connection)

    @in_thread
    def count_events(self, run_id: int) -> dict[tuple[str, str, str], int]:
        """Return how many changes of each kind ended how in this run, and had not ended so before.

        What nobody tried is none of them. What the run before put off as well is put off once.
        """
        run = {"run": run_id}
        with reading(self._database) as connection:
            found = {(row[0], row[1], row[2]): row[3] for row in connection.execute(COUNT_OUTCOMES, run)}
            found = {key: number for key, number in found.items() if key[2] in TRIED}
            if any(key[2] == "deferred" for key in found):
                for action, kind, number in connection.execute(_COUNT_PUT_OFF_AGAIN, run):
                    found[action, kind, "deferred"] -= number
        return found


# ---- statements -----------------------------------------------------------------------------------------------------

_RUN = changes.c.run_id == bindparam("run")
_LOOK = select(
    exists().select_from(failures).label("failures"),
    exists().where(_RUN).label("changes"),
    or_(*(exists().select_from(table) for table in (touched_users, touched_groups, touched_principals))).label(
        "touches"
    ),
    exists().select_from(waiting_touches).label("waiting"),
)
"""What there is at all: mostly nothing."""


def _forget_solved(*conditions: ColumnElement[bool]) -> Delete:
    still = exists().where(
        _RUN,
        changes.c.status.in_(UNFINISHED),
        changes.c.record_key == failures.c.record_key,
        func.coalesce(changes.c.target_key, 0) == failures.c.target_key,
        changes.c.object == failures.c.object,
    )
    return delete(failures).where(~still, is_settled(), *conditions)


def _select_sources(action: Action, *conditions: ColumnElement[bool]) -> Select[Any]:
    return select(changes.c.source_key).where(_RUN, changes.c.action == action, changes.c.status == "done", *conditions)


_FORGET_SOLVED = _forget_solved()
_FORGET_SOLVED_TOUCHED = _forget_solved(is_touched(failures.c.record_key, failures.c.target_key))
_ADOPTED = _select_sources("adopt")
_SELECT_LEFT_ACCOUNTS = select(target_users.c.key).where(
    target_users.c.source_key.in_(_ADOPTED), target_users.c.leaving_at.is_not(None)
)
_SELECT_LEFT_GROUPS = select(target_groups.c.source_key).where(
    target_groups.c.source_key.in_(_ADOPTED), target_groups.c.leaving_at.is_not(None)
)
_SELECT_FREE = (  # records that are gone, and that somebody maps to who was not to have them
    select(changes.c.record_key)
    .distinct()
    .where(
        _RUN,
        changes.c.action == "delete",
        changes.c.object == "user",
        changes.c.status == "done",
        exists().where(desired_users.c.principal_key == changes.c.record_key, desired_users.c.state == "collision"),
    )
)
_SELECT_REPORTS = select(desired_users.c.principal_key).where(
    desired_users.c.manager_key.in_(_select_sources("delete", changes.c.object == "user")),
    desired_users.c.principal_key.is_not(None),
)
_BEFORE = changes.alias("before")
_COUNT_PUT_OFF_AGAIN = (
    select(changes.c.action, changes.c.object, func.count())
    .where(
        _RUN,
        changes.c.status == "deferred",
        exists().where(
            _BEFORE.c.record_key == changes.c.record_key,
            func.coalesce(_BEFORE.c.target_key, 0) == func.coalesce(changes.c.target_key, 0),
            _BEFORE.c.target == changes.c.target,
            _BEFORE.c.object == changes.c.object,
            _BEFORE.c.action == changes.c.action,
            _BEFORE.c.status == "deferred",
            _BEFORE.c.run_id < bindparam("run"),
            _BEFORE.c.run_id
            >= func.coalesce(
                select_newest_whole(
                    runs.c.id < bindparam("run"),
                    runs.c.kind != "plan",
                    runs.c.status.in_(("succeeded", "partial", "held")),
                ).scalar_subquery(),
                0,
            ),
        ),
    )
    .group_by(changes.c.action, changes.c.object)
)
