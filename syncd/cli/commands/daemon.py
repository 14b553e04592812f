"""``syncd run``: the daemon, in the foreground, until a signal ends it."""

from __future__ import annotations

import signal

import click

from syncd.cli.options import Invocation, pass_invocation, shared_options
from syncd.cli.start import FOR_DAEMON


@click.command("run")
@shared_options
@pass_invocation
def run(invocation: Invocation) -> None:
    """Pull and push on schedule until a signal ends it; logs go to stdout.

    SIGUSR1: a full run now. SIGUSR2: a delta run now. SIGHUP: read the configuration again. SIGTERM, SIGINT: finish
    what is in hand and end; a second one: leave at once.

    \b
    Examples:
      syncd run
      syncd --config /etc/syncd/syncd.toml run
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, FOR_DAEMON)  # as long as it is on its way up; see syncd.cli.start
    try:
        from syncd.bootstrap.daemon import run_daemon

        code = run_daemon(invocation.load)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before - FOR_DAEMON)
    raise SystemExit(code)
