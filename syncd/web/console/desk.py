"""What the console is handed by whoever composes the daemon, and its way to the store."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeVar

from syncd.clock import Clock
from syncd.config import Settings
from syncd.errors import StoreError
from syncd.plan.rules import Rules
from syncd.store.db.database import Database
from syncd.web.vitals import Vitals

T = TypeVar("T")

ASKING_AT_ONCE = 3
ANSWER_SECONDS = 30.0
REST_TIMES = 9
REST_SECONDS = 2.0


class Checked(Protocol):
    """One line of ``syncd check``."""

    @property
    def check(self) -> str: ...
    @property
    def status(self) -> str: ...
    @property
    def detail(self) -> str: ...
    @property
    def remedy(self) -> str: ...


class DaemonVitals(Vitals, Protocol):
    """A running daemon, with the store that it has opened."""

    @property
    def database(self) -> Database | None:
        """Return the store, None before it is opened."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """What the console works with. ``settings`` are those in force, which a reload replaces.

    ``list_ends`` returns when credentials end, by setting; it reads files and the store. ``run_checks`` tries what
    ``syncd check`` tries, and changes nothing.
    """

    settings: Callable[[], Settings]
    vitals: DaemonVitals
    clock: Clock
    make_rules: Callable[[Settings], Rules]
    list_ends: Callable[[Settings, Database, datetime], Mapping[str, datetime]]
    run_checks: Callable[[Settings, Clock], Awaitable[Sequence[Checked]]]


class StoreDoor:
    """Asks the store in threads of their own, a few at a time: no run waits for a page, and no page for long.

    Beside a run it is one at a time, and each is followed by a rest, nine times as long as it kept a processor busy and
    two seconds at most: pages and the run share one interpreter, and however many people read, nine tenths of a
    processor are the run's. ``processor_time`` reads what the thread that asks has used.
    """

    def __init__(self, desk: Desk, processor_time: Callable[[], float] = time.thread_time) -> None:
        self._desk = desk
        self._processor_time = processor_time
        self._free = asyncio.Semaphore(ASKING_AT_ONCE)
        self._beside_run = asyncio.Semaphore(1)
        self._rests_until = -float("inf")

    async def ask(self, question: Callable[[Database], T], *, short: bool = False) -> T:
        """Return what ``question`` makes of the store; raises StoreError, also when it takes too long.

        ``short``: it is about one row, or is somebody's decision, and waits for no page and for no rest.
        """
        database = self._desk.vitals.database
        if database is None:
            raise StoreError("the store is not opened yet")
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                place = await self._take_place(short=short)
                work = asyncio.get_running_loop().run_in_executor(None, self._answer, question, database)
                work.add_done_callback(lambda _: place.release())
                return await asyncio.shield(work)
        except TimeoutError as error:
            raise StoreError(f"the store did not answer within {ANSWER_SECONDS:.0f} seconds") from error

    async def _take_place(self, *, short: bool) -> asyncio.Semaphore:
        """Wait for a turn, and beside a run for the rest after the last page; return what to give back."""
        if short or self._desk.vitals.running is None:
            await self._free.acquire()
            return self._free
        await self._beside_run.acquire()
        try:
            while self._desk.vitals.running is not None:
                left = self._rests_until - self._desk.clock.monotonic()
                if left <= 0:
                    break
                await self._desk.clock.sleep(left)
        except BaseException:
            self._beside_run.release()
            raise
        return self._beside_run

    def _answer(self, question: Callable[[Database], T], database: Database) -> T:
        begun = self._processor_time()
        try:
            return question(database)
        finally:
            rest = min(REST_TIMES * (self._processor_time() - begun), REST_SECONDS)
            self._rests_until = max(self._rests_until, self._desk.clock.monotonic() + rest)
