"""``syncd explain WHO --at DATE``: which accounts, groups and licences a person had at some time."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from datetime import datetime, tzinfo
from typing import TYPE_CHECKING, Any

from syncd.cli.options import STORE_ONLY, Invocation
from syncd.cli.screen.history import describe_end, parse_date
from syncd.cli.screen.output import format_time, print_json, print_line, print_table
from syncd.clock import Clock
from syncd.model.shell import quote_word
from syncd.plan.report.history import say_end, say_moment

if TYPE_CHECKING:
    from syncd.model.history import Asked, LicenceTime, Links, RecordTime, Time
    from syncd.store.db.database import Database
    from syncd.store.reports.history import History

_COLUMNS = (("there", 2), ("came", 10), ("went", 10))


def explain_at(invocation: Invocation, name: str, at: str) -> None:
    """Print what a person had at a moment, or at some time of a day."""
    from syncd.bootstrap.store import open_store
    from syncd.store.reports.history import History

    settings = invocation.start(need=STORE_ONLY, quiet=True)
    zone = settings.schedule.timezone
    with contextlib.closing(open_store(settings, create=False)) as database:
        history = History(database)
        since = history.load_since()
        asked = parse_date(settings, at, since=since, now=Clock().now())
        accounts, keys = _find_accounts(database, history, name, asked)
        links = list(history.iterate_links(members=keys, asked=asked)) if keys else []
        licences = history.load_licences(keys, asked)
    if invocation.json:
        print_json(_describe(name, asked, since, accounts=accounts, links=links, licences=licences))
        return
    when = f"at {say_moment(asked.end, zone)}"
    if asked.start is not None:
        when = f"on {asked.start.astimezone(zone):%Y-%m-%d}, up to {say_moment(asked.end, zone)}"
    print_line(f"{name} {when} ({zone})")
    if not accounts:
        print_line("syncd had no account of its own in the portal for this person then.")
    _print("account", [(_say_account(each), each.time) for each in accounts], asked, zone, since)
    _print("group", [(_say_group(each), each.time) for each in links], asked, zone, since)
    _print("licence", [(f"{each.type} of {each.bps_id}", each.time) for each in licences], asked, zone, since)
    if keys and not links:
        print_line("In no group.")
    if keys and not licences:
        print_line("No licence.")


def _find_accounts(database: Database, history: History, name: str, asked: Asked) -> tuple[list[RecordTime], list[int]]:
    """Return the accounts that a person had at that time, and the keys of the records to look at."""
    from syncd.cli.screen.people import find_object
    from syncd.errors import UnknownObject
    from syncd.store.reports.explain import Explanations

    found = [each for each in Explanations(database).find(name, in_part=False) if each.kind == "user"]
    if not found and (key := history.find_record("user", name)) is not None:
        return history.load_records("user", key=key, asked=asked), [key]
    person = found[0] if len(found) == 1 else find_object(database, name)
    if person.kind == "group":
        raise UnknownObject(f"'{name}' is a group: 'syncd who {quote_word(name)} --at DATE' lists who was in it")
    accounts = history.load_records("user", source=person.key, asked=asked)
    return accounts, list(dict.fromkeys(each.key for each in accounts))


def _say_account(each: RecordTime) -> str:
    state = f"left: {each.leaving_as.replace('_', ' ')}" if each.leaving_as else "active"
    return f"{each.bps_id} ({each.origin}, {state})"


def _say_group(each: Links) -> str:
    return each.group if each.object == "membership" else f"{each.group} (owner)"


def _print(title: str, rows: Sequence[tuple[str, Time]], asked: Asked, zone: tzinfo, since: datetime) -> None:
    if rows:
        print_line()
        print_table(
            [(title, 10), *_COLUMNS],
            [
                [
                    what,
                    "yes" if time.covers(asked.end) else "left",
                    say_end(time.came, zone, came=True, since=since),
                    say_end(time.went, zone, came=False, since=since),
                ]
                for what, time in rows
            ],
        )


def _describe(
    name: str,
    asked: Asked,
    since: datetime,
    *,
    accounts: Sequence[RecordTime],
    links: Sequence[Links],
    licences: Sequence[LicenceTime],
) -> dict[str, Any]:
    return {
        "who": name,
        "from": format_time(asked.start),
        "to": format_time(asked.end),
        "history_since": format_time(since),
        "accounts": [
            {
                "bps_id": each.bps_id,
                "source_id": each.source_id or None,
                "ownership": each.origin,
                "leaving_as": each.leaving_as or None,
                **_describe_time(each.time, asked),
            }
            for each in accounts
        ],
        "groups": [_describe_link(each, asked) for each in links if each.object == "membership"],
        "owns": [_describe_link(each, asked) for each in links if each.object == "ownership"],
        "licences": [
            {"bps_id": each.bps_id, "type": each.type, **_describe_time(each.time, asked)} for each in licences
        ],
    }


def _describe_link(each: Links, asked: Asked) -> dict[str, Any]:
    return {"bps_id": each.member, "group": each.group, **_describe_time(each.time, asked)}


def _describe_time(time: Time, asked: Asked) -> dict[str, Any]:
    return {
        "there_at_end": time.covers(asked.end),
        "came": describe_end(time.came, came=True),
        "went": describe_end(time.went, came=False),
    }
