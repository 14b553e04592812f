"""``syncd undo``: the reverse of a run, as a plan of its own."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING

import click

from syncd.cli.options import Invocation, duration, pass_invocation, shared_options
from syncd.cli.screen.changes import describe_change, describe_values
from syncd.cli.screen.names import name_groups
from syncd.cli.screen.output import Stream, format_time, print_json, print_line, print_table, take_shown
from syncd.cli.screen.runs import explain_result, find_run, print_run

if TYPE_CHECKING:
    from syncd.model.change import OutcomeStatus, PlannedChange
    from syncd.model.run import RunRecord
    from syncd.store.db.database import Database

COLUMNS = (("action", 2), ("object", 3), ("bps id", 8), ("member", 8), ("values", 12))


@click.command("undo")
@click.argument("run", metavar="RUN")
@click.option("--dry-run", is_flag=True, help="Print the plan; the portal is not written to.")
@click.option("--delete-created", is_flag=True, help="Delete the accounts and groups that the run created.")
@click.option(
    "--wait", type=duration, metavar="DURATION", help="Wait so long for another syncd that works on this store."
)
@shared_options
@pass_invocation
@click.pass_context
def undo(
    context: click.Context,
    invocation: Invocation,
    *,
    run: str,
    dry_run: bool,
    delete_created: bool,
    wait: timedelta | None,
) -> None:
    """Undo run RUN, as far as what it did still stands; the guard looks at it like at any plan.

    RUN is a number of 'syncd runs', or 'last': the newest run that changed something and is itself no undo.

    What cannot be undone, or was changed again since, is said before anything is written.

    \b
    Examples:
      syncd undo 412 --dry-run
      syncd undo last
    """
    from syncd.bootstrap.store import open_store
    from syncd.cli.one_run import execute
    from syncd.model.run import RunRequest, find_exit_code
    from syncd.sync.planning.undo import Undo

    settings = invocation.start()
    database = open_store(settings, create=False)
    try:
        wanted = find_run(database, run, changing=True)
        _check(wanted)
        if invocation.json:
            click.echo(f"syncd: {_name(wanted)}", err=True)
        else:
            print_line(_name(wanted))

        def say(run_id: int) -> None:
            if not invocation.json:
                _print_plan(database, run_id, wanted, dry_run=dry_run)
            elif left := count_changes(database, run_id, "dropped"):
                click.echo(f"syncd: {left:,} changes of run {wanted.id} cannot be undone, see 'skipped'", err=True)

        record = execute(
            settings,
            database,
            RunRequest(pull="none", trigger="cli", write=not dry_run, retry_failed=True),
            wait=wait,
            proposal=Undo(run_id=wanted.id, delete_created=delete_created),
            shown=say,
        )
        if invocation.json:
            print_json(describe_proposal(database, record))
        elif not dry_run:
            print_run(database, record)
    finally:
        database.close()
    explain_result(record)
    if record.status in ("succeeded", "partial", "held"):
        click.echo(
            "syncd: the next full run, or a change of the same person or group in the tenant, does again what the "
            "tenant and the rules still want: correct those first, or name the records in scope.protect",
            err=True,
        )
    context.exit((0 if record.status in ("succeeded", "held") else 1) if dry_run else find_exit_code(record))


def _name(record: RunRecord) -> str:
    done = record.counts.get("done", 0)
    when = f"started {format_time(record.started_at)}, {done:,} change{'s' if done != 1 else ''} done"
    return f"To undo: run {record.id} ({record.kind}, trigger {record.trigger}, {when})"


def _check(record: RunRecord) -> None:
    if record.kind == "plan":
        raise click.BadParameter(f"run {record.id} only planned: there is nothing to undo", param_hint="RUN")
    if record.status == "running":
        raise click.BadParameter(f"run {record.id} is still going on", param_hint="RUN")


# ---- output ---------------------------------------------------------------------------------------------------------


def describe_proposal(database: Database, record: RunRecord) -> dict[str, object]:
    """Return the document of a plan that sets something back; it is also that of its outcomes, once it was applied."""
    every: tuple[OutcomeStatus, ...] = ("planned", "started", "done", "failed")
    return {
        "id": record.id,
        "changes": Stream(
            {**describe_change(planned), "outcome": planned.status}
            for planned in iterate_changes(database, record.id, every)
        ),
        "counts": _count_actions(database, record.id),
        "skipped": Stream(
            {**describe_change(planned), "source_id": None, "reason": planned.error.text}
            for planned in iterate_changes(database, record.id, ("dropped",))
        ),
        "held": Stream(
            {**describe_change(planned), "reason": planned.error.text}
            for planned in iterate_changes(database, record.id, ("held",))
        ),
        "deferred": Stream(
            {**describe_change(planned), "reason": planned.error.text}
            for planned in iterate_changes(database, record.id, ("deferred",))
        ),
    }


def _count_actions(database: Database, run_id: int) -> dict[str, int]:
    from syncd.store.store import Store

    found: dict[str, int] = {}
    for (action, _, status), number in sorted(Store(database).plans.count_outcomes.blocking(run_id).items()):
        if status not in ("dropped", "held", "deferred"):
            found[action] = found.get(action, 0) + number
    return found


def iterate_changes(database: Database, run_id: int, statuses: tuple[OutcomeStatus, ...]) -> Iterator[PlannedChange]:
    """Yield the changes of a run that ended in one of these ways."""
    from syncd.store.store import Store

    for chunk in Store(database).plans.iterate_changes(run_id, statuses=statuses):
        for planned, _, _ in chunk:
            yield planned


def count_changes(database: Database, run_id: int, status: OutcomeStatus) -> int:
    """Return how many changes of a run ended in one way."""
    from syncd.store.store import Store

    return sum(
        number for key, number in Store(database).plans.count_outcomes.blocking(run_id).items() if key[2] == status
    )


def print_left(database: Database, run_id: int, heading: str) -> None:
    """Print what a plan leaves alone, and why."""
    left = count_changes(database, run_id, "dropped")
    if not left:
        return
    print_line(f"{heading}: {left:,}")
    rows = (
        (planned.change.action, planned.change.object, planned.change.bps_id, planned.change.target, planned.error.text)
        for planned in iterate_changes(database, run_id, ("dropped",))
    )
    shown, hidden = take_shown(rows, left)
    columns = (("was", 2), ("object", 3), ("bps id", 8), ("member", 8), ("why", 14))
    print_table(columns, name_groups(database, shown, kind=1))
    if hidden:
        print_line(f"{hidden:,} more are not shown: 'syncd runs show {run_id} --json' has all of them.")


def print_planned(database: Database, run_id: int, *, dry_run: bool = False) -> None:
    """Print what a plan is about to do, and what the guard withholds of it."""
    held = "Would be held for approval" if dry_run else "Held for approval"
    headings: dict[OutcomeStatus, str] = {
        "planned": "Would be done" if dry_run else "To be done",
        "held": held,
        "deferred": "Not possible now",
    }
    for status, heading in headings.items():
        number = count_changes(database, run_id, status)
        if not number:
            continue
        print_line(f"{heading}: {number:,}")
        rows = (
            (
                planned.change.action,
                planned.change.object,
                planned.change.bps_id,
                planned.change.target,
                "; ".join(part for part in (planned.error.text, describe_values(planned.change)) if part),
            )
            for planned in iterate_changes(database, run_id, (status,))
        )
        shown, hidden = take_shown(rows, number)
        print_table(COLUMNS, name_groups(database, shown, kind=1))
        if hidden:
            print_line(f"{hidden:,} more are not shown: 'syncd runs show {run_id} --json' has all of them.")


def _print_plan(database: Database, run_id: int, wanted: RunRecord, *, dry_run: bool) -> None:
    print_left(database, run_id, f"Cannot be undone, or is left as it is, of run {wanted.id}")
    print_planned(database, run_id, dry_run=dry_run)
    if not count_changes(database, run_id, "planned") and not count_changes(database, run_id, "held"):
        print_line(f"Nothing of run {wanted.id} is left to undo.")
