"""``syncd drift``: what was changed by hand in the portal since our last write."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

import click

from syncd.cli.options import Invocation, duration, pass_invocation, shared_options
from syncd.cli.screen.names import name_groups, name_owners
from syncd.cli.screen.output import ROWS_SHOWN, Stream, print_json, print_line, print_table
from syncd.cli.screen.runs import explain_result, print_run

if TYPE_CHECKING:
    from syncd.cli.documents.lists import Difference
    from syncd.model.run import RunRecord
    from syncd.plan.drift import Drift
    from syncd.store.db.database import Database


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
@shared_options
@pass_invocation
@click.pass_context
def drift(
    context: click.Context,
    invocation: Invocation,
    *,
    answer: Literal["revert", "adopt"] | None,
    wait: timedelta | None,
) -> None:
    """Read the portal and tell what was changed by hand: fields, memberships, and records that were removed.

    Without an option nothing is changed anywhere, and beside a working daemon the daemon looks.

    \b
    Examples:
      syncd drift
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

    settings = invocation.start()
    database = open_store(settings, create=False)

    aside = Aside()

    def tell(found: Iterator[list[Drift]]) -> None:
        entries = name_owners(database, found)
        with aside.printing():
            if invocation.json:
                print_json(Stream(describe_drift(entry, owner) for entry, owner in entries))
            else:
                _print_drift(database, entries)
                if settings.privileges or Store(database).privileges.are_ours.blocking():
                    print_line(_LEVELS)

    def carry_out(patience: timedelta | None) -> RunRecord:
        return execute(
            settings,
            database,
            RunRequest(pull="none", trigger="cli", retry_failed=True),
            wait=patience,
            proposal=DriftCheck(answer or "report", tell),
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
                if record.status == "succeeded":
                    tell(iterate_known_drift(Store(database), list_ours(make_rules(settings))))
            elif wait is None:
                raise
            else:
                record = carry_out(wait)
        if answer == "revert" and not invocation.json:
            print_run(database, record)
    finally:
        database.close()
    explain_result(record)
    context.exit(find_exit_code(record))


def describe_drift(entry: Drift, owner: str | None) -> Difference:
    """Return one difference as its JSON document has it. ``owner``: the login of the person, or the group's name."""
    return {
        "object": entry.object,
        "bps_id": entry.bps_id,
        "field": entry.field,
        "ours": entry.ours,
        "theirs": entry.theirs,
        "source_id": entry.source_id,
        "owner": owner,
    }


def _print_drift(database: Database, entries: Iterable[tuple[Drift, str | None]]) -> None:
    shown: list[tuple[str, ...]] = []
    more = 0
    for entry, owner in entries:
        if len(shown) < ROWS_SHOWN:
            ours, theirs = entry.ours or "–", entry.theirs or "–"
            shown.append((entry.object, entry.bps_id, entry.field, ours, theirs, owner or "gone from the tenant"))
        else:
            more += 1
    if not shown:
        print_line(
            "Nothing was changed by hand. (Memberships that syncd wrote within the last hour are judged later: the "
            "portal may not show them yet.)"
        )
        return
    print_line(f"Changed by hand since syncd's last write: {len(shown) + more:,}")
    print_table(
        (("object", 3), ("bps id", 8), ("field", 3), ("ours", 8), ("theirs", 8), ("owned for", 8)),
        name_groups(database, shown, kind=0),
    )
    if more:
        print_line(f"… and {more:,} more; --json shows all")
