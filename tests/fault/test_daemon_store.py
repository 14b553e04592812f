"""A daemon whose store fails under it: it says so in one sentence, lives on, and mends everything without a restart."""

from __future__ import annotations

import asyncio
import contextlib
import json
import resource
import signal
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import aiohttp
import pytest
from sqlalchemy.engine import make_url

from syncd.sandbox.server import Sandbox, SandboxOptions
from tests.e2e.daemons import PROMPTLY, Daemon, running
from tests.e2e.program import Program
from tests.e2e.test_daemon import FOR_EVER, AnnouncedFault, GatedClock
from tests.e2e.truth import Truth
from tests.postgres import fresh_database

pytestmark = pytest.mark.slow

RARELY = {"SYNCD_SCHEDULE__DELTA": "6h", "SYNCD_LOG__FORMAT": "json", "SYNCD_HEALTH__LISTEN": "127.0.0.1:0"}


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[Sandbox]:
    """A company of forty."""
    clock = GatedClock()
    options = SandboxOptions(users=40, groups=8, memberships=120)
    async with Sandbox(options, tmp_path / "sandbox", clock=clock) as company:
        yield company
        clock.gate.set()


@pytest.fixture
def syncd(sandbox: Sandbox, tmp_path: Path) -> Program:
    """The program, connected to it, with a schedule that never comes in a test."""
    program = Program.connected(sandbox, tmp_path, fresh=True)
    program.environment.update(RARELY)
    return program


def hire(sandbox: Sandbox, count: int) -> None:
    """Let people join the company."""
    for number in range(count):
        sandbox.directory.hire(f"New Person{number}", f"new.person{number}@{sandbox.options.domain}")


async def be_stopped_in_push(sandbox: Sandbox, daemon: Daemon, *, seconds: float) -> None:
    """Let people join, ask for a run, and come back when the portal thinks about one of them, for so long."""
    hire(sandbox, 30)
    fault = AnnouncedFault("delay", side="portal", method="POST", path="users", skip=5, count=1, seconds=seconds)
    sandbox.faults.add(fault)
    daemon.signal(signal.SIGUSR2)
    await fault.strike()
    sandbox.faults.clear()


async def ask_ready(port: int) -> tuple[int, dict[str, object]]:
    """Return what the daemon's /readyz says."""
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/readyz") as answer:
        return answer.status, await answer.json()


async def end_well(daemon: Daemon, sandbox: Sandbox) -> None:
    """Stop the daemon; the portal has what it should, and nothing in the log was a surprise."""
    assert await daemon.end(signal.SIGTERM, within=PROMPTLY) == 0
    assert Truth(sandbox.directory, sandbox.portal).find_differences() == []
    assert "Traceback" not in json.dumps(daemon.lines)
    assert not [line for line in daemon.lines if line.get("exception") or line.get("about") == "run"]


async def load_history(syncd: Program, **environment: str) -> list[tuple[str, str]]:
    """Return status and error of every run, oldest first."""
    runs = (await syncd("runs", "--json", **environment)).document
    return [(run["status"], run["error"]) for run in reversed(runs)]


# ---- a disk


def bound_files(daemon: Daemon, size: int) -> None:
    """Let that process write nothing beyond so many bytes of any file."""
    resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


