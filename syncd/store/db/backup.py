"""A consistent copy of the store, made beside whoever works on it: by the database's own means.

SQLite copies page by page and begins anew where somebody wrote meanwhile (its online backup); PostgreSQL's ``pg_dump``
reads one snapshot.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

from syncd.errors import StoreError
from syncd.store.db.database import Database

_PAGES = 4096
"""Copied in one step; between two steps others may write."""
_SECONDS = 6 * 3600.0


def back_up(database: Database, path: Path) -> None:
    """Write a copy into a new file at ``path``, which the caller has made private. Raises StoreError."""
    if database.dialect == "sqlite":
        _copy_sqlite(database, path)
    else:
        _dump_postgresql(database, path)


def _copy_sqlite(database: Database, path: Path) -> None:
    source = database.engine.raw_connection()
    try:
        with closing(sqlite3.connect(path)) as target:
            source.driver_connection.backup(target, pages=_PAGES)  # type: ignore[union-attr]  # it is there: just opened
            target.execute("PRAGMA journal_mode=DELETE")  # one file, without a log beside it
            found = target.execute("PRAGMA quick_check").fetchone()
    except sqlite3.Error as error:
        raise StoreError(f"the copy could not be made: {error}") from error
    finally:
        source.close()
    if found != ("ok",):
        raise StoreError(f"the copy is not sound: {found[0] if found else 'nothing is known of it'}")


def _dump_postgresql(database: Database, path: Path) -> None:
    program = shutil.which("pg_dump")
    if program is None:
        raise StoreError(
            "pg_dump is not here: install PostgreSQL's client programs (on Debian postgresql-client), at least as new "
            "as the server"
        )
    url = database.engine.url
    told = {
        "PGHOST": url.host,
        "PGPORT": str(url.port) if url.port else None,
        "PGUSER": url.username,
        "PGPASSWORD": None if url.password is None else str(url.password),
        "PGDATABASE": url.database,
        **{_VARIABLES[name]: str(value) for name, value in url.query.items() if name in _VARIABLES},
    }
    environment = {**os.environ, **{name: value for name, value in told.items() if value}}
    command = [program, "--format=custom", "--no-password", f"--file={path}"]
    try:
        done = subprocess.run(  # noqa: S603 - found on the path, with arguments of ours
            command, env=environment, capture_output=True, text=True, errors="replace", timeout=_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise StoreError(f"pg_dump could not be carried out: {type(error).__name__}") from error
    if done.returncode:
        said = " ".join(done.stderr.split())[:300]
        raise StoreError(f"pg_dump failed: {said or f'exit code {done.returncode}'}")


_VARIABLES = {
    "host": "PGHOST",
    "port": "PGPORT",
    "user": "PGUSER",
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
}
"""Options of an address, and the variables by which libpq is told the same (PostgreSQL manual, 34.15)."""
