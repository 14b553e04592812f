"""``syncd plan``: what a push would do, complete, without writing anything to the target."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from syncd.cli.options import Invocation, duration, pass_invocation, shared_options
from syncd.cli.screen.change_list import HEADINGS, ChangeList, explain_by_leaving, print_following
from syncd.cli.screen.changes import describe_change, describe_following, iterate_dropped
from syncd.cli.screen.handovers import load_cards, print_cards
from syncd.cli.screen.impact import iterate_with_impact, places_option, print_impacts, read_places
from syncd.cli.screen.lists import Listing, list_options
from syncd.cli.screen.output import Stream, print_json, print_line
from syncd.cli.screen.pager import paged
from syncd.cli.screen.plan_file import check_place, write_plan
from syncd.cli.screen.runs import explain_result
from syncd.model.kinds import RECORD_KINDS
from syncd.model.reason import Cause
from syncd.model.shell import quote_word

if TYPE_CHECKING:
    from syncd.config import Settings
    from syncd.model.change import OutcomeStatus
    from syncd.model.run import RunRecord
    from syncd.store.db.database import Database

_STATUSES: tuple[OutcomeStatus, ...] = ("planned", "held", "deferred", "dropped")
_REASONS_SHOWN = 20


@click.command("plan")
@click.argument("pull", type=click.Choice(["full", "delta", "none"]), default="delta", metavar="[full|delta|none]")
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the plan to a file as well, for 'syncd apply FILE'.",
)
@click.option(
    "--wait",
    type=duration,
    metavar="DURATION",
    help="Wait so long for another syncd that works on this store, or for its answer.",
)
@places_option
@list_options
@shared_options
@pass_invocation
@click.pass_context
def plan(
    context: click.Context,
    invocation: Invocation,
    *,
    pull: Literal["full", "delta", "none"],
    out: Path | None,
    wait: timedelta | None,
    places: bool | None,
    listing: Listing,
) -> None:
    """Pull (none: use the store as it is), plan, and print the plan; the target is never written.

    Beside a working daemon the daemon makes the plan, by the same rules and between two runs; it waits 15 minutes for
    that. A full plan, and one for a file, need the store for themselves.

    Exit code 0 whenever a plan could be made, also when a guard would hold a part of it.

    \b
    Examples:
      syncd plan full
      syncd plan none --xlsx plan.xlsx
    """
    from syncd.bootstrap.store import open_store
    from syncd.cli.asking import ask_daemon, has_working_daemon
    from syncd.cli.one_run import execute
    from syncd.errors import StoreLocked
    from syncd.model.run import RunRequest, find_exit_code

    settings = invocation.start()
    if out is not None:
        check_place(out)
    database = open_store(settings, create=pull != "none")
    try:
        shown = partial(write_plan, settings, database, out) if out is not None else None
        request = RunRequest(pull=pull, trigger="cli", write=False, retry_failed=True)
        try:
            record = execute(settings, database, request, shown=shown)
        except StoreLocked:
            daemon = has_working_daemon(database)
            if daemon and pull != "full" and out is None:
                record = ask_daemon(settings, database, "plan none" if pull == "none" else "plan delta", wait=wait)
            elif wait is None:
                raise
            else:
                record = execute(settings, database, request, shown=shown, wait=wait)
        made = record.status in ("succeeded", "held", "partial")
        if made and places and not listing.exports:
            read_places(settings, database, (record.id,), ("planned", "held"), wanted=True)
        if made and invocation.json:
            _print_document(settings, database, record, listing)
        elif made and not listing.export(HEADINGS, _list_changes(database, record.id, *_STATUSES).iterate_cells):
            with paged():
                _print_tables(settings, database, record, listing)
    finally:
        database.close()
    if made and out is not None:
        click.echo(f"syncd: the plan is in {out}; 'syncd apply {quote_word(str(out))}' does exactly that", err=True)
    if not made or record.status == "partial":
        explain_result(record)
    context.exit(0 if made else find_exit_code(record))


def _list_changes(database: Database, run_id: int, *statuses: OutcomeStatus) -> ChangeList:
    return ChangeList(
        database=database,
        run_id=run_id,
        statuses=statuses,
        explain=explain_by_leaving(database, first=lambda planned: planned.error.text),
        apart=Cause.FOLLOWS_ADOPTION,
    )


def _print_document(settings: Settings, database: Database, record: RunRecord, listing: Listing) -> None:
    cards = load_cards(settings, database, record.id, ("planned", "held"))
    print_json(
        {
            "id": record.id,
            "changes": Stream(listing.take(_iterate(database, record.id, "planned", reasons=False, cards=cards))),
            "counts": _count(database, record.id, "planned"),
            "skipped": Stream(_iterate_skipped(settings, database)),
            "held": Stream(listing.take(_iterate(database, record.id, "held", reasons=True, cards=cards))),
            "deferred": Stream(listing.take(_iterate(database, record.id, "deferred", reasons=True))),
            "dropped": Stream(
                {**describe_change(planned), "reason": planned.error.text}
                for planned in iterate_dropped(database, record.id)
                if planned.error.cause is not Cause.FOLLOWS_ADOPTION
            ),
            "follows": Stream(describe_following(database, record.id)),
            "waves": [{"wave": wave, "changes": number} for wave, number in _count_waves(database, record.id).items()],
        }
    )


def _iterate(
    database: Database,
    run_id: int,
    status: OutcomeStatus,
    *,
    reasons: bool,
    cards: Mapping[int, Mapping[str, object]] | None = None,
) -> Iterator[dict[str, object]]:
    for planned, impact in iterate_with_impact(database, run_id, status):
        reason = {"reason": planned.error.text} if reasons else {}
        card = {"card": cards[planned.seq]} if cards and planned.seq in cards else {}
        yield {**describe_change(planned), **reason, **impact, **card}


def _count_waves(database: Database, run_id: int) -> dict[int, int]:
    from syncd.store.store import Store

    return Store(database).waves.count_waves.blocking(run_id)


def _count(database: Database, run_id: int, wanted: OutcomeStatus) -> dict[str, int]:
    from syncd.store.store import Store

    found: dict[str, int] = {}
    for (action, _, status), number in sorted(Store(database).plans.count_outcomes.blocking(run_id).items()):
        if status == wanted:
            found[action] = found.get(action, 0) + number
    return found


def _iterate_skipped(settings: Settings, database: Database) -> Iterator[dict[str, object]]:
    from syncd.bootstrap.rules import make_rules
    from syncd.store.reports.status import Report

    report = Report(database, make_rules(settings).policy)
    for kind in RECORD_KINDS:
        for line in report.iterate(kind):
            if line.state == "skipped":
                yield {"source_id": line.source_id, "reason": line.reason}


# ---- for people -----------------------------------------------------------------------------------------------------


def _print_tables(settings: Settings, database: Database, record: RunRecord, listing: Listing) -> None:
    from syncd.store.store import Store

    counts = _count(database, record.id, "planned")
    total = sum(counts.values())
    print_line(f"Plan {record.id}: {_list(counts) or 'nothing to change'}")
    if waves := _count_waves(database, record.id):
        told = ", ".join(f"{number:,} in wave {wave}" for wave, number in waves.items())
        print_line(f"By policy.waves: {told}; each is read back before the next")
    if total:
        _list_changes(database, record.id, "planned").print(listing, total=total)
    held = _count(database, record.id, "held")
    if held:
        print_line()
        print_line(f"Would be held for approval: {_list(held)}")
        _list_changes(database, record.id, "held").print(listing, total=sum(held.values()))
    deferred = _count(database, record.id, "deferred")
    if deferred:
        print_line()
        print_line(f"Put off to a later run: {_list(deferred)}")
        _list_changes(database, record.id, "deferred").print(listing, total=sum(deferred.values()))
    dropped = _count(database, record.id, "dropped")
    following = Store(database).plans.count_following(record.id)
    dropped["unlink"] = dropped.get("unlink", 0) - following
    if sum(dropped.values()):
        print_line()
        print_line(f"Left alone: {_list({action: number for action, number in dropped.items() if number})}")
        _list_changes(database, record.id, "dropped").print(listing, total=sum(dropped.values()))
    print_cards(load_cards(settings, database, record.id, ("planned", "held")).values())
    print_impacts(database, record.id, ["planned", "held"])
    print_following(database, record.id)
    _print_skipped(settings, database)


def _print_skipped(settings: Settings, database: Database) -> None:
    reasons: dict[str, int] = {}
    more = 0
    for entry in _iterate_skipped(settings, database):
        reason = str(entry["reason"])
        if reason in reasons or len(reasons) < _REASONS_SHOWN:
            reasons[reason] = reasons.get(reason, 0) + 1
        else:
            more += 1
    if not reasons:
        return
    print_line()
    print_line(f"Skipped: {sum(reasons.values()) + more:,}")
    for reason, number in sorted(reasons.items(), key=lambda item: (-item[1], item[0])):
        print_line(f"  {number:,} × {reason}")
    if more:
        print_line(f"  {more:,} for other reasons: 'syncd users --state skipped' has all of them")


def _list(counts: dict[str, int]) -> str:
    return ", ".join(f"{action} {number:,}" for action, number in counts.items())
