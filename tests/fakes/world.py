"""Wires the use cases to the fakes and a real store: one tenant, one portal, one database."""

from __future__ import annotations

import inspect
import shutil
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from syncd.clock import Clock
from syncd.model.kinds import RecordKind
from syncd.model.run import PullKind, RunRecord, RunRequest, Wanted
from syncd.plan.moment import StatedTimes
from syncd.plan.planfile import Head, encode_plan
from syncd.plan.rules import Rules
from syncd.store.db.database import Database, open_database
from syncd.store.reports.status import Report
from syncd.store.store import Store
from syncd.sync.planning.proposal import Proposal
from syncd.sync.pull.pull import Pull
from syncd.sync.push import Push
from syncd.sync.runs import Runs, Sides
from tests.fakes.portal import FakePortal
from tests.fakes.rules import make_apply_options, make_rules
from tests.fakes.source import FakeSource
from tests.kept_database import KeptDatabase
from tests.stores import open_migrated


class OwnClock(Clock):
    """The real clock, moved by ``ahead``, as all the world is; sleeping moves it and takes no time.

    ``wrong``: how far it is ahead of all the world by itself; what counts seconds knows nothing of that.
    """

    def __init__(self) -> None:
        self.ahead = timedelta()
        self.wrong = timedelta()
        self.boot = "boot"

    def now(self) -> datetime:
        """Return the moved present."""
        return super().now() + self.ahead + self.wrong

    def monotonic(self) -> float:
        """Return the moved monotonic time."""
        return super().monotonic() + self.ahead.total_seconds()

    def uptime(self) -> tuple[str, float]:
        """Return the moved time since the start of the machine."""
        return self.boot, self.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Move on at once."""
        self.ahead += timedelta(seconds=max(0.0, seconds))


@dataclass
class Meter:
    """A side that states the time: the right one, or one that is ``ahead``; or none (None).

    ``fixed``: what it stated at some moment, and nothing since. ``silent``: it was not asked.
    """

    clock: OwnClock
    ahead: timedelta | None = timedelta()
    fixed: StatedTimes | None = None
    silent: bool = False

    def read_times(self) -> StatedTimes | None:
        """Return the time that it would state now."""
        if self.ahead is None or self.silent:
            return None
        if self.fixed is not None:
            return self.fixed
        distance = (self.clock.now() - self.clock.wrong + self.ahead).timestamp() - self.clock.monotonic()
        return StatedTimes(distance, distance)

    def read_traffic(self) -> Mapping[str, int]:
        """Return that it was asked."""
        return {} if self.silent else {"requests": 1}


@dataclass
class World:
    """Everything that a run needs. ``await world.sync()`` runs it."""

    database: Database
    source: FakeSource = field(default_factory=FakeSource)
    portal: FakePortal = field(default_factory=FakePortal)
    rules: Rules = field(default_factory=make_rules)
    clock: OwnClock = field(default_factory=OwnClock)
    by_hand: set[tuple[str, str]] = field(default_factory=set)
    """Licences that somebody gave by hand in the portal: (folded BPS id, type)."""

    def __post_init__(self) -> None:
        self.store = Store(self.database)
        self.meters = {"graph": Meter(self.clock), "bps": Meter(self.clock)}
        self.runs = Runs(Store(self.database), self.clock, lambda now: False)

    async def sync(self, kind: PullKind = "delta", *, write: bool = True, retry_failed: bool = True) -> RunRecord:
        """Run one sync and return its record."""
        return await self.runs.execute(
            RunRequest(pull=kind, trigger="cli", write=write, retry_failed=retry_failed), self.open_sides()
        )

    async def sync_one(self, kind: RecordKind, name: str) -> RunRecord:
        """Run one sync of a single object and return its record."""
        request = RunRequest(pull="none", trigger="cli", retry_failed=True, only=Wanted(kind, name))
        return await self.runs.execute(request, self.open_sides())

    async def carry_out(self, proposal: Proposal, *, write: bool = True, quiet: bool = False) -> RunRecord:
        """Carry out a proposal and return its record."""
        runs = Runs(Store(self.database), self.clock, lambda now: quiet)
        request = RunRequest(pull="none", trigger="cli", write=write, retry_failed=True)
        return await runs.execute(request, self.open_sides(), proposal=proposal)

    def make_file(self, run: RunRecord, *, made_at: datetime | None = None) -> list[bytes]:
        """Return the lines of the plan file of a run that only planned."""
        store = self.store
        head = Head(
            self.portal.address,
            run.id,
            "2026-01-01T00:00:00Z" if made_at is None else made_at.isoformat(),
            self.rules.fingerprint(),
            store.plan_files.load_directory_parts.blocking(),
        )
        records = (
            record for chunk in store.plan_files.iterate_concerned(run.id, ("planned", "held")) for record in chunk
        )
        return list(encode_plan(head, records, store.plan_files.iterate_file_changes(run.id)))

    def open_sides(self) -> Sides:
        """Return the use cases over the fakes."""
        pull = Pull(
            self.source, self.store, clock=self.clock, progress=lambda name, number: None, stopping=lambda: False
        )
        push = Push(
            self.portal,
            self.store,
            rules=self.rules,
            clock=self.clock,
            options=make_apply_options(sync_wait=5),
            progress=lambda name, number: None,
            stopping=lambda: False,
        )
        return Sides(pull, push, self.meters)

    def find_reason(self, kind: RecordKind, bps_id: str) -> str:
        """Return the reason that the list of users or groups shows for a record."""
        report = Report(self.database, self.rules.policy, now=self.clock.now())
        assert report.count(kind) == Counter((line.state, line.reason) for line in report.iterate(kind))
        return next(line.reason for line in report.iterate(kind, needle=bps_id))

    def changes(self, run: RunRecord) -> list[str]:
        """Return a run's changes as ``action object id target status``."""
        found = []
        for chunk in self.store.plans.iterate_changes(run.id):
            for placed, _, _ in chunk:
                change = placed.change
                parts = [change.action, change.object, change.bps_id, change.target, placed.status]
                found.append(" ".join(part for part in parts if part))
        return found


