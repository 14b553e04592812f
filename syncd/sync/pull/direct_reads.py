"""Reading single objects and groups directly: what the streams told only in part, and what is said in two ways."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import structlog

from syncd.clock import Clock
from syncd.errors import Forbidden, ProtocolError
from syncd.model.source import STREAMS, BadObject, Link, Role, Stream
from syncd.sync.ports.sides import Source
from syncd.sync.pull.member_witness import drop_nobody, read_members, tolerate_none
from syncd.sync.pull.relations import Relations
from syncd.sync.pull.troubles import Troubles
from syncd.tasks import task_group

if TYPE_CHECKING:
    from syncd.store.store import Store

_READS_AT_ONCE = 6


class DirectReads:
    """The direct reads of one pull.

    ``count`` is told what was read, ``note_bad`` and ``note_hidden`` what could not be. ``tracked`` everywhere: this is
    part of a full read, which meets what is read here.
    """

    def __init__(
        self,
        source: Source,
        store: Store,
        clock: Clock,
        troubles: Troubles,
        *,
        count: Callable[[str, int], None],
        note_bad: Callable[[Stream, Sequence[BadObject]], None],
        note_hidden: Callable[[str, Forbidden], None],
    ) -> None:
        self._source = source
        self._store = store
        self._clock = clock
        self._troubles = troubles
        self._count = count
        self._note_bad = note_bad
        self._note_hidden = note_hidden
        self._log = structlog.get_logger("syncd.pull")

    async def read_fragments(self, *, tracked: bool) -> None:
        """Read what the streams told only in part: entries without a name, who has returned, what is contradicted."""
        store = self._store.directory
        await self.read_contradicted(tracked=tracked)
        unread = await store.load_unread()
        for stream in STREAMS:
            for object_id in unread.parked[stream]:
                await self.read_object(stream, object_id, tracked=tracked)
        for group_id in unread.groups_to_reread:
            await self._read_people(group_id)
            self._count("groups_reread", 1)
        if unread.returned:
            relations = Relations(self._source, self._store, self._clock, self._troubles, count=self._count)
            await relations.run(tracked=tracked)

    async def read_contradicted(self, *, tracked: bool) -> None:
        """Read what a reading has said otherwise than delta did, where it is time to see who is right."""
        due = await self._store.directory.load_contradicted(now=self._clock.now())
        for stream, ids in due.items():
            self._log.info("objects.contradicted", stream=stream, objects=len(ids))
            self._count(f"{stream}_contradicted", len(ids))
            for start in range(0, len(ids), _READS_AT_ONCE):
                async with task_group() as group:
                    for object_id in ids[start : start + _READS_AT_ONCE]:
                        group.create_task(self.read_object(stream, object_id, tracked=tracked), name="read again")

    async def read_object(self, stream: Stream, object_id: str, *, tracked: bool) -> None:
        """Read one user or group, and store what the tenant says, or that it has none."""
        fetch = self._source.fetch_user if stream == "users" else self._source.fetch_group
        try:
            item = await fetch(object_id)
        except ProtocolError as error:
            self._note_bad(stream, [BadObject(object_id, str(error))])
            await self._store.directory.store_unreadable(stream, object_id, tracked=tracked, now=self._clock.now())
            return
        if item is None:
            await self._store.directory.mark_gone(stream, [object_id], now=self._clock.now())
        else:
            await self._store.directory.store_object(item, now=self._clock.now())
        self._count(f"{stream}_read_directly", 1)

    async def _read_people(self, group_id: str) -> None:
        """Read the owners and members of a group; members last, whose reading ends that of a group."""
        store, now = self._store.directory, self._clock.now()
        roles: tuple[Role, ...] = ("owners", "members") if self._source.tracks_owners else ("members",)
        for role in roles:
            try:
                links = await self._fetch_people(group_id, role)
            except Forbidden as error:
                self._note_hidden(group_id, error)
                if role == "members":
                    await store.keep_members(group_id)
                continue
            except ProtocolError as error:  # what is stored stays, and the group is read again later
                self._troubles.note("members.unproven", about="groups", reason=str(error), object_id=group_id)
                self._count("groups_unproven", 1)
                await store.put_off_reread(group_id, now=now)
                return
            if links is None:
                if not await store.mark_gone("groups", [group_id], now=now):
                    await store.put_off_reread(group_id, now=now)  # delta told of it: who answers is behind
                return
            await store.replace_members(group_id, links, role=role, now=now)

    async def _fetch_people(self, group_id: str, role: Role) -> Sequence[Link] | None:
        if role == "members":
            reading = await read_members(self._source, self._store, group_id, tolerate=tolerate_none)
            return None if reading is None else reading.standing
        links = await self._source.fetch_owners(group_id)
        if links is None or len(drop_nobody(links)) == len(links):
            return links
        stored = await self._store.memberships.load_owners(group_id)
        return (*drop_nobody(links), *(Link(owner, "unknown") for owner in stored))
