"""Whether a store is the one that was worked with last, or a copy that was put in its place.

A store cannot tell by itself that it went back in time. So a mark of the last run stands beside it too: in the lock
file of a SQLite store, which no copy of the store takes along. A database server gives every database a number of its
own, so that one that was made anew from a dump has another. What was put back together with what stands beside it (a
whole folder or machine, a server that was set back) is not recognised.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

from sqlalchemy import text

from syncd.errors import StoreError
from syncd.store.db.database import Database

_NUMBER = text("SELECT oid FROM pg_database WHERE datname = current_database()")
_MOST_BYTES = 4096


class Witness:
    """What stands beside a store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @property
    def is_private(self) -> bool:
        """Return whether there is nothing beside it: it is in memory, and nobody can copy it."""
        return self._database.dialect == "sqlite" and self._database.engine.url.database in (None, "", ":memory:")

    def make_mark(self, mark: str) -> str:
        """Return what the store is to be known by from now on: ``mark``, unlike any before, or the server's number."""
        return mark if self._database.dialect == "sqlite" else f"database {self._database.load_value(_NUMBER)}"

    def knows(self, mark: str) -> bool:
        """Return whether this mark, which the store has, stands beside it. Raises StoreError."""
        if self._database.dialect != "sqlite":
            return self.make_mark("") == mark
        try:
            with self._path.open(encoding="utf-8", errors="replace") as file:
                return mark in file.read(_MOST_BYTES).splitlines()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise self._refuse(error) from error

    def note(self, marks: Collection[str]) -> None:
        """Let these marks, and no others, stand beside the store. Raises StoreError.

        The file is written in place: others may hold the lock that it is. A disk that is full leaves the marks before.
        """
        if self._database.dialect != "sqlite":
            return
        try:
            handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.ftruncate(handle, os.pwrite(handle, "".join(f"{mark}\n" for mark in marks).encode(), 0))
            finally:
                os.close(handle)
        except OSError as error:
            raise self._refuse(error) from error

    @property
    def _path(self) -> Path:
        return Path(f"{self._database.engine.url.database}.lock")

    def _refuse(self, error: OSError) -> StoreError:
        return StoreError(f"the lock beside the store, {self._path}, cannot be used: {error.strerror}")
