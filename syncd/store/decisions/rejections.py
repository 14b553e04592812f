"""What follows from a rejection: records that stay others', and renamed people who stay where they are."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Select, Table, bindparam, exists, select

from syncd.model.change import Action
from syncd.model.kinds import RecordKind
from syncd.store.db.parameters import among_bound
from syncd.store.db.part import StorePart
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
        return set(self._database.load_values(_SELECT_DECLINED, {"run": run_id}))

    def load_unmoved(self, run_id: int) -> tuple[set[int], set[int]]:
        """Return the accounts whose creation for a renamed person was rejected, and the accounts that these have."""
        refused = self._database.load_values(_SELECT_REFUSED)
        rows = self._database.load_rows(_SELECT_UNMOVED, {"run": run_id, "refused": refused}) if refused else ()
        return {row[0] for row in rows}, {row[1] for row in rows}


# ---- statements -----------------------------------------------------------------------------------------------------


def _is_proposed(action: Action) -> ColumnElement[bool]:
    """Return the condition that a plan proposes anew what was rejected: its object has changed."""
    return exists().where(
        changes.c.run_id == bindparam("run"),
        changes.c.record_key == rejections.c.record_key,
        changes.c.action == action,
        changes.c.status != "dropped",
    )


def _select_declined(kind: RecordKind, table: Table) -> Select[Any]:
    return (
        select(rejections.c.record_key)
        .join(table, (table.c.key == rejections.c.record_key) & table.c.origin.is_(None))
        .where(rejections.c.action == "adopt", rejections.c.object == kind, ~_is_proposed("adopt"))
    )


def _select_unmoved() -> Select[Any]:
    there = exists().where(target_users.c.key == rejections.c.record_key)
    return (
        select(rejections.c.record_key, target_users.c.key)
        .join(desired_users, desired_users.c.principal_key == rejections.c.record_key)
        .join(target_users, target_users.c.source_key == desired_users.c.key)
        .where(
            among_bound(desired_users.c.principal_key, "refused"),  # so that nobody else is looked at
            desired_users.c.state == "wanted",
            target_users.c.origin.is_not(None),
            rejections.c.action == "create",
            rejections.c.object == "user",
            ~there.correlate(rejections),
            ~_is_proposed("create"),
        )
    )


_SELECT_DECLINED = _select_declined("user", target_users).union_all(_select_declined("group", target_groups))
_SELECT_REFUSED = select(rejections.c.record_key).where(rejections.c.action == "create")
_SELECT_UNMOVED = _select_unmoved()
