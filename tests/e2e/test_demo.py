"""``make demo``: what a newcomer sees first, with a smaller company than there."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from pathlib import Path

import pytest

from syncd.cli.main import _COMMANDS
from tests.e2e.program import ROOT, SECONDS


async def start(directory: Path, people: int) -> asyncio.subprocess.Process:
    """Start the demo in a folder of the test's own, without a terminal."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        str(ROOT / "tools" / "demo.py"),
        *("--people", str(people), "--directory", str(directory)),
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )


async def read(process: asyncio.subprocess.Process) -> str:
    """Return everything that it prints until its end."""
    try:
        async with asyncio.timeout(SECONDS):
            return (await process.communicate())[0].decode()
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()


def is_running(pid: int) -> bool:
    """Return whether there is such a process."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.slow
async def test_the_demo_sees_all_that_it_promises_and_cleans_up(tmp_path: Path) -> None:
    """Exit code 0, every chapter told within 100 columns, and the daemon gone."""
    process = await start(tmp_path / "demo", 300)
    told = await read(process)
    assert process.returncode == 0, told
    for promise in (
        "the portal is as it was",
        "are right",
        "no change was planned",
        "are held",
        "exit code 75",
        "guests are",
        "$ syncd status",
        "$ syncd due",
        "$ syncd licences",
        "$ syncd privileges",
        "the portal has just that by us",
        "it is ours again",
        "signed in to http://localhost:",
        "secrets masked",
        "$ syncd trigger delta",
        "has lost all places, and nobody else any",
        "Finished: nothing is open",
        "nobody lost an account",
        "Everything was seen",
        "docs/tutorial/sandbox.md",
    ):
        assert promise in told
    named = {word for word in _COMMANDS if re.search(rf"\bsyncd {word}\b", told)}
    assert named == _COMMANDS.keys(), "every command has its place, or is named at the end"
    assert max(len(line) for line in told.splitlines()) <= 100
    pids = {int(pid) for pid in re.findall(r"kill -USR\d (\d+)", told)}
    assert len(pids) == 1
    assert not any(map(is_running, pids))


@pytest.mark.slow
async def test_a_demo_that_fails_says_so_and_leaves_nothing_running(tmp_path: Path) -> None:
    """A company too small for what is to be shown: exit code 1, the reason, and the end of the logs."""
    process = await start(tmp_path / "demo", 20)
    told = await read(process)
    assert process.returncode == 1, told
    assert "The demo failed" in told
    assert '"event":"daemon.' in told  # the end of its log
    assert not any(is_running(int(pid)) for pid in re.findall(r"kill -USR\d (\d+)", told))


async def test_an_interrupted_demo_stops_what_it_started(tmp_path: Path) -> None:
    """SIGTERM in the middle: the sandbox and the daemon end with it, in good order."""
    process = await start(tmp_path / "demo", 60)
    assert process.stdout is not None
    async with asyncio.timeout(SECONDS):
        while b"run 2 started" not in (line := await process.stdout.readline()):
            assert line, "the demo ended before"
    process.send_signal(signal.SIGTERM)
    await read(process)
    assert process.returncode == 130
    assert '"daemon.stopped"' in (tmp_path / "demo" / "daemon.log").read_text()
    assert "Sandbox stopped" in (tmp_path / "demo" / "sandbox.log").read_text()
