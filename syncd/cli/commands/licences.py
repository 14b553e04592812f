"""``syncd licences``: seats by type, who uses them, who waits for one, and whom each rule covers or would cover."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from syncd.cli.commands.status import describe_licence
from syncd.cli.options import STORE_ONLY, Invocation, pass_invocation, shared_options
from syncd.cli.screen.lists import Listing, list_options
from syncd.cli.screen.output import Stream, print_json, print_line, print_rows, print_table
from syncd.cli.screen.pager import paged
from syncd.cli.screen.table import find_width
from syncd.clock import Clock

if TYPE_CHECKING:
    from syncd.config import Settings
    from syncd.plan.report.licences_as_if import AsIf, Move, TypeAsIf
    from syncd.plan.rules import Rules
    from syncd.store.db.database import Database
    from syncd.store.reports.licences import LicenceUse

COLUMNS = (("type", 2), ("seats", 1), ("by rule", 1), ("by hand", 1), ("free", 1), ("waiting", 1))
_RULE_COLUMNS = (("rule", 1), ("group", 3), ("type", 2), ("covers", 1), ("gives", 1))
_AS_IF_COLUMNS = (
    ("type", 2),
    ("seats", 1),
    ("by rule now", 1),
    ("then", 1),
    ("by hand", 1),
    ("gain", 1),
    ("lose", 1),
    ("waiting", 1),
)
MOVE_COLUMNS = (("bps id", 8), ("name", 5), ("gets", 3), ("loses", 3), ("rule", 5), ("why", 8))
_SHOWN = 200


@click.command("licences")
@click.option(
    "--as-if",
    "as_if",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Tell who would get and lose what under the [[licences]] (and [scope]) of this TOML file.",
)
@list_options
@shared_options
@pass_invocation
def licences(invocation: Invocation, *, as_if: Path | None, listing: Listing) -> None:
    """List the licences by type: seats, used by rule and by hand, free, and how many people wait; then each rule.

    A rule covers the members of its group, and gives to those whom no earlier rule covers. Neither side is asked, and
    nothing is written. With --as-if the files that --csv and --xlsx write have a row for each person concerned.

    \b
    Examples:
      syncd licences
      syncd licences --as-if next-year.toml --xlsx who.xlsx
    """
    from syncd.bootstrap.store import open_store
    from syncd.store.reports.licences import load_licence_use

    settings = invocation.start(need=STORE_ONLY, quiet=True)
    with contextlib.closing(open_store(settings, create=False)) as database:
        used = load_licence_use(database, [rule.type for rule in settings.licences])
        if as_if is not None:
            _show_as_if(invocation, settings, database, as_if, used=used, listing=listing)
            return
        _show(invocation, settings, database, list(listing.take(used)), listing)


def _show(
    invocation: Invocation, settings: Settings, database: Database, used: list[LicenceUse], listing: Listing
) -> None:
    from syncd.store.reports.licences import load_rule_cover

    rules = settings.licences
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
    with paged():
        print_table(COLUMNS, ((row[0], *map(_say_number, row[1:])) for row in rows), wide=listing.wide)
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
                    for cover in load_rule_cover(database, len(rules))
                ),
                wide=listing.wide,
            )


def _say_number(number: object) -> str:
    return "–" if number is None else f"{number:,}"


# ---- under other rules ----------------------------------------------------------------------------------------------


def _show_as_if(
    invocation: Invocation,
    settings: Settings,
    database: Database,
    path: Path,
    *,
    used: list[LicenceUse],
    listing: Listing,
) -> None:
    from syncd.bootstrap.as_if import foresee_licences, read_other_rules
    from syncd.bootstrap.rules import make_rules
    from syncd.store.store import Store

    other, store = read_other_rules(settings, path), Store(database)
    found = foresee_licences(store, make_rules(settings), other, now=Clock().now())
    now = {use.type: use for use in used}
    if invocation.json:
        print_json(Stream(_describe_as_if(each, found, now.get(each.type), other.rules) for each in found.types))
        return
    if listing.export([heading for heading, _ in MOVE_COLUMNS], lambda: _make_rows(found.moves, other.rules)):
        return
    with paged():
        print_line(f"Under the rules of {path}, compared with what people hold now; nothing is written.")
        if store.licences.are_licences_perpetual.blocking():
            print_line("The portal has perpetual licensing and assigns licences by itself: no rule is carried out.")
        elif not store.licences.are_licences_known():
            print_line("The portal's licences were not read yet: it is as if nobody held any. 'syncd sync full' reads "
                       "them once there is a rule.")  # fmt: skip
        print_table(
            _AS_IF_COLUMNS,
            (
                (
                    each.type,
                    *map(
                        _say_number,
                        (each.seats, now[each.type].by_rule if each.type in now else 0, each.by_rule, each.by_hand,
                         each.gains, each.losses, each.waiting),
                    ),
                )
                for each in found.types
            ),
            wide=listing.wide,
        )  # fmt: skip
        print_line()
        rules = other.rules.licences
        print_table(
            (*_RULE_COLUMNS, ("new", 1)),
            (
                (f"licences[{each.place}]", rules[each.place].group, rules[each.place].type, each.covers, each.gives,
                 each.gains)
                for each in found.rules
            ),
            wide=listing.wide,
        )  # fmt: skip
        _print_moves(found, other.rules, listing)


def _print_moves(found: AsIf, rules: Rules, listing: Listing) -> None:
    print_line()
    if not found.moves:
        print_line("Nobody would get or lose one.")
        return
    gain, lose = sum(m.gains is not None for m in found.moves), sum(bool(m.losses) for m in found.moves)
    print_line(f"{len(found.moves):,} people are concerned: {gain:,} would get one, {lose:,} would lose one")
    if find_width(wide=listing.wide) is None:
        shown = print_table(MOVE_COLUMNS, listing.take(_make_rows(found.moves, rules)), wide=listing.wide)
    else:
        shown = _print_grouped(found.moves[: listing.limit or _SHOWN], rules)
    if shown < len(found.moves):
        print_line(f"{len(found.moves) - shown:,} more are not shown: --limit N shows more, --csv FILE writes all")


def _print_grouped(moves: tuple[Move, ...], rules: Rules) -> int:
    """Print people under what they would get and lose, which is said once."""
    groups: dict[tuple[str, str, str], list[tuple[str, str | None]]] = {}
    for move, (_, _, gets, loses, rule, why) in zip(moves, _make_rows(moves, rules), strict=True):
        told = "; ".join(part for part in (f"gets {gets}" if gets else "", f"loses {loses}" if loses else "") if part)
        groups.setdefault((told, str(rule), str(why)), []).append((move.bps_id, move.name))
    shown = 0
    for (told, rule, why), people in groups.items():
        print_line()
        by = "; ".join(part for part in (rule, why) if part)
        print_line(f"{told}, {len(people):,}{f': {by}' if by else ''}")
        shown += print_rows((("bps id", 1), ("name", 1)), people, indent=2)
    return shown


def _make_rows(moves: tuple[Move, ...], rules: Rules) -> Iterator[tuple[object, ...]]:
    from syncd.plan.report.licences_as_if import name_rule

    for move in moves:
        gets = f"{move.gains} (no seat: waits)" if move.waits else move.gains
        yield move.bps_id, move.name, gets, ", ".join(move.losses), name_rule(rules.licences, move.rule), move.why


def _describe_as_if(each: TypeAsIf, found: AsIf, now: LicenceUse | None, rules: Rules) -> dict[str, object]:
    of_type = [place for place, rule in enumerate(rules.licences) if rule.type == each.type]
    known = (
        {"type": each.type, "seats": each.seats, "by_rule": 0, "by_hand": each.by_hand, "waiting": 0}
        if now is None
        else describe_licence(now)
    )
    return {
        **known,
        "as_if": {
            "by_rule": each.by_rule,
            "waiting": each.waiting,
            "gains": [
                {"bps_id": move.bps_id, "rule": move.rule, "waits": move.waits}
                for move in found.moves
                if move.gains == each.type
            ],
            "losses": [{"bps_id": move.bps_id, "reason": move.why} for move in found.moves if each.type in move.losses],
            "rules": [
                {
                    "rule": place,
                    "group": rules.licences[place].group,
                    "covers": found.rules[place].covers,
                    "gives": found.rules[place].gives,
                }
                for place in of_type
            ],
        },
    }
