"""The real program before sides, a login host and a proxy that repeat all they are sent: nothing of it comes out."""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from urllib.parse import quote

import pytest

from syncd.clock import Clock
from syncd.logs.redaction import MASK
from syncd.sandbox.server import Sandbox, SandboxOptions
from syncd.sandbox.wire.faults import Fault
from syncd.store.db.database import open_database
from syncd.store.store import Store
from tests.e2e.program import Ended, Program
from tests.fakes.console import open_console, walk
from tests.fakes.rules import make_rules

PERSON = b"Kasimira Canarynska is known already."


def search(secrets: list[str], directory: Path, *ended: Ended, pages: Mapping[str, str] = MappingProxyType({})) -> None:
    """Fail when a part of a secret or something like a token is in any output, page or file."""
    outputs = {f"output {number}": one.stdout + one.stderr for number, one in enumerate(ended)} | dict(pages)
    files = [*directory.glob("*.db*"), *directory.glob("*.plan")]
    kept = {path.name: path.read_bytes().decode("latin-1") for path in files}
    for where, text in (outputs | kept).items():
        assert not re.search(r"eyJ[\w-]{12}", text), f"a token in {where}"
        for secret in secrets:
            for form in (secret, quote(secret, safe=""), base64.b64encode(secret.encode()).decode()):
                for start in range(max(1, len(form) - 11)):
                    assert form[start : start + 12] not in text, f"{form[start : start + 12]} in {where}"


async def walk_through_console(directory: Path) -> dict[str, str]:
    """Return every kind of page that an approver can reach over the program's store."""
    with closing(open_database(f"sqlite:///{directory / 'store.db'}")) as database:
        world = SimpleNamespace(database=database, store=Store(database), clock=Clock(), rules=make_rules())
        async with open_console(world) as stage:  # type: ignore[arg-type]  # as much of a world as the console asks for
            return await walk(stage.sign_in("approver"))


@pytest.mark.slow
@pytest.mark.parametrize("shape", ["application/json", "text/html"])
async def test_sides_that_repeat_what_they_are_sent(tmp_path: Path, shape: str) -> None:
    """Check, run, list, store and console: each time another side repeats the request, after a person's name."""
    async with Sandbox(SandboxOptions(users=12, groups=2, memberships=20), tmp_path) as sandbox:
        syncd = Program.connected(sandbox, tmp_path)
        secrets = [sandbox.client_secret, sandbox.portal_client_secret]
        ended = []
        for side, method, path in (
            ("login", "POST", "token"),
            ("portal", "POST", "token"),
            ("portal", "POST", "admin/users"),
            ("graph", "GET", "users"),
        ):
            sandbox.faults.clear()
            echo = Fault("echo", side, method, path, -1, status=400, body=PERSON, content_type=shape)
            sandbox.faults.add(echo)
            ended += [await syncd("sync", "full"), await syncd("check", "--json")]
            assert echo.hits > 0
            assert ended[-2].code != 0
        sandbox.faults.clear()
        ended += [await syncd("plan", "full", "--out", "canary.plan")]
        assert (tmp_path / "canary.plan").stat().st_size > 0
        ended += [await syncd("runs", "--json"), await syncd("runs", "show", "3", "--json"), await syncd("users")]
        pages = await walk_through_console(tmp_path)
        search(secrets, tmp_path, *ended, pages=pages)
        assert any("Kasimira" in text and MASK in text for text in pages.values()), sorted(pages)
        assert "Kasimira" in ended[-3].stdout + ended[-2].stdout
        assert all("Kasimira" not in one.stderr for one in ended)


@pytest.mark.slow
@pytest.mark.parametrize("side", ["graph", "login", "portal"])
async def test_a_side_that_knows_the_secret_of_the_other_one(tmp_path: Path, side: str) -> None:
    """Somebody has mixed them up, or one gateway stands before both: nobody's secret or token is shown."""
    async with Sandbox(SandboxOptions(users=12, groups=2, memberships=20), tmp_path) as sandbox:
        syncd = Program.connected(sandbox, tmp_path)
        assert (await syncd("sync", "full")).code == 0
        secrets = [sandbox.client_secret, sandbox.portal_client_secret]
        said = " ".join(f"{each} {quote(each, safe='')}" for each in secrets).encode()
        for status, path in ((400, ""), (403, "users")):
            sandbox.faults.clear()
            sandbox.faults.add(Fault("status", side, path=path, count=-1, status=status, body=said))
            ended = [await syncd("sync", "full"), await syncd("check", "--json"), await syncd("runs", "--json")]
            search(secrets, tmp_path, *ended)
        assert MASK in ended[0].stdout + ended[1].stdout + ended[2].stdout


@pytest.mark.slow
@pytest.mark.parametrize("status", ["407 Proxy Authentication Required", "403 Forbidden"])
async def test_a_proxy_that_refuses_is_told_without_its_password(tmp_path: Path, status: str) -> None:
    """By one sentence with the setting, at once, in the run, in the list of runs and in the check."""
    asked: list[bytes] = []

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        head = f"HTTP/1.1 {status}\r\nProxy-Authenticate: Negotiate\r\nContent-Length: 0\r\n\r\n"
        writer.write(head.encode())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    async with server, Sandbox(SandboxOptions(users=3, groups=1, memberships=2), tmp_path) as sandbox:
        port = server.sockets[0].getsockname()[1]
        syncd = Program.connected(sandbox, tmp_path)
        proxy = f"http://someone:pr0xy-c4nary@127.0.0.1:{port}"
        for setting in ("bps.proxy_url", "graph.proxy_url"):
            variable = f"SYNCD_{setting.upper().replace('.', '__')}"
            asked.clear()
            run = await syncd("sync", "full", **{variable: proxy})
            assert run.code == 1
            assert f"the proxy of {setting} answered {status[:3]}" in run.stderr
            assert len(asked) <= 2  # users and groups each want a token
            check = await syncd("check", "--json", **{variable: proxy})
            runs = await syncd("runs", "--json", **{variable: proxy})
            assert f"the proxy of {setting} answered {status[:3]}" in check.stdout
            assert f"the proxy of {setting}" in runs.document[0]["error"]
            search(["pr0xy-c4nary", "someone:pr0xy-c4nary"], tmp_path, run, check, runs)
