"""The worker: takes requests one at a time and carries them out, whatever happens to a single one of them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack

import structlog

from syncd.daemon.backoff import Backoff
from syncd.daemon.shared import DaemonContext
from syncd.errors import ConfigError, StoreError, SyncdError
from syncd.model.run import PullKind, RunKind, RunRecord, RunRequest
from syncd.store.db.database import Database
from syncd.store.runs.asked import QUESTIONS, Asked, AskedKind
from syncd.store.store import Store
from syncd.sync.planning.drift import DriftCheck
from syncd.sync.runs import Sides

_ORDERS_EVERY = 2.0
"""Seconds between two looks for approvals and wishes for a run, which are given in another process."""


_OTHER_RULES = (
    "the daemon that works on this store has other rules (scope, mapping, policy, guard, licences, privileges) than "
    "this command has read: give it these by SIGHUP, or stop it (and its standby) for this command"
)


def make_request(kind: AskedKind, wishes: Sequence[int]) -> RunRequest:
    """Return the run that serves wishes of a kind."""
    served = tuple(wishes)
    match kind:
        case "full" | "delta":
            return RunRequest(pull=kind, trigger="cli", retry_failed=True, wishes=served)
        case "plan none" | "plan delta":
            pull: PullKind = "none" if kind == "plan none" else "delta"
            return RunRequest(pull=pull, trigger="cli", write=False, retry_failed=True, wishes=served)
        case "drift":
            return RunRequest(pull="none", trigger="cli", retry_failed=True, drift=True, wishes=served)


class Worker:
    """Works on one store for as long as this process holds its lock.

    ``is_lost`` says that it does not any more, as far as is known; ``confirm`` asks, before a run begins, whether it
    does.
    """

    def __init__(
        self,
        context: DaemonContext,
        database: Database,
        *,
        is_lost: Callable[[], bool],
        confirm: Callable[[], Awaitable[bool]],
    ) -> None:
        self._context = context
        self._database = database
        self._is_lost = is_lost
        self._confirm = confirm
        self._run_backoff = Backoff(failed="run.error", recovered="run.recovered")
        self._run: asyncio.Task[RunRecord] | None = None
        self._reads = True
        self._log = structlog.get_logger("syncd.daemon")

    async def work(self) -> None:
        """Carry out requests until it is time to leave; between them, wait without turning."""
        context = self._context
        while True:
            context.bell.clear()
            if context.is_leaving() or self._is_lost():
                return
            reached, order = await self._look_for_orders()
            request = context.queue.take() or order
            if reached and request is None:  # what failed for want of the store is tried again before it counts as well
                context.store_backoff.clear()
            if request is not None:
                if await self._confirm():
                    await self._carry_out(request)
                else:
                    self._put_back(request)
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_ORDERS_EVERY):
                    await context.bell.wait()

    async def _look_for_orders(self) -> tuple[bool, RunRequest | None]:
        """Queue the runs that somebody asked for beside this daemon, and return what a person approved, if anything.

        First of all, whether the store could be asked.
        """
        store = Store(self._database)
        try:
            wishes, approval = await store.asked.load_waiting(), await store.decisions.load_order()
            question = await self._choose_question([wish for wish in wishes if wish.kind in QUESTIONS])
        except StoreError as error:
            await self._context.rest(self._context.store_backoff.note(error))
            return False, None
        for wish in wishes:
            if wish.kind in ("full", "delta"):
                self._context.queue.put(make_request(wish.kind, [wish.id]))
        if approval is None:
            return True, question
        return True, RunRequest(pull="none", trigger="approval", retry_failed=True, approval=approval)

    async def _choose_question(self, asked: Sequence[Asked]) -> RunRequest | None:
        """Return the oldest question, with all that ask the same; those about other rules than ours are refused."""
        if not asked:
            return None
        ours = self._context.composition.identify_rules(self._context.settings)
        others = [wish.id for wish in asked if wish.rules != ours]
        if others:
            await Store(self._database).asked.refuse(others, _OTHER_RULES)
        mine = [wish for wish in asked if wish.rules == ours]
        return make_request(mine[0].kind, [wish.id for wish in mine if wish.kind == mine[0].kind]) if mine else None

    def cancel_reading(self) -> None:
        """Break off the run in hand if it has not come to writing yet: it may wait for an answer that never comes."""
        if self._reads:
            self.cancel_run()

    def cancel_run(self) -> None:
        """Break off the run in hand: its record is closed as interrupted, its requests are not waited for."""
        if self._run is not None:
            self._log.warning("run.cancelled")
            self._run.cancel()

    async def _carry_out(self, request: RunRequest) -> None:
        """Run once. A store that fails means the same again later; anything else waits for the next request."""
        self._context.state.begin(request)
        self._reads = True
        run = self._run = asyncio.create_task(self._execute(request), name="run")
        try:
            await asyncio.wait([run])
        except asyncio.CancelledError:
            run.cancel()
            await asyncio.wait([run])
            raise
        finally:
            self._run = None
            self._context.state.end()
        if run.cancelled():
            return
        match run.exception():
            case None:
                self._context.store_backoff.clear()
                self._run_backoff.clear()
                await self._sum_up(run.result())
            case StoreError() as error:
                self._put_back(request)
                self._context.notifier.report(error)
                await self._context.rest(self._context.store_backoff.note(error))
            case Exception() as error:
                self._context.notifier.report(error)
                await self._context.rest(self._run_backoff.note(error, traceback=True))
            case error:
                raise error

    def _put_back(self, request: RunRequest) -> None:
        if request.approval is None and not request.is_question:  # these stay in the store until they are carried out
            self._context.queue.put_back(request)

    async def _execute(self, request: RunRequest) -> RunRecord:
        context = self._context
        settings = context.settings
        # The record of an earlier run may stand open: the store failed, or the process was killed. The lock is ours.
        left = await Store(self._database).runs.interrupt_open()
        if left:
            self._log.warning("runs.interrupted", runs=left)
        runs = context.composition.make_runs(settings, self._database, context.clock)
        async with AsyncExitStack() as stack:
            try:
                sides: Sides = await stack.enter_async_context(
                    context.composition.open_sides(
                        settings,
                        self._database,
                        context.clock,
                        progress=context.state.count,
                        stopping=lambda: context.stop.is_set() or self._is_lost(),
                    )
                )
            except StoreError:
                raise
            except SyncdError as error:
                if request.pull == "full":
                    self._context.queue.owe(request)
                record = await self._record_unopened(request, error)
            else:
                check = DriftCheck("report", lambda _found: None) if request.drift else None  # the asker looks itself
                record = await runs.execute(request, sides, proposal=check, shown=self._note_plan)
        await self._answer(request, record)
        return record

    def _note_plan(self, _run: int) -> None:
        """Note that the plan is complete, and that writing begins."""
        self._reads = False

    async def _answer(self, request: RunRequest, record: RunRecord) -> None:
        """Say in the store which run did what was asked for there. A wish whose run was cut short is still one."""
        store = Store(self._database)
        if request.approval is not None and request.approval.order:
            await store.decisions.finish_order(request.approval.order, record.id)
        if request.wishes and record.status != "interrupted":
            await store.asked.serve(request.wishes, record.id)

    async def _record_unopened(self, request: RunRequest, error: SyncdError) -> RunRecord:
        """Record a run that failed before either side could be opened."""
        log, now = Store(self._database).runs, self._context.clock.now()
        kind: RunKind = "full" if request.pull == "full" else "delta"
        if request.is_question:
            kind = "drift" if request.drift else "plan"
        said = "; ".join(error.problems) if isinstance(error, ConfigError) else str(error)
        run_id = await log.open(kind, request.trigger, now=now)
        await log.close(run_id, "failed", counts={}, phases={}, error=said, now=now)
        self._log.warning(
            "run.finished", run=run_id, kind=kind, trigger=request.trigger, status="failed", seconds=0.0, error=said
        )
        return RunRecord(
            id=run_id, kind=kind, trigger=request.trigger, status="failed", started_at=now, finished_at=now, error=said
        )

    async def _sum_up(self, record: RunRecord) -> None:
        if record.kind == "plan":  # nothing was tried, and who asked is told
            self._context.state.add(record, {})
            return
        events: Mapping[tuple[str, str, str], int] = {}
        try:
            events = await Store(self._database).plans.count_events(record.id)
        except StoreError as error:
            self._context.store_backoff.note(error)  # the run is recorded; only this process's metrics miss its changes
        self._context.state.add(record, events)
        self._context.notifier.report(record)
        if record.kind == "full":  # it may have read when the client secret ends
            self._context.credentials_due.set()
