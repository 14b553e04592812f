"""A store that fails: the run fails cleanly, what was committed stays, and the next run goes on."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, event, text

from syncd.errors import StoreError
from syncd.model.target import Account, Creation
from syncd.store.db.database import open_database
from tests.fakes.world import World, open_world

pytestmark = pytest.mark.again  # how a full disk and a damaged file are told is up to the sqlite3 of each Python


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """A tenant of 300 people and an empty portal over a SQLite file."""
    made = open_world(f"sqlite:///{tmp_path / 'store.db'}")
    made.source.page_size = 20
    made.source.put_group("g", displayName="All", mailNickname="all@grp")
    for number in range(300):
        name = f"u{number}@x.com"
        made.source.put_user(f"u{number}", userPrincipalName=name, displayName=name, mail=name, jobTitle="x" * 500)
        made.source.link("g", f"u{number}")
    yield made
    made.database.close()


@pytest.fixture
def full_disk(world: World) -> Iterator[list[int]]:
    """Bound the store's pages: ``limit[0]`` of them (0: no bound), as a disk without room would."""
    limit = [0]

    @event.listens_for(world.database.engine, "begin")
    def bound(connection: Connection) -> None:
        connection.exec_driver_sql(f"PRAGMA max_page_count={limit[0] or 1073741823}")

    yield limit
    event.remove(world.database.engine, "begin", bound)


def check_integrity(path: str) -> str:
    """Return SQLite's own verdict."""
    with sqlite3.connect(path) as connection:
        verdict = str(connection.execute("PRAGMA integrity_check").fetchone()[0])
    connection.close()
    return verdict


async def test_a_full_disk_in_a_pull_fails_the_run_and_the_next_one_goes_on(world: World, full_disk: list[int]) -> None:
    """The run is recorded as failed with a sentence, or raises if not even that has room; nothing is corrupt."""
    path = world.database.engine.url.database or ""
    with world.database.engine.connect() as connection:
        pages = connection.execute(text("PRAGMA page_count")).scalar_one()
    full_disk[0] = pages + 15
    run = await world.sync("full")
    assert run.status == "failed"
    assert "no room left" in run.error
    assert world.portal.writes == []
    assert check_integrity(path) == "ok"
    full_disk[0] = 0
    run = await world.sync("delta")
    assert run.status == "succeeded", run.error
    assert len(world.portal.accounts) == 300
    assert len(world.portal.picture()["all@grp"]) == 300


async def test_a_full_disk_while_applying_loses_no_ownership(world: World, full_disk: list[int]) -> None:
    """Accounts whose outcome could not be recorded are recognised as our own afterwards, not adopted or made twice."""
    create = world.portal.create_account

    async def create_and_fill(account: Account, *, sent_before: bool = False) -> Creation:
        if len(world.portal.accounts) == 40:
            full_disk[0] = 1  # no page more than there are
        return await create(account, sent_before=sent_before)

    world.portal.create_account = create_and_fill
    run = await world.sync("full")
    assert run.status == "failed"
    assert "no room left" in run.error
    assert len(world.portal.accounts) > 40
    world.portal.create_account = create
    full_disk[0] = 0
    run = await world.sync("delta")
    assert run.status == "succeeded", (run.error, [c for c in world.changes(run) if not c.endswith("done")][:5])
    assert len(world.portal.accounts) == 300
    assert len(world.portal.picture()["all@grp"]) == 300
    assert world.changes(await world.sync("full")) == []


async def test_a_lost_database_is_a_store_error(tmp_path: Path) -> None:
    """Without any store not even the record of a run can be written: that is said, and nothing else happens."""
    world = open_world(f"sqlite:///{tmp_path / 'store.db'}")
    await world.sync("full")
    for name in ("store.db", "store.db-wal", "store.db-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    world.source.put_user("u1", userPrincipalName="u1@x.com", displayName="u1", mail="u1@x.com")
    with pytest.raises(StoreError, match=r"store\.db is gone: .*Move it back"):
        await world.sync("full")
    assert world.portal.writes == []
    assert not (tmp_path / "store.db").exists()
    world.database.close()


def test_a_damaged_file_is_not_kept_open(tmp_path: Path) -> None:
    """What is no database is refused, and the connection that found it out is closed at once."""
    path = tmp_path / "damaged.db"
    path.write_bytes(b"no database at all" * 1000)
    database = open_database(f"sqlite:///{path}")
    with pytest.raises(StoreError) as refused, database.transaction():
        pass
    still_open = [descriptor for descriptor in Path("/proc/self/fd").iterdir() if _names(descriptor, path)]
    database.close()
    assert (refused.type, still_open) == (StoreError, [])


def _names(descriptor: Path, path: Path) -> bool:
    """Return whether a descriptor is open and of that file; the one of the listing itself is gone by now."""
    try:
        return descriptor.readlink() == path
    except OSError:
        return False
