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

from sqlalchemy import Connection, Select, and_, exists, func, null, select

from syncd.model.kinds import RecordKind
from syncd.model.reason import Cause, Reason
from syncd.plan.pauses import Pause
from syncd.plan.report.status import (
    ObjectStatus,
    Obstacle,
    Record,
    StandIn,
    StatusFacts,
    StatusReason,
    find_orphan_status,
    find_status,
    tell_pause,
)
from syncd.plan.rules import PolicyRules
from syncd.store.db.database import Database, reading
from syncd.store.decisions.pauses import Pauses
from syncd.store.directory.checkpoints import has_checkpoints
from syncd.store.inventory.protection import load_tied
from syncd.store.reports.status_statements import (
    TABLES,
    choose_orphans,
    choose_sources,
    select_orphans,
    select_sources,
)
from syncd.store.runs.open_changes import find_newest_planned, is_in_force, is_open_still
from syncd.store.schema.tables import (
    changes,
    failures,
    rejections,
    source_objects,
    substitutions,
    target_members,
    target_principals,
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
        pauses = Pauses(self._database).load_pauses(now=self._now) if self._now is not None else []
        with reading(self._database) as connection:
            troubles, notes = _load_troubles(connection, kind), _load_notes(connection, kind, self._protect)
            keys = _load_order(connection, kind, needle.casefold())
        for start in range(0, len(keys), _CHUNK):
            for row in self._load(choose_sources(kind), keys[start : start + _CHUNK]):
                judged = find_status(_gather(kind, row, troubles, notes, self._now), self._policy)
                if judged is not None:
                    yield _make_line(row, judged, pauses)
        with reading(self._database) as connection:
            orphans = _load_orphans(connection, kind, needle.casefold())
        for start in range(0, len(orphans), _CHUNK):
            for row in self._load(choose_orphans(kind), orphans[start : start + _CHUNK]):
                state = row.desired or "unknown"
                if state == "wanted":
                    state = "blocked" if row.blocked else "renamed"
                facts = _gather(kind, row, troubles, notes, self._now)
                judged = find_orphan_status(state, successor=row.mapped or "", facts=facts, policy=self._policy)
                yield _make_line(row, judged, pauses)

    def is_unread(self) -> bool:
        """Return whether nothing was read from the tenant yet."""
        if has_checkpoints(self._database):
            return False
        with reading(self._database) as connection:
            return not connection.scalar(select(exists().where(source_objects.c.key.is_not(None))))

    def _load(self, statement: Select[Any], keys: Sequence[int]) -> list[Any]:
        """Return the rows of these keys, in the order of the keys; what has gone meanwhile is left out."""
        rows = {row.key: row for row in self._database.load_rows(statement, {"keys": keys})}
        return [rows[key] for key in keys if key in rows]


def _make_line(row: Any, judged: StatusReason, pauses: Sequence[Pause]) -> Line:
    state, reason = tell_pause(judged, pauses, source=row.source_key, record=row.record)
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


def _load_order(connection: Connection, kind: RecordKind, needle: str) -> Sequence[int]:
    source = TABLES[kind].source
    inner = select_sources(kind).subquery()
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
    inner = select_orphans(kind).subquery()
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
