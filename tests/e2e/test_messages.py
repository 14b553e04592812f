"""The real program, a hook and a mail server: a failure, what is held, and the way back, each told once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from aiohttp import web

from syncd.sandbox.server import Sandbox, SandboxOptions
from tests.e2e.program import Program
from tests.fakes.mail_server import PASSWORD, USER, serving_mail


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
    async with (
        Sandbox(SandboxOptions(users=20, groups=3, memberships=30), tmp_path) as sandbox,
        serving_mail(tmp_path) as mail,
    ):
        syncd = Program.connected(sandbox, tmp_path)
        user, password = quote(USER, safe=""), quote(PASSWORD, safe="")
        syncd.environment |= {
            "SYNCD_NOTIFY__WEBHOOK_URL": url,
            "SYNCD_NOTIFY__SMTP_URL": f"smtp://{user}:{password}@127.0.0.1:{mail.port}?starttls=required",
            "SYNCD_NOTIFY__MAIL_FROM": "syncd@example.com",
            "SYNCD_NOTIFY__MAIL_TO": "it@example.com",
            "SSL_CERT_FILE": str(tmp_path / "mail-ca.pem"),
        }
        outputs = []
        for _ in range(2):
            failed = await syncd("sync", "full", SYNCD_BPS__CLIENT_ID="nobody")
            assert failed.code == 1, failed.stderr
            outputs.append(failed)
        assert [message["event"] for message in got] == ["failed"]
        outputs.append(await syncd("sync", "full", SYNCD_GUARD__MAX_ADOPTIONS="false"))
        assert [message["event"] for message in got] == ["failed", "recovered"]
        checked = await syncd("check", "--json")
        rows = {row["check"]: row for row in checked.document}
        assert (rows["notify.webhook"]["status"], rows["notify.mail"]["status"]) == ("ok", "ok")
        assert (len(got), len(mail.got)) == (2, 2)
        assert rows["portal credential"]["status"] == "unknown"
        outputs.append(checked)
    for output in outputs:
        for secret in ("sesame", PASSWORD, password):
            assert secret not in output.stdout + output.stderr
    trouble, recovered = (str(letter["Subject"]) for letter in mail.got)
    assert trouble.startswith(f"[syncd {got[0]['portal']}] run ")
    assert trouble.endswith("failed")
    assert recovered.endswith("runs go through again")
    assert mail.encrypted == [True, True]
    assert got[0]["portal"].endswith("/WEBCONBPS")
