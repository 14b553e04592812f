"""What the next push must look at. Touches are written with the page that caused them, so a kill loses none."""

from __future__ import annotations

from collections.abc import Collection
from typing import get_args

from sqlalchemy import Connection, Table, delete, insert, literal, select, update

from syncd.model.change import LinkKind, OutcomeStatus
from syncd.store.db.sql import among, insert_keys, insert_missing
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
_OF_ACCOUNTS = ("user", "licence", "substitution")


def touch_users(connection: Connection, keys: Collection[int]) -> None:
    """People whose record or memberships changed, by source key (keys that are no users do no harm)."""
    insert_keys(connection, touched_users, keys)


def touch_groups(connection: Connection, keys: Collection[int], *, whole: bool) -> None:
    """Groups whose record changed; ``whole`` asks for a comparison of all their members."""
    rows = [{"key": key, "whole": whole} for key in sorted(set(keys))]
    insert_missing(connection, touched_groups, rows)
    if whole and rows:
        connection.execute(
            update(touched_groups).where(among(touched_groups.c.key, keys, connection)).values(whole=True)
        )


def touch_principals(connection: Connection, keys: Collection[int]) -> None:
    """Target records to compare, by principal key."""
    insert_keys(connection, touched_principals, keys)


def touch_users_below(connection: Connection, keys: Collection[int]) -> None:
    """Everybody who is reached from these groups through any nesting (cycles included): their place may have changed.

    Keys that are no groups reach nobody. To be called before memberships go, and after they came.
    """
    if not keys:
        return
    below = (
        select(source_members.c.member_key)
        .where(among(source_members.c.group_key, keys, connection))
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
    connection.execute(insert(touched_users).from_select(["key"], fresh))


def clear_touches(connection: Connection) -> None:
    """Forget every touch: the push that looked at them is over."""
    for table in (touched_users, touched_groups, touched_principals):
        connection.execute(delete(table))


def touch_unfinished(connection: Connection, run_id: int) -> None:
    """Touch what a run did not get done, so that the next one looks at it; what is touched already stays so."""
    unfinished = changes.c.run_id == run_id, changes.c.status.in_(UNFINISHED)
    membership = changes.c.object.in_(get_args(LinkKind))
    members = connection.scalars(
        select(changes.c.target_key).where(*unfinished, membership, changes.c.target_key.is_not(None)).distinct()
    ).all()
    touch_principals(connection, [key for key in members if key is not None])
    groups = connection.scalars(
        select(changes.c.source_key)
        .where(*unfinished, changes.c.source_key.is_not(None), membership | (changes.c.object == "group"))
        .distinct()
    ).all()
    touch_groups(connection, [key for key in groups if key is not None], whole=True)
    users = connection.scalars(
        select(changes.c.record_key).where(*unfinished, changes.c.object.in_(_OF_ACCOUNTS)).distinct()
    ).all()
    touch_principals(connection, users)


def set_touches_aside(connection: Connection) -> None:
    """Let every touch wait, so that a push looks at what is touched from now on; `recall_touches` takes them back."""
    recall_touches(connection)
    whole = select(literal(_WHOLE), touched_groups.c.key).where(touched_groups.c.whole)
    connection.execute(insert(waiting_touches).from_select(["kind", "key"], whole))
    for kind, table in _WAITING:
        connection.execute(insert(waiting_touches).from_select(["kind", "key"], select(literal(kind), table.c.key)))
    clear_touches(connection)


def recall_touches(connection: Connection) -> None:
    """Take back the touches that wait, beside those that came meanwhile."""
    for kind, table in _WAITING:
        there = select(table.c.key)
        fresh = select(waiting_touches.c.key).where(waiting_touches.c.kind == kind, waiting_touches.c.key.not_in(there))
        if table is touched_groups:
            rows = fresh.add_columns(literal(False)).subquery()
            connection.execute(insert(table).from_select(["key", "whole"], select(rows.c[0], rows.c[1])))
        else:
            connection.execute(insert(table).from_select(["key"], fresh))
    whole = select(waiting_touches.c.key).where(waiting_touches.c.kind == _WHOLE)
    connection.execute(update(touched_groups).where(touched_groups.c.key.in_(whole)).values(whole=True))
    connection.execute(delete(waiting_touches))
