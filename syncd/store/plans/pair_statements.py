"""What is asked about pairs: the statements of `syncd.store.plans.pairs`, each built once."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    Select,
    Table,
    and_,
    bindparam,
    case,
    exists,
    false,
    func,
    or_,
    select,
    union,
)

from syncd.model.change import LinkKind
from syncd.model.reason import Cause
from syncd.store.db.packed import pack_columns, unpack_column
from syncd.store.db.parameters import among_bound, by_code_points, gather, json_field, list_numbers
from syncd.store.inventory.bps_ids import in_order
from syncd.store.inventory.claims import is_taken
from syncd.store.inventory.written import LINKS
from syncd.store.schema.tables import (
    desired_groups,
    desired_users,
    source_groups,
    source_members,
    source_owners,
    target_groups,
    target_principals,
    target_users,
    touched_groups,
    touched_principals,
)

_SOURCE_LINKS: Mapping[LinkKind, Table] = {"membership": source_members, "ownership": source_owners}


def _select_user_pairs(*, differing: bool) -> Select[Any]:
    """Return the accounts that are wanted or ours. ``differing``: without those into which nothing is written."""
    managing = desired_users.alias("managing")
    manager_principal = target_principals.alias("manager_principal")
    manager_account = target_users.alias("manager_account")
    owner = desired_users.alias("owner")
    other = target_users.alias("other")
    elsewhere = exists().where(other.c.source_key == desired_users.c.key, other.c.key != target_principals.c.key)
    p, d, t = target_principals, desired_users, target_users
    manager_taken = exists().where(target_groups.c.key == manager_principal.c.key)
    own, own_principal = target_users.alias("own"), target_principals.alias("own_principal")
    present = (  # the account that a manager has who cannot have the wanted one
        select(own_principal.c.bps_id)
        .join(own, own.c.key == own_principal.c.key)
        .where(own.c.source_key == d.c.manager_key, own.c.origin.is_not(None), ~among_bound(own.c.key, "passing"))
        .order_by(own.c.leaving_at.is_not(None), own.c.key.desc())
        .limit(1)
        .scalar_subquery()
    )
    pairs = (
        select(
            p.c.key, p.c.bps_id, p.c.bps_fold,
            d.c.key.label("d_key"), d.c.name.label("d_name"), d.c.email.label("d_email"),
            d.c.phone.label("d_phone"), d.c.job_title.label("d_job_title"), d.c.manager_key.label("d_manager_key"),
            t.c.key.label("t_key"), t.c.name, t.c.email, t.c.phone, t.c.job_title, t.c.manager, t.c.status,
            t.c.origin, t.c.source_key, t.c.written, t.c.leaving_at, t.c.leaving_as, t.c.accepted,
            owner.c.state.label("owner_state"), owner.c.principal_key.label("owner_principal"),
            is_taken(owner.c.principal_key, "user").label("blocked"),
            manager_principal.c.key.label("manager_key"), manager_principal.c.bps_id.label("manager_bps_id"),
            managing.c.state.label("manager_state"),
            manager_account.c.status.label("manager_status"), manager_account.c.source_key.label("manager_owner"),
            manager_taken.label("manager_taken"),
            case(((managing.c.state == "wanted") & ~manager_taken, None), else_=present).label("manager_present"),
            exists().where(target_groups.c.key == p.c.key).label("taken"),
            elsewhere.label("elsewhere"),
        )
        .select_from(
            p.outerjoin(d, (d.c.principal_key == p.c.key) & (d.c.state == "wanted"))
            .outerjoin(t, t.c.key == p.c.key)
            .outerjoin(owner, owner.c.key == t.c.source_key)
            .outerjoin(managing, managing.c.key == d.c.manager_key)
            .outerjoin(manager_principal, manager_principal.c.key == managing.c.principal_key)
            .outerjoin(manager_account, manager_account.c.key == manager_principal.c.key)
        )
        .where(d.c.key.is_not(None) | t.c.origin.is_not(None))
    )  # fmt: skip
    nobody = and_(d.c.manager_key.is_(None), t.c.manager.is_(None))
    named = and_(managing.c.state == "wanted", ~manager_taken, t.c.manager == manager_principal.c.bps_id)
    managed = or_(nobody, named), json_field(t.c.written, "manager").is_not_distinct_from(t.c.manager)
    return pairs.where(_differs_from(d, t, ("name", "email", "phone", "job_title"), *managed)) if differing else pairs


def _differs_from(d: Table, t: Table, names: tuple[str, ...], *same: ColumnElement[bool]) -> ColumnElement[bool]:
    """Return the condition that it has to be looked at whether a record of ours changes.

    False only where it is its owner's, has every value that is wanted and that we wrote last, and nothing put in by
    hand was accepted in it: then nothing is written into it under any rules.
    """
    fields = [
        agree
        for name in names
        for agree in (
            d.c[name].is_not_distinct_from(t.c[name]),
            json_field(t.c.written, name).is_not_distinct_from(t.c[name]),
        )
    ]
    ours = t.c.origin.is_not(None), t.c.source_key == d.c.key, t.c.accepted.is_(None)
    return or_(d.c.key.is_(None), t.c.key.is_(None), ~func.coalesce(and_(*ours, *fields, *same), false()))


def _select_group_pairs(*, differing: bool) -> Select[Any]:
    """Return the groups that are wanted or ours, in the same manner."""
    owner = desired_groups.alias("owner")
    p, d, t = target_principals, desired_groups, target_groups
    pairs = (
        select(
            p.c.key, p.c.bps_id, p.c.bps_fold,
            d.c.key.label("d_key"), d.c.name.label("d_name"), d.c.email.label("d_email"),
            t.c.key.label("t_key"), t.c.name, t.c.email, t.c.status, t.c.origin, t.c.source_key, t.c.written,
            t.c.leaving_at, t.c.leaving_as, t.c.accepted,
            owner.c.state.label("owner_state"), owner.c.principal_key.label("owner_principal"),
            is_taken(owner.c.principal_key, "group").label("blocked"),
            exists().where(target_users.c.key == p.c.key).label("taken"),
        )
        .select_from(
            p.outerjoin(d, (d.c.principal_key == p.c.key) & (d.c.state == "wanted"))
            .outerjoin(t, t.c.key == p.c.key)
            .outerjoin(owner, owner.c.key == t.c.source_key)
        )
        .where(d.c.key.is_not(None) | t.c.origin.is_not(None))
    )  # fmt: skip
    return pairs.where(_differs_from(d, t, ("name", "email"))) if differing else pairs


def _select_group_views() -> Select[Any]:
    p, d, t = target_principals, desired_groups, target_groups
    owner = desired_groups.alias("owner")
    # Of a group of which only fragments are known, nobody can tell who is in it.
    known = (owner.c.state == "skipped") & owner.c.cause.not_in((Cause.PARTLY_KNOWN.value, Cause.UNREADABLE.value))
    state = case((known, "frozen"), else_=owner.c.state)
    return (
        select(
            p.c.key, p.c.bps_id, p.c.bps_fold, d.c.key, t.c.source_key, state, owner.c.principal_key, t.c.key,
            t.c.origin, exists().where(target_users.c.key == p.c.key), is_taken(owner.c.principal_key, "group"),
        )
        .select_from(
            p.outerjoin(d, (d.c.principal_key == p.c.key) & (d.c.state == "wanted"))
            .outerjoin(t, t.c.key == p.c.key)
            .outerjoin(owner, owner.c.key == t.c.source_key)
        )
        .where(d.c.key.is_not(None) | t.c.origin.is_not(None))
    )  # fmt: skip


def _select_members() -> Select[Any]:
    p, t, d = target_principals, target_users, desired_users
    owner, named = desired_users.alias("owner"), desired_users.alias("named")
    return (
        select(
            p.c.key, p.c.bps_id, t.c.key, t.c.origin, d.c.key, t.c.source_key, owner.c.state,
            owner.c.principal_key, exists().where(target_groups.c.key == p.c.key),
            is_taken(owner.c.principal_key, "user"),
            exists().where(named.c.principal_key == p.c.key, named.c.state.in_(("collision", "skipped"))),
        )
        .select_from(
            p.outerjoin(t, t.c.key == p.c.key)
            .outerjoin(d, (d.c.principal_key == p.c.key) & (d.c.state == "wanted"))
            .outerjoin(owner, owner.c.key == t.c.source_key)
        )
        .where(among_bound(p.c.key, "keys"))
    )  # fmt: skip


def _select_principals_of(sources: Select[Any]) -> CompoundSelect[Any]:
    """Return the principals that source groups own or claim."""
    own = select(target_groups.c.key).where(target_groups.c.source_key.in_(sources))
    claimed = select(desired_groups.c.principal_key).where(
        desired_groups.c.key.in_(sources), desired_groups.c.principal_key.is_not(None)
    )
    return own.union(claimed)


def _select_wanted(table: Table) -> Select[Any]:
    return select(table.c.principal_key).where(table.c.state == "wanted", among_bound(table.c.principal_key, "keys"))


@cache
def select_desired(kind: LinkKind) -> Select[Any]:
    links = _SOURCE_LINKS[kind]
    return gather(
        select(desired_users.c.principal_key)
        .join(links, links.c.member_key == desired_users.c.key)
        .where(desired_users.c.state == "wanted", among_bound(links.c.group_key, "below"))
        .distinct()
    )


@cache
def select_current(kind: LinkKind) -> Select[Any]:
    links = LINKS[kind]
    return gather(select(links.c.member_key).where(links.c.group_key == bindparam("group")))


@cache
def select_desired_of(kind: LinkKind) -> Select[Any]:
    """Return the places of wanted users in target groups; ``:below`` packs each with a source group that it has."""
    links, below = _SOURCE_LINKS[kind], list_numbers("below")
    target, source = unpack_column(below.c.value)
    return gather(
        select(pack_columns(target, desired_users.c.principal_key).label("place"))
        .select_from(below)
        .join(links, links.c.group_key == source)
        .join(desired_users, desired_users.c.key == links.c.member_key)
        .where(desired_users.c.state == "wanted")
    )


@cache
def select_current_of(kind: LinkKind) -> Select[Any]:
    """Return the places in the target groups ``:groups``."""
    links = LINKS[kind]
    place = pack_columns(links.c.group_key, links.c.member_key).label("place")
    return gather(select(place).where(among_bound(links.c.group_key, "groups")))


def _select_spoken_of(*, others: bool) -> CompoundSelect[Any]:
    """Return the accounts of which something is to be said when they are put into a group."""
    p, d, t = target_principals, desired_users, target_users
    named = select(p.c.key).where(among_bound(p.c.bps_fold, "protect", textual=True))
    taken = select(d.c.principal_key).join(target_groups, target_groups.c.key == d.c.principal_key)
    foreign = select(t.c.key).where(t.c.origin.is_(None))
    return union(named, taken, *((foreign,) if others else ()))


@cache
def select_inside(kind: LinkKind) -> Select[Any]:
    """Return those of the source users ``:people`` who are direct members (or owners) of one of ``:below``."""
    links = _SOURCE_LINKS[kind]
    inside = among_bound(links.c.member_key, "people"), among_bound(links.c.group_key, "below")
    return select(links.c.member_key).where(*inside).distinct()


@cache
def select_desired_pairs(kind: LinkKind) -> Select[Any]:
    member = _SOURCE_LINKS[kind].alias("member")
    active = source_groups.alias("active")
    up = (
        select(desired_users.c.principal_key.label("principal"), member.c.group_key.label("grp"))
        .join(member, member.c.member_key == desired_users.c.key)
        .join(active, active.c.key == member.c.group_key)
        .where(
            desired_users.c.state == "wanted",
            active.c.state == "active",
            among_bound(desired_users.c.principal_key, "principals"),
        )
        .cte("up", recursive=kind == "membership")
    )
    if kind == "membership":
        parent = source_members.alias("parent")
        above = source_groups.alias("above")
        up = up.union(
            select(up.c.principal, parent.c.group_key)
            .join(parent, parent.c.member_key == up.c.grp)
            .join(above, above.c.key == parent.c.group_key)
            .where(above.c.state == "active")
        )
    return (
        select(desired_groups.c.principal_key, up.c.principal)
        .join(up, up.c.grp == desired_groups.c.key)
        .where(desired_groups.c.state == "wanted")
    )


@cache
def select_current_pairs(kind: LinkKind) -> Select[Any]:
    links = LINKS[kind]
    return (
        select(links.c.group_key, links.c.member_key)
        .join(target_groups, target_groups.c.key == links.c.group_key)
        .where(target_groups.c.origin.is_not(None), among_bound(links.c.member_key, "principals"))
    )


USER_PAIRS = {differing: in_order(_select_user_pairs(differing=differing)) for differing in (False, True)}
GROUP_PAIRS = {differing: in_order(_select_group_pairs(differing=differing)) for differing in (False, True)}
GROUP_VIEWS = in_order(_select_group_views())
MEMBERS = _select_members()
IN_ORDER = select(target_principals.c.key).order_by(by_code_points(target_principals.c.bps_fold))
STATES = (
    select(desired_users.c.principal_key, desired_users.c.state)
    .distinct()
    .where(among_bound(desired_users.c.principal_key, "keys"))
)
SPOKEN_OF = {others: _select_spoken_of(others=others) for others in (False, True)}
WANTED = _select_wanted(desired_users).union(_select_wanted(desired_groups))
LOAD_TOUCHED = select(touched_principals.c.key).order_by(touched_principals.c.key)
TOUCHED_PRINCIPALS = select(touched_principals.c.key)
TOUCHED_GROUPS = _select_principals_of(select(touched_groups.c.key))
GROUPS_TOUCHED_WHOLE = _select_principals_of(select(touched_groups.c.key).where(touched_groups.c.whole))
