"""What happened to a record, what is open of it, and what a person rejected: for explanations."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, or_, select

from syncd.model.kinds import RECORD_KINDS
from syncd.model.reason import Cause
from syncd.model.run import HELD_FOR, REVERSALS
from syncd.store.db.parameters import among_values
from syncd.store.db.sql import decode_json
from syncd.store.reports.impact import is_departure, load_cards, load_losses
from syncd.store.runs.open_changes import find_newest_planned, is_in_force, is_open_still, is_unsolved
from syncd.store.schema.tables import UtcTime, changes, failures, rejections, runs, target_principals

_OPEN = ("planned", "started", "failed", "deferred", "held")
_OUTCOMES = 20


def load_pending(connection: Connection, records: list[int], *, now: datetime) -> list[Mapping[str, Any]]:
    """Return what the runs that still speak left open, with the next attempt of what failed and is not solved.

    What setting something back withheld is open as well, until it expires, and so is what
    would follow from an adoption.
    """
    newest = find_newest_planned(connection, runs.c.kind != "plan")
    next_at: dict[tuple[int, int, str], datetime] = {
        (row.record_key, row.target_key, row.object): row.next_at
        for row in connection.execute(
            select(failures).where(
                or_(
                    among_values(failures.c.record_key, records),
                    among_values(failures.c.target_key, records),
                )
            )
        )
    }
    fresh = runs.c.finished_at > bindparam("since", now - HELD_FOR, UtcTime())
    reversals = select(runs.c.id).where(runs.c.kind.in_(REVERSALS), fresh)
    speaks = is_in_force(newest) | (changes.c.run_id.in_(reversals) & (changes.c.status == "held"))
    statement = _select_changes(records).where(
        speaks | is_open_still(connection, newest),
        changes.c.status.in_(_OPEN) | (changes.c.error_cause == Cause.FOLLOWS_ADOPTION.value),
        (changes.c.status != "failed") | is_unsolved(),
    )
    rows = connection.execute(statement.order_by(changes.c.run_id, changes.c.phase, changes.c.seq)).all()
    cards = {
        kind: load_cards(connection, kind, {row.record_key: row.record_id for row in rows if _removes(row, kind)})
        for kind in RECORD_KINDS
    }
    lost = load_losses(connection, {row.record_key for row in rows if is_departure(row.action, row.object)})
    return [
        {
            **_describe_change(row),
            "next_attempt_at": next_at.get((row.record_key, row.target_key or 0, row.object)),
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
    statement = _select_changes(records).where(changes.c.finished_at.is_not(None))
    rows = connection.execute(statement.order_by(changes.c.run_id.desc(), changes.c.seq.desc()).limit(_OUTCOMES)).all()
    return [_describe_change(row) for row in rows]


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


def _select_changes(records: list[int]) -> Any:
    record = target_principals.alias("record")
    member = target_principals.alias("member")
    return (
        select(changes, record.c.bps_id.label("record_id"), member.c.bps_id.label("member_id"))
        .select_from(changes)
        .join(record, record.c.key == changes.c.record_key)
        .outerjoin(member, member.c.key == changes.c.target_key)
        .where(
            or_(
                among_values(changes.c.record_key, records),
                among_values(changes.c.target_key, records),
            )
        )
    )


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
