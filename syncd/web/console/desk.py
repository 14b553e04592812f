"""What the console is handed by whoever composes the daemon, and its way to the store."""

from __future__ import annotations

import asyncio
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

    Beside a run it is one at a time, and each is followed by a rest as long as it took: pages and the run share one
    interpreter, and however many people read, most of it is the run's.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._free = asyncio.Semaphore(ASKING_AT_ONCE)
        self._beside_run = asyncio.Semaphore(1)

    async def ask(self, question: Callable[[Database], T]) -> T:
        """Return what ``question`` makes of the store; raises StoreError, also when it takes too long."""
        database = self._desk.vitals.database
        if database is None:
            raise StoreError("the store is not opened yet")
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                loop = asyncio.get_running_loop()
                if self._desk.vitals.running is None:
                    await self._free.acquire()
                    work = loop.run_in_executor(None, question, database)
                    work.add_done_callback(lambda _: self._free.release())
                else:
                    await self._beside_run.acquire()
                    begun = loop.time()
                    work = loop.run_in_executor(None, question, database)
                    work.add_done_callback(lambda _: loop.call_later(loop.time() - begun, self._beside_run.release))
                return await asyncio.shield(work)
        except TimeoutError as error:
            raise StoreError(f"the store did not answer within {ANSWER_SECONDS:.0f} seconds") from error
