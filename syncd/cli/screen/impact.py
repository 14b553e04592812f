"""What hangs on accounts, groups and memberships that are to be removed, in documents and in words."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from syncd.cli.options import F
from syncd.cli.screen.output import format_time, print_line
from syncd.model.kinds import RECORD_KINDS
from syncd.model.numbers import tell_number

if TYPE_CHECKING:
    from syncd.config import Settings
    from syncd.model.change import Action, OutcomeStatus, PlannedChange
    from syncd.store.db.database import Database
    from syncd.store.reports.impact import Impact

_NAMED = 10
"""So many names of one kind are printed; a document has all."""
_CARDS = 50
"""So many cards are printed."""


def places_option(command: F) -> F:
    """Give a command the option that has the portal's places read for its cards; None: nothing was said about it."""
    text = "Read who has something at the portal's applications and processes, for the cards: up to 200, once an hour."
    return click.option("--places/--no-places", default=None, help=text)(command)


def read_places(
    settings: Settings, database: Database, run_ids: Iterable[int], statuses: Collection[str], *, wanted: bool
) -> None:
    """Have the portal's places read for the cards of these runs, where there are any; what stands in the way is told.

    The cards then say who has something where, and when that was read. ``wanted``: by a word of the person, so that a
    portal which is not configured is told as well.
    """
    from syncd.clock import Clock
    from syncd.config import Missing
    from syncd.store.reports.impact import is_departure
    from syncd.store.store import Store

    if isinstance(settings.bps_side, Missing) and not wanted:
        return
    plans = Store(database).plans
    kinds = {kind for run_id in run_ids for kind in plans.count_outcomes.blocking(run_id)}
    if not any(
        status in statuses and (is_departure(action, what) or (action == "delete" and what in RECORD_KINDS))
        for action, what, status in kinds
    ):
        return
    from syncd.bootstrap.survey import look_around  # with a client for the portal, which most lists do not need

    if why := look_around(settings, database, Clock()):
        click.echo(f"syncd: who has something in the portal could not be read for the cards: {why}", err=True)


def iterate_with_impact(
    database: Database, run_id: int, status: OutcomeStatus, *, actions: Sequence[Action] | None = None
) -> Iterator[tuple[PlannedChange, dict[str, Any]]]:
    """Yield the changes of a run, each with what its entry of a document says of what hangs on what is removed."""
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
    if "substitutions" not in card:
        return {"impact": card}
    tasks = [{**each, "until": format_time(each["until"])} for each in card["substitutions"]]
    return {"impact": {**card, "substitutions": tasks}}


def print_impact_of(entries: Iterable[Mapping[str, Any]]) -> None:
    """Print what hangs on what the open changes of an explanation remove."""
    from syncd.store.reports.impact import describe_impact

    told = set[tuple[str, str]]()
    for entry in entries:
        which = (entry["action"], entry["bps_id"])
        if "impact" not in entry or which in told:
            continue
        told.add(which)
        card = entry["impact"]
        what = "a membership of " if _is_departure(card) else ""
        print_line(f"What hangs on {what}{entry['bps_id']}:")
        for line in (*describe_impact(card, _NAMED), f"not known: {card['unknown']}"):
            print_line(f"  {line}")


def print_impacts(database: Database, run_id: int, statuses: Sequence[OutcomeStatus]) -> None:
    """Print what hangs on each account and group that a run removes, or would remove, and on the memberships."""
    from syncd.store.reports.impact import describe_impact

    left = shown = 0
    unknown = ""
    departures: dict[str, tuple[Impact, int]] = {}
    for status in statuses:
        for planned, entry in iterate_with_impact(database, run_id, status):
            if "impact" not in entry:
                continue
            card = entry["impact"]
            unknown = str(card["unknown"])
            if _is_departure(card):
                departures[planned.change.bps_id] = card, departures.get(planned.change.bps_id, (card, 0))[1] + 1
                continue
            if shown == _CARDS:
                left += 1
                continue
            if not shown:
                print_line()
                print_line("What hangs on the accounts and groups that are removed:")
            shown += 1
            print_line(f"  {planned.change.object} {planned.change.bps_id}")
            for line in describe_impact(card, _NAMED) or ["nothing that is known"]:
                print_line(f"    {line}")
    if left:
        print_line(f"  … and {left:,} more; --json shows all")
    _print_departures(departures)
    if unknown:
        print_line(f"  Not known: {unknown}.")


def _print_departures(departures: Mapping[str, tuple[Impact, int]]) -> None:
    """Print what people lose who leave groups, by group."""
    from syncd.store.reports.impact import describe_impact

    known = {group: found for group, found in departures.items() if found[0]["privileges"]}
    if departures:
        print_line()
        print_line("What hangs on the memberships that are removed:")
    for group in list(known)[:_CARDS]:
        card, number = known[group]
        print_line(f"  {group}, {number:,} {'membership' if number == 1 else 'memberships'}")
        for line in describe_impact(card, _NAMED):
            print_line(f"    {line}")
    if len(known) > _CARDS:
        print_line(f"  … and {tell_number(len(known) - _CARDS, 'more group')}; --json shows all")


def _is_departure(card: Impact) -> bool:
    """Tell whether a card is that of a membership."""
    return "memberships" not in card
