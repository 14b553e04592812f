"""``syncd replay``: what was lost since a portal went back in time."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import click

from syncd.cli.options import Invocation, duration, pass_invocation, shared_options
from syncd.cli.screen.change_list import HEADINGS
from syncd.cli.screen.lists import Listing, list_options
from syncd.cli.screen.output import print_json, print_line
from syncd.cli.screen.pager import paged
from syncd.cli.screen.proposal import describe_proposal, list_proposal, print_proposal
from syncd.cli.screen.runs import explain_result, print_run

if TYPE_CHECKING:
    from syncd.plan.restored import Restored
    from syncd.store.db.database import Database

_AS_IT_SHOULD_BE = "The portal shows what syncd has written: nothing was lost."


@click.command("replay")
@click.option("--apply", "write", is_flag=True, help="Write again what was lost; guarded like any plan.")
@click.option("--dismiss", is_flag=True, help="Take the portal as it is: the next full run compares as always.")
@click.option(
    "--wait", type=duration, metavar="DURATION", help="Wait so long for another syncd that works on this store."
)
@list_options
@shared_options
@pass_invocation
@click.pass_context
def replay(
    context: click.Context,
    invocation: Invocation,
    *,
    write: bool,
    dismiss: bool,
    wait: timedelta | None,
    listing: Listing,
) -> None:
    """Plan what was lost since a portal went back in time: a backup was restored, or an older copy answers.

    Without an option the portal is read, and not written to.

    \b
    Examples:
      syncd replay
      syncd replay --apply
    """
    from syncd.bootstrap.store import open_store
    from syncd.cli.one_run import execute
    from syncd.model.run import RunRequest, find_exit_code
    from syncd.sync.planning.replay import Replay

    if write and dismiss:
        raise click.UsageError("--apply and --dismiss: one writes what was lost, the other lets it go")
    settings = invocation.start()
    database = open_store(settings, create=False)
    proposal = Replay()

    def tell(run_id: int) -> None:
        if proposal.found is None and not listing.exports:
            print_line(_AS_IT_SHOULD_BE)
        elif not listing.export(HEADINGS, list_proposal(database, run_id).iterate_cells):
            _print_plan(database, run_id, proposal.found, listing, dry_run=not write)

    def show(run_id: int) -> None:
        if write and not invocation.json:
            tell(run_id)

    try:
        record = execute(
            settings,
            database,
            RunRequest(pull="none", trigger="cli", write=write, retry_failed=True),
            wait=wait,
            proposal=proposal,
            shown=show,
        )
        if invocation.json:
            described = describe_proposal(database, record, listing)
            print_json({**described, "restored": describe_restored(proposal.found)})
        elif write and proposal.found is not None and listing.csv != "-":
            print_run(database, record)
        elif not write and record.status in ("succeeded", "held"):
            with paged():  # nobody waits for the store while somebody reads
                tell(record.id)
        if dismiss and record.status in ("succeeded", "held"):
            _dismiss(database, quiet=invocation.json or listing.csv == "-")
    finally:
        database.close()
    explain_result(record)
    context.exit(find_exit_code(record) if write else 0 if record.status in ("succeeded", "held") else 1)


def describe_restored(found: Restored | None) -> dict[str, object] | None:
    """Return what was found of the portal as the JSON document has it; None: it is as it should be."""
    if found is None:
        return None
    return {"since": found.since.isoformat().replace("+00:00", "Z"), "lost": found.lost, "written": found.written}


def _dismiss(database: Database, *, quiet: bool) -> None:
    from syncd.clock import Clock
    from syncd.store.store import Store

    Store(database).past.settle.blocking(now=Clock().now())
    if not quiet:
        print_line("Dismissed: the next run compares the whole portal with the tenant, within the guard, as always.")


def _print_plan(database: Database, run_id: int, found: Restored | None, listing: Listing, *, dry_run: bool) -> None:
    if found is not None:
        print_line(
            f"The portal went back in time: {found.lost:,} of {found.written:,} things that syncd has written since "
            f"{found.since:%Y-%m-%d %H:%M} UTC are as they were before."
        )
    nothing = "Nothing of it is to be written again."
    print_proposal(database, run_id, listing, left="Lost, and left as it is", nothing=nothing, dry_run=dry_run)
