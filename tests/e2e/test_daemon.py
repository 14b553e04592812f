"""The daemon as an administrator runs it: the real program, signals, kills, two of them, and its health pages."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from syncd.clock import Clock
from syncd.sandbox.server import Sandbox, SandboxOptions
from syncd.sandbox.wire.faults import Fault
from tests.e2e.daemons import PROMPTLY, running
from tests.e2e.program import SECONDS, Program

QUIET = {"SYNCD_SCHEDULE__DELTA": "1h", "SYNCD_GUARD__MAX_ADOPTIONS": "false"}


FOR_EVER = 3600.0


class GatedClock(Clock):
    """A clock on which whoever wants to sleep for ever waits for the gate, so that no slow answer outlives its test."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        """Sleep, or wait for the gate."""
        if seconds < FOR_EVER:
            await super().sleep(seconds)
        else:
            await self.gate.wait()


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[Sandbox]:
    """A company of forty."""
    clock = GatedClock()
    async with Sandbox(
        SandboxOptions(users=40, groups=8, memberships=120), tmp_path / "sandbox", clock=clock
    ) as company:
        yield company
        clock.gate.set()


@pytest.fixture
def syncd(sandbox: Sandbox, tmp_path: Path) -> Program:
    """The program, connected to it, with a schedule that never comes in a test."""
    program = Program.connected(sandbox, tmp_path)
    program.environment.update(QUIET)
    return program


def hire(sandbox: Sandbox, number: int) -> str:
    """Let somebody join the company; return the BPS id to be expected."""
    upn = f"new.person{number}@{sandbox.options.domain}"
    sandbox.directory.hire(f"New Person{number}", upn)
    return upn


class AnnouncedFault(Fault):
    """A fault that tells when it strikes."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.struck = asyncio.Event()

    def matches(self, side: str, method: str, target: str, body: bytes = b"") -> bool:
        """Decide as any fault does."""
        hit = super().matches(side, method, target, body)
        if hit and self.skip == 0:
            self.struck.set()
        return hit

    async def strike(self) -> None:
        """Wait until it strikes for the first time."""
        async with asyncio.timeout(SECONDS):
            await self.struck.wait()


@pytest.mark.again
async def test_signals_are_runs(sandbox: Sandbox, syncd: Program) -> None:
    """The first run is full, SIGUSR2 carries a hire over as a delta, SIGUSR1 is a full run, SIGTERM ends well."""
    (syncd.directory / "store.db").unlink()  # on the first day there is none
    async with running(syncd) as daemon:
        first = await daemon.wait("run.finished")
        assert (first["kind"], first["trigger"], first["status"]) == ("full", "start", "succeeded")
        newcomer = hire(sandbox, 1)
        daemon.signal(signal.SIGUSR2)
        second = await daemon.wait("run.finished")
        assert (second["kind"], second["trigger"], second["status"]) == ("delta", "signal", "succeeded")
        assert newcomer in sandbox.portal.accounts
        daemon.signal(signal.SIGUSR1)
        third = await daemon.wait("run.finished")
        assert (third["kind"], third["trigger"], third["status"]) == ("full", "signal", "succeeded")
        assert await daemon.end(signal.SIGTERM, within=PROMPTLY) == 0
        assert daemon.names()[-1] == "daemon.stopped"


async def test_a_stop_while_the_program_is_still_being_imported_is_obeyed(syncd: Program) -> None:
    """The first process of a container would lose it: the entry point keeps it before it imports anything else."""
    program = "from syncd.cli.start import run; run()"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-X", "importtime", "-c", program, "run"),
        cwd=syncd.directory,
        env=syncd._environ({}),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    try:
        async with asyncio.timeout(SECONDS):
            imported = ""
            while "syncd.cli.start" not in imported:  # the entry point is there …
                imported = (await process.stderr.readline()).decode()
            await process.stderr.readline()  # … and the first module of all the others
            process.send_signal(signal.SIGTERM)
            said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0
    assert "daemon.stopped" in said.decode().splitlines()[-1]


