"""Plays the blocks of a page in a shell, as a reader would type them, and compares what is printed with what is shown.

``…`` on a page stands for anything: alone on a line for any lines, within a line for any text. Times, durations, the
width of columns and the ports of the sandbox differ from run to run, and are not compared.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import socket
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

ROOT = Path(__file__).parents[2]
SECONDS = 90.0
"""After so long a command that should have ended, or printed what the page shows, has failed."""

_BLOCK = re.compile(
    r"(?P<before>(?:^<!-- (?:before|setup|with): [^\n]+ -->\n)*)(?:^<!-- play: (?P<mark>[^>]+) -->\n)?"
    r"^```(?P<language>\w+)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_BEFORE = re.compile(r"<!-- (before|setup|with): (.+) -->")
_CODE = re.compile(r"#.*\bexit code (\d+)")
_CHOICE = re.compile(r"#  ?or\b|# or:")
_TIME = re.compile(r"\d{4}-\d\d-\d\d([ T]\d\d:\d\d(:\d\d(\.\d+)?)?Z?)?")
_DURATION = re.compile(r"\b\d+(\.\d+)? (s|m|h)\b")
_LOOKS = re.compile(r"syncd (runs|users|groups|held)\b")
"""Commands that a reader repeats until they show what the page shows: the daemon works meanwhile."""


@dataclass(frozen=True, slots=True)
class Typed:
    """A command with the lines that the page shows below it."""

    command: str
    shown: tuple[str, ...]

    @property
    def codes(self) -> range:
        """Return how the command may end: as its comment says, or well; one of two ways may find nothing to do."""
        if _CHOICE.search(self.command):
            return range(3)
        code = int(said[1]) if (said := _CODE.search(self.command)) else 0
        return range(code, code + 1)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block of a page.

    ``mark``: how it is played, "" in the usual way. ``before``: what the page does not show and happens first, each
    with what it is: ``before``, an operation of the sandbox, or ``setup``, a command of which nothing is expected;
    ``with`` says what is typed in place of words of the page.
    """

    mark: str
    language: str
    text: str
    before: tuple[tuple[str, str], ...] = ()

    @property
    def typed(self) -> tuple[Typed, ...]:
        """Return the commands of a console block; one that goes on in the next line is joined."""
        parts = re.split(r"^\$ ", self.text.replace("\\\n", ""), flags=re.MULTILINE)[1:]
        return tuple(Typed(lines[0], tuple(lines[1:])) for part in parts if (lines := part.splitlines()))

    @property
    def meant(self) -> tuple[Typed, ...]:
        """Return the commands as they are typed here; what another company showed is not expected of them."""
        said = [pair.partition("=") for kind, text in self.before if kind == "with" for pair in text.split("; ")]
        found = []
        for typed in self.typed:
            command = typed.command
            for word, _, real in said:
                command = command.replace(word, real)
            found.append(Typed(command, () if self.mark.endswith(", shown from another") else typed.shown))
        return tuple(found)


def read_blocks(page: Path) -> list[Block]:
    """Return the blocks of a page in order."""
    found = _BLOCK.finditer(page.read_text(encoding="utf-8"))
    return [
        Block(each["mark"] or "", each["language"], each["text"], tuple(_BEFORE.findall(each["before"])))
        for each in found
    ]


def explain_difference(shown: Sequence[str], printed: Sequence[str]) -> str:
    """Return how what was printed differs from what the page shows, "" when it does not."""
    wanted = [_normalise(line) for line in shown]
    pattern = "".join(r"(?:.*\n)*?" if line == "…" else re.escape(line).replace("…", ".*") + r"\n" for line in wanted)
    found = [_normalise(line) for line in printed]
    if re.fullmatch(pattern, "".join(f"{line}\n" for line in found)):
        return ""
    return "the page shows\n  {}\nand this was printed\n  {}".format("\n  ".join(wanted), "\n  ".join(found))


def _normalise(line: str) -> str:
    text = re.sub(r"─+", "─", " ".join(line.split()))
    return _DURATION.sub("<duration>", _TIME.sub("<time>", text))


