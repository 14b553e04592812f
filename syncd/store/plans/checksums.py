"""Checksums of what is stored, to tell whether a side has changed since a plan was made of it."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Select, Table, select

from syncd.model.target import ACCOUNT_FIELDS, GROUP_FIELDS, fold
from syncd.plan.planfile import Part, RecordState
from syncd.store.db.database import reading
from syncd.store.db.parameters import among_bound
from syncd.store.db.part import StorePart, in_thread
from syncd.store.schema.tables import (
    source_groups,
    source_members,
    source_objects,
    source_owners,
    source_users,
    target_groups,
    target_principals,
    target_users,
)

_AT_ONCE = 5000
_MODULUS = 1 << 128


class Checksums(StorePart):
    """Reads the store; nothing here decides. Its methods are called in the store's thread, or by commands."""

    @in_thread
    def load_directory_parts(self) -> dict[str, Part]:
        """Return count and checksum of the directory's users (with managers), groups, memberships and ownerships.

        Keys of this store are left out: the same directory gives the same checksums in any store.
        """
        return {name: self._sum_up(statement) for name, statement in _PARTS.items()}

    def _sum_up(self, statement: Select[Any]) -> Part:
        """Add the hashes of all rows, so that their order does not matter and sorting is saved."""
        count = total = 0
        with reading(self._database) as connection:
            for row in connection.execution_options(yield_per=_AT_ONCE).execute(statement):
                text = "\x1f".join("\x00" if value is None else str(value) for value in row)
                total += int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest(), "big")
                count += 1
        return Part(count, f"{total % _MODULUS:032x}")

    def load_record_states(self, users: Collection[str], groups: Collection[str]) -> list[RecordState]:
        """Return the named records of the target as the inventory has them, absent ones included, users first."""
        return self._load_states("user", users) + self._load_states("group", groups)

    def _load_states(self, kind: Any, bps_ids: Collection[str]) -> list[RecordState]:
        if not bps_ids:
            return []
        asked = {fold(bps_id): bps_id for bps_id in bps_ids}
        rows = self._database.load_rows(_SELECT_STATES[kind], {"folds": asked})
        names = _FIELDS[kind]
        there = {
            row[0]: RecordState(kind, row[1], row[2], dict(zip(names, tuple(row)[3:], strict=True))) for row in rows
        }
        return [there.get(folded) or RecordState(kind, asked[folded]) for folded in sorted(asked)]


# ---- statements -----------------------------------------------------------------------------------------------------

_FIELDS = {"user": ACCOUNT_FIELDS, "group": GROUP_FIELDS}


def _select_users() -> Select[Any]:
    manager = source_objects.alias("manager")
    return (
        select(source_objects.c.id, source_users.c.state, source_users.c.attributes, manager.c.id)
        .join(source_objects, source_objects.c.key == source_users.c.key)
        .outerjoin(manager, manager.c.key == source_users.c.manager_key)
    )


def _select_links(links: Table) -> Select[Any]:
    member = source_objects.alias("member")
    return (
        select(source_objects.c.id, member.c.id)
        .select_from(links)
        .join(source_objects, source_objects.c.key == links.c.group_key)
        .join(member, member.c.key == links.c.member_key)
    )


def _select_states(table: Table, names: Sequence[str]) -> Select[Any]:
    columns = (table.c[name] for name in names)
    return (
        select(target_principals.c.bps_fold, target_principals.c.bps_id, table.c.origin, *columns)
        .join(table, table.c.key == target_principals.c.key)
        .where(among_bound(target_principals.c.bps_fold, "folds", textual=True))
    )


_PARTS = {
    "users": _select_users(),
    "groups": select(source_objects.c.id, source_groups.c.state, source_groups.c.attributes).join(
        source_objects, source_objects.c.key == source_groups.c.key
    ),
    "memberships": _select_links(source_members),
    "ownerships": _select_links(source_owners),
}
_SELECT_STATES = {
    "user": _select_states(target_users, ACCOUNT_FIELDS),
    "group": _select_states(target_groups, GROUP_FIELDS),
}
