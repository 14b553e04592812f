"""``syncd run``: the daemon, in the foreground, until a signal ends it."""

from __future__ import annotations

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
    from syncd.bootstrap import run_daemon

    raise SystemExit(run_daemon(invocation.load))