@dataclass(frozen=True, slots=True)
class Ports:
    """Free ports in a row in place of those of a page."""

    shown: int
    first: int
    count: int

    @classmethod
    def find(cls, shown: int, count: int) -> Self:
        """Return free ones, below those that the system gives away, and others in each process of the tests."""
        for attempt in range(100):
            first = 12_000 + (os.getpid() + attempt * 97) % 2_000 * 10
            if all(_is_free(first + number) for number in range(count)):
                return cls(shown, first, count)
        raise OSError("no free ports in a row")

    def put(self, text: str) -> str:
        """Return a text of the page with the ports that are really used."""
        for number in range(self.count):
            text = text.replace(str(self.shown + number), str(self.first + number))
        return text

    def take(self, text: str) -> str:
        """Return a printed text with the ports of the page."""
        for number in range(self.count):
            text = text.replace(str(self.first + number), str(self.shown + number))
        return text


def _is_free(port: int) -> bool:
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


class Terminal:
    """A shell with the script ``syncd`` on its path. Leaving it ends everything that was started in it."""

    def __init__(self, home: Path, ports: Ports, program: Path) -> None:
        self._home = home
        self._ports = ports
        self._program = program
        self._shell: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        machine = {name: value for name, value in os.environ.items() if not name.startswith(("SYNCD_", "COLUMNS"))}
        self._shell = await asyncio.create_subprocess_exec(
            *("bash", "--norc", "--noprofile"),
            cwd=self._home,
            env={
                **machine,
                "HOME": str(self._home),
                "PATH": f"{self._program.parent}:{machine['PATH']}",
                "PYTHONPATH": str(ROOT),
            },
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        shell = self._shell
        assert shell is not None
        if shell.returncode is None:
            os.killpg(shell.pid, 15)
        async with asyncio.timeout(SECONDS):
            await shell.communicate()

    async def play(self, typed: Typed) -> None:
        """Type a command; AssertionError when it fails, or prints something else than the page shows."""
        printed: list[str] = []
        code, difference, now = 0, "it did not end", asyncio.get_running_loop().time
        deadline = now() + SECONDS
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(deadline):
                while difference and now() < deadline:
                    code, printed = await self._run(typed.command)
                    difference = explain_difference(typed.shown, printed) if typed.shown else ""
                    if not _LOOKS.match(typed.command):
                        break
        assert not difference, f"$ {typed.command}\n{difference}"
        assert code in typed.codes, f"$ {typed.command} ended with {code}\n" + "\n".join(printed[-20:])

    async def do(self, command: str) -> None:
        """Type a command of which nothing is expected."""
        async with asyncio.timeout(SECONDS):
            await self._run(command)

    async def change_into(self, folder: Path) -> None:
        """Go to a folder."""
        await self.play(Typed(f"cd {folder}", ()))

    async def start(self, typed: Typed) -> None:
        """Type a command that goes on, and wait until it has printed what the page shows, up to its last line."""
        self._type(typed.command)
        printed: list[str] = []
        async with asyncio.timeout(SECONDS):
            async for line in self._read():
                printed.append(line)
                if _normalise(line) == _normalise(typed.shown[-1]):
                    break
        assert (difference := explain_difference(typed.shown, printed)) == "", f"$ {typed.command}\n{difference}"

    async def _run(self, command: str) -> tuple[int, list[str]]:
        self._type(f"{command}\nprintf '\\nended with %s\\n' $?")
        printed: list[str] = []
        async for line in self._read():
            if ended := re.fullmatch(r"ended with (\d+)", line):
                return int(ended[1]), printed[:-1] if printed and not printed[-1] else printed
            printed.append(line)
        raise AssertionError(f"the shell ended at $ {command}")

    def _type(self, text: str) -> None:
        assert self._shell is not None
        assert self._shell.stdin is not None
        self._shell.stdin.write(f"{self._ports.put(text)}\n".encode())

    async def _read(self) -> AsyncIterator[str]:
        assert self._shell is not None
        assert self._shell.stdout is not None
        async for line in self._shell.stdout:
            yield self._ports.take(line.decode().rstrip("\n"))
