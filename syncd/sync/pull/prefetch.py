"""Fetching a few pages ahead of storing them, so that neither side waits for the other without need."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable

from syncd.model.source import Page

PAGES_AHEAD = 16
"""Pages fetched and not yet stored; also the most that are stored at once."""


async def prefetch(
    fetch: Callable[[str | None], Awaitable[Page]], link: str | None, *, name: str
) -> AsyncGenerator[list[Page], None]:
    """Yield the pages from ``link`` to the end of the round, in order: each time all that have come in the meantime.

    A slow tenant gives one page at a time; one that is faster than the store gives up to PAGES_AHEAD together. What
    ``fetch`` raises is raised here, after the pages before it. Close it (``aclosing``), or its fetching goes on.
    """
    room = asyncio.Semaphore(PAGES_AHEAD)
    arrived = asyncio.Queue[Page | None]()

    async def run() -> None:
        try:
            following: str | None = link
            while True:
                await room.acquire()
                page = await fetch(following)
                arrived.put_nowait(page)
                following = page.next_link
                if following is None:
                    return
        finally:
            arrived.put_nowait(None)

    fetching = asyncio.create_task(run(), name=name)
    try:
        page = await arrived.get()
        while page is not None:
            pages = []
            while page is not None:
                pages.append(page)
                room.release()
                if arrived.empty():
                    break
                page = arrived.get_nowait()
            yield pages
            if page is not None:
                page = await arrived.get()
        await fetching
    finally:
        fetching.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await fetching
