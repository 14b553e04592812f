"""What is asked about objects of the directory and their links: statements that are built once."""

from __future__ import annotations

from functools import cache
from typing import Any

from sqlalchemy import Select, Table, Update, bindparam, delete, insert, select, update

from syncd.model.source import Role, Stream
from syncd.store.db.parameters import among_bound
from syncd.store.directory.entry import ALIVE, CONFIRMED, TABLES
from syncd.store.directory.members import LINKS, is_visible
from syncd.store.schema.tables import (
    seen_objects,
    source_groups,
    source_objects,
    source_users,
)

INSERT = {table: insert(table) for table in TABLES.values()}
UPDATE_ROW = {table: update(table).where(table.c.key == bindparam("row_key")) for table in TABLES.values()}
"""Writes the columns that a row names into the row of ``row_key``."""
DELETE_LINKS_OF = tuple(delete(table).where(among_bound(table.c.member_key, "members")) for table in LINKS.values())
END_REREAD = update(source_groups).where(source_groups.c.key == bindparam("group")).values(reread=False)
END_PARKING = {
    stream: update(table)
    .where(table.c.key == bindparam("object"), table.c.state == "parked")
    .values(state="unreadable")
    for stream, table in TABLES.items()
}
SELECT_KEYS = select(source_objects.c.key).where(among_bound(source_objects.c.id, "ids", textual=True))
SELECT_SEEN = select(seen_objects.c.key).where(among_bound(seen_objects.c.key, "keys"))
SELECT_HIDDEN_USERS = select(source_users.c.key).where(
    among_bound(source_users.c.key, "keys"), source_users.c.state == "soft_deleted"
)


@cache
def select_stored(table: Table) -> Select[Any]:
    extra = table.c.manager_key if table is source_users else table.c.reread
    return select(table.c.key, table.c.state, table.c.attributes, extra).where(among_bound(table.c.key, "keys"))


@cache
def select_visible(role: Role) -> Select[Any]:
    links = LINKS[role]
    return select(links.c.member_key).where(links.c.group_key == bindparam("group"), is_visible(links))


@cache
def select_alive(stream: Stream) -> Select[Any]:
    table = TABLES[stream]
    return select(table.c.key).where(among_bound(table.c.key, "keys"), table.c.state.in_(ALIVE))


@cache
def bury(stream: Stream) -> Update:
    table = TABLES[stream]
    there = among_bound(table.c.key, "keys"), table.c.state.in_(ALIVE)
    return update(table).where(*there).values(state="soft_deleted", removed_at=bindparam("now"), removed_as=CONFIRMED)
