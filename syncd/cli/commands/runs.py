"""``syncd runs`` and ``syncd runs show``: what happened, from the store, without asking either side."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import click

from syncd.cli.options import STORE_ONLY, Invocation, pass_invocation, shared_options
from syncd.cli.screen.changes import describe_changes, print_changes
from syncd.cli.screen.output import (
    Stream,
    print_json,
    print_line,
    print_table,
)
from syncd.cli.screen.runs import describe_run, find_run, format_clock_time, format_duration, print_run, summarize_run

if TYPE_CHECKING:
    from syncd.store.db.database import Database


@click.group("runs", invoke_without_command=True)
@click.option("--limit", default=20, show_default=True, type=click.IntRange(min=1), help="So many, newest first.")
@shared_options
@pass_invocation
@click.pass_context
def runs(context: click.Context, invocation: Invocation, *, limit: int) -> None:
    """List the run history; 'runs show RUN' shows one run with every change."""
    if context.invoked_subcommand is not None:
        return
    from syncd.store.store import Store

    with _opened(invocation) as database:
        records = Store(database).runs.load_runs(limit)
    if invocation.json:
        print_json(Stream(describe_run(record) for record in records))
        return
    if not records:
        print_line("No run yet. 'syncd sync full' makes the first.")
        return
    print_table(
        (("run", 2), ("kind", 2), ("trigger", 3), ("status", 3), ("started (UTC)", 6), ("took", 2), ("what", 16)),
        (
            (
                record.id,
                record.kind,
                record.trigger,
                record.status,
                format_clock_time(record),
                format_duration(record),
                summarize_run(record),
            )
            for record in records
        ),
    )


@runs.command("show")
@click.argument("run", metavar="RUN")
@shared_options
@pass_invocation
def show(invocation: Invocation, *, run: str) -> None:
    """Show one run with every change and its outcome. RUN is a number of the list, or 'last'."""
    from syncd.store.store import Store

    with _opened(invocation) as database:
        record = find_run(database, run)
        if invocation.json:
            asked = Store(database).asked.load_askers(record.id)
            changes = Stream(describe_changes(database, record.id))
            print_json({**describe_run(record), "asked_by": asked, "changes": changes})
            return
        print_run(database, record)
        if record.error:
            print_line(record.error)
        print_changes(database, record)


def _opened(invocation: Invocation) -> contextlib.AbstractContextManager[Database]:

    from syncd.bootstrap.store import open_store

    return contextlib.closing(open_store(invocation.start(need=STORE_ONLY), create=False))


# ---- one run --------------------------------------------------------------------------------------------------------


# ---- texts ----------------------------------------------------------------------------------------------------------
