"""Checksums of what is stored, to tell whether a side has changed since a plan was made of it."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from typing import Any

from sqlalchemy import Select, Table, select

from syncd.model.target import ACCOUNT_FIELDS, GROUP_FIELDS, fold
from syncd.plan.planfile import Part, RecordState
from syncd.store.db.database import reading
from syncd.store.db.part import StorePart, in_thread
from syncd.store.db.sql import among
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
        manager = source_objects.alias("manager")
        users, groups = source_users, source_groups
        parts = {
            "users": select(source_objects.c.id, users.c.state, users.c.attributes, manager.c.id)
            .join(source_objects, source_objects.c.key == users.c.key)
            .outerjoin(manager, manager.c.key == users.c.manager_key),
            "groups": select(source_objects.c.id, groups.c.state, groups.c.attributes).join(
                source_objects, source_objects.c.key == groups.c.key
            ),
            "memberships": _select_links(source_members),
            "ownerships": _select_links(source_owners),
        }
        return {name: self._sum_up(statement) for name, statement in parts.items()}

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
        table: Table = target_users if kind == "user" else target_groups
        names = ACCOUNT_FIELDS if kind == "user" else GROUP_FIELDS
        asked = {fold(bps_id): bps_id for bps_id in bps_ids}
        statement = select(
            target_principals.c.bps_fold, target_principals.c.bps_id, table.c.origin, *(table.c[name] for name in names)
        ).join(table, table.c.key == target_principals.c.key)
        with reading(self._database) as connection:
            rows = connection.execute(statement.where(among(target_principals.c.bps_fold, asked, connection))).all()
        there = {
            row[0]: RecordState(kind, row[1], row[2], dict(zip(names, tuple(row)[3:], strict=True))) for row in rows
        }
        return [there.get(folded) or RecordState(kind, asked[folded]) for folded in sorted(asked)]


def _select_links(links: Table) -> Select[Any]:
    member = source_objects.alias("member")
    return (
        select(source_objects.c.id, member.c.id)
        .select_from(links)
        .join(source_objects, source_objects.c.key == links.c.group_key)
        .join(member, member.c.key == links.c.member_key)
    )
