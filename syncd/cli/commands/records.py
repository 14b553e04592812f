"""``syncd users`` and ``syncd groups``: where everybody stands, from the store, without asking either side."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from syncd.cli.options import STORE_ONLY, Invocation, pass_invocation, shared_options
from syncd.cli.screen.lists import Listing, list_options
from syncd.cli.screen.output import Stream, format_time, print_json, print_line
from syncd.cli.screen.pager import paged
from syncd.cli.screen.table import find_width
from syncd.clock import Clock
from syncd.model.kinds import RecordKind

if TYPE_CHECKING:
    from syncd.cli.documents.lists import Record
    from syncd.store.reports.status import Line, Report

STATES = ("active", "pending", "skipped", "leaving", "held", "failing", "foreign", "out_of_scope")
COLUMNS = (("name", 4), ("bps id", 6), ("state", 2), ("synced (UTC)", 3), ("source id", 5), ("why", 10))
_LONG = 20
_REASONS = 9
"""So many reasons have a number, by which the rows name them."""

_state = click.option(
    "--state", "states", multiple=True, type=click.Choice(STATES), help="Only those in this state; may be repeated."
)
_name = click.argument("name", required=False, default="", metavar="[NAME]")


@click.command("users")
@_name
@_state
@list_options
@shared_options
@pass_invocation
def users(invocation: Invocation, *, name: str, states: tuple[str, ...], listing: Listing) -> None:
    """List every user of the tenant: where it stands in the portal, and why it is not there.

    NAME: only those whose name, principal name, BPS id or source id contains it.

    \b
    Examples:
      syncd users --state failing --state held
      syncd users ann --wide
      syncd users --xlsx users.xlsx
    """
    _list(invocation, _Wanted("user", name, states, listing))


@click.command("groups")
@_name
@_state
@list_options
@shared_options
@pass_invocation
def groups(invocation: Invocation, *, name: str, states: tuple[str, ...], listing: Listing) -> None:
    """List every group of the tenant: where it stands in the portal, and why it is not there.

    NAME: only those whose name, BPS id or source id contains it.

    \b
    Examples:
      syncd groups --state leaving
      syncd groups --csv groups.csv
    """
    _list(invocation, _Wanted("group", name, states, listing))


@dataclass(frozen=True, slots=True)
class _Wanted:
    kind: RecordKind
    needle: str
    states: tuple[str, ...]
    listing: Listing

    def iterate(self, report: Report) -> Iterator[Line]:
        """Yield the lines that are wanted; a list with a limit reads a page, not everybody."""
        paging = self.listing.limit is not None and not self.states
        lines = report.iterate(self.kind, needle=self.needle, at_once=self.listing.limit if paging else None)
        return self.listing.take(line for line in lines if not self.states or line.state in self.states)

    def count(self, report: Report) -> Counter[tuple[str, str]] | None:
        """Return how many there are by state and reason; None where a page of a search was wanted, and no more."""
        found: Counter[tuple[str, str]] = Counter()
        if not self.needle:
            counted: Mapping[Any, int] = report.count(self.kind)
        elif self.listing.limit is not None:
            return None
        else:
            counted = Counter((line.state, line.reason) for line in report.iterate(self.kind, needle=self.needle))
        for (state, reason), number in counted.items():
            if not self.states or state in self.states:
                found[state, reason] += number
        return found


def _list(invocation: Invocation, wanted: _Wanted) -> None:
    from syncd.bootstrap.rules import make_rules
    from syncd.bootstrap.store import open_store
    from syncd.store.reports.status import Report

    settings, listing = invocation.start(need=STORE_ONLY, quiet=True), wanted.listing
    with contextlib.closing(open_store(settings, create=False)) as database:
        rules = make_rules(settings)
        report = Report(database, rules.policy, now=Clock().now(), protect=rules.scope.protect)
        if invocation.json:
            print_json(Stream(_describe(line) for line in wanted.iterate(report)))
            return
        headings = [heading for heading, _ in COLUMNS]
        if listing.export(
            headings,
            lambda: (
                (line.name, line.bps_id, line.state, line.last_synced_at, line.source_id, line.reason)
                for line in wanted.iterate(report)
            ),
        ):
            return
        with paged():
            _print(report, wanted)


def _print(report: Report, wanted: _Wanted) -> None:
    listing, counts = wanted.listing, wanted.count(report)
    total = None if counts is None else sum(counts.values())
    if total == 0 and report.is_unread():
        print_line(
            f"0 {wanted.kind}s: nothing was read from the tenant yet. 'syncd sync full' or the daemon does, and "
            "'syncd plan full' without writing to the portal."
        )
        return
    at_first = find_width() is not None and counts is not None and min(total or 0, listing.limit or 2**62) > _LONG
    marks: dict[tuple[str, str], str] = {}
    if at_first and counts is not None:
        print_line(_sum_up(wanted, counts))
        if not listing.wide:
            marks = _print_reasons(counts)
    lines = wanted.iterate(report)
    narrow = find_width(wide=listing.wide) is not None
    shown = listing.print(
        [column for column in COLUMNS if not (narrow and column[0] == "source id")],
        (_make_row(line, _shorten(line, marks), narrow=narrow) for line in lines),
        total=total,
        more=": use --limit",
    )
    if counts is None and shown == listing.limit:
        print_line("There may be more: use --limit")
    if counts is not None and not at_first:
        print_line(_sum_up(wanted, counts))


def _find_shared(reason: str) -> str:
    """Return the part of a reason that many have in common, whatever is in the way of each."""
    from syncd.plan.report.status import Told

    return reason.why if isinstance(reason, Told) else reason


def _shorten(line: Line, marks: Mapping[tuple[str, str], str]) -> str:
    """Return why somebody stands there: with the number of the shared part where that was said above."""
    from syncd.plan.report.status import Told

    mark = marks.get((line.state, _find_shared(line.reason)))
    if mark is None:
        return line.reason
    return f"{line.reason.what} {mark}" if isinstance(line.reason, Told) else mark


def _make_row(line: Line, why: str, *, narrow: bool) -> tuple[object, ...]:
    """Return a row; a narrow one has the id of the tenant only where there is no BPS id."""
    synced = f"{line.last_synced_at:%Y-%m-%d %H:%M}" if line.last_synced_at else "never"
    if narrow:
        return line.name, line.bps_id or f"id {line.source_id}", line.state, synced, why
    return line.name, line.bps_id, line.state, synced, line.source_id, why


def _sum_up(wanted: _Wanted, counts: Counter[tuple[str, str]]) -> str:
    states: Counter[str] = Counter()
    for (state, _), number in counts.items():
        states[state] += number
    shown = ", ".join(f"{name} {states[name]:,}" for name in STATES if name in states)
    none = "none that fits" if wanted.needle or wanted.states else "none"
    total = sum(states.values())
    return f"{total:,} {wanted.kind}{'s' if total != 1 else ''}: {shown or none}"


def _print_reasons(counts: Counter[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """Print once each reason that several have; return the number by which a row names it."""
    shared: Counter[tuple[str, str]] = Counter()
    for (state, reason), number in counts.items():
        shared[state, _find_shared(reason)] += number
    several = [(key, number) for key, number in shared.most_common() if number > 1 and key[1]][:_REASONS]
    for place, ((state, reason), number) in enumerate(several, 1):
        print_line(f"  ({place}) {number:,} {state}: {reason}")
    others = sum(number for (_, reason), number in counts.items() if reason) - sum(number for _, number in several)
    if several and others:
        print_line(f"  and {others:,} for other reasons")
    return {key: f"({place})" for place, (key, _) in enumerate(several, 1)}


def _describe(line: Line) -> Record:
    return {
        "source_id": line.source_id,
        "name": line.name,
        "bps_id": line.bps_id,
        "state": line.state,
        "reason": line.reason or None,
        "last_synced_at": format_time(line.last_synced_at),
    }
