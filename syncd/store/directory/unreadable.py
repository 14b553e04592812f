"""Entries that cannot be understood: they are met all the same, and what they state for certain takes effect.

Whoever is stored stays as stored. Of whom nothing is stored, a row says that the tenant has somebody there, so that
neither counts nor second readings ask for more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import Connection, insert, select, update

from syncd.model.source import BadObject, Link, Role, Stream
from syncd.store.db.markers import UNNAMED, load_marker, save_marker
from syncd.store.db.parameters import among_values
from syncd.store.db.sql import decode_json, delete_pairs, encode_json, insert_keys
from syncd.store.directory.delta_log import load_words, note_links, note_objects
from syncd.store.directory.entry import SEEN, TABLES, DirectoryRow
from syncd.store.directory.members import LINKS
from syncd.store.runs.touched import touch_groups, touch_users, touch_users_below
from syncd.store.schema.tables import seen_objects, source_users


def store_unreadable(
    connection: Connection,
    stream: Stream,
    bad: Sequence[BadObject],
    keys: Mapping[str, int],
    *,
    tracked: bool,
    listed: bool,
    now: datetime,
) -> None:
    """Take what entries of a stream say that cannot be understood. ``keys`` has those of all ids that they name.

    ``tracked``: a full read remembers whom it meets. ``listed``: a list says so, which may be older than delta's word.
    """
    table = TABLES[stream]
    named = {keys[each.id]: each for each in bad if each.id}
    rows = select(table.c.key, table.c.state, table.c.attributes)
    there = {
        row[0]: (row[1], row[2])
        for row in (connection.execute(rows.where(among_values(table.c.key, named))) if named else ())
    }
    fresh = sorted(named.keys() - there.keys())
    if fresh:
        more = {"manager_key": None} if table is source_users else {"reread": False}
        values = [{"key": key, "state": "unreadable", "attributes": "{}", **more} for key in fresh]
        connection.execute(insert(table), values)
        if stream == "users":
            touch_users(connection, fresh)
        else:
            touch_groups(connection, fresh, whole=False)
    if tracked:
        insert_keys(connection, seen_objects, named)
    disabled = {key for key, each in named.items() if each.disabled and there.get(key, ("", ""))[0] == "active"}
    _disable(connection, {key: there[key][1] for key in disabled}, listed=listed, now=now)
    if not listed:
        _end_links(connection, named, keys, now=now)


def note_unnamed(connection: Connection, stream: Stream, bad: Sequence[BadObject]) -> None:
    """Count the entries of a full read that have no id: so many of those who were not met may have been among them."""
    number = sum(each.count for each in bad if not each.id)
    if number:
        save_marker(connection, UNNAMED + stream, str(int(load_marker(connection, UNNAMED + stream) or 0) + number))


def _disable(connection: Connection, attributes: Mapping[int, str], *, listed: bool, now: datetime) -> None:
    words = load_words(connection, attributes) if listed else {}
    for key in attributes.keys() - words.keys():
        changed = encode_json({**decode_json(attributes[key]), "accountEnabled": False})
        if changed != attributes[key]:
            connection.execute(update(source_users).where(source_users.c.key == key).values(attributes=changed))
            touch_users(connection, [key])
        if not listed:
            note_objects(connection, "users", {key: DirectoryRow("active", attributes[key], None)}, now=now)


def _end_links(
    connection: Connection, named: Mapping[int, BadObject], keys: Mapping[str, int], *, now: datetime
) -> None:
    ended: dict[Role, dict[tuple[int, int], Link]] = {"members": {}, "owners": {}}
    for group, each in named.items():
        for role, member in each.ended:
            ended[role][group, keys[member]] = Link(member, "unknown", removed=True)
    for role, links in ended.items():
        if not links:
            continue
        people = {member for _, member in links}
        touch_users(connection, people)
        if role == "members":
            touch_users_below(connection, people)
        for table in (LINKS[role], SEEN[role]):
            delete_pairs(connection, table, links)
        note_links(connection, role, links, now=now)
