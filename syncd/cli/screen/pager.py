"""What is longer than the screen goes through a pager, as people know it from git: ``PAGER``, else ``less``."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from syncd.cli.screen.streams import guard_stream

_LESS = "FRX"
"""less ends by itself when all fits on one screen, passes colours on, and leaves what was read on the terminal."""


@contextmanager
def paged() -> Iterator[None]:
    """Send what the block prints through the pager, on a terminal; anywhere else nothing is changed.

    Whoever leaves the pager early has read enough: the rest is dropped, and the work goes on to its end.
    """
    command = _find_pager() if sys.stdout.isatty() and sys.stdin.isatty() else None
    if command is None:
        yield
        return
    sys.stdout.flush()
    environment = {"LESS": _LESS, "LV": "-c", **os.environ}
    try:
        pager = subprocess.Popen(command, stdin=subprocess.PIPE, env=environment)  # noqa: S603 - chosen by the user
    except OSError:
        yield
        return
    if pager.stdin is None:
        raise AssertionError("a pipe was asked for")
    terminal, sys.stdout = sys.stdout, guard_stream(pager.stdin.fileno(), encoding=sys.stdout.encoding)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stdout, opened = terminal, sys.stdout
        opened.close()
        pager.stdin.close()
        while True:
            try:
                pager.wait()
                break
            except KeyboardInterrupt:  # Ctrl-C is the pager's: it ends when its reader says so
                continue


def _find_pager() -> list[str] | None:
    """Return the command of the pager, None when there is none or nobody wants one."""
    wanted = os.environ.get("PAGER")
    if wanted is not None:
        command = shlex.split(wanted)
        return command if command and command != ["cat"] else None
    if os.environ.get("TERM") in (None, "", "dumb"):
        return None
    found = shutil.which("less")
    return None if found is None else [found]
