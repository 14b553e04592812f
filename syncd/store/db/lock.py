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
from syncd.store.db.database import Database, explain
from syncd.store.db.postgresql import give_back, refuse_pooler

WATCH_SECONDS = 2.0
"""How often the holder looks whether the lock is still there."""
ANSWER_SECONDS = 4.0
"""A database that does not say within this time that the lock is ours may have given it to another."""
LOST_SECONDS = 3.0
"""A run that lost the lock may take so long to end by itself; then it is broken off."""
SETTLE_SECONDS = 10.0
"""A database server that dropped a session lets the next one in at once; the one who lost it has so long to notice and
to end its run: longer than the three above together."""

_ADVISORY_KEY = 0x73796E6364  # "syncd"
_HALVES = {"high": _ADVISORY_KEY >> 32, "low": _ADVISORY_KEY & 0xFFFFFFFF}
_TAKE = text("SELECT pg_try_advisory_lock(:key)")
_IS_TAKEN = text(
    "SELECT EXISTS (SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    " AND classid::bigint = :high AND objid::bigint = :low)"
)
_IS_OURS = text(
    "SELECT EXISTS (SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1"
    " AND pid = pg_backend_pid() AND classid::bigint = :high AND objid::bigint = :low)"
)
"""A key of 64 bits stands there in halves (PostgreSQL manual, pg_locks)."""


class StoreLock:
    """The right to work on a store. A file lock beside a SQLite file, an advisory lock on a session of PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._file: int | None = None
        self._session: Connection | None = None
        self._is_new_file = False
        self._keeps_sessions = False

    def try_acquire(self) -> bool:
        """Take the lock if nobody else has it. Blocks for no longer than one question to the database."""
        if self._file is not None or self._session is not None:
            return True
        if self._database.dialect == "sqlite":
            return self._lock_file()
        return self._lock_session()

    def is_taken(self) -> bool:
        """Return whether somebody has the lock, without taking it. Raises StoreError when the store cannot be asked."""
        if self._database.dialect != "sqlite":
            return bool(self._database.load_value(_IS_TAKEN, _HALVES))
        if self._is_private or not self._path.exists():
            return False
        try:
            handle = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise StoreError(f"the lock beside the store, {self._path}, cannot be opened: {error.strerror}") from error
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError as error:
            raise _make_unlockable(self._path, error) from error
        finally:
            os.close(handle)
        return False

    def is_held(self) -> bool:
        """Return whether the lock is still ours; a lost database session has lost it, and so has a removed file."""
        if self._file is not None:
            if not self._is_in_place(self._file):
                self.release()
            return self._file is not None
        if self._session is None:
            return self._is_private
        try:
            held = bool(self._session.execute(_IS_OURS, _HALVES).scalar_one())
            self._session.commit()
        except SQLAlchemyError:
            held = False
        if not held:
            self._drop_session()
        return held

    def release(self) -> None:
        """Give the lock back. Whoever asks for it after this gets it, unless the database cannot be reached."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
        if self._session is not None:
            try:
                give_back(self._session)
            finally:
                self._drop_session()

    def __enter__(self) -> Self:
        if not self.try_acquire():
            raise StoreLocked("another syncd works on this store; stop it, or wait for its end, and try again")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    @property
    def can_overlap(self) -> bool:
        """Return whether somebody who had this lock before us may not have noticed yet that it is gone.

        A dead process cannot. A live one can, when its session was dropped, or the file with its lock was removed.
        """
        return self._session is not None or self._is_new_file

    @property
    def _is_private(self) -> bool:
        """Return whether no other process can have this store: it is in memory."""
        return self._database.dialect == "sqlite" and self._database.engine.url.database in (None, "", ":memory:")

    @property
    def _path(self) -> Path:
        return Path(f"{self._database.engine.url.database}.lock")

    def _is_in_place(self, handle: int) -> bool:
        """Return whether that lock file is still the one that others would find."""
        try:
            return os.path.samestat(os.fstat(handle), self._path.stat())
        except OSError:
            return False

    def _drop_session(self) -> None:
        """End the session, and with it whatever lock it may have, without asking the server for anything."""
        if self._session is not None:
            session, self._session = self._session, None
            session.invalidate()
            session.close()

    def _lock_file(self) -> bool:
        if self._is_private:
            return True
        path = self._path
        self._is_new_file = not path.exists()
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreError(f"the lock beside the store, {path}, cannot be opened: {error.strerror}") from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return False
        except OSError as error:
            os.close(handle)
            raise _make_unlockable(path, error) from error
        if not self._is_in_place(handle):  # removed between the two calls above: it would bind nobody else
            os.close(handle)
            return False
        self._file = handle
        return True

    def _lock_session(self) -> bool:
        try:
            if not self._keeps_sessions:  # asked once: a standby comes here every few seconds
                refuse_pooler(self._database.engine)
                self._keeps_sessions = True
            session = self._database.engine.connect()
            got = session.execute(_TAKE, {"key": _ADVISORY_KEY}).scalar_one()
            session.commit()
        except SQLAlchemyError as error:
            raise StoreError(explain(error, self._database.engine.url)) from error
        if not got:
            session.close()
            return False
        self._session = session
        return True


def _make_unlockable(path: Path, error: OSError) -> StoreError:
    return StoreError(
        f"{path} cannot be locked ({error.strerror}): its file system knows no locks, and two daemons would work at "
        "once. A SQLite store belongs on a local disk; elsewhere use PostgreSQL"
    )
