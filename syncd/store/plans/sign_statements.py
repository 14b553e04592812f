"""Signs that a portal went back in time, and whose record is looked at directly, as statements.

The signs are few and cheap: only where there are many of them is the whole history asked (`past_statements`).
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    ColumnElement,
    Select,
    Table,
    and_,
    bindparam,
    exists,
    func,
    literal,
    or_,
    select,
)

from syncd.model.change import Action
from syncd.model.kinds import RECORD_KINDS, RecordKind
from syncd.store.db.parameters import json_field
from syncd.store.inventory.drift_notes import HAND_LINKS
from syncd.store.inventory.written import OWN_FIELDS, TABLES
from syncd.store.schema.tables import (
    changes,
    runs,
    target_principals,
    target_users,
    vanished_records,
)
from syncd.store.schema.types import UtcTime

_SEEN = bindparam("seen", type_=UtcTime)


def _count(rows: Select[Any]) -> ColumnElement[int]:
    return select(func.count()).select_from(rows.limit(bindparam("most")).subquery()).scalar_subquery()


def _fresh(table: Table) -> ColumnElement[int]:
    """Count what a reading has noted since the last one that found the portal as it should be."""
    return _count(select(table.c.seen_at).where(table.c.seen_at > _SEEN, ~table.c.accepted))


def _differing(kind: RecordKind) -> ColumnElement[int]:
    """Count records of ours that show another value than what we wrote last."""
    table = TABLES[kind]
    differs = [
        and_(
            func.lower(func.coalesce(table.c[name], "")) != func.lower(json_field(table.c.written, name)),
            json_field(table.c.accepted, name).is_(None),
        )
        for name in OWN_FIELDS[kind]
    ]
    return _count(select(table.c.key).where(table.c.origin.is_not(None), or_(*differs)))


def _returned(kind: RecordKind) -> ColumnElement[int]:
    """Count records that we deleted and that are there again."""
    table = TABLES[kind]
    deleted = exists().where(
        changes.c.record_key == table.c.key, changes.c.action == "delete", changes.c.status == "done"
    )
    return _count(select(table.c.key).where(table.c.origin.is_(None), deleted))


def _missing(kind: RecordKind) -> ColumnElement[int]:
    """Count records that we made since the last such reading and that are not there."""
    table = TABLES[kind]
    recent = select(runs.c.id).where(runs.c.started_at > _SEEN)
    made = select(changes.c.record_key).where(
        changes.c.run_id.in_(recent),
        changes.c.object == kind,
        changes.c.action == "create",
        changes.c.status == "done",
        ~exists().where(table.c.key == changes.c.record_key),
    )
    return _count(made)


SIGNS = select(
    _fresh(vanished_records)
    + sum((_fresh(table) for table in HAND_LINKS.values()), literal(0))
    + sum((count(kind) for count in (_differing, _returned, _missing) for kind in RECORD_KINDS), literal(0))
)
"""How much is not as we left it, each sign counted up to ``most``: of hardly anything, history is not asked."""


def _sample(action: Action, there: ColumnElement[bool]) -> Select[Any]:
    newest = (
        select(changes.c.record_key, func.max(changes.c.run_id).label("run_id"))
        .where(changes.c.object == "user", changes.c.status == "done", changes.c.action == action)
        .group_by(changes.c.record_key)
        .subquery()
    )
    return (
        select(target_principals.c.bps_id)
        .join(newest, newest.c.record_key == target_principals.c.key)
        .where(there)
        .order_by(newest.c.run_id.desc(), target_principals.c.key)
        .limit(bindparam("most"))
    )


_ACCOUNT = exists().where(target_users.c.key == target_principals.c.key)
SAMPLE_MADE = _sample(
    "create", _ACCOUNT.where(target_users.c.origin == "created", target_users.c.status == "Synchronized")
)
SAMPLE_DELETED = _sample("delete", ~_ACCOUNT)
