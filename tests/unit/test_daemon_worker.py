"""The worker: one run at a time, and no single failure ends its work."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from syncd.clock import Clock
from syncd.daemon.shared import DaemonContext, make_context
from syncd.daemon.worker import Worker
from syncd.errors import AuthFailed, StoreError
from syncd.model.run import RunRequest
from syncd.store.db.database import Database
from syncd.store.store import Store
from tests.fakes.daemon import FakeParts, LogWatch, always, make_settings, open_new_store, watching_logs


@dataclass
class Desk:
    """A worker with everything around it."""

    parts: FakeParts
    context: DaemonContext
    database: Database
    worker: Worker
    log: LogWatch

    def runs(self) -> list[str]:
        """Return the recorded runs, oldest first, as ``kind trigger status``."""
        return [f"{run.kind} {run.trigger} {run.status}" for run in reversed(Store(self.database).runs.load_runs(100))]


@pytest.fixture
async def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Desk]:
    """A worker at work on an empty store; it is stopped at the end."""
    monkeypatch.setattr("syncd.daemon.backoff._FIRST_SECONDS", 0.0)
    parts = FakeParts()
    settings = make_settings(f"sqlite:///{tmp_path / 'store.db'}")
    database = open_new_store(settings)
    context = make_context(settings, parts.composition(), Clock())
    worker = Worker(context, database, is_lost=lambda: False, confirm=always)
    with watching_logs() as log:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(worker.work(), name="worker")
            yield Desk(parts, context, database, worker, log)
            context.stop.set()
            context.bell.set()
    database.close()


async def test_the_first_delta_of_an_empty_store_is_a_full_run(desk: Desk) -> None:
    """What is asked for as delta reads everything the first time, and what changed from then on."""
    desk.context.queue.put(RunRequest(pull="delta", trigger="start"))
    await desk.log.wait("run.finished", 1)
    desk.context.queue.put(RunRequest(pull="delta", trigger="schedule"))
    await desk.log.wait("run.finished", 2)
    assert desk.runs() == ["full start succeeded", "delta schedule succeeded"]


async def test_no_run_begins_without_the_lock(tmp_path: Path) -> None:
    """The worker asks before each run whether the lock is still ours; what was asked for waits for whoever has it."""
    parts = FakeParts()
    settings = make_settings(f"sqlite:///{tmp_path / 'store.db'}")
    database = open_new_store(settings)
    context = make_context(settings, parts.composition(), Clock())
    lost = False

    async def notice() -> bool:
        nonlocal lost
        lost = True
        return False

    request = RunRequest(pull="full", trigger="signal")
    context.queue.put(request)
    with watching_logs() as log:
        async with asyncio.timeout(20):
            await Worker(context, database, is_lost=lambda: lost, confirm=notice).work()
    assert "run.started" not in log.names()
    assert context.queue.take() == request
    database.close()


async def test_requests_during_a_run_become_one_run_after_it(desk: Desk) -> None:
    """Runs never overlap, and what was asked for meanwhile is done once."""
    desk.parts.source.gate.clear()
    desk.context.queue.put(RunRequest(pull="delta", trigger="start"))
    await desk.parts.source.asked.wait()
    for _ in range(10):
        desk.context.queue.put(RunRequest(pull="delta", trigger="schedule"))
    desk.context.queue.put(RunRequest(pull="full", trigger="signal"))
    desk.parts.source.gate.set()
    await desk.log.wait("run.finished", 2)
    assert desk.runs() == ["full start succeeded", "full signal succeeded"]
    assert desk.parts.most_open_sides == 1


async def test_a_stop_closes_the_run_as_interrupted(desk: Desk) -> None:
    """A run that is told to stop ends after the page in hand, recorded as interrupted."""
    desk.parts.source.gate.clear()
    desk.context.queue.put(RunRequest(pull="full", trigger="start"))
    await desk.parts.source.asked.wait()
    desk.worker.cancel_run()
    await desk.log.wait("run.finished")
    assert desk.runs() == ["full start interrupted"]


async def test_a_side_that_cannot_be_opened_is_a_failed_run_and_the_full_is_still_owed(desk: Desk) -> None:
    """The failure stands in the run history; the next request does what the failed full run did not."""
    desk.parts.refusals.append(AuthFailed("Entra ID refused the secret"))
    desk.context.queue.put(RunRequest(pull="full", trigger="schedule"))
    failed = await desk.log.wait("run.finished", 1)
    assert (failed["status"], failed["error"]) == ("failed", "Entra ID refused the secret")
    desk.context.queue.put(RunRequest(pull="delta", trigger="schedule"))
    await desk.log.wait("run.finished", 2)
    assert desk.runs() == ["full schedule failed", "full schedule succeeded"]


async def test_a_failing_store_is_tried_again_and_told_once(desk: Desk) -> None:
    """The same request is repeated until the store works; the log has the first failure and the recovery."""
    desk.parts.refusals += [StoreError("the disk is full")] * 3
    desk.context.queue.put(RunRequest(pull="delta", trigger="schedule"))
    await desk.log.wait("store.recovered")
    assert desk.runs() == ["full schedule succeeded"]
    assert len(desk.log.of("store.error")) == 1
    assert desk.log.of("store.recovered")[0]["failures"] == 3


async def test_a_programming_error_is_logged_with_its_traceback_once(desk: Desk) -> None:
    """An unexpected exception does not end the daemon, and the same one again is not logged again."""
    desk.parts.refusals += [ZeroDivisionError("oops"), ZeroDivisionError("oops")]
    for count in (1, 2):
        desk.context.queue.put(RunRequest(pull="delta", trigger="schedule"))
        while len(desk.parts.refusals) > 2 - count:
            await asyncio.sleep(0)
    desk.context.queue.put(RunRequest(pull="delta", trigger="schedule"))
    await desk.log.wait("run.recovered")
    (told,) = desk.log.of("run.error")
    assert isinstance(told["exc_info"], ZeroDivisionError)
    assert desk.runs() == ["full schedule succeeded"]


async def test_a_run_left_open_is_marked_before_the_next_one(desk: Desk) -> None:
    """A record that an earlier process left open says interrupted as soon as this worker runs."""
    Store(desk.database).runs.open.blocking("delta", "schedule", now=Clock().now())
    desk.context.queue.put(RunRequest(pull="delta", trigger="schedule"))
    await desk.log.wait("run.finished")
    assert desk.runs() == ["delta schedule interrupted", "full schedule succeeded"]


async def test_totals_count_runs_changes_and_requests(desk: Desk) -> None:
    """What health and metrics show adds up over the runs of the process."""
    desk.context.queue.put(RunRequest(pull="delta", trigger="start"))
    await desk.log.wait("run.finished")
    desk.context.queue.put(RunRequest(pull="delta", trigger="schedule"))
    await desk.log.wait("run.finished", 2)
    while desk.context.state.runs_total.total() < 2:
        await asyncio.sleep(0)
    state = desk.context.state
    assert state.runs_total == {("full", "succeeded"): 1, ("delta", "succeeded"): 1}
    assert state.changes_total["create", "user", "done"] == 1
    assert state.traffic_total["graph", "requests"] == 6
    assert {what: sum(took.counts) for (what, name), took in state.durations.items() if name in ("full", "pull")} == {
        "run": 1,
        "phase": 2,
    }
