"""``syncd drift``: what was changed by hand in the portal since our last write."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

import click

from syncd.cli.options import Invocation, duration, pass_invocation, shared_options
from syncd.cli.screen.drift_list import HEADINGS, DriftList
from syncd.cli.screen.lists import Listing, list_options
from syncd.cli.screen.output import Stream, print_json, print_line
from syncd.cli.screen.pager import paged
from syncd.cli.screen.runs import explain_result, print_run

if TYPE_CHECKING:
    from syncd.model.run import RunRecord
    from syncd.plan.drift import Drift

_OBJECTS = ("user", "group", "membership", "ownership", "licence", "privilege")
_LEVELS = (
    "Of privileges only what somebody took is seen: the portal tells who has something at a place, and neither the "
    "level nor the company ('syncd privileges')."
)


@click.command("drift")
@click.option("--revert", "answer", flag_value="revert", help="Write back what syncd wrote; guarded like any plan.")
@click.option("--adopt", "answer", flag_value="adopt", help="Leave it as it is, until the tenant says something new.")
@click.option(
    "--wait",
    type=duration,
    metavar="DURATION",
    help="Wait so long for another syncd that works on this store, or for its answer.",
)
@click.option(
    "--object", "objects", multiple=True, type=click.Choice(_OBJECTS), help="List only these; may be repeated."
)
@list_options
@shared_options
@pass_invocation
@click.pass_context
def drift(
    context: click.Context,
    invocation: Invocation,
    *,
    answer: Literal["revert", "adopt"] | None,
    wait: timedelta | None,
    objects: tuple[str, ...],
    listing: Listing,
) -> None:
    """Read the portal and tell what was changed by hand: fields, memberships, and records that were removed.

    Without --revert or --adopt nothing is changed anywhere, and beside a working daemon the daemon looks. What --revert
    would leave as it is, since nobody wants it any more or a rule forbids it, is listed apart with the reason.

    \b
    Examples:
      syncd drift
      syncd drift --object membership --xlsx drift.xlsx
      syncd drift --revert
    """
    from syncd.bootstrap.rules import make_rules
    from syncd.bootstrap.store import open_store
    from syncd.cli.asking import ask_daemon, has_working_daemon
    from syncd.cli.one_run import execute
    from syncd.cli.screen.progress import Aside
    from syncd.errors import StoreLocked
    from syncd.model.run import RunRequest, find_exit_code
    from syncd.store.store import Store
    from syncd.sync.planning.drift import DriftCheck, iterate_known_drift
    from syncd.sync.planning.kept_by_hand import list_ours

    if objects and answer is not None:
        raise click.UsageError(f"--object chooses what is listed, and --{answer} is about all of it: leave one out")
    settings = invocation.start()
    database = open_store(settings, create=False)
    rules = make_rules(settings)
    aside = Aside()

    def load() -> Iterator[list[Drift]]:
        return iterate_known_drift(Store(database), list_ours(rules))

    found = DriftList(database=database, rules=rules, load=load, objects=objects)

    def tell() -> None:
        if invocation.json:
            print_json(Stream(listing.take(found.describe())))
        elif not listing.export(HEADINGS, found.iterate_cells):
            found.print(listing)
            if settings.privileges or Store(database).privileges.are_ours.blocking():
                print_line(_LEVELS)

    def tell_before(_: Iterator[list[Drift]]) -> None:
        if answer is not None:  # before anything is done about it
            with aside.printing():
                tell()

    def carry_out(patience: timedelta | None) -> RunRecord:
        return execute(
            settings,
            database,
            RunRequest(pull="none", trigger="cli", retry_failed=True),
            wait=patience,
            proposal=DriftCheck(answer or "report", tell_before),
            aside=aside,
        )

    try:
        try:
            record = carry_out(None if answer is None else wait)
        except StoreLocked:
            if answer is not None:
                raise
            if has_working_daemon(database):
                record = ask_daemon(settings, database, "drift", wait=wait)
            elif wait is None:
                raise
            else:
                record = carry_out(wait)
        if answer is None and record.status == "succeeded":
            with paged():  # nobody waits for the store while somebody reads
                tell()
        elif answer == "revert" and not invocation.json and listing.csv != "-":
            print_run(database, record)
    finally:
        database.close()
    explain_result(record)
    context.exit(find_exit_code(record))
