"""What follows from a rejection: records that stay others', and renamed people who stay where they are."""

from __future__ import annotations

from typing import Any

from sqlalchemy import exists, select

from syncd.store.db.database import reading
from syncd.store.db.part import StorePart
from syncd.store.db.sql import among
from syncd.store.schema.tables import (
    changes,
    desired_users,
    rejections,
    target_groups,
    target_users,
)


class Declined(StorePart):
    """Its methods are called in the store's thread."""

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


def _is_proposed(run_id: int, action: str) -> Any:
    """Return the condition that a plan proposes anew what was rejected: its object has changed."""
    return exists().where(
        changes.c.run_id == run_id,
        changes.c.record_key == rejections.c.record_key,
        changes.c.action == action,
        changes.c.status != "dropped",
    )
