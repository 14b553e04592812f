"""What the daemon's memory and log come to under each hostile answer: ``python -m tests.bench.hostile [PART OF NAME]``.

The real ``syncd run`` in a process of its own, before the sandbox in this one. For each case a full run meets the
answer until it ends, or for two minutes; then everything is right again, and a run has to succeed. Prints the highest
resident memory over that of the idle daemon before, and the log lines. Exit code 1 when a case is beyond
`MOST_MEGABYTES` or `MOST_LINES`, or when no good run follows. By hand: a quarter of an hour.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from syncd.sandbox.server import Sandbox, SandboxOptions
from syncd.sandbox.wire.faults import Fault
from tests.e2e.program import Program

MOST_MEGABYTES = 150.0
MOST_LINES = 100
_SECONDS = 120.0
_PATIENCE = 900.0
"""Seconds for a good run, which takes one or two on a machine that does nothing else."""
_MILLION = 1_000_000
_SETTINGS = {"SYNCD_SCHEDULE__DELTA": "1h", "SYNCD_LOG__FORMAT": "json", "SYNCD_GUARD__MAX_ADOPTIONS": "false"}

Hostile = Callable[[Sandbox, Path], None]


def _fault(kind: str, side: str, **more: object) -> Hostile:
    return lambda sandbox, _: _plan(sandbox, kind, side, **more)


def _plan(sandbox: Sandbox, kind: str, side: str, **more: object) -> None:
    if side in ("login", "portal"):
        sandbox.book.revoke_all()
    sandbox.faults.add(Fault(kind, side=side, count=-1, **more))  # type: ignore[arg-type]  # one of its kinds


def _page(entry: bytes, *, number: int = _MILLION, name: bytes = b"value") -> bytes:
    return b'{"' + name + b'":[' + b",".join([entry] * number) + b"]}"


def _answer(side: str, path: str, make: Callable[[], bytes]) -> Hostile:
    return lambda sandbox, _: _plan(sandbox, "status", side, path=path, status=200, body=make())


def _empty_pages(sandbox: Sandbox, _folder: Path) -> None:
    sandbox.tenant_knobs.empty_page_every = 1
    sandbox.tenant_knobs.endless_rounds = True
    sandbox.graph.engine.expire_checkpoints()


def _swell_settings(_sandbox: Sandbox, folder: Path) -> None:
    with (folder / "syncd.toml").open("r+b") as file:
        file.truncate(300 << 20)


_UNREADABLE, _BAD_VALUE = b'{"id":5,"displayName":"x"}', b'{"id":"%036d","displayName":5}' % 7
_GOOD = b'{"id":"%036d","displayName":"x","userPrincipalName":"x@x.com"}' % 7
_LINK = b'{"@odata.type":"#microsoft.graph.user","id":"%036d"}' % 7
_LINKS = b'{"id":"%036d","members@delta":[%s]}' % (7, b",".join([b'{"id":"%036d"}' % 7] * _MILLION))
_RECORD = b'{"bpsId":5,"name":"x","email":"y"}'
CASES: Mapping[str, Hostile] = {
    "token: a gzip that becomes 600 MB": _fault("bomb", "login", size=600 << 20),
    "token: a body without an end": _fault("endless", "login", status=200, size=1 << 16),
    "token: a byte every 8 seconds": _fault("endless", "login", status=200, size=1, seconds=8.0),
    "portal's token: a gzip of 600 MB": _fault("bomb", "portal", path="token", size=600 << 20),
    "graph: a body without an end": _fault("endless", "graph", status=200, size=1 << 16),
    "graph: an error page without an end": _fault("endless", "graph", status=500, size=1 << 16),
    "portal: a body without an end": _fault("endless", "portal", status=200, size=1 << 16, path="admin"),
    "graph: a gzip of 600 MB": _fault("bomb", "graph", size=600 << 20),
    "graph: a million entries without an id": _answer("graph", "users", lambda: _page(_UNREADABLE)),
    "graph: a million entries with bad values": _answer("graph", "users", lambda: _page(_BAD_VALUE)),
    "graph: the same person 800,000 times": _answer("graph", "users", lambda: _page(_GOOD, number=600_000)),
    "graph: a batch of a million members": _answer("batch", "members", lambda: _page(_UNREADABLE, number=50_000)),
    "graph: a million good links": _answer("batch", "members", lambda: _page(_LINK, number=50_000)),
    "graph: a group of a million links": _answer("graph", "groups", lambda: _page(_LINKS, number=1)),
    "portal: a million bad records": _answer("portal", "users", lambda: _page(_RECORD, name=b"users")),
    "graph: JSON 200,000 deep": _answer("graph", "users", lambda: b'{"value":' + b"[" * 200_000),
    "portal: JSON of 60 MB, nested": _answer("portal", "admin", lambda: b"[" * (30 << 20) + b"]" * (30 << 20)),
    "graph: 60 MB of empty lists": _answer("graph", "users", lambda: _page(b"[]", number=20 << 20)),
    "graph: a header line of 100 MB": _fault("header", "graph", size=100 << 20),
    "graph: empty pages for ever": _empty_pages,
    "settings of 300 MB at SIGHUP": _swell_settings,
}


@dataclass(frozen=True, slots=True)
class Found:
    """What a case came to."""

    name: str
    megabytes: float
    lines: int
    status: str
    healed: bool

    @property
    def good(self) -> bool:
        """Return whether it is within the limits."""
        return self.megabytes <= MOST_MEGABYTES and self.lines <= MOST_LINES and self.healed


class _Watched:
    """A daemon whose log is read as it comes."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self.process, self._log, self._seen = process, log, 0

    def read_new(self) -> list[dict[str, Any]]:
        """Return the lines since the last look."""
        text = self._log.read_text(encoding="utf-8")
        whole = text[self._seen : text.rfind("\n") + 1]
        self._seen += len(whole)
        return [json.loads(line) for line in whole.splitlines()]

    async def run(self, seconds: float) -> tuple[list[dict[str, Any]], str]:
        """Ask for a full run and follow it; return its lines and how it ended, "" when it had not."""
        self.process.send_signal(signal.SIGUSR1)
        return await self.follow(seconds)

    async def follow(self, seconds: float) -> tuple[list[dict[str, Any]], str]:
        """Follow a full run that comes."""
        lines: list[dict[str, Any]] = []
        for _ in range(int(seconds * 4)):
            await asyncio.sleep(0.25)
            lines += self.read_new()
            ended = [line for line in lines if line["event"] == "run.finished" and line["kind"] == "full"]
            if ended:
                return lines, str(ended[-1]["status"])
            if self.process.returncode is not None:
                return lines, f"the daemon ended with {self.process.returncode}"
        return lines, ""

    def measure(self, name: str) -> float:
        """Return a figure of the process's memory in megabytes."""
        text = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        return int(next(line for line in text.splitlines() if line.startswith(name)).split()[1]) / 1024

    def forget_peak(self) -> None:
        """Let the peak begin anew from what is used now."""
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5", encoding="ascii")


