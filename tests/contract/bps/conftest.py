"""The imitation of the portal on loopback, and the adapter that talks to it in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web

from syncd.bps.portal import BpsPortal
from syncd.clock import Clock
from syncd.model.target import Account, PortalGroup
from tests.contract.fake_portal import FakePortal
from tests.fakes.rules import make_bps_options

ANN = Account(bps_id="ann@corp.example", name="Ann", email="ann@corp.example", phone="1", job_title="Clerk")
TEAM = PortalGroup(bps_id="team@groups.example", name="Team", email="team@groups.example")
G = TEAM.bps_id

Opener = Callable[..., AbstractAsyncContextManager[BpsPortal]]
"""Opens an adapter to the fake; takes a clock and any of the options."""


class LoopClock(Clock):
    """Time as the event loop has it, so that minutes of waiting pass at once."""

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()


def user_id(number: int) -> str:
    return f"user{number:03}@corp.example"


async def read_all(portal: BpsPortal) -> list[Account]:
    return [account async for page in portal.fetch_accounts() for account in page]


@pytest.fixture
def fake() -> FakePortal:
    return FakePortal()


@pytest.fixture
async def port(fake: FakePortal) -> AsyncIterator[int]:
    runner = web.AppRunner(fake.app(), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield runner.addresses[0][1]
    await runner.cleanup()


@pytest.fixture
def opener(fake: FakePortal, port: int) -> Opener:
    @asynccontextmanager
    async def open_portal(clock: Clock | None = None, **settings: Any) -> AsyncIterator[BpsPortal]:
        address = f"http://127.0.0.1:{port}{fake.prefix}"
        options = make_bps_options(portal_url=address, client_id=fake.client_id, secret=lambda: "s+e/c=r&t")
        async with BpsPortal(replace(options, **settings), clock or LoopClock()) as portal:
            yield portal

    return open_portal


@pytest.fixture
async def portal(opener: Opener) -> AsyncIterator[BpsPortal]:
    async with opener() as opened:
        yield opened
