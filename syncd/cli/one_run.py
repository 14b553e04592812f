"""Carry out one run in this process: under the store's lock, with progress, and with manners when asked to stop.

The first SIGINT or SIGTERM lets the page or change in hand finish and closes the run as interrupted; the second one
leaves at once with 128 + its number, and what was sent by then is found out by the next run.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click

from syncd.clock import Clock
from syncd.errors import StoreError, StoreLocked

if TYPE_CHECKING:
    from syncd.cli.screen.progress import Aside, Report
    from syncd.config import Settings
    from syncd.daemon.async_lock import AsyncLock
    from syncd.model.run import RunRecord, RunRequest
    from syncd.store.db.database import Database
    from syncd.sync.planning.proposal import Proposal

_POLL = 0.5


def execute(
    settings: Settings,
    database: Database,
    request: RunRequest,
    *,
    wait: timedelta | None = None,
    proposal: Proposal | None = None,
    shown: Callable[[int], None] | None = None,
    aside: Aside | None = None,
) -> RunRecord:
    """Carry out a request, or a proposal instead of a comparison, and return its closed record.

    ``shown`` is called with the number of the run when its plan is complete and nothing is written yet. ``aside`` lets
    a proposal print what it finds.

    Raises StoreLocked when another syncd works on the store, at once or after ``wait``; what hinders a run from
    starting at all is raised too. A second signal leaves the program with 128 + its number.
    """
    from syncd.cli.screen.progress import Aside, showing_progress

    stop, beside = Stop(), aside or Aside()

    def show(run_id: int) -> None:
        if shown is not None:
            with beside.printing():
                shown(run_id)

    try:
        with showing_progress(beside) as report:
            work = _Work(
                settings=settings,
                database=database,
                request=request,
                stop=stop,
                wait=wait,
                report=report,
                proposal=proposal,
                shown=None if shown is None else show,
            )
            return asyncio.run(_execute(work))
    except asyncio.CancelledError:
        raise click.exceptions.Exit(128 + stop.number) from None


class Stop:
    """The wish to stop, as signals express it."""

    def __init__(self) -> None:
        self.number = 0
        self._event = asyncio.Event()

    def requested(self) -> bool:
        """Return whether the work in hand should come to an end."""
        return self._event.is_set()

    def request(self) -> None:
        """Let the work in hand come to an end."""
        self._event.set()

    async def wait(self, seconds: float) -> bool:
        """Wait for the wish, at most so long; return whether it was expressed."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._event.wait()
        return self.requested()

    @contextlib.contextmanager
    def listening(self, task: asyncio.Task[RunRecord]) -> Iterator[None]:
        """Let SIGINT and SIGTERM speak: the first one asks, the second one cancels ``task``, a third one kills."""
        loop = asyncio.get_running_loop()
        numbers = (signal.SIGINT, signal.SIGTERM)
        for number in numbers:
            loop.add_signal_handler(number, self._hear, number, task)
        try:
            yield
        finally:
            for number in numbers:
                loop.remove_signal_handler(number)

    def _hear(self, number: signal.Signals, task: asyncio.Task[RunRecord]) -> None:
        if self.number:
            os._exit(128 + number)
        if self.requested():
            self.number = number
            task.cancel()
            return
        self.request()
        click.echo("syncd: finishing what is in hand; the same signal again leaves at once", err=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Work:
    """One run's worth of work."""

    settings: Settings
    database: Database
    request: RunRequest
    stop: Stop
    wait: timedelta | None
    report: Report
    proposal: Proposal | None
    shown: Callable[[int], None] | None


async def _execute(work: _Work) -> RunRecord:
    task = asyncio.create_task(_carry_out(work), name="run")
    with work.stop.listening(task):
        record = await task
    if work.request.write:
        from syncd.bootstrap.settings import list_expiring
        from syncd.notifications import notify_about_end

        await notify_about_end(work.settings, work.database, Clock(), record, list_expiring)
    return record


async def _carry_out(work: _Work) -> RunRecord:
    from syncd.bootstrap.process import tune_process
    from syncd.bootstrap.runs import make_runs
    from syncd.bootstrap.sides import open_sides
    from syncd.daemon.async_lock import AsyncLock
    from syncd.logs.pipe import get_logger
    from syncd.store.db.lock import StoreLock
    from syncd.store.store import Store

    settings, database, stop = work.settings, work.database, work.stop
    clock, lost = Clock(), asyncio.Event()
    lock = AsyncLock(StoreLock(database))
    run = asyncio.current_task()
    watch: asyncio.Task[None] | None = None
    try:
        way_out = tell_way_out(work.request, proposed=work.proposal is not None)
        await _acquire(lock, clock, stop, wait=work.wait, way_out=way_out)
        if lock.can_overlap and await Store(database).runs.has_open():
            await _settle(lock, stop)
        watch = asyncio.create_task(_watch(lock, clock, stop, lost, run), name="watch the store's lock")
        log = get_logger("syncd.run")
        for run_id in await Store(database).runs.interrupt_open():
            log.warning("run.found_interrupted", run=run_id)
        runs = make_runs(settings, database, clock)
        async with open_sides(settings, database, clock, progress=work.report, stopping=stop.requested) as sides:
            tune_process()  # both sides are loaded by now
            return await runs.execute(work.request, sides, proposal=work.proposal, shown=work.shown)
    except asyncio.CancelledError:
        if lost.is_set() and not stop.number:
            raise StoreError("the lock on the store was lost, and the run was broken off; start it again") from None
        raise
    finally:
        if watch is not None:
            watch.cancel()
            await asyncio.wait([watch])
        await lock.close()


def tell_way_out(request: RunRequest, *, proposed: bool) -> str:
    """Return what helps a command whose store another syncd works on. A daemon keeps the store until it is stopped.

    ``proposed``: the command carries out a plan of its own, which no signal asks a daemon for.
    """
    if request.write and request.pull != "none":
        signals = "a daemon runs at once on SIGUSR1 (full) or SIGUSR2 (delta)"
        return f"{signals}; '--wait 5m' waits for the end of another command"
    stop = "a daemon (and its standby) must be stopped for this command and started again afterwards"
    if request.write or proposed:
        return f"{stop}, as no signal asks it for this; '--wait 5m' waits until it, or another command, has ended"
    asked = "'syncd plan delta', without --out, is answered by a daemon; for this one " if not request.write else ""
    return f"{asked}{stop}; of another command wait for the end, '--wait 5m'"


async def _acquire(lock: AsyncLock, clock: Clock, stop: Stop, *, wait: timedelta | None, way_out: str) -> None:
    if await lock.try_acquire():
        return
    if wait is None:
        raise StoreLocked(f"another syncd works on this store; {way_out}")
    deadline = clock.monotonic() + wait.total_seconds()
    click.echo("syncd: waiting for the other syncd that works on this store", err=True)
    while not await lock.try_acquire():
        if await stop.wait(_POLL):
            raise StoreLocked("asked to stop while another syncd worked on this store; nothing was done")
        if clock.monotonic() >= deadline:
            waited = f"{wait.total_seconds():.0f} seconds"
            raise StoreLocked(f"another syncd still works on this store after {waited}; {way_out}")


async def _settle(lock: AsyncLock, stop: Stop) -> None:
    """Give whoever lost the lock in the middle of a run the time to notice; that run may as well be of the dead."""
    from syncd.store.db.lock import ANSWER_SECONDS, SETTLE_SECONDS

    click.echo(
        f"syncd: a run is still open in this store; waiting {SETTLE_SECONDS:.0f} seconds, in case a syncd that was cut "
        "off from the store is still ending it",
        err=True,
    )
    if await stop.wait(SETTLE_SECONDS):
        raise StoreLocked("asked to stop before another syncd was sure to have ended its run; nothing was done")
    if not await lock.is_held(within=ANSWER_SECONDS):
        raise StoreError("the lock on the store was lost before anything was done; try again")


async def _watch(lock: AsyncLock, clock: Clock, stop: Stop, lost: asyncio.Event, run: asyncio.Task[Any] | None) -> None:
    """End the run when the lock is lost, with its database session or the file that it is on; break it off at last."""
    from syncd.store.db.lock import ANSWER_SECONDS, LOST_SECONDS, WATCH_SECONDS

    while await lock.is_held(within=ANSWER_SECONDS):
        await clock.sleep(WATCH_SECONDS)
    click.echo("syncd: the lock on the store is lost; stopping", err=True)
    lost.set()
    stop.request()
    await clock.sleep(LOST_SECONDS)
    if run is not None:
        run.cancel()
