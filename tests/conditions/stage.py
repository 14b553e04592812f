"""Where a condition is played: a sandbox of today in this process, and a program of any commit in others.

Only what is promised to people is used of the program: settings, commands, exit codes, JSON and what its log says.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import resource
import signal
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from syncd.sandbox.server import Sandbox, SandboxOptions
from syncd.sandbox.wire.faults import Fault
from syncd.sandbox.wire.knobs import PortalKnobs, TenantKnobs
from tests.e2e.program import Ended, Program

SECONDS = 150.0
_KEPT = 300
PAGE = b"<!DOCTYPE html><html><head><title>Blocked</title></head><body><h1>Request rejected</h1>id 4711</body></html>"
SMALL = SandboxOptions(users=30, groups=6, memberships=90)
TINY = SandboxOptions(users=8, groups=2, memberships=12)


@dataclass(frozen=True, slots=True)
class Seen:
    """What became of a condition, and whether that is right."""

    right: bool
    words: str


@dataclass(frozen=True, slots=True)
class Team:
    """A group of the tenant and the people who were put into it."""

    group: str
    people: list[str]


@dataclass(slots=True)
class Stage:
    """One sandbox and one program that is connected to it, with a store of its own."""

    sandbox: Sandbox
    program: Program
    tree: Path
    folder: Path
    said: list[str] = field(default_factory=list)
    """All output of the program so far."""

    async def __call__(self, *arguments: str, **environment: str) -> Ended:
        """Run a command; after two minutes it is killed, and counts as ended by that."""
        process = await self.program.start(*arguments, environment=environment)
        try:
            async with asyncio.timeout(SECONDS):
                out, err = await process.communicate()
        except TimeoutError:
            process.kill()
            out, err = await process.communicate()
        self.said += [out.decode(errors="replace"), err.decode(errors="replace")]
        return Ended(process.returncode or 0, self.said[-2], self.said[-1])

    async def sync(self, kind: str = "full", **environment: str) -> int:
        """Run ``sync``; return its exit code."""
        return (await self("sync", kind, **environment)).code

    async def ask(self, *arguments: str, **environment: str) -> Any:
        """Run a command with ``--json``; return its document, None where it gave none."""
        ended = await self(*arguments, "--json", **environment)
        return json.loads(ended.stdout) if ended.stdout.strip() else None

    async def error(self) -> str:
        """Return why the last run did not succeed, as the history has it."""
        runs = await self.ask("runs")
        return str((runs or [{}])[0].get("error") or "")

    async def row(self, check: str) -> dict[str, str]:
        """Return the row of ``check`` whose name contains this, the worst of several; an empty one where none does."""
        order = ("failed", "warning", "unknown", "ok")
        rows = [row for row in await self.ask("check") or () if check in row["check"]]
        return min(rows, key=lambda row: order.index(row["status"]), default={"status": "", "detail": "", "remedy": ""})

    async def held(self) -> list[dict[str, Any]]:
        """Return all changes that wait, of all runs."""
        return [change for run in await self.ask("held") or () for change in run["changes"]]

    def configure(self, text: str) -> None:
        """Add lines to the end of the configuration."""
        with (self.folder / "syncd.toml").open("a", encoding="utf-8") as file:
            file.write("\n" + text + "\n")

    def fault(self, kind: str, side: str = "any", **more: Any) -> Fault:
        """Plan a fault for as long as it stands."""
        return self.sandbox.faults.add(Fault(kind, side=side, **{"count": -1, **more}))  # type: ignore[arg-type]

    def page(self, status: int, side: str = "portal", **more: Any) -> Fault:
        """Let a gateway answer with a page for people."""
        return self.fault("status", side, status=status, body=PAGE, content_type="text/html", **more)

    # ---- the company and what the portal has of it

    def found(self, number: int, name: str = "Testers", *, into: str = "") -> Team:
        """Let so many people begin, as members of a new group, or of one that is there."""
        directory = self.sandbox.directory
        people = [
            directory.hire(f"Nina {name} {each}", f"{name.lower()}.{each}@{directory.domain}", department=name)
            for each in range(number)
        ]
        if into:
            for person in people:
                directory.add_member(into, person)
        return Team(into or directory.create_group({"displayName": name}, members=people), people)

    def login(self, person: str) -> str:
        """Return somebody's principal name as the portal compares it."""
        return str(self.sandbox.directory.objects[person].properties["userPrincipalName"]).casefold()

    def has(self, person: str) -> bool:
        """Tell whether the portal has an account of that name."""
        return self.login(person) in self.sandbox.portal.accounts

    def value(self, person: str, name: str) -> str | None:
        """Return what the portal has of an account."""
        return self.sandbox.portal.accounts[self.login(person)].values.get(name)

    def inside(self, group: str) -> set[str]:
        """Return who is in the BPS group that a group of the tenant has by default."""
        found = self.sandbox.portal.groups.get(f"{group}@groups.example.com".casefold())
        return set() if found is None else set(found.members)

    def count_accounts(self) -> int:
        """Return how many accounts the portal has."""
        return len(self.sandbox.portal.accounts)

    # ---- daemons

    @asynccontextmanager
    async def daemon(self, **environment: str) -> AsyncIterator[Daemon]:
        """Run a daemon for a block; it is killed at the end where it still lives."""
        settings = {"SYNCD_LOG__FORMAT": "json", "SYNCD_SCHEDULE__DELTA": "1h", **environment}
        with (self.folder / "log").open("wb") as log:
            process = await self.program.start("run", out=log.fileno(), environment=settings)
        try:
            yield Daemon(process, self.folder / "log")
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


