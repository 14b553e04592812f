"""The first instructions of the program: a daemon's signals wait until somebody is there to obey them.

Importing the program takes most of a second. Until then a signal would kill the daemon, or be lost where it is the
first process of a container: for that one the kernel drops what it has no handler for (pid_namespaces(7)). A blocked
signal is kept instead, and comes as soon as it is let in.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence

FOR_DAEMON = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2})


def hold_signals(arguments: Sequence[str]) -> None:
    """Let the signals that a daemon obeys wait, where these arguments start one."""
    if "run" in arguments:
        signal.pthread_sigmask(signal.SIG_BLOCK, FOR_DAEMON)


def run() -> None:
    """Be the program `syncd`."""
    hold_signals(sys.argv[1:])
    from syncd.cli.main import run as run_program

    run_program()
