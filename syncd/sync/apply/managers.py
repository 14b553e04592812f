"""Managers in creations: people are created level by level, with the manager named at once where the portal takes it.

WEBCON's document names a manager among the values of a new user and does not say what it must be like. So the first
creation that names one is watched:

==============================================  ====================================================================
the portal                                      then
==============================================  ====================================================================
takes it, and shows it afterwards               every creation names its manager
refuses it, and takes the creation without it   managers are set in a second pass; if the manager was not synchronised
                                                yet, only those who are synchronised are named from now on
takes it, and does not show it                  managers are set in a second pass
==============================================  ====================================================================

What was found out is remembered. Whoever is created without the manager gets the manager in the second pass, and
nobody is ever named whose account is not that manager's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import structlog

from syncd.clock import Clock
from syncd.errors import AuthFailed, Forbidden, PermanentError, ProxyRefused
from syncd.model.change import Placed
from syncd.model.target import Account, Creation, ManagerManner, fold
from syncd.sync.ports.sides import Portal

if TYPE_CHECKING:
    from syncd.store.store import Store

_LOOKS = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
"""Seconds before each look for the first account with a manager, which a portal may show only some seconds later."""


class NamedManagers:
    """The managers in the creations of one run. Not reused."""

    def __init__(self, portal: Portal, store: Store, *, clock: Clock) -> None:
        self._portal = portal
        self._store = store
        self._clock = clock
        self._manner: ManagerManner | None = None
        self._loaded = False
        self._proven = False
        """A creation that named a manager has passed in this run, or no more will."""
        self._lock = asyncio.Lock()
        self._synchronized: dict[int, bool] = {}
        self.parted = False
        """Whether managers were left for the second pass."""
        self._log = structlog.get_logger("syncd.apply")

    @property
    def wants_synchronized(self) -> bool:
        """Return whether the portal names only managers whom it has synchronised."""
        return self._manner == "synchronized"

    async def prepare(self, run_id: int, batch: Sequence[Placed]) -> None:
        """Find out which creations may name their manager, and leave the others' managers for the second pass."""
        named = [each for each in batch if each[0].change.action == "create" and each[0].change.after.get("manager")]
        if not named:
            return
        if not self._loaded:
            self._manner, self._loaded = await self._store.in_thread(self._store.plans.load_manager_manner), True
            self._proven = self._manner == "creation"
        there = await self._store.plans.load_managers(run_id, named)
        self._synchronized |= {seq: ready for seq, ready in there.items() if self._takes(ready)}
        await self._part(run_id, [each[0].seq for each in named if each[0].seq not in self._synchronized])

    async def create(self, account: Account, run_id: int, seq: int, *, sent_before: bool) -> Creation:
        """Create an account with its manager if that may be, else without."""
        ready = self._synchronized.pop(seq, None)
        if ready is not None and self._takes(ready) and not self._proven:
            async with self._lock:  # one of them finds out for all
                if self._takes(ready) and not self._proven:
                    return await self._try(account, run_id, seq, sent_before=sent_before, ready=ready)
        if ready is not None and self._takes(ready):
            return await self._try(account, run_id, seq, sent_before=sent_before, ready=ready)
        if ready is not None:
            await self._part(run_id, [seq])
        return await self._portal.create_account(replace(account, manager=None), sent_before=sent_before)

    def _takes(self, ready: bool) -> bool:
        return self._manner != "second_pass" and (ready or self._manner != "synchronized")

    async def _try(self, account: Account, run_id: int, seq: int, *, sent_before: bool, ready: bool) -> Creation:
        try:
            result = await self._portal.create_account(account, sent_before=sent_before)
        except PermanentError as error:
            known = ready and self._manner == "creation"  # such managers are taken: it is refused for another reason
            if known or error.sent or isinstance(error, AuthFailed | Forbidden | ProxyRefused):
                raise
            result = await self._portal.create_account(replace(account, manager=None), sent_before=sent_before)
            if result is Creation.CREATED:
                await self._learn("second_pass" if ready else "synchronized")
            if result is not Creation.EXISTS:
                await self._part(run_id, [seq])
            return result
        unknown = result is Creation.CREATED and self._manner is None
        if result is Creation.SETTLED or (unknown and not await self._is_shown(account)):
            await self._part(run_id, [seq])
        self._proven = self._proven or result is Creation.CREATED
        return result

    async def _is_shown(self, account: Account) -> bool:
        """Look at the first account that was created with a manager; False: it has none, or is not shown for long."""
        for seconds in _LOOKS:
            await self._clock.sleep(seconds)
            found = await self._portal.fetch_account(account.bps_id)
            taken = found is not None and fold(found.manager or "") == fold(account.manager or "")
            if found is not None and (taken or found.status == "Synchronized"):
                await self._learn("creation" if taken else "second_pass")
                return taken
        self._manner = "second_pass"  # for this run; the next one tries again
        return False

    async def _learn(self, manner: ManagerManner) -> None:
        self._manner = manner
        await self._store.plans.save_manager_manner(manner)
        self._log.info("portal.managers", manner=manner)

    async def _part(self, run_id: int, seqs: Sequence[int]) -> None:
        if seqs:
            self.parted = True
            await self._store.plans.part_managers(run_id, seqs)
