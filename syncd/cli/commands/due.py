"""``syncd due``: everything with a date, from the store and the settings, without asking either side."""

from __future__ import annotations

import contextlib
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import click

from syncd.cli.options import STORE_ONLY, Invocation, pass_invocation, shared_options
from syncd.cli.screen.lists import Listing, list_options, private_file, require_folder
from syncd.cli.screen.output import Stream, format_time, print_json, print_line
from syncd.cli.screen.pager import paged
from syncd.cli.screen.table import find_width
from syncd.clock import Clock
from syncd.model.numbers import tell_number

if TYPE_CHECKING:
    from datetime import datetime

    from syncd.cli.documents.lists import Date
    from syncd.config import Settings
    from syncd.plan.report.due import Due
    from syncd.store.db.database import Database

LONG = 20
"""More dates begin with a summary."""
COLUMNS = (("when (UTC)", 2), ("what", 2), ("bps id", 6), ("detail", 10))


@click.command("due")
@click.option(
    "--ics",
    type=click.Path(dir_okay=False, allow_dash=True),
    metavar="FILE",
    help="Write a calendar (iCalendar) instead; - is stdout.",
)
@list_options
@shared_options
@pass_invocation
def due(invocation: Invocation, *, ics: str | None, listing: Listing) -> None:
    """List everything with a date: who starts and who leaves by a rule over now, graces and substitutions that end,
    held plans that expire, credentials, pauses.

    A calendar that is written again replaces the dates that have moved.

    \b
    Examples:
      syncd due --limit 10
      syncd due --ics /srv/www/syncd.ics
    """
    from syncd.bootstrap.store import open_store

    if ics == "-" and (listing.csv == "-" or invocation.json):
        raise click.UsageError("the calendar and the list cannot both go to stdout: name a file for one of them")
    if ics not in (None, "-"):
        require_folder(Path(ics), "--ics")
    settings, now = invocation.start(need=STORE_ONLY, quiet=True), Clock().now()
    with contextlib.closing(open_store(settings, create=False)) as database:
        entries = list(listing.take(load_dates(settings, database, now)))
    if ics is not None:
        _write_calendar(ics, entries, now)
        if not (invocation.json or listing.exports):
            return
    if invocation.json:
        print_json(Stream(describe_due(entry) for entry in entries))
        return
    if listing.export(
        [heading for heading, _ in COLUMNS], lambda: ((e.at, e.what, e.bps_id, e.detail) for e in entries)
    ):
        return
    if not entries:
        print_line("Nothing has a date.")
        return
    with paged():
        if len(entries) > LONG and find_width() is not None:
            print_line(_sum_up(entries))
        listing.print(COLUMNS, ((f"{e.at:%Y-%m-%d %H:%M}", e.what, e.bps_id, e.detail) for e in entries))


def _sum_up(entries: list[Due]) -> str:
    """Return how many dates there are of each kind, and when the next one is."""
    counts = Counter(entry.what for entry in entries)
    nexts = {entry.what: entry.at for entry in reversed(entries)}
    told = (f"{what} {number:,} (next {nexts[what]:%Y-%m-%d})" for what, number in counts.most_common())
    return f"{tell_number(len(entries), 'date')}: {', '.join(told)}"


def load_dates(settings: Settings, database: Database, now: datetime, *, until: datetime | None = None) -> list[Due]:
    """Return everything with a date, the next first; only until then, where that is given.

    What rules over ``now`` bring is looked for a year ahead.
    """
    from syncd.bootstrap.rules import make_rules
    from syncd.bootstrap.settings import list_credential_ends
    from syncd.plan.report.due import AHEAD, tell_credential
    from syncd.store.reports.due import load_due

    known = list_credential_ends(settings, database, now)
    ends = [tell_credential(name, ends_at, now=now) for name, ends_at in known.items()]
    entries = [*load_due(database, make_rules(settings), now=now, until=until or now + AHEAD), *ends]
    return sorted(entry for entry in entries if until is None or entry.at <= until)


def describe_due(entry: Due) -> Date:
    """Return one date as its JSON document has it."""
    return {
        "at": format_time(entry.at),
        "what": entry.what,
        "bps_id": entry.bps_id or None,
        "detail": entry.detail,
    }


def _write_calendar(target: str, entries: list[Due], now: datetime) -> None:
    from syncd.cli.screen.ics import encode_calendar

    if target == "-":
        sys.stdout.write(b"".join(encode_calendar(entries, now=now)).decode())
        return
    with private_file(Path(target)) as file:
        file.writelines(encode_calendar(entries, now=now))
