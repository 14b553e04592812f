"""``syncd sync full|delta|user|group``: a pull and push now, in this process, its result as a table and exit code."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import click

from syncd.cli.options import Invocation, duration, pass_invocation, shared_options
from syncd.model.kinds import RecordKind

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
    """Read everything from both sides and reconcile it.

    \b
    Examples:
      syncd sync full
      syncd sync full --wait 30m
    """
    context.exit(_sync(invocation, "full", wait=wait))


@sync.command("delta")
@_wait
@shared_options
@pass_invocation
@click.pass_context
def delta(context: click.Context, invocation: Invocation, *, wait: timedelta | None) -> None:
    """Read what changed in the tenant and reconcile that; the first pull of an empty store is always full.

    \b
    Example:
      syncd sync delta
    """
    context.exit(_sync(invocation, "delta", wait=wait))


@sync.command("user")
@click.argument("name", metavar="UPN-or-ID")
@_wait
@shared_options
@pass_invocation
@click.pass_context
def user(context: click.Context, invocation: Invocation, *, name: str, wait: timedelta | None) -> None:
    """Read one user with manager and groups from the tenant, and put exactly that right in the portal, in seconds.

    What else waits for the next run is left alone. The guard applies.

    \b
    Example:
      syncd sync user ann@example.com
    """
    context.exit(_sync(invocation, "none", wait=wait, only=("user", name)))


@sync.command("group")
@click.argument("name", metavar="NAME-or-ID")
@_wait
@shared_options
@pass_invocation
@click.pass_context
def group(context: click.Context, invocation: Invocation, *, name: str, wait: timedelta | None) -> None:
    """Read one group with its direct members from the tenant, and put exactly that right in the portal.

    NAME is the exact display name; when several groups bear it, their ids are listed. The guard applies.

    \b
    Example:
      syncd sync group "Invoices, readers"
    """
    context.exit(_sync(invocation, "none", wait=wait, only=("group", name)))


def _sync(
    invocation: Invocation,
    kind: PullKind,
    *,
    wait: timedelta | None,
    only: tuple[RecordKind, str] | None = None,
) -> int:
    from syncd.bootstrap.store import open_store
    from syncd.cli.one_run import execute
    from syncd.cli.screen.output import print_json
    from syncd.cli.screen.runs import describe_run, explain_result, print_run
    from syncd.model.run import RunRequest, Wanted, find_exit_code

    if only is not None and not only[1].strip():
        raise click.BadParameter("it is empty", param_hint=only[0].upper())
    settings = invocation.start()
    database = open_store(settings, create=only is None)
    try:
        wanted = None if only is None else Wanted(only[0], only[1].strip())
        record = execute(
            settings, database, RunRequest(pull=kind, trigger="cli", retry_failed=True, only=wanted), wait=wait
        )
        if invocation.json:
            print_json(describe_run(record))
        else:
            print_run(database, record)
    finally:
        database.close()
    explain_result(record)
    return find_exit_code(record)
