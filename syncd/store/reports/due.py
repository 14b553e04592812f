"""What the store knows to have a date: graces, substitutions, and plans that are held."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, exists, func, select

from syncd.model.kinds import RECORD_KINDS, RecordKind
from syncd.model.reason import Cause, Reason
from syncd.plan.report.due import (
    Due,
    Leaving,
    deletes_any,
    list_deletions,
    tell_hold,
    tell_pause_end,
    tell_substitution,
)
from syncd.plan.rules import Rules
from syncd.store.db.database import Database, reading
from syncd.store.db.parameters import among_bound
from syncd.store.decisions.approvals import Approvals
from syncd.store.decisions.pauses import Pauses
from syncd.store.inventory.protection import load_tied
from syncd.store.reports.coming import iterate_coming
from syncd.store.reports.status_statements import TABLES
from syncd.store.schema.tables import changes, rejections, runs, substitutions, target_principals


def load_due(database: Database, rules: Rules, *, now: datetime, until: datetime) -> list[Due]:
    """Return what has a date, the next first; what rules over ``now`` bring, as far as ``until``."""
    with reading(database) as connection:
        kinds = RECORD_KINDS if deletes_any(rules.policy) else ()
        leaving = [each for kind in kinds for each in _iterate_leaving(connection, kind, rules.scope.protect)]
        ends = [
            tell_substitution(row.bps_id, row.substitute, row.ends_at)
            for row in connection.execute(_SELECT_SUBSTITUTIONS)
            if row.ends_at > now
        ]
    paused = [
        tell_pause_end(each.bps_id, each.until, reason=each.reason, by=each.by)
        for each in Pauses(database).load_paused(now=now)
    ]
    coming = iterate_coming(database, rules, now=now, until=until)
    found = [*list_deletions(leaving, rules.policy), *ends, *paused, *load_holds(database, now=now), *coming]
    return sorted(found)


def load_holds(database: Database, *, now: datetime) -> list[Due]:
    """Return until when each plan can be approved that holds something."""
    holding = Approvals(database).load_holding_runs(now=now)
    rows = database.load_rows(_SELECT_HELD, {"runs": holding}) if holding else ()
    return [tell_hold(row.run_id, row.finished_at, row.number) for row in rows]


def _iterate_leaving(connection: Connection, kind: RecordKind, protect: frozenset[str]) -> Iterator[Leaving]:
    rows = connection.execute(_select_leaving(kind)).all()
    tied = load_tied(connection, kind, protect) if rows else set()
    for row in rows:
        yield Leaving(
            kind=kind,
            bps_id=row.bps_id,
            since=row.leaving_at,
            state=row.leaving_as or row.state or "unknown",
            why=str(Reason(Cause(row.cause or ""), row.reason or "")),
            stays=row.spared or row.key in tied,
        )


def _select_leaving(kind: RecordKind) -> Select[Any]:
    _, desired, target, _ = TABLES[kind]
    spared = exists().where(rejections.c.record_key == target.c.key, rejections.c.action == "delete")
    return (
        select(
            target.c.key,
            target_principals.c.bps_id,
            target.c.leaving_at,
            target.c.leaving_as,
            desired.c.state,
            desired.c.cause,
            desired.c.reason,
            spared.label("spared"),
        )
        .join(target_principals, target_principals.c.key == target.c.key)
        .outerjoin(desired, desired.c.key == target.c.source_key)
        .where(target.c.origin.is_not(None), target.c.leaving_at.is_not(None))
    )


def _select_substitutions() -> Select[Any]:
    substitute = target_principals.alias("substitute")
    return (
        select(target_principals.c.bps_id, substitute.c.bps_id.label("substitute"), substitutions.c.ends_at)
        .join(target_principals, target_principals.c.key == substitutions.c.original_key)
        .join(substitute, substitute.c.key == substitutions.c.substitute_key)
        .where(substitutions.c.confirmed)
    )


_SELECT_SUBSTITUTIONS = _select_substitutions()
_SELECT_HELD = (
    select(changes.c.run_id, runs.c.finished_at, func.count().label("number"))
    .join(runs, runs.c.id == changes.c.run_id)
    .where(
        among_bound(changes.c.run_id, "runs"),  # never all changes of a year
        changes.c.status == "held",
        runs.c.finished_at.is_not(None),
    )
    .group_by(changes.c.run_id, runs.c.finished_at)
)
