"""What an explanation says of the future: what happens by itself, and what somebody can do."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from syncd.model.reason import Cause
from syncd.plan.report.next_steps import Place, list_steps

DAY = datetime(2026, 3, 1, 8, tzinfo=UTC)


def place(state: str, **changes: Any) -> Place:
    """Return where Ann stands."""
    values: dict[str, Any] = {"bps_id": "ann@x", "cause": "", "open": False, "held": {}, "retried_at": None}
    values |= {"paused_until": None, "next_run": None}
    return Place(kind="user", id="u1", state=state, **(values | changes))


@pytest.mark.parametrize(
    ("where", "happens", "do"),
    [
        (place("active"), "compares it again", "syncd sync user u1"),
        (place("active", open=True, next_run=DAY), "the next run, at 2026-03-01 08:00 UTC, does", "syncd sync user u1"),
        (place("pending"), "a daemon once one works", "does it at once"),
        (place("failing", retried_at=DAY), "tried again from 2026-03-01 08:00 UTC", "mend what the reason names"),
        (place("held", held={7: DAY}), "until 2026-03-01 08:00 UTC", "syncd approve 7 --only ann@x"),
        (place("held", held={7: DAY}), "waits for a decision", "syncd reject 7 --only ann@x"),
        (place("held"), "waits for a decision", "syncd held"),
        (place("leaving", cause=Cause.DISABLED.value), "who comes back", "enable the account in the tenant"),
        (place("foreign"), "somebody else's", "syncd link u1 ann@x"),
        (place("skipped", cause=Cause.GUEST.value), "nothing", "scope.guests"),
        (place("skipped", cause=Cause.NO_BPS_ID.value), "nothing", "mapping.user.bps_id"),
        (place("out_of_scope", cause=Cause.NOT_IN_GROUPS.value), "nothing", "scope.include_groups"),
        (place("skipped", cause="something new"), "as long as the reason holds", "change what the reason names"),
    ],
)
def test_each_state_says_what_comes_and_what_helps(where: Place, happens: str, do: str) -> None:
    """With the time where one is known, and the command to type."""
    (step,) = list_steps(where)
    assert happens in step.happens
    assert do in step.do


def test_a_pause_is_told_before_anything_else() -> None:
    """With its end, and how to end it earlier."""
    first, second = list_steps(place("pending", paused_until=DAY, open=True))
    assert "until 2026-03-01 08:00 UTC" in first.happens
    assert "syncd resume u1" in first.do
    assert "does what is open" in second.happens


def test_a_full_read_without_proof_is_told_last() -> None:
    """Why nobody is missed whom it lacks, and what reads everything once more."""
    first, second = list_steps(place("active", unproven={"users": "no $count"}))
    assert "compares it again" in first.happens
    assert "read of users lacks is missed: it has no proof (no $count)" in second.happens
    assert "syncd sync full" in second.do


def test_a_run_that_failed_is_told_before_the_state() -> None:
    """Nothing of what the state promises happens as long as runs end like that."""
    first, second = list_steps(place("pending", open=True, failed=(7, "graph.tenant_id: another tenant")))
    assert "as long as runs end like run 7: graph.tenant_id: another tenant" in first.happens
    assert "syncd runs show 7" in first.do
    assert "does what is open" in second.happens


def test_what_would_follow_from_an_adoption_says_which_decides() -> None:
    """The run that holds it, also where the state alone says that nothing happens."""
    first, second = list_steps(place("skipped", cause=Cause.DISABLED.value, adopting=(3,)))
    assert "as long as the reason holds" in first.happens
    assert "once the adoptions that run 3 holds are approved" in second.happens
    assert "syncd held 3" in second.do
