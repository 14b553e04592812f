"""A plan that sets something back, as a list: what is left alone and why, what is done, and what is withheld."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from syncd.cli.screen.change_list import ChangeList, explain_each
from syncd.cli.screen.changes import describe_change, describe_values, put_in_words
from syncd.cli.screen.lists import Listing
from syncd.cli.screen.output import Stream, print_line
from syncd.model.reason import Cause

if TYPE_CHECKING:
    from syncd.model.change import Action, OutcomeStatus, PlannedChange
    from syncd.model.run import RunRecord
    from syncd.store.db.database import Database

_STATUSES: tuple[OutcomeStatus, ...] = ("planned", "held", "deferred", "dropped")


def list_proposal(
    database: Database,
    run_id: int,
    statuses: Sequence[OutcomeStatus] = _STATUSES,
    *,
    actions: Sequence[Action] = (),
) -> ChangeList:
    """Return the changes of such a plan, all or those of some actions, each with why it is done or left."""
    return ChangeList(
        database=database,
        run_id=run_id,
        statuses=statuses,
        actions=actions or None,
        explain=explain_each(_explain),
        values=(lambda _change: "") if tuple(statuses) == ("dropped",) else describe_values,
    )


def _explain(planned: PlannedChange) -> str:
    """Return why a change is left or withheld, or what is special about it; that it is set back goes without saying."""
    if planned.status != "planned":
        return planned.error.text
    reason = planned.change.reason
    return "" if reason.cause in (Cause.UNDONE, Cause.LOST_WITH_PORTAL) else put_in_words(reason.text)


def print_proposal(
    database: Database,
    run_id: int,
    listing: Listing,
    *,
    left: str,
    nothing: str,
    dry_run: bool = False,
    actions: Sequence[Action] = (),
) -> None:
    """Print a plan before anything of it is done.

    ``left`` is the heading of what is left alone; ``nothing`` is said where there is nothing to do.
    """
    headings: dict[OutcomeStatus, str] = {
        "dropped": left,
        "planned": "Would be done" if dry_run else "To be done",
        "held": "Would be held for approval" if dry_run else "Held for approval",
        "deferred": "Not possible now",
    }
    told = False
    for status, heading in headings.items():
        changes = list_proposal(database, run_id, [status], actions=actions)
        if number := changes.count():
            if told:
                print_line()
            told = True
            print_line(f"{heading}: {number:,}")
            changes.print(listing, total=number, rest=f"--limit N shows more; 'syncd runs show {run_id}' has all")
    if not list_proposal(database, run_id, ["planned", "held"]).count():
        print_line(nothing)
    elif actions and not list_proposal(database, run_id, actions=actions).count():
        print_line("No change that fits.")


def count_left(database: Database, run_id: int) -> int:
    """Return how many changes such a plan leaves alone."""
    return list_proposal(database, run_id, ["dropped"]).count()


def describe_proposal(
    database: Database, record: RunRecord, listing: Listing, *, actions: Sequence[Action] = ()
) -> dict[str, object]:
    """Return the document of a plan that sets something back; it is also that of its outcomes, once it was applied."""
    done: tuple[OutcomeStatus, ...] = ("planned", "started", "done", "failed")

    def iterate(*statuses: OutcomeStatus) -> Iterator[PlannedChange]:
        return listing.take(_iterate_changes(database, record.id, statuses, actions))

    return {
        "id": record.id,
        "changes": Stream({**describe_change(each), "outcome": each.status} for each in iterate(*done)),
        "counts": _count_actions(database, record.id, actions),
        "skipped": Stream(
            {**describe_change(each), "source_id": None, "reason": each.error.text} for each in iterate("dropped")
        ),
        "held": Stream({**describe_change(each), "reason": each.error.text} for each in iterate("held")),
        "deferred": Stream({**describe_change(each), "reason": each.error.text} for each in iterate("deferred")),
    }


def _iterate_changes(
    database: Database, run_id: int, statuses: Sequence[OutcomeStatus], actions: Sequence[Action]
) -> Iterator[PlannedChange]:
    from syncd.store.store import Store

    for chunk in Store(database).plans.iterate_changes(run_id, statuses=statuses, actions=actions or None):
        for planned, _, _ in chunk:
            yield planned


def _count_actions(database: Database, run_id: int, actions: Sequence[Action]) -> dict[str, int]:
    from syncd.store.store import Store

    found: dict[str, int] = {}
    for (action, _, status), number in sorted(Store(database).plans.count_outcomes.blocking(run_id).items()):
        if status not in ("dropped", "held", "deferred") and (not actions or action in actions):
            found[action] = found.get(action, 0) + number
    return found
