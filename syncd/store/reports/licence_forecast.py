"""How the seats of licences will do: who waits, and the pace of the last weeks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import bindparam, func, select

from syncd.store.db.database import Database
from syncd.store.reports.licences import LicenceUse
from syncd.store.schema.tables import changes, runs

Done = Mapping[tuple[str, str], int]
"""Type and action (grant, revoke), and how often."""
_FAR = 3650


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """``granted`` and ``revoked``: lately, by us. ``ends_at``: when the free seats are used up at that pace; None where
    none is free, or they are not.

    ``short``: how many seats are missing for those who wait now.
    """

    granted: int
    revoked: int
    short: int
    ends_at: datetime | None


def count_done(database: Database, *, since: datetime) -> Done:
    """Return how many licences the runs since then granted and revoked; of many changes that takes a while."""
    rows = database.load_rows(_COUNT_DONE, {"since": since})
    return {(row.target, row.action): row.number for row in rows}


def foresee(used: Sequence[LicenceUse], done: Done, *, now: datetime, back: timedelta) -> dict[str, Forecast]:
    """Return how each type will do, by what was done in the time ``back``."""
    return {use.type: _foresee(use, done, now=now, back=back) for use in used}


def _foresee(use: LicenceUse, done: Done, *, now: datetime, back: timedelta) -> Forecast:
    granted, revoked = done.get((use.type, "grant"), 0), done.get((use.type, "revoke"), 0)
    free = None if use.seats is None else use.seats - use.by_rule - use.by_hand
    pace = (granted - revoked) / (back / timedelta(days=1))
    ends_at = None
    if free is not None and free > 0 and pace > 0:
        days = free / pace
        ends_at = now + timedelta(days=days) if days < _FAR else None
    short = 0 if free is None else max(0, use.waiting - max(0, free))
    return Forecast(granted=granted, revoked=revoked, short=short, ends_at=ends_at)


_COUNT_DONE = (
    select(changes.c.target, changes.c.action, func.count().label("number"))
    .where(
        changes.c.run_id.in_(select(runs.c.id).where(runs.c.started_at >= bindparam("since"))),
        changes.c.object == "licence",
        changes.c.action.in_(("grant", "revoke")),
        changes.c.status == "done",
    )
    .group_by(changes.c.target, changes.c.action)
)
