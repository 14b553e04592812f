"""The database that tests on PostgreSQL have one after the other: none finds what another one left."""

from __future__ import annotations

import psycopg
import pytest
from sqlalchemy.engine import make_url

from tests.kept_database import KeptDatabase
from tests.stores import postgres_template

CHANGES = (
    "ALTER TABLE runs ADD COLUMN more int",
    "DROP TABLE changes CASCADE",
    "CREATE INDEX more ON runs (trigger)",
    "REVOKE ALL ON runs FROM CURRENT_USER",
)
"""What is more than other rows."""


@pytest.fixture
def kept(postgres_url: str) -> KeptDatabase:
    """One that no other test has."""
    return KeptDatabase(postgres_url, postgres_template(postgres_url))


def connect(url: str) -> psycopg.Connection:
    """Open a connection of the test."""
    address = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    return psycopg.connect(address, autocommit=True)


def read(url: str, question: str) -> object:
    """Return the one value that is the answer."""
    with connect(url) as connection:
        row = connection.execute(question).fetchone()
        assert row is not None
        return row[0]


def begin_run(url: str) -> None:
    """Write a row whose number the database gives."""
    with connect(url) as connection:
        connection.execute(
            "INSERT INTO runs (kind, trigger, status, started_at, counts, phases, error)"
            " VALUES ('full', 'cli', 'ok', 'now', '', '', '')"
        )


def test_rows_and_numbers_are_put_back(kept: KeptDatabase) -> None:
    """What one test wrote is gone for the next, whose first row has the first number again; kept moments return."""
    with kept.lend() as url:
        head = read(url, "SELECT version_num FROM alembic_version")
        begin_run(url)
        moment = kept.keep()
        begin_run(url)
    with kept.lend() as again:
        assert again == url
        assert read(again, "SELECT count(*) FROM runs") == 0
        assert read(again, "SELECT version_num FROM alembic_version") == head
        begin_run(again)
        assert read(again, "SELECT max(id) FROM runs") == 1
    with kept.lend(moment) as third:
        assert third == url
        assert read(third, "SELECT count(*) FROM runs") == 1
        begin_run(third)
        assert read(third, "SELECT max(id) FROM runs") == 2


def test_a_database_of_another_shape_is_thrown_away(kept: KeptDatabase) -> None:
    """Its moments go with it: who asks for one gets an empty database, and knows that it is not kept."""
    with kept.lend() as url:
        begin_run(url)
        moment = kept.keep()
    for change in CHANGES:
        with kept.lend(moment) as url, connect(url) as connection:
            assert read(url, "SELECT count(*) FROM runs") == 1
            connection.execute(change)
        with kept.lend(moment) as other:
            assert other != url, change
            assert moment not in kept.moments
            assert read(other, "SELECT count(*) FROM runs") == 0
            assert read(other, "SELECT count(*) FROM changes") == 0
            begin_run(other)
            earlier, moment = moment, kept.keep()
            assert moment != earlier


def test_nobody_stays_connected(kept: KeptDatabase) -> None:
    """Neither a transaction that nobody ended nor a lock that a session holds is left for the next test."""
    with kept.lend() as url:
        left = connect(url)
        left.execute("SELECT pg_advisory_lock(7)")
        left.execute("BEGIN")
        left.execute("LOCK TABLE runs")
    with kept.lend() as again:
        assert again == url
        assert read(again, "SELECT pg_try_advisory_lock(7)") is True
        begin_run(again)
    left.close()
