"""The protect list and deletions: what the portal would take along when it deletes an account or a group.

A deleted account is in no group any more, and a deleted group has no members. Planning leaves out what the inventory
knows to be tied to the protect list; this is the last look, at the portal itself, before something is deleted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncd.clock import Clock
from syncd.model.change import Change
from syncd.model.target import fold
from syncd.plan.sieves import stop_tied
from syncd.plan.words import TIED
from syncd.sync.ports.sides import Portal

if TYPE_CHECKING:
    from syncd.store.store import Store


class Protecting:
    """Looks at the portal before the deletions of one run. Not reused."""

    def __init__(self, portal: Portal, store: Store, *, clock: Clock, protect: frozenset[str]) -> None:
        """``protect``: folded BPS ids."""
        self._portal = portal
        self._store = store
        self._clock = clock
        self._protect = protect
        self._tied: frozenset[str] | None = None

    async def defer_deletions(self, run_id: int) -> None:
        """Put off the deletions of a plan that must not be, before anything is sent: what goes with them waits too."""
        if not self._protect:
            return
        reasons: dict[str, list[int]] = {}
        for seq, change in await self._store.inventory.load_deletions(run_id):
            if reason := await self.find_reason(change):
                reasons.setdefault(reason, []).append(seq)
        if reasons:
            await self._store.in_thread(self._store.stops.stop, run_id, stop_tied(reasons))

    async def find_reason(self, change: Change) -> str:
        """Return why a record must not be deleted; empty when nothing on the protect list hangs on it."""
        if not self._protect:
            return ""
        if change.object == "user":
            if self._tied is None:
                self._tied = await self._read_protected()
            return TIED["user"] if fold(change.bps_id) in self._tied else ""
        return TIED["group"] if await self._read(change.bps_id) & self._protect else ""

    async def _read_protected(self) -> frozenset[str]:
        groups = await self._store.inventory.load_protected_groups(self._protect)
        return frozenset().union(*[await self._read(bps_id) for bps_id in groups])

    async def _read(self, bps_id: str) -> frozenset[str]:
        """Return the folded members and owners of a group as the portal has them now."""
        detail = await self._portal.fetch_group(bps_id)
        if detail is None:
            return frozenset()
        await self._store.inventory.store_group_detail(bps_id, detail, now=self._clock.now())
        return frozenset(fold(each.bps_id) for each in (*detail.members, *detail.owners))
