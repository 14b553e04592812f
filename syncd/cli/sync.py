"""``syncd sync full|delta``: one pull and push now, in this process, and its result as a table and an exit code."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import click

from syncd.cli.options import Invocation, duration, pass_invocation, shared_options

if TYPE_CHECKING:
    from syncd.model.run import PullKind


@click.group("sync")
@shared_options
def sync() -> None:
    """Pull and push once, now, and exit.

    An object that failed before is tried again at once. Exit codes: 0 done, 1 failed, 3 done in part, 4 changes are
    held for approval, 75 another syncd works on this store.
    """


_wait = click.option(
    "--wait", type=duration, metavar="DURATION", help="Wait so long for another syncd that works on this store."
)


@sync.command("full")
@_wait
@shared_options
@pass_invocation
@click.pass_context
def full(context: click.Context, invocation: Invocation, *, wait: timedelta | None) -> None:
    """Read everything from both sides and reconcile it."""
    context.exit(_sync(invocation, "full", wait=wait))


@sync.command("delta")
@_wait
@shared_options
@pass_invocation
@click.pass_context
def delta(context: click.Context, invocation: Invocation, *, wait: timedelta | None) -> None:
    """Read what changed in the tenant and reconcile that; the first pull of an empty store is always full."""
    context.exit(_sync(invocation, "delta", wait=wait))


def _sync(invocation: Invocation, kind: PullKind, *, wait: timedelta | None) -> int:
    from syncd import bootstrap
    from syncd.cli.output import print_json
    from syncd.cli.runs import describe_run, explain_result, print_run
    from syncd.cli.work import execute
    from syncd.model.run import RUN_EXIT_CODES, RunRequest

    settings = invocation.start()
    database = bootstrap.open_store(settings, create=True)
    try:
        record = execute(settings, database, RunRequest(kind, "cli", retry_failed=True), wait=wait)
        if invocation.json:
            print_json(describe_run(record))
        else:
            print_run(database, record)
    finally:
        database.close()
    explain_result(record)
    return RUN_EXIT_CODES[record.status]
