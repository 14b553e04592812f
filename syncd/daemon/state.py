"""What can be asked about a daemon from outside: its part, what it does, what it has done, and how its store is.

Health, metrics and the status page read it. Nothing in it is a personal datum.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, TypeVar

from syncd.clock import Clock
from syncd.daemon.counting import Counting
from syncd.daemon.schedule import Schedule
from syncd.errors import StoreError
from syncd.model.durations import Durations
from syncd.model.run import RunKind, RunRecord, RunRequest, RunStatus
from syncd.plan.daily import Allowance
from syncd.store.db.database import Database
from syncd.store.db.revision import load_head, load_revision
from syncd.store.reports.gauges import Gauges, load_gauges
from syncd.store.store import Store

T = TypeVar("T")
Role = Literal["starting", "standby", "working", "stopping"]

PULLS: tuple[RunKind, ...] = ("full", "delta")
GOOD: tuple[RunStatus, ...] = ("succeeded", "held", "partial")
"""Runs that went through to the end; what they could not do is told elsewhere."""

_SUCCEEDED: tuple[RunStatus, ...] = ("succeeded",)
_CLOSED: tuple[RunStatus, ...] = (*GOOD, "failed", "interrupted")
_PROBE_SECONDS = 5.0
_DRIFT_RESTS = 3600.0
"""Seconds for which drift is not counted again where the company is so large that it took too long."""
_SLACK = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class HeldChanges:
    """What waits for approval: how many changes, since when the oldest, and the runs that hold them."""

    changes: int
    since: datetime | None
    runs: tuple[int, ...]


class DaemonState:
    """The living picture. Written by the service and its worker, read by anybody on the same event loop."""

    def __init__(self, clock: Clock, schedule: Schedule) -> None:
        self.role: Role = "starting"
        self.started_at = clock.now()
        self.running: RunRequest | None = None
        self.running_since: datetime | None = None
        self.progress: Counter[str] = Counter()
        self.runs_total: Counter[tuple[str, str]] = Counter()
        self.changes_total: Counter[tuple[str, str, str]] = Counter()
        self.traffic_total: Counter[tuple[str, str]] = Counter()
        self.messages_total: Counter[tuple[str, str]] = Counter()
        self.durations: defaultdict[tuple[str, str], Durations] = defaultdict(Durations)
        self.reload_refused = False
        self.settings_since = self.started_at
        self.credentials: Mapping[str, datetime] = {}
        self._clock = clock
        self._schedule = schedule
        self._database: Database | None = None
        self._head = ""
        self._asking = asyncio.Semaphore(1)
        self._ended = 0
        self._states: Counting[Mapping[str, Mapping[str, int]]] = Counting(clock, {})
        self._drift: Counting[Mapping[str, int]] = Counting(clock, {}, rest=_DRIFT_RESTS)

    def now(self) -> datetime:
        """Return the daemon's own time."""
        return self._clock.now()

    def attach(self, database: Database) -> None:
        """Note which store is worked on; its schema was just found right."""
        self._database = database
        self._head = self._head or load_head()

    @property
    def database(self) -> Database | None:
        """Return the store that is worked on, None before it is opened."""
        return self._database

    def take_part(self, role: Role) -> None:
        """Note the daemon's part; one that stops keeps to it."""
        if self.role != "stopping":
            self.role = role

    def begin(self, request: RunRequest) -> None:
        """Note that a run begins."""
        self.running, self.running_since = request, self._clock.now()
        self.progress.clear()

    def count(self, name: str, number: int) -> None:
        """Note how far the run has come."""
        self.progress[name] += number

    def end(self) -> None:
        """Note that no run is going on."""
        self.running = self.running_since = None
        self._ended += 1

    def add(self, record: RunRecord, outcomes: Mapping[tuple[str, str, str], int]) -> None:
        """Add a closed run and its changes (per action, object and outcome) to the totals of this process."""
        self.runs_total[record.kind, record.status] += 1
        for key, number in outcomes.items():
            self.changes_total[key] += number
        for name, number in record.counts.items():
            side, _, what = name.partition("_")
            if what in ("requests", "retries", "throttled", "bytes_received"):
                self.traffic_total[side, what] += number
        for phase, seconds in record.phases.items():
            self.durations["phase", phase].add(seconds)
        if record.finished_at is not None:
            self.durations["run", record.kind].add((record.finished_at - record.started_at).total_seconds())

    def note_settings(self, *, refused: bool) -> None:
        """Note that settings were read again: in force now, or refused, and those before stay in force."""
        self.reload_refused = refused
        if not refused:
            self.settings_since = self._clock.now()

    def next_times(self) -> Mapping[str, datetime]:
        """Return when each kind of run comes next."""
        return {str(kind): time for kind, time in self._schedule.next_times().items()}

    def is_stale(self, last_through: datetime | None) -> bool:
        """Return whether no run went through for longer than three delta times, and longer than an hour."""
        since = last_through or self.started_at
        return self._clock.now() > max(self._schedule.third_time("delta", after=since), since + _SLACK)

    async def probe_store(self) -> str:
        """Return why the store cannot be used now, nothing when it can."""
        try:
            revision = await self._ask(load_revision)
        except StoreError as error:
            return str(error)
        if revision != self._head:
            return f"the store is at revision {revision}, this syncd needs {self._head}"
        return ""

    async def load_runs(self, limit: int) -> Sequence[RunRecord]:
        """Return the newest runs, newest first; raises StoreError."""
        return await self._ask(lambda database: Store(database).runs.load_runs(limit))

    async def load_last(self, kind: RunKind) -> RunRecord | None:
        """Return the newest closed run of a kind; raises StoreError."""
        return await self._ask(
            lambda database: Store(database).runs.load_last.blocking(kinds=(kind,), statuses=_CLOSED)
        )

    async def load_last_good(self) -> datetime | None:
        """Return when the last run that succeeded ended, None when there was none; raises StoreError."""
        return await self._load_last_end(_SUCCEEDED)

    async def load_last_through(self) -> datetime | None:
        """Return the same of the last run that went through, though it may have held or failed something."""
        return await self._load_last_end(GOOD)

    async def _load_last_end(self, statuses: tuple[RunStatus, ...]) -> datetime | None:
        record = await self._ask(
            lambda database: Store(database).runs.load_last.blocking(kinds=PULLS, statuses=statuses)
        )
        return None if record is None else record.finished_at

    async def load_held(self) -> HeldChanges:
        """Return what waits for approval; raises StoreError."""

        def ask(database: Database) -> HeldChanges:
            store = Store(database)
            runs = store.decisions.load_holding_runs(now=self._clock.now())
            since = store.plans.load_held_since.blocking(runs) if runs else None
            return HeldChanges(store.decisions.count_held(runs), since, tuple(runs))

        return await self._ask(ask)

    async def load_states(self) -> Mapping[str, Mapping[str, int]]:
        """Return how many people and groups are in each state; asked again some minutes later, or after a run."""
        return await self._states.load(self._ask, ended=self._ended)

    async def load_drift(self) -> Mapping[str, int]:
        """Return how many differences by hand are known, by kind of object; asked again like the states."""
        return await self._drift.load(self._ask, ended=self._ended)

    def count_by(
        self,
        *,
        states: Callable[[Database], Mapping[str, Mapping[str, int]]],
        drift: Callable[[Database], Mapping[str, int]],
    ) -> None:
        """Note what counts people and groups by state, and what was changed by hand."""
        self._states.ask_by(states)
        self._drift.ask_by(drift)

    async def load_allowances(self) -> Sequence[Allowance]:
        """Return what the last 24 hours took away unasked, and how much of it a day allows; raises StoreError."""
        return await self._ask(lambda database: Store(database).plans.load_allowances.blocking(now=self._clock.now()))

    async def load_last_success(self) -> datetime | None:
        """Return when the last run ended of which nothing was held or failed; raises StoreError."""
        good: tuple[RunStatus, ...] = ("succeeded",)
        record = await self._ask(lambda database: Store(database).runs.load_last.blocking(kinds=PULLS, statuses=good))
        return None if record is None else record.finished_at

    async def load_gauges(self) -> Gauges:
        """Return what the store tells at a glance; raises StoreError."""
        return await self._ask(load_gauges)

    async def _ask(self, question: Callable[[Database], T]) -> T:
        """Ask the store beside its working thread, which may be busy for long; one question at a time."""
        database = self._database
        if database is None:
            raise StoreError("the store is not opened yet")
        try:
            async with asyncio.timeout(_PROBE_SECONDS), self._asking:
                return await asyncio.to_thread(question, database)
        except TimeoutError as error:
            raise StoreError(f"the store did not answer within {_PROBE_SECONDS:.0f} seconds") from error
