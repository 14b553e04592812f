"""What nobody else may read: the store's files, and what a row of an older release let get in."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy import make_url
from sqlalchemy.exc import IntegrityError, OperationalError

from syncd.store.db.address import show_address
from syncd.store.db.database import explain, open_database
from syncd.store.db.revision import ensure_schema
from syncd.store.store import Store

pytestmark = pytest.mark.both_engines(every=True)

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
BROKEN = (
    "WEBCON BPS portal: the connection broke: ClientResponseError(RequestInfo(headers=<CIMultiDictProxy('Host': 'b', "
    "'Authorization': 'Bearer canary-1234567890')>), (), status=400)"
)
LEAKS = (
    BROKEN,
    "407, message='Proxy Authentication Required', url='http://someone:canary-1234567890@proxy.example:3128'",
    "the portal said client_secret=canary-1234567890&grant_type=client_credentials",
)


@pytest.fixture
def umask() -> Iterator[None]:
    """The usual umask, under which files are readable by everybody."""
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.mark.usefixtures("umask")
@pytest.mark.parametrize("options", ["", "?timeout=30"])
def test_the_files_of_a_new_store_are_readable_by_their_owner_only(tmp_path: Path, options: str) -> None:
    """The database holds names and addresses of people, and so do the files that SQLite keeps beside it."""
    database = open_database(f"sqlite:///{tmp_path}/syncd.db{options}")
    try:
        ensure_schema(database, create=True)
        Store(database).runs.open.blocking("delta", "cli", now=NOW)
        found = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    finally:
        database.close()
    assert found == dict.fromkeys(("syncd.db", "syncd.db-shm", "syncd.db-wal"), 0o600)


@pytest.mark.usefixtures("umask")
def test_a_store_behind_a_link_is_private_too(tmp_path: Path) -> None:
    """The link may come before the file that it leads to."""
    (tmp_path / "link.db").symlink_to(tmp_path / "real.db")
    database = open_database(f"sqlite:///{tmp_path}/link.db")
    ensure_schema(database, create=True)
    database.close()
    assert stat.S_IMODE((tmp_path / "real.db").stat().st_mode) == 0o600


def test_a_password_among_the_parameters_is_not_shown() -> None:
    """libpq takes it there too; before the host it was hidden already."""
    url = make_url("postgresql+psycopg://syncd:hunter1@db/syncd?password=hunter2&sslpassword=hunter3&sslmode=require")
    assert (
        show_address(url)
        == "postgresql+psycopg://syncd:***@db/syncd?password=hidden&sslmode=require&sslpassword=hidden"
    )
    told = explain(OperationalError("SELECT 1", {}, Exception("connection refused")), url)
    assert "connection refused" in told
    assert "hunter" not in told


def test_what_a_server_tells_of_a_row_is_not_passed_on() -> None:
    """PostgreSQL shows the values of a row that it refuses, and people have names."""
    said = (
        'null value in column "key" violates not-null constraint\nDETAIL:  Failing row contains (null, Anna Nowak).\n'
    )
    told = explain(IntegrityError("INSERT", {}, Exception(said)), make_url("postgresql+psycopg://db/syncd"))
    assert "not-null constraint" in told
    assert "Anna" not in told


@pytest.mark.usefixtures("umask")
def test_who_may_read_a_store_that_is_there_is_the_operators_decision(tmp_path: Path) -> None:
    """A group of people who make copies, say."""
    path = tmp_path / "syncd.db"
    path.touch(0o640)
    database = open_database(f"sqlite:///{path}")
    ensure_schema(database, create=True)
    database.close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


@pytest.mark.parametrize("leak", LEAKS)
def test_secrets_in_rows_of_an_older_release_are_masked_when_they_are_read(store_url: str, leak: str) -> None:
    """Also what is stored now goes through the same mask."""
    database = open_database(store_url)
    store = Store(database)
    old = store.runs.open.blocking("delta", "cli", now=NOW)
    new = store.runs.open.blocking("delta", "cli", now=NOW)
    store.runs.close.blocking(new, "failed", counts={}, phases={}, error=leak, now=NOW)
    with database.transaction() as connection:
        connection.execute(sa.text("UPDATE runs SET error = :leak WHERE id = :id"), {"leak": leak, "id": old})
        kept = connection.execute(sa.text("SELECT error FROM runs WHERE id = :id"), {"id": new}).scalar_one()
        connection.execute(
            sa.text(
                "INSERT INTO changes (run_id, seq, phase, action, object, record_key, target, reason, status, error)"
                " VALUES (:run, 0, 1, 'update', 'user', 1, '', '', 'failed', :leak)"
            ),
            {"run": old, "leak": leak},
        )
    read = [run.error for run in store.runs.load_runs(10)]
    with database.transaction() as connection:
        from syncd.store.schema.tables import changes

        read += list(connection.scalars(sa.select(changes.c.error)))
        read += list(connection.scalars(sa.select(sa.func.min(changes.c.error))))
    database.close()
    assert len(read) == 4
    assert all("canary" not in text and "********" in text for text in (*read, kept))
