"""Managers whom a list did not show. A list leaves out who is deleted, so that a user without a manager in it may have
one who is deleted at that moment, and whose account still stands. The stored manager stays until all lists and changes
are read: only one who is there, and whom the tenant does not name all the same, was taken away.
"""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection, Update, delete, exists, select, update

from syncd.store.db.parameters import among_bound
from syncd.store.db.sql import insert_keys
from syncd.store.schema.tables import seen_objects, source_users, unshown_managers


def _clear() -> Update:
    manager = source_users.alias("manager")
    hidden = exists().where(
        manager.c.key == source_users.c.manager_key,
        (manager.c.state != "active") | manager.c.key.not_in(select(seen_objects.c.key)),
    )
    unshown = source_users.c.key.in_(select(unshown_managers.c.key))
    return update(source_users).where(unshown, ~hidden).values(manager_key=None)


_HAS_UNSHOWN = select(exists().select_from(unshown_managers))
_FORGET_UNSHOWN = delete(unshown_managers).where(among_bound(unshown_managers.c.key, "users"))
_CLEAR_UNSHOWN = _clear()
_DROP_UNSHOWN = delete(unshown_managers)


def note_unshown(connection: Connection, users: Collection[int]) -> None:
    """A list showed these users without a manager, though one is stored, who stays for the time being."""
    insert_keys(connection, unshown_managers, users)


def forget_unshown(connection: Connection, users: Collection[int]) -> None:
    """The tenant says who the manager of these users is, or that they have none."""
    if users and connection.scalar(_HAS_UNSHOWN):
        connection.execute(_FORGET_UNSHOWN, {"users": users})


def clear_unshown(connection: Connection) -> None:
    """All lists and changes are read: whoever has a stored manager who is there has none any more."""
    connection.execute(_CLEAR_UNSHOWN)
    drop_unshown(connection)


def drop_unshown(connection: Connection) -> None:
    """Forget what lists did not show: another reading begins."""
    connection.execute(_DROP_UNSHOWN)
