"""The tables, as one picture. Migrations must lead to exactly this (a test compares them).

Source ids and BPS ids are interned once (``source_objects``, ``target_principals``); everything else refers to them by
integer keys, because random inserts of 36-character text into secondary indexes are what makes such stores slow.
Memberships carry no foreign key: a member may be of any type, and may be known before or long after its group.
"""

from __future__ import annotations

from syncd.store.schema.directory import (
    checkpoints,
    desired_groups,
    desired_users,
    member_checks,
    scope_members,
    seen_members,
    seen_objects,
    seen_owners,
    source_groups,
    source_members,
    source_objects,
    source_owners,
    source_returns,
    source_users,
    touched_groups,
    touched_principals,
    touched_users,
    unshown_managers,
    waiting_touches,
)
from syncd.store.schema.inventory import (
    hand_members,
    hand_owners,
    seen_principals,
    substitutions,
    target_groups,
    target_licences,
    target_members,
    target_owners,
    target_principals,
    target_users,
    vanished_records,
)
from syncd.store.schema.runs import (
    changes,
    facts,
    failures,
    orders,
    rejections,
    runs,
)
from syncd.store.schema.types import Key, UtcTime, metadata

__all__ = [
    "Key",
    "UtcTime",
    "changes",
    "checkpoints",
    "desired_groups",
    "desired_users",
    "facts",
    "failures",
    "hand_members",
    "hand_owners",
    "member_checks",
    "metadata",
    "orders",
    "rejections",
    "runs",
    "scope_members",
    "seen_members",
    "seen_objects",
    "seen_owners",
    "seen_principals",
    "source_groups",
    "source_members",
    "source_objects",
    "source_owners",
    "source_returns",
    "source_users",
    "substitutions",
    "target_groups",
    "target_licences",
    "target_members",
    "target_owners",
    "target_principals",
    "target_users",
    "touched_groups",
    "touched_principals",
    "touched_users",
    "unshown_managers",
    "vanished_records",
    "waiting_touches",
]
