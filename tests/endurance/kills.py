"""Kills at random moments, of real processes, over everything that writes: nothing lost, nothing doubled, nothing open.

Each process is the program itself, forked from one that has imported it already, and is sent SIGKILL. The moment is
drawn anew for each: after so much processor time as the same command needed before at most, or at one of its requests.
Both sides go on, and the company lives on between any two kills.

=========  ===========================================================================================================
pull       `sync delta` and `sync full`, at a request to the tenant
push       the same, at a write to the portal
plan       `plan delta`
apply      `apply FILE`, with a plan that was written just before; mostly at a write to the portal
approve    `approve RUN`, after a run whose removals were held; likewise
undo       `undo last`; likewise
migrate    of an older store with rows in it
backup     over a copy that was made before; the next one removes what it left half done
=========  ===========================================================================================================
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import multiprocessing
import os
import random
import sqlite3
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from alembic import command
from alembic.config import Config

from syncd.sandbox.server import Sandbox, SandboxOptions
from syncd.sandbox.tenant.events import happen, live
from syncd.sandbox.wire.faults import Fault, Faults
from syncd.store.db.database import open_database
from syncd.store.db.revision import find_migrations, load_head
from tests.e2e.truth import Truth

SHARES: Mapping[str, int] = {
    "pull": 100, "push": 100, "plan": 50, "apply": 60, "approve": 60, "undo": 60, "migrate": 35, "backup": 35,
}  # fmt: skip
"""How many of 500 kills are of which kind."""
_SETTLE_EVERY = 20
_SECONDS = 300.0
_AT_WRITE = 0.7
_CPU_SECONDS = 0.6
"""So much processor time a command needs, as long as none has shown another number."""
_TICK = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
_OLD_REVISION = "0017"
_PRELOADED = [
    "syncd.cli.main", "syncd.cli.commands.sync", "syncd.bootstrap.sides", "syncd.bootstrap.runs", "syncd.store.store",
    "tests.endurance.kills",
]  # fmt: skip
_ENVIRONMENT = {
    "SYNCD_GUARD__MAX_REMOVAL_PERCENT": "false",  # a company this small would trip the guard by a few leavers
    "SYNCD_GUARD__MAX_DAILY_REMOVAL_PERCENT": "false",
    "SYNCD_GUARD__MAX_UPDATE_PERCENT": "false",
    "SYNCD_LOG__LEVEL": "critical",
}


# ---- processes -------------------------------------------------------------------------------------------------------


def be_syncd(arguments: tuple[str, ...], environment: dict[str, str], directory: str, out: str) -> None:
    """Be the program, in a process that was forked from one that has imported it."""
    os.chdir(directory)
    for name in [name for name in os.environ if name.startswith("SYNCD_")]:
        del os.environ[name]
    os.environ.update(environment)
    for number, name in ((1, out), (2, f"{out}.err")):
        file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(file, number)
        os.close(file)
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115 - open until the process ends
    sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115 - as above
    sys.argv = ["syncd", *arguments]
    from syncd.cli.start import run

    run()


class Forks:
    """Starts the program, again and again."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(_PRELOADED)
        self._out = directory / "out"

    def start(self, *arguments: str, **environment: str) -> ForkServerProcess:
        """Start a command."""
        process = self._context.Process(
            target=be_syncd, args=(arguments, {**_ENVIRONMENT, **environment}, str(self._directory), str(self._out))
        )
        process.start()
        return process

    async def run(self, *arguments: str, good: tuple[int, ...] = (0,), **environment: str) -> tuple[int, str]:
        """Run a command to its end; return exit code and stdout. Any other end than a ``good`` one is an error."""
        process = await asyncio.to_thread(lambda: self.start(*arguments, **environment))
        await asyncio.to_thread(process.join, _SECONDS)
        code, said = process.exitcode, self._out.read_text(encoding="utf-8")
        if code not in good:
            told = self._out.with_name("out.err").read_text(encoding="utf-8")
            raise AssertionError(f"syncd {' '.join(arguments)} ended with {code}: {said[-1000:]} {told[-1000:]}")
        return code, said


