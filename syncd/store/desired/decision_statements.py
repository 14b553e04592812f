"""What is asked about decisions: the statements of `syncd.store.desired.decisions`, each built once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import (
    Delete,
    Insert,
    Select,
    Table,
    Text,
    and_,
    bindparam,
    delete,
    exists,
    func,
    insert,
    literal_column,
    or_,
    select,
    update,
)

from syncd.model.reason import Cause
from syncd.store.db.parameters import among_bound
from syncd.store.schema.tables import (
    desired_groups,
    desired_users,
    scope_members,
    source_groups,
    source_members,
    source_objects,
    source_users,
    target_groups,
    target_principals,
    target_users,
    touched_groups,
    touched_principals,
    touched_users,
)

CHUNK = 2000
_CLAIMS = ("wanted", "collision")
_LOST = (Cause.GROUP_COLLISION, Cause.HANDOVER_WAITS, Cause.HANDOVER_REJECTED, Cause.HANDOVER_NOT_NOW)
"""Why a group is skipped that may be wanted as soon as another one gives its BPS id up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunked:
    """A question that is asked in chunks: of the keys that ``touched`` yields, or of all behind ``:after``."""

    statement: Select[Any]
    touched: Select[Any] | None


def _in_chunks(statement: Select[Any], table: Table, touched: Table | None = None) -> Chunked:
    if touched is not None:
        chosen = statement.where(among_bound(table.c.key, "keys"))
        return Chunked(statement=chosen, touched=select(touched.c.key).order_by(touched.c.key))
    page = statement.where(table.c.key > bindparam("after")).order_by(table.c.key).limit(CHUNK)
    return Chunked(statement=page, touched=None)


def _is_in_scope(role: str) -> Any:
    return (
        select(scope_members.c.key)
        .where(scope_members.c.role == role, scope_members.c.key == source_users.c.key)
        .scalar_subquery()
    )


def _made_of(source: Table, desired: Table) -> Any:
    """Return the digest of what was decided by. Whoever is skipped or collides may be wanted without being another."""
    settled = desired.c.state.not_in(("skipped", "collision"))
    return select(desired.c.made_of).where(desired.c.key == source.c.key, settled).scalar_subquery()


def _select_edges() -> Select[Any]:
    child, parent = source_groups.alias("child"), source_groups.alias("parent")
    return (
        select(source_members.c.group_key, source_members.c.member_key)
        .select_from(child)
        .join(source_members, source_members.c.member_key == child.c.key)
        .join(parent, parent.c.key == source_members.c.group_key)
        .where(child.c.state == "active", parent.c.state == "active")
    )


@cache
def forget_scope(*, touched_only: bool) -> Delete:
    old = delete(scope_members).where(scope_members.c.role == bindparam("of"))
    return old.where(scope_members.c.key.in_(_TOUCHED_USERS)) if touched_only else old


@cache
def fill_scope(*, touched_only: bool) -> Insert:
    fresh = (
        select(source_members.c.member_key, bindparam("of", type_=Text))
        .join(source_users, source_users.c.key == source_members.c.member_key)
        .where(among_bound(source_members.c.group_key, "groups"))
        .distinct()
    )
    if touched_only:
        fresh = fresh.where(source_members.c.member_key.in_(_TOUCHED_USERS))
    return insert(scope_members).from_select(["key", "role"], fresh)


@cache
def select_collisions(*, touched_only: bool) -> Select[Any]:
    crowded = (
        select(desired_users.c.principal_key)
        .where(desired_users.c.state.in_(_CLAIMS))
        .group_by(desired_users.c.principal_key)
        .having(or_(func.count() > 1, func.max(desired_users.c.state) != func.min(desired_users.c.state)))
    )
    lonely = select(desired_users.c.principal_key).where(desired_users.c.state == "collision")
    if touched_only:
        touched = desired_users.c.principal_key.in_(select(touched_principals.c.key))
        crowded, lonely = crowded.where(touched), lonely.where(touched)
    return (
        select(
            desired_users.c.principal_key,
            desired_users.c.key,
            and_(target_users.c.origin.is_not(None), target_users.c.source_key == desired_users.c.key),
        )
        .outerjoin(target_users, target_users.c.key == desired_users.c.principal_key)
        .where(
            desired_users.c.state.in_(_CLAIMS),
            or_(desired_users.c.principal_key.in_(crowded), desired_users.c.principal_key.in_(lonely)),
        )
        .order_by(desired_users.c.principal_key, desired_users.c.key)
    )


