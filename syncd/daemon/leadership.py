"""One leadership term: wait for the store's lock as a standby, and work while holding it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from uuid import uuid4

import structlog

from syncd.daemon.async_lock import AsyncLock
from syncd.daemon.schedule import KINDS, ScheduledKind
from syncd.daemon.shared import DaemonContext
from syncd.daemon.state import GOOD, PULLS
from syncd.daemon.worker import Worker
from syncd.errors import StoreError
from syncd.model.run import RunKind, RunRequest
from syncd.store.db.database import Database
from syncd.store.db.lock import ANSWER_SECONDS, LOST_SECONDS, SETTLE_SECONDS, WATCH_SECONDS, StoreLock
from syncd.store.runs.daemons import SAID_EVERY, DaemonRole, DaemonSeen
from syncd.store.runs.runlog import RunLog
from syncd.store.store import Store
from syncd.tasks import background_tasks

_POLL_SECONDS = 1.0
_WAITING = "another syncd works on this store; this one takes over when that one ends"


class LeadershipTerm:
    """Ends when the daemon stops, moves to another store, or loses the lock."""

    def __init__(self, context: DaemonContext, database: Database) -> None:
        self._context = context
        self._database = database
        self._lock = AsyncLock(StoreLock(database))
        self._lost = False
        self._name = uuid4().hex
        self._since = context.clock.now()
        self._worker = Worker(context, database, is_lost=lambda: self._lost, confirm=self._confirm)
        self._log = structlog.get_logger("syncd.daemon")

    async def serve(self) -> None:
        """Wait, work, and give the lock back. A store that cannot be asked is waited for by whoever calls again."""
        try:
            async with background_tasks((self._keep_saying_up(), "say up")):
                if await self._wait_for_lock():
                    await self._lead()
        except StoreError as error:
            await self._context.rest(self._context.store_backoff.note(error))
        finally:
            self._context.schedule.stop()
            if not self._context.store_backoff.present:  # after a while without a word it is taken for gone anyway
                await self._finish_in_thread(partial(Store(self._database).daemons.say_gone, self._name))
            await self._lock.close()

    def cancel_reading(self) -> None:
        """Break off the run in hand if it has not come to writing yet."""
        self._worker.cancel_reading()

    def cancel_run(self) -> None:
        """Break off the run in hand."""
        self._worker.cancel_run()

    async def _wait_for_lock(self) -> bool:
        """Return True with the lock in hand, False when the store is to be left."""
        context, waited = self._context, False
        while not context.is_leaving():
            if await self._lock.try_acquire():
                if self._lock.can_overlap and (waited or context.store_backoff.present or await self._has_open_run()):
                    await context.rest(SETTLE_SECONDS)
                    if context.is_leaving() or not await self._lock.is_held(within=ANSWER_SECONDS):
                        continue
                if waited:
                    self._log.info("standby.taken_over")
                return True
            context.store_backoff.clear()
            context.state.take_part("standby")
            if not waited:
                self._log.info("standby.waiting", store=self._database.address, reason=_WAITING)
                waited = True
            await context.rest(_POLL_SECONDS)
        return False

    async def _keep_saying_up(self) -> None:
        """Say again and again which part this daemon has, beside the store's thread, which may be busy for long."""
        while True:
            role = self._context.state.role
            if role in ("working", "standby"):
                part: DaemonRole = "working" if role == "working" else "standby"
                await self._finish_in_thread(partial(self._say_up, part, self._context.schedule.next_times()))
            said = self._context.clock.monotonic()
            while self._context.state.role == role and self._context.clock.monotonic() < said + SAID_EVERY:
                await self._context.clock.sleep(_POLL_SECONDS)

    async def _finish_in_thread(self, word: Callable[[], None]) -> None:
        """Write one word about this daemon; a store that fails is found out, and told, by the work itself."""
        writing = asyncio.get_running_loop().run_in_executor(None, word)
        writing.add_done_callback(lambda done: done.cancelled() or done.exception())  # nobody may be left to ask for it
        with contextlib.suppress(StoreError):
            try:
                await asyncio.shield(writing)
            except asyncio.CancelledError:
                await asyncio.wait([writing])
                raise

    def _say_up(self, role: DaemonRole, times: Mapping[ScheduledKind, datetime]) -> None:
        seen = DaemonSeen(
            role=role,
            host=socket.gethostname(),
            pid=os.getpid(),
            since=self._since,
            next_full=times.get("full"),
            next_delta=times.get("delta"),
        )
        Store(self._database).daemons.say_up(self._name, seen, now=self._context.clock.now())

    async def _has_open_run(self) -> bool:
        return await Store(self._database).runs.has_open()

    async def _lead(self) -> None:
        context, log = self._context, Store(self._database).runs
        left = await log.interrupt_open()
        if left:
            self._log.warning("runs.interrupted", runs=left)
        await self._start_schedule(log)
        context.store_backoff.clear()
        context.state.take_part("working")
        await self._finish_in_thread(partial(self._say_up, "working", context.schedule.next_times()))
        self._log.info("daemon.working")
        async with background_tasks((self._watch_lock(), "watch lock")):
            await self._worker.work()

    async def _start_schedule(self, log: RunLog) -> None:
        """Start the schedule and request the first run. If a scheduled full run was missed, the first run is full."""
        context, now = self._context, self._context.clock.now()
        last: dict[ScheduledKind, datetime] = {}
        for kind in KINDS:
            serving: tuple[RunKind, ...] = ("full",) if kind == "full" else PULLS
            record = await log.load_last(kinds=serving, statuses=GOOD)
            if record is not None and record.started_at <= now:
                last[kind] = record.started_at
        on_start = context.settings.schedule.on_start
        if on_start != "none":
            missed = "full" in last and context.schedule.is_overdue("full", last=last["full"])
            first: ScheduledKind = "full" if missed else on_start
            context.queue.put(RunRequest(pull=first, trigger="start"))
            last["delta"] = now
            if first == "full":
                last["full"] = now
        context.schedule.start(last)

    async def _watch_lock(self) -> None:
        """Look whether the lock is still ours; when it is not, stop the run, and do not wait long for its end."""
        while await self._confirm():
            await self._context.clock.sleep(WATCH_SECONDS)
        await self._context.clock.sleep(LOST_SECONDS)
        self._worker.cancel_run()

    async def _confirm(self) -> bool:
        """Return whether the lock is ours, as far as that can be found out in time; without it this term is over."""
        held = not self._lost and await self._lock.is_held(within=ANSWER_SECONDS)
        if not held and not self._lost:
            self._log.error("standby.lock_lost")
            self._lost = True
            self._context.bell.set()
        return held
