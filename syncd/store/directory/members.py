"""The direct members of single groups, as a reading of the group itself sees them.

A soft-deleted user or group keeps its memberships, but no list of Graph's shows them (group: delta, "Example 3"): they
are hidden here, and never count as missing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Select, Table, bindparam, exists, func, or_, select

from syncd.model.listing import UNLISTED_KINDS
from syncd.model.source import Link, Role
from syncd.store.db.database import reading
from syncd.store.db.parameters import among_bound
from syncd.store.db.part import StorePart, in_thread
from syncd.store.db.sql import delete_pairs, insert_pairs, intern
from syncd.store.directory.delta_log import hold_links
from syncd.store.runs.touched import touch_users, touch_users_below
from syncd.store.schema.tables import (
    seen_members,
    source_groups,
    source_members,
    source_objects,
    source_owners,
    source_users,
)

LINKS: dict[Role, Table] = {"members": source_members, "owners": source_owners}
_GONE = ("soft_deleted", "deleted")


def is_visible(links: Table = source_members) -> Any:
    """Return the condition that the member of a stored membership (or ownership) is not known to be deleted."""
    users = exists().where(source_users.c.key == links.c.member_key, source_users.c.state.in_(_GONE))
    groups = exists().where(source_groups.c.key == links.c.member_key, source_groups.c.state.in_(_GONE))
    return ~users & ~groups


def _is_known() -> Any:
    """Return the condition that the member of a stored membership is a user or group that we know."""
    users = exists().where(source_users.c.key == source_members.c.member_key)
    groups = exists().where(source_groups.c.key == source_members.c.member_key)
    return or_(users, groups)


class Members(StorePart):
    """Reads and corrects the stored members of one group at a time."""

    @in_thread
    def load_members(self, group_id: str) -> dict[str, bool]:
        """Return the ids of the stored members that a list would show, with whether we know them as user or group."""
        return self._load_stored(_LOAD_MEMBERS, group_id)

    @in_thread
    def load_unseen_members(self, group_id: str) -> dict[str, bool]:
        """Return those of them that the full read under way has not met."""
        return self._load_stored(_LOAD_UNSEEN_MEMBERS, group_id)

    def _load_stored(self, statement: Select[Any], group_id: str) -> dict[str, bool]:
        return {row[0]: bool(row[1]) for row in self._database.load_rows(statement, {"group": group_id})}

    @in_thread
    def load_owners(self, group_id: str) -> set[str]:
        """Return the ids of the stored owners of a group who are not known to be deleted."""
        return set(self._database.load_values(_LOAD_OWNERS, {"group": group_id}))

    @in_thread
    def count_members(self, group_id: str) -> tuple[int, int]:
        """Return how many stored members a list would show, and how many of them are users and groups that we know."""
        with reading(self._database) as connection:
            stored, known = (connection.scalar(one, {"group": group_id}) or 0 for one in (_COUNT_VISIBLE, _COUNT_KNOWN))
        return stored, known

    @in_thread
    def add_members(self, group_id: str, links: Sequence[Link], *, now: datetime) -> int:
        """Store members that the group was seen to have; return how many are new.

        Whom delta has lately told to have left is none of them.
        """
        with self._database.transaction() as connection:
            joined = {link.member_id for link in links if link.kind not in UNLISTED_KINDS}
            keys = intern(connection, source_objects, "id", {group_id, *joined})
            group = keys[group_id]
            wanted = {keys[member] for member in joined}
            there = connection.scalars(_SELECT_MEMBERS_AMONG, {"group": group, "members": wanted})
            joining = {(group, member) for member in wanted - set(there)}
            joining, _ = hold_links(connection, "members", adding=joining, dropping=set(), now=now)
            fresh = {member for _, member in joining}
            insert_pairs(connection, source_members, joining)
            touch_users(connection, fresh)
            touch_users_below(connection, fresh)
        return len(fresh)

    @in_thread
    def drop_members(self, group_id: str, members: Collection[str], *, now: datetime) -> int:
        """Remove memberships that the group was seen not to have any more; return how many.

        Who has lately come by the word of delta stays.
        """
        with self._database.transaction() as connection:
            keys = intern(connection, source_objects, "id", {group_id, *members})
            leaving = {(keys[group_id], keys[member]) for member in members}
            _, leaving = hold_links(connection, "members", adding=set(), dropping=leaving, now=now)
            gone = {member for _, member in leaving}
            touch_users(connection, gone)
            touch_users_below(connection, gone)
            delete_pairs(connection, source_members, leaving)
        return len(gone)

    # ---- the groups of one user -------------------------------------------------------------------------------------

    @in_thread
    def load_groups_of(self, member_id: str, *, role: Role = "members") -> set[str]:
        """Return the ids of the active groups of which somebody is stored as a direct member (or an owner)."""
        return set(self._database.load_values(_select_groups_of(role), {"member": member_id}))

    @in_thread
    def store_groups_of(
        self, member_id: str, memberships: Mapping[str, bool], *, now: datetime, role: Role = "members"
    ) -> int:
        """Store in which groups somebody was seen to be (True), and no longer to be (False); return what changed.

        With ``role`` "owners": which groups somebody was seen to own. What delta has told lately holds against both.
        """
        links = LINKS[role]
        with self._database.transaction() as connection:
            keys = intern(connection, source_objects, "id", {member_id, *memberships})
            member = keys[member_id]
            there = set(connection.scalars(select_groups_among(role), {"member": member, "groups": keys.values()}))
            known = {name: inside for name, inside in memberships.items() if inside != (keys[name] in there)}
            joined = {(keys[name], member) for name, inside in known.items() if inside}
            left = {(keys[name], member) for name, inside in known.items() if not inside}
            joined, left = hold_links(connection, role, adding=joined, dropping=left, now=now)
            insert_pairs(connection, links, joined)
            delete_pairs(connection, links, left)
            touch_users(connection, {member})
        return len(joined) + len(left)


# ---- statements -----------------------------------------------------------------------------------------------------


def _select_members(*conditions: ColumnElement[bool]) -> Select[Any]:
    member, group = source_objects.alias("member"), source_objects.alias("group")
    return (
        select(member.c.id, _is_known())
        .select_from(source_members)
        .join(member, member.c.key == source_members.c.member_key)
        .join(group, group.c.key == source_members.c.group_key)
        .where(group.c.id == bindparam("group"), is_visible(), *conditions)
    )


def _select_owners() -> Select[Any]:
    owner, group = source_objects.alias("owner"), source_objects.alias("group")
    return (
        select(owner.c.id)
        .select_from(source_owners)
        .join(owner, owner.c.key == source_owners.c.member_key)
        .join(group, group.c.key == source_owners.c.group_key)
        .where(group.c.id == bindparam("group"), is_visible(source_owners))
    )


@cache
def _select_groups_of(role: Role) -> Select[Any]:
    links = LINKS[role]
    member, group = source_objects.alias("member"), source_objects.alias("group")
    return (
        select(group.c.id)
        .select_from(links)
        .join(member, member.c.key == links.c.member_key)
        .join(group, group.c.key == links.c.group_key)
        .join(source_groups, source_groups.c.key == group.c.key)
        .where(member.c.id == bindparam("member"), source_groups.c.state == "active")
    )


@cache
def select_groups_among(role: Role) -> Select[Any]:
    """Return a query for those of ``:groups`` in which ``:member`` is stored, all by their keys."""
    links = LINKS[role]
    return select(links.c.group_key).where(
        links.c.member_key == bindparam("member"), among_bound(links.c.group_key, "groups")
    )


_LOAD_MEMBERS = _select_members()
_LOAD_UNSEEN_MEMBERS = _select_members(
    ~exists().where(
        seen_members.c.group_key == source_members.c.group_key,
        seen_members.c.member_key == source_members.c.member_key,
    )
)
_LOAD_OWNERS = _select_owners()
_COUNT_VISIBLE = (
    select(func.count())
    .select_from(source_members)
    .where(
        source_members.c.group_key
        == select(source_objects.c.key).where(source_objects.c.id == bindparam("group")).scalar_subquery(),
        is_visible(),
    )
)
_COUNT_KNOWN = _COUNT_VISIBLE.where(_is_known())
_SELECT_MEMBERS_AMONG = select(source_members.c.member_key).where(
    source_members.c.group_key == bindparam("group"), among_bound(source_members.c.member_key, "members")
)
