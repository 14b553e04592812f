"""``syncd run`` as a process of its own, whose log lines a test can wait for."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from signal import Signals
from typing import Any

from tests.e2e.program import SECONDS, Program

PROMPTLY = 20.0
"""Seconds within which an idle daemon is gone: it takes a fraction of one, on a machine that has nothing else to do."""


class Daemon:
    """A running daemon; ``lines`` are its log so far."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[dict[str, Any]] = []

    async def wait(self, event: str, **fields: object) -> dict[str, Any]:
        """Return the next log line (after those read so far) of an event with these fields."""
        if self.process.stdout is None:
            raise ValueError("the daemon was started without a pipe for stdout")
        async with asyncio.timeout(SECONDS):
            while text := (await self.process.stdout.readline()).decode():
                line = json.loads(text)
                self.lines.append(line)
                if line["event"] == event and fields.items() <= line.items():
                    return dict(line)
        said = b"" if self.process.stderr is None else await self.process.stderr.read()
        raise AssertionError(f"the daemon ended without {event} {fields}: {self.names()} {said.decode()}")

    def names(self) -> list[str]:
        """Return the events read so far."""
        return [line["event"] for line in self.lines]

    def signal(self, number: Signals) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    async def end(self, number: Signals, *, within: float = SECONDS) -> int:
        """Send a signal and return the exit code; what was still in the log is read into ``lines``."""
        self.signal(number)
        async with asyncio.timeout(within):
            stdout, _ = await self.process.communicate()
        self.lines += [json.loads(text) for text in stdout.splitlines()]
        return self.process.returncode or 0


@asynccontextmanager
async def running(program: Program, *arguments: str, **environment: str) -> AsyncIterator[Daemon]:
    """Run a daemon for a block; it is killed at the end if it still lives."""
    daemon = Daemon(await program.start("run", *arguments, environment=environment))
    try:
        yield daemon
    finally:
        if daemon.process.returncode is None:
            daemon.process.kill()
            await daemon.process.communicate()
