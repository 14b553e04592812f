"""What the use cases need from our own store, by use. ``call`` runs a method in the store's thread."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Literal, Protocol

from syncd.model.change import (
    Action,
    Change,
    LinkBatch,
    LinkKind,
    LinkOutcome,
    ObjectKind,
    Outcome,
    OutcomeStatus,
    Phase,
)
from syncd.model.run import Approval
from syncd.model.source import Checkpoint, GroupItem, Link, Page, Role, Stream, UserItem
from syncd.model.target import Account, GroupDetail, PortalGroup
from syncd.plan.desired import Desired, SourceGroup, SourceUser
from syncd.plan.diff import Pair
from syncd.plan.membership import GroupView, MemberView
from syncd.sync.caller import Caller, Placed
from syncd.sync.licence_stores import LicenceApplyStore, LicencePlanStore, LicenceStore
from syncd.sync.substitution_stores import SubstitutionPlanStore, SubstitutionStore


class PageCounted(Protocol):
    """What storing pages changed."""

    read: int
    added: int
    changed: int
    removed: int
    links: int


class PullStore(Caller, Protocol):
    """The directory as a pull writes it."""

    def load_checkpoint(self, stream: Stream) -> Checkpoint | None:
        """Return where the stream stands."""
        ...

    def begin_baseline(self, stream: Stream, fingerprint: str, *, now: datetime, owners: bool = False) -> Checkpoint:
        """Start a full read; ``owners``: it tells the owners of groups."""
        ...

    def store_pages(self, pages: Sequence[Page], checkpoint: Checkpoint, *, now: datetime) -> PageCounted:
        """Apply consecutive pages and the checkpoint after the last of them in one transaction."""
        ...

    def load_parked(self) -> list[str]:
        """Return users known only in part."""
        ...

    def load_parked_groups(self) -> list[str]:
        """Return groups known only in part."""
        ...

    def load_rereads(self) -> list[str]:
        """Return groups whose members must be read directly."""
        ...

    def store_object(self, item: UserItem | GroupItem, *, now: datetime) -> PageCounted:
        """Apply one object that was read directly."""
        ...

    def replace_members(self, group_id: str, links: Sequence[Link], *, role: Role = "members") -> int:
        """Make the members (or owners) of a group those of a direct read."""
        ...

    def keep_members(self, group_id: str) -> None:
        """Leave the members of a group as they are stored: they cannot be read."""
        ...

    def mark_gone(self, stream: Stream, ids: Sequence[str], *, now: datetime) -> int:
        """Remember objects as deleted."""
        ...

    def count_seen(self, checkpoint: Checkpoint) -> int:
        """Return how many existing objects the full read met."""
        ...

    def load_unseen(self, checkpoint: Checkpoint) -> list[str]:
        """Return stored objects that the full read did not meet."""
        ...

    def load_groups_with_unseen_members(self, checkpoint: Checkpoint, *, role: Role = "members") -> list[str]:
        """Return groups with stored members (or owners) that the full read did not meet."""
        ...

    def drop_unseen_members(self, group_id: str, witnessed: Sequence[str], *, role: Role = "members") -> int:
        """Remove members (or owners) that neither read contains."""
        ...

    def is_empty_believed(self, stream: Stream) -> bool:
        """Return, once, whether a person said that this stream is truly empty."""
        ...

    def note_emptied(self, stream: Stream, *, emptied: bool) -> None:
        """Remember that the stream read empty although objects are stored, or that it does not any more."""
        ...

    def load_emptied(self) -> list[Stream]:
        """Return the streams that read empty and have shown nothing since."""
        ...

    def load_unproven(self) -> dict[Stream, str]:
        """Return the streams whose last full read had no proof, with the reason."""
        ...

    def finish_baseline(self, checkpoint: Checkpoint, *, unproven: str, now: datetime) -> None:
        """Close a full read."""
        ...


class PlanStore(LicencePlanStore, SubstitutionPlanStore, Protocol):
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

    def resolve_group_collisions(self, *, reason: str) -> int:
        """Settle those of groups."""
        ...

    def touch_due(self, *, grace: timedelta, now: datetime) -> None:
        """Touch records whose grace has ended."""
        ...

    def mark_leavers(self, *, touched_only: bool, now: datetime) -> None:
        """Start or end the grace of our records."""
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

    def count_owned(self) -> dict[ObjectKind, int]:
        """Return how many records are ours."""
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

    def hold_updates(self, run_id: int, records: Collection[int], reason: str) -> None:
        """Withhold the updates of these records."""
        ...

    def hold(self, run_id: int, action: Action, reason: str) -> None:
        """Withhold a kind of change."""
        ...


class ApplyStore(LicenceApplyStore, SubstitutionStore, Caller, Protocol):
    """The store as an apply reads and writes it."""

    def load_batch(self, run_id: int, phase: Phase, after: int, limit: int) -> list[Placed]:
        """Return the next planned changes of a phase."""
        ...

    def load_links(self, run_id: int, kind: LinkKind, after: int, limit: int) -> list[LinkBatch]:
        """Return the next planned links, by group."""
        ...

    def mark(self, run_id: int, seqs: Sequence[int], status: OutcomeStatus) -> None:
        """Set the status of changes."""
        ...

    def claim_started(self, *, now: datetime, only: int | None = None) -> int:
        """Recognise as ours what was created without learning how it ended, all or one record; return how many."""
        ...

    def load_started_before(self, run_id: int, records: Collection[int]) -> set[int]:
        """Return records whose creation an earlier run sent without learning how it ended."""
        ...

    def record(self, run_id: int, results: Sequence[tuple[Placed, Outcome]], *, now: datetime) -> None:
        """Write outcomes and their effect on the inventory."""
        ...

    def record_links(self, run_id: int, outcomes: Sequence[LinkOutcome], *, now: datetime) -> None:
        """Write how links ended."""
        ...

    def defer_unready_links(self, run_id: int) -> int:
        """Defer links of records that are not ready."""
        ...

    def load_waiting(self, run_id: int) -> tuple[list[str], list[str]]:
        """Return accounts and groups that planned changes need and that are not synchronised."""
        ...

    def set_synchronized(self, bps_ids: Collection[str]) -> None:
        """Remember that records are ready."""
        ...

    def load_ready(self, folds: Collection[str]) -> dict[str, bool]:
        """Return which accounts are ready, and whether each is ours."""
        ...

    def store_account(self, bps_id: str, account: Account | None, *, now: datetime) -> None:
        """Take over what a single read showed."""
        ...

    def store_group_detail(self, bps_id: str, detail: GroupDetail | None, *, now: datetime) -> None:
        """Take over what a single read showed."""
        ...

    def has_current_account(self, source_key: int, besides: int) -> bool:
        """Return whether a renamed person's new account is there."""
        ...

    def is_owned_group(self, record: int) -> bool:
        """Return whether a group of the portal is ours."""
        ...

    def has_successor(self, record: int) -> bool:
        """Return whether the person who left this account by a rename has arrived at the new one."""
        ...

    def has_group_successor(self, record: int) -> bool:
        """Return whether the group that left this record by a rename has its new one."""
        ...


