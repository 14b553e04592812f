"""``syncd trigger``: ask the working daemon for a run, through the store, from any shell that reaches the store."""

from __future__ import annotations

import contextlib
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

import click

from syncd.cli.options import STORE_ONLY, Invocation, duration, name_person, pass_invocation, shared_options
from syncd.cli.screen.output import print_json, print_line
from syncd.cli.screen.runs import describe_run, explain_result, print_run
from syncd.clock import Clock

if TYPE_CHECKING:
    from syncd.model.run import RunRecord
    from syncd.store.db.database import Database

_LOOK_SECONDS = 0.5


@click.command("trigger")
@click.argument("kind", type=click.Choice(["full", "delta"]), metavar="full|delta")
@click.option("--wait", type=duration, metavar="DURATION", help="Wait so long for the end of the run, and tell of it.")
@shared_options
@pass_invocation
@click.pass_context
def trigger(
    context: click.Context, invocation: Invocation, *, kind: Literal["full", "delta"], wait: timedelta | None
) -> None:
    """Ask the daemon that works on this store for a run; it starts within seconds, or after the run in hand.

    Several wishes become one run, and full beats delta. Without a daemon nothing is asked: 'syncd sync' is the command
    for that. With --wait the exit code is that of the run; 75 when it has not ended by then.

    \b
    Examples:
      syncd trigger delta
      syncd trigger full --wait 30m
    """
    from syncd.bootstrap.store import open_store
    from syncd.errors import StoreLocked
    from syncd.model.run import find_exit_code
    from syncd.store.store import Store

    with contextlib.closing(open_store(invocation.start(need=STORE_ONLY), create=False)) as database:
        store, clock = Store(database), Clock()
        _expect_daemon(database, kind)
        wish = store.asked.ask(kind, by=name_person(), now=clock.now())
        if wait is None:
            if invocation.json:
                print_json({"request": wish, "kind": kind})
            else:
                print_line(f"Asked for a {kind} run: the daemon starts it within seconds, or after the run in hand.")
            return
        record = _await(database, wish, wait)
        if record is None:
            taken_back = store.asked.withdraw(wish)
            told = "the wish was taken back, unless its run has begun" if taken_back else "it has just ended"
            raise StoreLocked(
                f"the {kind} run has not ended after {wait.total_seconds():.0f} seconds; {told}: see 'syncd status'"
            )
        if invocation.json:
            print_json(describe_run(record))
        else:
            print_run(database, record)
    explain_result(record)
    context.exit(find_exit_code(record))


def _expect_daemon(database: Database, kind: str) -> None:
    from syncd.errors import StoreError
    from syncd.store.reports.overview import load_overview

    if not load_overview(database, now=Clock().now()).daemons:
        raise StoreError(
            f"no daemon works on this store, so that nobody would start it: 'syncd sync {kind}' does it here"
        )


def _await(database: Database, wish: int, wait: timedelta) -> RunRecord | None:
    """Return the record of the run that served a wish, None when there is none after so long."""
    from syncd.store.store import Store

    store, clock = Store(database), Clock()
    deadline = clock.monotonic() + wait.total_seconds()
    while (run_id := store.asked.find_run(wish)) is None:
        if clock.monotonic() >= deadline:
            return None
        time.sleep(_LOOK_SECONDS)
    return store.runs.load_run.blocking(run_id)