def read_cpu(pid: int) -> float:
    """Return the seconds of processor time that a process has used; 0.0 when it is gone."""
    try:
        parts = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(parts[11]) + int(parts[12])) / _TICK


@dataclass
class Tripwire(Faults):
    """Pulls a trigger at the n-th request to the tenant, or at the n-th write to the portal; counts both."""

    writing: bool = False
    left: int = 0
    seen: int = 0
    trigger: Callable[[], None] = field(default=lambda: None)

    def __post_init__(self) -> None:
        super().__init__()

    def take(self, side: str, method: str, target: str, body: bytes = b"") -> Fault | None:
        """Count the request; no fault strikes it."""
        written = side == "portal" and method != "GET" and "/oauth2/" not in target
        if written if self.writing else side == "graph":
            self.seen += 1
            if self.seen == self.left:
                self.trigger()
        return super().take(side, method, target, body)


# ---- the course ------------------------------------------------------------------------------------------------------


@dataclass
class Tally:
    """What was killed where, and what was wrong afterwards."""

    killed: Counter[str] = field(default_factory=Counter)
    open_then: Counter[str] = field(default_factory=Counter)
    """Kills that left an open run, by kind: they struck in the middle of one."""
    seconds: float = 0.0
    """Processor time of the processes that were to be killed."""
    survived: int = 0
    """Commands that were done before their moment had come; they do not count."""
    creations: int = 0
    settled: int = 0
    wrong: list[str] = field(default_factory=list)


