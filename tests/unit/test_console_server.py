"""The console's server: over TLS with the certificate of the settings, patient with a taken address, and bounded."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from syncd.clock import Clock
from syncd.config import Listen, Settings
from syncd.web.bounds import CONNECTIONS
from syncd.web.console.desk import Desk
from syncd.web.console.limiter import Limiter
from syncd.web.console.server import serve_console
from tests.contract.certificates import issue
from tests.fakes.console import make_web
from tests.fakes.daemon import LogWatch, watching_logs
from tests.fakes.rules import make_default_settings


@dataclass
class NoStore:
    """A daemon that has not opened its store yet."""

    role: str = "starting"
    database: None = None
    settings_since: datetime = field(default_factory=lambda: datetime.now(UTC))

    def now(self) -> datetime:
        """Return the time."""
        return datetime.now(UTC)


def make_desk(clock: Clock, **web: Any) -> Desk:
    """Return a desk over no store at all."""
    settings: Settings = make_default_settings().model_copy(update={"web": make_web(**web)})

    async def run_checks(settings: Settings, clock: Clock) -> list[Any]:
        return []

    return Desk(
        settings=lambda: settings,
        vitals=NoStore(),  # type: ignore[arg-type]  # as much of a daemon as is asked for here
        clock=clock,
        make_rules=lambda settings: (_ for _ in ()).throw(AssertionError),
        list_ends=lambda settings, database, now: {},
        run_checks=run_checks,
    )


@asynccontextmanager
async def served(desk: Desk, port: int = 0) -> AsyncIterator[LogWatch]:
    """Serve a console; the log tells its port."""
    with watching_logs() as log:
        server = asyncio.create_task(serve_console(Listen("127.0.0.1", port), desk), name="console")
        try:
            yield log
        finally:
            server.cancel()
            await asyncio.wait([server])


async def test_it_answers_over_tls_with_the_certificate_of_the_settings(tmp_path: Path) -> None:
    """And in clear to nobody."""
    made = issue("localhost")
    certificate, key = tmp_path / "tls.pem", tmp_path / "tls.key"
    certificate.write_bytes(made.pem)
    key.write_bytes(made.key_pem())
    trust = ssl.create_default_context(cafile=str(certificate))
    trust.check_hostname = False
    trust.verify_flags &= ~ssl.VERIFY_X509_STRICT
    async with served(make_desk(Clock(), tls_certificate_file=certificate, tls_key_file=key)) as log:
        port = (await log.wait("console.listening"))["port"]
        async with aiohttp.ClientSession() as session:
            async with session.get(f"https://127.0.0.1:{port}/sign-in", ssl=trust) as answer:
                assert answer.status == 200
            with pytest.raises(aiohttp.ClientError):
                await session.get(f"http://127.0.0.1:{port}/sign-in")


async def test_without_a_store_it_says_so_and_names_nothing() -> None:
    """The sign-in page is there; what needs the store waits for it."""
    async with served(make_desk(Clock(), allow_http=True)) as log:
        port = (await log.wait("console.listening"))["port"]
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
            async with session.get("/sign-in") as answer:
                assert answer.status == 200
            async with session.get("/", allow_redirects=False) as answer:
                assert answer.status == 303
            form = {"token": "a-token-of-tests-0123456789"}
            async with session.post("/sign-in", data=form, headers={"Origin": f"http://127.0.0.1:{port}"}) as answer:
                assert answer.status == 503
        assert log.of("console.store_error")


async def test_a_taken_address_is_told_once_and_tried_again() -> None:
    """The daemon works meanwhile."""

    class Hasty(Clock):
        async def sleep(self, seconds: float) -> None:
            await asyncio.sleep(0)

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        async with served(make_desk(Hasty(), allow_http=True), taken.getsockname()[1]) as log:
            assert "already in use" in (await log.wait("console.unreachable"))["reason"]
            for _ in range(50):
                await asyncio.sleep(0)
            assert log.names().count("console.unreachable") == 1
            taken.close()
            await log.wait("console.listening")


async def test_connections_are_bounded_as_those_of_the_status_page() -> None:
    """Hundreds that say nothing leave room for one that asks."""
    async with served(make_desk(Clock(), allow_http=True)) as log:
        port = (await log.wait("console.listening"))["port"]
        opened = [await asyncio.open_connection("127.0.0.1", port) for _ in range(CONNECTIONS + 20)]
        async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/sign-in") as answer:
            assert answer.status == 200
        for _, writer in opened:
            writer.close()


def test_attempts_are_counted_by_address_and_together() -> None:
    """An address that is not known any more begins anew; all together are bounded whatever their addresses."""

    class Still(Clock):
        time = 0.0

        def monotonic(self) -> float:
            return self.time

    clock = Still()
    limiter = Limiter(clock, each=2, together=5, seconds=10.0)
    assert [limiter.admit("a") for _ in range(3)] == [True, True, False]
    assert [limiter.admit(address) for address in "bcde"] == [True, True, True, False]
    clock.time = 10.0
    assert limiter.admit("a")
    for number in range(5000):
        limiter.admit(str(number))
    assert len(limiter._seen) <= 2001
