"""What is asked about everybody's status: the statements of `syncd.store.reports.status`, each built once."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Select,
    Subquery,
    Table,
    and_,
    bindparam,
    case,
    exists,
    func,
    literal,
    null,
    or_,
    select,
)

from syncd.model.kinds import RecordKind
from syncd.store.db.parameters import among_bound
from syncd.store.inventory.claims import is_taken
from syncd.store.schema.tables import (
    desired_groups,
    desired_users,
    source_groups,
    source_objects,
    source_users,
    target_groups,
    target_principals,
    target_users,
    vanished_records,
)


class _Tables(NamedTuple):
    source: Table
    desired: Table
    target: Table
    other: Table


TABLES: dict[RecordKind, _Tables] = {
    "user": _Tables(source_users, desired_users, target_users, target_groups),
    "group": _Tables(source_groups, desired_groups, target_groups, target_users),
}


def _record_of(tables: _Tables) -> ColumnElement[Any]:
    """Return the key of a source object's present record: the wanted one, otherwise one of ours on its behalf."""
    own = tables.target.alias("own")
    mine = select(func.max(own.c.key)).where(own.c.source_key == tables.source.c.key, own.c.origin.is_not(None))
    there = mine.where(own.c.key == tables.desired.c.principal_key)
    return case(
        (tables.desired.c.state == "wanted", tables.desired.c.principal_key),
        else_=func.coalesce(there.scalar_subquery(), mine.scalar_subquery()),
    )


@cache
def select_sources(kind: RecordKind) -> Select[Any]:
    tables = TABLES[kind]
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


@cache
def select_orphans(kind: RecordKind) -> Select[Any]:
    tables = TABLES[kind]
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


@cache
def choose_sources(kind: RecordKind) -> Select[Any]:
    return select_sources(kind).where(among_bound(TABLES[kind].source.c.key, "keys"))


@cache
def choose_orphans(kind: RecordKind) -> Select[Any]:
    return select_orphans(kind).where(among_bound(TABLES[kind].target.c.key, "keys"))


@cache
def select_ordered(kind: RecordKind) -> Select[Any]:
    """Return a query for the keys of all source objects in the order of their names."""
    source = TABLES[kind].source
    return (
        select(source.c.key)
        .join(source_objects, source_objects.c.key == source.c.key)
        .order_by(func.lower(func.coalesce(source.c.name, source_objects.c.id)), source_objects.c.id)
    )


@cache
def select_page(kind: RecordKind) -> Select[Any]:
    """Return a query for ``most`` of these keys behind the first ``offset``."""
    return select_ordered(kind).limit(bindparam("most")).offset(bindparam("offset"))


@cache
def count_alike(kind: RecordKind) -> Select[Any]:
    """Return a query that counts source objects by what decides about their status, but for those singled out."""
    facts = select_sources(kind).subquery()
    there, ours = facts.c.record.is_not(None), facts.c.origin.is_not(None)
    mine = and_(ours, facts.c.owner == facts.c.source_key)
    columns = (
        facts.c.gone,
        facts.c.desired,
        facts.c.cause,
        facts.c.reason,
        case((there, literal(1)), else_=literal(0)).label("there"),
        case((ours, literal(1)), else_=literal(0)).label("ours"),
        case((mine, literal(1)), else_=literal(0)).label("mine"),
        facts.c.leaving_at,
        facts.c.taken,
        facts.c.removal_accepted,
    )
    return select(*columns, func.count().label("number")).where(~_is_singled_out(facts)).group_by(*columns)


@cache
def select_singled_out(kind: RecordKind) -> Select[Any]:
    """Return a query for the keys of source objects of which more is known: ``records``, ``sources``."""
    facts = select_sources(kind).subquery()
    return select(facts.c.key).where(_is_singled_out(facts))


def _is_singled_out(facts: Subquery) -> ColumnElement[bool]:
    record = func.coalesce(facts.c.record, facts.c.principal_key, 0)
    return among_bound(record, "records") | among_bound(facts.c.source_key, "sources")
