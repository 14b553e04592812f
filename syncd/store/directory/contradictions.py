"""What a reading says otherwise than delta did, and what it did not show although delta told of it lately."""

from __future__ import annotations

from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Insert, Select, bindparam, delete, exists, insert, literal, select, update

from syncd.model.source import STREAMS, Role, Stream
from syncd.store.db.parameters import among_bound
from syncd.store.db.part import StorePart, in_thread
from syncd.store.db.sql import insert_keys, insert_missing_from
from syncd.store.directory.delta_log import BEHIND, KEPT, SOON, contradict, load_words
from syncd.store.directory.entry import SEEN, TABLES
from syncd.store.directory.members import LINKS
from syncd.store.directory.object_statements import END_REREAD
from syncd.store.schema.tables import (
    UtcTime,
    contradictions,
    delta_links,
    delta_objects,
    seen_objects,
    source_groups,
    source_objects,
    source_returns,
)


class Contradictions(StorePart):
    """Its methods are called in the store's thread."""

    @in_thread
    def load_contradicted(self, *, now: datetime) -> dict[Stream, list[str]]:
        """Return the ids of the users and groups to read directly by now; have the people and ties that are due read.

        An object stays due until it was read.
        """
        rows = self._database.load_rows(_SELECT_DUE, {"now": now})
        found: dict[str, list[int]] = {"users": [], "groups": [], "people": [], "ties": []}
        for key, what in rows:
            found[what].append(key)
        if found["people"] or found["ties"]:
            with self._database.transaction() as connection:
                insert_keys(connection, source_returns, found["ties"])
                connection.execute(_ASK_REREAD, {"groups": found["people"]})
                connection.execute(_FORGET_DUE, {"now": now})
        return {
            stream: sorted(self._database.load_values(_SELECT_IDS, {"keys": found[stream]}))
            for stream in STREAMS
            if found[stream]
        }

    @in_thread
    def contradict_unseen(self, *, now: datetime) -> None:
        """Have objects read directly of which delta has told lately, and which the full read under way did not show."""
        with self._database.transaction() as connection:
            for stream in STREAMS:
                connection.execute(_contradict_unseen(stream), {"since": now - KEPT, "due": now})

    @in_thread
    def see_told(self, *, now: datetime) -> None:
        """Take as met what the full read under way did not show, and delta has told lately.

        The objects were read directly in the meantime. Of links only what was told just now counts: the others are
        read once more with their group.
        """
        with self._database.transaction() as connection:
            for stream in STREAMS:
                unseen_keys = connection.scalars(_select_unseen(stream), {"since": now - KEPT})
                insert_keys(connection, seen_objects, unseen_keys)
            for role in LINKS:
                since = {"since": now - BEHIND}
                unseen = {row[0] for row in connection.execute(_select_begun(role, unseen=True), since)}
                contradict(connection, unseen, "people", due=now + BEHIND)
                insert_missing_from(connection, SEEN[role], ("group_key", "member_key"), _select_begun(role), since)

    @in_thread
    def put_off_ties(self, object_id: str, *, now: datetime) -> bool:
        """Have the ties of an object that is not to be found yet read later; False: delta told nothing of it."""
        with self._database.transaction() as connection:
            key = connection.scalar(_SELECT_KEY, {"object": object_id})
            word = None if key is None else load_words(connection, [key]).get(key)
            if key is None or word is None or not word.holds(now):
                return False
            connection.execute(_FORGET_RETURN, {"object": key})
            contradict(connection, [key], "ties", due=now + SOON)
            return True

    @in_thread
    def put_off_reread(self, group_id: str, *, now: datetime) -> None:
        """Have the members of a group read a little later that is not to be found yet, though delta told of it."""
        with self._database.transaction() as connection:
            key = connection.scalar(_SELECT_KEY, {"object": group_id})
            if key is not None:
                connection.execute(END_REREAD, {"group": key})
                contradict(connection, [key], "people", due=now + SOON)


# ---- statements -----------------------------------------------------------------------------------------------------

_DUE = contradictions.c.due_at <= bindparam("now")
_SELECT_DUE = select(contradictions.c.key, contradictions.c.what).where(_DUE)
_FORGET_DUE = delete(contradictions).where(_DUE, contradictions.c.what.in_(("people", "ties")))
_ASK_REREAD = (
    update(source_groups)
    .where(among_bound(source_groups.c.key, "groups"), source_groups.c.state == "active")
    .values(reread=True)
)
_SELECT_IDS = select(source_objects.c.id).where(among_bound(source_objects.c.key, "keys"))
_SELECT_KEY = select(source_objects.c.key).where(source_objects.c.id == bindparam("object"))
_FORGET_RETURN = delete(source_returns).where(source_returns.c.key == bindparam("object"))


@cache
def _select_unseen(stream: Stream) -> Select[Any]:
    """Return a query for the active objects of which delta told after ``:since``, and which were not met."""
    table = TABLES[stream]
    return (
        select(delta_objects.c.key)
        .join(table, table.c.key == delta_objects.c.key)
        .where(table.c.state == "active", delta_objects.c.told_at > bindparam("since"))
        .where(~exists().where(seen_objects.c.key == delta_objects.c.key))
    )


@cache
def _contradict_unseen(stream: Stream) -> Insert:
    rows = _select_unseen(stream).add_columns(literal(stream), bindparam("due", type_=UtcTime())).subquery()
    known = exists().where(contradictions.c.key == rows.c[0], contradictions.c.what == stream)
    return insert(contradictions).from_select(["key", "what", "due_at"], select(*rows.c).where(~known))


@cache
def _select_begun(role: Role, *, unseen: bool = False) -> Select[Any]:
    """Return a query for the links there that delta has told after ``:since`` to have begun, or those not yet met."""
    links, seen = LINKS[role], SEEN[role]
    begun = (
        select(delta_links.c.group_key, delta_links.c.member_key)
        .join(
            links,
            (links.c.group_key == delta_links.c.group_key) & (links.c.member_key == delta_links.c.member_key),
        )
        .where(delta_links.c.role == role, delta_links.c.removed.is_(False))
        .where(delta_links.c.told_at > bindparam("since", type_=UtcTime()))
    )
    met = (seen.c.group_key == delta_links.c.group_key) & (seen.c.member_key == delta_links.c.member_key)
    return begun.where(~exists().where(met)) if unseen else begun
