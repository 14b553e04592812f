"""Pull: source to directory. Pages are applied as they come; what a full read did not meet is removed only with proof.

What a full read did not meet is the matter of ``sweep``, one object by itself that of ``single``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import structlog

from syncd.clock import Clock
from syncd.errors import (
    EmptyPages,
    EndlessRound,
    Forbidden,
    Interrupted,
    RemoteError,
    ResyncRequired,
)
from syncd.model.listing import Chunk
from syncd.model.run import PullKind, Wanted
from syncd.model.source import ACTIVE, STREAMS, BadObject, Checkpoint, Page, Stream
from syncd.sync.ports.progress import Progress
from syncd.sync.ports.sides import Source
from syncd.sync.preconditions import check_tenant, refuse_unread
from syncd.sync.pull.direct_reads import DirectReads
from syncd.sync.pull.full_read import FullRead, is_refusal
from syncd.sync.pull.member_counts import MemberCheck
from syncd.sync.pull.one_object import OneObjectPull
from syncd.sync.pull.prefetch import prefetch
from syncd.sync.pull.result import PullResult
from syncd.sync.pull.sweep import Sweep
from syncd.sync.pull.troubles import Troubles
from syncd.tasks import task_group

if TYPE_CHECKING:
    from syncd.store.directory.lists import ChunkCounts
    from syncd.store.store import Store


class Pull:
    """Brings the directory up to date with the source."""

    def __init__(
        self, source: Source, store: Store, *, clock: Clock, progress: Progress, stopping: Callable[[], bool]
    ) -> None:
        """``stopping`` is asked after each page; when it says so, the pull ends there with Interrupted."""
        self._stopping = stopping
        self._source = source
        self._store = store
        self._clock = clock
        self._progress = progress
        self._troubles = Troubles(store, clock)
        self._log = structlog.get_logger("syncd.pull")

    async def check_tenant(self) -> None:
        """Raise ConfigError when the store belongs to another tenant than the one that the configuration names."""
        await check_tenant(self._source, self._store)

    async def refuse_unread(self) -> None:
        """Raise UnsafePlan where rules look at attributes that the stored objects were not read with."""
        await refuse_unread(self._source, self._store)

    async def run(self, kind: PullKind) -> PullResult:
        """Read both streams side by side; ``full`` reads everything, ``delta`` what changed where a checkpoint allows.

        Raises RemoteErrors and StoreError; what was stored up to then stays, and the next pull continues there.
        """
        try:
            result = await self._run(kind)
        except (RemoteError, Interrupted):
            await self._troubles.tell()
            raise
        await self._troubles.tell()
        if kind == "full":
            for stream in STREAMS:
                await self._store.directory.save_selected(stream, self._source.list_selected(stream))
            await self._look_for_secret_end()
        return result

    async def _look_for_secret_end(self) -> None:
        """Read once a day when our client secret ends, where that may be read; what hinders it hinders nothing else."""
        now, ends = self._clock.now(), self._store.secret_ends
        if not await ends.is_due(now=now):
            return
        try:
            await ends.save(await self._source.find_secret_end(now=now), now=now)
        except RemoteError as error:
            self._log.debug("credential.unread", error=str(error))

    async def _run(self, kind: PullKind) -> PullResult:
        result = PullResult()
        stored = await self._store.directory.load_checkpoints()
        listed = self._misses_everything(kind, stored)
        if listed and not (listed := await self._read_everything(result)):
            stored = await self._store.directory.load_checkpoints()
        if not listed:
            async with task_group() as group:
                for stream in STREAMS:
                    reading = self._read_stream(stream, stored.get(stream), kind == "full", result)
                    group.create_task(reading, name=f"pull {stream}")
            await self._make_direct_reads(result).read_fragments(tracked=False)
        stored = await self._store.directory.load_checkpoints()
        for stream in STREAMS:
            checkpoint = stored.get(stream)
            if checkpoint is not None and checkpoint.baseline:
                result.full = True
                if checkpoint.next_link is not None or checkpoint.delta_link is None:
                    result.unproven[stream] = "the reading ended before its last page; the next run reads on"
                    continue
                await self._close_baseline(checkpoint, result)
        await self._remember_emptied(result)
        doubts = await self._store.full_reads.load_doubts()
        for stream, reason in {**doubts["missed"], **doubts["unbelieved"]}.items():
            why = f"the last full read of {stream} had no proof ({reason}): who is missing stays until one has"
            result.unproven.setdefault(stream, why)
        result.uncounted, result.unbelieved = bool(doubts["uncounted"]), bool(doubts["unbelieved"])
        await self._check_members(result)
        return result

    async def _check_members(self, result: PullResult) -> None:
        """Count the members of some groups when it is time; what hinders it hinders nothing else."""
        if result.full:
            await self._store.memberships.put_off_member_check(now=self._clock.now())
            return
        check = MemberCheck(
            self._source,
            self._store,
            self._clock,
            count=result.add,
            stopping=self._stopping,
            note=partial(self._troubles.note, "members.unchecked", about="groups"),
        )
        try:
            await check.run()
        except RemoteError as error:
            self._log.warning("members.unchecked", reason=str(error))

    async def run_single(self, wanted: Wanted) -> PullResult:
        """Read one object with its memberships; checkpoints stay as they are.

        Raises UnknownObject for a name that nobody bears, or more than one; IncompleteRead for a store or a tenant
        that does not say enough; RemoteErrors.
        """
        single = OneObjectPull(self._source, self._store, now=self._clock.now())
        subject = await single.run(wanted)
        return PullResult(counts=single.counts, subject=subject, doubts=single.doubts)

    # ---- everything at once -----------------------------------------------------------------------------------

    def _misses_everything(self, kind: PullKind, stored: Mapping[Stream, Checkpoint]) -> bool:
        """Return whether all streams have to be read as a whole, and none is on its way by delta."""
        for stream in STREAMS:
            checkpoint = stored.get(stream)
            if checkpoint is None or checkpoint.listing or checkpoint.fingerprint != self._source.fingerprint(stream):
                continue
            under_way = checkpoint.baseline and not (checkpoint.next_link is None and checkpoint.delta_link is not None)
            if under_way or (kind != "full" and checkpoint.delta_link is not None):
                return False
        return True

    async def _read_everything(self, result: PullResult) -> bool:
        """Read everything by lists; False when the tenant does not let us, and delta has to do."""
        everything = FullRead(
            self._source,
            self._store,
            self._clock,
            note_stored=partial(self._note_chunk, result=result),
            follow=partial(self._follow, result=result),
            direct=self._make_direct_reads(result),
            stopping=self._stopping,
        )
        try:
            await everything.run()
        except RemoteError as error:
            if not is_refusal(error):
                raise
            self._log.warning("lists.refused", status=error.status, code=error.code, reason=str(error))
            result.add("lists_refused", 1)
            return False
        return True

    def _note_chunk(self, chunk: Chunk, counts: ChunkCounts, result: PullResult) -> None:
        for stream, found in counts.objects.items():
            result.add(f"{stream}_read", found.read)
            result.add(f"{stream}_added", found.added)
            result.add(f"{stream}_changed", found.changed)
            result.shown.add(stream)
            self._progress(f"{stream} read", found.read)
        for stream, bad in chunk.bad.items():
            self._note_bad(stream, bad, result)
        result.add("links_read", counts.links)
        result.add("pages", chunk.pages)
        if counts.links:
            self._progress("memberships read", counts.links)

    def _make_direct_reads(self, result: PullResult) -> DirectReads:
        return DirectReads(
            self._source,
            self._store,
            self._clock,
            self._troubles,
            count=result.add,
            note_bad=partial(self._note_bad, result=result),
            note_hidden=partial(self._note_hidden, result=result),
        )

    # ---- one stream ------------------------------------------------------------------------------------------

    async def _read_stream(self, stream: Stream, checkpoint: Checkpoint | None, full: bool, result: PullResult) -> None:
        fingerprint = self._source.fingerprint(stream)
        if checkpoint is not None and checkpoint.fingerprint != fingerprint:
            self._log.warning("checkpoint.mismatch", stream=stream)
            checkpoint = None
        if checkpoint is not None and checkpoint.listing:
            checkpoint = None  # a reading by lists that did not come to its end is no part of a round
        if checkpoint is not None and checkpoint.baseline:
            if checkpoint.next_link is None and checkpoint.delta_link is not None:
                if not full:
                    return  # read to its end by a run that died before the sweep
                checkpoint = await self._begin(stream, fingerprint)
            else:
                self._log.info("baseline.resumed", stream=stream)
        elif full or checkpoint is None or checkpoint.delta_link is None:
            checkpoint = await self._begin(stream, fingerprint)
        for _attempt in range(2):
            try:
                await self._follow(checkpoint, result)
            except ResyncRequired as error:
                self._log.warning("checkpoint.expired", stream=stream, code=error.code, status=error.status)
                if checkpoint.next_link is not None and checkpoint.delta_link is not None and not checkpoint.baseline:
                    checkpoint = replace(checkpoint, next_link=None)  # replaying the round from its start is harmless
                    continue
                checkpoint = await self._begin(stream, fingerprint)
            else:
                return
        await self._follow(checkpoint, result)

    async def _begin(self, stream: Stream, fingerprint: str) -> Checkpoint:
        self._log.info("baseline.started", stream=stream)
        owners = stream == "groups" and self._source.tracks_owners
        await self._store.directory.save_selected(stream, self._source.list_selected(stream))
        return await self._store.full_reads.begin_baseline(stream, fingerprint, now=self._clock.now(), owners=owners)

    async def _follow(
        self,
        checkpoint: Checkpoint,
        result: PullResult,
        *,
        watch: Callable[[Sequence[Page]], Awaitable[None]] | None = None,
    ) -> None:
        """Apply page after page; the next ones are fetched while some are stored. ``watch`` sees them before that."""
        stream = checkpoint.stream
        link = checkpoint.next_link or (None if checkpoint.baseline else checkpoint.delta_link)
        pages_read = prefetch(partial(self._source.fetch_page, stream), link, name=f"fetch {stream}")
        try:
            async with contextlib.aclosing(pages_read):
                async for pages in pages_read:
                    if watch is not None:
                        await watch(pages)
                    await self._store_pages(pages, checkpoint.advance(pages[-1]), result)
                    if pages[-1].next_link is not None and self._stopping():
                        raise Interrupted(f"asked to stop while reading {stream}; the next run goes on at this page")
        except EmptyPages as error:  # the link behind the last stored page is stored: there the next run goes on
            self._log.warning("round.put_off", stream=stream, reason=str(error))
            result.doubts.append(f"{stream}: {error}; the next run reads on behind them")
        except EndlessRound:
            # The next run begins the round anew: going on at the last page would lead into the same circle.
            if checkpoint.baseline:
                await self._begin(stream, checkpoint.fingerprint)
            else:
                await self._store_pages((), replace(checkpoint, next_link=None), result)
            raise

    async def _store_pages(self, pages: Sequence[Page], checkpoint: Checkpoint, result: PullResult) -> None:
        stream = checkpoint.stream
        self._note_bad(stream, [each for page in pages for each in page.bad], result)
        counts = await self._store.directory.store_pages(pages, checkpoint, now=self._clock.now())
        if any(not item.removed for page in pages for item in page.items):
            result.shown.add(stream)
        result.add(f"{stream}_read", counts.read)
        result.add(f"{stream}_added", counts.added)
        result.add(f"{stream}_changed", counts.changed)
        result.add(f"{stream}_removed", counts.removed)
        result.add("links_read", counts.links)
        result.add("pages", len(pages))
        self._progress(f"{stream} read", counts.read)
        if counts.links:
            self._progress("memberships read", counts.links)

    def _note_bad(self, stream: Stream, bad: Sequence[BadObject], result: PullResult) -> None:
        for each in bad:
            self._troubles.note(
                "objects.malformed", about=stream, reason=each.reason, object_id=each.id, count=each.count
            )
        result.add(f"{stream}_malformed", sum(each.count for each in bad))

    # ---- the end of a full read ------------------------------------------------------------------------------

    async def _close_baseline(self, checkpoint: Checkpoint, result: PullResult) -> None:
        stream = checkpoint.stream
        sweep = Sweep(
            self._source,
            self._store,
            self._clock,
            count=result.add,
            read_object=partial(self._make_direct_reads(result).read_object, tracked=True),
            note_hidden=partial(self._note_hidden, result=result),
            note_doubt=self._note_doubt,
        )
        proof = await sweep.run(checkpoint)
        if proof.counted is not None:
            result.counts[f"{stream}_counted"] = proof.counted
        if wrong := await self._source.find_unreadable(stream):
            proof.reason, proof.doubt = wrong, "unbelieved"
        result.proof[stream] = proof.describe()
        if proof.reason:
            result.unproven[stream] = proof.reason
            self._log.warning("baseline.unproven", stream=stream, reason=proof.reason)
        finish = self._store.full_reads.finish_baseline
        await self._store.in_thread(finish, checkpoint, unproven=proof.reason, doubt=proof.doubt, now=self._clock.now())

    async def _remember_emptied(self, result: PullResult) -> None:
        """Report a stream without any object in this run and in every later one, until it shows something again."""
        for stream in await self._store.full_reads.settle_emptied(result.shown):
            result.emptied.append(stream)
            result.unproven.setdefault(
                stream,
                f"the tenant had {ACTIVE[stream]} and shows none any more: nothing is removed until a person says that "
                "this is true (syncd approve), or some are shown again",
            )

    def _note_doubt(self, group_id: str, reason: str) -> None:
        """Say that a group keeps the people whom it is not proven to have lost."""
        self._troubles.note("members.unproven", about="groups", reason=reason, object_id=group_id)

    def _note_hidden(self, group_id: str, error: Forbidden, result: PullResult) -> None:
        """Say that a group's members cannot be seen, and stay as they are stored."""
        self._troubles.note("members.hidden", about="groups", reason=str(error), object_id=group_id)
        result.add("groups_hidden", 1)
