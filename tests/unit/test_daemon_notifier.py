"""The daemon's messages: beside the work, never before it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from syncd.clock import Clock
from syncd.daemon.shared import DaemonContext, make_context
from syncd.daemon.worker import Worker
from syncd.errors import AuthFailed, StoreError, Unavailable
from syncd.model.run import RunRecord, RunRequest
from syncd.sync.notify import Reload
from tests.fakes.channel import FakeChannel
from tests.fakes.daemon import FakeParts, LogWatch, always, make_settings, open_new_store, watching_logs

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


@asynccontextmanager
async def working(tmp_path: Path, parts: FakeParts) -> AsyncIterator[tuple[DaemonContext, LogWatch]]:
    """A worker and a newsroom at work on an empty store."""
    settings = make_settings(f"sqlite:///{tmp_path / 'store.db'}")
    database = open_new_store(settings)
    context = make_context(settings, parts.composition(), Clock())
    context.notifier.attach(database)
    worker = Worker(context, database, is_lost=lambda: False, confirm=always)
    with watching_logs() as log:
        news = asyncio.create_task(context.notifier.work(context), name="news")
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(worker.work(), name="worker")
            yield context, log
            context.stop.set()
            context.bell.set()
        news.cancel()
        await asyncio.wait([news])
    database.close()


async def test_a_failed_run_and_its_recovery_are_told(tmp_path: Path) -> None:
    """Once each, however often it fails."""
    parts, hearer = FakeParts(), FakeChannel()
    parts.channels["webhook"] = hearer
    parts.refusals = [AuthFailed("the secret has expired"), AuthFailed("the secret has expired")]
    async with working(tmp_path, parts) as (context, log):
        for number in range(1, 4):
            context.queue.put(RunRequest(pull="delta", trigger="schedule"))
            await log.wait("run.finished", number)
        await hearer.wait("failed", "recovered")
        assert context.state.messages_total == {("webhook", "sent"): 2}


async def test_a_hook_that_never_answers_delays_no_run(tmp_path: Path) -> None:
    """Runs go on while a message is on its way; nothing of it stays behind at the end."""
    parts, hearer = FakeParts(), FakeChannel()
    parts.channels["webhook"], hearer.silent = hearer, True
    parts.refusals = [AuthFailed("the secret has expired")]
    async with working(tmp_path, parts) as (context, log):
        context.queue.put(RunRequest(pull="delta", trigger="schedule"))
        await hearer.asked.wait()
        context.queue.put(RunRequest(pull="delta", trigger="schedule"))
        done = await log.wait("run.finished", 2)
    assert done["status"] == "succeeded"


async def test_without_a_hook_nothing_is_told(tmp_path: Path) -> None:
    """No setting, no message, no complaint."""
    parts = FakeParts()
    parts.refusals = [AuthFailed("the secret has expired")]
    async with working(tmp_path, parts) as (context, log):
        context.queue.put(RunRequest(pull="delta", trigger="schedule"))
        await log.wait("run.finished")
    assert [name for name in log.names() if name.startswith("notify.")] == []


async def test_a_store_that_fails_and_a_credential_that_ends_are_told(tmp_path: Path) -> None:
    """What kept a run from being recorded is told once; an end is told at each stage once."""
    parts, hearer = FakeParts(), FakeChannel()
    parts.channels["webhook"] = hearer
    ends: Any = {"graph.certificate_file": datetime.now(UTC) + timedelta(days=3)}
    async with working(tmp_path, parts) as (context, _):
        for item in (StoreError("the disk is full"), StoreError("the disk is full"), ends, ends):
            context.notifier.report(item)
        context.notifier.report(
            RunRecord(id=1, kind="delta", trigger="schedule", status="succeeded", started_at=NOW, finished_at=NOW)
        )
        await hearer.wait("failed", "expiring", "recovered")


async def test_when_more_happens_than_can_be_told_the_newest_counts(tmp_path: Path) -> None:
    """A line that is full forgets its oldest."""
    parts, hearer = FakeParts(), FakeChannel()
    settings = make_settings(f"sqlite:///{tmp_path / 'store.db'}")
    context = make_context(settings, parts.composition(), Clock())
    parts.channels["webhook"] = hearer
    database = open_new_store(settings)
    context.notifier.attach(database)
    for number in range(100):
        context.notifier.report(
            RunRecord(
                id=number,
                kind="delta",
                trigger="schedule",
                status="failed" if number == 99 else "succeeded",
                started_at=NOW,
                finished_at=NOW,
            )
        )
    news = asyncio.create_task(context.notifier.work(context))
    await hearer.wait("failed")
    news.cancel()
    await asyncio.wait([news])
    database.close()


async def test_each_channel_remembers_what_it_took(tmp_path: Path) -> None:
    """A mail server that is down does not make the hook hear it twice, and gets what it missed after the next run."""
    parts, hook, mail = FakeParts(), FakeChannel(), FakeChannel()
    parts.channels = {"webhook": hook, "mail": mail}
    mail.refusals = [Unavailable("cannot be reached")]
    parts.refusals = [AuthFailed("the secret has expired"), AuthFailed("the secret has expired")]
    async with working(tmp_path, parts) as (context, log):
        context.queue.put(RunRequest(pull="delta", trigger="schedule"))
        await hook.wait("failed")
        await log.wait("notify.failed")
        context.queue.put(RunRequest(pull="delta", trigger="schedule"))
        await mail.wait("failed")
        context.queue.put(RunRequest(pull="delta", trigger="schedule"))
        await hook.wait("failed", "recovered")
        await mail.wait("failed", "recovered")
        assert context.state.messages_total == {
            ("webhook", "sent"): 2,
            ("mail", "failed"): 1,
            ("mail", "sent"): 2,
        }


async def test_a_refused_configuration_is_told_once(tmp_path: Path) -> None:
    """Until one is accepted; what is refused may hold an address, and none comes out."""
    parts, hearer = FakeParts(), FakeChannel()
    parts.channels["mail"] = hearer
    refused = Reload(["scope.protect: is wrong (value 'ann@x.example'); remove it"], "read from syncd.toml")
    async with working(tmp_path, parts) as (context, _):
        for item in (refused, refused, Reload(), refused):
            context.notifier.report(item)
        await hearer.wait("refused_configuration", "refused_configuration")
    assert "ann@x.example" not in str(hearer.got) + str(hearer.letters)
    assert hearer.got[0]["where"] == "read from syncd.toml"


async def test_only_what_is_chosen_is_told(tmp_path: Path) -> None:
    """What is not counts as told: choosing it later repeats nothing."""
    parts, hearer = FakeParts(), FakeChannel()
    parts.channels["webhook"], parts.events = hearer, ("recovered",)
    parts.refusals = [AuthFailed("the secret has expired")]
    async with working(tmp_path, parts) as (context, log):
        for number in (1, 2):
            context.queue.put(RunRequest(pull="delta", trigger="schedule"))
            await log.wait("run.finished", number)
        await hearer.wait("recovered")
