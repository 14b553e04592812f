"""Law 7: killed anywhere, it converges, and nothing is done twice that must not be."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import signal
import sqlite3
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pytest

from syncd.sandbox.server import Sandbox, SandboxOptions
from syncd.sandbox.tenant.events import live
from syncd.sandbox.wire.faults import Fault, Faults
from tests.contract.openapi import Judge
from tests.e2e.program import SECONDS, Program, finish
from tests.e2e.truth import Truth

_KILLS = 20
_ENVIRONMENT = {
    "SYNCD_SCHEDULE__DELTA": "6h",  # runs start by a start or a signal here, never by the clock
    "SYNCD_GUARD__MAX_REMOVAL_PERCENT": "false",  # a company this small would trip the guard by a few leavers
    "SYNCD_GUARD__MAX_UPDATE_PERCENT": "false",
    "SYNCD_LOG__FORMAT": "json",
}

Part = Literal["pull", "push"]


@dataclass
class Tripwire(Faults):
    """Pulls a trigger a moment (seconds) after the n-th request of one part of a run has arrived."""

    part: Part = "pull"
    left: int = 0
    moment: float = 0.0
    trigger: Callable[[], None] = field(default=lambda: None)

    def __post_init__(self) -> None:
        super().__init__()

    def take(self, side: str, method: str, target: str, body: bytes = b"") -> Fault | None:
        """Count the request; no fault strikes it."""
        writing = side == "portal" and method != "GET" and "/oauth2/" not in target
        if self.left and (side == "graph" if self.part == "pull" else writing):
            self.left -= 1
            if not self.left:
                asyncio.get_running_loop().call_later(self.moment, self.trigger)
        return super().take(side, method, target, body)


@dataclass
class Found:
    """What the store says after a kill: in which part of which run, or None where the run had just ended."""

    run: int
    part: Part | None


def look_into(store: Path) -> Found:
    """Read the newest run and how far its changes have come, as any tool could."""
    with contextlib.closing(sqlite3.connect(store)) as connection:
        row = connection.execute("SELECT id, status FROM runs ORDER BY id DESC LIMIT 1").fetchone()
        if row is None or row[1] != "running":
            return Found(row[0] if row else 0, None)
        statuses = dict(
            connection.execute("SELECT status, count(*) FROM changes WHERE run_id = ? GROUP BY status", (row[0],))
        )
    if not statuses:
        return Found(row[0], "pull")
    return Found(row[0], "push" if statuses.get("started") or statuses.get("done") else None)


async def live_until_killed(process: asyncio.subprocess.Process) -> None:
    """Read the log to its end; a run that ends before the tripwire is reached is killed after its end."""
    assert process.stdout is not None
    async with asyncio.timeout(SECONDS):
        async for line in process.stdout:
            if b'"run.finished"' in line:
                kill(process)
        assert await process.wait() == -signal.SIGKILL, (await process.communicate())[1].decode()


def kill(process: asyncio.subprocess.Process) -> None:
    """Kill, unless it is dead already."""
    with contextlib.suppress(ProcessLookupError):
        process.kill()


async def read_run(process: asyncio.subprocess.Process) -> dict[str, Any]:
    """Return the next canonical line of a run."""
    assert process.stdout is not None
    async with asyncio.timeout(SECONDS):
        async for line in process.stdout:
            document: dict[str, Any] = json.loads(line)
            if document["event"] == "run.finished":
                return document
    raise AssertionError("the daemon ended:\n" + (await process.communicate())[1].decode())


@pytest.mark.slow
async def test_twenty_kills_in_pull_and_push_end_in_the_right_state(tmp_path: Path) -> None:
    """Whatever the moment, the next start goes on; in the end the portal is the truth, and nobody was made twice."""
    chance = random.Random("kills")
    options = SandboxOptions(users=140, groups=40, memberships=450, portal_delay=0.2, latency=0.003)
    options.tenant_knobs.page_objects, options.tenant_knobs.page_links = 3, 10
    options.tenant_knobs.list_page_objects = 6
    sandbox = Sandbox(options, tmp_path / "sandbox")
    sandbox.faults = tripwire = Tripwire()
    created: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    deleted: list[str] = []
    judge = Judge()

    def watch(method: str, path: str, query: dict[str, str], body: bytes, status: int, answer: bytes) -> None:
        judge(method, path, query, body, status, answer)
        if method == "DELETE":
            deleted.append(path)
        if method == "POST" and path.endswith(("/admin/users", "/admin/groups")):
            (created if status < 300 else refused)[json.loads(body)["bpsId"].casefold()] += 1

    async with sandbox:
        sandbox.portal_service.observer = watch
        truth = Truth(sandbox.directory, sandbox.portal)
        syncd = Program.connected(sandbox, tmp_path)
        syncd.environment.update(_ENVIRONMENT)
        found: list[Found] = []
        for number in range(_KILLS):
            kind = "full" if chance.random() < 0.3 else "delta"
            tripwire.part = "pull" if number % 2 == 0 else "push"
            process = await syncd.start("run", environment={"SYNCD_SCHEDULE__ON_START": kind})
            tripwire.trigger = partial(kill, process)
            tripwire.moment = chance.uniform(0.0, 0.04)
            tripwire.left = chance.randint(1, 60 if kind == "full" or number < 2 else 6)
            try:
                await live_until_killed(process)
            finally:
                kill(process)
                await process.wait()
            tripwire.left = 0
            found.append(await asyncio.to_thread(look_into, tmp_path / "store.db"))
            live(sandbox.directory, chance, chance.randint(8, 20))
            truth.look()
            assert truth.find_touched_foreigners() == []
        parts = Counter(kill.part for kill in found)
        assert parts["pull"] >= 8, found
        assert parts["push"] >= 8, found

        process = await syncd.start("run")
        try:
            await read_run(process)
            for _ in range(2):  # what the killed runs left unclear may take one run to be found and one to be mended
                process.send_signal(signal.SIGUSR1)
                run = await read_run(process)
            assert (run["kind"], run["trigger"], run["status"]) == ("full", "signal", "succeeded"), run
        finally:
            ended = await finish(process, signal.SIGTERM)
        assert ended.code == 0, ended.stderr
        assert truth.find_differences() == []

        history = {run["id"]: run for run in (await syncd("runs", "--json", "--limit", "99")).document}
        for kill_ in found:
            if kill_.part is not None:
                assert history[kill_.run]["status"] == "interrupted"
        assert not [run for run in history.values() if run["status"] == "running"]
        shown = (await syncd("runs", "show", "last", "--json")).document
        assert shown["changes"] == [], "nothing is left to do"
        assert deleted == []
        assert judge.broken == []
        assert {name for name, times in created.items() if times > 1} == set()
        assert refused == Counter(), "what was in flight at a kill is looked for before it is sent again"
