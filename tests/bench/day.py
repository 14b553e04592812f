"""A day of ``syncd run`` behind a gateway that does something else every minute: ``python -m tests.bench.day``.

The real program, and the sandbox, in processes for which time passes ``--speed`` times as fast (``fast_time.c``, made
by ``cc`` and loaded into them). Every minute `tests.bench.weather` chooses what happens to requests, and now and then
the company changes. Once it is over, a delta and a full run follow with nothing in between. Then the portal must be as
the tenant says, no cause may have more than `MOST_LINES` log lines in a run, and ``syncd status`` must have said, each
time that it was asked, why the last run did not succeed. Exit code 1 otherwise. By hand: it takes 24 hours / speed.
``SYNCD_DAY_LOG`` names a file for the log.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from syncd.sandbox.server import Sandbox, SandboxOptions
from syncd.sandbox.tenant.events import happen
from tests.bench.weather import change_weather, clear
from tests.e2e.program import Program
from tests.e2e.truth import Truth

MOST_LINES = 100
"""Log lines of one cause in one run."""
MOST_OF_A_DAY = 999
"""Log lines: with a delta run every five minutes two of them for each of 288 runs."""
_ROOT = Path(__file__).parents[2]
_CHANGES = ("hire", "retitle", "regroup", "move", "rename", "disable")
_CHANGE = 0.1
"""How often the company changes, of minutes."""
_ASKED_EVERY = 90
"""Minutes between two looks at ``syncd status``."""
_HOURS = 14
"""After so long what failed has been tried again: it waits for up to twelve hours."""
_SPELLED = re.compile(r" has \w+ '(.*)', not '(.*)'$")
_SETTINGS = {
    "SYNCD_SCHEDULE__DELTA": "5m",
    "SYNCD_SCHEDULE__FULL": "6h",
    "SYNCD_GUARD__MAX_REMOVAL_PERCENT": "false",
    "SYNCD_GUARD__MAX_DAILY_REMOVAL_PERCENT": "false",
    "SYNCD_LOG__FORMAT": "json",
}


@dataclass
class Day:
    """What was seen."""

    log: Path
    asked: list[list[str]] = field(default_factory=list)
    unnamed: list[Any] = field(default_factory=list)
    weather: Counter[str] = field(default_factory=Counter)

    def read(self) -> Iterator[dict[str, Any]]:
        """Yield the log so far."""
        for line in self.log.read_text(encoding="utf-8").splitlines(keepends=True):
            if line.endswith("\n"):
                yield json.loads(line)

    def find_last(self, event: str = "run.finished") -> dict[str, Any]:
        """Return the last line of an event, nothing before the first one."""
        return next((line for line in reversed(list(self.read())) if line["event"] == event), {})


def main() -> None:
    """Make the library, and go on in a process that has loaded it."""
    options = argparse.ArgumentParser()
    options.add_argument("--minutes", type=int, default=1440)
    options.add_argument("--speed", type=float, default=30.0)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--users", type=int, default=60)
    given = options.parse_args()
    if "FAST_TIME" in os.environ:
        raise SystemExit(asyncio.run(_live_through(given)))
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "fast_time.so"
        source = str(Path(__file__).with_name("fast_time.c"))
        subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", str(library), source, "-ldl"], check=True)
        start = f"{given.speed} {time.time()} {time.clock_gettime(time.CLOCK_MONOTONIC)}"
        environment = {**os.environ, "LD_PRELOAD": str(library), "FAST_TIME": start}
        command = [sys.executable, "-m", "tests.bench.day", *sys.argv[1:]]
        raise SystemExit(subprocess.run(command, env=environment, cwd=_ROOT, check=False).returncode)


async def _live_through(given: argparse.Namespace) -> int:
    chance = random.Random(given.seed)
    with tempfile.TemporaryDirectory() as folder:
        options = SandboxOptions(users=given.users, groups=given.users // 5, memberships=given.users * 3)
        async with Sandbox(options, Path(folder) / "sandbox") as sandbox:
            day = Day(Path(folder) / "log")
            program = Program.connected(sandbox, Path(folder))
            program.environment.update(_SETTINGS)
            truth = Truth(sandbox.directory, sandbox.portal)
            with day.log.open("wb") as log:
                daemon = await program.start("run", out=log.fileno())
            try:
                for minute in range(given.minutes):
                    await _pass_minute(minute, day, sandbox, chance, program)
                    truth.look()
                    if daemon.returncode is not None:
                        print(f"the daemon ended with {daemon.returncode} in minute {minute}")
                        return 1
                clear(sandbox)
                wrong = await _settle(day, sandbox, truth, daemon)
                daemon.send_signal(signal.SIGTERM)
                async with asyncio.timeout(600):
                    code = await daemon.wait()
            finally:
                if daemon.returncode is None:
                    daemon.kill()
                    await daemon.wait()
            return _tell(day, wrong, code)


async def _pass_minute(minute: int, day: Day, sandbox: Sandbox, chance: random.Random, program: Program) -> None:
    day.weather[change_weather(sandbox, chance)] += 1
    if chance.random() < _CHANGE:
        happen(sandbox.directory, chance, chance.choice(_CHANGES))
    if minute % _ASKED_EVERY == _ASKED_EVERY - 1:
        before = day.find_last()
        process = await program.start("status", "--json")
        said, _ = await process.communicate()
        document, last = json.loads(said), day.find_last()
        day.asked.append(
            [*document["troubles"], *filter(None, (side["reason"] for side in document["sides"].values()))]
        )
        if not any(_is_named(run, document) for run in (before, last)):
            day.unnamed.append([last, document])
    await asyncio.sleep(60)


def _is_named(run: dict[str, Any], document: dict[str, Any]) -> bool:
    """Tell whether ``status`` says why a run did not succeed; of words that the log hides, what stands before them."""
    if run.get("status", "succeeded") in ("succeeded", "interrupted"):
        return True
    said = [last["error"] or "" for last in document["last_runs"].values() if last is not None]
    reason = (run["error"] or "").partition("“")[0]  # none where single changes failed
    return bool(document["troubles"]) and any(reason in error for error in said)


async def _settle(day: Day, sandbox: Sandbox, truth: Truth, daemon: asyncio.subprocess.Process) -> list[str]:
    """Let what failed be tried again, and a full run follow; return what is wrong after all."""
    wrong = ["there was no full run"]
    last: dict[str, Any] = {}
    for _ in range(_HOURS):
        before = sum(1 for _ in day.read())
        daemon.send_signal(signal.SIGUSR1)
        await asyncio.sleep(3600)
        sandbox.portal.settle()
        wrong = [line for line in truth.find_differences() if not _is_spelling(line)]
        new = list(day.read())[before:]
        last = next((line for line in new if line["event"] == "run.finished" and line["kind"] == "full"), last)
        if last.get("status") == "succeeded" and not wrong:
            return []
    return [*wrong, f"the last full run: {last}"]


def _is_spelling(line: str) -> bool:
    """Tell whether a value differs as the portal spelled it: that counts as what was written."""
    found = _SPELLED.search(line)
    return found is not None and found[1].casefold().strip() == found[2].casefold().strip()


def _tell(day: Day, wrong: list[str], code: int) -> int:
    lines = list(day.read())
    runs = Counter((line["kind"], line["status"]) for line in lines if line["event"] == "run.finished")
    events = Counter(line["event"] for line in lines)
    causes = Counter((line.get("run"), line["event"]) for line in lines)
    (run, event), most = causes.most_common(1)[0]
    print(f"runs: {', '.join(f'{kind} {status} {number}' for (kind, status), number in sorted(runs.items()))}")
    print(f"log lines: {len(lines)}; {', '.join(f'{name} {number}' for name, number in events.most_common(25))}")
    print(f"most lines of one event in one run: {most} ({event}, run {run})")
    print(f"weather: {', '.join(f'{name} {number}' for name, number in sorted(day.weather.items()))}")
    for number, troubles in enumerate(day.asked, 1):
        print(f"status {number}: {' | '.join(troubles)[:300]}")
    said = [line["error"] for line in lines if line["event"] == "run.finished" and line.get("error")]
    for error, number in Counter(re.sub(r"\d+", "N", each)[:160] for each in said).most_common(30):
        print(f"{number:4} x {error}")
    problems = list(wrong[:20])
    problems += [
        f"run {each} has {number} lines of {name}"
        for (each, name), number in causes.items()
        if each and number > MOST_LINES
    ]
    problems += [f"the log has {len(lines)} lines"] if len(lines) > MOST_OF_A_DAY else []
    problems += [f"status did not name what is in the way: {each}" for each in day.unnamed]
    problems += [f"the daemon ended with {code}"] if code else []
    if kept := os.environ.get("SYNCD_DAY_LOG"):
        Path(kept).write_text(day.log.read_text(encoding="utf-8"), encoding="utf-8")
    print("\n".join(problems) or "The portal is as the tenant says, and every limit holds.")
    return 1 if problems else 0


if __name__ == "__main__":
    main()
