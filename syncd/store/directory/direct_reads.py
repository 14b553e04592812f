"""What the streams told only in part, and who is there again: what is read directly, and what such a reading says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import CompoundSelect, Select, Table, delete, exists, literal, null, select, union_all

from syncd.model.listing import UNLISTED_KINDS
from syncd.model.source import BadObject, Link, Role, Stream
from syncd.store.db.part import in_thread
from syncd.store.db.sql import delete_pairs, insert_pairs
from syncd.store.directory.delta_log import BEHIND, contradict, hold_links, load_words, settle
from syncd.store.directory.emptied import noting_emptied
from syncd.store.directory.entry import TABLES
from syncd.store.directory.members import LINKS
from syncd.store.directory.object_statements import END_PARKING, END_REREAD, bury, select_alive, select_visible
from syncd.store.directory.pages import Directory
from syncd.store.directory.unreadable import store_unreadable
from syncd.store.runs.touched import touch_groups, touch_users, touch_users_below
from syncd.store.schema.directory import PARKED, REREAD
from syncd.store.schema.tables import source_groups, source_objects, source_returns


@dataclass(frozen=True, slots=True, kw_only=True)
class Unread:
    """Ids of what the streams told only in part: each needs a direct read before this pull ends.

    ``parked``: only fragments were seen. ``groups_to_reread``: active groups whose members are to be read.
    ``returned``: of some objects it must be read what ties them to others; see `load_returned`.
    """

    parked: Mapping[Stream, Sequence[str]]
    groups_to_reread: Sequence[str]
    returned: bool


class DirectReads(Directory):
    """The directory as direct reads correct it."""

    @in_thread
    def load_unread(self) -> Unread:
        """Return what must be read directly, in one question: mostly nothing."""
        found: dict[str, list[str]] = {}
        for what, object_id in self._database.load_rows(_LOAD_UNREAD):
            found.setdefault(what, []).append(object_id)
        # Sorted here: a database that is to sort them goes through everybody in that order instead.
        return Unread(
            parked={stream: sorted(found.get(stream, ())) for stream in TABLES},
            groups_to_reread=sorted(found.get(_REREAD, ())),
            returned=_RETURNED in found,
        )

    @in_thread
    def load_returned(self, stream: Stream) -> list[str]:
        """Return ids of active users or groups of which it must be read what ties them to others."""
        return sorted(self._database.load_values(_select_returned(stream)))

    @in_thread
    def forget_returned(self) -> None:
        """Ask no more for the ties of anybody."""
        with self._database.transaction() as connection:
            connection.execute(_FORGET_RETURNS)

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
            there = set(connection.scalars(select_visible(role), {"group": group}))
            adding, dropping = ({(group, member) for member in some} for some in (wanted - there, there - wanted))
            adding, dropping = hold_links(connection, role, adding=adding, dropping=dropping, now=now)
            differing = {member for _, member in adding | dropping}
            if role == "members":
                touch_users_below(connection, differing)
            delete_pairs(connection, table, dropping)
            insert_pairs(connection, table, adding)
            touch_users(connection, differing)
            if role == "members":
                connection.execute(END_REREAD, {"group": group})
        return len(differing)

    @in_thread
    def keep_members(self, group_id: str) -> None:
        """Leave the members of a group as they are stored, and do not ask for them again."""
        with self._undoing_cache(), self._database.transaction() as connection:
            group = self._intern(connection, {group_id})[group_id]
            connection.execute(END_REREAD, {"group": group})

    @in_thread
    def mark_gone(self, stream: Stream, ids: Sequence[str], *, now: datetime) -> int:
        """Remember as soft-deleted what a direct read no longer found (memberships stay, hidden); return how many.

        Of what delta has told lately, somebody else may not know yet: it stays, and is read again later.
        """
        with self._undoing_cache(), self._database.transaction() as connection:
            known = self._intern(connection, ids)
            keys = {known[text] for text in ids}
            words = load_words(connection, connection.scalars(select_alive(stream), {"keys": keys}).all())
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
            with noting_emptied(connection, stream):
                return connection.execute(bury(stream), {"keys": keys, "now": now}).rowcount

    @in_thread
    def store_unreadable(self, stream: Stream, object_id: str, *, tracked: bool, now: datetime) -> None:
        """Take it that the tenant has an object which a direct read does not understand; nobody asks for it again.

        ``tracked``: a full read is under way, and has met it.
        """
        with self._undoing_cache(), self._database.transaction() as connection:
            keys = self._intern(connection, [object_id])
            bad = [BadObject(object_id, "")]
            store_unreadable(connection, stream, bad, keys, tracked=tracked, listed=True, now=now)
            connection.execute(END_PARKING[stream], {"object": keys[object_id]})
            settle(connection, [keys[object_id]], stream)


# ---- statements -----------------------------------------------------------------------------------------------------

_REREAD, _RETURNED = "reread", "returned"
_FORGET_RETURNS = delete(source_returns)


@cache
def _select_returned(stream: Stream) -> Select[Any]:
    # Not sorted: a database that is to sort them goes through everybody in that order instead.
    table = TABLES[stream]
    few = select(table.c.key).where(table.c.key.in_(select(source_returns.c.key)), table.c.state == "active")
    return select(source_objects.c.id).where(source_objects.c.key.in_(few))


def _select_unread(what: str, table: Table, *conditions: Any) -> Select[Any]:
    few = select(table.c.key).where(*conditions)
    return select(literal(what), source_objects.c.id).where(source_objects.c.key.in_(few))


_LOAD_UNREAD: CompoundSelect[Any] = union_all(
    *(_select_unread(stream, table, PARKED) for stream, table in TABLES.items()),
    _select_unread(_REREAD, source_groups, REREAD, source_groups.c.state == "active"),
    select(literal(_RETURNED), null()).where(exists().select_from(source_returns)),
)
