"""The lock of the lock, on a database that does not answer."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from syncd.daemon.async_lock import AsyncLock
from syncd.store.db import lock as lock_module
from syncd.store.db.database import open_database
from syncd.store.db.lock import StoreLock


async def test_no_answer_in_time_is_no_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that vanished without a word may have let another one in; the loop goes on meanwhile."""
    answered = threading.Event()
    monkeypatch.setattr(StoreLock, "is_held", lambda self: answered.wait(20))
    database = open_database(f"sqlite:///{tmp_path / 'store.db'}")
    lock = AsyncLock(StoreLock(database))
    assert await lock.try_acquire()
    assert not await lock.is_held(within=0.01)
    answered.set()
    assert await lock.is_held(within=20)
    await lock.close()
    database.close()


def test_who_takes_over_waits_longer_than_it_takes_to_notice() -> None:
    """Looking, waiting for the answer and breaking off the run together."""
    noticing = lock_module.WATCH_SECONDS + lock_module.ANSWER_SECONDS + lock_module.LOST_SECONDS
    assert noticing < lock_module.SETTLE_SECONDS


def test_a_lock_on_a_removed_file_is_lost(tmp_path: Path) -> None:
    """Another process would find no file and take a new one; who takes it may overlap with the one before."""
    database = open_database(f"sqlite:///{tmp_path / 'store.db'}")
    first, second, third = StoreLock(database), StoreLock(database), StoreLock(database)
    assert first.try_acquire()
    first.release()
    assert first.try_acquire()
    assert not first.can_overlap
    assert first.is_held()
    assert not second.try_acquire()
    (tmp_path / "store.db.lock").unlink()
    assert second.try_acquire()
    assert second.can_overlap
    assert not first.is_held()
    assert not third.try_acquire()
    assert not first.try_acquire()
    second.release()
    database.close()
