"""A list whose second reading comes in another order: nobody is asked about singly whom the first one shows as well."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from syncd.model.listing import Chunk, IdPage, ListPage
from syncd.model.source import Stream
from syncd.store.directory.lists import ChunkCounts
from syncd.sync.pull import lists
from tests.fakes.source import FakeSource
from tests.fakes.world import World


async def test_whom_the_first_reading_shows_later_is_not_read_directly(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the tenant's order is: at the end of both readings everybody was met by lists."""
    monkeypatch.setattr(lists, "_STORE_FROM", 1)  # so that it is compared while the first reading goes on
    world.source.page_size = 2
    for number in range(12):
        login = f"u{number:02}@x.com"
        world.source.put_user(f"u{number:02}", userPrincipalName=login, displayName=login, mail=login)
        world.source.put_group(f"g{number:02}", displayName=f"Group {number}", mailNickname=f"g{number}@grp")
        world.source.link(f"g{number:02}", f"u{number:02}")
    shown = FakeSource.fetch_ids

    async def fetch_backwards(stream: Stream, link: str | None) -> IdPage:
        page = await shown(world.source, stream, link)
        last = sorted(world.source.users if stream == "users" else world.source.groups)
        return IdPage(tuple(last[-1 - last.index(each)] for each in page.ids), page.next_link)

    keep, show, compared = world.store.directory.store_chunk, world.source.fetch_list, asyncio.Event()

    async def store(chunk: Chunk, *args: Any, **kwargs: Any) -> ChunkCounts:
        counts = await keep(chunk, *args, **kwargs)
        if any(chunk.ids.values()):
            compared.set()
        return counts

    async def fetch_late(stream: Stream, link: str | None) -> ListPage:
        if world.source.calls.count(f"{stream} list") == 4:
            await asyncio.wait_for(compared.wait(), 30)
        return await show(stream, link)

    monkeypatch.setattr(world.source, "fetch_ids", fetch_backwards)
    monkeypatch.setattr(world.source, "fetch_list", fetch_late)
    monkeypatch.setattr(world.store.directory, "store_chunk", store)
    run = await world.sync("full")
    assert run.status == "succeeded", run.error
    assert "users ids" in world.source.calls
    asked = [call for call in world.source.calls if call.startswith(("user ", "group ", "members "))]
    assert not [call for call in asked if "count" not in call], asked
    assert len(world.portal.accounts) == len(world.portal.groups) == 12
