"""Today's build beside another commit's, in turn on one machine: ``make bench ARGS='--against COMMIT'``.

Both work on sandboxes of today. Processor time is compared, since others may work on the machine meanwhile.
"""

from __future__ import annotations

import statistics
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.bench.stage import Size, Stage, open_stage

_ROOT = Path(__file__).resolve().parents[2]
_PLAN_RATIO, _FULL_RATIO = 0.3, 0.4
_PAGES = ("runs", "held", "users --limit 50", "groups --limit 50")
Row = tuple[str, str, float, float | None]


@contextmanager
def _check_out(commit: str, folder: Path) -> Iterator[Path]:
    """Lay out the source of a commit."""
    folder.mkdir(parents=True)
    archive = subprocess.run(["git", "archive", commit], cwd=_ROOT, capture_output=True, check=True).stdout
    subprocess.run(["tar", "-x"], cwd=folder, input=archive, check=True)
    yield folder


def compare(commit: str, folder: Path, size: Size, repeat: int) -> Iterator[Row]:
    """Yield work, what was measured, its value and its limit."""
    with (
        _check_out(commit, folder / "tree") as tree,
        open_stage(folder / "then", size, tree=tree) as then,
        open_stage(folder / "now", size) as now,
    ):
        for stage in (then, now):
            stage.empty_store()
            stage.work("measured", "pull")
        pulled = {stage.folder: stage.keep_store() for stage in (then, now)}

        def plan_first(stage: Stage) -> float:
            stage.restore(pulled[stage.folder])
            return stage.plan("plan")

        yield from _tell("plan", "a first plan", then, now, plan_first, repeat, _PLAN_RATIO)
        for stage in (then, now):
            stage.restore(pulled[stage.folder])
            stage.work("measured", "push")
            stage.work("measured", "full")
        yield from _tell(
            "full", "planning without news", then, now, lambda stage: stage.plan("full"), repeat, _FULL_RATIO
        )
        for page in _PAGES:
            words = page.split()
            yield from _tell("page", page, then, now, lambda stage, words=words: stage.ask(*words), repeat, None)  # type: ignore[misc]  # bound as it is now


def _tell(
    work: str, what: str, then: Stage, now: Stage, measure: Callable[[Stage], float], repeat: int, limit: float | None
) -> Iterator[Row]:
    pairs = [(measure(then), measure(now)) for _ in range(repeat)]
    before, after = (statistics.median(values) for values in zip(*pairs, strict=True))
    yield work, f"{what}: processor seconds / then", after / before, limit
    yield work, f"{what}: processor seconds then", before, None
    yield work, f"{what}: processor seconds", after, None