def open_world(url: str) -> World:
    """Return a world over a fresh store."""
    return World(open_migrated(url))


Company = Callable[[World], Awaitable[None] | None]
"""Lets a company begin in a fresh world. It may sync, and keeps no reference to that world."""


@dataclass
class Companies:
    """Worlds in which a company has begun, each founded once on either engine and copied for every test."""

    folder: Path
    _in_files: dict[Company, tuple[Path, World, datetime]] = field(default_factory=dict)
    _on_server: dict[Company, tuple[str, World, datetime]] = field(default_factory=dict)

    async def open(self, company: Company, store: Path) -> World:
        """Return a copy of that company's world over a new SQLite file, at the moment at which it was founded."""
        if company not in self._in_files:
            file = self.folder / f"{len(self._in_files)}.db"
            world = await _found_once(company, f"sqlite:///{file}")  # all of it is in that file now
            self._in_files[company] = (file, world, world.clock.now())
        file, world, then = self._in_files[company]
        shutil.copy(file, store)
        return _copy(world, then, f"sqlite:///{store}")

    def find_moment(self, company: Company) -> str | None:
        """Return the moment on the server at which that company has begun, None if it has not begun yet."""
        return self._on_server[company][0] if company in self._on_server else None

    async def open_on_server(self, company: Company, url: str, kept: KeptDatabase) -> World:
        """Return a copy of that company's world over the database at its moment, or found it over a migrated store."""
        if self.find_moment(company) not in kept.moments:
            world = await _found_once(company, url)
            self._on_server[company] = (kept.keep(), world, world.clock.now())
        _, world, then = self._on_server[company]
        return _copy(world, then, url)


async def _found_once(company: Company, url: str) -> World:
    world = open_world(url)
    await found(company, world)
    world.database.close()
    return world


def _copy(world: World, then: datetime, url: str) -> World:
    source, portal, by_hand = deepcopy((world.source, world.portal, world.by_hand))
    clock = OwnClock()
    clock.ahead = then - datetime.now(UTC)
    return replace(world, database=open_database(url), source=source, portal=portal, by_hand=by_hand, clock=clock)


async def found(company: Company, world: World) -> None:
    """Let the company begin there."""
    begun = company(world)
    if inspect.isawaitable(begun):
        await begun
