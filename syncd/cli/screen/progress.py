"""How far long work has got, on a terminal; nothing at all anywhere else."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress, Task, TaskID

Report = Callable[[str, int], None]
"""Called with the name of a counter and how much was added."""

_TOTAL = "changes planned"
_DONE = "changes applied"


@contextmanager
def showing_progress() -> Iterator[Report]:
    """Yield what is told of progress: a display on stderr when that is a terminal, otherwise silence."""
    if not sys.stderr.isatty():
        yield _ignore
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    class Left(TimeRemainingColumn):
        """The time left where an end is known, the time passed where it is not."""

        def render(self, task: Task) -> object:  # type: ignore[override]  # both columns render text
            return super().render(task) if task.total else TimeElapsedColumn().render(task)

    display = Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        TextColumn("{task.fields[count]}"),
        Left(),
        console=Console(stderr=True),
        transient=True,
    )
    with display:
        yield _Display(display).add


def _ignore(counter: str, number: int) -> None:
    del counter, number


class _Display:
    """One line per counter, in the order in which they begin to count."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._lines: dict[str, TaskID] = {}
        self._counts: dict[str, int] = {}
        self._total = 0

    def add(self, counter: str, number: int) -> None:
        if counter == _TOTAL:
            self._total += number
            counter, number = _DONE, 0
        count = self._counts[counter] = self._counts.get(counter, 0) + number
        total = self._total if counter == _DONE and self._total else None
        text = f"{count:,}" if total is None else f"{count:,} of {total:,}"
        if counter not in self._lines:
            self._lines[counter] = self._progress.add_task(counter, total=total, count=text)
        self._progress.update(self._lines[counter], completed=count, total=total, count=text)
