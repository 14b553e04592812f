"""Looks at a place before something is given there, so that what somebody gave by hand is not taken for ours later.

A grant is answered alike whether the group had the very same privilege before or not. What somebody gives between the
look and the grant nobody can tell from ours: so a look serves for a minute, in any kind of run.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from syncd.clock import Clock
from syncd.errors import RemoteError
from syncd.model.privilege import Holders, Place
from syncd.sync.ports.sides import Portal

if TYPE_CHECKING:
    from syncd.store.store import Store

_SERVES = 60.0
"""Seconds by a clock that nobody sets."""


@dataclass(slots=True)
class _Look:
    """One reading. ``since``: monotonic seconds; ``known``: the groups of which it was taken over; None: of all."""

    since: float
    at: datetime
    found: Holders | None
    known: set[int] | None


@dataclass(slots=True, kw_only=True)
class Looks:
    """The readings of places in one run."""

    portal: Portal
    store: Store
    clock: Clock
    _made: dict[str, _Look] = field(default_factory=dict)
    _gates: dict[str, asyncio.Lock] = field(default_factory=dict)

    async def read(self, place: Place, *, now: datetime) -> Holders | None:
        """Read who has something at a place, and take it over for every group; None: there is no such place any more.

        ``now``: when the run began to read. Raises RemoteError.
        """
        since, at = self.clock.monotonic(), self.clock.now()
        found = await self.portal.fetch_holders(place)
        if found is None:
            await self.store.privileges.note_missing(place)
        else:
            await self.store.privileges.store_reading(place, found, now=now)
        self._made[place.token] = _Look(since, at, found, known=None)
        return found

    async def renew(self, place: Place, group: int) -> bool:
        """See to it that what is known of a group at a place is of the last minute; return whether there is the place.

        Reads at most once a minute, for all groups together, and takes it over for this group alone: what is being sent
        for others may not be there yet. Call it before anything is sent for the group, and raises RemoteError.
        """
        async with self._gates.setdefault(place.token, asyncio.Lock()):
            look, since = self._made.get(place.token), self.clock.monotonic()
            if look is None or since - look.since > _SERVES:
                at = self.clock.now()
                try:
                    look = _Look(since, at, await self.portal.fetch_holders(place), known=set())
                except RemoteError as error:
                    error.sent = False  # of what was to be given
                    raise
                self._made[place.token] = look
            if look.found is None:
                await self.store.privileges.note_missing(place)
                return False
            if look.known is not None and group not in look.known:
                await self.store.privileges.store_reading(place, look.found, now=look.at, only=group)
                look.known.add(group)
            return True
