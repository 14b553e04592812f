"""A portal that went back in time: found where the portal is read, and by a look at a few records where it is not.

`syncd.plan.restored` decides. A run that finds it writes nothing and fails with one sentence; the next ones read the
whole portal again, until a reading finds it as it should be, or until a replay has written what was lost.
"""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import TYPE_CHECKING

import structlog

from syncd.errors import PortalRestored
from syncd.plan.restored import ENOUGH_SIGNS, Restored, find_restored, looks_restored, may_be_restored, say_restored
from syncd.sync.ports.sides import Portal

if TYPE_CHECKING:
    from syncd.store.store import Store

_SAMPLE = 10
"""So many accounts that were made last, and so many that were deleted last, are read to see."""


async def judge_portal(store: Store, *, licences: bool, now: datetime) -> Restored | None:
    """Compare our history with a portal that was read whole just now, and remember what was found."""
    found = None
    if may_be_restored(await store.past.count_signs(most=ENOUGH_SIGNS), licences=licences):
        seen = await store.past.load_seen()
        blocks, put_back = await store.past.load_blocks(licences=licences)
        found = find_restored(blocks, put_back, seen=seen)
    await store.past.note_found(found, now=now)
    if found is not None:
        log = structlog.get_logger("syncd.portal")
        log.error("portal.restored", since=found.since.isoformat(), lost=found.lost, written=found.written)
    return found


async def refuse_restored(store: Store) -> None:
    """Raise PortalRestored when the portal was found gone back in time and nothing has changed about it since."""
    found = await store.past.load_found()
    if found is not None:
        raise PortalRestored(say_restored(found))


class Suspicion:
    """Looks at a few records when the portal lacks one that it had. Of one run that has not read the portal."""

    def __init__(self, portal: Portal, store: Store) -> None:
        self._portal = portal
        self._store = store
        self._noted = False
        self._looked = False
        self._found: PortalRestored | None = None
        self._lock = asyncio.Lock()

    def note(self) -> None:
        """A write met no record where one was, or one where none was."""
        self._noted = True

    async def look(self) -> PortalRestored | None:
        """Return the error that ends the run when the records that were written last are not as they were left."""
        if not self._noted:
            return None
        async with self._lock:  # nothing else is sent by those who wait here
            if not self._looked:
                self._looked = True
                self._found = await self._look()
            return self._found

    async def _look(self) -> PortalRestored | None:
        made, deleted = await self._store.past.load_sample(_SAMPLE)
        lost = 0
        for bps_id in made:
            lost += await self._portal.fetch_account(bps_id) is None
        for bps_id in deleted:
            lost += await self._portal.fetch_account(bps_id) is not None
        looked_at = len(made) + len(deleted)
        if not looks_restored(lost=lost, looked_at=looked_at):
            return None
        await self._store.plans.require_full_push()
        return PortalRestored(
            f"the portal seems to have gone back in time: {lost} of the {looked_at} accounts that were made or deleted "
            "last are not as they were left. This run has stopped writing; the next one reads the whole portal before "
            "it writes anything"
        )
