"""The standing check of memberships: what delta lost without a word is found by counting, and corrected by reading.

Now and then a sample of the groups is counted (one cheap request each) and compared with what is stored. The count
comes from an index that lags, so that a difference only makes a group suspected. When it is still there some time
later, in another run, that group is read as a whole, twice where somebody is missing, and corrected.

A tenant may count what it never lists (service principals, hidden members). What a whole reading cannot explain is
remembered with the group, and no reason to read it again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import structlog

from syncd.clock import Clock
from syncd.errors import Forbidden, NotFound, NotOffered, ProtocolError, Rejected, RemoteError, TransientError
from syncd.model.members import CheckPace, GroupToCount
from syncd.sync.ports.sides import Source
from syncd.sync.pull.member_witness import read_members, store_members, tolerate_none
from syncd.tasks import task_group

if TYPE_CHECKING:
    from syncd.store.store import Store

_AT_ONCE = 6
_ITS_OWN = (NotFound, Rejected, ProtocolError)
"""Errors of one group, which no repetition cures."""


class MemberCheck:
    """One check, of the groups whose turn it is.

    ``count`` is told what was counted and corrected, ``note`` which groups could not be checked, and why.
    """

    def __init__(
        self,
        source: Source,
        store: Store,
        clock: Clock,
        *,
        count: Callable[[str, int], None],
        stopping: Callable[[], bool],
        note: Callable[..., None],
    ) -> None:
        self._source = source
        self._store = store
        self._clock = clock
        self._count = count
        self._stopping = stopping
        self._note = note
        self._log = structlog.get_logger("syncd.pull")

    async def run(self) -> None:
        """Count, and read what is wrong for the second time.

        A group that cannot be counted or read is logged and hinders no other. Raises RemoteErrors when it is the tenant
        that refuses: a credential, or every count of a few groups together; what was found until then is kept.
        """
        groups = await self._store.memberships.take_groups_to_count(CheckPace(), now=self._clock.now())
        try:
            for start in range(0, len(groups), _AT_ONCE):
                if self._stopping():
                    return
                await self._check(groups[start : start + _AT_ONCE])
        except NotOffered as error:
            self._log.warning("members.uncountable", reason=str(error))

    async def _check(self, groups: Sequence[GroupToCount]) -> None:
        suspected: dict[str, bool] = {}
        wrong: list[GroupToCount] = []
        failed: list[TransientError] = []

        async def count(group: GroupToCount) -> None:
            try:
                counted = await self._source.fetch_member_count(group.group_id)
            except Forbidden:
                counted = None  # it hides its members: neither count nor list says anything
            except TransientError as error:
                failed.append(error)  # a suspicion stays
                return
            except NotOffered:
                raise  # of no other group either
            except _ITS_OWN as error:
                self._tell(group.group_id, error)
                counted = None
            differs = counted is not None and counted - group.stored != group.unexplained
            if differs and group.suspected:
                wrong.append(group)
            elif differs or group.suspected:
                suspected[group.group_id] = differs

        async with task_group() as tasks:
            for group in groups:
                tasks.create_task(count(group), name="count members")
        if failed and len(failed) == len(groups):
            raise failed[0]
        self._count("groups_members_counted", len(groups))
        self._count("groups_suspected", sum(suspected.values()))
        await self._store.memberships.note_counts(suspected, now=self._clock.now())
        for group in wrong:
            await self._correct(group.group_id)

    async def _correct(self, group_id: str) -> None:
        """Read a group as a whole and correct it; what then remains between count and store is remembered."""
        try:
            reading = await read_members(self._source, self._store, group_id, tolerate=tolerate_none)
        except Forbidden:
            reading = None
        except TransientError as error:
            self._tell(group_id, error)
            return
        except _ITS_OWN as error:
            self._tell(group_id, error)
            self._count("groups_unproven", 1)
            reading = None
        if reading is None:
            await self._store.memberships.note_counts({group_id: False}, now=self._clock.now())
            return
        added, removed = await store_members(self._store, group_id, reading, now=self._clock.now())
        self._count("groups_corrected", 1 if added or removed else 0)
        self._count("links_added", added)
        self._count("links_removed", removed)
        doubt = reading.verdict.doubt
        self._log.warning("members.corrected", group=group_id, added=added, removed=removed, doubt=doubt or None)
        if doubt:
            self._count("groups_unproven", 1)
            await self._store.memberships.note_counts({group_id: False}, now=self._clock.now())
            return
        try:
            counted = await self._source.fetch_member_count(group_id)
        except (TransientError, *_ITS_OWN) as error:
            self._tell(group_id, error)
            return
        stored, _ = await self._store.memberships.count_members(group_id)
        if counted is not None:
            await self._store.memberships.note_unexplained(group_id, counted - stored)

    def _tell(self, group_id: str, error: RemoteError) -> None:
        self._note(reason=str(error), object_id=group_id)
