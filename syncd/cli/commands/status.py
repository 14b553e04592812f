"""``syncd status``: one screen that answers whether all is well, and what comes next."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import click

from syncd.cli.commands.due import describe_due, load_dates
from syncd.cli.options import STORE_ONLY, Invocation, pass_invocation, shared_options
from syncd.cli.screen.held_list import describe_allowances
from syncd.cli.screen.output import format_time, print_json, print_line
from syncd.cli.screen.runs import describe_run, format_duration
from syncd.cli.screen.table import find_width, wrap
from syncd.clock import Clock
from syncd.model.numbers import tell_number
from syncd.plan.report.due import group_days

if TYPE_CHECKING:
    from syncd.cli.documents.shared import Licence
    from syncd.config import Settings
    from syncd.model.run import RunRecord
    from syncd.model.source import Stream
    from syncd.plan.daily import Allowance
    from syncd.plan.report.due import Due
    from syncd.store.db.database import Database
    from syncd.store.reports.licences import LicenceUse
    from syncd.store.reports.overview import Overview

_LABEL = 11
_DUE_SHOWN = 4
_ROLES = {
    "daemon": "a daemon works",
    "standby": "a daemon waits as standby, and somebody else has the store",
    "command": "a command works; no daemon is up",
    "nobody": "nobody works: no run starts by itself ('syncd run' is the daemon)",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Picture:
    """All that is told."""

    now: datetime
    address: str
    overview: Overview
    next_runs: Mapping[str, datetime | None]
    people: Mapping[str, int]
    groups: Mapping[str, int]
    holds: list[tuple[int, int, Due, datetime | None]]
    emptied: list[tuple[int, Stream]]
    allowances: Sequence[Allowance]
    drift: int
    licences: list[LicenceUse]
    due: list[Due]

    @property
    def troubles(self) -> list[str]:
        """What somebody should look at."""
        from syncd.plan.report.verdict import Standing, list_troubles

        overview = self.overview
        credentials = [entry.at for entry in self.due if entry.what == "credential"]
        ended = sum(at <= self.now for at in credentials)
        return list_troubles(
            Standing(
                works=overview.role == "daemon" or (overview.role == "standby" and bool(overview.daemons)),
                fresh=overview.fresh,
                last=overview.last,
                sides=overview.sides,
                held=sum(number for _, number, _, _ in self.holds),
                emptied=len(self.emptied),
                failing=overview.failing,
                short={use.type: use.waiting for use in self.licences if use.is_short},
                ending=len(credentials) - ended,
                ended=ended,
            )
        )


@click.command("status")
@shared_options
@pass_invocation
def status(invocation: Invocation) -> None:
    """Show whether all is well, who works, the last and the next runs, both sides, and what is open, on one screen.

    Everything is from the store: neither side is asked, and no daemon is disturbed. Whatever is open, it exits with 0.

    \b
    Examples:
      syncd status
      syncd status --json | jq .troubles
    """
    from syncd.bootstrap.store import open_store

    settings = invocation.start(need=STORE_ONLY, quiet=True)
    with contextlib.closing(open_store(settings, create=False)) as database:
        picture = _load(settings, database, Clock().now())
    if invocation.json:
        print_json(_describe(picture))
        return
    for label, text in _iterate_lines(picture):
        _print(label, text)


def _load(settings: Settings, database: Database, now: datetime) -> _Picture:
    from syncd.bootstrap.rules import make_rules
    from syncd.bootstrap.states import count_drift, count_states
    from syncd.plan.report.due import SOON
    from syncd.store.reports.emptied import load_emptied
    from syncd.store.reports.licences import load_licence_use
    from syncd.store.reports.overview import load_overview
    from syncd.store.store import Store

    rules, states = make_rules(settings), count_states(settings, database, now)
    overview = load_overview(database, now=now)
    return _Picture(
        now=now,
        address=database.address,
        overview=overview,
        next_runs=_find_next(settings, overview, now),
        people=states["user"],
        groups=states["group"],
        holds=_load_holds(database, now),
        emptied=load_emptied(database),
        allowances=Store(database).plans.load_allowances.blocking(now=now),
        drift=sum(count_drift(settings, database).values()),
        licences=load_licence_use(database, [rule.type for rule in rules.licences]),
        due=load_dates(settings, database, now, until=now + SOON),
    )


def _find_next(settings: Settings, overview: Overview, now: datetime) -> dict[str, datetime | None]:
    """Return when each kind comes next: by the word of the daemon that works, otherwise by the schedule alone."""
    from syncd.daemon.schedule import KINDS, compute_next

    working = next((seen for seen in overview.daemons if seen.role == "working"), None)
    told = {"full": working.next_full, "delta": working.next_delta} if working else {}
    found: dict[str, datetime | None] = {}
    for kind in KINDS:
        last = overview.last[kind]
        after = last.started_at if last is not None and last.started_at <= now else now
        found[kind] = told.get(kind) or max(now, compute_next(settings.schedule, kind, after=after))
    return found


def _load_holds(database: Database, now: datetime) -> list[tuple[int, int, Due, datetime | None]]:
    """Return each run that holds something, how much, until when, and since when the oldest of it is held."""
    from syncd.store.reports.due import load_holds
    from syncd.store.store import Store

    plans = Store(database).plans
    found = []
    for entry in load_holds(database, now=now):
        number = sum(
            n for (_, _, status), n in plans.count_outcomes.blocking(int(entry.key)).items() if status == "held"
        )
        found.append((int(entry.key), number, entry, plans.load_held_since.blocking([int(entry.key)])))
    return found


# ---- output ---------------------------------------------------------------------------------------------------------


def _describe(picture: _Picture) -> dict[str, object]:
    overview = picture.overview
    troubles = picture.troubles
    return {
        "well": not troubles,
        "troubles": troubles,
        "role": overview.role,
        "daemons": [
            {"role": seen.role, "host": seen.host, "pid": seen.pid, "since": format_time(seen.since)}
            for seen in overview.daemons
        ],
        "running": None if overview.running is None else describe_run(overview.running),
        "store": {"address": picture.address, "revision": overview.revision, "fresh": overview.fresh},
        "sides": {
            name: {"state": side.state, "run": side.run, "at": format_time(side.at), "reason": side.reason or None}
            for name, side in overview.sides.items()
        },
        "last_runs": {kind: None if run is None else describe_run(run) for kind, run in overview.last.items()}
        | {"succeeded": None if overview.success is None else describe_run(overview.success)},
        "next_runs": {kind: format_time(moment) for kind, moment in picture.next_runs.items()},
        "people": dict(picture.people),
        "groups": dict(picture.groups),
        "held": {
            "changes": sum(number for _, number, _, _ in picture.holds),
            "runs": [
                {"run": run, "changes": number, "since": format_time(since), "expires_at": format_time(entry.at)}
                for run, number, entry, since in picture.holds
            ],
            "emptied": [stream for _, stream in picture.emptied],
            "allowances": describe_allowances(picture.allowances),
        },
        "failing": {"changes": overview.failing, "next_at": format_time(overview.retried_at)},
        "drift": {"differences": picture.drift},
        "licences": [describe_licence(use) for use in picture.licences],
        "due": [describe_due(entry) for entry in picture.due],
    }


def describe_licence(use: LicenceUse) -> Licence:
    """Return one type of licence as its JSON document has it."""
    return {
        "type": use.type,
        "seats": use.seats,
        "by_rule": use.by_rule,
        "by_hand": use.by_hand,
        "waiting": use.waiting,
    }


def _iterate_lines(picture: _Picture) -> Iterator[tuple[str, str]]:
    from syncd.model.source import ACTIVE
    from syncd.plan.daily import describe_allowances as tell_allowances
    from syncd.plan.report.sides import SIDES
    from syncd.plan.report.verdict import BEGINNING

    overview, now = picture.overview, picture.now
    where = ", ".join(f"{seen.role} on {seen.host}, pid {seen.pid}" for seen in overview.daemons)
    troubles = picture.troubles
    yield "in short", f"look at this: {'; '.join(troubles)}" if troubles else "all is well"
    yield "syncd", f"{_ROLES[overview.role]}{f' ({where})' if where else ''}"
    fresh = f"; {BEGINNING}" if overview.fresh else ""
    yield "store", f"{picture.address}, revision {overview.revision}{fresh}"
    if overview.running is not None:
        run = overview.running
        yield "now", f"busy with run {run.id} ({run.kind}, {run.trigger}) since {_tell_time(run.started_at, now)}"
    elif overview.role == "daemon":
        yield "now", "idle: it waits for the next run"
    for kind, last in overview.last.items():
        yield f"last {kind}", _tell_run(last, now)
    if overview.success is not None and overview.success not in overview.last.values():
        yield "last good", _tell_run(overview.success, now)
    pending = "" if overview.role == "daemon" else ", once a daemon works"
    for kind, moment in picture.next_runs.items():
        yield f"next {kind}", "never" if moment is None else f"{_tell_time(moment, now)}{pending}"
    for name, title in SIDES.items():
        side = overview.sides[name]
        known = "" if side.at is None else f", run {side.run} at {_tell_time(side.at, now)}"
        yield (
            title,
            f"{'not talked to yet' if side.state == 'unknown' else side.state}{known}"
            + (f": {side.reason}" if side.reason else ""),
        )
    yield "people", _tell_states(picture.people)
    yield "groups", _tell_states(picture.groups)
    for run_id, number, entry, since in picture.holds:
        began = "" if since is None else f" since {_tell_time(since, now)}"
        until = f", until {entry.at:%Y-%m-%d}"
        yield "held", f"{tell_number(number, 'change')} of run {run_id}{began}{until}: 'syncd held' lists them"
    for run_id, stream in picture.emptied:
        missing = f"the tenant shows no {ACTIVE[stream]} any more"
        yield "held", f"all {stream} as they are, by run {run_id}: {missing}, see 'syncd held'"
    if not picture.holds and not picture.emptied:
        yield "held", "nothing"
    for line in tell_allowances(picture.allowances):
        yield "today", line
    retried = "" if overview.retried_at is None else f", next attempt {_tell_time(overview.retried_at, now)}"
    failing = f"{tell_number(overview.failing, 'change')}{retried}: {_name_failing(picture)}"
    yield "failing", failing if overview.failing else "nothing"
    drift = f"{tell_number(picture.drift, 'difference')}: 'syncd drift' lists them"
    yield "drift", drift if picture.drift else "nothing known"
    if picture.licences:
        yield "licences", _tell_licences(picture.licences)
    days = group_days(picture.due)
    for entry, number in days[:_DUE_SHOWN]:
        about = f" {entry.bps_id}" if entry.bps_id else ""
        if number > 1:
            yield "due", f"{entry.at:%Y-%m-%d} {entry.what}: {number:,} ({entry.bps_id} and {number - 1:,} more)"
        else:
            yield "due", f"{entry.at:%Y-%m-%d %H:%M} {entry.what}{about}: {entry.detail}"
    if left := sum(number for _, number in days[_DUE_SHOWN:]):
        yield "due", f"{left:,} more within 30 days: 'syncd due' lists all"


def _name_failing(picture: _Picture) -> str:
    """Return the commands that list what fails; where another state comes before it in both lists, the runs have it."""
    lists = {"users": picture.people, "groups": picture.groups}
    named = [f"'syncd {name} --state failing'" for name, counts in lists.items() if counts.get("failing")]
    return " and ".join(named) or "'syncd runs --status partial'"


def _tell_licences(uses: Sequence[LicenceUse]) -> str:
    """Return the types that anybody has or is to have; of the others how many there are."""
    told = [tell_licence(use) for use in uses if use.by_rule or use.by_hand or use.waiting]
    idle = len(uses) - len(told)
    return "; ".join([*told, *([f"{tell_number(idle, 'type')} without a holder"] if idle else [])])


def tell_licence(use: LicenceUse) -> str:
    """Return one type of licence in words."""
    seats = "" if use.seats is None else f" of {use.seats:,}"
    waiting = f", {'short: ' if use.is_short else ''}{use.waiting:,} wait" if use.waiting else ""
    return (
        f"{use.type} {use.by_rule + use.by_hand:,}{seats} ({use.by_rule:,} by rule, {use.by_hand:,} by hand){waiting}"
    )


def _tell_states(counts: Mapping[str, int]) -> str:
    from syncd.cli.commands.records import STATES

    return ", ".join(f"{state} {counts[state]:,}" for state in STATES if state in counts) or "none read yet"


def _tell_run(run: RunRecord | None, now: datetime) -> str:
    if run is None:
        return "never"
    took = format_duration(run)
    told = f"run {run.id} {run.status}, {_tell_time(run.started_at, now)}{f', took {took}' if took else ''}"
    return f"{told}: {run.error}" if run.status != "succeeded" and run.error else told


def _tell_time(moment: datetime, now: datetime) -> str:
    """Return an instant in UTC, and how far away it is."""
    seconds = int((moment - now).total_seconds())
    number, unit = next(
        (abs(seconds) // size, unit)
        for size, unit in ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))
        if abs(seconds) >= size or size == 1
    )
    away = f"in {number} {unit}" if seconds > 0 else f"{number} {unit} ago"
    return f"{moment:%Y-%m-%d %H:%M} UTC ({away})"


def _print(label: str, text: str) -> None:
    width = find_width() or 100
    for number, line in enumerate(wrap(text, width - _LABEL)):
        print_line(f"{'' if number else label:<{_LABEL}}{line}")
