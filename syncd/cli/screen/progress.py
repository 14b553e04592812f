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


class Aside:
    """Takes the display of progress off the screen while something is printed that shall stay there.

    A display erases its own lines when it ends or is drawn anew, and cannot know of others between them. So it ends
    before anything is printed, and a new one begins below.
    """

    def __init__(self) -> None:
        self._make: Callable[[], Progress] | None = None
        self.display: Progress | None = None

    @contextmanager
    def printing(self) -> Iterator[None]:
        """Print within the block; afterwards a display goes on below."""
        if self.display is None or self._make is None:
            yield
            return
        self.display.stop()
        try:
            yield
        finally:
            sys.stdout.flush()
            self.display = self._make()
            self.display.start()

    @contextmanager
    def beside(self, make: Callable[[], Progress]) -> Iterator[None]:
        """Show a display for the block, as ``make`` makes it."""
        self._make, self.display = make, make()
        self.display.start()
        try:
            yield
        finally:
            self.display.stop()
            self._make = self.display = None


@contextmanager
def showing_progress(aside: Aside) -> Iterator[Report]:
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

    def make() -> Progress:
        return Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            TextColumn("{task.fields[count]}"),
            Left(),
            console=Console(stderr=True),
            transient=True,
        )

    with aside.beside(make):
        yield _Display(aside).add


def _ignore(counter: str, number: int) -> None:
    del counter, number


class _Display:
    """One line per counter, in the order in which they begin to count."""

    def __init__(self, aside: Aside) -> None:
        self._aside = aside
        self._shown: Progress | None = None
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
        display = self._aside.display
        if display is None:
            return
        if display is not self._shown:
            self._shown, self._lines = display, {}
        if counter not in self._lines:
            self._lines[counter] = display.add_task(counter, total=total, count=text)
        display.update(self._lines[counter], completed=count, total=total, count=text)
