"""The real program and a hook: a failure, what is held, and the way back, each told once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from syncd.sandbox.server import Sandbox, SandboxOptions
from tests.e2e.program import Program


@pytest.fixture
async def hook() -> AsyncIterator[tuple[str, list[dict[str, Any]]]]:
    """A loopback receiver: its address, and what came."""
    got: list[dict[str, Any]] = []

    async def take(request: web.Request) -> web.Response:
        got.append(await request.json())
        return web.Response()

    app = web.Application()
    app.router.add_post("/sesame", take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/sesame", got
    await runner.cleanup()


@pytest.mark.slow
async def test_runs_of_the_command_line_tell_what_is_news(
    tmp_path: Path, hook: tuple[str, list[dict[str, Any]]]
) -> None:
    """Two failures are one message; a check posts nothing; the address is in no output."""
    url, got = hook
    async with Sandbox(SandboxOptions(users=20, groups=3, memberships=30), tmp_path) as sandbox:
        syncd = Program.connected(sandbox, tmp_path)
        syncd.environment["SYNCD_NOTIFY__WEBHOOK_URL"] = url
        outputs = []
        for _ in range(2):
            failed = await syncd("sync", "full", SYNCD_BPS__CLIENT_ID="nobody")
            assert failed.code == 1, failed.stderr
            outputs.append(failed)
        assert [message["event"] for message in got] == ["failed"]
        outputs.append(await syncd("sync", "full", SYNCD_GUARD__MAX_ADOPTIONS="false"))
        assert [message["event"] for message in got] == ["failed", "recovered"]
        checked = await syncd("check", "--json")
        (row,) = [row for row in checked.document if row["check"] == "notify.webhook"]
        assert (row["status"], len(got)) == ("ok", 2)
        outputs.append(checked)
    assert all("sesame" not in output.stdout + output.stderr for output in outputs)
    assert got[0]["portal"].endswith("/WEBCONBPS")
