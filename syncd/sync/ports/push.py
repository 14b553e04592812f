"""What the use cases need from our own store, by use. ``call`` runs a method in the store's thread."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Literal, Protocol

from syncd.model.change import (
    Action,
    LinkBatch,
    LinkKind,
    LinkOutcome,
    ObjectKind,
    Outcome,
    OutcomeStatus,
    Phase,
)
from syncd.model.run import Approval
from syncd.model.target import Account, GroupDetail, PortalGroup
from syncd.sync.portal.protection import ProtectionStore
from syncd.sync.ports.caller import Caller, Placed
from syncd.sync.ports.licences import LicenceApplyStore, LicenceStore
from syncd.sync.ports.planning import PlanStore
from syncd.sync.ports.substitutions import SubstitutionStore


class ApplyStore(LicenceApplyStore, SubstitutionStore, ProtectionStore, Caller, Protocol):
    """The store as an apply reads and writes it."""

    def load_planned_phases(self, run_id: int) -> set[Phase]:
        """Return the phases in which something is planned."""
        ...

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

    def load_source_ids(self, run_id: int, seq: int) -> dict[str, str]:
        """Return the ids in the source of whom a change concerns: ``source_id``, and ``member_id`` of a member."""
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

    def load_waiting(self, run_id: int, at_most: int) -> tuple[list[str], list[str]]:
        """Return the first accounts and groups that planned changes need and that are not synchronised."""
        ...

    def count_waiting(self, run_id: int) -> int:
        """Return how many there are."""
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

    def load_groups_to_detail(self, protect: Collection[str] = ()) -> list[str]:
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
