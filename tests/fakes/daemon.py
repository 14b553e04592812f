"""What a daemon is composed of in tests: a real store, fake sides, and a log that can be waited on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, nullcontext
from datetime import datetime
from functools import partial
from typing import Any

import structlog

from syncd.clock import Clock
from syncd.config import Listen, Settings, load_settings
from syncd.daemon.composition import Composition
from syncd.daemon.state import DaemonState
from syncd.model.event import EVENTS
from syncd.model.source import Page, Stream
from syncd.plan.moment import StatedTimes
from syncd.store.db.database import Database
from syncd.store.store import Store
from syncd.sync.notify import Channel, ChannelName, Outlet
from syncd.sync.ports.progress import Progress
from syncd.sync.pull.pull import Pull
from syncd.sync.push import Push
from syncd.sync.runs import Runs, Sides
from tests.fakes.portal import FakePortal
from tests.fakes.rules import make_apply_options, make_rules
from tests.fakes.source import FakeSource
from tests.stores import open_migrated


class LogWatch:
    """Every log event of the block, and a way to wait for one."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self._came = asyncio.Event()

    def names(self) -> list[str]:
        """Return the events' names in order."""
        return [event["event"] for event in self.events]

    def of(self, name: str) -> list[dict[str, Any]]:
        """Return the events of a name."""
        return [event for event in self.events if event["event"] == name]

    async def wait(self, name: str, count: int = 1) -> dict[str, Any]:
        """Wait until an event has come so many times; return the last of these."""
        async with asyncio.timeout(20):
            while len(self.of(name)) < count:
                self._came.clear()
                await self._came.wait()
        return self.of(name)[count - 1]

    def __call__(self, _logger: object, _method: str, event: Mapping[str, Any]) -> Mapping[str, Any]:
        """Be a structlog processor."""
        self.events.append(dict(event))
        self._came.set()
        raise structlog.DropEvent


@contextmanager
def watching_logs() -> Iterator[LogWatch]:
    """Catch what is logged on the event loop."""
    watch = LogWatch()
    structlog.configure(processors=[structlog.contextvars.merge_contextvars, watch])
    try:
        yield watch
    finally:
        structlog.reset_defaults()


class GatedSource(FakeSource):
    """A tenant whose pages wait while ``gate`` is closed; ``asked`` tells that one does."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()
        self.gate.set()
        self.asked = asyncio.Event()

    async def fetch_page(self, stream: Stream, link: str | None) -> Page:
        """Return the page once the gate is open."""
        self.asked.set()
        await self.gate.wait()
        return await super().fetch_page(stream, link)


class Meter:
    """A side on which every run makes three requests."""

    def __init__(self) -> None:
        self.requests = 0

    def read_times(self) -> StatedTimes:
        """Return the right time."""
        distance = time.time() - asyncio.get_running_loop().time()
        return StatedTimes(distance, distance)

    def read_traffic(self) -> Mapping[str, int]:
        """Return the requests so far."""
        self.requests += 3
        return {"requests": self.requests - 3, "throttled": 0}


class FakeParts:
    """Both fake sides, and what shall go wrong: ``refusals`` are raised one by one when the sides are opened."""

    def __init__(self) -> None:
        self.source = GatedSource()
        self.source.put_user("u1", userPrincipalName="ann@x.example", displayName="Ann")
        self.portal = FakePortal()
        self.refusals: list[Exception] = []
        self.open_sides_now = 0
        self.most_open_sides = 0
        self.states: list[DaemonState] = []
        self.expiring: dict[str, datetime] = {}
        self.channels: dict[ChannelName, Channel] = {}
        self.events: tuple[str, ...] = EVENTS

    def composition(self, *, serve_health: Callable[[Listen, DaemonState], Any] | None = None) -> Composition:
        """Return the parts as the daemon wants them."""
        return Composition(
            open_store=open_new_store,
            open_sides=self.open_sides,
            make_runs=lambda settings, database, clock: Runs(Store(database), clock, lambda now: False),
            serve_health=serve_health or self._serve_nothing,
            serve_console=lambda listen, state, settings: self._serve_nothing(listen, state),
            identify_rules=lambda settings: "rules",
            count_states=lambda settings, database, now: {"user": {"active": 1}},
            list_expiring=lambda settings, database, now: self.expiring,
            list_outlets=lambda settings, clock: [
                Outlet(name=name, events=self.events, open=partial(_open, channel))
                for name, channel in self.channels.items()
            ],
        )

    @asynccontextmanager
    async def open_sides(
        self,
        settings: Settings,
        database: Database,
        clock: Clock,
        *,
        progress: Progress,
        stopping: Callable[[], bool],
    ) -> AsyncIterator[Sides]:
        """Open the fake sides, or refuse."""
        if self.refusals:
            raise self.refusals.pop(0)
        self.open_sides_now += 1
        self.most_open_sides = max(self.most_open_sides, self.open_sides_now)
        pull = Pull(self.source, Store(database), clock=clock, progress=progress, stopping=stopping)
        options = make_apply_options(sync_wait=5)
        push = Push(
            self.portal,
            Store(database),
            rules=make_rules(),
            clock=clock,
            options=options,
            progress=progress,
            stopping=stopping,
        )
        try:
            yield Sides(pull, push, {"graph": Meter()})
        finally:
            self.open_sides_now -= 1

    async def _serve_nothing(self, listen: Listen, state: DaemonState) -> None:
        self.states.append(state)
        await asyncio.Event().wait()


def _open(channel: Channel) -> AbstractAsyncContextManager[Channel]:
    return nullcontext(channel)


def open_new_store(settings: Settings) -> Database:
    """Open the store of the settings, bringing it up when it is empty."""
    return open_migrated(settings.store.url.reveal())


async def always() -> bool:
    """Say that the lock is ours."""
    return True


def make_settings(store_url: str, **sections: str) -> Settings:
    """Return settings over a store; ``schedule__on_start="none"`` and the like change single keys."""
    environ = {f"SYNCD_{key.upper()}": value for key, value in sections.items()}
    return load_settings(None, {"SYNCD_STORE__URL": store_url, **environ}, need=frozenset())
