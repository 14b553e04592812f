"""``syncd runs`` and ``syncd runs show``: what happened, from the store, without asking either side."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, get_args

import click

from syncd.cli.options import STORE_ONLY, Invocation, moment, pass_invocation, shared_options
from syncd.cli.screen.change_list import HEADINGS, LONG, ChangeList, explain_each
from syncd.cli.screen.changes import ROWS, describe_changes, describe_values, explain_change
from syncd.cli.screen.lists import Listing, actions_option, list_options
from syncd.cli.screen.output import Stream, print_json, print_line
from syncd.cli.screen.pager import paged
from syncd.cli.screen.runs import (
    describe_run,
    find_run,
    format_clock_time,
    format_duration,
    print_run,
    summarize_run,
    tell_run,
)
from syncd.cli.screen.table import find_width
from syncd.model.change import Action, OutcomeStatus
from syncd.model.numbers import tell_number
from syncd.model.run import RunKind, RunStatus

if TYPE_CHECKING:
    from syncd.model.run import RunRecord
    from syncd.store.db.database import Database
    from syncd.store.runs.runlog import Chosen

COLUMNS = (
    ("run", 2),
    ("kind", 2),
    ("trigger", 3),
    ("status", 3),
    ("started (UTC)", 0),
    ("took", 0),
    ("what", 16),
)
_SHOWN = 20


@click.group("runs", invoke_without_command=True)
@click.option(
    "--status", "statuses", multiple=True, type=click.Choice(get_args(RunStatus)), help="Only these; may be repeated."
)
@click.option(
    "--kind", "kinds", multiple=True, type=click.Choice(get_args(RunKind)), help="Only these; may be repeated."
)
@click.option("--since", type=moment, metavar="WHEN", help="Only from then on: 2026-12-31, a day and time, or 7d ago.")
@list_options
@shared_options
@pass_invocation
@click.pass_context
def runs(
    context: click.Context,
    invocation: Invocation,
    *,
    statuses: tuple[str, ...],
    kinds: tuple[str, ...],
    since: datetime | None,
    listing: Listing,
) -> None:
    """List the run history, newest first; 'runs show RUN' shows one run with every change.

    20 runs are shown, those that --limit says, or with --since all from then on. Files have all that fits.

    \b
    Examples:
      syncd runs --status failed --status partial --since 7d
      syncd runs show last --outcome failed
    """
    if context.invoked_subcommand is not None:
        return
    from syncd.store.runs.runlog import Chosen
    from syncd.store.store import Store

    chosen = Chosen(kinds=kinds, statuses=statuses, since=since)
    most = listing.limit or (None if since is not None else _SHOWN)
    with _opened(invocation) as database:
        log = Store(database).runs
        if invocation.json:
            print_json(Stream(describe_run(record) for record in log.iterate_runs(chosen, limit=most)))
            return
        headings = [heading for heading, _ in COLUMNS]
        if listing.export(headings, lambda: map(_make_cells, log.iterate_runs(chosen, limit=listing.limit))):
            return
        counts = log.count_runs(chosen)
        total = sum(counts.values())
        if not total:
            none = chosen == Chosen()
            print_line("No run yet. 'syncd sync full' makes the first." if none else "No run that fits.")
            return
        with paged():
            if min(total, most or total) > LONG and find_width() is not None:
                print_line(_sum_up(total, counts))
                if trouble := _tell_trouble(database, chosen):
                    print_line(trouble)
            rows = _make_rows(log.iterate_runs(chosen, limit=most), once=find_width(wide=listing.wide) is not None)
            told = total if listing.limit is None else None  # whoever says how many knows that there may be more
            listing.print(COLUMNS, rows, total=told, more=": --limit N, or --since 30d")


def _make_rows(records: Iterable[RunRecord], *, once: bool) -> Iterator[Sequence[object]]:
    """Yield a row for each run. ``once``: what several of them say one after the other is said by the first."""
    before: RunRecord | None = None
    for record in records:
        what = summarize_run(record)
        if once and before is not None and record.error and record.error == before.error:
            what = "; ".join(part for part in (tell_run(record), f"as in run {before.id}") if part)
        else:
            before = record
        took = format_duration(record)
        yield record.id, record.kind, record.trigger, record.status, format_clock_time(record), took, what


def _make_cells(record: RunRecord) -> tuple[object, ...]:
    took = None
    if record.finished_at is not None:
        took = round((record.finished_at - record.started_at).total_seconds(), 1)
    return (
        record.id, record.kind, record.trigger, record.status, record.started_at, took, summarize_run(record),
    )  # fmt: skip


def _sum_up(total: int, counts: dict[RunStatus, int]) -> str:
    told = ", ".join(f"{status} {counts[status]:,}" for status in get_args(RunStatus) if status in counts)
    return f"{tell_number(total, 'run')}: {told}"


def _tell_trouble(database: Database, chosen: Chosen) -> str:
    """Return which of the chosen runs failed last, and why."""
    from dataclasses import replace

    from syncd.store.store import Store

    if chosen.statuses and "failed" not in chosen.statuses:
        return ""
    for record in Store(database).runs.load_runs(1, replace(chosen, statuses=("failed",))):
        return f"The last that failed is run {record.id}, {format_clock_time(record)} UTC: {record.error}"
    return ""


@runs.command("show")
@click.argument("run", metavar="RUN")
@click.option(
    "--outcome",
    "outcomes",
    multiple=True,
    type=click.Choice(get_args(OutcomeStatus)),
    help="Only changes that ended so; may be repeated.",
)
@actions_option("Only changes of this action; may be repeated.")
@list_options
@shared_options
@pass_invocation
def show(
    invocation: Invocation,
    *,
    run: str,
    outcomes: tuple[OutcomeStatus, ...],
    actions: tuple[Action, ...],
    listing: Listing,
) -> None:
    """Show one run with every change and its outcome. RUN is a number of the list, or 'last'.

    \b
    Examples:
      syncd runs show last --outcome failed
      syncd runs show 412 --action unlink --xlsx unlinked.xlsx
    """
    from syncd.store.store import Store

    with _opened(invocation) as database:
        record = find_run(database, run)
        chosen = tuple(status for status in ROWS if not outcomes or status in outcomes)
        if invocation.json:
            asked = Store(database).asked.load_askers(record.id)
            found = describe_changes(
                database, record.id, statuses=chosen if outcomes else None, actions=actions or None
            )
            print_json({**describe_run(record), "asked_by": asked, "changes": Stream(listing.take(found))})
            return
        changes = ChangeList(
            database=database,
            run_id=record.id,
            statuses=chosen,
            actions=actions or None,
            explain=explain_each(explain_change),
            values=describe_values,
            outcomes=True,
        )
        if listing.export(HEADINGS, changes.iterate_cells):
            return
        with paged():
            print_run(database, record, whole=True)
            if (outcomes or actions) and not changes.count():
                print_line("No change that fits.")
            changes.print(listing, rest=f"--limit N shows more; 'syncd runs show {record.id} --csv FILE' writes all")


def _opened(invocation: Invocation) -> contextlib.AbstractContextManager[Database]:
    from syncd.bootstrap.store import open_store

    return contextlib.closing(open_store(invocation.start(need=STORE_ONLY, quiet=True), create=False))
