"""What the demo is played on: a screen for people, and processes that are started, watched and surely stopped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

WIDTH = 100
_RUN_SECONDS = 150.0
_STOP_SECONDS = 30.0


class NotSeenError(Exception):
    """Something that the demo promises did not happen."""


def expect(seen: object, sentence: str) -> None:
    """Go on only when ``seen`` is true."""
    if not seen:
        raise NotSeenError(sentence)


# ---- the screen ------------------------------------------------------------------------------------------------------


class Screen:
    """Paragraphs, commands and log lines, readable in 100 columns, on a terminal or in a file."""

    def __init__(self) -> None:
        width = min(WIDTH, Console().width) if sys.stdout.isatty() else WIDTH
        self.console = Console(width=width, highlight=False, markup=False, emoji=False)
        self.started = time.monotonic()

    def head(self, text: str) -> None:
        """Begin a chapter."""
        self.console.print()
        self.console.print(Text(f"── {text} {'─' * (self.console.width - len(text) - 4)}", style="bold"))

    def say(self, text: str) -> None:
        """Tell what happens, as a paragraph."""
        self.console.print(Text(" ".join(text.split())))

    def note(self, text: str, style: str = "dim") -> None:
        """Show one line of what a process says."""
        self._print_line(f"  {text}", style)

    def seen(self, text: str) -> None:
        """Say what was compared and found right."""
        self.console.print(Text(f"  ✓ {text}", style="green"))

    def command(self, arguments: Sequence[str], output: str, *, most: int) -> None:
        """Show a command and the beginning of what it printed."""
        shown = " ".join(f'"{word}"' if " " in word else word for word in arguments)
        self.console.print(Text(f"  $ syncd {shown}", style="bold cyan"))
        lines = [line.rstrip() for line in output.rstrip().splitlines()]
        for line in lines[:most]:
            self._print_line(f"  {line}", "")
        if len(lines) > most:
            self.console.print(Text(f"  … and {len(lines) - most:,} more lines", style="dim"))

    def _print_line(self, text: str, style: str) -> None:
        self.console.print(Text(text, style=style), no_wrap=True, overflow="ellipsis", crop=True)


# ---- the two processes -----------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Process:
    """One process that the demo started; its output goes to a file."""

    name: str
    popen: subprocess.Popen[bytes]
    log: Path
    read: int = 0

    def fresh_lines(self) -> Iterator[str]:
        """Yield the complete lines that were written since the last call."""
        with self.log.open("rb") as file:
            file.seek(self.read)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                self.read += len(line)
                yield line.decode("utf-8", "replace").rstrip()

    def check(self) -> None:
        """Fail when it has ended by itself."""
        code = self.popen.poll()
        expect(code is None, f"{self.name} ended by itself with exit code {code}")

    def stop(self) -> int:
        """Ask it to end, and see to it that it does; return its exit code."""
        if self.popen.poll() is None:
            self.popen.terminate()
        try:
            return self.popen.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            return self.popen.wait()


@dataclass(slots=True)
class Stage:
    """The folder of the demo, its processes, and how to run the program in it."""

    directory: Path
    screen: Screen
    processes: list[Process] = field(default_factory=list)
    shown: set[str] = field(default_factory=set)
    """The commands that were shown."""

    @property
    def environment(self) -> dict[str, str]:
        """Return the machine's environment without settings of some other syncd, and with those of the demo."""
        machine = {name: value for name, value in os.environ.items() if not name.startswith("SYNCD_")}
        return {
            **machine,
            "SYNCD_CONFIG": str(self.directory / "sandbox" / "syncd.toml"),
            "SYNCD_SCHEDULE__DELTA": "6h",  # here a run starts when the demo says so
            "SYNCD_SCHEDULE__ON_START": "full",
            "COLUMNS": str(WIDTH - 2),
            "NO_COLOR": "1",
        }

    def start(self, name: str, *arguments: str) -> Process:
        """Start a process of the program in the background."""
        log = self.directory / f"{name}.log"
        with log.open("wb") as file:
            popen = subprocess.Popen(
                program(*arguments),
                cwd=self.directory,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        process = Process(name, popen, log)
        self.processes.append(process)
        return process

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            program(*arguments),
            cwd=self.directory,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_RUN_SECONDS,
            check=False,
        )

    def show(self, *arguments: str, most: int = 40, code: int = 0) -> str:
        """Run a command, show it with its output, and return that."""
        done = self.run(*arguments)
        self.shown.add(arguments[0])
        self.screen.command(arguments, done.stdout + done.stderr, most=most)
        expect(done.returncode == code, f"'syncd {' '.join(arguments)}' ended with {done.returncode}, not {code}")
        return done.stdout

    def ask(self, *arguments: str) -> Any:
        """Run a command with --json, and return its document."""
        done = self.run(*arguments, "--json")
        expect(done.returncode == 0, f"'syncd {' '.join(arguments)} --json' failed: {done.stderr}")
        return json.loads(done.stdout)

    def stop(self) -> None:
        """Stop what was started, the youngest first; nothing hinders that any more."""
        signal.alarm(0)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        while self.processes:
            self.processes.pop().stop()


def program(*arguments: str) -> list[str]:
    """Return the command line of the installed program: the one of the Python that runs this script."""
    return [sys.executable, "-m", "syncd.cli.main", *arguments]
