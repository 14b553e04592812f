"""Virtual time for a whole process: hours pass in seconds, over real sockets, threads and files.

Whenever nothing is left to do until the next timer of the event loop, the clock jumps there. It does not while a thread
works or a byte is on its way on this machine, so that nothing that waits for either meets its time limit early.
"""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

import apscheduler.schedulers.base
import apscheduler.triggers.cron
import apscheduler.triggers.interval
import msal.oauth2cli.assertion

from syncd.clock import Clock

_ON_ITS_WAY = 0.001
"""Seconds that a byte may need from one socket of this process to another."""
_THREADS = 0.02


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time jumps over every wait."""

    def __init__(self) -> None:
        self._ahead = 0.0
        self._in_threads = 0
        super().__init__(_Jumping(self))

    def time(self) -> float:
        """Return the virtual monotonic time in seconds."""
        return time.monotonic() + self._ahead

    def run_in_executor(  # type: ignore[override]  # of any types, as nobody here minds
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> Any:
        """Run in a thread; time does not jump meanwhile."""
        future = super().run_in_executor(executor, func, *args)
        self._in_threads += 1
        future.add_done_callback(self._leave_thread)
        return future

    def _leave_thread(self, _future: object) -> None:
        self._in_threads -= 1

    def jump(self, seconds: float) -> None:
        """Let so much time have passed."""
        self._ahead += seconds

    @property
    def waits_for_threads(self) -> bool:
        """Whether a thread works."""
        return self._in_threads > 0


class _Jumping(selectors.DefaultSelector):
    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait for files as others do, and for the time by a jump."""
        ready = super().select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        if self._loop.waits_for_threads:
            return super().select(_THREADS if timeout is None else min(timeout, _THREADS))
        ready = super().select(_ON_ITS_WAY)
        if ready or timeout is None:
            return ready
        self._loop.jump(timeout)
        return []


class VirtualClock(Clock):
    """The time of that loop; it begins now."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop
        self._begun = datetime.now(UTC) - timedelta(seconds=loop.time())

    def now(self) -> datetime:
        """Return the virtual present."""
        return self._begun + timedelta(seconds=self._loop.time())

    def monotonic(self) -> float:
        """Return the virtual monotonic time."""
        return self._loop.time()

    def uptime(self) -> tuple[str, float]:
        """Return the time of a machine that was never started again."""
        return "boot", self._loop.time()


@contextmanager
def everybody_goes_by(clock: Clock) -> Iterator[None]:
    """Let the libraries that ask the system for the time go by this clock: APScheduler, and what msal signs."""

    class Now(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]  # not a Now, as nobody minds
            return clock.now().astimezone(tz)

    class Time:
        @staticmethod
        def time() -> float:
            return clock.now().timestamp()

    scheduler = (apscheduler.schedulers.base, apscheduler.triggers.cron, apscheduler.triggers.interval)
    replaced = [(module, "datetime", Now) for module in scheduler]
    replaced.append((msal.oauth2cli.assertion, "time", Time))  # type: ignore[arg-type]  # a module is replaced there
    before = [(module, name, getattr(module, name)) for module, name, _ in replaced]
    for module, name, value in replaced:
        setattr(module, name, value)
    try:
        yield
    finally:
        for module, name, value in before:
            setattr(module, name, value)
