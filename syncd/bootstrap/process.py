"""What a process of ours changes for itself as a whole. Whoever uses parts of syncd as a library is left alone."""

from __future__ import annotations

import contextlib
import gc
import resource
import sys

_TURN_SECONDS = 0.001
"""The store works in a thread of its own: a short turn keeps it from holding up requests that have their answer."""

_COLLECT_AFTER = 10_000
"""So many more values made than forgotten let Python look for cycles among the youngest (its own number is 700)."""

_FILES = 65_536
"""So many files and connections at once are enough for anybody; many systems begin with 1,024."""


def tune_process() -> None:
    """Change what Python and its libraries do in this process. To be called once, when what it needs is loaded.

    The interpreter's threads take short turns. The collector of cycles passes over what is loaded by now, and looks at
    the rest more rarely: a plan makes hundreds of thousands of values, none of them in a cycle, and with Python's own
    thresholds a seventh of the time of planning went into looking at them again and again. What is in a cycle waits a
    little longer for its end, which costs some 3 MB. Retries are not logged one by one. As many
    files may be open as the system allows.
    """
    from syncd.http import stop_logging_retries  # late: a command that only reads the store needs no client

    sys.setswitchinterval(_TURN_SECONDS)
    stop_logging_retries()
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(hard, _FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
