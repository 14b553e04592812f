"""What the last 24 hours took away, how much of it a day allows, and since when something is held."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import Connection, and_, bindparam, delete, func, or_, select

from syncd.model.change import REMOVALS, Action, ObjectKind
from syncd.model.reason import Cause
from syncd.plan.daily import DAY, Allowance, Done, Kind, sum_removed
from syncd.store.db.markers import ALLOWANCES, load_markers, save_marker
from syncd.store.db.parameters import among_bound
from syncd.store.db.part import StorePart, in_thread
from syncd.store.db.sql import decode_json, encode_json, upsert
from syncd.store.schema.tables import changes, day_counts, runs


class Days(StorePart):
    """Reads outcomes. Methods that are not marked are called in the store's thread."""

    def load_done(self, *, now: datetime) -> list[Done]:
        """Return what was done in the last 24 hours, or may have been, in the order of runs."""
        return [
            Done(row.run_id, row.trigger == "approval", row.action, row.object, row.number)
            for row in self._database.load_rows(_SELECT_DONE, {"since": now - DAY})
        ]

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
        used = sum_removed(self.load_done(now=now))
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

    def _load_allowed(self) -> dict[str, int | None]:
        found: dict[str, int | None] = decode_json(load_markers(self._database, ALLOWANCES).get(ALLOWANCES))
        return found


def count_done(connection: Connection, run_id: int, seqs: Sequence[int], now: datetime) -> None:
    """Add changes that were done, or may have been, to what their run did on this day."""
    asked = {"run": run_id, "seqs": seqs}
    fresh = {_name_kind(row.action, row.object): row.number for row in connection.execute(_COUNT_KINDS, asked)}
    if not fresh:
        return
    known = {(row.action, row.object): row.number for row in connection.execute(_SELECT_COUNTED, asked)}
    connection.execute(_FORGET_OLD, {"since": now - DAY})
    rows = [
        {"run_id": run_id, "action": action, "object": kind, "number": number + known.get((action, kind), 0), "at": now}
        for (action, kind), number in sorted(fresh.items())
    ]
    upsert(connection, day_counts, rows)


def _name_kind(action: Action, kind: ObjectKind) -> Kind:
    """Return as what a change counts: passing on a leaver's tasks belongs to the unlinking."""
    return ("unlink", "user") if kind == "substitution" else (action, kind)


# ---- statements -----------------------------------------------------------------------------------------------------

_COUNT_KINDS = (
    select(changes.c.action, changes.c.object, func.count().label("number"))
    .where(
        changes.c.run_id == bindparam("run"),
        among_bound(changes.c.seq, "seqs"),
        changes.c.action.in_(("create", "adopt", "link", "grant", *REMOVALS)),
        changes.c.cause != Cause.COMPLETES_CREATION.value,
        or_(
            changes.c.object != "substitution",
            and_(changes.c.action == "create", changes.c.cause == Cause.STANDS_IN.value),
        ),
    )
    .group_by(changes.c.action, changes.c.object)
)
_SELECT_COUNTED = select(day_counts).where(day_counts.c.run_id == bindparam("run"))
_FORGET_OLD = delete(day_counts).where(day_counts.c.at < bindparam("since"))
_SELECT_DONE = (
    select(day_counts, runs.c.trigger)
    .join(runs, runs.c.id == day_counts.c.run_id)
    .where(day_counts.c.at > bindparam("since"))
    .order_by(day_counts.c.run_id, day_counts.c.action, day_counts.c.object)
)
_SELECT_HELD_SINCE = select(func.min(runs.c.started_at)).where(
    runs.c.id.in_(
        select(func.coalesce(changes.c.held_since, changes.c.run_id)).where(
            among_bound(changes.c.run_id, "runs"), changes.c.status == "held"
        )
    )
)
_SELECT_STARTS = select(runs.c.id, runs.c.started_at).where(among_bound(runs.c.id, "runs"))
