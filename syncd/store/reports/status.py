"""Where everybody stands: one line per source object, and per record of ours that has lost its source object.

Read from the store alone, in two steps: first the order (keys only), then the rows by chunks, so that memory stays
small and no transaction is open while a reader of the output takes its time.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, Select, exists, func, null, select

from syncd.model.kinds import RecordKind
from syncd.model.reason import Cause, Reason
from syncd.plan.pauses import Pause
from syncd.plan.report.status import (
    ObjectStatus,
    Record,
    StatusFacts,
    StatusReason,
    find_orphan_status,
    find_status,
    tell_pause,
)
from syncd.plan.rules import PolicyRules
from syncd.store.db.database import Database, reading
from syncd.store.db.markers import EMPTIED, load_marker
from syncd.store.decisions.pauses import Pauses
from syncd.store.directory.checkpoints import has_checkpoints
from syncd.store.reports.status_notes import Notes, Troubles, load_notes, load_troubles
from syncd.store.reports.status_statements import (
    TABLES,
    choose_orphans,
    choose_sources,
    count_alike,
    select_ordered,
    select_orphans,
    select_page,
    select_singled_out,
    select_sources,
)
from syncd.store.schema.tables import (
    source_objects,
)

_CHUNK = 1000
_NOBODY = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of the report. ``source_id`` None: the object is unknown to the directory."""

    source_id: str | None
    name: str | None
    bps_id: str | None
    state: ObjectStatus
    reason: str
    last_synced_at: datetime | None


class _Alike(NamedTuple):
    """The facts of many, as those of one: a row of `select_sources` whose keys belong to nobody."""

    gone: bool
    desired: str | None
    cause: str | None
    reason: str | None
    record: int | None
    origin: str | None
    owner: int
    source_key: int
    leaving_at: datetime | None
    taken: bool
    removal_accepted: bool | None
    principal_key: int | None = None

    @classmethod
    def make(cls, row: Any) -> _Alike:
        """Return the facts of a row of `count_alike`."""
        return cls(
            gone=row.gone,
            desired=row.desired,
            cause=row.cause,
            reason=row.reason,
            record=_NOBODY if row.there else None,
            origin="ours" if row.ours else None,
            owner=_NOBODY if row.mine else 0,
            source_key=_NOBODY,
            leaving_at=row.leaving_at,
            taken=row.taken,
            removal_accepted=row.removal_accepted,
        )


