"""Conditions that once went wrong, against another commit's program and today's: ``python -m tests.conditions``.

Each is played in a sandbox of today, first with the program of ``--against COMMIT``, then with that of this tree, and a
line says what either did. Arguments choose conditions: a letter for all of its, or one number (``C14``). Exit code 1
when today's program is wrong, or the other one right, which would be a condition that shows nothing. By hand: all of
them take three quarters of an hour.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import tempfile
import time
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.conditions import access, imitation, network, rules, secrets
from tests.conditions.stage import Play, Seen, open_stage
from tests.e2e.program import ROOT

PLAYS: Mapping[str, Play] = {
    **access.PLAYS,
    **secrets.PLAYS,
    **network.PLAYS,
    **rules.PLAYS,
    **imitation.PLAYS,
}


def check_out(commit: str, folder: Path) -> Path:
    """Lay out the source of a commit."""
    folder.mkdir(parents=True)
    archive = subprocess.run(["git", "archive", commit], cwd=ROOT, capture_output=True, check=True).stdout
    subprocess.run(["tar", "-x"], cwd=folder, input=archive, check=True)
    return folder


async def play(name: str, tree: Path) -> Seen:
    """Play one condition; what breaks on the way is what was seen."""
    with tempfile.TemporaryDirectory(prefix="syncd-condition-") as folder:
        async with open_stage(Path(folder), tree) as stage:
            try:
                return await PLAYS[name](stage)
            except (AssertionError, KeyError, ValueError, LookupError, TypeError) as error:
                if os.environ.get("TRACE"):
                    traceback.print_exc()
                return Seen(False, f"broke off: {type(error).__name__}: {error}; " + " ".join(stage.said)[-300:])


def _choose(wanted: list[str]) -> Iterator[str]:
    """A letter alone chooses all of its letter, a letter with a number that one alone."""
    for name in PLAYS:
        number = name.split()[0]
        if not wanted or any(each in (number, number[0]) for each in wanted):
            yield name


def main() -> int:
    """Play what is chosen, and print two lines for each."""
    options = argparse.ArgumentParser(description="Plays conditions against programs of two commits.")
    options.add_argument("--against", metavar="COMMIT", default="", help="whose program is played first")
    options.add_argument("condition", nargs="*")
    given = options.parse_args()
    wrong = list[str]()
    with tempfile.TemporaryDirectory(prefix="syncd-then-") as folder:
        trees = {"now": ROOT}
        if given.against:
            trees = {given.against: check_out(given.against, Path(folder) / "tree"), **trees}
        for name in _choose(given.condition):
            print(name)
            for label, tree in trees.items():
                begun = time.monotonic()
                seen = asyncio.run(play(name, tree))
                words = " ".join(seen.words.split())
                print(
                    f"  {label:8} {'right' if seen.right else 'WRONG'}  {words}  ({time.monotonic() - begun:.0f} s)",
                    flush=True,
                )
                if seen.right is not (tree == ROOT):
                    wrong.append(f"{name}, {label}")
    print("\n".join(["Not as it should be:", *wrong]) if wrong else "Wrong then, right now: all of them.")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