@dataclass(slots=True)
class Daemon:
    """A running daemon and its log; ``told`` are the lines so far, of each event the first few hundred."""

    process: asyncio.subprocess.Process
    log: Path
    told: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    count: int = 0
    _place: int = 0

    def read(self) -> None:
        """Read what was logged since the last time."""
        with self.log.open("rb") as file:
            file.seek(self._place)
            while (line := file.readline()).endswith(b"\n"):
                self._place += len(line)
                self.count += 1
                if line.startswith(b"{"):
                    entry = json.loads(line)
                    lines = self.told.setdefault(str(entry.get("event")), [])
                    if len(lines) < _KEPT:
                        lines.append(entry)

    def find(self, event: str) -> list[dict[str, Any]]:
        """Return the lines of one event."""
        self.read()
        return self.told.get(event, [])

    async def wait(self, event: str, number: int = 1, seconds: float = 60.0) -> bool:
        """Wait until an event was logged so often; False when it was not, in time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while len(self.find(event)) < number and self.process.returncode is None:
                    await asyncio.sleep(0.1)
        return len(self.find(event)) >= number

    async def end(self, seconds: float = 25.0) -> int | None:
        """Send SIGTERM; return the exit code, None where it did not end in time."""
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(seconds):
                return await self.process.wait()
        except TimeoutError:
            return None


Play = Callable[[Stage], Awaitable[Seen]]


@asynccontextmanager
async def open_stage(folder: Path, tree: Path, options: SandboxOptions = SMALL) -> AsyncIterator[Stage]:
    """Start a sandbox, and connect a program of that tree with it."""
    fresh = replace(options, tenant_knobs=TenantKnobs(), portal_knobs=PortalKnobs())  # a play may have turned some
    async with Sandbox(fresh, folder / "sandbox") as sandbox:
        program = Program.connected(sandbox, folder, fresh=True)
        program.tree = tree
        yield Stage(sandbox, program, tree, folder)


def allow_files(number: int) -> None:
    """Let this process, and those it starts, have so many files open."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, number), hard))


def find_peak(pid: int) -> float:
    """Return the most memory that a process had so far, in megabytes; 0 where it is gone."""
    try:
        text = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in text.splitlines() if line.startswith("VmHWM")), 0.0)


def build(folder: Path, source: Path) -> str:
    """Return a library made of a file in C, to be loaded before all others; it needs a C compiler."""
    library = folder / f"{source.stem}.so"
    if not library.exists():
        subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"], check=True)
    return str(library)


def shift_clock(folder: Path, *, days: float) -> dict[str, str]:
    """Return the environment of a program whose clock is so far ahead."""
    library = build(folder, Path(__file__).with_name("shifted_time.c"))
    return {"LD_PRELOAD": library, "SHIFTED_TIME": str(int(days * 86_400))}
