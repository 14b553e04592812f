"""When runs start by themselves. The only module that knows APScheduler; its jobs do nothing but ask for a run.

Jobs live in memory, because the configuration is the schedule: what was missed while nobody worked is found from the
run log. The scheduler sleeps by the monotonic clock and plans by the wall clock, so a jump of the wall clock (a
suspended machine, a corrected time) would be noticed late or, backwards, after a long silence; `watch_clock` looks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, get_args

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger

from syncd.clock import Clock
from syncd.config import Cadence, Cron, ScheduleSettings
from syncd.model.run import RunRequest

ScheduledKind = Literal["full", "delta"]
KINDS: tuple[ScheduledKind, ...] = get_args(ScheduledKind)

_LOOK_SECONDS = 30.0
_JUMP_SECONDS = 2.0


class Schedule:
    """Asks for full and delta runs at their times, from `start` until `stop`; it may be started again."""

    def __init__(self, settings: ScheduleSettings, enqueue: Callable[[RunRequest], None], clock: Clock) -> None:
        self._settings = settings
        self._enqueue = enqueue
        self._clock = clock
        self._scheduler: Any = None
        import structlog  # late: `syncd status` asks for times alone

        self._log = structlog.get_logger("syncd.schedule")

    def start(self, last: Mapping[ScheduledKind, datetime]) -> None:
        """Begin. An interval goes on from the ``last`` run of its kind, so that restarts do not put it off for ever.

        What is overdue is not asked for: whoever starts decides that by `is_overdue`.
        """
        now = self._clock.now()
        self._scheduler = AsyncIOScheduler(
            timezone=self._settings.timezone,
            job_defaults={"coalesce": True, "misfire_grace_time": None, "max_instances": 1},
        )
        for kind in KINDS:
            time = self._compute_next(kind, after=last.get(kind, now))
            # Never in the past: the scheduler would count every time that was missed, one by one.
            first = {"next_run_time": time} if time > now else {}
            self._scheduler.add_job(self._ask, self._make_trigger(kind), args=[kind], id=kind, **first)
        self._scheduler.start()

    def stop(self) -> None:
        """Ask for nothing more."""
        if self._scheduler is not None:
            self._scheduler.shutdown(wait=False)
            self._scheduler = None

    def replace(self, settings: ScheduleSettings) -> None:
        """Go by other settings from now on; a kind whose time is the same keeps its next time."""
        before, self._settings = self._settings, settings
        if self._scheduler is None:
            return
        for kind in KINDS:
            if (_cadence(before, kind), before.timezone) != (_cadence(settings, kind), settings.timezone):
                self._scheduler.reschedule_job(kind, trigger=self._make_trigger(kind))

    def next_times(self) -> dict[ScheduledKind, datetime]:
        """Return when each kind comes next, as aware UTC; nothing while stopped."""
        if self._scheduler is None:
            return {}
        return {job.id: job.next_run_time.astimezone(UTC) for job in self._scheduler.get_jobs() if job.next_run_time}

    def is_overdue(self, kind: ScheduledKind, *, last: datetime) -> bool:
        """Return whether a kind's time has come since its last run."""
        return self._compute_next(kind, after=last) <= self._clock.now()

    def third_time(self, kind: ScheduledKind, *, after: datetime) -> datetime:
        """Return the third time of a kind after a moment: by then three runs in a row did not do."""
        moment = after
        for _ in range(3):
            moment = self._compute_next(kind, after=moment)
        return moment

    async def watch_clock(self) -> None:
        """Look every half minute whether the wall clock jumped, and plan anew; runs until it is cancelled."""
        while True:
            wall, steady = self._clock.now(), self._clock.monotonic()
            await self._clock.sleep(_LOOK_SECONDS)
            jump = (self._clock.now() - wall).total_seconds() - (self._clock.monotonic() - steady)
            if abs(jump) < _JUMP_SECONDS or self._scheduler is None:
                continue
            self._log.warning("clock.jumped", seconds=round(jump, 1))
            now = self._clock.now()
            for kind, time in self.next_times().items():
                if time <= now:  # jumped over: now, and once
                    self._scheduler.modify_job(kind, next_run_time=now)
                elif jump < 0:
                    self._scheduler.reschedule_job(kind, trigger=self._make_trigger(kind))

    async def _ask(self, kind: ScheduledKind) -> None:
        """Be a coroutine, so that the scheduler stays on the event loop and out of threads."""
        self._enqueue(RunRequest(pull=kind, trigger="schedule"))

    def _compute_next(self, kind: ScheduledKind, *, after: datetime) -> datetime:
        return compute_next(self._settings, kind, after=after)

    def _make_trigger(self, kind: ScheduledKind) -> Any:
        return _make_trigger(self._settings, kind)


def compute_next(settings: ScheduleSettings, kind: ScheduledKind, *, after: datetime) -> datetime:
    """Return when a kind comes next after a moment; of an interval, that is the moment when it began to pass."""
    cadence = _cadence(settings, kind)
    if not isinstance(cadence, Cron):
        return after + cadence.every
    found: datetime | None = _make_trigger(settings, kind).get_next_fire_time(None, after + timedelta(microseconds=1))
    return after + timedelta(days=365) if found is None else found.astimezone(UTC)


def _make_trigger(settings: ScheduleSettings, kind: ScheduledKind) -> Any:
    cadence, zone = _cadence(settings, kind), settings.timezone
    if not isinstance(cadence, Cron):
        return IntervalTrigger(seconds=int(cadence.every.total_seconds()), timezone=zone)
    return _OncePerTime(
        minute=cadence.minute,
        hour=cadence.hour,
        day=cadence.day,
        month=cadence.month,
        day_of_week=cadence.weekday,
        timezone=zone,
    )


class _OncePerTime(CronTrigger):  # type: ignore[misc]  # APScheduler has no types
    """As cron does it: a fixed time that comes twice in the night when the clock is put back is taken once.

    A line whose hour or minute begins with a star is no fixed time (Debian's cron(8)): it goes on through both hours.
    """

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime | None:
        """Return the next time after ``now`` that is not the second one of its name."""
        found: datetime | None = super().get_next_fire_time(previous_fire_time, now)
        while found is not None and found.fold and self._is_fixed:
            found = super().get_next_fire_time(None, found.astimezone(UTC) + timedelta(microseconds=1))
        return found

    @property
    def _is_fixed(self) -> bool:
        return not any(str(each).startswith("*") for each in self.fields if each.name in ("hour", "minute"))


def _cadence(settings: ScheduleSettings, kind: ScheduledKind) -> Cadence:
    return settings.full if kind == "full" else settings.delta
