"""Waiting for WEBCON's own copying: other records can name what was just created only when it is synchronised."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

import structlog

from syncd.clock import Clock
from syncd.errors import Interrupted
from syncd.model.target import Account, PortalGroup, fold
from syncd.sync.ports.sides import Portal
from syncd.tasks import task_group

if TYPE_CHECKING:
    from syncd.store.store import Store

_FEW = 25
"""Up to so many waiting records are asked for singly; more are found by reading the list."""
_MANY = 20_000


class Patience:
    """Waits for the records that a run has changed itself: some portals copy a changed record anew, like a new one.

    Nobody asks them before: a member that the portal does not take yet shows it. All waiting of a run is bounded.
    """

    def __init__(self, clock: Clock, *, within: float, stopping: Callable[[], bool]) -> None:
        self._clock = clock
        self._within = within
        self._stopping = stopping
        self._changed: set[str] = set()
        self._deadline: float | None = None

    def note(self, bps_id: str) -> None:
        """Remember that this run has changed this record; of very many all count as changed."""
        if len(self._changed) <= _MANY:
            self._changed.add(fold(bps_id))

    def choose(self, group: str, members: Sequence[str]) -> list[str]:
        """Return those of the members of a group that are worth waiting for: they, or the group, were changed."""
        if len(self._changed) > _MANY or fold(group) in self._changed:
            return [*members]
        return [member for member in members if fold(member) in self._changed]

    async def pause(self, attempt: int) -> bool:
        """Wait longer with each attempt, counted from 0; False when the time is over, or the run shall stop."""
        now = self._clock.monotonic()
        if self._deadline is None:
            self._deadline = now + self._within
        if self._stopping() or now >= self._deadline:
            return False
        await self._clock.sleep(min(0.25 * 2 ** min(attempt, 5), 5.0, self._deadline - now))
        return True


class Readiness:
    """Finds out which records of a plan are synchronised by now."""

    def __init__(self, portal: Portal, store: Store, *, clock: Clock, stopping: Callable[[], bool]) -> None:
        self._portal = portal
        self._store = store
        self._clock = clock
        self._stopping = stopping
        self._log = structlog.get_logger("syncd.apply")

    async def wait(self, run_id: int, *, within: float) -> None:
        """Wait, for so many seconds at most, until the records that later changes need are synchronised.

        Only the store knows all that wait: after a first push that is everybody.
        """
        deadline = self._clock.monotonic() + within
        pause = 0.25
        waiting = await self._load(run_id)
        while any(waiting):
            users, groups = waiting
            await self._note_ready(users, self._portal.fetch_account, self._portal.fetch_accounts)
            await self._note_ready(groups, self._fetch_group, self._portal.fetch_groups)
            waiting = await self._load(run_id)
            if not any(waiting):
                return
            if self._stopping():
                raise Interrupted("asked to stop while waiting for WEBCON to synchronise")
            left = deadline - self._clock.monotonic()
            if left <= 0:
                number = await self._store.plans.count_waiting(run_id)
                self._log.warning("apply.sync_slow", waiting=number)
                return
            await self._clock.sleep(min(pause, left))
            pause = min(pause * 2, 5.0)

    async def look(self) -> None:
        """Read which accounts are synchronised by now, without waiting for any."""
        async for page in self._portal.fetch_accounts():
            await self._note(page)

    async def _load(self, run_id: int) -> tuple[list[str], list[str]]:
        return await self._store.plans.load_waiting(run_id, _FEW + 1)

    async def _note_ready(
        self,
        bps_ids: Sequence[str],
        fetch: Callable[[str], Awaitable[Account | PortalGroup | None]],
        fetch_all: Callable[[], AsyncIterator[Sequence[Account] | Sequence[PortalGroup]]],
    ) -> None:
        """Ask for these records, or for all when they are many, and remember those that are synchronised."""
        if len(bps_ids) <= _FEW:
            await self._note([record for bps_id in bps_ids if (record := await fetch(bps_id)) is not None])
            return
        async with task_group() as group:
            async for page in fetch_all():  # the next one is on its way while this one is stored
                group.create_task(self._note(page), name="note readiness")

    async def _note(self, records: Sequence[Account | PortalGroup]) -> None:
        ready = [record.bps_id for record in records if record.status == "Synchronized"]
        if ready:
            await self._store.inventory.set_synchronized(ready)

    async def _fetch_group(self, bps_id: str) -> PortalGroup | None:
        detail = await self._portal.fetch_group(bps_id)
        return None if detail is None else detail.group
