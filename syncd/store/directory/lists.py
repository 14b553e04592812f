"""What lists say, into the directory: many objects and memberships in one transaction, in columns.

An entry of a list is the whole object: what it does not state has no value. Two exceptions, since lists show nothing of
what is deleted: a member whom they lack is no former member (the sweep judges that), and a manager whom they lack stays
until the end (``unshown`` judges that).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Connection, Select, Table, bindparam, delete, exists, select, update

from syncd.model.listing import Chunk, Listed
from syncd.model.source import STREAMS, BadObject, Checkpoint, Role, Stream
from syncd.store.db.database import reading
from syncd.store.db.parameters import among_bound, select_missing
from syncd.store.db.part import in_thread
from syncd.store.db.sql import (
    decode_json,
    encode_json,
    insert_keys,
    insert_packed,
    insert_pairs,
    insert_tuples,
    pick_missing,
)
from syncd.store.directory.delta_log import (
    KEPT,
    contradict,
    find_told_gone,
    hold_links,
    withstand_list,
    withstand_missing_managers,
)
from syncd.store.directory.emptied import noting_emptied
from syncd.store.directory.entry import GONE, SEEN, TABLES, DirectoryRow
from syncd.store.directory.members import LINKS, select_groups_among
from syncd.store.directory.object_statements import UPDATE_ROW
from syncd.store.directory.pages import Directory, PageCounts
from syncd.store.directory.unlisted_managers import forget_unshown, note_unshown
from syncd.store.directory.unreadable import note_unnamed, store_unreadable
from syncd.store.runs.touched import touch_users, touch_users_below
from syncd.store.schema.tables import (
    seen_objects,
    source_groups,
    source_objects,
    source_returns,
    source_users,
)

_EMPTY = re.compile(r'(?<=^\{)"[^"\\]*":\[\],?|,"[^"\\]*":\[\]')
"""A name with an empty list, in JSON text of one level: a quotation mark within a text has a backslash before it."""
_COLUMNS = {
    "users": ("key", "state", "upn", "name", "attributes", "manager_key"),
    "groups": ("key", "state", "name", "attributes", "reread"),
}


@dataclass(slots=True)
class ChunkCounts:
    """What a chunk changed, per stream; ``unmet`` are ids of a second reading whom the first one lacked."""

    objects: dict[Stream, PageCounts] = field(default_factory=dict)
    links: int = 0
    unmet: dict[Stream, list[str]] = field(default_factory=dict)


class ListedObjects(Directory):
    """The directory as lists fill it."""

    @in_thread
    def store_chunk(
        self, chunk: Chunk, checkpoint: Checkpoint, *, now: datetime, reselected: bool = False
    ) -> ChunkCounts:
        """Apply what lists have shown. ``checkpoint`` is one of the streams read by lists, its ``tracked`` for all.

        What they show otherwise than delta has told lately is not applied, but read directly before the pull ends.
        ``reselected``: other properties are read than before; then they only add to what delta has told.
        """
        counts = ChunkCounts()
        with self._undoing_cache(), self._database.transaction() as connection:
            for stream in STREAMS:
                objects, bad = chunk.objects.get(stream, []), chunk.bad.get(stream, [])
                with noting_emptied(connection, stream) if objects or bad else nullcontext():
                    if objects:
                        counts.objects[stream] = self._store_listed(
                            connection, stream, objects, tracked=checkpoint.tracked, reselected=reselected, now=now
                        )
                    if bad:
                        self._store_listed_bad(connection, stream, bad, tracked=checkpoint.tracked, now=now)
            for role, lists in chunk.people.items():
                stored = self._store_listed_people(connection, role, lists, tracked=checkpoint.tracked, now=now)
                if role == "members":
                    counts.links = stored
            for stream in STREAMS:
                ids = chunk.ids.get(stream, [])
                if ids:
                    counts.unmet[stream] = _find_unmet(connection, stream, ids, tracked=checkpoint.tracked)
        return counts

    def _store_listed_bad(
        self, connection: Connection, stream: Stream, bad: Sequence[BadObject], *, tracked: bool, now: datetime
    ) -> None:
        keys = self._intern_named(connection, bad)
        store_unreadable(connection, stream, bad, keys, tracked=tracked, listed=True, now=now)
        note_unnamed(connection, stream, bad)

    def _store_listed(
        self,
        connection: Connection,
        stream: Stream,
        objects: Sequence[Listed],
        *,
        tracked: bool,
        reselected: bool,
        now: datetime,
    ) -> PageCounts:
        table = TABLES[stream]
        ids = {each.id for each in objects}
        ids.update(each.manager_id for each in objects if each.manager_id is not None)
        keys = self._intern(connection, ids)
        own = {keys[each.id] for each in objects}
        old = self._load_old(connection, table, own)
        unshown: set[int] = set()
        fresh: dict[int, tuple[DirectoryRow, str | None, str | None]] = {}
        for each in objects:
            key = keys[each.id]
            attributes = encode_json(each.attributes)
            if ":[]" in attributes:
                attributes = _drop_empty(attributes)
            if stream == "users":
                extra = keys[each.manager_id] if each.manager_id is not None else None
                if extra is None and key in old and old[key].extra is not None:
                    extra = old[key].extra
                    unshown.add(key)
                whole = each.upn is not None
            else:
                extra = key in old and old[key].extra and old[key].state not in GONE
                whole = each.name is not None
            fresh[key] = (DirectoryRow("active" if whole else "parked", attributes, extra), each.upn, each.name)
        rows = {key: row for key, (row, _, _) in fresh.items()}
        for key in withstand_list(connection, stream, fresh=rows, old=old, now=now):
            known, (row, upn, name) = old.get(key), fresh.pop(key)
            if reselected and known is not None and known.state == row.state == "active":
                told = decode_json(known.attributes)
                attributes = encode_json(decode_json(row.attributes) | told)
                upn, name = told.get("userPrincipalName", upn), told.get("displayName", name)
                fresh[key] = (DirectoryRow("active", attributes, known.extra), upn, name)
        unshown -= withstand_missing_managers(connection, unshown, now=now)
        counts = PageCounts(read=len(objects))
        returned = [key for key in fresh if key in old and old[key].state in GONE]
        added: list[tuple[int | str | bool | None, ...]] = []
        changed: list[dict[str, object]] = []
        for key, (stored, upn, name) in fresh.items():
            if key not in old:
                added.append(_make_row(stream, key, stored=stored, upn=upn, name=name))
            elif old[key] != stored:
                changed.append(
                    dict(zip(_COLUMNS[stream], _make_row(stream, key, stored=stored, upn=upn, name=name), strict=True))
                )
        counts.added, counts.changed = len(added), len(changed)
        if added:
            added.sort()
            insert_tuples(connection, table, _COLUMNS[stream], added)
        if changed:
            _update(connection, table, changed)
        insert_keys(connection, source_returns, returned)
        if stream == "users" and old:
            forget_unshown(connection, own - unshown)
            note_unshown(connection, unshown & fresh.keys())
        if tracked:
            insert_keys(connection, seen_objects, own)
        return counts

    def _store_listed_people(
        self,
        connection: Connection,
        role: Role,
        lists: Sequence[tuple[str, Sequence[str]]],
        *,
        tracked: bool,
        now: datetime,
    ) -> int:
        try:
            pairs = _pack(lists, self._keys)
        except KeyError:  # somebody is new, or forgotten by the cache
            ids = {group_id for group_id, _ in lists}
            for _, people in lists:
                ids.update(people)
            pairs = _pack(lists, self._intern(connection, ids))
        ended = find_told_gone(connection, role, {pair >> 32 for pair in pairs}, since=now - KEPT)
        if ended:
            shown = {group << 32 | member for group, member in ended}.intersection(pairs)
            contradict(connection, {pair >> 32 for pair in shown}, "people", due=now)
            pairs = [pair for pair in pairs if pair not in shown]
        insert_packed(connection, LINKS[role], pairs)
        if tracked:
            insert_packed(connection, SEEN[role], pairs)
        return len(pairs)

    @in_thread
    def find_unmet(self, stream: Stream, ids: Collection[str], checkpoint: Checkpoint) -> list[str]:
        """Return those of the ids that the full read under way has not met."""
        with reading(self._database) as connection:
            return _find_unmet(connection, stream, ids, tracked=checkpoint.tracked)

    @in_thread
    def note_met(self, ids: Collection[str]) -> None:
        """Remember objects as met by the full read under way."""
        with self._undoing_cache(), self._database.transaction() as connection:
            self._see(connection, ids)

    @in_thread
    def ask_rereads(self, group_ids: Collection[str]) -> None:
        """Have the members of groups read directly before this pull ends."""
        with self._undoing_cache(), self._database.transaction() as connection:
            keys = self._intern(connection, group_ids)
            connection.execute(_ASK_REREAD, {"groups": {keys[group_id] for group_id in group_ids}})

    # ---- who is there again -----------------------------------------------------------------------------------------

    @in_thread
    def note_returned(self, ids: Collection[str]) -> None:
        """Have the ties of objects read before this pull ends."""
        with self._undoing_cache(), self._database.transaction() as connection:
            keys = self._intern(connection, ids)
            insert_keys(connection, source_returns, [keys[each] for each in ids])

    def store_ties(
        self,
        object_id: str,
        *,
        groups: Collection[str],
        owned: Collection[str],
        reports: Collection[str],
        tracked: bool,
        now: datetime,
    ) -> int:
        """Add the groups in which an object is and those that it owns, and make it the manager of its reports.

        Returns how many were new. ``tracked``: a full read is under way, and has met these memberships now. What delta
        has told lately of a membership, or of somebody's manager, holds against it.
        """
        with self._undoing_cache(), self._database.transaction() as connection:
            keys = self._intern(connection, {object_id, *groups, *owned, *reports})
            key = keys[object_id]
            joined = _add_groups(connection, "members", key, [keys[each] for each in groups], tracked=tracked, now=now)
            gained = _add_groups(connection, "owners", key, [keys[each] for each in owned], tracked=tracked, now=now)
            below = {keys[report] for report in reports}
            others = {"users": below, "manager": key}
            moved = set(connection.scalars(_SELECT_OTHERS_REPORTS, others)) if below else set()
            moved -= withstand_missing_managers(connection, moved, now=now)
            if moved:
                connection.execute(_SET_MANAGER, {"users": moved, "manager": key})
            if joined:
                touch_users_below(connection, {key})
            if joined or gained:
                touch_users(connection, {key})
            touch_users(connection, moved)
            forget_unshown(connection, below)
            connection.execute(_FORGET_RETURN, {"object": key})
        return joined + gained + len(moved)


def _pack(lists: Sequence[tuple[str, Sequence[str]]], keys: Mapping[str, int]) -> list[int]:
    """Return who belongs to which group, each as one number; KeyError when a key is not among these."""
    pairs: list[int] = []
    for group_id, people in lists:
        group = keys[group_id] << 32
        pairs += [group | keys[person] for person in people]
    return pairs


def _add_groups(
    connection: Connection, role: Role, key: int, groups: Sequence[int], *, tracked: bool, now: datetime
) -> int:
    """Store of which groups somebody is a member or an owner; return how many of them are new."""
    if not groups:
        return 0
    links = LINKS[role]
    known = connection.scalars(select_groups_among(role), {"member": key, "groups": groups})
    there = {(group, key) for group in known}
    fresh, _ = hold_links(connection, role, adding={(group, key) for group in groups} - there, dropping=set(), now=now)
    for table in (links, SEEN[role]) if tracked else (links,):
        insert_pairs(connection, table, fresh | there)
    return len(fresh)


def _drop_empty(attributes: str) -> str:
    """Leave out collections without elements: delta does not name those either."""
    if "{" in attributes[1:]:  # only the object's own are meant
        return encode_json({name: value for name, value in decode_json(attributes).items() if value != []})
    while ":[]" in attributes:
        shorter = _EMPTY.sub("", attributes)
        if shorter == attributes:  # it is in somebody's text
            return attributes
        attributes = shorter
    return attributes


def _make_row(
    stream: Stream, key: int, *, stored: DirectoryRow, upn: str | None, name: str | None
) -> tuple[int | str | bool | None, ...]:
    if stream == "users":
        return key, stored.state, upn or None, name or None, stored.attributes, stored.extra
    return key, stored.state, name or None, stored.attributes, bool(stored.extra)


def _update(connection: Connection, table: Table, rows: Sequence[dict[str, object]]) -> None:
    values = [{**row, "row_key": row["key"], "removed_at": None, "removed_as": None} for row in rows]
    for value in values:
        del value["key"]
    connection.execute(UPDATE_ROW[table], values)


def _find_unmet(connection: Connection, stream: Stream, ids: Collection[str], *, tracked: bool) -> list[str]:
    return pick_missing(connection, ids, _select_unmet(stream, tracked=tracked))


# ---- statements -----------------------------------------------------------------------------------------------------

_ASK_REREAD = (
    update(source_groups)
    .where(among_bound(source_groups.c.key, "groups"), source_groups.c.state == "active")
    .values(reread=True)
)
_SELECT_OTHERS_REPORTS = select(source_users.c.key).where(
    among_bound(source_users.c.key, "users"), source_users.c.manager_key.is_distinct_from(bindparam("manager"))
)
_SET_MANAGER = (
    update(source_users).where(among_bound(source_users.c.key, "users")).values(manager_key=bindparam("manager"))
)
_FORGET_RETURN = delete(source_returns).where(source_returns.c.key == bindparam("object"))


@cache
def _select_unmet(stream: Stream, *, tracked: bool) -> Select[Any]:
    table = TABLES[stream]
    met = (table.c.key == source_objects.c.key) & table.c.state.not_in(GONE)
    if tracked:
        met &= exists().where(seen_objects.c.key == table.c.key)
    return select_missing(source_objects.c.id, met)
