"""What happened to a record, what is open of it, and what a person rejected: for explanations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, bindparam, exists, func, or_, select

from syncd.model.kinds import RECORD_KINDS
from syncd.model.reason import Cause
from syncd.model.run import HELD_FOR, REVERSALS
from syncd.store.db.parameters import among_pairs, among_values, gather, pack_pairs, read_gathered
from syncd.store.db.sql import decode_json
from syncd.store.reports.impact import is_departure, load_cards, load_losses
from syncd.store.runs.open_changes import (
    find_looked,
    find_newest_planned,
    is_in_force,
    is_open_beside,
    is_unsolved,
    select_in_force,
)
from syncd.store.schema.tables import UtcTime, changes, failures, rejections, runs, target_principals

_OPEN = ("planned", "started", "failed", "deferred", "held")
_OUTCOMES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """What is open. ``entries``: the first of them, each in plain values; ``number``: how many there are.

    ``runs``: the runs that left it open, ``held`` those that hold any, ``adopting`` those that hold an adoption from
    which some of it would follow; ``retried_at``: the next attempt of what failed.
    """

    entries: list[Mapping[str, Any]]
    number: int
    runs: tuple[int, ...]
    held: tuple[int, ...]
    adopting: tuple[int, ...]
    retried_at: datetime | None


def load_pending(connection: Connection, records: list[int], *, now: datetime, at_most: int | None = None) -> Pending:
    """Return what the runs that still speak left open, with the next attempt of what failed and is not solved.

    What setting something back withheld is open as well, until it expires, and so is what
    would follow from an adoption. ``at_most``: so many entries; a group may have ten thousand.
    """
    picked = _pick_pending(connection, records, now=now)
    # All of it as one value, since a row of each would cost more than to find it.
    found = read_gathered(connection.scalar(gather(picked)))
    places = [(run_id, seq) for run_id, _, seq, _ in sorted(found)]
    return Pending(
        entries=_describe_pending(connection, places[:at_most]),
        number=len(places),
        runs=tuple(sorted({run_id for run_id, _ in places})),
        held=tuple(sorted({run_id for run_id, _, _, status in found if status == "held"})),
        adopting=tuple(sorted({run_id for run_id, _, _, status in found if status == "dropped"})),
        retried_at=_find_next_attempt(connection, records, picked),
    )


def _find_next_attempt(connection: Connection, records: list[int], picked: Select[Any]) -> datetime | None:
    """Return when the first of what is open and failed before is tried again."""
    ends = (failures.c.record_key, failures.c.target_key)
    if not connection.scalar(select(or_(*(exists().where(among_values(key, records)) for key in ends)))):
        return None
    place = picked.subquery()
    here = (changes.c.run_id == place.c.run_id) & (changes.c.seq == place.c.seq)
    failing = select(func.min(failures.c.next_at)).select_from(place).join(changes, here).join(failures, _fails())
    found: datetime | None = connection.scalar(failing)
    return found


def _pick_pending(connection: Connection, records: list[int], *, now: datetime) -> Select[Any]:
    """Return a query for the places of what is open; each record is looked for in the runs that speak alone."""
    newest = find_newest_planned(connection, runs.c.kind != "plan")
    fresh = runs.c.finished_at > bindparam("since", now - HELD_FOR, UtcTime())
    reversals = select(runs.c.id).where(runs.c.kind.in_(REVERSALS), fresh)
    speaks = is_in_force(newest) | (changes.c.run_id.in_(reversals) & (changes.c.status == "held"))
    speaking, looked = select_in_force(newest), find_looked(connection, newest)
    if looked is not None:
        speaks = speaks | is_open_beside(looked, newest)
        speaking = select(runs.c.id).where(runs.c.id >= min(looked, newest))
    conditions = (
        changes.c.run_id.in_(speaking.union(reversals)),
        speaks,
        changes.c.status.in_(_OPEN) | (changes.c.error_cause == Cause.FOLLOWS_ADOPTION.value),
        (changes.c.status != "failed") | is_unsolved(),
    )
    written, joined = (
        select(changes.c.run_id, changes.c.phase, changes.c.seq, changes.c.status).where(
            among_values(key, records, few=True), *conditions
        )
        for key in (changes.c.record_key, changes.c.target_key)
    )
    return select(written.union(joined).subquery())


def _describe_pending(connection: Connection, places: list[tuple[int, int]]) -> list[Mapping[str, Any]]:
    rows = _load_described(connection, places)
    cards = {
        kind: load_cards(connection, kind, {row.record_key: row.record_id for row in rows if _removes(row, kind)})
        for kind in RECORD_KINDS
    }
    lost = load_losses(connection, {row.record_key for row in rows if is_departure(row.action, row.object)})
    return [
        {
            **_describe_change(row),
            "next_attempt_at": row.next_at,
            **({"impact": cards[row.object][row.record_key]} if _removes(row, row.object) else {}),
            **({"impact": lost[row.record_key]} if _leaves(row, lost) else {}),
        }
        for row in rows
    ]


def _removes(row: Row[Any], kind: str) -> bool:
    return bool(row.action == "delete" and row.object == kind and kind in RECORD_KINDS)


def _leaves(row: Row[Any], lost: Mapping[int, object]) -> bool:
    return is_departure(row.action, row.object) and row.record_key in lost


def load_outcomes(connection: Connection, records: list[int]) -> list[Mapping[str, Any]]:
    """Return the last changes that were tried, newest first."""
    found = {
        (row.run_id, row.seq)
        for key in records
        for statement in _LAST
        for row in connection.execute(statement, {"key": key, "most": _OUTCOMES})
    }
    places = sorted(found, reverse=True)[:_OUTCOMES]
    return [_describe_change(row) for row in _load_described(connection, places)]


def load_rejected(connection: Connection, records: list[int]) -> list[Mapping[str, Any]]:
    """Return what a person rejected, and what is therefore not proposed again until the object changes."""
    record, member = target_principals.alias("record"), target_principals.alias("member")
    statement = (
        select(rejections, record.c.bps_id.label("record_id"), member.c.bps_id.label("member_id"))
        .join(record, record.c.key == rejections.c.record_key)
        .outerjoin(member, member.c.key == rejections.c.target_key)
        .where(
            or_(
                among_values(rejections.c.record_key, records),
                among_values(rejections.c.target_key, records),
            )
        )
        .order_by(rejections.c.run_id, record.c.bps_fold, member.c.bps_fold, rejections.c.action)
    )
    return [
        {
            "run": row.run_id,
            "action": row.action,
            "object": row.object,
            "bps_id": row.record_id,
            "target": row.member_id or "",
            "after": decode_json(row.after) if row.after else {},
        }
        for row in connection.execute(statement)
    ]


def _load_described(connection: Connection, places: list[tuple[int, int]]) -> list[Row[Any]]:
    """Return the changes of these places (run, number in its plan) with the names of both ends, in this order."""
    rows = connection.execute(_SELECT_DESCRIBED, {"places": pack_pairs(places)}) if places else ()
    found = {(row.run_id, row.seq): row for row in rows}
    return [found[place] for place in places]


def _describe_change(row: Row[Any]) -> dict[str, Any]:
    return {
        "run": row.run_id,
        "action": row.action,
        "object": row.object,
        "bps_id": row.record_id,
        "target": row.member_id or row.target,
        "outcome": row.status,
        "reason": row.reason,
        "before": decode_json(row.before),
        "after": decode_json(row.after),
        "error": row.error,
        "at": row.finished_at,
    }


# ---- statements -----------------------------------------------------------------------------------------------------


def _fails() -> ColumnElement[bool]:
    return and_(
        failures.c.record_key == changes.c.record_key,
        failures.c.target_key == func.coalesce(changes.c.target_key, 0),
        failures.c.object == changes.c.object,
    )


_record, _member = target_principals.alias("record"), target_principals.alias("member")
_SELECT_DESCRIBED = (
    select(changes, _record.c.bps_id.label("record_id"), _member.c.bps_id.label("member_id"), failures.c.next_at)
    .select_from(changes)
    .join(_record, _record.c.key == changes.c.record_key)
    .outerjoin(_member, _member.c.key == changes.c.target_key)
    .outerjoin(failures, _fails())
    .where(among_pairs(changes.c.run_id, changes.c.seq, "places"))
)
_LAST = tuple(
    select(changes.c.run_id, changes.c.seq)
    .where(key == bindparam("key"), changes.c.finished_at.is_not(None))
    .order_by(changes.c.run_id.desc(), changes.c.seq.desc())
    .limit(bindparam("most"))
    for key in (changes.c.record_key, changes.c.target_key)
)
"""By each end: the index over it has the order of the runs in it, so that of ten thousand only these are looked at."""
