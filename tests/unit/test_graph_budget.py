"""The tenant's bucket of resource units, as the client reckons it."""

from __future__ import annotations

import pytest

from syncd.errors import Throttled
from syncd.graph.budget import ResourceBudget, price
from tests.contract.sandbox_client import MovableClock


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/users?$top=100", 2),
        ("/users?$select=id&$expand=manager($levels=1;$select=id)&$top=999", 2),
        ("/users?$select=id&$top=999", 1),
        ("/users?$expand=manager", 3),
        ("/users/a?$select=id", 1),
        ("/users/a?$expand=manager", 2),
        ("/users/a/memberOf", 2),
        ("/users/a/memberOf?$select=id&$top=999", 1),
        ("/users/a/transitiveMemberOf?$select=id", 1),
        ("/users/a/ownedObjects", 2),
        ("/users/a/ownedObjects?$select=id&$top=999", 1),
        ("/users/a/directReports", 1),
        ("/groups/a/memberOf", 1),
        ("/groups?$select=id", 1),
        ("/groups/a/members", 3),
        ("/groups/a/members?$select=id&$top=999", 2),
        ("/groups/a/members?$select=id&$top=5", 1),
        ("/groups/a/members?$top=20", 3),
        ("/groups/a/members/$count", 3),
        ("/groups/a/members/microsoft.graph.user/$count", 3),
        ("/groups/a/transitiveMembers", 5),
        ("/groups/a/transitiveMembers?$select=id", 4),
        ("/groups/a/transitiveMembers/$count", 5),
        ("/groups/a", 1),
        ("/groups/$count", 1),
        ("/directory/deletedItems/microsoft.graph.user?$select=id&$top=999", 1),
        ("/groups/a/owners?$select=id", 1),
        ("/users/delta?$select=id&$deltatoken=latest", 1),
        ("/users/$count", 1),
        ("/directory/deletedItems/a?$select=id", 1),
    ],
)
def test_prices_are_those_of_the_throttling_page(target: str, expected: int) -> None:
    """Base cost by path; a selection or a small page is cheaper by one, an expansion dearer; never below one.

    Microsoft's throttling limits, "Identity and access service limits"; ``me`` stands for ``users/{id}``, too.
    """
    assert price(target) == expected


async def spend(budget: ResourceBudget, clock: MovableClock, units: int, times: int) -> float:
    """Spend and return how many seconds that took."""
    started = clock.monotonic()
    for _ in range(times):
        await budget.take(units)
    return clock.monotonic() - started


@pytest.mark.parametrize(("users", "limit"), [(0, 3500), (49, 3500), (50, 5000), (499, 5000), (500, 8000)])
async def test_no_more_is_spent_than_the_bucket_of_a_tenant_of_that_size_holds(users: int, limit: int) -> None:
    """A burst of the bucket, and then what flows back, with a little to spare."""
    clock = MovableClock()
    budget = ResourceBudget(clock)
    budget.note_users(users)
    assert await spend(budget, clock, 40, int(0.85 * limit / 40)) < 0.2
    seconds = await spend(budget, clock, 40, limit // 40)
    assert 10 * 0.9 <= seconds <= 10 * 1.1


async def test_what_graph_says_of_the_bucket_is_believed() -> None:
    """Somebody else has filled it: nothing goes out until there is room."""
    clock = MovableClock()
    budget = ResourceBudget(clock)
    await budget.take(1)
    budget.hear({"x-ms-throttle-limit-percentage": "1.2"}, expected=1)
    assert await spend(budget, clock, 1, 1) > 2.5
    budget.hear({"x-ms-throttle-limit-percentage": "nonsense", "x-ms-resource-unit": ""}, expected=1)


async def test_silence_about_the_bucket_is_believed_as_well() -> None:
    """A tenant with a larger bucket than the published one is not kept waiting by our own reckoning."""
    clock = MovableClock()
    budget = ResourceBudget(clock)
    started = clock.monotonic()
    for _ in range(300):
        await budget.take(40)
        budget.hear({"x-ms-resource-unit": "40"}, expected=40)
    assert clock.monotonic() - started < 1.0


async def test_an_answer_that_says_nothing_at_all_proves_nothing() -> None:
    """A batch, say, that does not tell its price: our own reckoning holds."""
    clock = MovableClock()
    budget = ResourceBudget(clock)
    started = clock.monotonic()
    for _ in range(150):
        await budget.take(40)
        budget.hear({}, expected=40)
    assert clock.monotonic() - started > 5.0


async def test_a_refused_request_holds_up_all_others_and_slows_them_down() -> None:
    """For the time that was named; afterwards the pace is lower, and comes back with the time."""
    clock = MovableClock()
    budget = ResourceBudget(clock)
    budget.hold(7.0)
    assert await spend(budget, clock, 1, 1) == pytest.approx(7.0, abs=0.1)
    slow = await spend(budget, clock, 100, 60)
    clock.elapsed += 300
    await budget.take(1)
    clock.elapsed += 300
    await budget.take(1)
    assert await spend(budget, clock, 100, 60) < slow
    budget.hold(900.0)
    with pytest.raises(Throttled):
        await budget.take(1)


async def test_room_is_more_than_half_a_bucket_that_refused_nothing() -> None:
    """It comes back as the bucket refills, and only long after a refusal."""
    clock = MovableClock()
    budget = ResourceBudget(clock)
    assert budget.is_roomy
    await spend(budget, clock, 100, 17)
    assert budget.is_roomy
    await spend(budget, clock, 100, 1)
    assert not budget.is_roomy
    clock.elapsed += 10
    assert budget.is_roomy
    budget.hold(1.0)
    clock.elapsed += 10
    assert not budget.is_roomy
    clock.elapsed += 300
    assert budget.is_roomy