async def test_a_daemon_survives_that_nothing_can_be_written(sandbox: Sandbox, syncd: Program, tmp_path: Path) -> None:
    """The run in hand fails with a sentence, those that follow wait, and all is done once there is room again."""
    store = tmp_path / "store.db"
    async with running(syncd) as daemon:
        assert (await daemon.wait("run.finished"))["status"] == "succeeded"
        await be_stopped_in_push(sandbox, daemon, seconds=0.5)
        bound_files(daemon, store.with_name("store.db-wal").stat().st_size)
        failed = await daemon.wait("run.finished")
        assert failed["status"] == "failed"
        assert "could not be read or written (disk I/O error)" in failed["error"]
        assert "run.unrecorded" in daemon.names()
        daemon.signal(signal.SIGUSR1)
        trouble = await daemon.wait("store.error")
        assert "could not be read or written (disk I/O error)" in trouble["error"]
        bound_files(daemon, resource.RLIM_INFINITY)
        assert (await daemon.wait("runs.interrupted"))["runs"] == [failed["run"]]
        again = await daemon.wait("run.finished")
        assert (again["kind"], again["status"]) == ("full", "succeeded")
        await daemon.wait("store.recovered")
        await end_well(daemon, sandbox)
    with closing(sqlite3.connect(store)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    history = await load_history(syncd)
    assert [status for status, _ in history] == ["succeeded", "interrupted", "succeeded"]
    assert "the store could not be written" in history[1][1]


# ---- a file


def move_store(directory: Path, target: Path) -> None:
    """Move the store away, as somebody would who tidies up: all of its files but the sandbox's."""
    for path in directory.glob("store.db*"):
        path.rename(target / path.name)


async def test_a_daemon_whose_file_is_gone_says_so_and_goes_on_when_it_is_back(
    sandbox: Sandbox, syncd: Program, tmp_path: Path
) -> None:
    """Nothing is written to a file that nobody will ever open again, nor to an empty one in its place."""
    away = tmp_path / "away"
    away.mkdir()
    async with running(syncd) as daemon:
        port = (await daemon.wait("health.listening"))["port"]
        assert (await daemon.wait("run.finished"))["status"] == "succeeded"
        await be_stopped_in_push(sandbox, daemon, seconds=0.5)
        move_store(tmp_path, away)
        failed = await daemon.wait("run.finished")
        assert failed["status"] == "failed"
        assert f"the store's file {tmp_path / 'store.db'} is gone" in failed["error"]
        assert "Move it back" in failed["error"]
        trouble = await daemon.wait("store.error")
        assert f"{tmp_path / 'store.db'} is gone" in trouble["error"]
        status, said = await ask_ready(port)
        assert (status, said["status"]) == (503, "unready")
        assert f"{tmp_path / 'store.db'} is gone" in str(said["reason"])
        assert not (tmp_path / "store.db").exists()
        move_store(away, tmp_path)
        daemon.signal(signal.SIGUSR2)
        again = await daemon.wait("run.finished")
        assert again["status"] == "succeeded"
        assert (await ask_ready(port))[0] == 200
        await end_well(daemon, sandbox)
    assert [status for status, _ in await load_history(syncd)] == ["succeeded", "interrupted", "succeeded"]


async def test_a_daemon_never_works_on_a_file_that_took_the_place_of_its_own(
    sandbox: Sandbox, syncd: Program, tmp_path: Path
) -> None:
    """It asks to be started again, which is all that is needed."""
    async with running(syncd) as daemon:
        await daemon.wait("run.finished")
        with (
            closing(sqlite3.connect(tmp_path / "store.db")) as source,
            closing(sqlite3.connect(tmp_path / "copy.db")) as copy,
        ):
            source.backup(copy)
        (tmp_path / "copy.db").rename(tmp_path / "store.db")
        trouble = await daemon.wait("store.error")
        assert f"{tmp_path / 'store.db'} was replaced by another one" in trouble["error"]
        assert "start syncd again" in trouble["error"]
        assert await daemon.end(signal.SIGTERM, within=PROMPTLY) == 0
    for leftover in ("store.db-wal", "store.db-shm"):
        (tmp_path / leftover).unlink(missing_ok=True)
    async with running(syncd) as daemon:
        assert (await daemon.wait("run.finished"))["status"] == "succeeded"
        await end_well(daemon, sandbox)


async def test_a_removed_lock_lets_no_two_daemons_work(sandbox: Sandbox, syncd: Program, tmp_path: Path) -> None:
    """Another daemon may take the lock then, and waits until the first one has noticed and broken off its run."""
    async with running(syncd) as first:
        await first.wait("run.finished")
        async with running(syncd, SYNCD_SCHEDULE__ON_START="delta") as second:
            await second.wait("standby.waiting")  # or the first one would be there again before it
            await be_stopped_in_push(sandbox, first, seconds=FOR_EVER)
            (tmp_path / "store.db.lock").unlink()
            await first.wait("standby.lock_lost")
            given_up = await first.wait("run.finished")
            begun = await second.wait("run.started")
            assert given_up["status"] == "interrupted"
            assert given_up["time"] < begun["time"]
            await first.wait("standby.waiting")
            assert (await second.wait("run.finished"))["status"] == "succeeded"
            await end_well(second, sandbox)
        await first.wait("standby.taken_over")
        await end_well(first, sandbox)


# ---- a server


class Forwarder:
    """The wire between a daemon and its server. Cut, it breaks what is open and lets nothing new through."""

    def __init__(self, host: str, port: int) -> None:
        self._server = (host, port)
        self._cut = False
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[int]:
        """Let connections through for a block; give the port."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()
            self.cut()
            await server.wait_closed()
            if self._tasks:
                await asyncio.wait(self._tasks)

    def cut(self) -> None:
        """Break every connection, and refuse new ones."""
        self._cut = True
        for writer in self._writers:
            writer.transport.abort()

    def mend(self) -> None:
        """Let connections through again."""
        self._cut = False

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        try:
            if self._cut:
                writer.transport.abort()
                return
            there, back = await asyncio.open_connection(*self._server)
            self._writers.add(back)
            try:
                await asyncio.gather(_copy(reader, back), _copy(there, writer))
            finally:
                back.transport.abort()
                self._writers.discard(back)
        finally:
            writer.transport.abort()
            self._writers.discard(writer)
            self._tasks.discard(task)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while part := await reader.read(65_536):
            writer.write(part)
            await writer.drain()
    writer.close()


@pytest.fixture
def database_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """An empty database on PostgreSQL."""
    with fresh_database(request.getfixturevalue("postgres_url")) as url:
        yield url


@pytest.fixture
async def wire(database_url: str) -> AsyncIterator[tuple[Forwarder, str]]:
    """A wire to that database, and its URL over that wire."""
    url = make_url(database_url)
    forwarder = Forwarder(url.host or "", url.port or 0)
    async with forwarder.listening() as port:
        yield forwarder, url.set(port=port).render_as_string(hide_password=False)


@pytest.mark.again
@pytest.mark.postgresql
async def test_a_daemon_survives_that_its_server_is_cut_off(
    sandbox: Sandbox, syncd: Program, wire: tuple[Forwarder, str]
) -> None:
    """The run in hand fails, the daemon gives up the lock, says why it is not ready, and works when it has it anew."""
    forwarder, url = wire
    syncd.environment["SYNCD_STORE__URL"] = url
    async with running(syncd) as daemon:
        port = (await daemon.wait("health.listening"))["port"]
        assert (await daemon.wait("run.finished"))["status"] == "succeeded"
        await be_stopped_in_push(sandbox, daemon, seconds=0.5)
        forwarder.cut()
        failed = await daemon.wait("run.finished")
        assert failed["status"] == "failed"
        assert "the store at postgresql" in failed["error"]
        status, said = await ask_ready(port)
        assert (status, said["status"]) == (503, "unready")
        assert "the store at postgresql" in str(said["reason"])
        daemon.signal(signal.SIGUSR1)
        if "standby.lock_lost" not in daemon.names():  # it may be noticed before the run has ended
            await daemon.wait("standby.lock_lost")
        if "store.error" not in daemon.names():
            await daemon.wait("store.error")
        assert daemon.names().count("run.started") == 2, "nothing is begun without the lock"
        forwarder.mend()
        assert (await daemon.wait("runs.interrupted"))["runs"] == [failed["run"]]
        await daemon.wait("daemon.working")
        again = await daemon.wait("run.finished")
        assert (again["kind"], again["status"]) == ("full", "succeeded")
        assert (await ask_ready(port))[0] == 200
        await end_well(daemon, sandbox)
    history = await load_history(syncd)
    assert [status for status, _ in history] == ["succeeded", "interrupted", "succeeded"]


@pytest.mark.postgresql
async def test_who_is_cut_off_has_broken_off_its_run_before_the_other_begins(
    sandbox: Sandbox, syncd: Program, wire: tuple[Forwarder, str], database_url: str
) -> None:
    """Also while the portal keeps it waiting, so that it has no reason to ask its store; then it is the standby."""
    forwarder, url = wire
    async with running(syncd, SYNCD_STORE__URL=url) as first:
        await first.wait("run.finished")
        async with running(syncd, SYNCD_STORE__URL=database_url) as second:
            await second.wait("standby.waiting")
            await be_stopped_in_push(sandbox, first, seconds=FOR_EVER)
            forwarder.cut()
            await first.wait("standby.lock_lost")
            given_up = await first.wait("run.finished")
            begun = await second.wait("run.started")
            assert given_up["status"] == "interrupted"
            assert given_up["time"] < begun["time"]
            assert (await second.wait("run.finished"))["status"] == "succeeded"
            forwarder.mend()
            await first.wait("standby.waiting")
            await end_well(second, sandbox)
        await first.wait("standby.taken_over")
        await end_well(first, sandbox)


@pytest.mark.postgresql
async def test_a_command_that_is_cut_off_breaks_off_its_run_as_well(
    sandbox: Sandbox, syncd: Program, wire: tuple[Forwarder, str], database_url: str
) -> None:
    """Before the daemon that waited for it begins its own; the next command waits for whoever may be cut off."""
    forwarder, url = wire
    assert (await syncd("sync", "full", SYNCD_STORE__URL=url)).code == 0
    hire(sandbox, 30)
    fault = AnnouncedFault("delay", side="portal", method="POST", path="users", skip=5, count=1, seconds=FOR_EVER)
    sandbox.faults.add(fault)
    command = asyncio.create_task(syncd("sync", "delta", SYNCD_STORE__URL=url))
    await fault.strike()
    sandbox.faults.clear()
    forwarder.cut()
    following = await syncd("sync", "delta", SYNCD_STORE__URL=database_url)
    assert command.done(), "the one that was cut off was to be gone by then"
    ended = await command
    assert ended.code == 1
    assert "the lock on the store is lost; stopping" in ended.stderr
    assert "the lock on the store was lost, and the run was broken off" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert following.code == 0, following.stderr
    assert "a run is still open in this store; waiting 10 seconds" in following.stderr
    assert Truth(sandbox.directory, sandbox.portal).find_differences() == []
