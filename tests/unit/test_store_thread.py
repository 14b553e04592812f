"""What runs in the store's thread, as the event loop sees it."""

from __future__ import annotations

import asyncio
import gc
import threading
from pathlib import Path
from typing import Any

import pytest

from syncd.errors import Interrupted
from syncd.store.db.database import open_database


async def test_a_failure_after_a_cancellation_is_not_logged_by_the_event_loop(tmp_path: Path) -> None:
    """Whoever was cancelled waits for the work in hand; that it fails then is nobody's news."""
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    database = open_database(f"sqlite:///{tmp_path / 'store.db'}")
    begun, may_end = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def work() -> None:
        loop.call_soon_threadsafe(begun.set)
        may_end.wait(20)
        raise Interrupted("asked to stop")

    task = asyncio.create_task(database.call(work))
    await begun.wait()
    task.cancel()
    await asyncio.sleep(0)
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    del task
    gc.collect()
    await asyncio.sleep(0)
    database.close()
    assert told == []
