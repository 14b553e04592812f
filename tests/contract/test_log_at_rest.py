"""SQLite's write-ahead log is long within a run, and short between runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import text

from syncd.store.db import database as databases
from syncd.store.db.database import Database, reading
from tests.fakes.world import World


def find_log(database: Database) -> Path:
    """Return the log beside the file."""
    return Path(f"{database.engine.url.database}-wal")


def fill(database: Database) -> None:
    """Write two megabytes, and take them away again."""
    with database.transaction() as connection:
        connection.execute(text("CREATE TABLE filling (value BLOB)"))
        connection.execute(text("INSERT INTO filling VALUES (zeroblob(2000000))"))
        connection.execute(text("DROP TABLE filling"))


async def test_after_a_run_the_log_is_empty_when_it_has_grown(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the run was, also one that failed; a small log stays, and costs nothing."""
    log = find_log(world.database)
    world.source.put_user("u1", userPrincipalName="u1@x.com", displayName="Ann", mail="u1@x.com")
    assert (await world.sync("full")).status == "succeeded"
    assert log.stat().st_size > 0
    monkeypatch.setattr(databases, "_LOG_AT_REST", 1000)
    world.portal.unreachable = True
    assert (await world.sync("full")).status == "failed"
    assert log.stat().st_size == 0


def test_nobody_who_reads_is_waited_for(world: World) -> None:
    """The reader keeps the older state; the next time, the log is empty."""
    fill(world.database)
    log = find_log(world.database)
    with reading(world.database) as connection:
        connection.execute(text("SELECT count(*) FROM runs")).all()
        fill(world.database)
        before = log.stat().st_size
        world.database.trim_log()
        assert log.stat().st_size == before > 2_000_000
    world.database.trim_log()
    assert log.stat().st_size == 0
    (waits,) = world.database.load_values(text("PRAGMA busy_timeout"))
    assert waits == 30_000
