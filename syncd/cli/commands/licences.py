"""``syncd licences``: seats by type, who uses them, who waits for one, and whom each rule covers."""

from __future__ import annotations

import contextlib

import click

from syncd.cli.commands.status import describe_licence
from syncd.cli.options import STORE_ONLY, Invocation, pass_invocation, shared_options
from syncd.cli.screen.lists import Listing, list_options
from syncd.cli.screen.output import Stream, print_json, print_line, print_table

COLUMNS = (("type", 2), ("seats", 1), ("by rule", 1), ("by hand", 1), ("free", 1), ("waiting", 1))
_RULE_COLUMNS = (("rule", 1), ("group", 3), ("type", 2), ("covers", 1), ("gives", 1))


@click.command("licences")
@list_options
@shared_options
@pass_invocation
def licences(invocation: Invocation, *, listing: Listing) -> None:
    """List the licences by type: seats, used by rule and by hand, free, and how many people wait; then each rule.

    A rule covers the members of its group, and gives to those whom no earlier rule covers. Neither side is asked.

    \b
    Examples:
      syncd licences
      syncd licences --xlsx licences.xlsx
    """
    from syncd.bootstrap.store import open_store
    from syncd.store.reports.licences import load_licence_use, load_rule_cover

    settings = invocation.start(need=STORE_ONLY)
    rules = settings.licences
    with contextlib.closing(open_store(settings, create=False)) as database:
        used = list(listing.take(load_licence_use(database, [rule.type for rule in rules])))
        covers = load_rule_cover(database, len(rules))
    if invocation.json:
        print_json(Stream(describe_licence(use) for use in used))
        return
    rows = [
        (
            use.type,
            use.seats,
            use.by_rule,
            use.by_hand,
            None if use.seats is None else use.seats - use.by_rule - use.by_hand,
            use.waiting,
        )
        for use in used
    ]
    if listing.export([heading for heading, _ in COLUMNS], lambda: rows):
        return
    if not used:
        print_line("No licence is known: there is no rule ([[licences]]), or the portal was not asked yet.")
        return
    print_table(
        COLUMNS, ((*row[:1], *("–" if n is None else f"{n:,}" for n in row[1:])) for row in rows), wide=listing.wide
    )
    if rules:
        print_line()
        print_table(
            _RULE_COLUMNS,
            (
                (
                    f"licences[{cover.place}]",
                    rules[cover.place].group,
                    rules[cover.place].type,
                    cover.covers,
                    cover.first,
                )
                for cover in covers
            ),
            wide=listing.wide,
        )
