"""The migrations lead to exactly the tables that the program uses, and other revisions are refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import select, text

from syncd.errors import SchemaMismatch, StoreError
from syncd.store.db.database import Database, open_database
from syncd.store.db.revision import ensure_schema, find_migrations, load_head, load_revision, migrate
from syncd.store.reports.history import History
from syncd.store.schema.tables import failures, metadata, rejections, target_members
from syncd.store.schema.types import complete_for_postgresql
from syncd.store.store import Store
from tests.fakes.history import check_history

pytestmark = [pytest.mark.driver, pytest.mark.both_engines(every=True)]

BEFORE_OWNERS = "0001"


@pytest.fixture
def database(empty_store_url: str) -> Iterator[Database]:
    """An empty store of each kind."""
    opened = open_database(empty_store_url)
    yield opened
    opened.close()


def test_there_is_one_head() -> None:
    """Two heads would make `syncd migrate` ambiguous."""
    assert len(ScriptDirectory(str(find_migrations())).get_heads()) == 1


def test_the_needed_revision_is_read_from_the_names_of_the_migrations() -> None:
    """It is the head that Alembic finds, which executes every migration for it; and each file is named by its own."""
    scripts = ScriptDirectory(str(find_migrations()))
    assert load_head() == scripts.get_current_head()
    for script in scripts.walk_revisions():
        assert Path(script.path).name.startswith(f"{script.revision}_")


def test_a_store_without_tables_has_no_revision(database: Database) -> None:
    """A database that is there and empty is no error, and stays empty."""
    with database.transaction() as connection:
        connection.execute(text("CREATE TABLE another (key INTEGER)"))
    assert load_revision(database) is None


def test_migrations_equal_the_tables(database: Database) -> None:
    """What the migrations build is what the code expects: no missing column, no forgotten index."""
    assert migrate(database) == (None, load_head())
    complete_for_postgresql()
    with database.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    assert migrate(database) == (load_head(), load_head())


def test_what_failed_and_was_rejected_before_owners_came_is_kept_under_its_kind(database: Database) -> None:
    """0006 gives both a kind of object: that of the newest change about the same pair, or else a user."""
    config = Config()
    config.set_main_option("script_location", str(find_migrations()))
    config.attributes["engine"] = database.engine
    command.upgrade(config, BEFORE_OWNERS)
    change = (
        "INSERT INTO changes (run_id, seq, phase, action, object, record_key, target_key, target, reason, status,"
        " error) VALUES (:run, 1, 40, 'link', :object, :record, :target, '', '', 'failed', '')"
    )
    with database.transaction() as connection:
        for run, kind, record, target in ((1, "membership", 7, 8), (2, "group", 7, None)):
            connection.execute(text(change), {"run": run, "object": kind, "record": record, "target": target})
        for record, target in ((7, 8), (7, 0), (9, 0)):
            connection.execute(
                text("INSERT INTO failures VALUES (:record, :target, 2, '2026-01-01', '2026-01-02', 'refused')"),
                {"record": record, "target": target},
            )
            connection.execute(
                text("INSERT INTO rejections VALUES (:record, :target, 'unlink', '', 1)"),
                {"record": record, "target": target},
            )
    command.upgrade(config, "head")
    with database.transaction() as connection:
        for table in (failures, rejections):
            columns = table.c.record_key, table.c.target_key, table.c.object
            found = sorted(tuple(row) for row in connection.execute(select(*columns)))
            assert found == [(7, 0, "group"), (7, 8, "membership"), (9, 0, "user")]


def test_what_is_there_when_the_history_begins_has_no_beginning(database: Database) -> None:
    """0018 opens a time for each record of ours and each licence that is held; 0019 says which runs are in no chain.

    0020 lets what was noted as changed by hand before then be no sign of a restored portal.
    """
    config = Config()
    config.set_main_option("script_location", str(find_migrations()))
    config.attributes["engine"] = database.engine
    command.upgrade(config, "0017")
    with database.transaction() as connection:
        connection.execute(text("INSERT INTO target_members VALUES (1, 2)"))
        connection.execute(text("INSERT INTO target_principals VALUES (2, 'ann@x.com', 'ann@x.com')"))
        for key, origin in ((2, "'created'"), (3, "NULL")):
            values = f"({key}, 'Synchronized', {origin}, 9)"
            connection.execute(text(f"INSERT INTO target_users (key, status, origin, source_key) VALUES {values}"))
        for kind, origin in (("Used", "'granted'"), ("Manual", "NULL"), ("Noted", "'taken'")):
            connection.execute(text(f"INSERT INTO target_licences (key, type, origin) VALUES (2, '{kind}', {origin})"))
        connection.execute(
            text(
                "INSERT INTO runs (id, kind, trigger, status, started_at, finished_at, counts, phases, error) "
                "VALUES (4, 'full', 'cli', 'succeeded', '2026-01-01', '2026-01-02', '{}', '{}', '')"
            )
        )
    command.upgrade(config, "head")
    with database.transaction() as connection:
        assert list(connection.scalars(select(target_members.c.came_at))) == [None]
    history = History(database)
    assert history.load_since().tzinfo is not None
    (record,) = history.load_records("user", key=2)
    assert (record.origin, record.time.came.at, record.time.went) == ("created", None, None)
    assert [(each.type, each.time.came.at) for each in history.load_licences([2])] == [("Manual", None), ("Used", None)]
    verdict = Store(database).chain.verify()
    assert (verdict.broken, verdict.unhashed, verdict.checked) == ([], 1, 0)
    seen = Store(database).past.load_seen.blocking()
    assert seen is not None
    assert seen.tzinfo is not None
    check_history(database)


def test_a_store_of_another_revision_is_refused_with_the_command_that_helps(database: Database) -> None:
    """An older store names `syncd migrate`; an unknown (newer) one names the newer program."""
    with pytest.raises(SchemaMismatch, match="syncd migrate"):
        ensure_schema(database, create=False)
    ensure_schema(database, create=True)
    with database.transaction() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    assert load_revision(database) == "9999"
    with pytest.raises(SchemaMismatch, match=r"9999.*newer"):
        ensure_schema(database, create=True)
    with pytest.raises(SchemaMismatch, match=r"9999.*newer"):
        migrate(database)
    with database.transaction() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0001'"))
    with pytest.raises(SchemaMismatch, match=r"0001.*'syncd migrate'"):
        ensure_schema(database, create=True)


def test_a_store_that_cannot_be_opened_is_one_sentence(tmp_path: Path) -> None:
    """A missing folder is named, with the question that helps."""
    database = open_database(f"sqlite:///{tmp_path}/missing/store.db")
    with pytest.raises(StoreError, match="missing"):
        ensure_schema(database, create=True)
    database.close()
