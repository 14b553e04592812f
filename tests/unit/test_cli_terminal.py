"""What a terminal shows in the end, looked at through an emulator: nothing that was printed is erased again."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pyte
import pytest
from rich.console import Console
from rich.progress import Progress

from syncd.cli.screen.output import print_line, print_table
from syncd.cli.screen.pager import paged
from syncd.cli.screen.progress import Aside
from syncd.cli.screen.runs import explain_result
from syncd.model.run import RunRecord


class Terminal:
    """A terminal of 100 by 60 and the emulator behind it, which reads at once what comes, as a real one does."""

    def __init__(self) -> None:
        self._master, slave = os.openpty()
        self.stream = os.fdopen(slave, "w", encoding="utf-8", buffering=1)
        self._parts: list[bytes] = []
        self._reader = threading.Thread(target=self._collect)
        self._reader.start()

    def _collect(self) -> None:
        with contextlib.suppress(OSError):  # Linux says EIO when the other end is closed
            while part := os.read(self._master, 65_536):
                self._parts.append(part)

    def take_over(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Be stdin, stdout and stderr."""
        for name in ("stdin", "stdout", "stderr"):
            monkeypatch.setattr(sys, name, self.stream)

    def close(self) -> list[str]:
        """Return the lines that the screen shows in the end."""
        if not self.stream.closed:
            self.stream.close()
            self._reader.join(10)
            os.close(self._master)
        screen = pyte.Screen(100, 60)
        pyte.ByteStream(screen).feed(b"".join(self._parts))
        return [line.rstrip() for line in screen.display if line.strip()]


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    """A terminal; `take_over` puts it in the place of the streams, which the runner changes once more before a test."""
    made = Terminal()
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("TERM", "xterm")
    yield made
    made.close()


def test_no_row_is_erased_by_the_display_of_progress(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows shown are rows counted, with a display of three lines before, between and after them."""
    terminal.take_over(monkeypatch)
    aside = Aside()

    def make() -> Progress:
        display = Progress(console=Console(file=sys.stderr, force_terminal=True, width=100), transient=True)
        for number in range(3):
            display.add_task(f"counter {number}", total=None)
        return display

    with aside.beside(make):
        with aside.printing():
            print_line("Changed by hand: 12")
            printed = print_table((("bps id", 1), ("why", 1)), ((f"person{n}@x.example", "by hand") for n in range(12)))
        if aside.display is not None:
            aside.display.refresh()
    shown = terminal.close()
    assert printed == 12
    rows = [line.split() for line in shown if "@x.example" in line]
    assert rows == [[f"person{n}@x.example", "by", "hand"] for n in range(12)]
    assert shown[0] == "Changed by hand: 12"
    assert not any("counter" in line for line in shown)


def test_without_a_display_nothing_is_put_aside(capsys: pytest.CaptureFixture[str]) -> None:
    """In a pipe there is none."""
    with Aside().printing():
        print_line("a")
    assert capsys.readouterr().out == "a\n"


def test_what_is_longer_than_the_screen_goes_through_the_pager(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Through PAGER, on a terminal alone; who ends it early ends nothing else."""
    terminal.take_over(monkeypatch)
    seen = tmp_path / "seen"
    monkeypatch.setenv("PAGER", f"sh -c 'head -n 2 > {seen}'")
    with paged():
        for number in range(20_000):
            print_line(f"row {number}")
    print_line("afterwards")
    assert seen.read_text() == "row 0\nrow 1\n"
    assert terminal.close() == ["afterwards"]


@pytest.mark.parametrize(("status", "held"), [("held", 3), ("partial", 3), ("partial", 0), ("succeeded", 0)])
def test_a_run_that_holds_something_says_how_to_approve_it(
    status: str, held: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also when some of its changes failed, so that it counts as done in part."""
    record = RunRecord(
        id=3,
        kind="delta",
        trigger="cli",
        status=status,  # type: ignore[arg-type]
        started_at=datetime.now(UTC),
        counts={"held": held},
    )
    explain_result(record)
    assert ("syncd approve 3" in capsys.readouterr().err) == bool(held)
