"""The end of a full read: the proof that it was complete, and the removal of what it did not meet.

The proof has two witnesses. A full read counts as complete when its last page came with the delta link and the number
of objects agrees with the tenant's own count within `tolerate`. Then each object it did not meet is read directly, and
only those that the tenant denies (404) are marked gone; if it still has one of them, the read was not complete after
all. A membership that was not met is removed only when a second reading of that group lacks it too and the tenant's
count of the group's members does not contradict the two; a group that hides its members from us has no second reading,
and keeps them. An ownership needs the second reading of the owners.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import structlog

from syncd.clock import Clock
from syncd.errors import Forbidden, NotFound, ProtocolError, Rejected, RemoteError
from syncd.model.source import Checkpoint, Role, Stream
from syncd.sync.ports.sides import Source
from syncd.sync.pull.member_witness import NOT_WHOLE, drop_nobody, judge_missing
from syncd.sync.pull.proof import LossOfMembers, Proof, tolerate
from syncd.tasks import task_group

if TYPE_CHECKING:
    from syncd.store.store import Store

_READS_AT_ONCE = 6
_KEPT = timedelta(days=31)
"""Entra ID keeps what is deleted for 30 days (restore a deleted item, "Restore recently deleted"); a day for clocks."""


class Sweep:
    """Proves one stream's full read and removes what is gone. Not reused.

    ``count`` is told what was removed, ``read_object`` reads and stores what was missed, ``note_hidden`` hears of
    groups that may not be read, ``note_doubt`` of those that keep people who may be gone.
    """

    def __init__(
        self,
        source: Source,
        store: Store,
        clock: Clock,
        *,
        count: Callable[[str, int], None],
        read_object: Callable[[Stream, str], Awaitable[None]],
        note_hidden: Callable[[str, Forbidden], None],
        note_doubt: Callable[[str, str], None],
    ) -> None:
        self._source = source
        self._store = store
        self._clock = clock
        self._count = count
        self._read_object = read_object
        self._note_hidden = note_hidden
        self._note_doubt = note_doubt
        self._log = structlog.get_logger("syncd.pull")

    async def run(self, checkpoint: Checkpoint) -> Proof:
        """Return the proof; without one (see its ``reason``) nothing was removed."""
        proof, stream = Proof(), checkpoint.stream
        proof.read = await self._store.full_reads.count_seen(checkpoint)
        unseen = await self._store.full_reads.load_unseen(checkpoint)
        proof.missing = len(unseen)
        empty = not await self._store.full_reads.shows_any(checkpoint)
        if empty and (unseen or proof.read) and not await self._store.full_reads.is_empty_believed(stream):
            await self._store.full_reads.note_emptied(stream)
            number = len(unseen) + proof.read
            proof.reason = f"the tenant shows no {stream} at all, and {number} are stored: nothing is removed"
            return proof
        try:
            proof.counted = counted = await self._source.fetch_count(stream)
        except RemoteError as error:
            self._log.warning("baseline.uncounted", stream=stream, status=error.status, code=error.code or None)
            proof.doubt = "uncounted"
            proof.reason = f"the tenant's count of {stream} cannot be had ({error}): what the read did not meet stays"
            return proof
        hidden = await self._store.full_reads.find_subtypes(stream, unseen)
        unnamed = await self._store.full_reads.load_unnamed(stream)
        if await self._is_miscounted(checkpoint, proof, unclear=len(hidden) + unnamed):
            proof.reason = (
                f"the tenant counts {counted} {stream}, the read met {proof.read} (tolerance {tolerate(counted)})"
            )
            return proof
        if unseen:
            existing = await self._source.fetch_existing(stream, unseen)
            for object_id in sorted(existing - hidden):  # of the hidden ones delta tells
                await self._read_object(stream, object_id)
            if len(existing - hidden) > unnamed:
                proof.reason = f"the read missed {len(existing)} {stream} that the tenant still has"
                return proof
            gone = [object_id for object_id in unseen if object_id not in existing]
            proof.removed = await self._store.directory.mark_gone(stream, gone, now=self._clock.now())
            self._count(f"{stream}_removed", proof.removed)
            unseen = gone
        await self._purge(stream, unseen)
        if stream == "groups":
            await self._sweep_people(checkpoint, "members", lambda group_id: self._recheck(group_id, proof))
            if self._source.tracks_owners:
                await self._sweep_people(checkpoint, "owners", self._recheck_owners)
        return proof

    async def _is_miscounted(self, checkpoint: Checkpoint, proof: Proof, *, unclear: int) -> bool:
        """Return whether the tenant's count contradicts the read.

        Whether lists show subtypes of user, and whether counts count them, no text of Microsoft's says: neither way is
        a contradiction. Nor are ``unclear``: subtypes that the read did not meet, and entries without an id.
        """
        counted, tolerance = proof.counted or 0, tolerate(proof.counted or 0)
        if abs(counted - proof.read) <= tolerance:
            return False
        subtypes = await self._store.full_reads.count_seen_subtypes(checkpoint)
        if counted < proof.read:
            return counted < proof.read - subtypes - tolerance
        if counted > proof.read + unclear + tolerance and checkpoint.stream == "users":
            unclear += max(0, (await self._source.fetch_agent_count() or 0) - subtypes)
        return counted > proof.read + unclear + tolerance

    async def _purge(self, stream: Stream, gone: Sequence[str]) -> None:
        """Let go of the memberships of those that cannot come back: the others keep them, hidden.

        Those are not among the tenant's deleted items either. Where these may not be read, a deletion that is longer
        ago than the tenant keeps them is for good.
        """
        expired = await self._store.directory.load_expired(stream, before=self._clock.now() - _KEPT)
        asked = sorted({*gone, *expired})
        kept: dict[str, bool | None] = {}

        async def look(object_id: str) -> None:
            try:
                kept[object_id] = await self._source.is_deleted(stream, object_id)
            except NotFound:  # not as the tenant says that something is missing
                kept[object_id] = None

        for start in range(0, len(asked), _READS_AT_ONCE):
            some = asked[start : start + _READS_AT_ONCE]
            async with task_group() as group:
                for object_id in some:
                    group.create_task(look(object_id), name="look among the deleted items")
            if all(kept[object_id] is None for object_id in some):
                break  # the permissions do not reach there
        purged = [each for each in asked if kept.get(each) is False]
        purged += [each for each in expired if kept.get(each) is None]
        if purged:  # one who was restored in between is not among the deleted items either
            back = await self._source.fetch_existing(stream, purged)
            purged = [each for each in purged if each not in back]
        if purged:
            self._count(f"{stream}_purged", await self._store.directory.purge(stream, purged))

    async def _sweep_people(
        self, checkpoint: Checkpoint, role: Role, recheck: Callable[[str], Coroutine[Any, Any, None]]
    ) -> None:
        suspects = await self._store.full_reads.load_groups_with_unseen_members(checkpoint, role=role)
        for start in range(0, len(suspects), _READS_AT_ONCE):
            async with task_group() as group:
                for suspect in suspects[start : start + _READS_AT_ONCE]:
                    group.create_task(recheck(suspect), name=f"read {role} again")

    async def _recheck_owners(self, group_id: str) -> None:
        try:
            links = await self._source.fetch_owners(group_id)
        except Forbidden as error:
            self._note_hidden(group_id, error)
            return
        except (ProtocolError, Rejected) as error:
            self._doubt(group_id, str(error))
            return
        if links is None:
            return
        witnessed = [link.member_id for link in drop_nobody(links)]
        if len(witnessed) < len(links):
            self._doubt(group_id, NOT_WHOLE)
            return
        gone = await self._store.full_reads.drop_unseen_members(
            group_id, witnessed, role="owners", now=self._clock.now()
        )
        self._count("links_removed", gone)

    async def _recheck(self, group_id: str, proof: Proof) -> None:
        try:
            links = await self._source.fetch_members(group_id)
        except Forbidden as error:
            self._note_hidden(group_id, error)
            return
        except (ProtocolError, Rejected) as error:
            self._doubt(group_id, str(error))
            return
        if links is None:
            return  # deleted meanwhile: the next delta says so
        witnessed: Sequence[str] = [link.member_id for link in drop_nobody(links)]
        shown = set(witnessed)
        unseen = await self._store.memberships.load_unseen_members(group_id)
        missing = {member: known for member, known in unseen.items() if member not in shown}
        if not missing:
            return
        verdict = await judge_missing(self._source, self._store, group_id, links, missing)
        gone = 0
        if verdict.doubt:
            self._doubt(group_id, verdict.doubt)
        else:
            gone = await self._store.full_reads.drop_unseen_members(group_id, witnessed, now=self._clock.now())
            self._count("links_removed", gone)
        proof.losses.append(LossOfMembers(group_id, gone, verdict))

    def _doubt(self, group_id: str, reason: str) -> None:
        """Say that a group keeps the people whom it is not proven to have lost: one unreadable list stops no run."""
        self._note_doubt(group_id, reason)
        self._count("groups_unproven", 1)
