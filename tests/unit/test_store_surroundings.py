"""What a SQLite store stands on: folders, disks without locks, shares."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from pathlib import Path

import pytest

from syncd.bootstrap.checks import check_store
from syncd.errors import StoreError
from syncd.store.db.database import open_database
from syncd.store.db.lock import StoreLock
from syncd.store.db.surroundings import find_mount, find_problem, find_share
from tests.fakes.daemon import make_settings


@pytest.mark.parametrize("place", ["missing/store.db", "file/store.db", "closed/store.db"])
def test_a_folder_that_cannot_be_used_is_named(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`check` says which folder it is, instead of an empty store; and creates nothing."""
    (tmp_path / "file").write_text("", encoding="utf-8")
    (tmp_path / "closed").mkdir()
    allowed = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: "closed" not in str(path) and allowed(path, mode))
    url = f"sqlite:///{tmp_path / place}"
    with contextlib.closing(open_database(url)) as database:
        assert str((tmp_path / place).parent) in find_problem(database)
    row = check_store(make_settings(url))
    assert (row.status, str((tmp_path / place).parent) in row.detail) == ("failed", True)
    assert not (tmp_path / place).exists()


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As of a restored copy that belongs to somebody else."""
    path = tmp_path / "store.db"
    path.touch()
    monkeypatch.setattr(os, "access", lambda asked, mode: asked != path)
    with contextlib.closing(open_database(f"sqlite:///{path}")) as database:
        assert find_problem(database) == f"syncd may not write to {path}"


def test_an_empty_store_reminds_of_the_one_that_was_lost(tmp_path: Path) -> None:
    """Nothing in the portal is known to be ours without it."""
    row = check_store(make_settings(f"sqlite:///{tmp_path / 'store.db'}"))
    assert (row.status, "is empty; no full run" in row.detail) == ("warning", True)
    assert "restore it" in row.remedy


@pytest.mark.parametrize(("revision", "advice"), [("0008", "'syncd migrate'"), ("9999", "a newer syncd")])
def test_a_store_of_another_version_is_refused_with_its_way_out(revision: str, advice: str, tmp_path: Path) -> None:
    """An older one is migrated; of a newer one nothing can be made here."""
    url = f"sqlite:///{tmp_path / 'store.db'}"
    with contextlib.closing(open_database(url)) as database, database.transaction() as connection:
        connection.exec_driver_sql("CREATE TABLE alembic_version (version_num TEXT)")
        connection.exec_driver_sql(f"INSERT INTO alembic_version VALUES ('{revision}')")
    row = check_store(make_settings(url))
    assert (row.status, advice in row.remedy) == ("failed", True)


MOUNTS = [
    "22 1 0:21 / / rw,relatime shared:1 - ext4 /dev/sda1 rw",
    "30 22 0:40 / /srv/share\\040one rw - nfs4 server:/export rw",
    "31 22 0:41 / /srv rw - cifs //server/share rw",
    "32 31 0:42 / /srv/local rw - xfs /dev/sdb rw",
    "33 32 0:43 / /srv/local rw - 9p host rw",
    "broken",
]


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/var/lib", "ext4"),
        ("/srv/share one/deep", "nfs4"),
        ("/srv/x", "cifs"),
        ("/srv/local", "9p"),
        ("/srvx", "ext4"),
    ],
)
def test_the_file_system_of_a_folder_is_that_of_the_deepest_mount(folder: str, kind: str) -> None:
    """Names may hold blanks, written as octal; of two mounts on one place the later one counts."""
    assert find_mount(MOUNTS, Path(folder)) == kind


def test_a_file_on_a_share_is_warned_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite's locks do not hold between machines."""
    mounts = tmp_path / "mounts"
    mounts.write_text(f"1 1 0:1 / / rw - ext4 x rw\n2 1 0:2 / {tmp_path} rw - nfs4 x rw\n", encoding="utf-8")
    monkeypatch.setattr("syncd.store.db.surroundings._MOUNTS", mounts)
    url = f"sqlite:///{tmp_path / 'store.db'}"
    with contextlib.closing(open_database(url)) as database:
        assert find_share(database) == "nfs4"
    row = check_store(make_settings(url))
    assert (row.status, "use PostgreSQL" in row.remedy) == ("warning", True)


def test_a_lock_that_the_file_system_does_not_know_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither taking the lock nor asking for it ends in a traceback."""

    def refuse(_handle: int, _operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    with contextlib.closing(open_database(f"sqlite:///{tmp_path / 'store.db'}")) as database:
        lock = StoreLock(database)
        assert lock.try_acquire()
        lock.release()
        monkeypatch.setattr(fcntl, "flock", refuse)
        with pytest.raises(StoreError, match=r"No locks available.*local disk; elsewhere use PostgreSQL"):
            lock.try_acquire()
        with pytest.raises(StoreError, match="two daemons would work at once"):
            lock.is_taken()
