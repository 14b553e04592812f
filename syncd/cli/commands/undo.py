"""``syncd undo``: the reverse of a run, as a plan of its own."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import click

from syncd.cli.options import Invocation, duration, pass_invocation, shared_options
from syncd.cli.screen.change_list import HEADINGS
from syncd.cli.screen.lists import Listing, actions_option, list_options
from syncd.cli.screen.output import format_time, print_json, print_line
from syncd.cli.screen.pager import paged
from syncd.cli.screen.proposal import count_left, describe_proposal, list_proposal, print_proposal
from syncd.cli.screen.runs import explain_result, find_run, print_run
from syncd.model.change import Action
from syncd.model.numbers import tell_number

if TYPE_CHECKING:
    from syncd.model.run import RunRecord


@click.command("undo")
@click.argument("run", metavar="RUN")
@click.option("--dry-run", is_flag=True, help="Print the plan; the portal is not written to.")
@click.option("--delete-created", is_flag=True, help="Delete the accounts and groups that the run created.")
@click.option(
    "--wait", type=duration, metavar="DURATION", help="Wait so long for another syncd that works on this store."
)
@actions_option("With --dry-run: list only changes of this action; may be repeated.")
@list_options
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
    actions: tuple[Action, ...],
    listing: Listing,
) -> None:
    """Undo run RUN, as far as what it did still stands; the guard looks at it like at any plan.

    RUN is a number of 'syncd runs', or 'last': the newest run that changed something and is itself no undo.

    What cannot be undone, or was changed again since, is said before anything is written. So is the whole plan; a file
    has it without the limits of a screen, and does not keep it from being carried out.

    \b
    Examples:
      syncd undo 412 --dry-run
      syncd undo 412 --dry-run --action unlink --xlsx undo.xlsx
      syncd undo last
    """
    from syncd.bootstrap.store import open_store
    from syncd.cli.one_run import execute
    from syncd.model.run import RunRequest, find_exit_code
    from syncd.sync.planning.undo import Undo

    if actions and not dry_run:
        raise click.UsageError("--action chooses what is listed, and all of the run is undone: add --dry-run to look")
    settings = invocation.start()
    database = open_store(settings, create=False)
    try:
        wanted = find_run(database, run, changing=True)
        _check(wanted)
        if invocation.json or listing.csv == "-":
            click.echo(f"syncd: {_name(wanted)}", err=True)
        else:
            print_line(_name(wanted))

        def tell(run_id: int) -> None:
            if listing.export(HEADINGS, list_proposal(database, run_id, actions=actions).iterate_cells):
                return
            print_proposal(
                database,
                run_id,
                listing,
                left=f"Cannot be undone, or is left as it is, of run {wanted.id}",
                nothing=f"Nothing of run {wanted.id} is left to undo.",
                dry_run=dry_run,
                actions=actions,
            )

        def say(run_id: int) -> None:
            if not invocation.json and not dry_run:
                tell(run_id)
            elif invocation.json and (left := count_left(database, run_id)):
                told = tell_number(left, "change")
                click.echo(f"syncd: {told} of run {wanted.id} cannot be undone, see 'skipped'", err=True)

        record = execute(
            settings,
            database,
            RunRequest(pull="none", trigger="cli", write=not dry_run, retry_failed=True),
            wait=wait,
            proposal=Undo(run_id=wanted.id, delete_created=delete_created),
            shown=say,
        )
        if invocation.json:
            print_json(describe_proposal(database, record, listing, actions=actions))
        elif not dry_run and listing.csv != "-":
            print_run(database, record)
        elif dry_run and record.status in ("succeeded", "held"):
            with paged():  # nobody waits for the store while somebody reads
                tell(record.id)
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
    when = f"started {format_time(record.started_at)}, {tell_number(done, 'change')} done"
    return f"To undo: run {record.id} ({record.kind}, trigger {record.trigger}, {when})"


def _check(record: RunRecord) -> None:
    if record.kind == "plan":
        raise click.BadParameter(f"run {record.id} only planned: there is nothing to undo", param_hint="RUN")
    if record.status == "running":
        raise click.BadParameter(f"run {record.id} is still going on", param_hint="RUN")
