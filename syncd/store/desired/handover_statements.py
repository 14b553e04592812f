"""What is asked about handovers: the statements of `syncd.store.desired.handovers`, each built once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Select, Table, bindparam, delete, exists, func, or_, select, update

from syncd.model.kinds import RecordKind
from syncd.model.reason import Cause
from syncd.store.db.parameters import among_bound
from syncd.store.schema.tables import (
    changes,
    desired_groups,
    desired_users,
    rejections,
    runs,
    source_groups,
    source_members,
    source_objects,
    source_users,
    substitutions,
    target_groups,
    target_principals,
    target_users,
    touched_groups,
    touched_principals,
)

_TABLES: dict[RecordKind, tuple[Table, Table, Table]] = {
    "user": (source_users, desired_users, target_users),
    "group": (source_groups, desired_groups, target_groups),
}


def _select_party(role: str, *, source: Any, desired: Any, objects: Any) -> list[ColumnElement[Any]]:
    return [
        objects.c.key.label(f"{role}_key"),
        objects.c.id.label(f"{role}_id"),
        source.c.name.label(f"{role}_name"),
        source.c.attributes.label(f"{role}_attributes"),
        source.c.removed_at.label(f"{role}_removed_at"),
        desired.c.state.label(f"{role}_state"),
    ]


def _select_record(target: Table) -> list[ColumnElement[Any]]:
    names = (
        "name",
        "email",
        "status",
        "origin",
        *(("phone", "job_title", "manager") if target is target_users else ()),
    )
    return [target.c.key.label("record"), target_principals.c.bps_id, *(target.c[name] for name in names)]


@cache
def select_claims(kind: RecordKind, *, touched_only: bool) -> tuple[Select[Any], ...]:
    """Return the records of ours that a wanted source object maps to, and that are another one's, with both.

    ``touched_only``: accounts of ``:keys``, or groups that these map to or have, each way a question of its own.
    """
    _, d, t = _TABLES[kind]
    claims = _join_claims(kind).where(
        d.c.state == "wanted",
        t.c.origin.is_not(None),
        or_(t.c.source_key.is_(None), t.c.source_key != d.c.key),
    )
    if not touched_only:
        return (claims,)
    ways = (d.c.principal_key,) if kind == "user" else (d.c.key, t.c.source_key)
    return tuple(claims.where(among_bound(way, "keys")) for way in ways)


@cache
def select_claim(kind: RecordKind) -> Select[Any]:
    """Return one record of ours with its owner and with a source object that maps to it, wanted or not."""
    _, d, t = _TABLES[kind]
    return _join_claims(kind).where(t.c.key == bindparam("record"), d.c.key == bindparam("heir"))


def _join_claims(kind: RecordKind) -> Select[Any]:
    source, d, t = _TABLES[kind]
    heir, heir_id = source.alias("heir"), source_objects.alias("heir_id")
    former, former_id, owner = source.alias("former"), source_objects.alias("former_id"), d.alias("owner")
    mapped = [d.c[name].label(f"d_{name}") for name in ("name", "email")]
    if kind == "user":
        mapped += [d.c.phone.label("d_phone"), d.c.job_title.label("d_job_title")]
    else:
        mapped.append(t.c.bound.label("bound"))
    return (
        select(
            *_select_record(t),
            *mapped,
            *_select_party("heir", source=heir, desired=d, objects=heir_id),
            *_select_party("former", source=former, desired=owner, objects=former_id),
        )
        .select_from(d)
        .join(t, t.c.key == d.c.principal_key)
        .join(target_principals, target_principals.c.key == t.c.key)
        .join(heir, heir.c.key == d.c.key)
        .join(heir_id, heir_id.c.key == d.c.key)
        .outerjoin(former, former.c.key == t.c.source_key)
        .outerjoin(former_id, former_id.c.key == former.c.key)
        .outerjoin(owner, owner.c.key == t.c.source_key)
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class _Remade:
    """Groups of ours that were deleted since ``:since``, and groups that have no record and claim none that is there.

    Of the deleted ones all, those that are noted as left since then, and those of ``:keys``; of the new ones all, and
    those of ``:keys``.
    """

    former: Select[Any]
    former_left: Select[Any]
    former_touched: Select[Any]
    fresh: Select[Any]
    fresh_touched: Select[Any]


def _select_remade() -> _Remade:
    s, d, t = source_groups, desired_groups, target_groups
    claim, own = desired_groups.alias("claim"), target_groups.alias("own")
    former = (
        select(*_select_record(t), *_select_party("former", source=s, desired=d, objects=source_objects))
        .select_from(t)
        .join(target_principals, target_principals.c.key == t.c.key)
        .join(s, s.c.key == t.c.source_key)
        .join(source_objects, source_objects.c.key == s.c.key)
        .join(d, d.c.key == s.c.key)
        .where(
            t.c.origin.is_not(None),
            s.c.state.in_(("soft_deleted", "deleted")),
            s.c.removed_at >= bindparam("since"),
            ~exists().where(claim.c.principal_key == t.c.key, claim.c.state == "wanted", claim.c.key != s.c.key),
        )
        .order_by(target_principals.c.bps_fold)
    )
    fresh = (
        select(*_select_party("heir", source=s, desired=d, objects=source_objects))
        .select_from(d)
        .join(s, s.c.key == d.c.key)
        .join(source_objects, source_objects.c.key == d.c.key)
        .where(
            d.c.state == "wanted",
            ~exists().where(own.c.source_key == d.c.key),
            ~exists().where(t.c.key == d.c.principal_key),
        )
        .order_by(source_objects.c.id)
    )
    return _Remade(
        former=former,
        former_left=former.where(t.c.leaving_at >= bindparam("since")),
        former_touched=former.where(among_bound(t.c.source_key, "keys")),
        fresh=fresh,
        fresh_touched=fresh.where(among_bound(d.c.key, "keys")),
    )


def _count_shared() -> Select[Any]:
    """Count the direct members of one group, people and groups that are there, who are in the other one too."""
    one, other = source_members.alias("one"), source_members.alias("other")
    there = or_(
        exists().where(source_users.c.key == one.c.member_key, source_users.c.state == "active"),
        exists().where(source_groups.c.key == one.c.member_key, source_groups.c.state == "active"),
    )
    return (
        select(func.count())
        .select_from(one.join(other, other.c.member_key == one.c.member_key))
        .where(one.c.group_key == bindparam("one"), other.c.group_key == bindparam("other"), there)
    )


def _names_manager() -> ColumnElement[bool]:
    manager = target_users.c.manager
    names = (among_bound(each, "names", textual=True) for each in (manager, func.lower(manager)))
    return or_(*names)


def _touch_followers() -> tuple[Select[Any], ...]:
    """Return the accounts whose manager, or whose substitute, has a record that passes."""
    return (
        select(target_users.c.key).where(target_users.c.origin.is_not(None), _names_manager()),
        select(desired_users.c.principal_key).where(
            among_bound(desired_users.c.manager_key, "formers"), desired_users.c.principal_key.is_not(None)
        ),
        select(substitutions.c.original_key).where(among_bound(substitutions.c.substitute_key, "records")),
    )


TOUCHED = {"user": select(touched_principals.c.key), "group": select(touched_groups.c.key)}
REMADE = _select_remade()
COUNT_SHARED = _count_shared()
TOUCH_FOLLOWERS = _touch_followers()
SKIP = {
    kind: update(desired)
    .where(desired.c.key == bindparam("heir"))
    .values(state="collision" if kind == "user" else "skipped", cause=bindparam("cause"), reason=bindparam("reason"))
    for kind, (_, desired, _) in _TABLES.items()
}
REJECTED = select(rejections.c.object, rejections.c.record_key, rejections.c.after).where(
    rejections.c.action == "handover"
)
HELD = (
    select(
        changes.c.run_id,
        changes.c.held_since,
        changes.c.object,
        changes.c.record_key,
        changes.c.error_cause,
        changes.c.error,
    )
    .where(among_bound(changes.c.run_id, "runs"), changes.c.action == "handover", changes.c.status == "held")
    .order_by(changes.c.run_id)
)
BEGUN = (
    select(changes.c.object, changes.c.record_key, changes.c.before, changes.c.after)
    .join(runs, runs.c.id == changes.c.run_id)
    .where(
        among_bound(changes.c.record_key, "records"),
        changes.c.action == "handover",
        changes.c.cause == Cause.SWAPPED.value,
        changes.c.status.in_(("planned", "started", "failed", "deferred")),
        runs.c.kind != "plan",
        *(~exists().where(table.c.source_key == changes.c.source_key) for table in (target_users, target_groups)),
    )
)
FORGET_REJECTIONS = delete(rejections).where(
    among_bound(rejections.c.record_key, "records") | among_bound(rejections.c.target_key, "records")
)
_CLAIMED = exists().where(desired_users.c.principal_key == target_users.c.key, desired_users.c.state == "wanted")
UNWANTED_FOLLOWERS = (
    select(target_users.c.key, target_principals.c.bps_id, target_users.c.source_key, target_users.c.manager)
    .join(target_principals, target_principals.c.key == target_users.c.key)
    .where(
        target_users.c.origin.is_not(None),
        _names_manager(),
        ~_CLAIMED,
    )
    .order_by(target_principals.c.bps_fold)
)
