"""The real program behind a real forward proxy (tinyproxy): both sides through it, and what it refuses told as its own.

Debian: ``apt-get install tinyproxy-bin``. Without it these tests are skipped with a line.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from syncd.sandbox.server import Sandbox, SandboxOptions, find_free_port
from tests.e2e.program import SECONDS, Ended, Program
from tests.optional import find_program_or_skip

USER, PASSWORD = "someone", "pr0xy-c4nary-0815"
VARIABLES = ("SYNCD_GRAPH__PROXY_URL", "SYNCD_BPS__PROXY_URL")


@dataclass
class Proxy:
    """A running proxy. ``lines``: its log, complete once the block has ended."""

    port: int
    lines: list[str] = field(default_factory=list)

    def environment(self, password: str = PASSWORD) -> dict[str, str]:
        """Return the settings that lead both sides through it."""
        return dict.fromkeys(VARIABLES, f"http://{USER}:{password}@127.0.0.1:{self.port}")

    def list_tunnels(self) -> set[str]:
        """Return what it was asked to connect to."""
        return {line.split()[1] for line in (part.partition("): ")[2] for part in self.lines) if "CONNECT" in line}


@asynccontextmanager
async def proxied(folder: Path, *, ports: Sequence[int]) -> AsyncIterator[Proxy]:
    """Run a proxy that wants a password, and opens tunnels to these ports only."""
    program = find_program_or_skip(
        "tinyproxy", reason="a real proxy was not tested: there is no tinyproxy (Debian: apt-get install tinyproxy-bin)"
    )
    proxy = Proxy(find_free_port())
    settings = [f"Port {proxy.port}", "Listen 127.0.0.1", "Timeout 60", "MaxClients 100", "LogLevel Info"]
    settings += ["Allow 127.0.0.1", f"BasicAuth {USER} {PASSWORD}", *(f"ConnectPort {port}" for port in ports)]
    (folder / "proxy.conf").write_text("\n".join(settings) + "\n", encoding="utf-8")
    process = await asyncio.create_subprocess_exec(
        program,
        "-d",
        "-c",
        str(folder / "proxy.conf"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(SECONDS):
            while "Accepting connections" not in (line := (await process.stdout.readline()).decode()):
                assert line, "the proxy ended"
        yield proxy
    finally:
        process.terminate()
        proxy.lines += (await process.stdout.read()).decode().splitlines()
        await process.wait()


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[Sandbox]:
    """A company of three."""
    async with Sandbox(SandboxOptions(users=3, groups=1, memberships=2), tmp_path / "sandbox") as company:
        yield company


def find_ports(*urls: str) -> list[int]:
    """Return the ports of addresses."""
    return [urlsplit(url).port or 443 for url in urls]


def check_secret(directory: Path, *ended: Ended) -> None:
    """Fail where the password, or the name before it, is in any output or in the store."""
    texts = [one.stdout + one.stderr for one in ended]
    texts += [path.read_bytes().decode("latin-1") for path in directory.glob("store.db*")]
    assert not any(secret in text for text in texts for secret in (PASSWORD, "wr0ng-c4nary", f"{USER}:"))


async def test_both_sides_are_reached_through_a_proxy(sandbox: Sandbox, tmp_path: Path) -> None:
    """Tokens, the tenant and the portal: a tunnel to each, and a run that succeeds."""
    urls = (sandbox.login_url, sandbox.graph_url, sandbox.portal_url)
    syncd = Program.connected(sandbox, tmp_path)
    async with proxied(tmp_path, ports=find_ports(*urls)) as proxy:
        run = await syncd("sync", "full", **proxy.environment())
    assert run.code == 0, run.stderr
    assert proxy.list_tunnels() == {f"localhost:{port}" for port in find_ports(*urls)}
    check_secret(tmp_path, run)


async def test_a_wrong_password_is_told_as_the_proxys_refusal(sandbox: Sandbox, tmp_path: Path) -> None:
    """With the setting to look at, at once, and in neither run, store nor check a word of the password."""
    syncd = Program.connected(sandbox, tmp_path)
    async with proxied(tmp_path, ports=find_ports(sandbox.login_url, sandbox.portal_url)) as proxy:
        run = await syncd("sync", "full", **proxy.environment("wr0ng-c4nary"))
        check = await syncd("check", "--json", **proxy.environment("wr0ng-c4nary"))
    assert run.code == 1
    said = [f"the proxy of {side}.proxy_url answered 401: it refuses the user name" for side in ("graph", "bps")]
    assert any(sentence in run.stderr for sentence in said), run.stderr  # whichever side is asked first
    assert all(sentence in check.stdout for sentence in said), check.stdout
    assert len([line for line in proxy.lines if "CONNECT" in line]) < 20  # it is not asked again and again
    check_secret(tmp_path, run, check)


async def test_a_port_that_a_proxy_lets_nobody_reach_is_told(sandbox: Sandbox, tmp_path: Path) -> None:
    """As proxies have it that know no other port than 443: neither side is accused, and its setting is named."""
    syncd = Program.connected(sandbox, tmp_path)
    async with proxied(tmp_path, ports=find_ports(sandbox.login_url, sandbox.graph_url)) as proxy:
        run = await syncd("sync", "full", **proxy.environment())
    assert run.code == 1
    assert "the proxy of bps.proxy_url answered 403" in run.stderr
    check_secret(tmp_path, run)
