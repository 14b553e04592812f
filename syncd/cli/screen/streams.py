"""stdout and stderr of the program, such that nobody who stops reading decides about the work.

``syncd undo 7 | head`` closes stdout while the undo goes on. From the first write that fails on, what is written is
dropped: the work ends as it would have ended, with the same exit code. Long listings ask whether anybody still reads,
and end. Output that is lost for another reason than a reader who went away (a full disk, say) is told at the end, and
a program that would have left with 0 leaves with 1. A character that the terminal or the pipe cannot spell is replaced.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Callable
from typing import NoReturn, TextIO

_GONE = (errno.EPIPE, errno.ECONNRESET)


class _Outlet(io.FileIO):
    """A file descriptor that swallows what it cannot write, and remembers the first reason."""

    lost: OSError | None = None

    def write(self, data: object) -> int:
        """Write, or drop everything once a write has failed."""
        size = memoryview(data).nbytes  # type: ignore[arg-type]  # FileIO is only ever given buffers
        if self.lost is None:
            try:
                return super().write(data) or 0  # type: ignore[arg-type]  # as above
            except BlockingIOError:
                raise  # the buffer above waits and tries again
            except OSError as error:
                self.lost = error
        return size


def guard_streams() -> None:
    """Put stdout and stderr of this process behind outlets; what is no file of the system is left as it is."""
    sys.stdout = _guard(sys.stdout)
    sys.stderr = _guard(sys.stderr)


def _guard(stream: TextIO) -> TextIO:
    try:
        descriptor = stream.fileno()
    except (AttributeError, OSError, ValueError):  # closed from the start, or replaced
        return stream
    stream.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(_Outlet(descriptor, "wb", closefd=False)),
        encoding=stream.encoding,
        errors="backslashreplace" if stream is sys.stderr else "replace",
        line_buffering=stream.isatty() or stream is sys.stderr,
    )


def guard_stream(descriptor: int, *, encoding: str) -> TextIO:
    """Return a stream to an open descriptor that drops what nobody reads any more; closing it leaves that open."""
    outlet = io.BufferedWriter(_Outlet(descriptor, "wb", closefd=False))
    return io.TextIOWrapper(outlet, encoding=encoding, errors="replace")


def is_read(stream: TextIO | None = None) -> bool:
    """Return whether somebody still reads stdout, as far as is known."""
    return _find_loss(stream or sys.stdout) is None


def _find_loss(stream: TextIO) -> OSError | None:
    raw = getattr(getattr(stream, "buffer", None), "raw", None)
    return raw.lost if isinstance(raw, _Outlet) else None


def leave(program: Callable[[], object]) -> NoReturn:
    """Run the program behind guarded streams, and leave the process with its exit code."""
    guard_streams()
    code: object = 0
    try:
        program()
    except SystemExit as end:
        code = end.code
    sys.stdout.flush()
    loss = _find_loss(sys.stdout)
    if loss is not None and loss.errno not in _GONE:
        sys.stderr.write(f"syncd: a part of the output could not be written: {os.strerror(loss.errno or 0)}\n")
        code = code or 1
    sys.exit(code)  # type: ignore[arg-type]  # what a SystemExit carried
