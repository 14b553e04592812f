"""Where everybody stands: one line per source object, and per record of ours that has lost its source object.

Read from the store alone, in two steps: first the order (keys only), then the rows by chunks, so that memory stays
small and no transaction is open while a reader of the output takes its time.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    Table,
    and_,
    case,
    exists,
    func,
    literal,
    null,
    or_,
    select,
)

from syncd.model.kinds import RecordKind
from syncd.model.reason import Cause, Reason
from syncd.plan.report.status import (
    ObjectStatus,
    Obstacle,
    Record,
    StandIn,
    StatusFacts,
    StatusReason,
    find_orphan_status,
    find_status,
)
from syncd.plan.rules import PolicyRules
from syncd.store.db.database import Database, reading
from syncd.store.db.sql import among
from syncd.store.directory.checkpoints import has_checkpoints
from syncd.store.inventory.claims import is_taken
from syncd.store.inventory.protection import load_tied
from syncd.store.runs.open_changes import find_newest_planned, is_in_force, is_open_still
from syncd.store.schema.tables import (
    changes,
    desired_groups,
    desired_users,
    failures,
    rejections,
    source_groups,
    source_objects,
    source_users,
    substitutions,
    target_groups,
    target_members,
    target_principals,
    target_users,
    vanished_records,
)

_CHUNK = 1000
_OPEN = ("planned", "started", "failed", "deferred", "held")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of the report. ``source_id`` None: the object is unknown to the directory."""

    source_id: str | None
    name: str | None
    bps_id: str | None
    state: ObjectStatus
    reason: str
    last_synced_at: datetime | None


class _Tables(NamedTuple):
    source: Table
    desired: Table
    target: Table
    other: Table


class _Troubles(NamedTuple):
    held: dict[int, Obstacle]
    deferred: dict[int, Obstacle]
    failed: dict[int, Obstacle]


class _Notes(NamedTuple):
    kept: dict[int, int]
    spared: set[int]
    stand_ins: dict[int, StandIn]
    tied: set[int]
    declined: set[int]


_TABLES: dict[RecordKind, _Tables] = {
    "user": _Tables(source_users, desired_users, target_users, target_groups),
    "group": _Tables(source_groups, desired_groups, target_groups, target_users),
}


class Report:
    """Reads the store for the lists of users and groups."""

    def __init__(
        self,
        database: Database,
        policy: PolicyRules,
        *,
        now: datetime | None = None,
        protect: frozenset[str] = frozenset(),
    ) -> None:
        """``now`` lets the reasons name what is missing at present, ``protect`` what the protect list keeps."""
        self._database = database
        self._policy = policy
        self._now = now
        self._protect = protect

    def iterate(self, kind: RecordKind, *, needle: str = "") -> Iterator[Line]:
        """Yield the lines in the order of names, records without a source object last.

        ``needle``: only those whose name, principal name, BPS id or source id contains it, without case.
        """
        with reading(self._database) as connection:
            troubles, notes = _load_troubles(connection, kind), _load_notes(connection, kind, self._protect)
            keys = _load_order(connection, kind, needle.casefold())
        for start in range(0, len(keys), _CHUNK):
            for row in self._load(_select_sources(kind), _TABLES[kind].source, keys[start : start + _CHUNK]):
                judged = find_status(_gather(kind, row, troubles, notes, self._now), self._policy)
                if judged is not None:
                    yield _make_line(row, judged)
        with reading(self._database) as connection:
            orphans = _load_orphans(connection, kind, needle.casefold())
        for start in range(0, len(orphans), _CHUNK):
            for row in self._load(_select_orphans(kind), _TABLES[kind].target, orphans[start : start + _CHUNK]):
                state = row.desired or "unknown"
                if state == "wanted":
                    state = "blocked" if row.blocked else "renamed"
                facts = _gather(kind, row, troubles, notes, self._now)
                judged = find_orphan_status(state, successor=row.mapped or "", facts=facts, policy=self._policy)
                yield _make_line(row, judged)

    def is_unread(self) -> bool:
        """Return whether nothing was read from the tenant yet."""
        if has_checkpoints(self._database):
            return False
        with reading(self._database) as connection:
            return not connection.scalar(select(exists().where(source_objects.c.key.is_not(None))))

    def _load(self, statement: Select[Any], table: Table, keys: Sequence[int]) -> list[Any]:
        """Return the rows of these keys, in the order of the keys; what has gone meanwhile is left out."""
        with reading(self._database) as connection:
            rows = {row.key: row for row in connection.execute(statement.where(among(table.c.key, keys, connection)))}
        return [rows[key] for key in keys if key in rows]


