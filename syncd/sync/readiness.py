"""Waiting for WEBCON's own copying: other records can name what was just created only when it is synchronised."""

from __future__ import annotations

from collections.abc import Callable, Sequence

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
            ready = await self._find_ready(users, groups)
            if ready:
                await self._store.call(self._store.set_synchronized, sorted(ready))
                if len(ready) == len(users) + len(groups):
                    return
            if self._stopping():
                raise Interrupted("asked to stop while waiting for WEBCON to synchronise")
            left = deadline - self._clock.monotonic()
            if left <= 0:
                self._log.warning("synchronisation.slow", waiting=len(users) + len(groups) - len(ready))
                return
            await self._clock.sleep(min(pause, left))
            pause = min(pause * 2, 5.0)

    async def _find_ready(self, users: Sequence[str], groups: Sequence[str]) -> set[str]:
        ready: set[str] = set()
        if len(users) <= _FEW:
            for bps_id in users:
                account = await self._portal.fetch_account(bps_id)
                if account is not None and account.status == "Synchronized":
                    ready.add(bps_id)
        else:
            waiting = {fold(bps_id): bps_id for bps_id in users}
            async for accounts in self._portal.fetch_accounts():
                ready |= _pick_ready(waiting, accounts)
        if len(groups) <= _FEW:
            for bps_id in groups:
                detail = await self._portal.fetch_group(bps_id)
                if detail is not None and detail.group.status == "Synchronized":
                    ready.add(bps_id)
        else:
            waiting = {fold(bps_id): bps_id for bps_id in groups}
            async for page in self._portal.fetch_groups():
                ready |= _pick_ready(waiting, page)
        return ready


def _pick_ready(waiting: dict[str, str], records: Sequence[Account] | Sequence[PortalGroup]) -> set[str]:
    return {
        waiting[fold(record.bps_id)]
        for record in records
        if record.status == "Synchronized" and fold(record.bps_id) in waiting
    }
