"""Pull: source to directory. Pages are applied as they come; what a full read did not meet is removed only with proof.

What a full read did not meet is the matter of ``sweep``, one object by itself that of ``single``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

import structlog

from syncd.clock import Clock
from syncd.errors import ConfigError, EndlessRound, Forbidden, Interrupted, ProtocolError, RemoteError, ResyncRequired
from syncd.model.listing import Chunk
from syncd.model.run import PullKind, Removals, Subject, Wanted
from syncd.model.source import STREAMS, BadObject, Checkpoint, Link, Page, Role, Stream
from syncd.sync.ports.progress import Progress
from syncd.sync.ports.sides import Source
from syncd.sync.pull.full_read import FullRead, is_refusal
from syncd.sync.pull.member_counts import MemberCheck
from syncd.sync.pull.member_witness import read_members, tolerate_none
from syncd.sync.pull.one_object import OneObjectPull
from syncd.sync.pull.prefetch import prefetch
from syncd.sync.pull.relations import Relations
from syncd.sync.pull.sweep import Sweep
from syncd.tasks import task_group

if TYPE_CHECKING:
    from syncd.store.directory.lists import ChunkCounts
    from syncd.store.store import Store


_READS_AT_ONCE = 6


@dataclass(slots=True, kw_only=True)
class PullResult:
    """What a pull did. ``full``: at least one stream was read as a whole. ``unproven``: why a read has no proof.

    ``emptied``: streams that read empty although objects are stored; ``shown``: those of which any object came.
    ``uncounted``: the last full read has no proof, but nothing contradicts it.
    ``subject``: the only object that was read; ``doubts``: what its reading could not settle. ``proof``: per stream
    that was read as a whole what its completeness rests on, as plain values.
    """

    full: bool = False
    unproven: dict[Stream, str] = field(default_factory=dict)
    emptied: list[Stream] = field(default_factory=list)
    uncounted: bool = False
    shown: set[Stream] = field(default_factory=set)
    counts: dict[str, int] = field(default_factory=dict)
    subject: Subject | None = None
    doubts: list[str] = field(default_factory=list)
    proof: dict[str, dict[str, object]] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Return whether everything may be concluded from what is stored now."""
        return self.removals == "all"

    @property
    def removals(self) -> Removals:
        """Return what may be taken away because of what is stored now."""
        if self.emptied:
            return "none"
        return "stated" if self.unproven or self.uncounted else "all"

    def add(self, name: str, number: int) -> None:
        """Add to a counter."""
        if number:
            self.counts[name] = self.counts.get(name, 0) + number


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
        self._log = structlog.get_logger("syncd.pull")

    async def check_tenant(self) -> None:
        """Raise ConfigError when the store belongs to another tenant than the one that the configuration names.

        A name that is known costs nothing; another one is looked up once, in the token.
        """
        directory, name = self._store.directory, self._source.tenant
        if await directory.is_tenant_known(name):
            return
        tenant = await self._source.identify_tenant()
        other = await directory.bind_tenant(tenant, name)
        if other is not None:
            problem = (
                f"graph.tenant_id: the store belongs to the tenant {other}, not to {tenant}; in another tenant "
                "everybody whom it knows would count as deleted. Set the old tenant again, or take a new store "
                "(store.url)"
            )
            raise ConfigError([problem])

    async def run(self, kind: PullKind) -> PullResult:
        """Read both streams side by side; ``full`` reads everything, ``delta`` what changed where a checkpoint allows.

        Raises RemoteErrors and StoreError; what was stored up to then stays, and the next pull continues there.
        """
        result = PullResult()
        if not (await self._misses_everything(kind) and await self._read_everything(result)):
            async with task_group() as group:
                for stream in STREAMS:
                    group.create_task(self._read_stream(stream, kind == "full", result), name=f"pull {stream}")
            await self._read_fragments(result)
        for stream in STREAMS:
            checkpoint = await self._store.directory.load_checkpoint(stream)
            if checkpoint is not None and checkpoint.baseline:
                result.full = True
                if checkpoint.next_link is not None or checkpoint.delta_link is None:
                    result.unproven[stream] = "the reading ended before its last page; the next run reads on"
                    continue
                await self._close_baseline(checkpoint, result)
        await self._remember_emptied(result)
        for stream, reason in (await self._store.full_reads.load_unproven()).items():
            why = f"the last full read of {stream} had no proof ({reason}): who is missing stays until one has"
            result.unproven.setdefault(stream, why)
        result.uncounted = bool(await self._store.full_reads.load_uncounted())
        await self._check_members(result)
        return result

    async def _check_members(self, result: PullResult) -> None:
        """Count the members of some groups when it is time; what hinders it hinders nothing else."""
        if result.full:
            await self._store.memberships.put_off_member_check(now=self._clock.now())
            return
        check = MemberCheck(self._source, self._store, self._clock, count=result.add, stopping=self._stopping)
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

    async def _misses_everything(self, kind: PullKind) -> bool:
        """Return whether all streams have to be read as a whole, and none is on its way by delta."""
        for stream in STREAMS:
            checkpoint = await self._store.directory.load_checkpoint(stream)
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
            read_object=partial(self._read_object, result=result),
            read_contradicted=partial(self._read_contradicted, result),
            read_fragments=partial(self._read_fragments, result, tracked=True),
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

    # ---- one stream ------------------------------------------------------------------------------------------

    async def _read_stream(self, stream: Stream, full: bool, result: PullResult) -> None:
        fingerprint = self._source.fingerprint(stream)
        checkpoint = await self._store.directory.load_checkpoint(stream)
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
                    await self._store_pages(pages, _advance(checkpoint, pages[-1]), result)
                    if pages[-1].next_link is not None and self._stopping():
                        raise Interrupted(f"asked to stop while reading {stream}; the next run goes on at this page")
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
            self._log.warning("object.malformed", stream=stream, object=each.id, reason=each.reason)
        result.add(f"{stream}_malformed", len(bad))

    # ---- fragments and restored groups -----------------------------------------------------------------------

    async def _read_fragments(self, result: PullResult, *, tracked: bool = False) -> None:
        """Read directly what the streams told only in part: entries without a name, and who has returned.

        ``tracked``: this is part of a full read, which meets what is read here.
        """
        await self._read_contradicted(result)
        for user_id in await self._store.directory.load_parked():
            await self._read_object("users", user_id, result)
        for group_id in await self._store.directory.load_parked_groups():
            await self._read_object("groups", group_id, result)
        for group_id in await self._store.directory.load_rereads():
            for role in self._list_roles():
                try:
                    links = await self._fetch_people(group_id, role)
                except Forbidden as error:
                    self._note_hidden(group_id, error, result)
                    if role == "members":
                        await self._store.directory.keep_members(group_id)
                    continue
                except ProtocolError as error:  # what is stored stays, and the next run reads the group again
                    self._log.warning("members.unproven", group=group_id, reason=str(error))
                    result.add("groups_unproven", 1)
                    break
                if links is None:
                    if not await self._store.directory.mark_gone("groups", [group_id], now=self._clock.now()):
                        await self._store.directory.put_off_reread(group_id, now=self._clock.now())
                    break
                await self._store.directory.replace_members(group_id, links, role=role, now=self._clock.now())
            result.add("groups_reread", 1)
        await Relations(self._source, self._store, self._clock, count=result.add).run(tracked=tracked)

    async def _read_contradicted(self, result: PullResult) -> None:
        """Read directly what a reading has said otherwise than delta did, where it is time to see who is right."""
        due = await self._store.directory.load_contradicted(now=self._clock.now())
        for stream, ids in due.items():
            self._log.info("objects.contradicted", stream=stream, objects=len(ids))
            result.add(f"{stream}_contradicted", len(ids))
            for start in range(0, len(ids), _READS_AT_ONCE):
                async with task_group() as group:
                    for object_id in ids[start : start + _READS_AT_ONCE]:
                        group.create_task(self._read_object(stream, object_id, result), name="read again")

    def _list_roles(self) -> tuple[Role, ...]:
        """Return in which relations to a group people are read; members last, whose reading ends that of a group."""
        return ("owners", "members") if self._source.tracks_owners else ("members",)

    async def _fetch_people(self, group_id: str, role: Role) -> Sequence[Link] | None:
        if role == "owners":
            return await self._source.fetch_owners(group_id)
        reading = await read_members(self._source, self._store, group_id, tolerate=tolerate_none)
        return None if reading is None else reading.standing

    async def _read_object(self, stream: Stream, object_id: str, result: PullResult) -> None:
        fetch = self._source.fetch_user if stream == "users" else self._source.fetch_group
        try:
            item = await fetch(object_id)
        except ProtocolError as error:
            self._log.warning("object.malformed", stream=stream, object=object_id, reason=str(error))
            result.add(f"{stream}_malformed", 1)
            return
        if item is None:
            await self._store.directory.mark_gone(stream, [object_id], now=self._clock.now())
        else:
            await self._store.directory.store_object(item, now=self._clock.now())
        result.add(f"{stream}_read_directly", 1)

    # ---- the end of a full read ------------------------------------------------------------------------------

    async def _close_baseline(self, checkpoint: Checkpoint, result: PullResult) -> None:
        stream = checkpoint.stream
        sweep = Sweep(
            self._source,
            self._store,
            self._clock,
            count=result.add,
            read_object=partial(self._read_object, result=result),
            note_hidden=partial(self._note_hidden, result=result),
        )
        proof = await sweep.run(checkpoint)
        if proof.counted is not None:
            result.counts[f"{stream}_counted"] = proof.counted
        proof.reason = proof.reason or await self._source.find_unreadable(stream)
        result.proof[stream] = proof.describe()
        if proof.reason:
            result.unproven[stream] = proof.reason
            self._log.warning("baseline.unproven", stream=stream, reason=proof.reason)
        finish = self._store.full_reads.finish_baseline
        await self._store.in_thread(
            finish, checkpoint, unproven=proof.reason, uncounted=proof.uncounted, now=self._clock.now()
        )

    async def _remember_emptied(self, result: PullResult) -> None:
        """Report a stream without any object in this run and in every later one, until it shows something again."""
        for stream in await self._store.full_reads.settle_emptied(result.shown):
            result.emptied.append(stream)
            result.unproven.setdefault(
                stream,
                f"the tenant had {stream} and shows none any more: nothing is removed until a person says that this is "
                "true (syncd approve), or some are shown again",
            )

    def _note_hidden(self, group_id: str, error: Forbidden, result: PullResult) -> None:
        """Say that a group's members cannot be seen, and stay as they are stored."""
        self._log.warning("members.hidden", group=group_id, reason=str(error))
        result.add("groups_hidden", 1)


def _advance(checkpoint: Checkpoint, page: Page) -> Checkpoint:
    """Return the checkpoint after a page: within a round the start stays known, at its end it moves on."""
    if page.delta_link is not None:
        return replace(checkpoint, next_link=None, delta_link=page.delta_link)
    return replace(checkpoint, next_link=page.next_link)
