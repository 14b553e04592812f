"""Which removals of a plan may be done in a portal that went back in time, as one statement.

What the tenant itself says is over: whoever is disabled or deleted, or was taken out of a group. And only where both
records belonged, at the moment to which the portal went back, to whom they belong today.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Select, and_, bindparam, exists, not_, or_, select

from syncd.model.kinds import RecordKind
from syncd.model.reason import Cause
from syncd.store.inventory.written import TABLES
from syncd.store.schema.tables import changes, desired_users, record_history, target_users
from syncd.store.schema.types import UtcTime

_SINCE = bindparam("since", type_=UtcTime)


def _was_theirs(kind: RecordKind, key: ColumnElement[Any]) -> ColumnElement[bool]:
    """Whether a record belonged to its present owner at the moment ``:since``."""
    table, then = TABLES[kind].alias(), record_history.alias()
    return exists().where(
        table.c.key == key,
        then.c.record_key == key,
        then.c.object == kind,
        then.c.source_key == table.c.source_key,
        or_(then.c.came_at.is_(None), then.c.came_at < _SINCE),
        or_(then.c.went_at.is_(None), then.c.went_at >= _SINCE),
    )


def _is_wanted_by_another(key: ColumnElement[Any]) -> ColumnElement[bool]:
    table, other = target_users.alias(), desired_users.alias()
    return exists().where(table.c.key == key, other.c.principal_key == key, other.c.key != table.c.source_key)


def _select_stated() -> Select[Any]:
    left, gone = (Cause.LEFT.value,), (Cause.DISABLED.value, Cause.DELETED.value)
    places = and_(
        changes.c.action == "unlink",
        changes.c.object.in_(("membership", "ownership")),
        changes.c.cause.in_((*left, *gone)),
        _was_theirs("group", changes.c.record_key),
        _was_theirs("user", changes.c.target_key),
        not_(_is_wanted_by_another(changes.c.target_key)),
    )
    licences = and_(
        changes.c.action == "revoke",
        changes.c.object == "licence",
        changes.c.cause.in_(gone),
        _was_theirs("user", changes.c.record_key),
        not_(_is_wanted_by_another(changes.c.record_key)),
    )
    return select(changes.c.seq).where(
        changes.c.run_id == bindparam("run"), changes.c.status == "planned", or_(places, licences)
    )


STATED_REMOVALS = _select_stated()