@cache
def select_losing_groups(*, claimed: bool) -> Select[Any]:
    """Return the groups that lose their BPS id to another; ``claimed``: one of ``:claimed``."""
    crowded = (
        select(desired_groups.c.principal_key)
        .where(desired_groups.c.state == "wanted")
        .group_by(desired_groups.c.principal_key)
        .having(func.count() > 1)
    )
    if claimed:
        crowded = crowded.where(among_bound(desired_groups.c.principal_key, "claimed"))
    holder = (
        select(target_groups.c.source_key)
        .where(target_groups.c.key == desired_groups.c.principal_key, target_groups.c.origin.is_not(None))
        .scalar_subquery()
    )
    return select(desired_groups.c.key).where(
        desired_groups.c.state == "wanted",
        desired_groups.c.principal_key.in_(crowded),
        func.coalesce(holder, -1) != desired_groups.c.key,
    )


LOAD_EDGES = _select_edges()
_TOUCHED_USERS = select(touched_users.c.key)
HAS_TOUCHED_USERS = select(_TOUCHED_USERS.exists())
TOUCH_EVERYBODY = insert(touched_users).from_select(
    ["key"], select(source_users.c.key).where(source_users.c.key.not_in(_TOUCHED_USERS))
)
_SELECT_USERS = select(
    source_users.c.key,
    source_users.c.state,
    source_users.c.attributes,
    source_users.c.manager_key,
    source_objects.c.id,
    _is_in_scope("include").label("included"),
    _is_in_scope("exclude").label("excluded"),
    _made_of(source_users, desired_users).label("made_of"),
).join(source_objects, source_objects.c.key == source_users.c.key)
_KEPT_ID = (
    select(target_principals.c.bps_id)
    .join(target_groups, target_groups.c.key == target_principals.c.key)
    .where(target_groups.c.source_key == source_groups.c.key, target_groups.c.bound)
    .limit(1)
    .scalar_subquery()
)
_SELECT_SOURCE_GROUPS = select(
    source_groups.c.key,
    source_groups.c.state,
    source_groups.c.attributes,
    source_objects.c.id,
    _KEPT_ID.label("bound"),
    _made_of(source_groups, desired_groups).label("made_of"),
).join(source_objects, source_objects.c.key == source_groups.c.key)
USERS, USERS_TOUCHED = _in_chunks(_SELECT_USERS, source_users), _in_chunks(_SELECT_USERS, source_users, touched_users)
HAS_TOUCHED = select(exists().select_from(touched_principals) | exists().select_from(touched_groups))
LOAD_TOUCHED_GROUPS = select(touched_groups.c.key)
GROUPS, GROUPS_TOUCHED = (
    _in_chunks(_SELECT_SOURCE_GROUPS, source_groups),
    _in_chunks(_SELECT_SOURCE_GROUPS, source_groups, touched_groups),
)
SELECT_RECORDS_OF = (
    select(desired_users.c.principal_key)
    .where(among_bound(desired_users.c.key, "sources"))
    .union_all(select(target_users.c.key).where(among_bound(target_users.c.source_key, "sources")))
)
SELECT_REPORTS_OF = select(desired_users.c.principal_key).where(among_bound(desired_users.c.manager_key, "managers"))
MARK_COLLIDING = (
    update(desired_users)
    .where(desired_users.c.principal_key == bindparam("claimed"), desired_users.c.state.in_(_CLAIMS))
    .values(state="collision")
)
MARK_WINNER = (
    update(desired_users).where(desired_users.c.key == bindparam("winner")).values(state="wanted", cause="", reason="")
)
SELECT_COLLIDED_GROUPS = select(desired_groups.c.key).where(
    desired_groups.c.state == literal_column("'skipped'"),  # as the index says it
    desired_groups.c.cause.in_([cause.value for cause in _LOST]),
)
SELECT_CLAIMED = select(desired_groups.c.principal_key).where(
    among_bound(desired_groups.c.key, "groups"), desired_groups.c.principal_key.is_not(None)
)
SKIP_GROUPS = update(desired_groups).where(among_bound(desired_groups.c.key, "groups")).values(state="skipped")
SELECT_DECIDED_USERS = select(desired_users).where(among_bound(desired_users.c.key, "keys"))
SELECT_DECIDED_GROUPS = select(desired_groups).where(among_bound(desired_groups.c.key, "keys"))
