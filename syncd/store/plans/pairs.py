"""Desired and current, side by side: the rows that the planner compares, streamed in the order of BPS ids."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Select, Table, bindparam, case, exists, select

from syncd.model.change import LinkKind
from syncd.plan.desired import Desired
from syncd.plan.diff import Current, Pair
from syncd.plan.membership import GroupView, MemberView
from syncd.store.db.database import reading
from syncd.store.db.markers import OWNERS, load_marker
from syncd.store.db.part import StorePart
from syncd.store.db.sql import among, among_bound, decode_json, fetch_keys, gather_keys, pack
from syncd.store.inventory.bps_ids import iterate_folded
from syncd.store.inventory.claims import is_taken, leaver_state
from syncd.store.inventory.records import LINKS
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


class Pairing(StorePart):
    """Reads the store for the planner; nothing here decides."""

    # ---- records ----------------------------------------------------------------------------------------------------

    def iterate_user_pairs(self, fields: Collection[str], *, touched_only: bool) -> Iterator[list[tuple[int, Pair]]]:
        """Yield (principal key, pair) of every account that is wanted or ours; ``fields`` are the mapped ones."""
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
            .where(own.c.source_key == d.c.manager_key, own.c.origin.is_not(None))
            .order_by(own.c.leaving_at.is_not(None), own.c.key.desc())
            .limit(1)
            .scalar_subquery()
        )
        statement = (
            select(
                p.c.key, p.c.bps_id, p.c.bps_fold,
                d.c.key.label("d_key"), d.c.name.label("d_name"), d.c.email.label("d_email"),
                d.c.phone.label("d_phone"), d.c.job_title.label("d_job_title"), d.c.manager_key.label("d_manager_key"),
                t.c.key.label("t_key"), t.c.name, t.c.email, t.c.phone, t.c.job_title, t.c.manager, t.c.status,
                t.c.origin, t.c.source_key, t.c.written, t.c.leaving_at, t.c.leaving_as, t.c.accepted,
                owner.c.state.label("owner_state"), owner.c.principal_key.label("owner_principal"),
                is_taken(owner.c.principal_key, "user").label("blocked"),
                manager_principal.c.bps_id.label("manager_bps_id"), managing.c.state.label("manager_state"),
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
        few = select(touched_principals.c.key) if touched_only else None
        for rows in iterate_folded(self._database, statement, few):
            yield [(row.key, _make_user_pair(row, fields)) for row in rows]

    def iterate_group_pairs(self, fields: Collection[str], *, touched_only: bool) -> Iterator[list[tuple[int, Pair]]]:
        """Yield (principal key, pair) of every group that a source group wants or that is ours."""
        owner = desired_groups.alias("owner")
        p, d, t = target_principals, desired_groups, target_groups
        statement = (
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
        few = _principals_of_groups(select(touched_groups.c.key)) if touched_only else None
        for rows in iterate_folded(self._database, statement, few):
            yield [(row.key, _make_group_pair(row, fields)) for row in rows]

    # ---- memberships ------------------------------------------------------------------------------------------------

    def load_group_rows_to_compare(self, *, touched_only: bool) -> list[GroupView]:
        """Return the groups of which all members are to be compared, in order."""
        whole = select(touched_groups.c.key).where(touched_groups.c.whole)
        few = _principals_of_groups(whole) if touched_only else None
        statement = _select_groups().add_columns(target_principals.c.bps_fold)
        return [
            _make_group_row(tuple(row)[:-1]) for rows in iterate_folded(self._database, statement, few) for row in rows
        ]

    def knows_owners(self) -> bool:
        """Return whether a full read that tells the owners of groups was closed, and owners were read ever since."""
        with reading(self._database) as connection:
            return load_marker(connection, OWNERS) == "known"

    def load_desired_members(self, below: Collection[int], *, kind: LinkKind) -> list[int]:
        """Return principal keys of the wanted users who are direct members (or owners) of any of these, sorted."""
        dialect = self._database.dialect
        with reading(self._database) as connection:
            return sorted(fetch_keys(connection, _select_desired(kind, dialect), {"below": pack(below, dialect)}))

    def load_current_members(self, group: int, *, kind: LinkKind) -> list[int]:
        """Return principal keys of the members (or owners) that the target's group has, sorted."""
        with reading(self._database) as connection:
            return sorted(fetch_keys(connection, _select_current(kind, self._database.dialect), {"group": group}))

    def load_touched_principals(self) -> list[int]:
        """Return the keys of the target records to compare, sorted."""
        with reading(self._database) as connection:
            return list(connection.scalars(select(touched_principals.c.key).order_by(touched_principals.c.key)))

    def load_desired_pairs(self, principals: Collection[int], *, kind: LinkKind) -> set[tuple[int, int]]:
        """Return (group, member) of the target groups that these people should be in, through any nesting.

        Ownership does not nest: an owner owns the group that says so, and no other.
        """
        with reading(self._database) as connection:
            member = _SOURCE_LINKS[kind].alias("member")
            active = source_groups.alias("active")
            up = (
                select(desired_users.c.principal_key.label("principal"), member.c.group_key.label("grp"))
                .join(member, member.c.member_key == desired_users.c.key)
                .join(active, active.c.key == member.c.group_key)
                .where(
                    desired_users.c.state == "wanted",
                    active.c.state == "active",
                    among(desired_users.c.principal_key, principals, connection),
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
            statement = (
                select(desired_groups.c.principal_key, up.c.principal)
                .join(up, up.c.grp == desired_groups.c.key)
                .where(desired_groups.c.state == "wanted")
            )
            return {(row[0], row[1]) for row in connection.execute(statement)}

    def load_current_pairs(self, principals: Collection[int], *, kind: LinkKind) -> set[tuple[int, int]]:
        """Return (group, member) of our target groups that these principals are in (or own)."""
        links = LINKS[kind]
        with reading(self._database) as connection:
            statement = (
                select(links.c.group_key, links.c.member_key)
                .join(target_groups, target_groups.c.key == links.c.group_key)
                .where(target_groups.c.origin.is_not(None), among(links.c.member_key, principals, connection))
            )
            return {(row[0], row[1]) for row in connection.execute(statement)}

    def load_group_views(self, keys: Collection[int]) -> dict[int, GroupView]:
        """Return the rows of these target groups."""
        with reading(self._database) as connection:
            rows = connection.execute(_select_groups().where(among(target_principals.c.key, keys, connection)))
            return {row[0]: _make_group_row(row) for row in rows}

    def load_member_views(self, keys: Collection[int]) -> dict[int, MemberView]:
        """Return what decides about these members."""
        dialect = self._database.dialect
        with reading(self._database) as connection:
            rows = connection.execute(_select_members(dialect), {"keys": pack(keys, dialect)}).all()
            left_by = _load_leavers(connection, [row[0] for row in rows if row[2] is None and row[4] is None])
        return {
            row[0]: MemberView(
                row[0], row[1], row[2] is not None, row[3] is not None, row[4] if row[4] is not None else row[5],
                leaver_state(row[6], row[7], row[0], row[9]), row[4] is not None, bool(row[8]),
                bool(row[10]), left_by.get(row[0], frozenset()),
            )
            for row in rows
        }  # fmt: skip


def _load_leavers(connection: Connection, absent: Collection[int]) -> dict[int, frozenset[str]]:
    """Return the states of those of the tenant who have the BPS ids of accounts that are not there."""
    found: dict[int, frozenset[str]] = {}
    if absent:
        named = select(desired_users.c.principal_key, desired_users.c.state).distinct()
        for key, state in connection.execute(named.where(among(desired_users.c.principal_key, absent, connection))):
            found[key] = found.get(key, frozenset()) | {state}
    return found


# Building these takes longer than asking them, and every group asks them.


@lru_cache(maxsize=4)
def _select_desired(kind: LinkKind, dialect: str) -> Select[Any]:
    links = _SOURCE_LINKS[kind]
    return gather_keys(
        select(desired_users.c.principal_key)
        .join(links, links.c.member_key == desired_users.c.key)
        .where(desired_users.c.state == "wanted", among_bound(links.c.group_key, "below", dialect))
        .distinct(),
        dialect,
    )


@lru_cache(maxsize=4)
def _select_current(kind: LinkKind, dialect: str) -> Select[Any]:
    links = LINKS[kind]
    return gather_keys(select(links.c.member_key).where(links.c.group_key == bindparam("group")), dialect)


@lru_cache(maxsize=2)
def _select_members(dialect: str) -> Select[Any]:
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
        .where(among_bound(p.c.key, "keys", dialect))
    )  # fmt: skip


def _principals_of_groups(sources: Select[Any]) -> Any:
    """Return the principals that source groups own or claim."""
    own = select(target_groups.c.key).where(target_groups.c.source_key.in_(sources))
    claimed = select(desired_groups.c.principal_key).where(
        desired_groups.c.key.in_(sources), desired_groups.c.principal_key.is_not(None)
    )
    return own.union(claimed)


def _select_groups() -> Select[Any]:
    p, d, t = target_principals, desired_groups, target_groups
    owner = desired_groups.alias("owner")
    return (
        select(
            p.c.key, p.c.bps_id, d.c.key, t.c.source_key, owner.c.state, owner.c.principal_key, t.c.key, t.c.origin,
            exists().where(target_users.c.key == p.c.key), is_taken(owner.c.principal_key, "group"),
        )
        .select_from(
            p.outerjoin(d, (d.c.principal_key == p.c.key) & (d.c.state == "wanted"))
            .outerjoin(t, t.c.key == p.c.key)
            .outerjoin(owner, owner.c.key == t.c.source_key)
        )
        .where(d.c.key.is_not(None) | t.c.origin.is_not(None))
    )  # fmt: skip


def _make_group_row(row: Any) -> GroupView:
    key, bps_id, wanting, owning, state, principal, there, origin, taken, blocked = row
    return GroupView(
        key=key,
        bps_id=bps_id,
        source_key=wanting if wanting is not None else owning or 0,
        state="wanted" if wanting is not None else leaver_state(state, principal, key, blocked),
        exists=there is not None,
        owned=origin is not None,
        taken=bool(taken),
    )


def _make_current(row: Any, names: tuple[str, ...], state: str) -> Current | None:
    if row.t_key is None:
        return None
    as_before = row.leaving_as is None or row.leaving_as == state
    return Current(
        fields={name: getattr(row, name) for name in names},
        status=row.status,
        origin=row.origin,
        source_key=row.source_key,
        written=decode_json(row.written),
        leaving_at=row.leaving_at if as_before else None,
        accepted=decode_json(row.accepted),
    )


def _make_user_pair(row: Any, mapped: Collection[str]) -> Pair:
    desired = None
    if row.d_key is not None:
        values = {"name": row.d_name, "email": row.d_email, "phone": row.d_phone, "job_title": row.d_job_title}
        fields = {name: value for name, value in values.items() if name in mapped}
        desired = Desired(
            key=row.d_key, state="wanted", bps_id=row.bps_id, fields=fields, manager_key=row.d_manager_key
        )
    # A record that is somebody else's by now does not stand for this manager.
    theirs = row.manager_status is not None and row.manager_owner in (None, row.d_manager_key)
    named = theirs or (row.manager_state == "wanted" and not row.manager_taken)
    state = leaver_state(row.owner_state, row.owner_principal, row.key, row.blocked)
    return Pair(
        bps_id=row.bps_id,
        desired=desired,
        current=_make_current(row, ("name", "email", "phone", "job_title", "manager"), state),
        leaver_state=state,
        manager=row.manager_bps_id if named else row.manager_present,
        manager_ready=row.manager_status == "Synchronized" if named else row.manager_present is not None,
        taken=bool(row.taken),
        owned_elsewhere=bool(row.elsewhere),
    )


def _make_group_pair(row: Any, mapped: Collection[str]) -> Pair:
    desired = None
    if row.d_key is not None:
        values = {"name": row.d_name, "email": row.d_email}
        fields = {name: value for name, value in values.items() if name in mapped}
        desired = Desired(key=row.d_key, state="wanted", bps_id=row.bps_id, fields=fields)
    state = leaver_state(row.owner_state, row.owner_principal, row.key, row.blocked)
    return Pair(
        bps_id=row.bps_id,
        desired=desired,
        current=_make_current(row, ("name", "email"), state),
        leaver_state=state,
        taken=bool(row.taken),
    )
