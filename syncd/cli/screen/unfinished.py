"""A file that takes its place when it is whole. Until then it has another name, which a killed command leaves behind.

That name says which process writes it: FILE.PID.PLACE.part, where PLACE stands for this machine since its start and for
the container, in which alone the number means anything. What a process has left that is gone is removed by the next
command that writes the same file, with what SQLite keeps beside it. What another place has left is kept for a day:
nobody here can see who writes it.
"""

from __future__ import annotations

import hashlib
import os
import re
import socket
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import click

_UNTOUCHED_SECONDS = 86_400.0
_PLACE = (Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid"))


@contextmanager
def taking_place(path: Path) -> Iterator[Path]:
    """Yield a new empty file that only its owner may read; it takes the place of ``path`` at the end of the block.

    An error removes it, and ``path`` stays what it was. First goes what processes have left that are gone, and stderr
    says so. Raises OSError.
    """
    _clear(path)
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.{name_place()}.part")
    os.close(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        yield unfinished
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def name_place() -> str:
    """Return a name for where the numbers of processes mean what they do here: this machine, until it starts again."""
    with suppress(OSError):
        said = f"{_PLACE[0].read_text(encoding='ascii')} {_PLACE[1].readlink()}"
        return hashlib.sha256(said.encode()).hexdigest()[:8]
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]


def _clear(path: Path) -> None:
    """Remove the unfinished files of this one that nobody can be writing any more; what cannot be removed stays."""
    form = re.compile(rf"{re.escape(path.name)}\.([0-9]+)(?:\.([0-9a-f]{{8}}))?\.part(?:-journal|-wal|-shm)?")
    try:
        beside = sorted(path.parent.iterdir())
    except OSError:  # a folder that may not be listed; writing says what else is wrong
        return
    for file in beside:
        named = form.fullmatch(file.name)
        with suppress(OSError):
            if named is None or not stat.S_ISREG((found := file.lstat()).st_mode):
                continue
            gone = _is_gone(int(named[1])) if named[2] == name_place() else _is_old(found.st_mtime)
            if not gone:
                continue
            file.unlink()
            click.echo(f"removed {file} ({found.st_size:,} bytes), left by a process that is gone", err=True)


def _is_gone(number: int) -> bool:
    """Return whether no other process here has this number; with our own an earlier one has written."""
    if number == os.getpid():
        return True
    try:
        os.kill(number, 0)
    except (ProcessLookupError, OverflowError):
        return True
    except OSError:
        return False
    return False


def _is_old(modified: float) -> bool:
    return time.time() - modified > _UNTOUCHED_SECONDS
