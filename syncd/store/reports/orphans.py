"""Reads the records of the portal that the source does not know, and whom of the tenant they would match."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

from sqlalchemy import ColumnElement, Select, Text, bindparam, cast, exists, func, null, or_, select

from syncd.model.kinds import RECORD_KINDS, RecordKind
from syncd.model.target import fold
from syncd.plan.report.orphans import CLASSES, Candidate, OrphanClass, Unclaimed, classify, group_by_text
from syncd.store.db.database import Database
from syncd.store.db.parameters import among_bound, json_field
from syncd.store.reports.status_statements import TABLES
from syncd.store.runs.runlog import RunLog
from syncd.store.schema.tables import source_objects, target_principals

_CHUNK = 500
_RUNS_READ = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Orphan:
    """A record of the portal that the source does not know."""

    kind: RecordKind
    bps_id: str
    name: str | None
    orphan_class: OrphanClass
    would_match: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OrphanIndex:
    """The key and the class of each, in the order of lists, nine bytes each; and whom some of them would match."""

    keys: Mapping[RecordKind, Sequence[int]]
    classes: Mapping[RecordKind, bytes]
    matches: Mapping[tuple[RecordKind, int], str]

    @property
    def counts(self) -> Counter[str]:
        """Return how many there are by class."""
        return Counter(CLASSES[number] for found in self.classes.values() for number in found)

    def find(self, wanted: OrphanClass | None, *, start: int, limit: int) -> dict[tuple[RecordKind, int], OrphanClass]:
        """Return so many of a class, or of all, from a place on, each with its class."""
        number = None if wanted is None else CLASSES.index(wanted)
        places = (
            ((kind, key), CLASSES[of])
            for kind, keys in self.keys.items()
            for key, of in zip(keys, self.classes[kind], strict=True)
            if number in (None, of)
        )
        return dict(islice(places, start, start + limit))


def iterate_orphans(database: Database) -> Iterator[Orphan]:
    """Yield users, then groups, in the order of their BPS ids."""
    return (orphan for kind in RECORD_KINDS for found in _iterate(database, kind) for _, orphan in found)


def take_orphan_index(database: Database, *, pace: Callable[[], None]) -> OrphanIndex:
    """Look at all of them. ``pace`` is called after each chunk, and may wait. Raises StoreError."""
    keys: dict[RecordKind, Sequence[int]] = {}
    classes: dict[RecordKind, bytes] = {}
    matches: dict[tuple[RecordKind, int], str] = {}
    for kind in RECORD_KINDS:
        numbers, of = array("q"), bytearray()
        for found in _iterate(database, kind):
            numbers.extend(key for key, _ in found)
            of.extend(CLASSES.index(orphan.orphan_class) for _, orphan in found)
            matches |= {(kind, key): orphan.would_match for key, orphan in found if orphan.would_match}
            pace()
        keys[kind], classes[kind] = numbers, bytes(of)
    return OrphanIndex(keys=keys, classes=classes, matches=matches)


def load_orphans(
    database: Database, index: OrphanIndex, wanted: OrphanClass | None, *, start: int, limit: int
) -> list[Orphan]:
    """Return so many from a place on, users first, in the order of their BPS ids; what is none any more is left out.

    Class and match are those of the counting: to find out anew whom a record would match takes a look at everybody.
    """
    found, chosen = list[Orphan](), index.find(wanted, start=start, limit=limit)
    for kind in RECORD_KINDS:
        keys = [key for of, key in chosen if of == kind]
        found += [
            Orphan(
                kind=kind, bps_id=row.bps_id, name=row.name, orphan_class=chosen[kind, row.key],
                would_match=index.matches.get((kind, row.key), ""),
            )
            for row in (database.load_rows(_SELECT_CHOSEN[kind], {"keys": keys}) if keys else ())
        ]  # fmt: skip
    return found


def _iterate(database: Database, kind: RecordKind) -> Iterator[list[tuple[int, Orphan]]]:
    after = ""
    while rows := database.load_rows(_SELECT_UNCLAIMED[kind], {"after": after}):
        after = rows[-1].bps_fold
        yield _judge(database, kind, rows)


def _judge(database: Database, kind: RecordKind, rows: Sequence[Any]) -> list[tuple[int, Orphan]]:
    """Return the record of each row, with its key."""
    records = [
        Unclaimed(kind=kind, bps_id=row.bps_id, name=row.name, email=row.email, ours=row.origin is not None)
        for row in rows
    ]
    texts = {fold(text) for each in records if not each.ours for text in (each.bps_id, each.email, each.name) if text}
    known, judged = group_by_text(_load_candidates(database, kind, texts)), []
    for row, record in zip(rows, records, strict=True):
        mine = {fold(text) for text in (record.bps_id, record.email, record.name) if text}
        found, login = classify(record, (each for text in mine for each in known.get(text, ())))
        orphan = Orphan(kind=kind, bps_id=record.bps_id, name=record.name, orphan_class=found, would_match=login)
        judged.append((row.key, orphan))
    return judged


def find_last_reading(database: Database) -> datetime | None:
    """Return when the portal was last read as a whole, as far as the newest runs tell."""
    for run in RunLog(database).load_runs(_RUNS_READ):
        if "read portal members" in run.phases and run.status not in ("running", "interrupted", "failed"):
            return run.finished_at
    return None


def _load_candidates(database: Database, kind: RecordKind, texts: Collection[str]) -> list[Candidate]:
    """Return the active source objects without a record of ours that have one of these texts."""
    rows = database.load_rows(_SELECT_CANDIDATES[kind], {"texts": texts}) if texts else ()
    return [
        Candidate(
            login=row.login or row.id,
            name=row.name,
            addresses=tuple(text for text in (row.login, row.mail) if text),
        )
        for row in rows
    ]


# ---- statements -----------------------------------------------------------------------------------------------------


def _select_unclaimed(kind: RecordKind) -> Select[Any]:
    source, desired, target, _ = TABLES[kind]
    claimed, owner = desired.alias("claimed"), desired.alias("owner")
    wanted = exists().where(claimed.c.principal_key == target.c.key, claimed.c.state == "wanted")
    known = exists().where(claimed.c.principal_key == target.c.key)
    gone = or_(source.c.key.is_(None), source.c.state.in_(("soft_deleted", "deleted")))
    renamed = exists().where(
        owner.c.key == target.c.source_key, owner.c.state == "wanted", owner.c.principal_key != target.c.key
    )
    return (
        select(
            target.c.key,
            target_principals.c.bps_id,
            target_principals.c.bps_fold,
            target.c.name,
            target.c.email,
            target.c.origin,
        )
        .select_from(target)
        .join(target_principals, target_principals.c.key == target.c.key)
        .outerjoin(source, source.c.key == target.c.source_key)
        .where(
            or_(
                target.c.origin.is_(None) & ~known,
                target.c.origin.is_not(None) & ~wanted & or_(gone, renamed),
            ),
        )
        .order_by(target_principals.c.bps_fold)
    )


def _select_candidates(kind: RecordKind) -> Select[Any]:
    source, _, target, _ = TABLES[kind]
    login: ColumnElement[Any] = source.c.upn if kind == "user" else null()
    mail = json_field(source.c.attributes, "mail")
    ours = exists().where(target.c.source_key == source.c.key, target.c.origin.is_not(None))
    texts = [
        func.lower(text) for text in ((source.c.upn, mail, source.c.name) if kind == "user" else (mail, source.c.name))
    ]
    return (
        select(source_objects.c.id, cast(login, Text).label("login"), mail.label("mail"), source.c.name)
        .join(source_objects, source_objects.c.key == source.c.key)
        .where(
            source.c.state == "active",
            ~ours,
            or_(*(among_bound(text, "texts", textual=True) for text in texts)),
        )
    )


_SELECT_UNCLAIMED = {
    kind: _select_unclaimed(kind).where(target_principals.c.bps_fold > bindparam("after")).limit(_CHUNK)
    for kind in RECORD_KINDS
}
_SELECT_CHOSEN = {
    kind: _select_unclaimed(kind).where(among_bound(TABLES[kind].target.c.key, "keys")) for kind in RECORD_KINDS
}
_SELECT_CANDIDATES = {kind: _select_candidates(kind) for kind in RECORD_KINDS}
