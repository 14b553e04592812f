"""Requests' worth of a plan, on their way from the store to those who send them."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from syncd.model.change import LinkBatch
from syncd.sync.caller import Placed


@dataclass(slots=True)
class Call:
    """One request's worth of a plan: one record, or several members of one group to take out."""

    placed: list[Placed]


Work = Call | LinkBatch
"""What one request sends."""

T = TypeVar("T")

_CHUNK = 64


class Calls:
    """Calls on their way from the store to the workers, many at a time, since waking a task for each is slow.

    At most three chunks wait. After `end`, `get` returns None to every worker.
    """

    def __init__(self) -> None:
        self._queue: asyncio.Queue[list[Work]] = asyncio.Queue(maxsize=1)
        self._gathered: list[Work] = []
        self._ready: deque[Work] = deque()

    async def put(self, call: Work) -> None:
        """Add a call, waiting while too many do."""
        self._gathered.append(call)
        if len(self._gathered) >= _CHUNK:
            await self._flush()

    async def end(self) -> None:
        """Say that no more calls come."""
        if self._gathered:
            await self._flush()
        await self._queue.put([])

    async def _flush(self) -> None:
        chunk, self._gathered = self._gathered, []
        await self._queue.put(chunk)

    async def get(self) -> Work | None:
        """Return the next call, None after the last."""
        while not self._ready:
            chunk = await self._queue.get()
            if not chunk:
                self._queue.put_nowait(chunk)  # for the next worker
                return None
            self._ready.extend(chunk)
        return self._ready.popleft()

    def take_rest(self) -> list[Call]:
        """Return calls that nobody took."""
        rest = [*self._ready, *self._gathered]
        while not self._queue.empty():
            rest += self._queue.get_nowait()
        return [call for call in rest if isinstance(call, Call)]


async def load_ahead(
    load: Callable[[int], Coroutine[Any, Any, list[T]]], find_end: Callable[[list[T]], int | None]
) -> AsyncGenerator[list[T], None]:
    """Yield batches of a plan; the next one is loaded while the last is handed on.

    ``load`` returns what is behind a place, ``find_end`` the last place of a batch, None when nothing can follow.
    Close it (``aclosing``), or a batch goes on being loaded.
    """
    loading: asyncio.Task[list[T]] | None = asyncio.create_task(load(-1), name="load changes ahead")
    try:
        while loading is not None and (batch := await loading):
            place = find_end(batch)
            loading = None if place is None else asyncio.create_task(load(place), name="load changes ahead")
            yield batch
    finally:
        if loading is not None:
            loading.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await loading
