"""The daemon under answers and neighbours that want too much of it: it stays bounded, and obeys SIGTERM at once."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from syncd.sandbox.server import Sandbox, SandboxOptions
from tests.e2e.daemons import running
from tests.e2e.program import SECONDS, Program
from tests.e2e.test_daemon import QUIET, AnnouncedFault, GatedClock

MOST_LINES = 100
IDLE = 1024
HALF = 128
"""So many further connections have sent a part of a request's head."""
BATCH = 12
BAD_ENTRIES = 200_000
STOPPED = 25.0
"""Seconds within which the daemon is gone, whatever its run waits for."""

pytestmark = [pytest.mark.slow, pytest.mark.once]


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[Sandbox]:
    """A company of twelve."""
    clock = GatedClock()
    options = SandboxOptions(users=12, groups=3, memberships=20)
    async with Sandbox(options, tmp_path / "sandbox", clock=clock) as company:
        yield company
        clock.gate.set()


@pytest.fixture
def syncd(sandbox: Sandbox, tmp_path: Path) -> Program:
    """The program, connected to it, with a schedule that never comes in a test."""
    program = Program.connected(sandbox, tmp_path)
    program.environment.update(QUIET)
    return program


def _bomb_of_a_token(sandbox: Sandbox) -> AnnouncedFault:
    return AnnouncedFault("bomb", side="login", method="POST", count=-1, size=600 << 20)


def _drip_of_a_token(sandbox: Sandbox) -> AnnouncedFault:
    return AnnouncedFault("endless", side="login", method="POST", count=-1, status=200, size=1, seconds=8.0)


def _endless_list(sandbox: Sandbox) -> AnnouncedFault:
    return AnnouncedFault("endless", side="portal", path="admin/users", count=-1, status=200)


def _bad_entries(sandbox: Sandbox) -> AnnouncedFault:
    entries = b",".join([b'{"id":5}'] * BAD_ENTRIES)
    page = b'{"value":[' + entries + b'],"@odata.deltaLink":"' + sandbox.graph_url.encode() + b'/v1.0/users/delta?x=1"}'
    return AnnouncedFault("status", side="graph", path="users", count=-1, status=200, body=page)


def _empty_pages(sandbox: Sandbox) -> AnnouncedFault:
    sandbox.tenant_knobs.endless_rounds = True
    return AnnouncedFault("delay", side="graph", path="skiptoken", skip=20, count=-1)


def _no_budget(sandbox: Sandbox) -> AnnouncedFault:
    headers = {"Retry-After": "60"}
    return AnnouncedFault("status", side="graph", path="users|groups", skip=2, count=-1, status=429, headers=headers)


@pytest.mark.parametrize(
    "arrange",
    [_bomb_of_a_token, _drip_of_a_token, _endless_list, _bad_entries, _empty_pages, _no_budget],
    ids=lambda arrange: arrange.__name__.strip("_"),
)
async def test_sigterm_is_obeyed_under_each_hostile_answer(
    sandbox: Sandbox, syncd: Program, arrange: Callable[[Sandbox], AnnouncedFault]
) -> None:
    """By the daemon itself, which leaves no run open and has few lines about the one cause."""
    fault = arrange(sandbox)
    sandbox.faults.add(fault)
    async with running(syncd) as daemon:
        await daemon.wait("run.started")
        await fault.strike()
        assert await daemon.end(signal.SIGTERM, within=STOPPED) == 0
    assert daemon.names()[-1] == "daemon.stopped"
    assert max(Counter(daemon.names()).values()) <= MOST_LINES
    assert all(run["finished_at"] for run in (await syncd("runs", "--json")).document)


def _nest(path: Path) -> None:
    path.write_text("a = " + "[" * 100_000, encoding="utf-8")


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _swell(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(300 << 20)


@pytest.mark.parametrize("spoil", [_nest, _pipe, _swell], ids=lambda spoil: spoil.__name__.strip("_"))
async def test_sigterm_is_obeyed_after_settings_that_cannot_be_read(
    syncd: Program, spoil: Callable[[Path], None]
) -> None:
    """They are refused in a line, and the daemon works on by the old ones and stops as ever."""
    async with running(syncd) as daemon:
        await daemon.wait("run.finished")
        spoil(syncd.directory / "syncd.toml")
        daemon.signal(signal.SIGHUP)
        await daemon.wait("config.refused")
        daemon.signal(signal.SIGUSR2)
        assert (await daemon.wait("run.finished"))["status"] == "succeeded"
        assert await daemon.end(signal.SIGTERM, within=STOPPED) == 0


async def test_a_thousand_idle_connections_hinder_no_run(sandbox: Sandbox, syncd: Program) -> None:
    """With them, and with heads that never end, a run is as without them; they cost no line, and SIGTERM is obeyed."""
    async with running(syncd) as daemon:
        first = await daemon.wait("run.finished")
        before = len(daemon.lines)
        idle = await _connect(syncd, IDLE)
        idle += await _connect(syncd, HALF, saying=b"GET / HTTP/1.1\r\nX-Name: " + b"a" * 4096)
        try:
            daemon.signal(signal.SIGUSR1)
            second = await daemon.wait("run.finished")
            assert await daemon.end(signal.SIGTERM, within=STOPPED) == 0
        finally:
            for one in idle:
                one.close()
    assert (first["status"], second["status"]) == ("succeeded", "succeeded")
    assert len(daemon.lines) - before <= before


async def _connect(syncd: Program, count: int, *, saying: bytes = b"") -> list[socket.socket]:
    """Open connections to the status page that say no more than this."""
    text = (syncd.directory / "syncd.toml").read_text(encoding="utf-8")
    host, port = json.loads(text.partition("listen = ")[2].splitlines()[0]).split(":")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4 * count)), hard))
    loop = asyncio.get_running_loop()
    found = list[socket.socket]()
    async with asyncio.timeout(SECONDS):
        while len(found) < count:
            if len(found) % BATCH == 0:  # once it answers it has taken those before: what is too fast waits for seconds
                await _ask(host, int(port))
            one = socket.socket()
            one.setblocking(False)
            found.append(one)
            await loop.sock_connect(one, (host, int(port)))
            if saying:
                await loop.sock_sendall(one, saying)
    return found


async def _ask(host: str, port: int) -> None:
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: syncd\r\nConnection: close\r\n\r\n")
    assert b" 200 " in await reader.readline()
    writer.close()
    await writer.wait_closed()
