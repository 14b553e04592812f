"""What is known of single records beside their place: what is held, put off or failed, and what people decided."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import Connection, and_, exists, func, select

from syncd.model.kinds import RecordKind
from syncd.plan.report.status import Obstacle, StandIn
from syncd.store.inventory.protection import load_tied
from syncd.store.runs.open_changes import find_newest_planned, is_in_force, is_open_still
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


def load_troubles(connection: Connection, kind: RecordKind) -> Troubles:
    """Return by record what the newest plan holds and defers, and what failed and is still wanted."""
    troubles = Troubles({}, {}, {})
    newest = find_newest_planned(connection)
    speaks = is_in_force(newest) | is_open_still(connection, newest)
    own = changes.c.object == kind
    asked = (changes.c.action == "handover") & (changes.c.status == "held")  # that is the newcomer's trouble
    licence = changes.c.object == "licence"
    in_groups = changes.c.target_key if kind == "user" else changes.c.record_key
    for record, kinds in (
        (in_groups, changes.c.object == "ownership"),
        (in_groups, changes.c.object == "membership"),
        *([(changes.c.record_key, changes.c.object == "substitution")] if kind == "user" else []),
        *([(changes.c.record_key, licence)] if kind == "user" else []),
        (changes.c.record_key, own),  # what concerns the record itself is told rather than a membership of it
    ):
        noted = (
            select(
                record, changes.c.action, changes.c.status, func.count(), func.min(changes.c.error), changes.c.object
            )
            .where(speaks, kinds, changes.c.status.in_(("held", "deferred")), record.is_not(None), ~asked)
            .group_by(record, changes.c.action, changes.c.status, changes.c.object)
            .order_by(record, changes.c.action.desc())
        )
        for key, action, status, number, error, about in connection.execute(noted):
            what = action if kinds is own else f"{action} of {number} {about}{'s' if number != 1 else ''}"
            found = troubles.held if status == "held" else troubles.deferred
            found[key] = Obstacle(kind=status, reason=f"{what}: {error}")
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
            .where(speaks, kinds, changes.c.status.in_(_OPEN), record.is_not(None))
            .order_by(record, failures.c.attempts)
        )
        for key, attempts, next_at, error in connection.execute(failed):
            troubles.failed[key] = Obstacle(kind="failed", reason=error, attempts=attempts, next_at=next_at)
    return troubles


def load_notes(connection: Connection, kind: RecordKind, protect: frozenset[str]) -> Notes:
    """Return by record how many removals of memberships and which deletions were rejected, and who stands in.

    Also which records are tied to the protect list, and of which the adoption was rejected.
    """
    record, other = rejections.c.record_key, rejections.c.target_key
    there = exists().where(target_members.c.group_key == record, target_members.c.member_key == other)
    own = other if kind == "user" else record
    kept = select(own, func.count()).where(rejections.c.action == "unlink", there).group_by(own).order_by(own)
    spared = select(record).where(rejections.c.action == "delete", other == 0)
    stand_ins = select(substitutions.c.original_key, target_principals.c.bps_id, substitutions.c.ends_at).join(
        target_principals, target_principals.c.key == substitutions.c.substitute_key
    )
    return Notes(
        {row[0]: row[1] for row in connection.execute(kept)},
        set(connection.scalars(spared)),
        {row[0]: StandIn(row[1], row[2]) for row in connection.execute(stand_ins.where(substitutions.c.confirmed))},
        load_tied(connection, kind, protect),
        set(connection.scalars(select(record).where(rejections.c.action == "adopt", rejections.c.object == kind))),
    )
