"""One working syncd per store: a lock that the system takes back by itself when the process dies."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError

from syncd.errors import StoreError, StoreLocked
from syncd.store.database import Database, explain

_ADVISORY_KEY = 0x73796E6364  # "syncd"


class StoreLock:
    """The right to work on a store. A file lock beside a SQLite file, an advisory lock on a session of PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._file: int | None = None
        self._session: Connection | None = None

    def try_acquire(self) -> bool:
        """Take the lock if nobody else has it. Blocks for no longer than one question to the database."""
        if self._file is not None or self._session is not None:
            return True
        if self._database.dialect == "sqlite":
            return self._lock_file()
        return self._lock_session()

    def is_held(self) -> bool:
        """Return whether the lock is still ours; a lost database session has lost it."""
        if self._session is None:
            return self._file is not None
        try:
            self._session.execute(text("SELECT 1"))
            self._session.commit()
        except SQLAlchemyError:
            self.release()
            return False
        return True

    def release(self) -> None:
        """Give the lock back."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
        if self._session is not None:
            session, self._session = self._session, None
            session.invalidate()
            session.close()

    def __enter__(self) -> Self:
        if not self.try_acquire():
            raise StoreLocked("another syncd works on this store; stop it, or wait for its end, and try again")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _lock_file(self) -> bool:
        database = self._database.engine.url.database
        if not database or database == ":memory:":
            return True
        path = Path(f"{database}.lock")
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreError(f"the lock beside the store, {path}, cannot be opened: {error.strerror}") from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return False
        self._file = handle
        return True

    def _lock_session(self) -> bool:
        try:
            session = self._database.engine.connect()
            got = session.execute(text("SELECT pg_try_advisory_lock(:key)"), {"key": _ADVISORY_KEY}).scalar_one()
            session.commit()
        except SQLAlchemyError as error:
            raise StoreError(explain(error, self._database.engine.url)) from error
        if not got:
            session.close()
            return False
        self._session = session
        return True
