"""``syncd run``: the daemon, in the foreground, until a signal ends it."""

from __future__ import annotations

import signal

import click

from syncd.cli.options import Invocation, pass_invocation, shared_options


@click.command("run")
@shared_options
@pass_invocation
def run(invocation: Invocation) -> None:
    """Pull and push on schedule until a signal ends it; logs go to stdout.

    SIGUSR1: a full run now. SIGUSR2: a delta run now. SIGHUP: read the configuration again. SIGTERM, SIGINT: finish
    what is in hand and end; a second one: leave at once.
    """
    for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # they would kill a daemon that is still on its way up
    from syncd.bootstrap.daemon import run_daemon

    raise SystemExit(run_daemon(invocation.load))
