"""``syncd pause`` and ``resume``: nothing is done for one person or group until a day."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from syncd.cli.options import STORE_ONLY, Invocation, name_person, pass_invocation, shared_options
from syncd.cli.screen.output import Stream, format_time, print_json, print_line
from syncd.cli.screen.people import find_object
from syncd.clock import Clock

if TYPE_CHECKING:
    from syncd.config import Settings
    from syncd.store.db.database import Database

_DAYS = ("%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M")


@click.command("pause")
@click.argument("who", nargs=-1, required=True, metavar="WHO…")
@click.option("--until", required=True, metavar="DATE", help="The day on which it ends, 2026-12-31, or a day and time.")
@click.option("--reason", required=True, metavar="TEXT", help="Why; everybody who looks is told.")
@shared_options
@pass_invocation
def pause(invocation: Invocation, *, who: tuple[str, ...], until: str, reason: str) -> None:
    """Do nothing for people or groups until a day: nothing is created, changed, linked, granted or taken away.

    WHO is an Entra id, a UPN, a BPS id or a whole display name. A day is meant in schedule.timezone. What a guard
    holds stays held. 'syncd due' lists pauses, and users, groups and explain tell of them.

    \b
    Example:
      syncd pause ann@example.com --until 2026-12-31 --reason "parental leave, keeps her places"
    """
    from syncd.bootstrap.store import open_store
    from syncd.store.store import Store

    settings, now = invocation.start(need=STORE_ONLY), Clock().now()
    moment = _parse_day(until, settings)
    if moment <= now:
        raise click.BadParameter(f"{until} is over", param_hint="--until")
    if not reason.strip():
        raise click.BadParameter("is empty: say why, for whoever looks at it later", param_hint="--reason")
    with contextlib.closing(open_store(settings, create=False)) as database:
        chosen = [_find(database, each) for each in who]  # all of them are known before anything is written
        for source, record in chosen:
            Store(database).decisions.pause(
                source=source, record=record, until=moment, reason=" ".join(reason.split()), by=name_person(), now=now
            )
    if invocation.json:
        print_json({"who": list(who), "until": format_time(moment), "reason": " ".join(reason.split())})
        return
    print_line(f"Paused until {moment:%Y-%m-%d %H:%M} UTC: {', '.join(who)}. 'syncd resume' ends it earlier.")


@click.command("resume")
@click.argument("who", nargs=-1, required=True, metavar="WHO…")
@shared_options
@pass_invocation
def resume(invocation: Invocation, *, who: tuple[str, ...]) -> None:
    """End the pause of people or groups; the next run does what has piled up, guarded as ever.

    \b
    Example:
      syncd resume ann@example.com
    """
    from syncd.bootstrap.store import open_store
    from syncd.store.store import Store

    with contextlib.closing(open_store(invocation.start(need=STORE_ONLY), create=False)) as database:
        chosen = [(each, _find(database, each)) for each in who]
        resumed = dict[str, bool]()
        ended = dict[tuple[int | None, int | None], bool]()  # one who is named twice was paused once
        for name, found in chosen:
            if found not in ended:
                ended[found] = Store(database).decisions.resume(source=found[0], record=found[1])
            resumed[name] = ended[found]
    if invocation.json:
        print_json(Stream({"who": name, "was_paused": was} for name, was in resumed.items()))
        return
    for name, was in resumed.items():
        print_line(f"{name} goes on with the next run." if was else f"{name} was not paused.")


def _find(database: Database, who: str) -> tuple[int | None, int | None]:
    """Return the source object that is meant, or the record of the portal that no source object has."""
    from syncd.model.target import fold
    from syncd.store.reports.explain import Explanations
    from syncd.store.store import Store

    if not Explanations(database).find(who, in_part=False):
        records = Store(database).decisions.find_records(fold(who.strip()))
        if len(records) == 1:
            return None, records[0][1].key
    return find_object(database, who).key, None


def _parse_day(text: str, settings: Settings) -> datetime:
    """Return the moment of a day's beginning, or of a time of it, in the time zone of the schedule."""
    for form in _DAYS:
        with contextlib.suppress(ValueError):
            return datetime.strptime(text.strip(), form).replace(tzinfo=settings.schedule.timezone).astimezone(UTC)
    raise click.BadParameter(f"{text!r} is no day such as 2026-12-31 or 2026-12-31T18:00", param_hint="--until")
