"""What a store stands on: a folder that can be written, a disk with locks, a server that keeps its sessions.

For ``syncd check``, which must find out without creating anything.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from syncd.errors import StoreError
from syncd.store.db.database import Database, explain
from syncd.store.db.postgresql import refuse_pooler

_MOUNTS = Path("/proc/self/mountinfo")
_SHARED = re.compile(
    r"nfs4?|cifs|smb\w*|9p|ncpfs|afs|glusterfs|ceph|lustre|fuse\.(sshfs|glusterfs|s3fs|rclone|davfs2?)"
)
"""Kinds of file systems that several machines share, where SQLite's shared memory and locks do not hold
(sqlite.org/wal.html, sqlite.org/useovernet.html)."""


def find_problem(database: Database) -> str:
    """Return why syncd could not work with this store, or nothing."""
    path = find_file(database)
    if path is not None:
        return _find_file_problem(path)
    if database.dialect == "postgresql":
        try:
            refuse_pooler(database.engine)
        except StoreError as error:
            return str(error)
        except SQLAlchemyError as error:
            return explain(error, database.engine.url)
    return ""


def find_share(database: Database) -> str:
    """Return the kind of file system that a SQLite file would share with other machines, or nothing."""
    path = find_file(database)
    if path is None:
        return ""
    try:
        lines = _MOUNTS.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    kind = find_mount(lines, path.parent.resolve())
    return kind if _SHARED.fullmatch(kind) else ""


def find_mount(lines: list[str], folder: Path) -> str:
    """Return the kind of the file system that holds a folder, by the lines of mountinfo (proc_pid_mountinfo(5))."""
    found, longest = "", -1
    for line in lines:
        before, _, after = line.partition(" - ")
        fields = before.split(" ")
        if len(fields) < 5 or not after:
            continue
        at = Path(re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), fields[4]))
        if folder.is_relative_to(at) and len(at.parts) >= longest:  # of two on one place, the later one covers
            found, longest = after.split(" ")[0], len(at.parts)
    return found


def find_file(database: Database) -> Path | None:
    """Return the file of a SQLite store; None for a server, and for what is no plain file."""
    url = database.engine.url
    if database.dialect != "sqlite" or not url.database or url.database == ":memory:" or url.query:
        return None
    return Path(url.database).absolute()


def _find_file_problem(path: Path) -> str:
    if not path.parent.is_dir():
        return f"the folder {path.parent} of store.url does not exist"
    if not os.access(path.parent, os.W_OK | os.X_OK):
        return f"syncd may not write to the folder {path.parent} of store.url"
    if path.exists() and not os.access(path, os.R_OK | os.W_OK):
        return f"syncd may not write to {path}"
    return ""
