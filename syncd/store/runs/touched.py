"""What the next push must look at. Touches are written with the page that caused them, so a kill loses none."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, get_args

from sqlalchemy import (
    ColumnElement,
    Connection,
    Insert,
    Select,
    Table,
    bindparam,
    delete,
    exists,
    insert,
    literal,
    select,
    update,
)

from syncd.model.change import LinkKind, OutcomeStatus
from syncd.store.db.parameters import among_bound
from syncd.store.db.sql import insert_keys, insert_missing
from syncd.store.schema.tables import (
    changes,
    source_groups,
    source_members,
    touched_groups,
    touched_principals,
    touched_users,
    waiting_touches,
)

UNFINISHED: tuple[OutcomeStatus, ...] = ("planned", "started", "failed", "deferred", "held")
"""The outcomes of changes that another run has to look at."""

_WAITING: tuple[tuple[str, Table], ...] = (
    ("users", touched_users),
    ("groups", touched_groups),
    ("principals", touched_principals),
)
_WHOLE = "whole groups"


def touch_users(connection: Connection, keys: Collection[int]) -> None:
    """People whose record or memberships changed, by source key (keys that are no users do no harm)."""
    insert_keys(connection, touched_users, keys)


def touch_groups(connection: Connection, keys: Collection[int], *, whole: bool) -> None:
    """Groups whose record changed; ``whole`` asks for a comparison of all their members."""
    rows = [{"key": key, "whole": whole} for key in sorted(set(keys))]
    insert_missing(connection, touched_groups, rows)
    if whole and rows:
        connection.execute(_MAKE_WHOLE, {"groups": keys})


def touch_principals(connection: Connection, keys: Collection[int]) -> None:
    """Target records to compare, by principal key."""
    insert_keys(connection, touched_principals, keys)


def touch_users_below(connection: Connection, keys: Collection[int]) -> None:
    """Everybody who is reached from these groups through any nesting (cycles included): their place may have changed.

    Keys that are no groups reach nobody. To be called before memberships go, and after they came.
    """
    if not keys:
        return
    connection.execute(_TOUCH_BELOW, {"groups": keys})


def clear_touches(connection: Connection) -> None:
    """Forget every touch: the push that looked at them is over."""
    for statement in _CLEAR:
        connection.execute(statement)


def touch_unfinished(connection: Connection, run_id: int) -> None:
    """Touch what a run did not get done, so that the next one looks at it; what is touched already stays so."""
    run = {"run": run_id}
    touch_principals(connection, connection.scalars(_SELECT_UNFINISHED_MEMBERS, run).all())
    touch_groups(connection, connection.scalars(_SELECT_UNFINISHED_GROUPS, run).all(), whole=True)
    touch_principals(connection, connection.scalars(_SELECT_UNFINISHED_ACCOUNTS, run).all())


def set_touches_aside(connection: Connection) -> None:
    """Let every touch wait, so that a push looks at what is touched from now on; `recall_touches` takes them back."""
    recall_touches(connection)
    for statement in _SET_ASIDE:
        connection.execute(statement)
    clear_touches(connection)


def recall_touches(connection: Connection) -> None:
    """Take back the touches that wait, beside those that came meanwhile."""
    if connection.scalar(HAS_WAITING_TOUCHES):
        for statement in _RECALL:
            connection.execute(statement)


# ---- statements -----------------------------------------------------------------------------------------------------


def _select_unfinished(key: ColumnElement[Any], *objects: str) -> Select[Any]:
    unfinished = changes.c.run_id == bindparam("run"), changes.c.status.in_(UNFINISHED)
    return select(key).where(*unfinished, changes.c.object.in_(objects), key.is_not(None)).distinct()


def _touch_below() -> Insert:
    below = (
        select(source_members.c.member_key)
        .where(among_bound(source_members.c.group_key, "groups"))
        .cte("below", recursive=True)
    )
    below = below.union(
        select(source_members.c.member_key)
        .join(below, below.c.member_key == source_members.c.group_key)
        .join(source_groups, source_groups.c.key == source_members.c.group_key)
    )
    fresh = select(below.c.member_key).where(
        below.c.member_key.not_in(select(touched_users.c.key)),
        below.c.member_key.not_in(select(source_groups.c.key)),
    )
    return insert(touched_users).from_select(["key"], fresh)


def _set_aside() -> tuple[Insert, ...]:
    whole = select(literal(_WHOLE), touched_groups.c.key).where(touched_groups.c.whole)
    found = [whole, *(select(literal(kind), table.c.key) for kind, table in _WAITING)]
    return tuple(insert(waiting_touches).from_select(["kind", "key"], rows) for rows in found)


def _recall(kind: str, table: Table) -> Insert:
    there = select(table.c.key)
    fresh = select(waiting_touches.c.key).where(waiting_touches.c.kind == kind, waiting_touches.c.key.not_in(there))
    if table is touched_groups:
        rows = fresh.add_columns(literal(False)).subquery()
        return insert(table).from_select(["key", "whole"], select(rows.c[0], rows.c[1]))
    return insert(table).from_select(["key"], fresh)


HAS_WAITING_TOUCHES = select(exists().select_from(waiting_touches))
_TOUCHED = (touched_users, touched_groups, touched_principals)
_CLEAR = tuple(delete(table) for table in _TOUCHED)
_MAKE_WHOLE = update(touched_groups).where(among_bound(touched_groups.c.key, "groups")).values(whole=True)
_TOUCH_BELOW = _touch_below()
_SELECT_UNFINISHED_MEMBERS = _select_unfinished(changes.c.target_key, *get_args(LinkKind))
_SELECT_UNFINISHED_GROUPS = _select_unfinished(changes.c.source_key, *get_args(LinkKind), "group")
_SELECT_UNFINISHED_ACCOUNTS = _select_unfinished(changes.c.record_key, "user", "licence", "substitution")
_SET_ASIDE = _set_aside()
_RECALL = (
    *(_recall(kind, table) for kind, table in _WAITING),
    update(touched_groups)
    .where(touched_groups.c.key.in_(select(waiting_touches.c.key).where(waiting_touches.c.kind == _WHOLE)))
    .values(whole=True),
    delete(waiting_touches),
)
