"""Requests' worth of a plan, on their way from the store to those who send them."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from syncd.model.change import LinkBatch, Placed


@dataclass(slots=True)
class Call:
    """One request's worth of a plan: one record, or several members of one group to take out."""

    placed: list[Placed]


Work = Call | LinkBatch
"""What one request sends."""

T = TypeVar("T")

_CHUNK = 64
_WAITING = 2 * _CHUNK


class WorkQueue:
    """WorkQueue on their way from the store to the workers, many at a time, since waking a task for each is slow.

    Some hundred wait at most. Whatever has arrived is there for every worker that has nothing to do. After `end`, `get`
    returns None to all of them.
    """

    def __init__(self) -> None:
        self._gathered: list[Work] = []
        self._ready: deque[Work] = deque()
        self._arrived = asyncio.Event()
        self._wanted = asyncio.Event()
        self._ended = False

    async def put(self, call: Work) -> None:
        """Add a call, waiting while too many do."""
        self._gathered.append(call)
        if len(self._gathered) >= _CHUNK:
            await self._flush()

    async def end(self) -> None:
        """Say that no more calls come."""
        await self._flush()
        self._ended = True
        self._arrived.set()

    async def _flush(self) -> None:
        while len(self._ready) > _WAITING:
            self._wanted.clear()
            await self._wanted.wait()
        self._ready.extend(self._gathered)
        self._gathered.clear()
        self._arrived.set()

    async def get(self) -> Work | None:
        """Return the next call, None after the last."""
        while not self._ready:
            if self._ended:
                return None
            self._arrived.clear()
            self._wanted.set()
            await self._arrived.wait()
        if len(self._ready) == _WAITING:
            self._wanted.set()
        return self._ready.popleft()

    def take_rest(self) -> list[Call]:
        """Return calls that nobody took."""
        return [call for call in (*self._ready, *self._gathered) if isinstance(call, Call)]


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
