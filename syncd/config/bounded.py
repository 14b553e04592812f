"""Reading small files that settings are, or point to: never for ever, and never more than was agreed."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path


def read_bounded(path: Path, most: int) -> bytes:
    """Return the content of a regular file, and one byte more than ``most`` of a larger one.

    Raises OSError with a reason, also for what is no file: a pipe might never answer, a device never end.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # opening a pipe would wait for its writer
    with os.fdopen(handle, "rb") as file:
        mode = os.fstat(handle).st_mode
        if not stat.S_ISREG(mode):
            code = errno.EISDIR if stat.S_ISDIR(mode) else errno.EINVAL
            raise OSError(code, "is a directory" if stat.S_ISDIR(mode) else "is no regular file")
        return file.read(most + 1)
