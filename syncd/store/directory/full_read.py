"""Mark and sweep of a full pull. Nothing is removed here that the caller has not confirmed by a second witness."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import BindParameter, ColumnElement, Connection, Delete, Select, bindparam, delete, exists, func, select

from syncd.model.run import Removals
from syncd.model.source import KIND, STREAMS, Checkpoint, Role, Stream
from syncd.store.db.markers import (
    EMPTIED,
    EMPTY_BELIEVED,
    FULL_PUSH_DUE,
    OWNERS,
    UNBELIEVED,
    UNCOUNTED,
    UNNAMED,
    UNPROVEN,
    load_marker,
    load_markers,
    save_marker,
)
from syncd.store.db.parameters import among_bound
from syncd.store.db.part import StorePart, in_thread
from syncd.store.db.sql import delete_pairs, intern
from syncd.store.directory.checkpoints import save_checkpoint
from syncd.store.directory.delta_log import forget_old, hold_links
from syncd.store.directory.emptied import end_emptied, has_active, has_any
from syncd.store.directory.entry import ALIVE, SEEN, TABLES
from syncd.store.directory.members import LINKS, is_visible
from syncd.store.directory.unlisted_managers import clear_unshown, drop_unshown
from syncd.store.runs.touched import touch_users, touch_users_below
from syncd.store.schema.tables import (
    contradictions,
    seen_objects,
    source_groups,
    source_members,
    source_objects,
    source_owners,
    source_users,
)

_DOUBTS = {"missed": UNPROVEN, "uncounted": UNCOUNTED, "unbelieved": UNBELIEVED}


class Baseline(StorePart):
    """The bookkeeping of full reads: what was seen, what was not, and the end of it."""

    @in_thread
    def begin_baseline(self, stream: Stream, fingerprint: str, *, now: datetime, owners: bool = False) -> Checkpoint:
        """Start a full read of a stream. What it sees is remembered only when there is something to sweep.

        ``owners``: the groups stream tells owners. Otherwise they are forgotten: nobody would learn that they change.
        """
        with self._database.transaction() as connection:
            return _begin(
                connection, Checkpoint(stream=stream, fingerprint=fingerprint, baseline=True), now=now, owners=owners
            )

    @in_thread
    def begin_listing(
        self, beginnings: Sequence[Checkpoint], *, now: datetime, owners: bool = False
    ) -> dict[Stream, Checkpoint]:
        """Start a full read of all streams by lists; ``next_link`` of each leads to what changes from now on.

        ``owners`` as in ``begin_baseline``.
        """
        with self._database.transaction() as connection:
            begun = [
                _begin(connection, replace(each, baseline=True, listing=True), now=now, owners=owners)
                for each in beginnings
            ]
            tracked = any(each.tracked for each in begun)  # members are everybody's, so that one sweeps with the other
            begun = [replace(each, tracked=tracked) for each in begun]
            for each in begun:
                save_checkpoint(connection, each, now=now)
        return {each.stream: each for each in begun}

    @in_thread
    def end_listing(self, checkpoints: Sequence[Checkpoint], *, now: datetime) -> None:
        """Note that the lists, and what changed meanwhile, are read to the end: what is left is the proof."""
        with self._database.transaction() as connection:
            clear_unshown(connection)
            for checkpoint in checkpoints:
                save_checkpoint(connection, replace(checkpoint, listing=False), now=now)

    @in_thread
    def count_seen(self, checkpoint: Checkpoint) -> int:
        """Return how many existing objects the finished read has met, also of those that it could not understand."""
        counted: int = self._database.load_value(_count_met(checkpoint.stream, tracked=checkpoint.tracked))
        return counted

    @in_thread
    def count_seen_subtypes(self, checkpoint: Checkpoint) -> int:
        """Return how many of them are of a subtype of user."""
        if checkpoint.stream != "users":
            return 0
        counted: int = self._database.load_value(_count_met("users", tracked=checkpoint.tracked).where(_is_subtype()))
        return counted

    @in_thread
    def find_subtypes(self, stream: Stream, ids: Collection[str]) -> set[str]:
        """Return those of the ids that are of a subtype of user."""
        if stream != "users" or not ids:
            return set()
        return set(self._database.load_values(_SELECT_SUBTYPES, {"ids": ids}))

    @in_thread
    def load_unnamed(self, stream: Stream) -> int:
        """Return how many entries without an id the full read under way has come upon."""
        return int(load_markers(self._database, UNNAMED + stream).get(UNNAMED + stream, 0))

    @in_thread
    def shows_any(self, checkpoint: Checkpoint) -> bool:
        """Return whether the finished read has met any existing object of which more is known than delta's word."""
        return bool(self._database.load_values(_select_first(checkpoint.stream, tracked=checkpoint.tracked)))

    @in_thread
    def load_unseen(self, checkpoint: Checkpoint) -> list[str]:
        """Return ids of objects that we hold as existing and that the read did not meet."""
        return self._database.load_values(_select_unseen(checkpoint.stream)) if checkpoint.tracked else []

    @in_thread
    def load_groups_with_unseen_members(self, checkpoint: Checkpoint, *, role: Role = "members") -> list[str]:
        """Return ids of seen groups of which we hold members (or owners) that the read did not meet."""
        if not checkpoint.tracked:
            return []
        return self._database.load_values(_select_groups_with_unseen(role))

    @in_thread
    def drop_unseen_members(
        self, group_id: str, witnessed: Sequence[str], *, now: datetime, role: Role = "members"
    ) -> int:
        """Remove members (or owners) of a group that neither the full read nor ``witnessed``, the second one, has.

        Who has lately come by the word of delta stays.
        """
        with self._database.transaction() as connection:
            keys = intern(connection, source_objects, "id", {group_id, *witnessed})
            group = keys[group_id]
            unseen = connection.scalars(_select_unseen_members(role), {"group": group})
            alive = {keys[text] for text in witnessed}
            leaving = {(group, key) for key in unseen if key not in alive}
            _, leaving = hold_links(connection, role, adding=set(), dropping=leaving, now=now)
            gone = {key for _, key in leaving}
            touch_users(connection, gone)
            if role == "members":
                touch_users_below(connection, gone)
            delete_pairs(connection, LINKS[role], leaving)
        return len(gone)

    @in_thread
    def is_empty_believed(self, stream: Stream) -> bool:
        """Return whether a person said that this stream is truly empty; then it counts no longer as emptied."""
        with self._database.transaction() as connection:
            believed = load_marker(connection, EMPTY_BELIEVED + stream) is not None
            if believed:
                end_emptied(connection, stream)
            return believed

    @in_thread
    def note_emptied(self, stream: Stream) -> None:
        """Remember that the stream read empty although objects are stored."""
        with self._database.transaction() as connection:
            save_marker(connection, EMPTIED + stream, "read")

    @in_thread
    def settle_emptied(self, shown: Collection[Stream]) -> list[Stream]:
        """Return the streams that have no object left, or showed none, and of which nobody said that this is true.

        One of which an object was ``shown``, or is there again, counts no longer as emptied. What a person said is
        acted on at once where every object is known to be deleted, otherwise by the next full read. From then on a push
        over everybody is due.
        """
        found: list[Stream] = []
        if not load_markers(self._database, *(EMPTIED + stream for stream in STREAMS)):
            return found
        with self._database.transaction() as connection:
            for stream in STREAMS:
                how = load_marker(connection, EMPTIED + stream)
                if how is None:
                    continue
                alive = has_active(connection, stream)
                believed = load_marker(connection, EMPTY_BELIEVED + stream) is not None
                gone = not (alive if how == "told" else has_any(connection, stream))
                if (alive and (how == "told" or stream in shown)) or (believed and gone):
                    end_emptied(connection, stream)
                else:
                    found.append(stream)
        return found

    @in_thread
    def load_removals(self) -> Removals:
        """Return what may be taken away because of what is stored, as the last runs that read the tenant left it."""
        names = [marker + stream for marker in (EMPTIED, *_DOUBTS.values()) for stream in STREAMS]
        found = load_markers(self._database, *names)
        if any(name.startswith((EMPTIED, UNBELIEVED)) for name in found):
            return "none"
        return "stated" if found else "all"

    @in_thread
    def load_doubts(self) -> dict[str, dict[Stream, str]]:
        """Return per kind of doubt (see `syncd.sync.pull.proof`) the streams whose last full read had it, and why."""
        found = load_markers(self._database, *(marker + stream for marker in _DOUBTS.values() for stream in STREAMS))
        return {
            doubt: {stream: found[marker + stream] for stream in STREAMS if marker + stream in found}
            for doubt, marker in _DOUBTS.items()
        }

    def finish_baseline(self, checkpoint: Checkpoint, *, unproven: str, doubt: str, now: datetime) -> None:
        """Close the full read; increments go on from its delta link. ``unproven``: why it has no proof, if so.

        What was missed by a read without proof, nobody's increments bring back: it is remembered until one has a proof.
        What contradicted an earlier read is not settled by one that could not be counted.
        """
        with self._database.transaction() as connection:
            save_checkpoint(connection, replace(checkpoint, baseline=False, tracked=False, next_link=None), now=now)
            connection.execute(_forget_seen(checkpoint.stream))
            for kind, marker in _DOUBTS.items():
                if kind == doubt and unproven:
                    save_marker(connection, marker + checkpoint.stream, unproven)
                elif not (unproven and doubt == "uncounted"):
                    save_marker(connection, marker + checkpoint.stream, None)
            if checkpoint.stream == "groups":
                _clear_seen(connection)
                if not unproven and load_marker(connection, OWNERS) is not None:
                    save_marker(connection, OWNERS, "known")


