"""Who was where, as commands read it from their arguments and write it as JSON."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from syncd.cli.screen.output import format_time
from syncd.plan.report.history import check_known, parse_asked, say_cause

if TYPE_CHECKING:
    from syncd.config import Settings
    from syncd.model.history import Asked, End


def parse_date(settings: Settings, text: str, *, since: datetime, now: datetime) -> Asked:
    """Return what ``--at`` asks for; a usage error for what nobody can answer."""
    zone = settings.schedule.timezone
    try:
        asked = parse_asked(text, zone=zone, now=now)
        check_known(asked, since=since, kept=settings.store.keep_history, now=now, zone=zone)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="'--at'") from None
    return asked


def describe_end(end: End | None, *, came: bool) -> dict[str, Any] | None:
    """Return one end of a time as JSON documents have it; None where it lasts."""
    if end is None:
        return None
    return {
        "at": format_time(end.at),
        "run": end.run,
        "cause": end.cause or None,
        "approved": end.by == "approval",
        "says": (say_cause(end, came=came) or None) if end.at is not None else "before the history began",
    }