class _Looked(NamedTuple):
    pauses: Sequence[Pause]
    troubles: Troubles
    notes: Notes
    emptied: bool


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

    def iterate(self, kind: RecordKind, *, needle: str = "", at_once: int | None = None) -> Iterator[Line]:
        """Yield the lines in the order of names, records without a source object last.

        ``needle``: only those whose name, principal name, BPS id or source id contains it, without case. ``at_once``:
        whoever reads wants about so many, so that no more keys are asked for at a time.
        """
        return (line for _, _, line in self.iterate_keyed(kind, needle=needle, at_once=at_once))

    def iterate_keyed(
        self, kind: RecordKind, *, needle: str = "", at_once: int | None = None
    ) -> Iterator[tuple[int, bool, Line]]:
        """Yield the same lines, each with its key, and whether that is a record's without a source object."""
        looked = self._look(kind)
        for keys in self._iterate_keys(kind, needle.casefold(), at_once):
            for key, line in self._judge_sources(kind, keys, looked):
                yield key, False, line
        with reading(self._database) as connection:
            orphans = _load_orphans(connection, kind, needle.casefold())
        for key, line in self._judge_orphans(kind, orphans, looked):
            yield key, True, line

    def load_lines(self, kind: RecordKind, keyed: Sequence[tuple[int, bool]]) -> list[Line]:
        """Return the lines of a few keys in their order; what has gone meanwhile is left out."""
        looked = self._look(kind)
        sources, orphans = ([key for key, is_orphan in keyed if is_orphan is wanted] for wanted in (False, True))
        found = {(key, False): line for key, line in self._judge_sources(kind, sources, looked)}
        found |= {(key, True): line for key, line in self._judge_orphans(kind, orphans, looked)}
        return [found[each] for each in keyed if each in found]

    def _look(self, kind: RecordKind) -> _Looked:
        """Return what is needed to judge any of a kind."""
        pauses = Pauses(self._database).load_pauses(now=self._now) if self._now is not None else []
        with reading(self._database) as connection:
            troubles, notes = load_troubles(connection, kind), load_notes(connection, kind, self._protect)
            return _Looked(pauses, troubles, notes, load_marker(connection, f"{EMPTIED}{kind}s") is not None)

    def _judge_sources(self, kind: RecordKind, keys: Sequence[int], looked: _Looked) -> Iterator[tuple[int, Line]]:
        for start in range(0, len(keys), _CHUNK):
            for row in self._load(choose_sources(kind), keys[start : start + _CHUNK]):
                facts = _gather(kind, row, looked, self._now)
                judged = find_status(facts, self._policy)
                if judged is not None:
                    yield row.key, _make_line(row, judged, looked.pauses)

    def _judge_orphans(self, kind: RecordKind, keys: Sequence[int], looked: _Looked) -> Iterator[tuple[int, Line]]:
        for start in range(0, len(keys), _CHUNK):
            for row in self._load(choose_orphans(kind), keys[start : start + _CHUNK]):
                state = row.desired or "unknown"
                if state == "wanted":
                    state = "blocked" if row.blocked else "renamed"
                facts = _gather(kind, row, looked, self._now)
                judged = find_orphan_status(state, successor=row.mapped or "", facts=facts, policy=self._policy)
                yield row.key, _make_line(row, judged, looked.pauses)

    def count(self, kind: RecordKind) -> Counter[StatusReason]:
        """Return how many lines have each state and reason, as `iterate` yields them, without loading everybody.

        Whoever has the same facts is counted by the database; those of whom more is known are looked at one by one.
        """
        looked = self._look(kind)
        pauses, troubles, notes, _ = looked
        found: Counter[StatusReason] = Counter()
        with reading(self._database) as connection:
            known = {key for part in (*troubles, *notes) for key in part}
            asked = {
                "records": sorted(known.union(*(pause.records for pause in pauses))),
                "sources": sorted({pause.source for pause in pauses if pause.source is not None}),
            }
            alike = connection.execute(count_alike(kind), asked).all()
            single = list(connection.scalars(select_singled_out(kind), asked))
            orphans = _load_orphans(connection, kind, "")
        for row in alike:
            facts = _gather(kind, _Alike.make(row), looked, self._now)
            judged = find_status(facts, self._policy)
            if judged is not None:
                found[judged] += row.number
        for start in range(0, len(single), _CHUNK):
            for row in self._load(choose_sources(kind), single[start : start + _CHUNK]):
                judged = find_status(_gather(kind, row, looked, self._now), self._policy)
                if judged is not None:
                    found[tell_pause(judged, pauses, source=row.source_key, record=row.record)] += 1
        for _, line in self._judge_orphans(kind, orphans, looked):
            found[line.state, line.reason] += 1
        return found

    def _iterate_keys(self, kind: RecordKind, needle: str, at_once: int | None) -> Iterator[Sequence[int]]:
        """Yield the keys of source objects in their order; no transaction is open while they are worked on."""
        if at_once is not None and not needle:
            offset = 0
            while True:
                asked = {"most": at_once, "offset": offset}
                keys = self._database.load_values(select_page(kind), asked)
                yield keys
                offset += len(keys)
                if len(keys) < at_once:
                    return
        with reading(self._database) as connection:
            found = _load_order(connection, kind, needle)
        for start in range(0, len(found), _CHUNK):
            yield found[start : start + _CHUNK]

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


def _gather(kind: RecordKind, row: Any, looked: _Looked, now: datetime | None) -> StatusFacts:
    _, troubles, notes, emptied = looked
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
        emptied=emptied,
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
        statement = select_ordered(kind)
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
