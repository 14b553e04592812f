"""What the tenant has deleted for good: no membership of it can come back, so that none is kept, hidden, for that."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Connection, Executable, Select, bindparam, delete, select, update

from syncd.model.source import Stream
from syncd.store.db.parameters import among_bound
from syncd.store.db.part import StorePart, in_thread
from syncd.store.directory.entry import TABLES
from syncd.store.directory.members import LINKS
from syncd.store.runs.touched import touch_groups, touch_users, touch_users_below
from syncd.store.schema.tables import source_objects


class Purged(StorePart):
    """Its methods are called in the store's thread."""

    @in_thread
    def purge(self, stream: Stream, ids: Sequence[str]) -> int:
        """Remember deleted objects as deleted for good, and let go of their memberships; return how many they were.

        What counts as existing stays as it is.
        """
        if not ids:
            return 0
        with self._database.transaction() as connection:
            keys = list(connection.scalars(_select_deleted(stream), {"ids": ids}))
            if keys:
                _let_go(connection, stream, keys)
        return len(keys)

    @in_thread
    def load_expired(self, stream: Stream, *, before: datetime) -> list[str]:
        """Return ids of what was found deleted at that time or earlier and is not known to be deleted for good."""
        return self._database.load_values(_select_expired(stream), {"before": before})


def _let_go(connection: Connection, stream: Stream, keys: Collection[int]) -> None:
    if stream == "groups":
        touch_users_below(connection, keys)
        touch_groups(connection, keys, whole=True)
    else:
        touch_users(connection, keys)
    for statement in _let_go_statements(stream):
        connection.execute(statement, {"keys": keys})


# ---- statements -----------------------------------------------------------------------------------------------------


@cache
def _select_deleted(stream: Stream) -> Select[Any]:
    table = TABLES[stream]
    return (
        select(table.c.key)
        .join(source_objects, source_objects.c.key == table.c.key)
        .where(table.c.state == "soft_deleted", among_bound(source_objects.c.id, "ids", textual=True))
    )


@cache
def _select_expired(stream: Stream) -> Select[Any]:
    table = TABLES[stream]
    return (
        select(source_objects.c.id)
        .join(table, table.c.key == source_objects.c.key)
        .where(table.c.state == "soft_deleted", table.c.removed_at <= bindparam("before"))
        .order_by(source_objects.c.id)
    )


@cache
def _let_go_statements(stream: Stream) -> tuple[Executable, ...]:
    table = TABLES[stream]
    buried = update(table).where(among_bound(table.c.key, "keys")).values(state="deleted")
    columns = [links.c.member_key for links in LINKS.values()]
    if stream == "groups":
        columns += [links.c.group_key for links in LINKS.values()]
    return buried, *(delete(column.table).where(among_bound(column, "keys")) for column in columns)