@pytest.mark.again
@pytest.mark.parametrize("where", ["pull", "push"])
async def test_sigterm_in_mid_run_finishes_what_is_in_hand(sandbox: Sandbox, syncd: Program, where: str) -> None:
    """Stopped while reading or writing, the daemon ends within seconds, and the run is closed as interrupted."""
    side, path = ("graph", "delta") if where == "pull" else ("portal", "users")
    method = "GET" if where == "pull" else "POST"
    fault = AnnouncedFault("delay", side=side, method=method, path=path, count=-1, seconds=0.5)
    sandbox.faults.add(fault)
    sandbox.tenant_knobs.page_objects = 5
    async with running(syncd) as daemon:
        await daemon.wait("run.started")
        await fault.strike()
        assert await daemon.end(signal.SIGTERM, within=PROMPTLY) == 0
    finished = [line for line in daemon.lines if line["event"] == "run.finished"]
    assert [line["status"] for line in finished] == ["interrupted"]
    runs = (await syncd("runs", "--json")).document
    assert [run["status"] for run in runs] == ["interrupted"]


async def test_the_second_signal_leaves_at_once(sandbox: Sandbox, syncd: Program) -> None:
    """A run that waits for a slow tenant is not waited for when SIGTERM comes again: 128 + 15."""
    fault = AnnouncedFault("delay", side="graph", path="delta", count=-1, seconds=FOR_EVER)
    sandbox.faults.add(fault)
    async with running(syncd) as daemon:
        await daemon.wait("run.started")
        await fault.strike()
        daemon.signal(signal.SIGTERM)
        await daemon.wait("daemon.stopping")
        daemon.signal(signal.SIGTERM)
        async with asyncio.timeout(PROMPTLY):
            await daemon.process.communicate()
        assert daemon.process.returncode == 143


async def test_a_killed_run_is_marked_and_the_next_one_converges(sandbox: Sandbox, syncd: Program) -> None:
    """After kill -9 in mid-run the history says interrupted, and the portal ends up with everybody."""
    fault = AnnouncedFault("delay", side="portal", method="POST", path="users", skip=10, seconds=FOR_EVER)
    sandbox.faults.add(fault)
    async with running(syncd) as daemon:
        await daemon.wait("run.started")
        await fault.strike()
        daemon.process.kill()
        await daemon.process.communicate()
    sandbox.faults.clear()
    newcomer = hire(sandbox, 2)
    async with running(syncd) as daemon:
        assert (await daemon.wait("runs.interrupted"))["runs"] == [1]
        assert (await daemon.wait("run.finished"))["status"] == "succeeded"
        assert newcomer in sandbox.portal.accounts
        assert await daemon.end(signal.SIGINT, within=PROMPTLY) == 0
    plan = (await syncd("plan", "full", "--json")).document
    assert plan["changes"] == []


async def test_the_second_daemon_waits_and_takes_over(sandbox: Sandbox, syncd: Program) -> None:
    """Of two daemons on one store one works; when it is killed, the other one goes on from there."""
    async with running(syncd) as worker:
        await worker.wait("run.finished")
        async with running(syncd, SYNCD_HEALTH__LISTEN="127.0.0.1:0") as standby:
            port = (await standby.wait("health.listening"))["port"]
            await standby.wait("standby.waiting")
            async with aiohttp.ClientSession() as session:
                async with session.get(f"http://127.0.0.1:{port}/readyz") as answer:
                    assert (answer.status, (await answer.json())["status"]) == (200, "standby")
                async with session.get(f"http://127.0.0.1:{port}/") as answer:
                    assert "succeeded" in await answer.text()
            newcomer = hire(sandbox, 3)
            worker.process.kill()
            await worker.process.communicate()
            await standby.wait("standby.taken_over")
            assert (await standby.wait("run.finished"))["kind"] == "delta"
            assert newcomer in sandbox.portal.accounts
            assert "run.started" not in standby.names()[: standby.names().index("standby.taken_over")]
            assert await standby.end(signal.SIGTERM, within=PROMPTLY) == 0


