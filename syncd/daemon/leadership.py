"""One stretch of time with one store: wait for its lock as a standby, then work for as long as the lock is ours."""

from __future__ import annotations

from datetime import datetime

import structlog

from syncd.daemon.async_lock import Keeper
from syncd.daemon.schedule import KINDS, ScheduledKind
from syncd.daemon.shared import Life
from syncd.daemon.state import GOOD, PULLS
from syncd.daemon.worker import Worker
from syncd.errors import StoreError
from syncd.model.run import RunKind, RunRequest
from syncd.store.db.database import Database
from syncd.store.db.lock import ANSWER_SECONDS, LOST_SECONDS, SETTLE_SECONDS, WATCH_SECONDS, StoreLock
from syncd.store.runs.runlog import RunLog
from syncd.tasks import background_tasks

_POLL_SECONDS = 1.0
_WAITING = "another syncd works on this store; this one takes over when that one ends"


class Term:
    """Ends when the daemon stops, moves to another store, or loses the lock."""

    def __init__(self, life: Life, database: Database) -> None:
        self._life = life
        self._database = database
        self._keeper = Keeper(StoreLock(database))
        self._lost = False
        self._worker = Worker(life, database, is_lost=lambda: self._lost, confirm=self._confirm)
        self._log = structlog.get_logger("syncd.daemon")

    async def serve(self) -> None:
        """Wait, work, and give the lock back. A store that cannot be asked is waited for by whoever calls again."""
        try:
            if await self._wait_for_lock():
                await self._lead()
        except StoreError as error:
            await self._life.rest(self._life.store.note(error))
        finally:
            self._life.schedule.stop()
            await self._keeper.close()

    def cancel_run(self) -> None:
        """Break off the run in hand."""
        self._worker.cancel_run()

    async def _wait_for_lock(self) -> bool:
        """Return True with the lock in hand, False when the store is to be left."""
        life, waited = self._life, False
        while not life.is_leaving():
            if await self._keeper.try_acquire():
                if self._keeper.can_overlap and (waited or life.store.present or await self._has_open_run()):
                    await life.rest(SETTLE_SECONDS)
                    if life.is_leaving() or not await self._keeper.is_held(within=ANSWER_SECONDS):
                        continue
                if waited:
                    self._log.info("standby.taken_over")
                return True
            life.store.clear()
            life.state.take_part("standby")
            if not waited:
                self._log.info("standby.waiting", store=self._database.address, reason=_WAITING)
                waited = True
            await life.rest(_POLL_SECONDS)
        return False

    async def _has_open_run(self) -> bool:
        return await self._database.call(RunLog(self._database).has_open)

    async def _lead(self) -> None:
        life, log = self._life, RunLog(self._database)
        left = await self._database.call(log.interrupt_open)
        if left:
            self._log.warning("runs.interrupted", runs=left)
        await self._start_schedule(log)
        life.store.clear()
        life.state.take_part("working")
        self._log.info("daemon.working")
        async with background_tasks((self._watch_lock(), "watch lock")):
            await self._worker.work()

    async def _start_schedule(self, log: RunLog) -> None:
        """Start the schedule, and ask for the first run; a full run that was missed meanwhile is made up by it."""
        life, now = self._life, self._life.clock.now()
        last: dict[ScheduledKind, datetime] = {}
        for kind in KINDS:
            serving: tuple[RunKind, ...] = ("full",) if kind == "full" else PULLS
            record = await self._database.call(log.load_last, kinds=serving, statuses=GOOD)
            if record is not None and record.started_at <= now:
                last[kind] = record.started_at
        on_start = life.settings.schedule.on_start
        if on_start != "none":
            missed = "full" in last and life.schedule.is_overdue("full", last=last["full"])
            first: ScheduledKind = "full" if missed else on_start
            life.queue.put(RunRequest(first, "start"))
            last["delta"] = now
            if first == "full":
                last["full"] = now
        life.schedule.start(last)

    async def _watch_lock(self) -> None:
        """Look whether the lock is still ours; when it is not, stop the run, and do not wait long for its end."""
        while await self._confirm():
            await self._life.clock.sleep(WATCH_SECONDS)
        await self._life.clock.sleep(LOST_SECONDS)
        self._worker.cancel_run()

    async def _confirm(self) -> bool:
        """Return whether the lock is ours, as far as that can be found out in time; without it this term is over."""
        held = not self._lost and await self._keeper.is_held(within=ANSWER_SECONDS)
        if not held and not self._lost:
            self._log.error("standby.lock_lost")
            self._lost = True
            self._life.bell.set()
        return held
