"""The store as a planner reads and writes it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from syncd.model.change import (
    Action,
    Change,
    LinkKind,
    ObjectKind,
)
from syncd.plan.desired import Desired, SourceGroup, SourceUser
from syncd.plan.diff import Pair
from syncd.plan.membership import GroupView, MemberView
from syncd.sync.portal.protection import ProtectionPlanStore
from syncd.sync.ports.licences import LicencePlanStore
from syncd.sync.ports.substitutions import SubstitutionPlanStore


class PlanStore(LicencePlanStore, SubstitutionPlanStore, ProtectionPlanStore, Protocol):
    """The store as a planner reads and writes it; every method blocks and is called in the store's thread."""

    def find_groups(self, reference: str) -> list[tuple[int, str]]:
        """Return (key, id) of the groups that an id or name refers to."""
        ...

    def load_edges(self) -> list[tuple[int, int]]:
        """Return (group, child group) pairs."""
        ...

    def follow_scope_groups(self, resolved: str, *, touch: bool) -> None:
        """Touch everybody when the groups of the scope are others than before."""
        ...

    def store_scope(self, role: str, below: Collection[int], *, touched_only: bool) -> None:
        """Remember who lies in the groups of a role."""
        ...

    def iterate_users(self, *, touched_only: bool, grouped: tuple[bool, bool]) -> Iterator[list[SourceUser]]:
        """Yield source users."""
        ...

    def iterate_source_groups(self, *, touched_only: bool) -> Iterator[list[SourceGroup]]:
        """Yield source groups."""
        ...

    def store_users(self, decisions: Sequence[Desired], *, touch: bool) -> int:
        """Write decisions about users."""
        ...

    def store_groups(self, decisions: Sequence[Desired], *, touch: bool) -> int:
        """Write decisions about groups."""
        ...

    def load_collisions(self, *, touched_only: bool) -> list[tuple[int, list[tuple[int, bool]]]]:
        """Return BPS ids that several people claim, or did."""
        ...

    def store_collision(self, principal: int, winner: int | None, *, reason: str) -> None:
        """Settle one of them."""
        ...

    def touch_collided_groups(self, *, reason: str) -> None:
        """Touch the groups that were skipped for this reason."""
        ...

    def resolve_group_collisions(self, *, reason: str, touched_only: bool) -> int:
        """Settle those of groups."""
        ...

    def touch_due(self, *, grace: timedelta, now: datetime) -> None:
        """Touch records whose grace has ended."""
        ...

    def mark_leavers(self, *, touched_only: bool, now: datetime) -> None:
        """Start or end the grace of our records."""
        ...

    def load_new_leavers(self, *, touched_only: bool) -> tuple[set[int], set[int]]:
        """Return the users and the groups whose grace would start."""
        ...

    def iterate_user_pairs(self, fields: Collection[str], *, touched_only: bool) -> Iterator[list[tuple[int, Pair]]]:
        """Yield accounts, desired and current."""
        ...

    def iterate_group_pairs(self, fields: Collection[str], *, touched_only: bool) -> Iterator[list[tuple[int, Pair]]]:
        """Yield groups, desired and current."""
        ...

    def load_group_rows_to_compare(self, *, touched_only: bool) -> list[GroupView]:
        """Return groups of which all members are compared."""
        ...

    def load_group_views(self, keys: Collection[int]) -> dict[int, GroupView]:
        """Return single groups."""
        ...

    def load_member_views(self, keys: Collection[int]) -> dict[int, MemberView]:
        """Return single members."""
        ...

    def knows_owners(self) -> bool:
        """Return whether the owners of the source's groups were read completely."""
        ...

    def load_desired_members(self, below: Collection[int], *, kind: LinkKind) -> list[int]:
        """Return who should be in a group, sorted."""
        ...

    def load_current_members(self, group: int, *, kind: LinkKind) -> list[int]:
        """Return who is in a group, sorted."""
        ...

    def load_touched_principals(self) -> list[int]:
        """Return the records to compare."""
        ...

    def load_desired_pairs(self, principals: Collection[int], *, kind: LinkKind) -> set[tuple[int, int]]:
        """Return (group, member) that should be."""
        ...

    def load_current_pairs(self, principals: Collection[int], *, kind: LinkKind) -> set[tuple[int, int]]:
        """Return (group, member) that are."""
        ...

    def add_changes(self, run_id: int, start: int, planned: Sequence[tuple[Change, int, int | None]]) -> int:
        """Append to the plan."""
        ...

    def count_changes(self, run_id: int) -> dict[tuple[Action, ObjectKind], int]:
        """Return how many changes of each kind are planned."""
        ...

    def count_owned(self, enough: Mapping[ObjectKind, int]) -> dict[ObjectKind, int]:
        """Return how many records are ours, counting no further than ``enough``."""
        ...

    def load_adoptions(self, run_id: int) -> set[int]:
        """Return the records that the plan wants to adopt."""
        ...

    def was_left_unlinked(self, group: int, member: int, *, kind: LinkKind) -> bool:
        """Return whether an earlier run meant to link them and could not finish."""
        ...

    def drop_rejected(self, run_id: int) -> int:
        """Take out of a plan what a person rejected before."""
        ...

    def load_declined(self, run_id: int) -> set[int]:
        """Return the records of others whose adoption a person rejected."""
        ...

    def load_unmoved(self, run_id: int) -> tuple[set[int], set[int]]:
        """Return the accounts that are not to be made for renamed people, and those that these have."""
        ...

    def drop_updates(self, run_id: int, records: Collection[int], reason: str) -> None:
        """Take the updates of these records out of a plan."""
        ...

    def drop_moves(self, run_id: int, unmade: Collection[int], kept: Collection[int], reason: str) -> None:
        """Take out of a plan what would follow a move to an account that is not made."""
        ...

    def hold_updates(self, run_id: int, records: Collection[int], reason: str) -> None:
        """Withhold the updates of these records."""
        ...

    def hold(self, run_id: int, action: Action, reason: str) -> None:
        """Withhold a kind of change."""
        ...

    def keep_deletions(self, run_id: int, *, rejected: bool) -> None:
        """Hold or drop deletions that would take held or rejected removals of memberships along."""
        ...
