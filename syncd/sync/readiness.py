"""Waiting for WEBCON's own copying: other records can name what was just created only when it is synchronised."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import structlog

from syncd.clock import Clock
from syncd.errors import Interrupted
from syncd.model.target import Account, PortalGroup, fold
from syncd.sync.ports import Portal
from syncd.sync.stores import ApplyStore

_FEW = 25
"""Up to so many waiting records are asked for singly; more are found by reading the list."""


class Readiness:
    """Finds out which records of a plan are synchronised by now."""

    def __init__(self, portal: Portal, store: ApplyStore, clock: Clock, stopping: Callable[[], bool]) -> None:
        self._portal = portal
        self._store = store
        self._clock = clock
        self._stopping = stopping
        self._log = structlog.get_logger("syncd.apply")

    async def wait(self, run_id: int, *, within: float) -> None:
        """Wait, for so many seconds at most, until the records that later changes need are synchronised."""
        deadline = self._clock.monotonic() + within
        pause = 0.25
        while True:
            users, groups = await self._store.call(self._store.load_waiting, run_id)
            if not users and not groups:
                return
            waiting = len(users) + len(groups)
            waiting -= await self._note_ready(users, self._portal.fetch_account, self._portal.fetch_accounts)
            waiting -= await self._note_ready(groups, self._fetch_group, self._portal.fetch_groups)
            if not waiting:
                return
            if self._stopping():
                raise Interrupted("asked to stop while waiting for WEBCON to synchronise")
            left = deadline - self._clock.monotonic()
            if left <= 0:
                self._log.warning("synchronisation.slow", waiting=waiting)
                return
            await self._clock.sleep(min(pause, left))
            pause = min(pause * 2, 5.0)

    async def _note_ready(
        self,
        bps_ids: Sequence[str],
        fetch: Callable[[str], Awaitable[Account | PortalGroup | None]],
        fetch_all: Callable[[], AsyncIterator[Sequence[Account] | Sequence[PortalGroup]]],
    ) -> int:
        """Ask for these records, and remember those that are synchronised; return how many they are."""
        if not bps_ids:
            return 0
        waiting = {fold(bps_id): bps_id for bps_id in bps_ids}
        if len(waiting) <= _FEW:
            found = [record for bps_id in bps_ids if (record := await fetch(bps_id)) is not None]
            return await self._note(waiting, found)
        return sum([await self._note(waiting, page) async for page in fetch_all()])

    async def _note(self, waiting: dict[str, str], records: Sequence[Account | PortalGroup]) -> int:
        folded = {fold(record.bps_id) for record in records if record.status == "Synchronized"} & waiting.keys()
        if folded:
            ready = sorted(waiting.pop(each) for each in folded)
            await self._store.call(self._store.set_synchronized, ready)
        return len(folded)

    async def _fetch_group(self, bps_id: str) -> PortalGroup | None:
        detail = await self._portal.fetch_group(bps_id)
        return None if detail is None else detail.group
