"""The end of a push: what it has settled, and what the next one must look at."""

from __future__ import annotations

from sqlalchemy import delete, exists, func, select

from syncd.store.db.database import reading
from syncd.store.db.markers import FULL_PUSH_DUE, RULES, load_marker, save_marker
from syncd.store.db.part import StorePart, in_thread
from syncd.store.runs.open_changes import is_touched, settle_earlier
from syncd.store.runs.touched import (
    UNFINISHED,
    clear_touches,
    recall_touches,
    touch_groups,
    touch_principals,
    touch_unfinished,
)
from syncd.store.schema.tables import changes, desired_users, failures, target_groups, target_users


class PushEnds(StorePart):
    """Closes pushes. Its methods are called in the store's thread."""

    @in_thread
    def is_full_push_due(self, rules: str) -> bool:
        """Return whether the next push must look at everybody: a full pull happened, or the rules have changed."""
        with reading(self._database) as connection:
            return load_marker(connection, FULL_PUSH_DUE) is not None or load_marker(connection, RULES) != rules

    @in_thread
    def require_full_push(self) -> None:
        """Remember that everybody must be looked at until a push over everybody has finished.

        What the rules of an unfinished push, or of a dry run, made of people must not be taken for the decisions of
        other rules.
        """
        with self._database.transaction() as connection:
            save_marker(connection, FULL_PUSH_DUE, "yes")

    @in_thread
    def finish_push(self, run_id: int, *, rules: str, full: bool, single: bool = False) -> None:
        """Forget the touches that were looked at, and touch what did not get done, so that the next run sees it.

        A failure that nothing of this plan tries again is solved. Whoever reported to a deleted account is looked at,
        and what somebody had before a record was adopted for that person.
        ``single``: the plan was over one object, so that it says nothing about the failures of others.
        """
        unfinished = changes.c.run_id == run_id, changes.c.status.in_(UNFINISHED)
        still = exists().where(
            *unfinished,
            changes.c.record_key == failures.c.record_key,
            func.coalesce(changes.c.target_key, 0) == failures.c.target_key,
            changes.c.object == failures.c.object,
        )
        solved = ~still & is_touched(failures.c.record_key, failures.c.target_key) if single else ~still
        with self._database.transaction() as connection:
            connection.execute(delete(failures).where(solved))
            if single:
                settle_earlier(connection, run_id)
            clear_touches(connection)
            if full:
                save_marker(connection, FULL_PUSH_DUE, None)
                save_marker(connection, RULES, rules)
            touch_unfinished(connection, run_id)
            removed = select(changes.c.source_key).where(
                changes.c.run_id == run_id,
                changes.c.action == "delete",
                changes.c.object == "user",
                changes.c.status == "done",
            )
            adopted = select(changes.c.source_key).where(
                changes.c.run_id == run_id, changes.c.action == "adopt", changes.c.status == "done"
            )
            earlier = select(target_users.c.key).where(
                target_users.c.source_key.in_(adopted), target_users.c.leaving_at.is_not(None)
            )
            touch_principals(connection, list(connection.scalars(earlier)))
            left = select(target_groups.c.source_key).where(
                target_groups.c.source_key.in_(adopted), target_groups.c.leaving_at.is_not(None)
            )
            touch_groups(connection, [key for key in connection.scalars(left) if key is not None], whole=True)
            reports = select(desired_users.c.principal_key).where(desired_users.c.manager_key.in_(removed))
            touch_principals(connection, [key for key in connection.scalars(reports) if key is not None])
            recall_touches(connection)