def _make_line(row: Any, judged: StatusReason) -> Line:
    state, reason = judged
    return Line(
        source_id=row.source_id,
        name=row.name,
        bps_id=row.bps_id or row.mapped,
        state=state,
        reason=reason,
        last_synced_at=row.synced_at if row.origin else None,
    )


def _gather(kind: RecordKind, row: Any, troubles: _Troubles, notes: _Notes, now: datetime | None) -> StatusFacts:
    record = None
    if row.record is not None:
        ours = row.origin is not None
        record = Record(
            ours=ours,
            mine=ours and row.owner == row.source_key,
            leaving_at=row.leaving_at,
            kept=notes.kept.get(row.record, 0),
            spared=row.record in notes.spared,
            stand_in=notes.stand_ins.get(row.record),
            tied=row.record in notes.tied,
            declined=row.record in notes.declined,
        )
    principal = row.record if row.record is not None else row.principal_key
    return StatusFacts(
        kind=kind,
        gone=row.gone,
        desired=row.desired,
        reason=Reason(Cause(row.cause or ""), row.reason or ""),
        record=record,
        taken=bool(row.taken),
        held=troubles.held.get(principal),
        failed=troubles.failed.get(principal),
        deferred=troubles.deferred.get(principal),
        removed="" if row.removal_accepted is None else "accepted" if row.removal_accepted else "by hand",
        now=now,
    )


# ---- statements -----------------------------------------------------------------------------------------------------


def _record_of(tables: _Tables) -> ColumnElement[Any]:
    """Return the key of a source object's present record: the wanted one, otherwise one of ours on its behalf."""
    own = tables.target.alias("own")
    mine = select(func.max(own.c.key)).where(own.c.source_key == tables.source.c.key, own.c.origin.is_not(None))
    there = mine.where(own.c.key == tables.desired.c.principal_key)
    return case(
        (tables.desired.c.state == "wanted", tables.desired.c.principal_key),
        else_=func.coalesce(there.scalar_subquery(), mine.scalar_subquery()),
    )


def _select_sources(kind: RecordKind) -> Select[Any]:
    tables = _TABLES[kind]
    source, desired, target, other = tables
    mapped = target_principals.alias("mapped")
    held = target_principals.alias("held")
    return (
        select(
            source.c.key,
            source.c.key.label("source_key"),
            source_objects.c.id.label("source_id"),
            source.c.name,
            source.c.state.in_(("soft_deleted", "deleted")).label("gone"),
            desired.c.state.label("desired"),
            desired.c.cause,
            desired.c.reason,
            desired.c.principal_key,
            mapped.c.bps_id.label("mapped"),
            target.c.key.label("record"),
            held.c.bps_id,
            target.c.origin,
            target.c.source_key.label("owner"),
            target.c.leaving_at,
            target.c.synced_at,
            exists().where(other.c.key == desired.c.principal_key).label("taken"),
            vanished_records.c.accepted.label("removal_accepted"),
        )
        .select_from(source)
        .join(source_objects, source_objects.c.key == source.c.key)
        .outerjoin(desired, desired.c.key == source.c.key)
        .outerjoin(mapped, mapped.c.key == desired.c.principal_key)
        .outerjoin(target, target.c.key == _record_of(tables))
        .outerjoin(held, held.c.key == target.c.key)
        .outerjoin(
            vanished_records,
            (vanished_records.c.key == desired.c.principal_key) & (vanished_records.c.object == kind),
        )
    )


