"""Pages that begin with a sandbox of their own: for another connector, and for a look at the console."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from tests.e2e.console import ROOT, Ports, Terminal, Typed, read_blocks
from tests.e2e.preloaded import serve_program

pytestmark = pytest.mark.slow
CONNECTOR = ROOT / "docs/how-to/test-your-connector.md"
CONSOLE = ROOT / "docs/how-to/console.md"


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The script ``syncd``."""
    if missing := [tool for tool in ("bash", "curl", "jq") if shutil.which(tool) is None]:
        pytest.skip(f"the pages about the sandbox were not played: there is no {' and no '.join(missing)}")
    with serve_program(tmp_path_factory.mktemp("program"), path=ROOT) as script:
        yield script


def listen_at(command: str, port: int) -> Typed:
    """Return the page's command for a sandbox, in front, at that port and with an end of its own."""
    command = re.sub(r" --port \d+| --for \w+|#.*|&", "", command).strip()
    return Typed(f"{command} --port {port} --for 5m", ("…", "Ready. Stop with Ctrl-C."))


async def test_another_connector_finds_what_the_page_promises(tmp_path: Path, program: Path) -> None:
    """A token with which Graph answers, every operation that is named, and the ledger and the truth at the end."""
    ports = Ports.find(18440, 5)
    first, *others = [block for block in read_blocks(CONNECTOR) if block.language == "console"]
    async with Terminal(tmp_path, ports, program) as sandbox, Terminal(tmp_path, ports, program) as shell:
        (begin,) = [typed.command for typed in first.typed if typed.command.startswith("syncd sandbox")]
        await sandbox.start(listen_at(begin, 18440))
        await shell.play(first.typed[-1])
        said: list[str] = []
        for typed in (typed for block in others for typed in block.typed):
            command = typed.command.replace("curl -s ", "curl -sf ")  # so that a refusal is a failure
            code, printed = await shell._run(command)
            assert code == 0, command
            said.append("".join(printed))
    people, truth = json.loads(said[3]), json.loads(said[-1])
    assert len(people["value"]) > 50
    assert all("displayName" in person for person in people["value"])
    assert truth
    assert json.loads(said[-2])


async def test_the_console_has_all_it_needs_in_the_sandbox(tmp_path: Path, program: Path) -> None:
    """The two commands of the page: a daemon that shows its console where the sandbox said it would."""
    ports = Ports.find(18440, 5)
    (block,) = [one for one in read_blocks(CONSOLE) if one.language == "console" and "syncd sandbox" in one.text]
    async with Terminal(tmp_path, ports, program) as sandbox, Terminal(tmp_path, ports, program) as shell:
        begin, work = block.typed
        await sandbox.start(listen_at(begin.command, 18440))
        address = tomllib.loads((tmp_path / "sandbox/syncd.toml").read_text(encoding="utf-8"))["web"]["external_url"]
        await shell.play(Typed(f"{work.command.partition('#')[0]} > daemon.log 2>&1 &", ()))
        async with asyncio.timeout(60), aiohttp.ClientSession() as session:
            while True:
                try:
                    async with session.get(f"{address}/", allow_redirects=False) as answer:
                        break
                except aiohttp.ClientConnectionError:
                    await asyncio.sleep(0.2)
        await shell.play(Typed("kill %1; wait", ()))
    assert (answer.status, answer.headers["Location"]) == (303, "/sign-in?back=/")
