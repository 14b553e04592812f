"""The real program as a process of its own, against a sandbox in the test's process."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import shutil
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

from syncd.sandbox.server import Sandbox, find_free_port
from tests.documents import check_document
from tests.e2e.preloaded import find_script
from tests.stores import template

ROOT = Path(__file__).parents[2]
SECONDS = 240.0
"""After so long a process that should have ended or spoken has failed its test."""
_COMMON = ("SYNCD_", "COLUMNS", "NO_COLOR")
"""How the variables begin that the program reads itself; others may be for its interpreter."""
_begun: set[str] = set()
"""Commands that this process has started as people do."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended."""

    code: int
    stdout: str
    stderr: str
    command: tuple[str, ...] = ()

    @property
    def document(self) -> Any:
        """Return stdout as the one JSON document that it is; it must be as it is declared."""
        found = json.loads(self.stdout)
        if self.command:
            check_document(self.command, found)
        return found


@dataclass(slots=True)
class Program:
    """Runs ``syncd`` in a directory with a configuration; ``environment`` is added to the machine's."""

    directory: Path
    environment: dict[str, str] = field(default_factory=dict)
    tree: Path = ROOT
    """The source that runs; another one than today's is never preloaded."""

    @classmethod
    def connected(cls, sandbox: Sandbox, directory: Path, *, fresh: bool = False) -> Self:
        """Return the program with a configuration for this sandbox, and a migrated store; none if it is ``fresh``."""
        text = sandbox.config_toml(
            store_url=f"sqlite:///{directory / 'store.db'}", health_listen=f"127.0.0.1:{find_free_port()}"
        )
        (directory / "syncd.toml").write_text(text, encoding="utf-8")
        if not fresh:
            shutil.copy(template(), directory / "store.db")
        return cls(directory)

    async def __call__(self, *arguments: str, **environment: str) -> Ended:
        """Run a command to its end: the first time in a session as people start it, then from `preloaded`."""
        async with asyncio.timeout(SECONDS):
            process = await self.start(
                *arguments, environment=environment, preloaded=self._is_common(arguments, environment)
            )
            try:
                stdout, stderr = await process.communicate()
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()
        return Ended(process.returncode or 0, stdout.decode(), stderr.decode(), command=arguments)

    async def unread(self, *arguments: str, **environment: str) -> int:
        """Run a command of which nobody reads stdout or stderr any more, and return its exit code."""
        reader, writer = os.pipe()
        os.close(reader)
        try:
            process = await self.start(*arguments, out=writer, environment=environment)
        finally:
            os.close(writer)
        async with asyncio.timeout(SECONDS):
            return await process.wait()

    async def on_terminal(self, *arguments: str, **environment: str) -> tuple[int, str]:
        """Run a command on a terminal; return its exit code and what was on the screen."""
        master, slave = pty.openpty()
        try:
            process = await self.start(*arguments, out=slave, environment=environment)
        finally:
            os.close(slave)
        try:
            async with asyncio.timeout(SECONDS):
                seen = await asyncio.to_thread(_read_terminal, master)
                return await process.wait(), seen
        finally:
            os.close(master)
            if process.returncode is None:
                process.kill()
                await process.wait()

    async def start(
        self,
        *arguments: str,
        out: int = asyncio.subprocess.PIPE,
        environment: Mapping[str, str] = MappingProxyType({}),
        preloaded: bool = False,
    ) -> asyncio.subprocess.Process:
        """Start a command; the caller waits for its end. ``out``: where stdout and stderr go.

        ``preloaded``: by a program that has imported everything. Signals would not reach the command.
        """
        begin = [str(find_script(ROOT))] if preloaded else [sys.executable, "-m", "syncd.cli.main"]
        return await asyncio.create_subprocess_exec(
            *begin,
            *arguments,
            cwd=self.directory,
            env=self._environ(environment),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=out,
            stderr=out,
        )

    def _is_common(self, arguments: Sequence[str], environment: Mapping[str, str]) -> bool:
        """Return whether this command has been started as a program before, under nothing that Python itself reads."""
        command = next((argument for argument in arguments if not argument.startswith("-")), "")
        known = command in _begun
        _begun.add(command)
        return (
            known and self.tree == ROOT and all(name.startswith(_COMMON) for name in (*self.environment, *environment))
        )

    def _environ(self, more: Mapping[str, str]) -> dict[str, str]:
        machine = {name: value for name, value in os.environ.items() if not name.startswith("SYNCD_")}
        return {**machine, "PYTHONPATH": str(self.tree), "COLUMNS": "160", **self.environment, **more}


def _read_terminal(master: int) -> str:
    parts: list[bytes] = []
    while True:
        try:
            part = os.read(master, 65_536)
        except OSError:  # Linux says EIO when the last process has closed the terminal
            part = b""
        if not part:
            return b"".join(parts).decode(errors="replace")
        parts.append(part)


async def read_until(process: asyncio.subprocess.Process, text: str) -> list[str]:
    """Return the lines of stderr up to the one that contains ``text``; fails when the process ends before."""
    if process.stderr is None:
        raise ValueError("the process was started without a pipe for stderr")
    lines: list[str] = []
    async with asyncio.timeout(SECONDS):
        while line := (await process.stderr.readline()).decode():
            lines.append(line)
            if text in line:
                return lines
    raise AssertionError(f"the process ended without {text!r}:\n" + "".join(lines))


async def finish(process: asyncio.subprocess.Process, *signals: signal.Signals) -> Ended:
    """Send signals, and wait for the end."""
    for number in signals:
        process.send_signal(number)
    try:
        async with asyncio.timeout(SECONDS):
            stdout, stderr = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return Ended(process.returncode or 0, stdout.decode(), stderr.decode())
