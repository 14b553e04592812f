"""The daemon's daily word about a credential that will end soon."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from syncd.clock import Clock
from syncd.daemon.credentials import watch_credentials
from syncd.daemon.shared import DaemonContext, make_context
from tests.fakes.daemon import FakeParts, make_settings, open_new_store, watching_logs

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


class DailyClock(Clock):
    """A clock on which sleeping costs nothing, for so many sleeps; then it never wakes."""

    def __init__(self, sleeps: int) -> None:
        self.time = START
        self.sleeps = sleeps
        self.tired = asyncio.Event()

    def now(self) -> datetime:
        return self.time

    async def sleep(self, seconds: float) -> None:
        if not self.sleeps:
            self.tired.set()
            await asyncio.Event().wait()
        self.sleeps -= 1
        self.time += timedelta(seconds=seconds)


@contextmanager
def clocked_context(tmp_path: Path, parts: FakeParts, clock: Clock) -> Iterator[DaemonContext]:
    """Keep the shared part of a daemon whose store is there."""
    settings = make_settings(f"sqlite:///{tmp_path / 'store.db'}")
    context = make_context(settings, parts.composition(), clock)
    with closing(open_new_store(settings)) as database:
        context.notifier.attach(database)
        yield context


async def test_an_ending_credential_is_told_once_a_day(tmp_path: Path) -> None:
    """Each day has one line with the setting and the days left, and none while nothing ends soon."""
    parts, clock = FakeParts(), DailyClock(sleeps=3)
    parts.expiring["graph.certificate_file"] = START + timedelta(days=2, hours=1)
    with clocked_context(tmp_path, parts, clock) as context, watching_logs() as log:
        watch = asyncio.create_task(watch_credentials(context))
        await clock.tired.wait()
        watch.cancel()
        await asyncio.wait([watch])
    told = log.of("credential.expiring")
    assert [(event["setting"], event["days_left"]) for event in told] == [
        ("graph.certificate_file", days) for days in (2, 1, 0, -1)
    ]
    assert told[0]["expires_at"] == "2026-03-04T10:00:00+00:00"
    assert context.state.credentials == parts.expiring


async def test_nothing_is_told_while_nothing_ends(tmp_path: Path) -> None:
    """A healthy credential costs no line."""
    clock = DailyClock(sleeps=2)
    with clocked_context(tmp_path, FakeParts(), clock) as context, watching_logs() as log:
        watch = asyncio.create_task(watch_credentials(context))
        await clock.tired.wait()
        watch.cancel()
        await asyncio.wait([watch])
    assert log.events == []


async def test_what_may_have_changed_is_looked_at_at_once(tmp_path: Path) -> None:
    """A full run, a reload, another store: the same end is not logged twice a day, a new one is."""
    parts, clock = FakeParts(), DailyClock(sleeps=0)
    parts.expiring["bps.client_secret"] = START + timedelta(days=2)
    with clocked_context(tmp_path, parts, clock) as context, watching_logs() as log:
        watch = asyncio.create_task(watch_credentials(context))
        for days in (2, 2, 1):
            parts.expiring["bps.client_secret"] = START + timedelta(days=days)
            context.credentials_due.set()
            await clock.tired.wait()
            clock.tired.clear()
        watch.cancel()
        await asyncio.wait([watch])
    assert [event["days_left"] for event in log.of("credential.expiring")] == [2, 1]
