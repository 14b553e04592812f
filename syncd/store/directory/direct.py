"""What was read directly, object by object and group by group, into the directory. Each method is one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Table, select, update

from syncd.model.listing import UNLISTED_KINDS
from syncd.model.source import BadObject, Link, Role, Stream
from syncd.store.db.database import reading
from syncd.store.db.part import in_thread
from syncd.store.db.sql import among, delete_pairs, insert_pairs
from syncd.store.directory.delta_log import BEHIND, contradict, hold_links, load_words, settle
from syncd.store.directory.entry import ALIVE, TABLES
from syncd.store.directory.members import LINKS, is_visible
from syncd.store.directory.pages import Directory
from syncd.store.directory.unreadable import store_unreadable
from syncd.store.runs.touched import touch_groups, touch_users, touch_users_below
from syncd.store.schema.directory import PARKED, REREAD
from syncd.store.schema.tables import source_groups, source_objects, source_users


class DirectReadings(Directory):
    """The directory as direct reads complete and correct it."""

    @in_thread
    def replace_members(self, group_id: str, links: Sequence[Link], *, now: datetime, role: Role = "members") -> int:
        """Make the stored members of a group those that a direct read gave, beside the soft-deleted ones, which it
        cannot show; return how many differed.

        A group whose people must be read directly is done with its members: its owners are to be replaced before.
        What delta has told lately holds against it.
        """
        table = LINKS[role]
        with self._undoing_cache(), self._database.transaction() as connection:
            links = [link for link in links if link.kind not in UNLISTED_KINDS]
            keys = self._intern(connection, {group_id, *(link.member_id for link in links)})
            group = keys[group_id]
            wanted = {keys[link.member_id] for link in links}
            stored = select(table.c.member_key).where(table.c.group_key == group, is_visible(table))
            there = set(connection.scalars(stored))
            adding, dropping = ({(group, member) for member in some} for some in (wanted - there, there - wanted))
            adding, dropping = hold_links(connection, role, adding, dropping, now=now)
            differing = {member for _, member in adding | dropping}
            if role == "members":
                touch_users_below(connection, differing)
            delete_pairs(connection, table, dropping)
            insert_pairs(connection, table, adding)
            touch_users(connection, differing)
            if role == "members":
                connection.execute(update(source_groups).where(source_groups.c.key == group).values(reread=False))
        return len(differing)

    @in_thread
    def keep_members(self, group_id: str) -> None:
        """Leave the members of a group as they are stored, and do not ask for them again."""
        with self._undoing_cache(), self._database.transaction() as connection:
            group = self._intern(connection, {group_id})[group_id]
            connection.execute(update(source_groups).where(source_groups.c.key == group).values(reread=False))

    @in_thread
    def load_parked(self) -> list[str]:
        """Return ids of users of whom only fragments were seen; each needs a direct read before it counts."""
        return self._load_ids(source_users, PARKED)

    @in_thread
    def load_parked_groups(self) -> list[str]:
        """Return ids of groups of which only fragments were seen."""
        return self._load_ids(source_groups, PARKED)

    @in_thread
    def load_rereads(self) -> list[str]:
        """Return ids of active groups whose members must be read directly."""
        return self._load_ids(source_groups, REREAD, source_groups.c.state == "active")

    def _load_ids(self, table: Table, *conditions: Any) -> list[str]:
        # Sorted here: a database that is to sort them goes through everybody in that order instead.
        few = select(table.c.key).where(*conditions)
        statement = select(source_objects.c.id).where(source_objects.c.key.in_(few))
        with reading(self._database) as connection:
            return sorted(connection.scalars(statement))

    @in_thread
    def mark_gone(self, stream: Stream, ids: Sequence[str], *, now: datetime) -> int:
        """Remember as soft-deleted what a direct read no longer found (memberships stay, hidden); return how many.

        Of what delta has told lately, somebody else may not know yet: it stays, and is read again later.
        """
        table = TABLES[stream]
        with self._undoing_cache(), self._database.transaction() as connection:
            known = self._intern(connection, ids)
            keys = {known[text] for text in ids}
            alive = among(table.c.key, keys, connection), table.c.state.in_(ALIVE)
            words = load_words(connection, connection.scalars(select(table.c.key).where(*alive)).all())
            held = {key for key, word in words.items() if word.holds(now)}
            for key in held:
                contradict(connection, [key], stream, due=words[key].told_at + BEHIND)
            keys -= held
            settle(connection, keys, stream)
            if stream == "groups":
                touch_users_below(connection, keys)
                touch_groups(connection, keys, whole=True)
            else:
                touch_users(connection, keys)
            result = connection.execute(
                update(table)
                .where(among(table.c.key, keys, connection), table.c.state.in_(ALIVE))
                .values(state="soft_deleted", removed_at=now)
            )
            return result.rowcount

    @in_thread
    def store_unreadable(self, stream: Stream, object_id: str, *, tracked: bool, now: datetime) -> None:
        """Take it that the tenant has an object which a direct read does not understand; nobody asks for it again.

        ``tracked``: a full read is under way, and has met it.
        """
        table = TABLES[stream]
        with self._undoing_cache(), self._database.transaction() as connection:
            keys = self._intern(connection, [object_id])
            bad = [BadObject(object_id, "")]
            store_unreadable(connection, stream, bad, keys, tracked=tracked, listed=True, now=now)
            partly = table.c.key == keys[object_id], table.c.state == "parked"
            connection.execute(update(table).where(*partly).values(state="unreadable"))
            settle(connection, [keys[object_id]], stream)
