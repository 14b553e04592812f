"""What hangs on the protect list: groups on it have members, and accounts on it have places, that deletions would take.

The portal takes a deleted account out of every group, and everybody out of a deleted group.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import cache
from typing import Any

from sqlalchemy import Connection, Select, bindparam, exists, select

from syncd.model.change import Change, Phase
from syncd.model.kinds import RECORD_KINDS, RecordKind
from syncd.store.db.database import reading
from syncd.store.db.parameters import among_bound
from syncd.store.db.part import StorePart, in_thread
from syncd.store.inventory.written import LINKS
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
        rows = self._database.load_rows(_SELECT_DELETIONS, {"run": run_id})
        return [
            (row.seq, Change(phase=Phase(row.phase), action="delete", object=row.object, bps_id=row.bps_id))
            for row in rows
        ]

    @in_thread
    def load_protected_groups(self, protect: Collection[str]) -> list[str]:
        """Return the protected BPS ids, as the portal spells them, that are groups, or that nobody is known by."""
        if not protect:
            return []
        rows = self._database.load_rows(_SELECT_PROTECTED, {"protected": protect})
        known = {row[0]: (row[1], row[2] and not row[3]) for row in rows}
        spelled = [known.get(each, (each, False)) for each in sorted(protect)]
        return [bps_id for bps_id, is_account in spelled if not is_account]


def load_tied(
    connection: Connection, kind: RecordKind, protect: Collection[str], records: Collection[int] | None = None
) -> set[int]:
    """Return the accounts (or groups) whose deletion would change something on the protect list; all, or of these."""
    found = set[int]()
    if not protect:
        return found
    asked: dict[str, object] = {"protected": protect}
    if records is not None:
        asked["records"] = records
    for statement in _select_tied(kind, chosen=records is not None):
        found |= set(connection.scalars(statement, asked))
    return found


# ---- statements -----------------------------------------------------------------------------------------------------


@cache
def _select_tied(kind: RecordKind, *, chosen: bool) -> tuple[Select[Any], ...]:
    """Return the statements for what is tied to ``:protected``; ``chosen``: among ``:records``."""
    found = []
    for links in LINKS.values():
        own, other = links.c.member_key, links.c.group_key
        if kind == "group":
            own, other = other, own
        statement = (
            select(own)
            .join(target_principals, target_principals.c.key == other)
            .where(among_bound(target_principals.c.bps_fold, "protected", textual=True))
        )
        found.append(statement.where(among_bound(own, "records")) if chosen else statement)
    return tuple(found)


_SELECT_DELETIONS = (
    select(changes.c.seq, changes.c.phase, changes.c.object, target_principals.c.bps_id)
    .join(target_principals, target_principals.c.key == changes.c.record_key)
    .where(
        changes.c.run_id == bindparam("run"),
        changes.c.status == "planned",
        changes.c.action == "delete",
        changes.c.object.in_(RECORD_KINDS),
    )
    .order_by(changes.c.seq)
)
_SELECT_PROTECTED = select(
    target_principals.c.bps_fold,
    target_principals.c.bps_id,
    exists().where(target_users.c.key == target_principals.c.key),
    exists().where(target_groups.c.key == target_principals.c.key),
).where(among_bound(target_principals.c.bps_fold, "protected", textual=True))
