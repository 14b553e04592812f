"""The n-th touch of a file fails, for every n: what was there stays as it was, and nothing half is left.

A touch is an opening for writing, or the renaming by which a finished file takes its place. Each file is one that a
command writes beside the store: backup, lists, plan, calendar.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from syncd.cli.main import program
from syncd.store.db.database import open_database
from syncd.store.db.revision import ensure_schema

COMMANDS = (
    ("backup", "{file}"),
    ("users", "--csv", "{file}"),
    ("groups", "--xlsx", "{file}"),
    ("due", "--ics", "{file}"),
    ("runs", "--csv", "{file}"),
)
_BEFORE = b"what was there before"
_WRITING = os.O_WRONLY | os.O_RDWR


class Hook:
    """Refuses the n-th touch of one folder, as a full or broken disk does. Python has no way to take a hook away."""

    def __init__(self) -> None:
        self.folder = ""
        self.left = 0
        self.hit = False
        sys.addaudithook(self)

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Be an audit hook."""
        if not self.folder or event not in ("open", "os.rename"):
            return
        path = arguments[0]
        if not isinstance(path, str | os.PathLike) or not os.fspath(path).startswith(self.folder):
            return
        if event == "open" and not (isinstance(arguments[2], int) and arguments[2] & _WRITING):
            return
        self.left -= 1
        if self.left == 0:
            self.hit = True
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), os.fspath(path))

    @contextmanager
    def armed(self, folder: Path, number: int) -> Iterator[None]:
        """Refuse the touch with this number within the block."""
        self.folder, self.left, self.hit = str(folder), number, False
        try:
            yield
        finally:
            self.folder = ""


def fail_all(folder: Path) -> tuple[int, list[str]]:
    """Let every touch fail in turn; return how many there were, and what is wrong."""
    database = open_database(f"sqlite:///{folder / 'store.db'}")
    ensure_schema(database, create=True)
    database.close()
    (folder / "syncd.toml").write_text(f"[store]\nurl = 'sqlite:///{folder / 'store.db'}'\n", encoding="utf-8")
    written, hook, count, wrong = folder / "written", Hook(), 0, list[str]()
    written.mkdir()
    for command in COMMANDS:
        number = 0
        while True:
            number += 1
            file = written / "file"
            file.write_bytes(_BEFORE)
            arguments = [part.format(file=file) for part in command]
            with hook.armed(written, number):
                ended = CliRunner().invoke(program, [*arguments, "--config", str(folder / "syncd.toml")])
            left = sorted(each.name for each in written.iterdir())
            if not hook.hit:
                good = ended.exit_code == 0 and file.read_bytes() != _BEFORE and left == ["file"]
                wrong += [] if good else [f"{command[0]}: does not work at all: {ended.output} {ended.exception!r}"]
                break
            count += 1
            told = isinstance(ended.exception, SystemExit) and "No space left" in ended.stderr
            if not (told and ended.exit_code == 1 and file.read_bytes() == _BEFORE and left == ["file"]):
                said = f"exit {ended.exit_code}, {ended.stderr!r}, {ended.exception!r}, left {left}"
                wrong.append(f"{command[0]}, touch {number}: {said}")
    return count, wrong
