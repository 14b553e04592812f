"""A full read by lists: as fast as the tenant allows, and to the last row what a full round of delta would give.

First what delta has to tell since the last run is read, from the link that the store holds; where there is none, or it
is dead, each stream is asked where it stands (``$deltatoken=latest``). Then the lists are read, side by side; then what
has changed meanwhile is read as delta tells it, so that it does not matter when which page was read.

A list may be older than what delta has told. So nothing that it shows otherwise than delta did lately is taken from it:
that is read directly, and so is what delta told of and no list shows. What neither can tell is read directly as well:
whom a list lacked when its pages shifted, and what ties those to others who were not there all the time, since lists
show nothing of who is deleted.

A reading that is broken off is begun anew by the next run. It has removed nothing: only the sweep does, after the end.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import structlog

from syncd.clock import Clock
from syncd.errors import AuthFailed, ProtocolError, Rejected, RemoteError, ResyncRequired, Throttled, TransientError
from syncd.model.listing import Chunk
from syncd.model.source import STREAMS, Checkpoint, Page, Stream
from syncd.sync.ports.sides import Source
from syncd.sync.pull.direct_reads import DirectReads
from syncd.sync.pull.lists import Listing, ListingResult
from syncd.tasks import task_group

if TYPE_CHECKING:
    from syncd.store.directory.lists import ChunkCounts
    from syncd.store.store import Store


class FullRead:
    """One full read of all streams by lists. Not reused.

    ``follow`` reads and stores a stream's round from a checkpoint on, telling ``watch`` of its pages before they are
    stored; ``direct`` reads and stores single objects.
    """

    def __init__(
        self,
        source: Source,
        store: Store,
        clock: Clock,
        *,
        note_stored: Callable[[Chunk, ChunkCounts], None],
        follow: Callable[..., Awaitable[None]],
        direct: DirectReads,
        stopping: Callable[[], bool],
    ) -> None:
        self._source = source
        self._store = store
        self._clock = clock
        self._note_stored = note_stored
        self._follow = follow
        self._direct = direct
        self._stopping = stopping
        self._reselected = False
        self._returned: set[str] = set()
        self._rereads: set[str] = set()
        self._unmet_users: set[str] = set()
        self._log = structlog.get_logger("syncd.pull")

    async def run(self) -> None:
        """Read everything up to where only the proof is left. Raises RemoteErrors, StoreError, Interrupted."""
        checkpoints = await self._begin()
        listing = Listing(
            self._source,
            self._store,
            checkpoints["groups"],
            self._clock,
            note_stored=self._note_stored,
            stopping=self._stopping,
            reselected=self._reselected,
        )
        found = await listing.run()
        await self._read_unmet(found, checkpoints)
        async with task_group() as group:
            for stream in STREAMS:
                changes = self._read_changes(checkpoints[stream], found)
                group.create_task(changes, name=f"read changes of {stream}")
        stored = await self._store.directory.load_checkpoints()
        ends = [stored[stream] for stream in STREAMS if stream in stored and stored[stream].next_link is None]
        if len(ends) < len(STREAMS):
            return  # something ended the reading of changes without a word: it is not at its end
        await self._settle()
        await self._store.full_reads.end_listing(ends, now=self._clock.now())

    async def _begin(self) -> Mapping[Stream, Checkpoint]:
        links: dict[Stream, str] = {}

        async def find_link(stream: Stream) -> None:
            links[stream] = await self._read_news(stream) or await self._source.fetch_latest(stream)

        async with task_group() as group:
            for stream in STREAMS:
                group.create_task(find_link(stream), name=f"find where {stream} stand")
        beginnings = [
            Checkpoint(stream=stream, fingerprint=self._source.fingerprint(stream), next_link=links[stream])
            for stream in STREAMS
        ]
        self._log.info("lists.started")
        owners = self._source.tracks_owners
        return await self._store.full_reads.begin_listing(beginnings, now=self._clock.now(), owners=owners)

    async def _read_news(self, stream: Stream) -> str | None:
        """Read what delta has to tell since the last run; return the link to what comes after.

        None when the store holds no link of use. A reading by lists that was broken off has left one, too.
        """
        checkpoint = (await self._store.directory.load_checkpoints()).get(stream)
        if checkpoint is None:
            return None
        if checkpoint.fingerprint != self._source.fingerprint(stream):
            self._log.warning("checkpoint.mismatch", stream=stream)
            self._reselected = True
            return None
        if checkpoint.baseline and not checkpoint.listing:
            checkpoint = replace(checkpoint, baseline=False, tracked=False)
        try:
            await self._follow(checkpoint)
        except (ResyncRequired, ProtocolError, Rejected) as error:
            self._log.warning("checkpoint.unusable", stream=stream, reason=str(error))
            return None
        stored = (await self._store.directory.load_checkpoints()).get(stream)
        return stored.delta_link if stored is not None and stored.next_link is None else None

    async def _read_unmet(self, found: ListingResult, checkpoints: Mapping[Stream, Checkpoint]) -> None:
        """Read whom a list lacked the first time, to its end: the second reading may have come to somebody earlier."""
        self._rereads |= found.unread
        for stream in STREAMS:
            if not (met_again := found.unmet[stream]):
                continue
            lacking = await self._store.directory.find_unmet(stream, sorted(met_again), checkpoints[stream])
            for object_id in sorted(lacking):
                await self._direct.read_object(stream, object_id, tracked=True)
            await self._store.directory.note_met(met_again)
            if stream == "groups":
                self._rereads.update(lacking)

    async def _read_changes(self, checkpoint: Checkpoint, found: ListingResult) -> None:
        """Read what has changed since the beginning, and note whose entries do not tell everything."""
        stream = checkpoint.stream

        async def watch(pages: Sequence[Page]) -> None:
            alive = {item.id for page in pages for item in page.items if not item.removed}
            if not alive:
                return
            unmet = set(await self._store.directory.find_unmet(stream, sorted(alive), checkpoint))
            self._returned |= alive
            if stream == "users":
                self._unmet_users |= unmet
            else:
                self._rereads |= unmet | (alive & found.hidden)

        await self._follow(checkpoint, watch=watch)

    async def _settle(self) -> None:
        """Read directly what lists and changes together leave open."""
        for user_id in sorted(self._unmet_users):  # an entry of delta need not repeat the manager
            await self._direct.read_object("users", user_id, tracked=True)
        await self._store.directory.contradict_unseen(now=self._clock.now())
        await self._direct.read_contradicted(tracked=True)
        await self._store.directory.see_told(now=self._clock.now())
        await self._store.directory.ask_rereads(sorted(self._rereads))
        await self._store.directory.note_returned(sorted(self._returned))
        await self._direct.read_fragments(tracked=True)


def is_refusal(error: RemoteError) -> bool:
    """Whether a list failed in a way in which delta may not: not a lost connection, and not a refused token.

    Where the tenant's budget is spent by others, delta needs a small part of the requests, and goes on where it was.
    """
    if isinstance(error, AuthFailed):
        return False
    if isinstance(error, Throttled):
        return True
    return not (isinstance(error, TransientError) and error.status is None)
