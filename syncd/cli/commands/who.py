"""``syncd who``: who was in a group at some time, and by which run each came and went, and why."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from syncd.cli.options import STORE_ONLY, Invocation, pass_invocation, shared_options
from syncd.cli.screen.history import describe_end, parse_date
from syncd.cli.screen.lists import Listing, list_options
from syncd.cli.screen.output import Stream, format_time, print_json, print_line
from syncd.cli.screen.pager import paged
from syncd.clock import Clock
from syncd.plan.report.history import say_end, say_moment

if TYPE_CHECKING:
    from syncd.config import Settings
    from syncd.model.history import Asked, Links, RecordTime
    from syncd.store.db.database import Database
    from syncd.store.reports.history import History

COLUMNS = (("bps id", 8), ("as", 2), ("there", 2), ("came", 10), ("went", 10))
HEADINGS = (
    "group", "bps id", "name", "as", "at the end",
    "came at", "came run", "came cause", "went at", "went run", "went cause",
)  # fmt: skip


@click.command("who")
@click.argument("group", metavar="GROUP")
@click.option("--at", "at", metavar="DATE", required=True, help="A day (2026-03-01) or a moment (2026-03-01T14:30).")
@list_options
@shared_options
@pass_invocation
def who(invocation: Invocation, *, group: str, at: str, listing: Listing) -> None:
    """List who was in GROUP at DATE, by which run each came and went, and why.

    GROUP is the Entra id, the BPS id or the whole display name. A day (in schedule.timezone) lists everybody who was in
    it at some time of that day, and says who still was at its end. Owners are listed too. What counts is what the
    portal had, by our own writes and readings; neither side is asked.

    \b
    Examples:
      syncd who Sales --at 2026-03-01
      syncd who sales@groups.example.com --at 2026-03-01T14:30 --csv sales.csv
    """
    from syncd.bootstrap.store import open_store
    from syncd.store.reports.history import History

    settings = invocation.start(need=STORE_ONLY, quiet=True)
    zone = settings.schedule.timezone
    with contextlib.closing(open_store(settings, create=False)) as database:
        history = History(database)
        since = history.load_since()
        asked = parse_date(settings, at, since=since, now=Clock().now())
        records, notes = _find_records(database, history, group, asked, settings)

        def iterate() -> Iterator[Links]:
            return history.iterate_links(groups=records, asked=asked) if records else iter(())

        if invocation.json:
            print_json(
                {
                    "group": group,
                    "from": format_time(asked.start),
                    "to": format_time(asked.end),
                    "history_since": format_time(since),
                    "notes": notes,
                    "people": Stream(_describe(each, asked) for each in listing.take(iterate())),
                }
            )
            return
        if listing.export(HEADINGS, lambda: (_make_cells(each, asked) for each in iterate())):
            return
        with paged():
            total, there = _count(iterate(), asked)
            when = f"at {say_moment(asked.end, zone)}"
            if asked.start is not None:
                day = f"{asked.start.astimezone(zone):%Y-%m-%d}"
                when = f"on {day} at some time, {there:,} at {say_moment(asked.end, zone)}"
            print_line(f"{group}: {total:,} {'place' if total == 1 else 'places'} {when} ({zone.key})")
            for note in notes:
                print_line(note)
            if total:
                rows = (_make_row(each, asked, settings, since) for each in iterate())
                listing.print(COLUMNS, rows, total=total, more=": use --limit")


def _find_records(
    database: Database, history: History, group: str, asked: Asked, settings: Settings
) -> tuple[list[int], list[str]]:
    """Return the portal's groups that are meant, at that time, and what is to be said of them."""
    from syncd.store.reports.explain import Explanations

    key = history.find_record("group", group)
    if key is not None:
        times = history.load_records("group", key=key, asked=asked)
        return [key], _note(times, [key], settings)
    found = [each for each in Explanations(database).find(group, in_part=False) if each.kind == "group"]
    if not found:
        raise click.UsageError(
            f"the store knows no group '{group}': give the Entra id, the BPS id or the whole display name "
            "('syncd groups TEXT' searches)"
        )
    if len(found) > 1:
        some = ", ".join(f"{each.id} ({each.state.replace('_', ' ')})" for each in found[:5])
        raise click.UsageError(f"{len(found)} groups bear the name '{group}': give the id of the one you mean: {some}")
    times = history.load_records("group", source=found[0].key, asked=asked)
    records = list(dict.fromkeys(each.key for each in times))
    notes = _note(times, records, settings)
    if not records:
        notes.append(
            "syncd had no group of its own in the portal for it at that time: nobody is known to have been in it."
        )
    return records, notes


def _note(times: Iterable[RecordTime], records: list[int], settings: Settings) -> list[str]:
    notes = []
    zone = settings.schedule.timezone
    for each in times:
        if each.time.went is not None and each.time.went.at is not None and each.time.went.cause != "leaving":
            end = say_end(each.time.went, zone, came=False, since=each.time.went.at)
            notes.append(f"{each.bps_id} was ours for {each.source_id or 'nobody in the tenant'} until {end}.")
        if each.leaving_as:
            notes.append(f"{each.bps_id} was left ({each.leaving_as.replace('_', ' ')}) then.")
    covered = {each.key for each in times}
    if any(record not in covered for record in records):
        notes.append(
            "This group was not ours then: what is said rests on readings of the portal, which look at such a group "
            "only while somebody in the tenant wants it or it is protected."
        )
    return notes


def _count(links: Iterable[Links], asked: Asked) -> tuple[int, int]:
    total = there = 0
    for each in links:
        total += 1
        there += each.time.covers(asked.end)
    return total, there


def _role(each: Links) -> str:
    return "member" if each.object == "membership" else "owner"


def _make_row(each: Links, asked: Asked, settings: Settings, since: datetime) -> tuple[object, ...]:
    zone = settings.schedule.timezone
    came = say_end(each.time.came, zone, came=True, since=since)
    went = say_end(each.time.went, zone, came=False, since=since)
    return each.member, _role(each), "yes" if each.time.covers(asked.end) else "left", came, went


def _make_cells(each: Links, asked: Asked) -> tuple[object, ...]:
    came, went = describe_end(each.time.came, came=True), describe_end(each.time.went, came=False)
    ends = [end[name] if end else None for end in (came, went) for name in ("at", "run", "cause")]
    return each.group, each.member, each.name, _role(each), each.time.covers(asked.end), *ends


def _describe(each: Links, asked: Asked) -> dict[str, Any]:
    return {
        "group": each.group,
        "bps_id": each.member,
        "name": each.name or None,
        "as": _role(each),
        "there_at_end": each.time.covers(asked.end),
        "came": describe_end(each.time.came, came=True),
        "went": describe_end(each.time.went, came=False),
    }
