"""The revision of the schema: which one the store has, which one the program needs, and how it gets there."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from syncd.errors import SchemaMismatch, StoreError
from syncd.store.db.address import show_address
from syncd.store.db.database import Database, explain, reading


def _alembic_config(database: Database) -> Any:
    from alembic.config import Config  # imported late: a running daemon does not need the migration machinery

    config = Config()
    config.set_main_option("script_location", str(find_migrations()))
    config.attributes["engine"] = database.engine
    return config


def find_migrations() -> Path:
    """Return the folder of the migrations: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).resolve().parents[2]
    inside = package / "migrations"
    return inside if inside.is_dir() else package.parent / "migrations"


@cache
def load_head() -> str:
    """Return the revision that this program needs: the number of its last migration, ``0008`` of ``0008_costs.py``.

    Read from the names of the files, and once: Alembic executes every migration to find it out. Raises StoreError when
    there is none.
    """
    numbers = _list_revisions()
    if not numbers:
        raise StoreError("this installation of syncd has no migrations")
    return max(numbers)


@cache
def _list_revisions() -> frozenset[str]:
    return frozenset(path.name.partition("_")[0] for path in (find_migrations() / "versions").glob("[0-9]*_*.py"))


def is_of_newer(revision: str) -> bool:
    """Return whether only a newer program can have written that revision: this one has no migration to it."""
    return revision not in _list_revisions()


def load_revision(database: Database) -> str | None:
    """Return the store's revision, None when it is empty. A SQLite file that is not there is not created by asking."""
    url = database.engine.url
    database.check_file()
    if database.dialect == "sqlite" and url.database and not url.query and not Path(url.database).exists():
        return None
    try:  # a store is opened often, and empty once: only then is it looked for the table
        with database.asking() as connection:
            row = connection.exec_driver_sql("SELECT version_num FROM alembic_version").first()
            return None if row is None else str(row[0])
    except StoreError:
        with reading(database) as connection:
            if connection.dialect.has_table(connection, "alembic_version"):
                raise
        return None


def migrate(database: Database) -> tuple[str | None, str]:
    """Bring the store to the program's schema; return the revision before and after."""
    from alembic import command

    before = load_revision(database)
    if before is not None and is_of_newer(before):
        raise _refuse_newer(before)
    try:
        command.upgrade(_alembic_config(database), "head")
    except SQLAlchemyError as error:
        raise StoreError(explain(error, database.engine.url)) from error
    return before, load_head()


def ensure_schema(database: Database, *, create: bool) -> None:
    """Check that the store has the program's revision; bring up an empty one when ``create`` says so.

    Raises SchemaMismatch, naming the command that helps, for any other revision.
    """
    revision, head = load_revision(database), load_head()
    if revision == head:
        return
    if revision is None:
        if not create:
            where = show_address(database.engine.url)
            raise SchemaMismatch(
                f"the store at {where} is empty: run 'syncd migrate', or just start 'syncd run' or 'syncd sync full'"
            )
        migrate(database)
        return
    if is_of_newer(revision):
        raise _refuse_newer(revision)
    raise SchemaMismatch(
        f"the store is at revision {revision}, this syncd needs {head}: stop every syncd on it and run 'syncd migrate'"
    )


def _refuse_newer(revision: str) -> SchemaMismatch:
    return SchemaMismatch(
        f"the store is at revision {revision}, which this syncd ({load_head()}) does not know: "
        "it was written by a newer syncd; install that version again"
    )
