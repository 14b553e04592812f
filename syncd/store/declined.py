"""What hangs on a rejected adoption, or on a rejected move of a renamed person: it is taken out of plans as well."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import exists, select, update

from syncd.model.change import Phase
from syncd.model.target import fold
from syncd.store.database import Database, reading
from syncd.store.rows import among, decode_json
from syncd.store.tables import (
    changes,
    desired_users,
    rejections,
    target_groups,
    target_principals,
    target_users,
)


class Declined:
    """Its methods are called in the store's thread."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def load_declined(self, run_id: int) -> set[int]:
        """Return the records of others whose adoption a person rejected, and that this plan does not propose anew."""
        found = set[int]()
        with reading(self._database) as connection:
            for kind, table in (("user", target_users), ("group", target_groups)):
                statement = (
                    select(rejections.c.record_key)
                    .join(table, (table.c.key == rejections.c.record_key) & table.c.origin.is_(None))
                    .where(rejections.c.action == "adopt", rejections.c.object == kind, ~_is_proposed(run_id, "adopt"))
                )
                found |= set(connection.scalars(statement))
        return found

    def load_unmoved(self, run_id: int) -> tuple[set[int], set[int]]:
        """Return the accounts whose creation for a renamed person was rejected, and the accounts that these have."""
        there = exists().where(target_users.c.key == rejections.c.record_key)
        rejected = (
            select(rejections.c.record_key, target_users.c.key)
            .join(desired_users, desired_users.c.principal_key == rejections.c.record_key)
            .join(target_users, target_users.c.source_key == desired_users.c.key)
            .where(
                desired_users.c.state == "wanted",
                target_users.c.origin.is_not(None),
                rejections.c.action == "create",
                rejections.c.object == "user",
                ~there.correlate(rejections),
                ~_is_proposed(run_id, "create"),
            )
        )
        with reading(self._database) as connection:
            refused = select(rejections.c.record_key).where(rejections.c.action == "create")
            records = list(connection.scalars(refused))
            few = rejected.where(among(desired_users.c.principal_key, records, connection))
            rows = connection.execute(few).all() if records else []
        return {row[0] for row in rows}, {row[1] for row in rows}

    def drop_updates(self, run_id: int, records: Collection[int], reason: str) -> None:
        """Take the updates of records out of a plan."""
        with self._database.transaction() as connection:
            own = changes.c.action == "update", changes.c.object.in_(("user", "group"))
            theirs = changes.c.run_id == run_id, among(changes.c.record_key, records, connection), *own
            connection.execute(update(changes).where(*theirs).values(status="dropped", error=reason))

    def drop_moves(self, run_id: int, unmade: Collection[int], kept: Collection[int], reason: str) -> None:
        """Take out of a plan that accounts which are not made become somebody's manager, or get somebody's tasks."""
        with self._database.transaction() as connection:
            names = set(
                connection.scalars(
                    select(target_principals.c.bps_fold).where(among(target_principals.c.key, unmade, connection))
                )
            )
            managers = select(changes.c.seq, changes.c.after).where(
                changes.c.run_id == run_id, changes.c.phase == Phase.MANAGERS, changes.c.action == "update"
            )
            seqs = [
                row.seq
                for row in connection.execute(managers).all()
                if fold(decode_json(row.after).get("manager") or "") in names
            ]
            tasks = (
                (changes.c.object == "substitution")
                & (changes.c.action == "create")
                & among(changes.c.record_key, kept, connection)
            )
            follows = tasks | among(changes.c.seq, seqs or [-1], connection)
            connection.execute(
                update(changes).where(changes.c.run_id == run_id, follows).values(status="dropped", error=reason)
            )


def _is_proposed(run_id: int, action: str) -> Any:
    """Return the condition that a plan proposes anew what was rejected: its object has changed."""
    return exists().where(
        changes.c.run_id == run_id,
        changes.c.record_key == rejections.c.record_key,
        changes.c.action == action,
        changes.c.status != "dropped",
    )
