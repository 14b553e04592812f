"""What hangs on the protect list: groups on it have members, and accounts on it have places, that deletions would take.

The portal takes a deleted account out of every group, and everybody out of a deleted group.
"""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection, exists, select

from syncd.model.change import Change, Phase
from syncd.model.kinds import RECORD_KINDS, RecordKind
from syncd.store.db.database import reading
from syncd.store.db.part import StorePart, in_thread
from syncd.store.db.sql import among
from syncd.store.inventory.records import LINKS
from syncd.store.schema.tables import changes, target_groups, target_principals, target_users


class Protection(StorePart):
    """Its methods are called in the store's thread."""

    def find_tied(self, kind: RecordKind, records: Collection[int], protect: Collection[str]) -> set[int]:
        """Return those of the accounts that are in a protected group, or of the groups that have a protected person."""
        if not records or not protect:
            return set()
        with reading(self._database) as connection:
            return load_tied(connection, kind, protect, records)

    @in_thread
    def load_deletions(self, run_id: int) -> list[tuple[int, Change]]:
        """Return the deletions of accounts and groups that a plan means, with their numbers in it."""
        statement = (
            select(changes.c.seq, changes.c.phase, changes.c.object, target_principals.c.bps_id)
            .join(target_principals, target_principals.c.key == changes.c.record_key)
            .where(
                changes.c.run_id == run_id,
                changes.c.status == "planned",
                changes.c.action == "delete",
                changes.c.object.in_(RECORD_KINDS),
            )
            .order_by(changes.c.seq)
        )
        with reading(self._database) as connection:
            rows = connection.execute(statement).all()
        return [
            (row.seq, Change(phase=Phase(row.phase), action="delete", object=row.object, bps_id=row.bps_id))
            for row in rows
        ]

    @in_thread
    def load_protected_groups(self, protect: Collection[str]) -> list[str]:
        """Return the protected BPS ids, as the portal spells them, that are groups, or that nobody is known by."""
        if not protect:
            return []
        p = target_principals
        there = exists().where(target_users.c.key == p.c.key), exists().where(target_groups.c.key == p.c.key)
        with reading(self._database) as connection:
            found = select(p.c.bps_fold, p.c.bps_id, *there).where(among(p.c.bps_fold, sorted(protect), connection))
            known = {row[0]: (row[1], row[2] and not row[3]) for row in connection.execute(found)}
        spelled = [known.get(each, (each, False)) for each in sorted(protect)]
        return [bps_id for bps_id, is_account in spelled if not is_account]


def load_tied(
    connection: Connection, kind: RecordKind, protect: Collection[str], records: Collection[int] | None = None
) -> set[int]:
    """Return the accounts (or groups) whose deletion would change something on the protect list; all, or of these."""
    found = set[int]()
    if not protect:
        return found
    for links in LINKS.values():
        own, other = links.c.member_key, links.c.group_key
        if kind == "group":
            own, other = other, own
        statement = (
            select(own)
            .join(target_principals, target_principals.c.key == other)
            .where(among(target_principals.c.bps_fold, sorted(protect), connection))
        )
        if records is not None:
            statement = statement.where(among(own, records, connection))
        found |= set(connection.scalars(statement))
    return found
