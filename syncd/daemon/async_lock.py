"""The right to work: asked for by a standby, watched by the one who has it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from syncd.store.db.lock import StoreLock

T = TypeVar("T")


class Keeper:
    """The store's lock for an event loop: each question runs in a thread of its own, one after the other."""

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
        """Return whether another process may still believe to have the lock that we just took."""
        return self._lock.can_overlap

    async def close(self) -> None:
        """Give the lock back; the keeper is of no use afterwards."""
        await self._call(self._lock.release)
        self._thread.shutdown(wait=False)

    async def _call(self, question: Callable[[], T]) -> T:
        future = asyncio.get_running_loop().run_in_executor(self._thread, question)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            await asyncio.wait([future])
            raise