class Course:
    """One company, one portal, one store, and a program that is killed."""

    def __init__(self, sandbox: Sandbox, directory: Path, *, seed: str, tell: Callable[[str], None]) -> None:
        self.sandbox = sandbox
        self.directory = directory
        self.store = directory / "store.db"
        self.tripwire = Tripwire()
        sandbox.faults = self.tripwire
        self.forks = Forks(directory)
        self.chance = random.Random(seed)
        self.tally = Tally()
        self.tell = tell
        self.created: Counter[str] = Counter()
        self.typical: dict[str, float] = {}
        self.requests = {"pull": 12, "push": 12, "apply": 12, "approve": 6, "undo": 12}
        self.truth: Truth

    async def begin(self) -> None:
        """Connect the program and let the company be synchronised once."""
        text = self.sandbox.config_toml(store_url=f"sqlite:///{self.store}", health_listen="")
        (self.directory / "syncd.toml").write_text(text, encoding="utf-8")
        self.sandbox.portal_service.observer = self._watch
        self.truth = Truth(self.sandbox.directory, self.sandbox.portal)
        await self.forks.run("sync", "full")
        await self.forks.run("backup", "copy.db")

    async def go(self, kills: int) -> Tally:
        """Kill so many times."""
        whole = sum(SHARES.values())
        acts = [act for act, share in SHARES.items() for _ in range(max(1, round(share * kills / whole)))]
        self.chance.shuffle(acts)
        for number, act in enumerate(acts, 1):
            while not await self.strike(act):
                self.tally.survived += 1
            if number % _SETTLE_EVERY == 0 or number == len(acts):
                await self.settle()
                self.tell(f"{number} kills, {self.tally.settled} times all was right, {len(self.tally.wrong)} wrong")
        self.tally.creations = sum(self.created.values())
        doubled = sorted(name for name, times in self.created.items() if times > 1)
        self.tally.wrong += [f"{name} was made {self.created[name]} times" for name in doubled]
        await self.forks.run("backup", "copy.db")
        left = [file.name for file in self.directory.iterdir() if ".part" in file.name]
        self.tally.wrong += [f"{name} is left, and nobody writes it" for name in left]
        code, said = await self.forks.run("verify", "--json", good=(0, 1))
        if code:
            self.tally.wrong.append(f"verify: {said[-300:]}")
        return self.tally

    async def strike(self, act: str) -> bool:
        """Prepare, start and kill; return whether the process was alive when its moment came."""
        live(self.sandbox.directory, self.chance, self.chance.randint(2, 6))
        self.truth.look()
        arguments, environment = await self.prepare(act)
        at_request = act in ("pull", "push") or (act in self.requests and self.chance.random() < _AT_WRITE)
        process = await asyncio.to_thread(lambda: self.forks.start(*arguments, **environment))
        wire = self.tripwire
        wire.seen, wire.writing = 0, act != "pull"
        wire.left = self.chance.randint(1, self.requests[act]) if at_request else 0
        wire.trigger = process.kill
        moment = self.chance.uniform(0.0, self.typical.get(act, _CPU_SECONDS))
        pid, used = process.pid or 0, 0.0
        ended = asyncio.create_task(asyncio.to_thread(process.join, _SECONDS), name="join")
        while not ended.done():
            used = max(used, read_cpu(pid))
            if not at_request and used >= moment:
                await asyncio.sleep(self.chance.uniform(0.0, 0.01))
                process.kill()
            await asyncio.wait([ended], timeout=0.004)
        await ended
        wire.left = 0
        self.tally.seconds += used
        if at_request:
            self.requests[act] = max(2, (self.requests[act] + wire.seen) // 2 + 1)
        if process.exitcode != -9:
            self.typical[act] = used
            assert process.exitcode in (0, 3, 4), (act, process.exitcode, self._read_error())
            return False
        self.tally.killed[act] += 1
        self.tally.open_then[act] += self._is_open()
        self.tally.wrong += [f"{act}: {each}" for each in self._look(act)]
        return True

    async def prepare(self, act: str) -> tuple[tuple[str, ...], dict[str, str]]:
        """Bring about what a command needs; return it with its environment."""
        run, chance = self.forks.run, self.chance
        match act:
            case "pull" | "push":
                return ("sync", "full" if chance.random() < 0.25 else "delta"), {}
            case "plan":
                return ("plan", "delta"), {}
            case "apply":  # which refuses a portal that has what a killed run had sent, until a run has seen it
                await run("sync", "delta", good=(0, 3, 4))
                live(self.sandbox.directory, chance, 4)
                self.truth.look()
                await run("plan", "delta", "--out", "plan.file")
                return ("apply", "plan.file"), {}
            case "approve":
                happen(self.sandbox.directory, chance, "leave", count=2)
                self.truth.look()
                limits = {"SYNCD_GUARD__MAX_REMOVALS": "0", "SYNCD_GUARD__MAX_HANDOVERS": "0"}
                await run("sync", "delta", good=(0, 3, 4), **limits)
                held = json.loads((await run("held", "--json"))[1])
                return (("approve", str(held[0]["run"])) if held else ("sync", "delta")), {}
            case "undo":
                await run("sync", "delta", good=(0, 3, 4))
                return ("undo", "last"), {}
            case "migrate":
                old = self.directory / "old.db"
                await asyncio.to_thread(make_old_store, old)
                return ("migrate",), {"SYNCD_STORE__URL": f"sqlite:///{old}"}
        return ("backup", "copy.db"), {}

    async def settle(self) -> None:
        """Let the program work undisturbed, and look whether everything is right."""
        wrong = self.tally.wrong
        for _ in range(3):
            code, _ = await self.forks.run("sync", "full", good=(0, 3, 4))
            for held in json.loads((await self.forks.run("held", "--json"))[1]):
                await self.forks.run("approve", str(held["run"]), good=(0, 3, 4))
            if not code:
                break
        wrong += self.truth.find_differences()[:5]
        _, shown = await self.forks.run("plan", "full", "--json")
        if changes := json.loads(shown)["changes"]:
            wrong.append(f"{len(changes)} planned again: {changes[:2]}")
        if self._is_open():
            wrong.append("a run is open")
        self.tally.settled += 1

    # ---- what is looked at

    def _look(self, act: str) -> list[str]:
        """Return what a kill has broken at once."""
        found = [f"foreign: {each}" for each in self.truth.find_touched_foreigners()[:2]]
        files = {"store": self.store, "copy": self.directory / "copy.db"} if act == "backup" else {"store": self.store}
        if act == "migrate":
            files["old store"] = self.directory / "old.db"
        for name, file in files.items():
            with contextlib.closing(sqlite3.connect(file)) as connection:
                verdict = connection.execute("PRAGMA quick_check").fetchone()[0]
                if verdict != "ok":
                    found.append(f"{name}: {verdict}")
        if act == "migrate":
            found += finish_migration(self.directory / "old.db")
        return found

    def _is_open(self) -> bool:
        with contextlib.closing(sqlite3.connect(self.store)) as connection:
            return bool(connection.execute("SELECT count(*) FROM runs WHERE status = 'running'").fetchone()[0])

    def _watch(self, method: str, path: str, query: dict[str, str], body: bytes, status: int, answer: bytes) -> None:
        if method == "POST" and path.endswith(("/admin/users", "/admin/groups")):
            if status < 300:
                self.created[json.loads(body)["bpsId"].casefold()] += 1
            else:
                self.tally.wrong.append(f"{path} was refused with {status}: {answer[:80]!r}")
        if method == "DELETE" and "substitutions" not in path:
            self.tally.wrong.append(f"DELETE {path}")

    def _read_error(self) -> str:
        return (self.directory / "out.err").read_text(encoding="utf-8")[-1000:]


# ---- migrations ------------------------------------------------------------------------------------------------------

_ROWS = 300


def make_old_store(file: Path) -> None:
    """Make a store of an older revision, with people in it."""
    for name in (file.name, f"{file.name}-wal", f"{file.name}-shm"):
        file.with_name(name).unlink(missing_ok=True)
    database = open_database(f"sqlite:///{file}")
    config = Config()
    config.set_main_option("script_location", str(find_migrations()))
    config.attributes["engine"] = database.engine
    command.upgrade(config, _OLD_REVISION)
    with database.transaction() as connection:
        for key in range(1, _ROWS + 1):
            connection.exec_driver_sql(
                "INSERT INTO target_principals VALUES (?, ?, ?)", (key, f"u{key}@x.com", f"u{key}@x.com")
            )
            connection.exec_driver_sql(
                "INSERT INTO target_users (key, status, origin, source_key) VALUES (?, 'Synchronized', 'created', ?)",
                (key, key),
            )
    database.close()


def finish_migration(file: Path) -> list[str]:
    """Migrate to the end; return what is not as it should be then."""
    from syncd.store.db.revision import load_revision, migrate

    database = open_database(f"sqlite:///{file}")
    try:
        migrate(database)
        found = [] if load_revision(database) == load_head() else ["the store is not at the newest revision"]
        with database.transaction() as connection:
            number = connection.exec_driver_sql("SELECT count(*) FROM target_users WHERE source_key = key").scalar()
            times = connection.exec_driver_sql("SELECT count(*) FROM record_history").scalar()
    finally:
        database.close()
    if number != _ROWS or times != _ROWS:
        found.append(f"{number} people and {times} times of {_ROWS} after the migration")
    return found


# ---- the whole -------------------------------------------------------------------------------------------------------


def make_options() -> SandboxOptions:
    """Return a company of sixty, a portal that copies a while, and small pages."""
    options = SandboxOptions(users=60, groups=20, memberships=200, portal_delay=0.1, latency=0.002)
    options.tenant_knobs.page_objects, options.tenant_knobs.page_links = 8, 20
    options.tenant_knobs.list_page_objects = 12
    return options


async def kill_all(directory: Path, *, kills: int, seed: str, tell: Callable[[str], None]) -> Tally:
    """Kill so many processes in the given folder, which is empty; return what came of it."""
    sandbox = Sandbox(make_options(), directory / "sandbox")
    course = Course(sandbox, directory, seed=seed, tell=tell)
    async with sandbox:
        await course.begin()
        return await course.go(kills)
