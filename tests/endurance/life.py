"""Days of virtual time with everything on, in minutes: the real daemons between the two imitations.

Two daemons share one store. One works and one waits, and every few hours the working one is stopped, and begun again
as the one that waits. Meanwhile the company lives, both sides fail in all ways, the certificate of the tenant's
application and the secret of the portal's are renewed, the configuration is changed and read again, and old runs are
let go.

At the end every promise is looked at, and what may not grow is compared with what it was after the first third.
"""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import structlog

from syncd.clock import Clock
from syncd.daemon import leadership, worker
from syncd.sandbox.server import Sandbox, SandboxOptions
from syncd.store.db.database import Database, open_database
from syncd.store.runs.verify import Chain
from tests.endurance.growth import Tally, judge_growth
from tests.endurance.happenings import Life
from tests.endurance.virtual import VirtualClock, VirtualLoop, everybody_goes_by

HOURS = 72
_CHURN_EVERY, _FAULT_EVERY, _RELOAD_EVERY, _ROTATE_EVERY, _CHANGE_EVERY, _LOOK_EVERY = (
    600.0, 1500.0, 2.5 * 3600, 7 * 3600.0, 5 * 3600.0, 3 * 3600.0,
)  # fmt: skip
"""Seconds between two changes of the company, faults, reloads, renewals, changes of the working daemon, and looks."""
_TRACED = 1.0
"""So many hours at least tell something about memory."""
_POLL_SECONDS = 60.0
"""The daemons look every two seconds whether somebody asks something of them; here a minute is enough."""


async def _every(clock: Clock, seconds: float, happen: Callable[[], Any]) -> None:
    while True:
        await clock.sleep(seconds)
        await happen()


@asynccontextmanager
async def _happening(life: Life) -> AsyncIterator[None]:
    tasks = [
        asyncio.create_task(_every(life.clock, seconds, happen), name=name)
        for name, seconds, happen in (
            ("churn", _CHURN_EVERY, life.churn),
            ("fail", _FAULT_EVERY, life.fail),
            ("reload", _RELOAD_EVERY, life.reload),
            ("rotate", _ROTATE_EVERY, life.rotate),
            ("change", _CHANGE_EVERY, life.change_guard),
            ("look", _LOOK_EVERY, life.look),
        )
    ]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        for task in tasks:
            if not task.cancelled() and task.exception() is not None:
                life.tally.wrong.append(f"{task.get_name()}: {task.exception()!r}")


@contextmanager
def _polling(seconds: float) -> Iterator[None]:
    polled = ((worker, "_ORDERS_EVERY"), (leadership, "WATCH_SECONDS"), (leadership, "_POLL_SECONDS"))
    before = [getattr(module, name) for module, name in polled]
    for module, name in polled:
        setattr(module, name, seconds)
    try:
        yield
    finally:
        for (module, name), value in zip(polled, before, strict=True):
            setattr(module, name, value)


async def _live(
    folder: Path, clock: Clock, *, hours: float, users: int, seed: str, tell: Callable[[str], None]
) -> Tally:
    options = SandboxOptions(
        users=users, groups=users // 4, memberships=4 * users, portal_delay=20.0, ledger="counters"
    )
    sandbox = Sandbox(options, folder / "sandbox", clock=clock)
    sandbox.registration.secrets.clear()
    async with sandbox:
        life = Life(sandbox, folder, clock, keep=timedelta(hours=hours / 6), tell=tell, seed=seed)
        life.write_certificate()
        (folder / "bps-secret").write_text(sandbox.portal_client_secret, encoding="utf-8")
        life.write_settings()
        structlog.configure(processors=[structlog.contextvars.merge_contextvars, life.note])
        for _ in range(2):
            life.start_daemon()
            await clock.sleep(60)
        async with _happening(life):
            await clock.sleep(hours * 3600 / 3)
            gc.collect()
            if hours > _TRACED:
                tracemalloc.start()
            await clock.sleep(hours * 3600 * 2 / 3)
        await _end(life)
        tracemalloc.stop()
        structlog.reset_defaults()
        return life.tally


async def _end(life: Life) -> None:
    """Let all faults be over, and look at every promise."""
    life.sandbox.faults.clear()
    life.write_settings()
    for service, _ in life.daemons:
        service.reload()
    await life.clock.sleep(2 * 3600)  # so long what delta told is believed against other readings
    life.request_full()
    await life.clock.sleep(1800)
    tally = life.tally
    before = Counter(tally.runs)
    life.request_full()
    await life.clock.sleep(1800)
    await life.look()
    if tally.runs["full succeeded"] <= before["full succeeded"]:
        tally.wrong.append(f"the last full run did not succeed: {tally.runs - before}")
    tally.wrong += life.truth.find_differences()[:5] + life.find_wrong_licences()[:5]
    tally.wrong += [f"{name} was made {times} times" for name, times in life.created.items() if times > 1]
    while life.daemons:
        await life.stop_daemon()
    await life.clock.sleep(10)
    left = [task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith(("daemon", "watch", "news"))]
    tally.wrong += [f"the task {name} is left over" for name in left]
    tally.hours = (life.clock.monotonic() - life.begun) / 3600
    tally.people = len(life.sandbox.directory.users)
    await asyncio.to_thread(_judge_store, life)
    judge_growth(tally)


def _judge_store(life: Life) -> None:
    database: Database = open_database(f"sqlite:///{life.folder / 'store.db'}")
    try:
        verdict = Chain(database).verify()
        rows = database.load_values(_text("SELECT count(*) FROM runs WHERE status = 'running'"))
    finally:
        database.close()
    life.tally.chained = verdict.checked
    life.tally.wrong += [f"verify: run {each.run_id}: {each.what}" for each in verdict.broken]
    if rows[0]:
        life.tally.wrong.append("a run is open")


def _text(statement: str) -> Any:
    from sqlalchemy import text

    return text(statement)


def live_through(folder: Path, *, hours: float, users: int, seed: str, tell: Callable[[str], None]) -> Tally:
    """Let so many hours pass in the given folder, which is empty; return what came of it."""
    loop = VirtualLoop()
    asyncio.set_event_loop(loop)
    clock = VirtualClock(loop)
    try:
        with everybody_goes_by(clock), _polling(_POLL_SECONDS):
            return loop.run_until_complete(_live(folder, clock, hours=hours, users=users, seed=seed, tell=tell))
    finally:
        loop.run_until_complete(loop.shutdown_default_executor())
        asyncio.set_event_loop(None)
        loop.close()
