"""A stream that has no active object left though it had one: held as a whole until a person says that it is true.

Of users, a disabled one is not active, unless the company is small: that all of a few people are disabled may well be
meant, and is what the tenant states of each of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, not_, select

from syncd.model.source import Stream
from syncd.store.db.markers import EMPTIED, EMPTY_BELIEVED, FULL_PUSH_DUE, save_marker
from syncd.store.directory.entry import TABLES
from syncd.store.schema.tables import source_users

_FEW = 20
"""So many users, deleted ones among them, are a small company: as many removals as the guard lets pass by default."""

_DISABLED = '"accountEnabled":false'
"""As it stands in a row's attributes, and in no text among them: there a quotation mark has a backslash before it."""


def has_active(connection: Connection, stream: Stream) -> bool:
    """Return whether the directory holds any active object of the stream."""
    if stream == "users" and connection.scalar(_SELECT_MORE) is not None:
        return connection.scalar(_SELECT_ENABLED) is not None
    return has_any(connection, stream)


def has_any(connection: Connection, stream: Stream) -> bool:
    """Return whether the directory holds any existing object of the stream, disabled users among them."""
    return connection.scalar(_SELECT_EXISTING[stream]) is not None


@contextmanager
def noting_emptied(connection: Connection, stream: Stream) -> Iterator[None]:
    """Remember, in the same transaction, when what is written within takes away the stream's last active object.

    Or the last one at all, of people who were disabled before.
    """
    had = has_active(connection, stream)
    had_any = had or has_any(connection, stream)
    yield
    if had_any and not has_active(connection, stream) and (had or not has_any(connection, stream)):
        save_marker(connection, EMPTIED + stream, "told")


def end_emptied(connection: Connection, stream: Stream) -> None:
    """The stream counts no longer as emptied, and whoever was spared meanwhile is looked at."""
    save_marker(connection, EMPTIED + stream, None)
    save_marker(connection, EMPTY_BELIEVED + stream, None)
    save_marker(connection, FULL_PUSH_DUE, "yes")


# By key, so that the first one that is found ends it.
_SELECT_EXISTING = {
    stream: select(table.c.key).where(table.c.key >= 0, table.c.state == "active").order_by(table.c.key).limit(1)
    for stream, table in TABLES.items()
}
_SELECT_ENABLED = _SELECT_EXISTING["users"].where(not_(source_users.c.attributes.contains(_DISABLED, autoescape=True)))
_SELECT_MORE = (
    select(source_users.c.key).where(source_users.c.key >= 0).order_by(source_users.c.key).limit(1).offset(_FEW)
)
