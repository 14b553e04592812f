"""Handovers as cards: who had the record, what hangs on it, and what speaks for and against."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from syncd.cli.screen.output import format_time, print_line

if TYPE_CHECKING:
    from syncd.config import Settings
    from syncd.model.change import OutcomeStatus
    from syncd.store.db.database import Database
    from syncd.store.reports.handovers import Card, HandoverCards

_NAMED = 10
"""So many names of one kind are printed."""


def make_cards(settings: Settings, database: Database) -> HandoverCards:
    """Return what makes cards, under the rules in force."""
    from syncd.bootstrap.rules import make_rules
    from syncd.clock import Clock
    from syncd.store.reports.handovers import HandoverCards

    return HandoverCards(database, make_rules(settings), now=Clock().now())


def load_cards(
    settings: Settings, database: Database, run_id: int, statuses: Collection[OutcomeStatus]
) -> dict[int, dict[str, Any]]:
    """Return the cards of a run's handovers, by their place in the plan, as plain values."""
    return {seq: describe_card(card) for seq, card in make_cards(settings, database).iterate(run_id, statuses)}


def describe_card(card: Card) -> dict[str, Any]:
    """Return a card as its JSON document has it."""
    former = card["former"]
    hanging = dict(card["hangs_on_it"])
    if "substitutions" in hanging:
        hanging["substitutions"] = [{**each, "until": format_time(each["until"])} for each in hanging["substitutions"]]
    told = None if former is None else {**former, "gone_since": format_time(former["gone_since"])}
    return {**card, "former": told, "hangs_on_it": hanging}


def print_cards(cards: Iterable[Mapping[str, Any]]) -> None:
    """Print cards, a few lines each."""
    for card in cards:
        former, newcomer = card["former"], card["newcomer"]
        print_line()
        print_line(f"Handover of the {card['object']} {card['bps_id']}:")
        if former is None:
            print_line("  had it:   nobody whom the tenant knows any more")
        else:
            since = f", since {former['gone_since']}" if former["gone_since"] else ""
            print_line(f"  had it:   {_name(former)}; {former['became']}{since}")
        print_line(f"  wants it: {_name(newcomer)}")
        hanging = {what: _list(found) for what, found in card["hangs_on_it"].items() if found}
        print_line(f"  on it:    {'; '.join(f'{what}: {words}' for what, words in hanging.items()) or 'nothing'}")
        for title, words in (("for", card["evidence"]["for"]), ("against", card["evidence"]["against"])):
            print_line(f"  {title + ':':<9} {'; '.join(words) or 'nothing'}")


def _name(party: Mapping[str, Any]) -> str:
    login = f", {party['login']}" if party["login"] else ""
    return f"{party['name'] or 'no name'} ({party['id']}{login})"


def _list(found: list[Any]) -> str:
    words = [_say(each) for each in found[:_NAMED]]
    return ", ".join(words) + (f" and {len(found) - _NAMED} more" if len(found) > _NAMED else "")


def _say(each: Any) -> str:
    if not isinstance(each, Mapping):
        return str(each)
    if "type" in each:
        return f"{each['type']} ({each['granted']})"
    return f"tasks of {each['tasks_of']} go to {each['go_to']} until {each['until']}"