async def measure(name: str, case: Hostile) -> Found:
    """Let one daemon meet one case."""
    with tempfile.TemporaryDirectory() as folder_name:
        folder = Path(folder_name)
        async with Sandbox(SandboxOptions(users=60, groups=10, memberships=150), folder / "sandbox") as sandbox:
            program = Program.connected(sandbox, folder)
            program.environment.update(_SETTINGS)
            with (folder / "log").open("wb") as log:
                watched = _Watched(await program.start("run", out=log.fileno()), folder / "log")
            try:
                if (await watched.follow(_PATIENCE))[1] != "succeeded":
                    raise SystemExit(f"the run before {name} did not succeed")
                await asyncio.sleep(1)
                idle = watched.measure("VmRSS")
                watched.forget_peak()
                settings = (folder / "syncd.toml").read_bytes()
                case(sandbox, folder)
                watched.process.send_signal(signal.SIGHUP)
                lines, status = await watched.run(_SECONDS)
                peak = watched.measure("VmHWM") - idle
                sandbox.faults.clear()
                sandbox.tenant_knobs.empty_page_every, sandbox.tenant_knobs.endless_rounds = 0, False
                (folder / "syncd.toml").write_bytes(settings)
                healed = any([(await watched.run(_PATIENCE))[1] == "succeeded" for _ in range(2)])
            finally:
                if watched.process.returncode is None:
                    watched.process.kill()
                    await watched.process.wait()
    most = max(Counter(line["event"] for line in lines).values(), default=0)
    return Found(name, peak, most, status or "still working", healed)


def _choose(parts: list[str]) -> Iterator[tuple[str, Hostile]]:
    return ((name, case) for name, case in CASES.items() if not parts or any(part in name for part in parts))


def main() -> int:
    """Measure each case, and print a line for it."""
    os.environ.pop("SYNCD_CONFIG", None)
    good = True
    print(f"{'case':44}{'MB over idle':>14}{'log lines':>11}  run")
    for name, case in _choose(sys.argv[1:]):
        found = asyncio.run(measure(name, case))
        good = good and found.good
        healed = "" if found.healed else ", and no good run followed"
        print(f"{found.name:44}{found.megabytes:14.0f}{found.lines:11}  {found.status}{healed}", flush=True)
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
