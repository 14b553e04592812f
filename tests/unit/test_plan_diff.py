"""Desired against current, one record at a time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from syncd.plan.closure import find_below, make_edges
from syncd.plan.desired import Desired
from syncd.plan.diff import Current, Pair, diff_user
from syncd.plan.rules import PolicyRules
from tests.fakes.rules import make_policy

NOW = datetime(2026, 1, 1, tzinfo=UTC)
WANTED = Desired(key=1, state="wanted", bps_id="ann@x.com", fields={"name": "Ann", "email": "ann@x.com", "phone": None})


def make_current(origin: Any = "created", written: Any = None, **fields: Any) -> Current:
    """Return Ann's record, ours and up to date but for ``fields``."""
    values = {"name": "Ann", "email": "ann@x.com", "phone": None, "job_title": None, "manager": None, **fields}
    return Current(fields=values, status="Synchronized", origin=origin, source_key=1, written=written or {})


def diff(pair: Pair, policy: PolicyRules | None = None) -> list[tuple[str, dict[str, Any]]]:
    """Return (action, after) of each change."""
    found = diff_user(pair, policy or make_policy(), managers=True, now=NOW)
    return [(change.action, dict(change.after)) for change in found]


def test_an_equal_record_needs_nothing() -> None:
    """Planning after applying gives the empty plan."""
    assert diff(Pair(bps_id="ann@x.com", desired=WANTED, current=make_current())) == []


def test_only_what_differs_is_written() -> None:
    """One patch with the differing fields; a value that is gone is cleared."""
    assert diff(Pair(bps_id="ann@x.com", desired=WANTED, current=make_current(name="Anne", phone="1"))) == [
        ("update", {"name": "Ann", "phone": None})
    ]


@pytest.mark.parametrize("ready", [True, False])
def test_a_creation_names_the_manager_unless_the_portal_wants_that_afterwards(ready: bool) -> None:
    """Managers are created first. Only where the portal takes none in a creation there is a second pass."""
    pair = Pair(bps_id="ann@x.com", desired=WANTED, current=None, manager="boss@x.com", manager_ready=ready)
    assert diff(pair) == [("create", {"name": "Ann", "email": "ann@x.com", "manager": "boss@x.com"})]
    late = diff_user(pair, make_policy(), managers=True, now=NOW, second_pass=True)
    assert [(change.action, dict(change.after)) for change in late] == [
        ("create", {"name": "Ann", "email": "ann@x.com"}),
        ("update", {"manager": "boss@x.com"}),
    ]


def test_an_adopted_record_keeps_what_we_never_set() -> None:
    """A phone number that only the portal has stays, until the tenant gives one and takes it away again."""
    assert diff(Pair(bps_id="ann@x.com", desired=WANTED, current=make_current("adopted", phone="1"))) == []
    assert diff(
        Pair(bps_id="ann@x.com", desired=WANTED, current=make_current("adopted", {"phone": "1"}, phone="1"))
    ) == [("update", {"phone": None})]


@pytest.mark.parametrize(("drift", "changes"), [("revert", 1), ("report", 0), ("adopt", 0)])
def test_a_change_by_hand_is_reverted_only_where_the_policy_says_so(drift: Any, changes: int) -> None:
    """The field was written by us, is wanted as we wrote it, and reads differently: somebody changed it."""
    current = make_current(written={"name": "Ann"}, name="By hand")
    assert len(diff(Pair(bps_id="ann@x.com", desired=WANTED, current=current), make_policy(drift=drift))) == changes


@pytest.mark.parametrize(
    ("state", "policy", "deleted"),
    [
        ("deleted", make_policy(deleted_users="delete"), True),
        ("deleted", make_policy(), False),
        ("disabled", make_policy(deleted_users="delete", out_of_scope="delete"), False),
        ("out_of_scope", make_policy(out_of_scope="delete"), True),
        ("skipped", make_policy(deleted_users="delete", disabled_users="delete", out_of_scope="delete"), False),
        ("unknown", make_policy(deleted_users="delete", disabled_users="delete", out_of_scope="delete"), False),
        ("deleted", make_policy(deleted_users="delete", mode="upsert_only"), False),
        ("deleted", make_policy(deleted_users="delete", grace=timedelta(days=60)), False),
    ],
)
def test_only_an_asked_for_deletion_whose_grace_is_over_is_planned(
    state: Any, policy: PolicyRules, deleted: bool
) -> None:
    """In every doubt the record stays."""
    current = Current(
        fields={"name": "Ann"},
        status="Synchronized",
        origin="created",
        source_key=1,
        written={},
        leaving_at=NOW - timedelta(days=40),
    )
    found = diff(Pair(bps_id="ann@x.com", desired=None, current=current, leaver_state=state), policy)
    assert (found == [("delete", {})]) is deleted
    assert deleted or found == []


def test_a_record_that_is_not_ours_is_never_deleted() -> None:
    """Whatever the policy."""
    current = Current(
        fields={"name": "Ann"},
        status="Synchronized",
        origin=None,
        source_key=None,
        written={},
        leaving_at=NOW - timedelta(days=400),
    )
    policy = make_policy(deleted_users="delete", out_of_scope="delete", disabled_users="delete")
    for state in ("deleted", "disabled", "out_of_scope", "renamed"):
        assert diff(Pair(bps_id="ann@x.com", desired=None, current=current, leaver_state=state), policy) == []


def test_nested_groups_with_diamonds_and_cycles_end() -> None:
    """Everything below, once, the group itself included."""
    edges = make_edges([(1, 2), (1, 3), (2, 4), (3, 4), (4, 1), (9, 1)])
    assert find_below(edges, 1) == {1, 2, 3, 4}
    assert find_below(edges, 9) == {9, 1, 2, 3, 4}
    assert find_below(edges, 7) == {7}
