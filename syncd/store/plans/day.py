"""What the last 24 hours took away, how much of it a day allows, and since when something is held."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, TextClause, and_, bindparam, func, or_, select

from syncd.model.reason import Cause
from syncd.plan.daily import DAY, Allowance, Done, Kind, sum_removed
from syncd.store.db.markers import ALLOWANCES, load_markers, save_marker
from syncd.store.db.parameters import among_bound
from syncd.store.db.part import StorePart, in_thread
from syncd.store.db.sql import decode_json, encode_json
from syncd.store.schema.runs import REMOVED
from syncd.store.schema.tables import changes, runs
from syncd.store.schema.types import UtcTime


class Days(StorePart):
    """Reads outcomes. Methods that are not marked are called in the store's thread."""

    def load_done(self, *, now: datetime) -> list[Done]:
        """Return what was done in the last 24 hours, or may have been, in the order of runs."""
        return self._load_done(_SELECT_DONE, now)

    def save_allowances(self, allowances: Collection[Allowance]) -> None:
        """Remember how many of some kinds may go in a day; those of other kinds stay as they are."""
        fresh = {f"{each.action} {each.object}": each.allowed for each in allowances}
        known = self._load_allowed()
        if known | fresh != known:
            with self._database.transaction() as connection:
                save_marker(connection, ALLOWANCES, encode_json(known | fresh))

    @in_thread
    def load_allowances(self, *, now: datetime) -> list[Allowance]:
        """Return for the kinds that the guard looked at what of the day's allowance is used, as of now."""
        used = sum_removed(self._load_done(_SELECT_REMOVED, now))
        known: dict[Kind, int | None] = {(k.split()[0], k.split()[1]): n for k, n in self._load_allowed().items()}  # type: ignore[misc]  # as `save_allowances` writes them
        return [
            Allowance(action=kind[0], object=kind[1], used=used.get(kind, 0), allowed=known.get(kind))
            for kind in sorted(known.keys() | used.keys())
        ]

    @in_thread
    def load_held_since(self, run_ids: Sequence[int]) -> datetime | None:
        """Return when the oldest began of what these runs hold, None when they hold nothing."""
        return self._database.load_value(_SELECT_HELD_SINCE, {"runs": run_ids}) if run_ids else None

    def load_starts(self, run_ids: Collection[int]) -> dict[int, datetime]:
        """Return when these runs began; one that is forgotten is missing."""
        return {row[0]: row[1] for row in self._database.load_rows(_SELECT_STARTS, {"runs": run_ids})}

    def _load_done(self, statement: Select[Any], now: datetime) -> list[Done]:
        found = []
        for run_id, trigger, action, kind, number in self._database.load_rows(statement, {"since": now - DAY}):
            what: Kind = ("unlink", "user") if kind == "substitution" else (action, kind)
            found.append(Done(run_id, trigger == "approval", *what, number))
        return found

    def _load_allowed(self) -> dict[str, int | None]:
        found: dict[str, int | None] = decode_json(load_markers(self._database, ALLOWANCES).get(ALLOWANCES))
        return found


# ---- statements -----------------------------------------------------------------------------------------------------


def _select_done(which: ColumnElement[bool] | TextClause) -> Select[Any]:
    c = changes.c
    since: ColumnElement[datetime] = bindparam("since", type_=UtcTime())
    recent = select(func.min(runs.c.id)).where(or_(runs.c.finished_at.is_(None), runs.c.finished_at > since))
    found = (
        select(c.run_id, c.action, c.object, func.count().label("number"))
        .where(
            which,
            c.run_id >= recent.scalar_subquery(),
            or_(c.finished_at.is_(None), c.finished_at > since),
            or_(c.object != "substitution", and_(c.action == "create", c.cause == Cause.STANDS_IN.value)),
            c.cause != Cause.COMPLETES_CREATION.value,
        )
        .group_by(c.run_id, c.action, c.object)
        .subquery()
    )
    return (
        select(found.c.run_id, runs.c.trigger, found.c.action, found.c.object, found.c.number)
        .join(runs, runs.c.id == found.c.run_id)
        .order_by(found.c.run_id, found.c.action, found.c.object)
    )


_ENDED = changes.c.status.in_(("done", "started"))
_ADDED = and_(changes.c.action.in_(("create", "adopt", "link", "grant")), _ENDED)
_SELECT_DONE = _select_done(or_(REMOVED, _ADDED))
_SELECT_REMOVED = _select_done(REMOVED)
_SELECT_HELD_SINCE = select(func.min(runs.c.started_at)).where(
    runs.c.id.in_(
        select(func.coalesce(changes.c.held_since, changes.c.run_id)).where(
            among_bound(changes.c.run_id, "runs"), changes.c.status == "held"
        )
    )
)
_SELECT_STARTS = select(runs.c.id, runs.c.started_at).where(among_bound(runs.c.id, "runs"))
