"""``make endurance ARGS='life|touches|kills …'``: what takes too long for every day.

The figures of the whole are in docs/development/endurance.md. Exit code 1 when something is wrong. Each work can be cut
short, and says so by its numbers.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import sys
import tempfile
from pathlib import Path

from tests.endurance import files, kills, life, touches


def main() -> int:
    """Do what the arguments say."""
    parser = argparse.ArgumentParser(prog="python -m tests.endurance", description=__doc__)
    works = parser.add_subparsers(dest="work", required=True)
    one = works.add_parser("life", help="days of virtual time with everything on")
    one.add_argument("--hours", type=float, default=life.HOURS)
    one.add_argument("--users", type=int, default=60)
    one.add_argument("--seed", default="1")
    two = works.add_parser("touches", help="the n-th touch of the outside fails, for every n")
    two.add_argument("--every", type=int, default=1, help="only every so many-th")
    two.add_argument("--begin", type=int, default=1, help="from this one on")
    two.add_argument("--act", choices=[act.name for act in touches.ACTS], action="append", help="only this work")
    two.add_argument("--way", choices=[" ".join(way) for way in touches.WAYS], action="append", help="only in this way")
    three = works.add_parser("kills", help="SIGKILL at random moments")
    three.add_argument("--kills", type=int, default=500)
    three.add_argument("--seed", default="1")
    given = parser.parse_args()
    wrong = {"life": _live, "touches": _touch, "kills": _kill}[given.work](given)
    for each in wrong:
        print(f"WRONG: {each}")
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime
    print(f"{len(wrong)} wrong; {seconds:,.0f} seconds of processor time")
    return 1 if wrong else 0


def _tell(line: str) -> None:
    print(line, flush=True)


def _live(given: argparse.Namespace) -> list[str]:
    with tempfile.TemporaryDirectory(prefix="syncd-life-") as folder:
        found = life.live_through(Path(folder), hours=given.hours, users=given.users, seed=given.seed, tell=_tell)
    print(f"{found.hours:.1f} hours with {found.people} people")
    for name in ("runs", "happened", "log"):
        for what, number in sorted(getattr(found, name).items()):
            print(f"  {name}: {what}: {number:,}")
    print(f"  {found.chained} runs are in the chain as they were when they ended")
    return found.wrong


def _touch(given: argparse.Namespace) -> list[str]:
    async def play() -> touches.Tally:
        acts = [act for act in touches.ACTS if given.act is None or act.name in given.act]
        async with touches.small_stage() as stage:
            ways = [way for way in touches.WAYS if given.way is None or " ".join(way) in given.way]
            return await touches.play_all(stage, every=given.every, begin=given.begin, acts=acts, ways=ways, tell=_tell)

    found = asyncio.run(play())
    print(f"{found.plays:,} touches failed")
    with tempfile.TemporaryDirectory(prefix="syncd-files-") as folder:
        number, wrong = files.fail_all(Path(folder))
    print(f"{number} touches of files failed")
    return found.wrong + wrong


def _kill(given: argparse.Namespace) -> list[str]:
    with tempfile.TemporaryDirectory(prefix="syncd-kills-") as folder:
        found = asyncio.run(kills.kill_all(Path(folder), kills=given.kills, seed=given.seed, tell=_tell))
    for act, number in sorted(found.killed.items()):
        print(f"  {act}: {number} killed, {found.open_then[act]} of them in the middle of a run")
    print(f"  {found.survived} commands had ended before their moment; {found.creations} records were made")
    return found.wrong


if __name__ == "__main__":
    sys.exit(main())