class InventoryStore(Caller, Protocol):
    """The inventory as a read of the portal writes it."""

    def begin_reading(self) -> None:
        """Forget what an earlier read met."""
        ...

    def store_accounts(self, accounts: Sequence[Account]) -> None:
        """Take over user records."""
        ...

    def store_portal_groups(self, groups: Sequence[PortalGroup]) -> None:
        """Take over groups."""
        ...

    def load_missing(self, kind: Literal["user", "group"], *, now: datetime) -> list[str]:
        """Return records of ours that the read did not meet."""
        ...

    def forget_unseen(self, confirmed: Collection[str], *, now: datetime) -> None:
        """Drop what is gone."""
        ...

    def load_groups_to_detail(self) -> list[str]:
        """Return groups of which the members matter."""
        ...

    def store_account(self, bps_id: str, account: Account | None, *, now: datetime) -> None:
        """Take over what a single read showed."""
        ...

    def store_group_detail(self, bps_id: str, detail: GroupDetail | None, *, now: datetime) -> None:
        """Take over a group with its members."""
        ...

    def store_group_details(self, details: Sequence[tuple[str, GroupDetail | None]], *, now: datetime) -> None:
        """Take over groups with their members."""
        ...

    def finish_reading(self) -> None:
        """Remember that the portal was read completely."""
        ...


class PushStore(PlanStore, ApplyStore, InventoryStore, LicenceStore, Protocol):
    """Everything that a push reads and writes."""

    def is_full_push_due(self, rules: str) -> bool:
        """Return whether everybody must be looked at."""
        ...

    def bind_target(self, address: str) -> str | None:
        """Tie the inventory to a portal; return the other one that it stays tied to."""
        ...

    def require_full_push(self) -> None:
        """Remember that everybody must be looked at."""
        ...

    def load_concerned(self, approval: Approval) -> tuple[list[str], list[str]]:
        """Return users and groups that released changes write to."""
        ...

    def select_approved(self, run_id: int, approval: Approval) -> tuple[int, int]:
        """Keep of a plan only what was released."""
        ...

    def drop_removals(self, run_id: int, reason: str) -> int:
        """Put off every removal of a plan."""
        ...

    def defer_failing(self, run_id: int, *, now: datetime) -> int:
        """Defer what failed before and is not due."""
        ...

    def finish_push(self, run_id: int, *, rules: str, full: bool, single: bool = False) -> None:
        """Forget the touches that were looked at."""
        ...

    def count_outcomes(self, run_id: int) -> dict[tuple[Action, ObjectKind, OutcomeStatus], int]:
        """Return how many changes of each kind ended how."""
        ...
