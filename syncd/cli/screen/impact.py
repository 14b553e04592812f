"""What hangs on accounts and groups that are to be removed, in documents and in words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from syncd.cli.screen.output import format_time, print_line

if TYPE_CHECKING:
    from syncd.model.change import Action, OutcomeStatus, PlannedChange
    from syncd.store.db.database import Database
    from syncd.store.reports.impact import Impact

_NAMED = 10
"""So many names of one kind are printed; a document has all."""
_CARDS = 50
"""So many cards are printed."""


def iterate_with_impact(
    database: Database, run_id: int, status: OutcomeStatus, *, actions: Sequence[Action] | None = None
) -> Iterator[tuple[PlannedChange, dict[str, Any]]]:
    """Yield the changes of a run, each with what its entry of a document says of what hangs on a removed record."""
    from syncd.store.reports.impact import load_impacts
    from syncd.store.store import Store

    for chunk in Store(database).plans.iterate_changes(run_id, statuses=[status], actions=actions):
        cards = load_impacts(database, chunk)
        for planned, _, _ in chunk:
            yield planned, describe_card(cards.get(planned.seq))


def describe_card(card: Impact | None) -> dict[str, Any]:
    """Return the key of an entry under which a card stands; nothing where there is no card."""
    if card is None:
        return {}
    tasks = [{**each, "until": format_time(each["until"])} for each in card["substitutions"]]
    return {"impact": {**card, "substitutions": tasks}}


def print_impact_of(entries: Iterable[Mapping[str, Any]]) -> None:
    """Print what hangs on the records that open changes of an explanation remove."""
    from syncd.store.reports.impact import PRIVILEGES_UNKNOWN, describe_impact

    for entry in entries:
        if "impact" in entry:
            print_line(f"What hangs on {entry['bps_id']}:")
            for line in (*describe_impact(entry["impact"], _NAMED), f"not known: {PRIVILEGES_UNKNOWN}"):
                print_line(f"  {line}")


def print_impacts(database: Database, run_id: int, statuses: Sequence[OutcomeStatus]) -> None:
    """Print what hangs on each account and group that a run removes, or would remove."""
    from syncd.store.reports.impact import PRIVILEGES_UNKNOWN, describe_impact

    left = shown = 0
    for status in statuses:
        for planned, entry in iterate_with_impact(database, run_id, status):
            if "impact" not in entry:
                continue
            if shown == _CARDS:
                left += 1
                continue
            if not shown:
                print_line()
                print_line("What hangs on the accounts and groups that are removed:")
            shown += 1
            print_line(f"  {planned.change.object} {planned.change.bps_id}")
            for line in describe_impact(entry["impact"], _NAMED) or ["nothing that is known"]:
                print_line(f"    {line}")
    if left:
        print_line(f"  … and {left:,} more; --json shows all")
    if shown:
        print_line(f"  Not known: {PRIVILEGES_UNKNOWN}.")
