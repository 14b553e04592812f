"""Who was in a group, and what somebody had, at some time: from the store alone."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, Table, and_, func, literal, null, or_, select

from syncd.model.history import Asked, End, LicenceTime, Links, RecordTime, Time
from syncd.model.kinds import RecordKind
from syncd.model.target import fold
from syncd.store.db.database import Database, reading
from syncd.store.db.markers import HISTORY_SINCE, load_markers
from syncd.store.db.parameters import among_values
from syncd.store.inventory.history import LINKS, TABLES
from syncd.store.schema.tables import (
    licence_history,
    link_history,
    record_history,
    runs,
    source_objects,
    target_principals,
    target_users,
)

_ENDS = ("came_at", "came_run", "came_cause", "came_by", "went_at", "went_run", "went_cause", "went_by")


class History:
    """Reads what was noted of who came and went. Its methods are called by commands."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def load_since(self) -> datetime:
        """Return when the history of this store begins."""
        return datetime.fromisoformat(load_markers(self._database, HISTORY_SINCE)[HISTORY_SINCE])

    def find_record(self, kind: RecordKind, bps_id: str) -> int | None:
        """Return the key of a record that the portal has or had under a BPS id, ours or not."""
        principal = target_principals.c.bps_fold == fold(bps_id.strip())
        past = select(record_history.c.record_key).where(record_history.c.object == kind)
        there = target_principals.c.key.in_(select(TABLES[kind].c.key)) | target_principals.c.key.in_(past)
        found: int | None = self._database.load_value(select(target_principals.c.key).where(principal, there))
        return found

    def load_records(
        self, kind: RecordKind, *, source: int | None = None, key: int | None = None, asked: Asked | None = None
    ) -> list[RecordTime]:
        """Return the times in which a source object had records of ours, or in which a record was ours, oldest first.

        ``asked``: only those that have to do with that time.
        """
        past = record_history
        chosen = past.c.source_key == source if source is not None else past.c.record_key == key
        statement = (
            select(past, target_principals.c.bps_id, source_objects.c.id.label("source_id"))
            .join(target_principals, target_principals.c.key == past.c.record_key)
            .outerjoin(source_objects, source_objects.c.key == past.c.source_key)
            .where(past.c.object == kind, chosen)
            .order_by(past.c.came_at.is_not(None), past.c.came_at, past.c.key)
        )
        if asked is not None:
            statement = statement.where(_has_to_do(past.c.came_at, past.c.went_at, asked))
        return [
            RecordTime(
                key=row.record_key,
                bps_id=row.bps_id,
                origin=row.origin,
                leaving_as=row.leaving_as or "",
                name=row.name or "",
                source_id=row.source_id or "",
                time=_make_time(row),
            )
            for row in self._database.load_rows(statement)
        ]

    def iterate_links(
        self, *, groups: Collection[int] = (), members: Collection[int] = (), asked: Asked | None = None
    ) -> Iterator[Links]:
        """Yield memberships and ownerships of groups, or of people, by group and person, each with its time."""
        with reading(self._database) as connection:
            yield from _iterate_links(connection, groups=groups, members=members, asked=asked)

    def load_licences(self, holders: Collection[int], asked: Asked | None = None) -> list[LicenceTime]:
        """Return the times in which accounts had licences."""
        past = licence_history
        statement = (
            select(past, target_principals.c.bps_id)
            .join(target_principals, target_principals.c.key == past.c.holder_key)
            .where(among_values(past.c.holder_key, holders))
            .order_by(target_principals.c.bps_fold, past.c.type, past.c.key)
        )
        if asked is not None:
            statement = statement.where(_has_to_do(past.c.came_at, past.c.went_at, asked))
        rows = self._database.load_rows(statement) if holders else ()
        return [LicenceTime(bps_id=row.bps_id, type=row.type, time=_make_time(row)) for row in rows]

    def find_run_at(self, moment: datetime) -> int | None:
        """Return the run that went on at a moment, if its record is still there."""
        began = (
            select(runs.c.id)
            .where(runs.c.started_at <= moment)
            .where(runs.c.finished_at.is_(None) | (runs.c.finished_at >= moment))
        )
        found: int | None = self._database.load_value(began.order_by(runs.c.id.desc()).limit(1))
        return found


def _iterate_links(
    connection: Connection, *, groups: Collection[int], members: Collection[int], asked: Asked | None
) -> Iterator[Links]:
    group, member = target_principals.alias("group_record"), target_principals.alias("member")
    past = select(record_history.c.name).where(
        record_history.c.object == "user", record_history.c.record_key == member.c.key
    )
    name = func.coalesce(target_users.c.name, past.order_by(record_history.c.key.desc()).limit(1).scalar_subquery())
    parts = [_select_lasting(kind, table, groups=groups, members=members, asked=asked) for kind, table in LINKS.items()]
    both = parts[0].union_all(*parts[1:], _select_over(groups, members, asked)).subquery()
    statement = (
        select(both, group.c.bps_id.label("group_id"), member.c.bps_id.label("member_id"), name.label("name"))
        .join(group, group.c.key == both.c.group_key)
        .join(member, member.c.key == both.c.member_key)
        .outerjoin(target_users, target_users.c.key == both.c.member_key)
        .order_by(group.c.bps_fold, both.c.object, member.c.bps_fold, both.c.came_at.is_not(None), both.c.came_at)
    )
    for row in connection.execution_options(yield_per=1000).execute(statement):
        yield Links(
            object=row.object, group=row.group_id, member=row.member_id, name=row.name or "", time=_make_time(row)
        )


def _select_lasting(
    kind: str, links: Table, *, groups: Collection[int], members: Collection[int], asked: Asked | None
) -> Select[Any]:
    nothing = (literal(None, link_history.c[name].type).label(name) for name in _ENDS[4:])
    came = [links.c[name] for name in _ENDS[:4]]
    statement = select(
        literal(kind).label("object"), links.c.group_key, links.c.member_key, *came,
        *nothing,
    ).where(_choose(links, groups, members))  # fmt: skip
    return statement if asked is None else statement.where(_has_to_do(links.c.came_at, null(), asked))


def _select_over(groups: Collection[int], members: Collection[int], asked: Asked | None) -> Select[Any]:
    past = link_history
    columns = [past.c[name] for name in ("object", "group_key", "member_key", *_ENDS)]
    statement = select(*columns).where(_choose(past, groups, members))
    return statement if asked is None else statement.where(_has_to_do(past.c.came_at, past.c.went_at, asked))


def _choose(table: Table, groups: Collection[int], members: Collection[int]) -> ColumnElement[bool]:
    chosen: ColumnElement[bool] = (
        among_values(table.c.group_key, groups) if groups else among_values(table.c.member_key, members)
    )
    return chosen


def _has_to_do(came: ColumnElement[Any], went: ColumnElement[Any], asked: Asked) -> ColumnElement[bool]:
    """Return the condition that a time covers the moment that is asked for, or some of the day."""
    over = went > asked.end if asked.start is None else went >= asked.start
    return and_(or_(came.is_(None), came <= asked.end), or_(went.is_(None), over))


def _make_time(row: Row[Any]) -> Time:
    came = End(at=row.came_at, run=row.came_run, cause=row.came_cause or "", by=row.came_by or "")
    went = End(at=row.went_at, run=row.went_run, cause=row.went_cause or "", by=row.went_by or "")
    return Time(came=came, went=None if went.at is None else went)
