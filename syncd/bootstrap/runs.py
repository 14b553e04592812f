"""What executes runs, put together."""

from __future__ import annotations

from datetime import datetime

from syncd.clock import Clock
from syncd.config import Settings
from syncd.model.run import Retention
from syncd.store.db.database import Database
from syncd.store.store import Store
from syncd.sync.runs import Runs


def make_retention(settings: Settings) -> Retention:
    """Return how long runs and history are kept."""
    return Retention(runs=settings.store.keep_runs, history=settings.store.keep_history)


def make_runs(settings: Settings, database: Database, clock: Clock) -> Runs:
    """Return what executes runs on this store."""
    quiet, zone = settings.guard.quiet_hours, settings.schedule.timezone

    def is_quiet(now: datetime | None) -> bool:
        return quiet is not None and (now is None or quiet.covers(now.astimezone(zone).time()))

    return Runs(Store(database), clock, is_quiet, retention=make_retention(settings))