async def test_a_bad_configuration_is_refused_and_a_good_one_adopted(sandbox: Sandbox, syncd: Program) -> None:
    """SIGHUP with problems lists all of them and changes nothing; the corrected file counts from then on."""
    config = syncd.directory / "syncd.toml"
    good = config.read_text()
    async with running(syncd) as daemon:
        await daemon.wait("run.finished")
        config.write_text(good.replace("tenant_id", "tenantid") + '\n[policy]\nmode = "everything"\n')
        daemon.signal(signal.SIGHUP)
        problems = (await daemon.wait("config.refused"))["problems"]
        assert any("tenantid" in problem for problem in problems)
        assert any(problem.startswith("policy.mode") for problem in problems)
        newcomer = hire(sandbox, 4)
        daemon.signal(signal.SIGUSR2)
        assert (await daemon.wait("run.finished"))["status"] == "succeeded"
        assert newcomer in sandbox.portal.accounts
        config.write_text(good + '\n[policy]\nmode = "plan_only"\n')
        daemon.signal(signal.SIGHUP)
        assert (await daemon.wait("config.reloaded"))["changed"] == ["policy"]
        unwritten = hire(sandbox, 5)
        daemon.signal(signal.SIGUSR2)
        await daemon.wait("run.finished")
        assert unwritten not in sandbox.portal.accounts
        assert await daemon.end(signal.SIGTERM, within=PROMPTLY) == 0


@pytest.mark.again
async def test_health_pages_answer(sandbox: Sandbox, syncd: Program) -> None:
    """Live, ready, metrics of the run that was made, and a page without anybody's name."""
    async with running(syncd, SYNCD_HEALTH__LISTEN="127.0.0.1:0") as daemon:
        port = (await daemon.wait("health.listening"))["port"]
        await daemon.wait("run.finished")
        daemon.signal(signal.SIGUSR2)
        await daemon.wait("run.finished")
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
            pages = {}
            for path in ("healthz", "readyz", "metrics", ""):
                async with session.get(f"/{path}") as answer:
                    assert answer.status == 200, path
                    pages[path] = await answer.text()
        assert '"ready"' in pages["readyz"]
        assert 'syncd_runs_total{kind="full",status="succeeded"} 1.0' in pages["metrics"]
        assert 'syncd_changes_total{action="create",object="user",outcome="done"}' in pages["metrics"]
        assert 'syncd_requests_total{side="bps"}' in pages["metrics"]
        assert "Next full run" in pages[""]
        assert sandbox.options.domain not in pages[""]
        assert await daemon.end(signal.SIGTERM, within=PROMPTLY) == 0


async def test_a_tenant_that_refuses_the_secret_is_a_failed_run_and_not_the_end(
    sandbox: Sandbox, syncd: Program
) -> None:
    """With a wrong secret the daemon records failed runs, and works as soon as the secret's file is right."""
    secret = sandbox.path / "graph-secret"
    right = secret.read_text()
    secret.write_text("wrong\n")
    async with running(syncd) as daemon:
        failed = await daemon.wait("run.finished")
        assert failed["status"] == "failed"
        assert "secret" in failed["error"]
        secret.write_text(right)
        daemon.signal(signal.SIGUSR1)
        assert (await daemon.wait("run.finished"))["status"] == "succeeded"
        assert await daemon.end(signal.SIGTERM, within=PROMPTLY) == 0


async def test_without_settings_every_problem_is_listed_and_nothing_starts(tmp_path: Path) -> None:
    """Exit code 2, one problem a line."""
    ended = await Program(tmp_path)("run")
    assert ended.code == 2
    assert "graph.tenant_id" in ended.stderr
    assert "bps.portal_url" in ended.stderr


@pytest.mark.again
async def test_beside_a_daemon_questions_are_answered_by_it(syncd: Program, sandbox: Sandbox) -> None:
    """`plan none`, `plan delta` and `drift`, by the same rules; what needs the store for itself still ends with 75."""
    async with running(syncd) as daemon:
        await daemon.wait("run.finished", kind="full")
        hire(sandbox, 1)
        planned = await syncd("plan", "delta", "--json")
        assert planned.code == 0, planned.stderr
        assert "create" in {change["action"] for change in planned.document["changes"]}
        assert (await syncd("plan", "none")).code == 0
        drift = await syncd("drift", "--json")
        assert (drift.code, drift.document) == (0, []), drift.stderr
        other = await syncd("plan", "none", SYNCD_POLICY__MODE="upsert_only")
        assert (other.code, "other rules" in other.stderr) == (75, True)
        assert (await syncd("plan", "full")).code == 75
        assert (await syncd("drift", "--revert")).code == 75
        assert await daemon.end(signal.SIGTERM) == 0
