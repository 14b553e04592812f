"""Stores for tests, at little cost: the schema is copied from one made once, and statements are compiled once.

What is saved is what every test would do alike: all migrations, and SQLAlchemy's translation of the program's
statements to SQL, which is kept per engine and would be thrown away with the store of each test.
"""

from __future__ import annotations

import atexit
import functools
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import Engine, create_engine, delete
from sqlalchemy.engine import Dialect, make_url
from sqlalchemy.util import LRUCache

from syncd.store.db import database as store
from syncd.store.db.database import Database, open_database
from syncd.store.db.revision import ensure_schema
from syncd.store.schema.tables import checkpoints

STATEMENTS = 4000
"""How many compiled statements are kept per kind of engine."""

TEMPLATE = "migrated"

_compiled: dict[str, tuple[Dialect, LRUCache[Any, Any]]] = {}


@functools.cache
def template() -> Path:
    """Return a SQLite store with the schema and nothing else, made once: to be copied, never to be opened."""
    path = Path(mkdtemp(prefix="syncd-test-"), "empty.db")
    atexit.register(shutil.rmtree, path.parent)
    _migrate(f"sqlite:///{path}")
    return path


def open_migrated(url: str) -> Database:
    """Open a store with the schema, and make it where there is none: a SQLite file as a copy of the template.

    Migrating costs more than most tests do with the store afterwards, and `tests/migrations` shows that it works.
    """
    path = Path(make_url(url).database or "")
    if url.startswith("sqlite:///") and not path.exists() and path.parent.is_dir():
        shutil.copy(template(), path)
    database = open_database(url)
    try:
        ensure_schema(database, create=True)
    except BaseException:
        database.close()
        raise
    return database


@functools.cache
def postgres_template(server_url: str) -> str:
    """Return the name of a migrated database on that server, made once: a template for `fresh_database`."""
    server = make_url(server_url)
    conninfo = server.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(conninfo, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(TEMPLATE)))
    _migrate(server.set(database=TEMPLATE).render_as_string(hide_password=False))
    return TEMPLATE


def _migrate(url: str) -> None:
    database = open_database(url)
    ensure_schema(database, create=True)
    database.close()
    # Part of the key of a compiled statement is the dialect object, and this one has seen a server of its kind.
    _compiled.setdefault(database.dialect, (database.engine.dialect, LRUCache(STATEMENTS)))


@contextmanager
def sharing_compiled_statements() -> Iterator[None]:
    """Let every engine that the program opens use what others have compiled, from the first template of its kind on."""

    def create_sharing_engine(*arguments: Any, **options: Any) -> Engine:
        engine = create_engine(*arguments, **options)
        if engine.dialect.name in _compiled:
            dialect, cache = _compiled[engine.dialect.name]
            engine.dialect = dialect
            engine.update_execution_options(compiled_cache=cache)
        return engine

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "create_engine", create_sharing_engine)
        yield


def forget_news(database: Database) -> None:
    """Let the store hold no link to what delta has to tell: whatever changes, only the next full read can show."""
    with database.transaction() as connection:
        connection.execute(delete(checkpoints))
