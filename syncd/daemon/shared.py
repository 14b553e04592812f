"""What the parts of one daemon share: one value that is made once and handed to each of them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from syncd.clock import Clock
from syncd.config import Settings
from syncd.daemon.backoff import Backoff
from syncd.daemon.composition import Composition
from syncd.daemon.notifier import Notifier
from syncd.daemon.requests import RequestQueue
from syncd.daemon.schedule import Schedule
from syncd.daemon.state import DaemonState
from syncd.store.db.database import Database


@dataclass(slots=True, kw_only=True)
class DaemonContext:
    """The shared part of a daemon; only the service changes ``settings`` and ``next_database``.

    ``bell`` is rung when there is something new to look at, so that waiting costs nothing. ``stop`` is set once.
    ``credentials_due`` is set when the end of a credential may be another one than it was.
    ``next_database`` is the opened store of a changed configuration, to which the daemon moves between runs.
    """

    settings: Settings
    composition: Composition
    clock: Clock
    state: DaemonState
    schedule: Schedule
    queue: RequestQueue
    bell: asyncio.Event
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    next_database: Database | None = None
    store_backoff: Backoff = field(default_factory=lambda: Backoff(failed="store.error", recovered="store.recovered"))
    credentials_due: asyncio.Event = field(default_factory=asyncio.Event)
    notifier: Notifier = field(default_factory=Notifier)

    def is_leaving(self) -> bool:
        """Return whether this store is to be left: for good, or for another one."""
        return self.stop.is_set() or self.next_database is not None

    async def rest(self, seconds: float) -> None:
        """Wait that long, or until this store is to be left; other rings of the bell change nothing."""
        try:
            async with asyncio.timeout(seconds):
                while not self.is_leaving():
                    self.bell.clear()
                    await self.bell.wait()
        except TimeoutError:
            return


def make_context(settings: Settings, composition: Composition, clock: Clock) -> DaemonContext:
    """Return the shared part of a daemon that is about to start."""
    bell = asyncio.Event()
    queue = RequestQueue(bell.set)
    schedule = Schedule(settings.schedule, queue.put, clock)
    context = DaemonContext(
        settings=settings,
        composition=composition,
        clock=clock,
        state=DaemonState(clock, schedule),
        schedule=schedule,
        queue=queue,
        bell=bell,
    )
    context.state.count_by(
        states=lambda database: composition.count_states(context.settings, database, clock.now()),
        drift=lambda database: composition.count_drift(context.settings, database),
    )
    return context
