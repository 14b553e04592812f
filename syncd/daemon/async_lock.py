"""The store's lock for asyncio: acquire, check and release it in one worker thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from syncd.store.db.lock import StoreLock

T = TypeVar("T")


class AsyncLock:
    """Runs each question to the lock in one thread, so that the event loop never waits for the database."""

    def __init__(self, lock: StoreLock) -> None:
        self._lock = lock
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="lock")

    async def try_acquire(self) -> bool:
        """Take the lock if nobody else has it; raises StoreError when the store cannot be asked."""
        return await self._call(self._lock.try_acquire)

    async def is_held(self, *, within: float) -> bool:
        """Return whether the lock is still ours; False as well when that is not known within so many seconds."""
        answer = asyncio.get_running_loop().run_in_executor(self._thread, self._lock.is_held)
        await asyncio.wait([answer], timeout=within)
        return answer.done() and answer.result()

    @property
    def can_overlap(self) -> bool:
        """Return whether a previous holder may not have noticed yet that it lost the lock."""
        return self._lock.can_overlap

    async def close(self) -> None:
        """Give the lock back; it cannot be acquired again."""
        await self._call(self._lock.release)
        self._thread.shutdown(wait=False)

    async def _call(self, question: Callable[[], T]) -> T:
        future = asyncio.get_running_loop().run_in_executor(self._thread, question)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            await asyncio.wait([future])
            raise
