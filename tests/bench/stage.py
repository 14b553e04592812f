"""What every measurement needs: a sandbox in a process of its own, and the work in another one."""

from __future__ import annotations

import http.client
import json
import os
import resource
import select
import shutil
import ssl
import statistics
import subprocess
import sys
import threading
import time
import tomllib
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

_START_SECONDS = 300.0
_WORK_SECONDS = 3600.0
_ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Size:
    """How big the company is."""

    users: int
    groups: int
    memberships: int
    big_groups: int

    def scale_to(self, users: int) -> Self:
        """Return a company of so many users with the same proportions, without the groups of 10,000."""
        share = users / self.users
        return type(self)(users, max(1, int(self.groups * share)), int(self.memberships * share), 0)

    def times(self, factor: int) -> Self:
        """Return a company so many times larger."""
        return type(self)(
            self.users * factor, self.groups * factor, self.memberships * factor, self.big_groups * factor
        )


@dataclass(frozen=True, slots=True)
class Stage:
    """A running sandbox and the store that belongs to it. ``folder`` holds everything and is thrown away."""

    folder: Path
    control: str
    tree: Path = _ROOT
    """The source that works on it; the sandbox is always today's."""

    @property
    def config(self) -> Path:
        """Return the configuration that connects syncd to the sandbox."""
        return self.folder / "syncd.toml"

    @property
    def store(self) -> Path:
        """Return the SQLite file."""
        return self.folder / "syncd.db"

    def empty_store(self, to: Path | None = None) -> Path:
        """Make an empty store with the schema of the migrations; ``to`` moves it there."""
        for name in ("", "-wal", "-shm"):
            Path(f"{self.store}{name}").unlink(missing_ok=True)
        self.work("measured", "empty")
        return self.store if to is None else Path(shutil.move(self.store, to))

    def work(self, module: str, *arguments: str) -> dict[str, Any]:
        """Run ``tests.bench.MODULE`` in a process of its own, and return what it prints."""
        found: dict[str, Any] = json.loads(self._run("-m", f"tests.bench.{module}", *arguments).splitlines()[-1])
        return found

    def measure_planning(self, what: str) -> dict[str, Any]:
        """Do one piece of work of ``tests.bench.measured``; return what it says with what planning took."""
        said = self._run(str(_ROOT / "tests" / "bench" / "planning.py"), what)
        found: dict[str, Any] = json.loads(said.splitlines()[-1])
        return found

    def plan(self, what: str) -> float:
        """Do the same; return the processor seconds of planning."""
        return float(sum(self.measure_planning(what)["planning"].values()))

    def ask(self, *words: str) -> float:
        """Give a command that answers with a page, also that there is nothing; return its processor seconds."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        self._run("-m", "syncd.cli.main", *words, codes=(0, 2))
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    def _run(self, *words: str, codes: tuple[int, ...] = (0,)) -> str:
        command = [sys.executable, *words, "--config", str(self.config)]
        done = subprocess.run(
            command,
            cwd=self.tree,
            env={**_environment(), "PYTHONPATH": str(self.tree)},
            capture_output=True,
            text=True,
            timeout=_WORK_SECONDS,
            check=False,
        )
        if done.returncode not in codes or "No such option" in done.stderr:
            raise SystemExit(f"{' '.join(words)} failed:\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
        return done.stdout

    def keep_store(self) -> Path:
        """Return a copy of the store, which nobody works on now."""
        return Path(shutil.copy(self.store, self.folder / "kept.db"))

    def restore(self, kept: Path) -> None:
        """Put that copy back."""
        for name in ("-wal", "-shm"):
            Path(f"{self.store}{name}").unlink(missing_ok=True)
        shutil.copy(kept, self.store)

    def turn(self, side: str = "tenant", **knobs: object) -> None:
        """Turn knobs of one side."""
        body = json.dumps({side: knobs}).encode()
        urllib.request.urlopen(urllib.request.Request(f"{self.control}/knobs", data=body, method="POST")).close()

    @contextmanager
    def watch_users(self) -> Iterator[Users]:
        """Let somebody ask the portal for something five times a second until the end of the block."""
        settings = tomllib.loads(self.config.read_text(encoding="utf-8"))["bps"]
        users = Users(f"{settings['portal_url']}/api/data/v6.0/me", settings["ca_file"])
        thread = threading.Thread(target=users.ask, daemon=True)
        thread.start()
        try:
            yield users
        finally:
            users.ended.set()
            thread.join(60)

    def change(self, what: str, count: int) -> None:
        """Let things happen in the company."""
        body = json.dumps({"op": what, "count": count}).encode()
        urllib.request.urlopen(urllib.request.Request(f"{self.control}/change", data=body, method="POST")).close()

    def count_units(self) -> int:
        """Return the resource units that were spent since the ledger was cleared."""
        with urllib.request.urlopen(f"{self.control}/ledger") as answer:
            return int(json.load(answer)["resource_units"])

    def count_refusals(self) -> int:
        """Return how many requests were refused for their number since the ledger was cleared."""
        with urllib.request.urlopen(f"{self.control}/ledger") as answer:
            return int(json.load(answer)["statuses"].get("graph 429", 0))

    def count_requests(self) -> Mapping[str, int]:
        """Return the requests since the last time, by side and route, without those for tokens."""
        with urllib.request.urlopen(f"{self.control}/ledger") as answer:
            ledger = json.load(answer)
        urllib.request.urlopen(urllib.request.Request(f"{self.control}/ledger", method="POST")).close()
        if ledger["violations"]:
            raise SystemExit(f"the sandbox counts broken rules: {ledger['violations'][:3]}")
        return {route: number for route, number in ledger["requests"].items() if "token" not in route}


class Users:
    """People who work with the portal: how long its answers took, whatever they said."""

    def __init__(self, url: str, ca_file: str) -> None:
        self.ended = threading.Event()
        self._url = url
        self._context = ssl.create_default_context(cafile=ca_file)
        self._found: list[tuple[float, float]] = []

    def ask(self) -> None:
        """Ask over one connection until `ended` is set."""
        parts = urllib.parse.urlsplit(self._url)
        connection = http.client.HTTPSConnection(parts.netloc, context=self._context, timeout=60)
        while not self.ended.wait(0.2):
            begun = time.monotonic()
            connection.request("GET", parts.path)
            connection.getresponse().read()
            self._found.append((begun, time.monotonic() - begun))
        connection.close()

    def mean(self, seconds: float) -> float:
        """Return the mean seconds of the answers in so many seconds before now."""
        since = time.monotonic() - seconds
        return statistics.fmean(taken for begun, taken in self._found if begun >= since)


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("SYNCD_")}


@contextmanager
def open_stage(folder: Path, size: Size, *, latency: float = 0.0, tree: Path = _ROOT) -> Iterator[Stage]:
    """Start a sandbox with a company of that size; stop it in the end, and remove the folder.

    ``latency``: seconds by which every answer of both sides is held back. ``tree``: the source that works on it.
    """
    folder.mkdir(parents=True)
    command = [
        sys.executable, "-m", "syncd.cli.main", "sandbox", "--users", str(size.users), "--groups", str(size.groups),
        "--memberships", str(size.memberships), "--big-groups", str(size.big_groups), "--portal-delay", "0",
        "--ledger", "counters", "--directory", str(folder), "--for", "4h", "--latency", str(latency * 1000),
    ]  # fmt: skip
    process = subprocess.Popen(command, cwd=_ROOT, env=_environment(), stdout=subprocess.PIPE)
    try:
        stage = Stage(folder, _await_ready(process), tree)
        if tree != _ROOT:  # a version from before the console knows no such section, which is the last
            known, _, _ = stage.config.read_text(encoding="utf-8").partition("\n[web]")
            stage.config.write_text(known, encoding="utf-8")
        yield stage
    finally:
        process.terminate()
        process.wait(30)
        if process.stdout is not None:
            process.stdout.close()
        shutil.rmtree(folder, ignore_errors=True)


def _await_ready(process: subprocess.Popen[bytes]) -> str:
    """Return the address of the control endpoint as soon as the sandbox says that it is ready."""
    assert process.stdout is not None
    said, deadline = b"", time.monotonic() + _START_SECONDS
    while b"\nReady." not in said:
        ready, _, _ = select.select([process.stdout], [], [], max(0.0, deadline - time.monotonic()))
        chunk = os.read(process.stdout.fileno(), 65536) if ready else b""
        if not chunk:
            raise SystemExit(f"the sandbox did not start:\n{said.decode()[-2000:]}")
        said += chunk
    return next(line.split()[1] for line in said.decode().splitlines() if line.split()[:1] == ["control"])