def _is_subtype() -> ColumnElement[bool]:
    """Return the condition that a user's attributes name a subtype, or the identity that an agent's account is of."""
    stored = source_users.c.attributes
    return stored.contains(f'"{KIND}":', autoescape=True) | stored.contains('"identityParentId":', autoescape=True)


def _begin(connection: Connection, beginning: Checkpoint, *, now: datetime, owners: bool) -> Checkpoint:
    stream = beginning.stream
    tracked = bool(connection.scalar(_HAS_OBJECTS[stream]))
    connection.execute(_forget_seen(stream))
    drop_unshown(connection)
    forget_old(connection, now=now)
    save_marker(connection, UNNAMED + stream, None)
    if stream == "groups":
        _clear_seen(connection)
        if not owners:
            connection.execute(_DELETE_OWNERS)
            save_marker(connection, OWNERS, None)
        elif load_marker(connection, OWNERS) is None:
            save_marker(connection, OWNERS, "reading")
        tracked = tracked or bool(connection.scalar(_HAS_MEMBERS))
    checkpoint = replace(beginning, tracked=tracked)
    save_checkpoint(connection, checkpoint, now=now)
    save_marker(connection, FULL_PUSH_DUE, "yes")
    return checkpoint


def _clear_seen(connection: Connection) -> None:
    for statement in _DELETE_SEEN:
        connection.execute(statement)


