"""The file of a SQLite store: whether it is still the one that was opened, and whether its file system knows locks."""

from __future__ import annotations

import errno
import fcntl
import tempfile
from pathlib import Path

from syncd.errors import StoreError

_UNKNOWN = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL})


class FileWatch:
    """Looks whether a SQLite file is still the one that was opened.

    The system lets a process write to a file that was removed or moved away: everything would go well, and be lost at
    the next start.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._opened: tuple[int, int] | None = None

    def note(self) -> None:
        """Remember the file that was just opened, the first time."""
        self._opened = self._opened or self._identify()

    def find_log_size(self) -> int:
        """Return the bytes of the write-ahead log beside the file; 0 without one."""
        try:
            return self._path.with_name(f"{self._path.name}-wal").stat().st_size
        except OSError:
            return 0

    def check(self) -> None:
        """Raise StoreError when the file is gone or another one."""
        if self._opened is None or (found := self._identify()) == self._opened:
            return
        if found is None:
            raise StoreError(
                f"the store's file {self._path} is gone: it was removed or moved away while syncd worked with it. Move "
                "it back; or stop syncd, put a copy there, and start it again (without one it begins with nothing)"
            )
        raise StoreError(
            f"the store's file {self._path} was replaced by another one while syncd worked with it: start syncd again, "
            "so that it works with the new one"
        )

    def _identify(self) -> tuple[int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino


def find_missing_locks(folder: Path) -> str:
    """Return what the system says when a new file in the folder is locked, nothing where that works or is not known.

    SQLite takes "there are no locks here" for "somebody else has it just now", and would wait for that half a minute
    each time (sqlite.org/src, os_unix.c, sqliteErrorFromPosixError).
    The store's own file is left alone: to close it would give back the locks that this process has on it.
    """
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.strerror or "" if error.errno in _UNKNOWN else ""
    return ""
