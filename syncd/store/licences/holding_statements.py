"""What is asked about holdings: the statements of `syncd.store.licences.holdings`, each built once."""

from __future__ import annotations

from typing import Any

from sqlalchemy import CompoundSelect, Select, bindparam, delete, exists, func, or_, select, update

from syncd.plan.licences import LICENCE_ROLE, STAYS_MANUAL
from syncd.store.db.parameters import among_bound
from syncd.store.inventory.bps_ids import in_order
from syncd.store.inventory.claims import is_taken
from syncd.store.licences.taken import GONE, MOVING, is_held
from syncd.store.schema.tables import (
    changes,
    desired_users,
    scope_members,
    target_groups,
    target_licences,
    target_principals,
    target_users,
    touched_principals,
)

GRANTED = "granted"
_IS_HELD = is_held()


def _select_people() -> Select[Any]:
    p, d, t = target_principals, desired_users, target_users
    owner = desired_users.alias("owner")
    role = (
        select(func.min(scope_members.c.role))
        .where(scope_members.c.key == d.c.key, among_bound(scope_members.c.role, "roles", textual=True))
        .scalar_subquery()
    )
    deletion = exists().where(
        changes.c.run_id == bindparam("run"),
        changes.c.record_key == p.c.key,
        changes.c.action == "delete",
        changes.c.object == "user",
    )
    held = exists().where(target_licences.c.key == p.c.key, _IS_HELD)
    ours = exists().where(target_licences.c.key == p.c.key, target_licences.c.origin == GRANTED)
    noted = exists().where(target_licences.c.key == p.c.key, target_licences.c.origin.in_(GONE))
    # Who was renamed may take along what was given by hand to the account before, or is on the way from there.
    former = target_users.alias("former")
    left = (
        exists()
        .where(target_licences.c.key == former.c.key)
        .where(former.c.source_key == d.c.key, former.c.key != p.c.key)
    )
    moving = exists().where(target_licences.c.key == p.c.key, target_licences.c.origin == MOVING)
    leaving = held & t.c.key.is_not(None) & (owner.c.state == "wanted") & (owner.c.principal_key != p.c.key)
    return (
        select(
            p.c.key, p.c.bps_id, p.c.bps_fold, d.c.key.label("d_key"), t.c.key.label("t_key"), t.c.origin,
            t.c.source_key, owner.c.state.label("owner_state"), owner.c.principal_key.label("owner_principal"),
            role.label("role"), deletion.label("deleting"), is_taken(owner.c.principal_key, "user").label("blocked"),
            exists().where(target_groups.c.key == p.c.key).label("taken"),
        )
        .select_from(
            p.outerjoin(d, (d.c.principal_key == p.c.key) & (d.c.state == "wanted"))
            .outerjoin(t, t.c.key == p.c.key)
            .outerjoin(owner, owner.c.key == t.c.source_key)
        )
        .where(
            or_(
                d.c.key.is_not(None) & (role.is_not(None) | left | moving),
                ours,
                noted,
                leaving,
                d.c.key.is_not(None) & held & (t.c.source_key != d.c.key),
                t.c.key.is_not(None) & held & deletion,
            )
        )
    )  # fmt: skip


def _select_moving() -> CompoundSelect[Any]:
    t, d, former = target_licences, desired_users, target_users.alias("former")
    wanted = d.c.state == "wanted", among_bound(d.c.key, "people")
    left = (
        select(d.c.principal_key, t.c.type, t.c.settings)
        .join(former, (former.c.source_key == d.c.key) & (former.c.key != d.c.principal_key))
        .join(t, t.c.key == former.c.key)
        .where(*wanted, former.c.origin.is_not(None), (t.c.origin.is_(None)) | (t.c.origin == MOVING))
    )
    coming = (
        select(d.c.principal_key, t.c.type, t.c.settings)
        .join(t, t.c.key == d.c.principal_key)
        .where(*wanted, t.c.origin == MOVING)
    )
    return left.union_all(coming)


SELECT_ROLES = select(scope_members.c.key, scope_members.c.role).where(
    among_bound(scope_members.c.key, "people"), among_bound(scope_members.c.role, "roles", textual=True)
)
_ONE = target_licences.c.key == bindparam("holder"), target_licences.c.type == bindparam("of")
PEOPLE = in_order(_select_people())
TOUCHED = select(touched_principals.c.key)
SELECT_MOVING = _select_moving()
SELECT_ALL_HELD = select(target_licences.c.key, target_licences.c.type, target_licences.c.settings).where(_IS_HELD)
SELECT_HELD = (
    select(target_licences)
    .where(among_bound(target_licences.c.key, "keys"), _IS_HELD)
    .order_by(target_licences.c.key, target_licences.c.type)
)
SELECT_ONE = select(target_licences.c.settings, target_licences.c.written, target_licences.c.origin).where(*_ONE)
UPDATE_ONE = update(target_licences).where(*_ONE)
DELETE_ONE = delete(target_licences).where(*_ONE)
OWNS_LICENCES = select(exists().where(target_licences.c.origin == GRANTED))
SETTLE_NOTES = (
    update(target_licences)
    .where(*_ONE, or_(*(target_licences.c.origin == note for note in (MOVING, *GONE))))
    .values(origin=None)
)
CLAIM = (
    update(target_licences)
    .where(*_ONE, target_licences.c.origin.is_(None))
    .values(origin=GRANTED, written=bindparam("sent"))
)
FORGET_MOVING = delete(target_licences).where(
    target_licences.c.key.in_(
        select(target_users.c.key).where(
            target_users.c.source_key == bindparam("person"), target_users.c.key != bindparam("holder")
        )
    ),
    target_licences.c.type == bindparam("of"),
    target_licences.c.origin == MOVING,
)
SELECT_HEIR = select(desired_users.c.principal_key).where(
    desired_users.c.key == bindparam("person"),
    desired_users.c.state == "wanted",
    desired_users.c.principal_key != bindparam("holder"),
)
FORGET_ROLES = delete(scope_members).where(
    scope_members.c.role.startswith(LICENCE_ROLE), scope_members.c.role >= bindparam("first")
)
_STARTED = changes.c.object == "licence", changes.c.status == "started"
SELECT_STARTED_REVOKES = select(changes.c.record_key, changes.c.target, changes.c.source_key).where(
    *_STARTED, changes.c.action == "revoke", among_bound(changes.c.record_key, "people")
)
SELECT_STARTED_GRANTS = (
    select(changes.c.record_key, changes.c.target, changes.c.after)
    .where(*_STARTED, changes.c.action == "grant", changes.c.cause.not_in([cause.value for cause in STAYS_MANUAL]))
    .order_by(changes.c.run_id)
)
SELECT_STARTED_GRANTS_OF = SELECT_STARTED_GRANTS.where(among_bound(changes.c.record_key, "people"))
STOP_STARTED = update(changes).where(*_STARTED)
STOP_STARTED_OF = STOP_STARTED.where(among_bound(changes.c.record_key, "people"))
