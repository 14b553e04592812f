"""What the tenant has deleted for good: no membership of it can come back, so that none is kept, hidden, for that."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import Connection, delete, select, update

from syncd.model.source import Stream
from syncd.store.db.database import reading
from syncd.store.db.part import StorePart, in_thread
from syncd.store.db.sql import among
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
        table = TABLES[stream]
        with self._database.transaction() as connection:
            statement = (
                select(table.c.key)
                .join(source_objects, source_objects.c.key == table.c.key)
                .where(table.c.state == "soft_deleted", among(source_objects.c.id, list(ids), connection))
            )
            keys = list(connection.scalars(statement))
            if keys:
                _let_go(connection, stream, keys)
        return len(keys)

    @in_thread
    def load_expired(self, stream: Stream, *, before: datetime) -> list[str]:
        """Return ids of what was found deleted at that time or earlier and is not known to be deleted for good."""
        table = TABLES[stream]
        statement = (
            select(source_objects.c.id)
            .join(table, table.c.key == source_objects.c.key)
            .where(table.c.state == "soft_deleted", table.c.removed_at <= before)
            .order_by(source_objects.c.id)
        )
        with reading(self._database) as connection:
            return list(connection.scalars(statement))


def _let_go(connection: Connection, stream: Stream, keys: Collection[int]) -> None:
    table = TABLES[stream]
    if stream == "groups":
        touch_users_below(connection, keys)
        touch_groups(connection, keys, whole=True)
    else:
        touch_users(connection, keys)
    connection.execute(update(table).where(among(table.c.key, keys, connection)).values(state="deleted"))
    for links in LINKS.values():
        connection.execute(delete(links).where(among(links.c.member_key, keys, connection)))
        if stream == "groups":
            connection.execute(delete(links).where(among(links.c.group_key, keys, connection)))
