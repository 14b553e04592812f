"""Today's build beside another commit's, in turn on one machine: ``make bench ARGS='--against COMMIT'``.

Both work on sandboxes of today, in turn. Processor time is compared, since others may work on the machine meanwhile; of
a far tenant the seconds count, which are mostly waited. ``--quick`` takes a small company and each thing once,
``--only`` (latency, plan, full, page) a part. A command prints a page today; that commit's prints everything that fits.
"""

from __future__ import annotations

import statistics
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from tests.bench.stage import Size, Stage, open_stage

_ROOT = Path(__file__).resolve().parents[2]
_PLAN_RATIO, _FULL_RATIO = 0.3, 0.4
_FAR = {0.0: None, 0.020: 0.8, 0.100: 0.6}
"""How much of that commit's time a full pull may take, by the seconds by which every answer is held back."""
_PAGES = {
    "runs": "runs",
    "held": "held",
    "users u --limit 50": "users u",
    "groups u --limit 50": "groups u",
    "explain nobody": "explain nobody",
}
"""What is asked today, and what that commit is asked, which has fewer options. That nobody is found is a page, too."""
_PAGE_SECONDS = 0.4
WORKS = ("latency", "plan", "full", "page")
Row = tuple[str, str, float, float | None]


@contextmanager
def _check_out(commit: str, folder: Path) -> Iterator[Path]:
    """Lay out the source of a commit."""
    folder.mkdir(parents=True)
    archive = subprocess.run(["git", "archive", commit], cwd=_ROOT, capture_output=True, check=True).stdout
    subprocess.run(["tar", "-x"], cwd=folder, input=archive, check=True)
    yield folder


def compare(commit: str, folder: Path, size: Size, repeat: int, *, only: frozenset[str]) -> Iterator[Row]:
    """Yield work, what was measured, its value and its limit, as soon as it is known. ``only`` empty: all."""
    wanted = only or frozenset(WORKS)
    with (
        _check_out(commit, folder / "tree") as tree,
        open_stage(folder / "then", size, tree=tree) as then,
        open_stage(folder / "now", size) as now,
    ):
        if "latency" in wanted:
            yield from _compare_far(then, now, repeat)
        if not wanted - {"latency"}:
            return
        for stage in (then, now):
            stage.empty_store()
            stage.work("measured", "pull")
        pulled = {stage.folder: stage.keep_store() for stage in (then, now)}

        def plan_first(stage: Stage) -> float:
            stage.restore(pulled[stage.folder])
            return stage.plan("plan")

        if "plan" in wanted:
            yield from _tell("plan", "a first plan", then, now, plan_first, repeat, _PLAN_RATIO)
        if not wanted - {"latency", "plan"}:
            return
        for stage in (then, now):
            stage.restore(pulled[stage.folder])
            stage.work("measured", "push")
            stage.work("measured", "full")
        if "full" in wanted:
            yield from _tell("full", "planning without news", then, now, _plan_again, repeat, _FULL_RATIO)
        for page in _PAGES if "page" in wanted else ():
            yield from _tell("page", page, then, now, partial(_ask, page, now), repeat, None, most=_PAGE_SECONDS)


def _compare_far(then: Stage, now: Stage, repeat: int) -> Iterator[Row]:
    """A full pull into an empty store, every answer held back."""
    for latency, limit in _FAR.items():

        def pull(stage: Stage, latency: float = latency) -> float:
            stage.turn(latency=0.0)
            stage.empty_store()
            stage.turn(latency=latency)
            return float(stage.work("measured", "pull")["seconds"])

        what = f"a full pull, {latency * 1000:.0f} ms"
        yield from _tell("latency", what, then, now, pull, repeat, limit, unit="seconds")


def _plan_again(stage: Stage) -> float:
    return stage.plan("full")


def _ask(page: str, now: Stage, stage: Stage) -> float:
    return stage.ask(*(page if stage is now else _PAGES[page]).split())


def _tell(
    work: str,
    what: str,
    then: Stage,
    now: Stage,
    measure: Callable[[Stage], float],
    repeat: int,
    limit: float | None,
    *,
    unit: str = "processor seconds",
    most: float | None = None,
) -> Iterator[Row]:
    """``limit`` of the ratio, ``most`` of today's value."""
    pairs = [(measure(then), measure(now)) for _ in range(repeat)]
    before, after = (statistics.median(values) for values in zip(*pairs, strict=True))
    yield work, f"{what}: {unit} / then", after / before, limit
    yield work, f"{what}: {unit} then", before, None
    yield work, f"{what}: {unit}", after, most
