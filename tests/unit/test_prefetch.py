"""Fetching ahead of storing keeps the order, the bound, and what was fetched before an error."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from syncd.errors import Unavailable
from syncd.model.source import Page
from syncd.sync.pull.prefetch import PAGES_AHEAD, prefetch


class Pages:
    """A round of ``count`` pages; asking for page ``broken`` fails."""

    def __init__(self, count: int, broken: int = -1) -> None:
        self.count = count
        self.broken = broken
        self.fetched = 0

    async def fetch(self, link: str | None) -> Page:
        """Return the page that a link, its number, leads to."""
        number = int(link or 0)
        if number == self.broken:
            raise Unavailable("down")
        self.fetched += 1
        last = number == self.count - 1
        return Page(items=(), bad=(), next_link=None if last else str(number + 1), delta_link="delta" if last else None)


async def settle() -> None:
    """Let every other task run until it waits."""
    for _ in range(500):
        await asyncio.sleep(0)


async def collect(pages: Pages, found: list[Page]) -> None:
    """Take all pages, so slowly that fetching runs ahead."""
    async with aclosing(prefetch(pages.fetch, None, name="fetch")) as ahead:
        async for some in ahead:
            found += some
            await settle()


async def test_pages_come_in_order_and_each_once() -> None:
    """However they are grouped, the pages are those of the round."""
    found: list[Page] = []
    await collect(Pages(100), found)
    assert [page.next_link for page in found] == [str(number) for number in range(1, 100)] + [None]


async def test_it_never_runs_further_ahead_than_it_may() -> None:
    """A store that takes its time holds at most PAGES_AHEAD pages in memory beside those in its hands."""
    pages = Pages(1000)
    async with aclosing(prefetch(pages.fetch, None, name="fetch")) as ahead:
        taken = len(await anext(ahead))
        await settle()
        assert pages.fetched == taken + PAGES_AHEAD


async def test_an_error_comes_after_the_pages_before_it() -> None:
    """What was read before the failure is stored, so that the next run goes on there."""
    found: list[Page] = []
    with pytest.raises(Unavailable):
        await collect(Pages(10, broken=7), found)
    assert len(found) == 7