def _select_orphans(kind: RecordKind) -> Select[Any]:
    tables = _TABLES[kind]
    source, desired, target, _ = tables
    mapped = target_principals.alias("mapped")
    claimed = desired.alias("claimed")
    wanted = exists().where(claimed.c.principal_key == target.c.key, claimed.c.state == "wanted")
    record = _record_of(tables)
    return (
        select(
            target.c.key,
            target.c.source_key,
            source_objects.c.id.label("source_id"),
            func.coalesce(source.c.name, target.c.name).label("name"),
            func.coalesce(source.c.state.in_(("soft_deleted", "deleted")), literal(value=False)).label("gone"),
            desired.c.state.label("desired"),
            desired.c.cause,
            desired.c.reason,
            desired.c.principal_key,
            mapped.c.bps_id.label("mapped"),
            target.c.key.label("record"),
            target_principals.c.bps_id,
            target.c.origin,
            target.c.source_key.label("owner"),
            target.c.leaving_at,
            target.c.synced_at,
            null().label("taken"),
            null().label("removal_accepted"),
            is_taken(desired.c.principal_key, kind).label("blocked"),
        )
        .select_from(target)
        .join(target_principals, target_principals.c.key == target.c.key)
        .outerjoin(source, source.c.key == target.c.source_key)
        .outerjoin(source_objects, source_objects.c.key == source.c.key)
        .outerjoin(desired, desired.c.key == source.c.key)
        .outerjoin(mapped, mapped.c.key == desired.c.principal_key)
        .where(
            target.c.origin.is_not(None),
            ~wanted,
            or_(source.c.key.is_(None), record != target.c.key),
        )
    )


def _load_order(connection: Connection, kind: RecordKind, needle: str) -> Sequence[int]:
    source = _TABLES[kind].source
    inner = _select_sources(kind).subquery()
    upn = source.c.upn if kind == "user" else null()
    if needle:
        statement = (
            select(inner.c.key, inner.c.name, inner.c.source_id, inner.c.bps_id, inner.c.mapped, upn)
            .join(source, source.c.key == inner.c.key)
            .order_by(func.lower(func.coalesce(inner.c.name, inner.c.source_id)), inner.c.source_id)
        )
    else:
        statement = (
            select(source.c.key)
            .join(source_objects, source_objects.c.key == source.c.key)
            .order_by(func.lower(func.coalesce(source.c.name, source_objects.c.id)), source_objects.c.id)
        )
    return _match(connection, statement, needle)


def _load_orphans(connection: Connection, kind: RecordKind, needle: str) -> Sequence[int]:
    inner = _select_orphans(kind).subquery()
    statement = select(inner.c.key, inner.c.name, inner.c.source_id, inner.c.bps_id, inner.c.mapped).order_by(
        func.lower(inner.c.bps_id)
    )
    return _match(connection, statement, needle)


def _match(connection: Connection, statement: Select[Any], needle: str) -> Sequence[int]:
    """Return the first column of the rows of which another one contains the needle."""
    keys = array("q")
    for row in connection.execution_options(yield_per=_CHUNK).execute(statement):
        if not needle or any(needle in str(value).casefold() for value in row[1:] if value is not None):
            keys.append(row[0])
    return keys


# ---- troubles -------------------------------------------------------------------------------------------------------


def _load_troubles(connection: Connection, kind: RecordKind) -> _Troubles:
    """Return by record what the newest plan holds and defers, and what failed and is still wanted."""
    troubles = _Troubles({}, {}, {})
    newest = find_newest_planned(connection)
    speaks = is_in_force(newest) | is_open_still(connection, newest)
    own = changes.c.object == kind
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
            .where(speaks, kinds, changes.c.status.in_(("held", "deferred")), record.is_not(None))
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


def _load_notes(connection: Connection, kind: RecordKind, protect: frozenset[str]) -> _Notes:
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
    return _Notes(
        {row[0]: row[1] for row in connection.execute(kept)},
        set(connection.scalars(spared)),
        {row[0]: StandIn(row[1], row[2]) for row in connection.execute(stand_ins.where(substitutions.c.confirmed))},
        load_tied(connection, kind, protect),
        set(connection.scalars(select(record).where(rejections.c.action == "adopt", rejections.c.object == kind))),
    )
