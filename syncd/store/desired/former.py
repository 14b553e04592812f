"""Who was in a group by what the tenant has ever told: as evidence that somebody left who is not in it any more."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import select, union

from syncd.store.db.database import reading
from syncd.store.db.parameters import among_values
from syncd.store.db.part import StorePart
from syncd.store.schema.tables import (
    delta_links,
    desired_users,
    scope_members,
    source_groups,
    source_members,
)


class FormerMembers(StorePart):
    """Its methods are called in the store's thread."""

    def load_edges_ever(self) -> list[tuple[int, int]]:
        """Return (group, child group) for all groups, also deleted ones, with the nestings that delta has ended."""
        child = source_groups.c.key
        present = select(source_members.c.group_key, source_members.c.member_key).join(
            source_groups, child == source_members.c.member_key
        )
        ended = (
            select(delta_links.c.group_key, delta_links.c.member_key)
            .join(source_groups, child == delta_links.c.member_key)
            .where(delta_links.c.role == "members", delta_links.c.removed)
        )
        with reading(self._database) as connection:
            return [(row[0], row[1]) for row in connection.execute(union(present, ended))]

    def find_members_ever(self, groups: Collection[int], users: Collection[int]) -> set[int]:
        """Return those of the users who are direct members of one of the groups, or were, as delta told."""
        with reading(self._database) as connection:
            inside = select(source_members.c.member_key).where(
                among_values(source_members.c.member_key, users),
                among_values(source_members.c.group_key, groups),
            )
            ended = select(delta_links.c.member_key).where(
                delta_links.c.role == "members",
                delta_links.c.removed,
                among_values(delta_links.c.member_key, users),
                among_values(delta_links.c.group_key, groups),
            )
            return set(connection.scalars(union(inside, ended)))

    def find_former_owners(self, group: int, users: Collection[int]) -> set[int]:
        """Return those of the users of whom delta told that they own the group no more."""
        ended = select(delta_links.c.member_key).where(
            delta_links.c.role == "owners", delta_links.c.removed, delta_links.c.group_key == group
        )
        with reading(self._database) as connection:
            return set(connection.scalars(ended.where(among_values(delta_links.c.member_key, users))))

    def find_wanted_outside(self, users: Collection[int]) -> set[int]:
        """Return those of the users who were wanted at the last planning and are in no excluded group."""
        excluded = select(scope_members.c.key).where(scope_members.c.role == "exclude")
        wanted = select(desired_users.c.key).where(
            desired_users.c.state.in_(("wanted", "collision")), desired_users.c.key.not_in(excluded)
        )
        with reading(self._database) as connection:
            return set(connection.scalars(wanted.where(among_values(desired_users.c.key, users))))
