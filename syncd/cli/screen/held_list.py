"""What runs hold, as a list and as documents: the limits, the changes, what hangs on them, and the way out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from syncd.cli.screen.change_list import ChangeList, explain_by_leaving, print_following
from syncd.cli.screen.changes import describe_change, describe_following, describe_values
from syncd.cli.screen.handovers import load_cards, print_cards
from syncd.cli.screen.impact import iterate_with_impact, print_impacts
from syncd.cli.screen.lists import Listing
from syncd.cli.screen.output import Stream, format_time, print_line
from syncd.clock import Clock

if TYPE_CHECKING:
    from syncd.config import Settings
    from syncd.model.change import Action, PlannedChange
    from syncd.model.source import Stream as SourceStream
    from syncd.plan.daily import Allowance
    from syncd.store.db.database import Database


def list_held(database: Database, run_id: int, actions: tuple[Action, ...]) -> ChangeList:
    """Return what a run holds, all or some actions of it."""
    return ChangeList(
        database=database,
        run_id=run_id,
        statuses=("held",),
        actions=actions or None,
        explain=explain_by_leaving(database),
        values=lambda change: describe_values(change) if change.before and change.after else "",
    )


def describe_held(settings: Settings, database: Database, listed: ChangeList, listing: Listing) -> dict[str, object]:
    """Return the document of what a run holds."""
    run_id = listed.run_id
    cards = load_cards(settings, database, run_id, ["held"])
    return {
        **_describe_hold(database, run_id),
        "changes": Stream(
            {
                **describe_change(planned),
                "reason": planned.error.text,
                "why": why or None,
                "since": since,
                **card,
                **({"card": cards[planned.seq]} if planned.seq in cards else {}),
            }
            for planned, why, since, card in listing.take(_iterate_whole(listed))
        ),
        "follows": Stream(describe_following(database, run_id)),
    }


def describe_emptied(
    database: Database, emptied: Sequence[tuple[int, SourceStream]], holding: Sequence[int]
) -> Iterator[dict[str, object]]:
    """Yield a document for each run that holds a stream as a whole, and no change: its reason says why.

    Such a hold does not expire: it lasts until somebody approves it, or the tenant shows somebody again.
    """
    for run_id in sorted({run_id for run_id, _ in emptied} - {*holding}):
        yield {**_describe_hold(database, run_id), "expires_at": None, "changes": [], "follows": []}


def print_emptied(emptied: Sequence[tuple[int, SourceStream]]) -> None:
    """Print which streams are held as a whole, and how to say that it is true."""
    from syncd.model.source import ACTIVE

    for run_id, stream in emptied:
        print_line(
            f"Run {run_id} holds all {stream} as they are: the tenant had {ACTIVE[stream]} and shows none any more. "
            f"Nothing is taken away until it shows some again. If it is true: syncd approve {run_id}"
        )


def _describe_hold(database: Database, run_id: int) -> dict[str, object]:
    from syncd.model.run import HELD_FOR
    from syncd.store.store import Store

    record = Store(database).runs.load_run.blocking(run_id)
    finished = record.finished_at if record else None
    plans = Store(database).plans
    return {
        "run": run_id,
        "reason": record.error if record else "",
        "since": format_time(plans.load_held_since.blocking([run_id])),
        "expires_at": format_time(finished + HELD_FOR) if finished else None,
        "allowances": describe_allowances(plans.load_allowances.blocking(now=Clock().now())),
    }


def _iterate_whole(listed: ChangeList) -> Iterator[tuple[PlannedChange, str, str | None, dict[str, object]]]:
    """Yield what a run holds, with its reason, the time since when it is held, and what hangs on a removed record."""
    from syncd.store.store import Store

    plans, known = Store(listed.database).plans, dict[int, datetime]()
    cards = iterate_with_impact(listed.database, listed.run_id, "held", actions=listed.actions)
    for (planned, why), (_, card) in zip(listed.iterate(), cards, strict=True):
        first = planned.held_since or listed.run_id
        if first not in known:
            known |= plans.load_starts([first])
        yield planned, why, format_time(known.get(first)), card


def print_held(settings: Settings, database: Database, listed: ChangeList, listing: Listing) -> None:
    """Print once per kind which limit withholds it, and once per reason why it is wanted."""
    from syncd.plan.daily import describe_allowances as tell_allowances
    from syncd.plan.report.counts import group_holds
    from syncd.store.store import Store

    run_id = listed.run_id
    told = _describe_hold(database, run_id)
    print_line(f"Run {run_id} holds changes until {told['expires_at']}, the oldest of them since {told['since']}:")
    for reason, kinds in group_holds(Store(database).plans.load_holds(run_id)).items():
        print_line(f"  {', '.join(f'{action} {number:,}' for action, number in kinds)}: {reason}")
    for line in tell_allowances(Store(database).plans.load_allowances.blocking(now=Clock().now())):
        print_line(f"  {line}")
    listed.print(listing)
    print_cards(load_cards(settings, database, run_id, ["held"]).values())
    print_impacts(database, run_id, ["held"])
    print_following(database, run_id)
    print_line()
    print_line(f"To apply all of it: syncd approve {run_id}; by kind: --kind unlink; by object: --only BPSID. "
               f"To drop it: syncd reject {run_id}")  # fmt: skip


def describe_allowances(allowances: Sequence[Allowance]) -> list[dict[str, object]]:
    """Return what the last 24 hours took away unasked as JSON documents have it."""
    return [
        {"action": each.action, "object": each.object, "used": each.used, "allowed": each.allowed}
        for each in allowances
    ]
