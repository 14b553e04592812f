"""The store, opened and checked."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from syncd.clock import Clock
from syncd.config import (
    Settings,
)
from syncd.store.db.database import Database, open_database
from syncd.store.db.revision import ensure_schema
from syncd.store.store import Store
from syncd.sync.runs import Runs

if TYPE_CHECKING:
    pass


def open_store(settings: Settings, *, create: bool) -> Database:
    """Open the store and check its revision; ``create`` brings up an empty one. Raises StoreError, SchemaMismatch."""
    database = open_database(settings.store.url.reveal())
    try:
        ensure_schema(database, create=create)
    except BaseException:
        database.close()
        raise
    return database


def make_runs(settings: Settings, database: Database, clock: Clock) -> Runs:
    """Return what executes runs on this store."""
    quiet, zone = settings.guard.quiet_hours, settings.schedule.timezone

    def is_quiet(now: datetime) -> bool:
        return quiet is not None and quiet.covers(now.astimezone(zone).time())

    return Runs(Store(database), clock, is_quiet)