# ---- statements -----------------------------------------------------------------------------------------------------

_HAS_OBJECTS = {stream: select(exists().select_from(table)) for stream, table in TABLES.items()}
_HAS_MEMBERS = select(exists().select_from(source_members))
_DELETE_OWNERS = delete(source_owners)
_DELETE_SEEN = tuple(delete(table) for table in SEEN.values())


_SELECT_SUBTYPES = (
    select(source_objects.c.id)
    .join(source_users, source_users.c.key == source_objects.c.key)
    .where(among_bound(source_objects.c.id, "ids", textual=True), _is_subtype())
)


@cache
def _forget_seen(stream: Stream) -> Delete:
    return delete(seen_objects).where(seen_objects.c.key.in_(select(TABLES[stream].c.key)))


@cache
def _count_met(stream: Stream, *, tracked: bool) -> Select[Any]:
    table = TABLES[stream]
    statement = select(func.count()).select_from(table).where(table.c.state.in_(ALIVE))
    return statement.where(table.c.key.in_(select(seen_objects.c.key))) if tracked else statement


@cache
def _select_first(stream: Stream, *, tracked: bool) -> Select[Any]:
    table = TABLES[stream]
    statement = (
        select(table.c.key)
        .where(table.c.state == "active")
        .where(~exists().where(contradictions.c.key == table.c.key, contradictions.c.what == stream))
        .limit(1)
    )
    return statement.where(table.c.key.in_(select(seen_objects.c.key))) if tracked else statement


@cache
def _select_unseen(stream: Stream) -> Select[Any]:
    table = TABLES[stream]
    return (
        select(source_objects.c.id)
        .join(table, table.c.key == source_objects.c.key)
        .where(table.c.state.in_(ALIVE), table.c.key.not_in(select(seen_objects.c.key)))
        .order_by(source_objects.c.id)
    )


@cache
def _select_groups_with_unseen(role: Role) -> Select[Any]:
    links, seen = LINKS[role], SEEN[role]
    unseen = exists().where(
        links.c.group_key == source_groups.c.key,
        is_visible(links),
        ~exists().where(seen.c.group_key == links.c.group_key, seen.c.member_key == links.c.member_key),
    )
    return (
        select(source_objects.c.id)
        .join(source_groups, source_groups.c.key == source_objects.c.key)
        .where(source_groups.c.state == "active", source_groups.c.key.in_(select(seen_objects.c.key)), unseen)
        .order_by(source_objects.c.id)
    )


@cache
def _select_unseen_members(role: Role) -> Select[Any]:
    links, seen = LINKS[role], SEEN[role]
    group: BindParameter[int] = bindparam("group")
    return select(links.c.member_key).where(
        links.c.group_key == group,
        is_visible(links),
        ~exists().where(seen.c.group_key == group, seen.c.member_key == links.c.member_key),
    )
