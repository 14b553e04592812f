"""A stream that has no active object left though it had one: held as a whole until a person says that it is true."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Select, Table, not_, select

from syncd.model.source import Stream
from syncd.store.db.markers import EMPTIED, EMPTY_BELIEVED, FULL_PUSH_DUE, save_marker
from syncd.store.directory.entry import TABLES
from syncd.store.schema.tables import source_users

_DISABLED = '"accountEnabled":false'
"""As it stands in a row's attributes, and in no text among them: there a quotation mark has a backslash before it."""


def has_active(connection: Connection, stream: Stream) -> bool:
    """Return whether the directory holds any existing object of the stream; of users, one who is not disabled."""
    return connection.scalar(_SELECT_FIRST[stream]) is not None


@contextmanager
def noting_emptied(connection: Connection, stream: Stream) -> Iterator[None]:
    """Remember, in the same transaction, when what is written within takes away the stream's last active object."""
    had = has_active(connection, stream)
    yield
    if had and not has_active(connection, stream):
        save_marker(connection, EMPTIED + stream, "told")


def end_emptied(connection: Connection, stream: Stream) -> None:
    """The stream counts no longer as emptied, and whoever was spared meanwhile is looked at."""
    save_marker(connection, EMPTIED + stream, None)
    save_marker(connection, EMPTY_BELIEVED + stream, None)
    save_marker(connection, FULL_PUSH_DUE, "yes")


def _select_first(table: Table) -> Select[int]:
    there = [table.c.key >= 0, table.c.state == "active"]
    if table is source_users:
        there.append(not_(table.c.attributes.contains(_DISABLED, autoescape=True)))
    return select(table.c.key).where(*there).order_by(table.c.key).limit(1)  # by key: the first one found ends it


_SELECT_FIRST = {stream: _select_first(table) for stream, table in TABLES.items()}
