"""The schedule asks for runs at the configured times, whatever the clock does, and does nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from syncd.clock import Clock
from syncd.config import ScheduleSettings
from syncd.daemon.schedule import Schedule, _make_trigger
from syncd.model.run import RunRequest
from tests.fakes.daemon import make_settings, watching_logs


class JumpingClock(Clock):
    """A clock that jumps to the real time plus ``then`` while the first sleep lasts; the second one never ends."""

    def __init__(self, first: timedelta, then: timedelta) -> None:
        self.offset = first
        self.then = then
        self.looked = asyncio.Event()
        self.slept = False

    def now(self) -> datetime:
        return datetime.now(UTC) + self.offset

    async def sleep(self, seconds: float) -> None:
        if self.slept:
            self.looked.set()
            await asyncio.Event().wait()
        self.offset, self.slept = self.then, True


class StoppedClock(Clock):
    """Always the same instant."""

    def __init__(self, at: datetime) -> None:
        self.at = at

    def now(self) -> datetime:
        return self.at


def make_schedule_settings(**keys: str) -> ScheduleSettings:
    """Return the section with single keys changed."""
    return make_settings("sqlite:///unused.db", **{f"schedule__{key}": value for key, value in keys.items()}).schedule


@asynccontextmanager
async def started(schedule: Schedule, **last: datetime) -> AsyncIterator[Schedule]:
    """Let a schedule run for a block."""
    schedule.start(last)  # type: ignore[arg-type]
    try:
        yield schedule
    finally:
        schedule.stop()
        await asyncio.sleep(0)  # the scheduler ends in the next turn of the loop


async def test_an_interval_only_asks_for_a_run() -> None:
    """A second after the start, the delta of every second has been asked for, by trigger schedule."""
    asked: list[RunRequest] = []
    came = asyncio.Event()

    def enqueue(request: RunRequest) -> None:
        asked.append(request)
        came.set()

    async with started(Schedule(make_schedule_settings(delta="1s"), enqueue, Clock())):
        async with asyncio.timeout(10):
            await came.wait()
        assert asked[0] == RunRequest(pull="delta", trigger="schedule")


@pytest.mark.parametrize(
    ("cron", "after", "expected"),
    [
        ("0 2 * * *", datetime(2026, 3, 1, 12, tzinfo=UTC), datetime(2026, 3, 2, 1, tzinfo=UTC)),
        ("30 6 * * 0", datetime(2026, 3, 2, 12, tzinfo=UTC), datetime(2026, 3, 8, 5, 30, tzinfo=UTC)),
        ("30 6 * * 7", datetime(2026, 3, 2, 12, tzinfo=UTC), datetime(2026, 3, 8, 5, 30, tzinfo=UTC)),
        ("0 4 * * 1-5", datetime(2026, 3, 6, 12, tzinfo=UTC), datetime(2026, 3, 9, 3, tzinfo=UTC)),
        ("0 2 * * *", datetime(2026, 7, 1, 12, tzinfo=UTC), datetime(2026, 7, 2, 0, tzinfo=UTC)),
    ],
)
def test_cron_means_what_crontab_means(cron: str, after: datetime, expected: datetime) -> None:
    """Local time of the configured zone with its summer time; 0 and 7 are Sunday."""
    for moment, due in ((expected - timedelta(seconds=1), False), (expected, True)):
        schedule = Schedule(make_schedule_settings(delta=cron), lambda request: None, StoppedClock(moment))
        assert schedule.is_overdue("delta", last=after) is due


async def test_an_interval_goes_on_from_the_last_run() -> None:
    """A daily run that was due in an hour is due in an hour, also after a restart."""
    now = datetime.now(UTC)
    schedule = Schedule(make_schedule_settings(full="24h"), lambda request: None, Clock())
    async with started(schedule, full=now - timedelta(hours=23)):
        assert schedule.next_times()["full"] == now + timedelta(hours=1)


async def test_what_is_long_overdue_does_not_fire_by_itself() -> None:
    """A last run of a year ago is neither made up many times nor counted through; the next time lies ahead."""
    now = datetime.now(UTC)
    schedule = Schedule(make_schedule_settings(delta="10s"), lambda request: None, Clock())
    async with started(schedule, delta=now - timedelta(days=365)):
        assert now < schedule.next_times()["delta"] <= now + timedelta(seconds=11)


async def test_replacing_changes_only_what_differs() -> None:
    """A reload that changes the delta leaves the full run's next time where it was."""
    now = datetime.now(UTC)
    schedule = Schedule(make_schedule_settings(full="24h", delta="5m"), lambda request: None, Clock())
    async with started(schedule, full=now - timedelta(hours=23)):
        schedule.replace(make_schedule_settings(full="24h", delta="2h"))
        assert schedule.next_times()["full"] == now + timedelta(hours=1)
        assert schedule.next_times()["delta"] > now + timedelta(minutes=110)


@pytest.mark.parametrize(
    ("first", "then", "comes_in"),
    [
        (timedelta(), timedelta(days=20_000), timedelta()),
        (timedelta(days=20), timedelta(), timedelta(hours=1)),
    ],
)
async def test_a_jump_of_the_clock_is_noticed(first: timedelta, then: timedelta, comes_in: timedelta) -> None:
    """After a jump forwards the missed run comes at once; after one backwards it does not wait for the old date."""
    clock = JumpingClock(first, then)
    schedule = Schedule(make_schedule_settings(full="1h", delta="1h"), lambda request: None, clock)
    start = clock.now()
    with watching_logs() as log:
        async with started(schedule, full=start, delta=start):
            watch = asyncio.create_task(schedule.watch_clock(), name="watch clock")
            async with asyncio.timeout(10):
                await clock.looked.wait()
            watch.cancel()
            times = schedule.next_times()
    assert len(log.of("clock.jumped")) == 1
    assert all(abs(time - clock.now() - comes_in) < timedelta(seconds=10) for time in times.values())


@pytest.mark.parametrize(
    ("line", "times"),
    [
        ("0 2 * * *", ["24 02:00", "25 02:00", "26 02:00"]),
        ("30 2 * * *", ["24 02:30", "25 02:30", "26 02:30"]),
        ("0 2,3 * * *", ["24 02:00", "24 03:00", "25 02:00", "25 03:00", "26 02:00", "26 03:00"]),
        ("0 * * * *", None),
    ],
)
def test_a_fixed_time_in_the_autumn_night_comes_once(line: str, times: list[str] | None) -> None:
    """The clock is put back at three: two o'clock comes twice, the nightly run once; what comes hourly goes on."""
    zone = ZoneInfo("Europe/Warsaw")
    settings = make_schedule_settings(full=line, timezone=str(zone))
    trigger = _make_trigger(settings, "full")
    now, previous, found = datetime(2026, 10, 23, 12, tzinfo=UTC), None, list[datetime]()
    while (after := trigger.get_next_fire_time(previous, now)) < datetime(2026, 10, 26, 12, tzinfo=zone):
        found.append(after)
        previous, now = after, after.astimezone(UTC) + timedelta(milliseconds=3)
    if times is None:
        assert len(found) == 24 * 3 - 2 + 1
        assert len({each.astimezone(UTC) for each in found}) == len(found)
    else:
        assert [each.strftime("%d %H:%M") for each in found] == times
