"""What is known of single records beside their place: what is held, put off or failed, and what people decided."""

from __future__ import annotations

from collections.abc import Collection
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import Connection, Select, and_, bindparam, exists, func, select

from syncd.model.change import ObjectKind
from syncd.model.kinds import RecordKind
from syncd.plan.report.status import Obstacle, StandIn, Told
from syncd.store.db.parameters import among_bound
from syncd.store.inventory.protection import load_tied
from syncd.store.runs.open_changes import find_looked, find_newest_planned, is_in_force, is_open_beside
from syncd.store.schema.tables import changes, failures, rejections, substitutions, target_members, target_principals

_OPEN = ("planned", "started", "failed", "deferred", "held")


class Troubles(NamedTuple):
    held: dict[int, Obstacle]
    deferred: dict[int, Obstacle]
    failed: dict[int, Obstacle]


class Notes(NamedTuple):
    kept: dict[int, int]
    spared: set[int]
    stand_ins: dict[int, StandIn]
    tied: set[int]
    declined: set[int]


def load_troubles(connection: Connection, kind: RecordKind, records: Collection[int] | None = None) -> Troubles:
    """Return by record what the newest plan holds and defers, and what failed and is still wanted.

    ``records``: of these alone.
    """
    troubles = Troubles({}, {}, {})
    newest = find_newest_planned(connection)
    looked = find_looked(connection, newest)
    asked = {"newest": newest, "looked": looked, "records": records}
    asked = {name: value for name, value in asked.items() if value is not None}
    for own, noted, failed in _select_troubles(kind, chosen=records is not None, beside=looked is not None):
        for key, action, status, number, error, about in connection.execute(noted, asked):
            what = action if own else f"{action} of {number} {about}{'s' if number != 1 else ''}"
            found = troubles.held if status == "held" else troubles.deferred
            found[key] = Obstacle(kind=status, reason=Told.make(what, error))
        for key, attempts, next_at, error in connection.execute(failed, asked):
            troubles.failed[key] = Obstacle(kind="failed", reason=error, attempts=attempts, next_at=next_at)
    return troubles


def load_notes(
    connection: Connection, kind: RecordKind, protect: frozenset[str], records: Collection[int] | None = None
) -> Notes:
    """Return by record how many removals of memberships and which deletions were rejected, and who stands in.

    Also which records are tied to the protect list, and of which the adoption was rejected. ``records``: of these.
    """
    chosen = records is not None
    asked = {"records": records} if chosen else {}
    kept, spared, stand_ins, declined = _select_notes(kind, chosen=chosen)
    return Notes(
        {row[0]: row[1] for row in connection.execute(kept, asked)},
        set(connection.scalars(spared, asked)),
        {row[0]: StandIn(row[1], row[2]) for row in connection.execute(stand_ins, asked)},
        load_tied(connection, kind, protect, records),
        set(connection.scalars(declined, asked)),
    )


# ---- statements -----------------------------------------------------------------------------------------------------


@cache
def _select_troubles(
    kind: RecordKind, *, chosen: bool, beside: bool
) -> tuple[tuple[bool, Select[Any], Select[Any]], ...]:
    """Return, by what changes are about, whether that is the record itself, what is withheld, and what failed.

    ``chosen``: of ``:records`` alone; ``beside``: also what stands beside ``:newest``, which came from a file.
    """
    newest = bindparam("newest", type_=changes.c.run_id.type)
    speaks = is_in_force(newest)
    if beside:
        speaks = speaks | is_open_beside(bindparam("looked", type_=changes.c.run_id.type), newest)
    asked = (changes.c.action == "handover") & (changes.c.status == "held")  # that is the newcomer's trouble
    in_groups = changes.c.target_key if kind == "user" else changes.c.record_key
    own: tuple[ObjectKind, ...] = ("substitution", "licence") if kind == "user" else ("privilege",)
    found = []
    for record, about in (
        (in_groups, "ownership"),
        (in_groups, "membership"),
        *((changes.c.record_key, each) for each in own),
        (changes.c.record_key, kind),  # what concerns the record itself is told rather than a membership of it
    ):
        these = [speaks, changes.c.object == about, record.is_not(None)]
        these += [among_bound(record, "records", few=True)] if chosen else []
        noted = (
            select(
                record, changes.c.action, changes.c.status, func.count(), func.min(changes.c.error), changes.c.object
            )
            .where(*these, changes.c.status.in_(("held", "deferred")), ~asked)
            .group_by(record, changes.c.action, changes.c.status, changes.c.object)
            .order_by(record, changes.c.action.desc())
        )
        failed = (
            select(record, failures.c.attempts, failures.c.next_at, failures.c.error)
            .join(
                failures,
                and_(
                    failures.c.record_key == changes.c.record_key,
                    failures.c.target_key == func.coalesce(changes.c.target_key, 0),
                    failures.c.object == changes.c.object,
                ),
            )
            .where(*these, changes.c.status.in_(_OPEN))
            .order_by(record, failures.c.attempts)
        )
        found.append((about == kind, noted, failed))
    return tuple(found)


@cache
def _select_notes(kind: RecordKind, *, chosen: bool) -> tuple[Select[Any], ...]:
    record, other = rejections.c.record_key, rejections.c.target_key
    there = exists().where(target_members.c.group_key == record, target_members.c.member_key == other)
    own = other if kind == "user" else record
    kept = select(own, func.count()).where(rejections.c.action == "unlink", there).group_by(own).order_by(own)
    spared = select(record).where(rejections.c.action == "delete", other == 0)
    stand_ins = (
        select(substitutions.c.original_key, target_principals.c.bps_id, substitutions.c.ends_at)
        .join(target_principals, target_principals.c.key == substitutions.c.substitute_key)
        .where(substitutions.c.confirmed)
    )
    declined = select(record).where(rejections.c.action == "adopt", rejections.c.object == kind)
    questions = ((kept, own), (spared, record), (stand_ins, substitutions.c.original_key), (declined, record))
    return tuple(question.where(among_bound(key, "records")) if chosen else question for question, key in questions)
