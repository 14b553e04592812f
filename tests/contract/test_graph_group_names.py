"""What the check tells of groups that the settings name: also of those that a run has looked up before."""

from __future__ import annotations

import pytest

from syncd.graph.checks.groups import probe_groups
from syncd.plan.group_names import Remembered, fold_name
from tests.fakes.tenant import Tenant

MEANT, OTHER = "00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002"


async def check(tenant: Tenant, reference: str, *, known: str = "") -> tuple[str, str]:
    """Return status and words about one setting; ``known``: the id that its name is remembered for."""
    named = {fold_name(reference): Remembered(id=known, called=reference)} if known else {}
    (found,) = await probe_groups(tenant.open_client(), [("scope.include_groups", reference)], named)
    assert found.check == "graph.group scope.include_groups"
    return found.status, f"{found.detail}|{found.remedy}"


@pytest.fixture
def tenant() -> Tenant:
    """A tenant with one group that is meant."""
    made = Tenant()
    made.directory.create_group({"displayName": "Sales"}, group_id=MEANT)
    return made


async def test_a_name_is_found_in_any_letter_case(tenant: Tenant) -> None:
    """As a run finds it, and with what is remembered told beside it."""
    assert (await check(tenant, "SALES"))[0] == "ok"
    assert await check(tenant, "SALES", known=MEANT) == (
        "ok",
        f"'SALES' means the group {MEANT}, remembered since it was looked up|",
    )
    assert (await check(tenant, MEANT))[0] == "ok"


async def test_rivals_and_new_names_are_warnings(tenant: Tenant) -> None:
    """Neither changes what a run does."""
    tenant.directory.create_group({"displayName": "sales"}, group_id=OTHER)
    assert (await check(tenant, "Sales"))[0] == "failed", "nothing is remembered: both may be meant"
    status, said = await check(tenant, "Sales", known=MEANT)
    assert (status, OTHER in said) == ("warning", True)
    tenant.directory.soft_delete(OTHER)
    tenant.directory.set_attributes(MEANT, displayName="Trade")
    status, said = await check(tenant, "Sales", known=MEANT)
    assert status == "warning"
    assert "named 'Trade' now" in said


async def test_a_group_that_is_gone_is_a_failure(tenant: Tenant) -> None:
    """A run would plan nothing, whoever else bears the name."""
    tenant.directory.create_group({"displayName": "Sales"}, group_id=OTHER)
    tenant.directory.soft_delete(MEANT)
    status, said = await check(tenant, "Sales", known=MEANT)
    assert status == "failed"
    assert "which is gone" in said
    assert OTHER in said


async def test_the_group_of_a_privilege_is_meant_as_runs_mean_it(tenant: Tenant) -> None:
    """Renamed it stays; gone it is no failure, for no run fails: one other that bears the name takes its place."""

    async def look(reference: str) -> tuple[str, str]:
        known = {"privileges[0].group": Remembered(id=MEANT, called="Sales")}
        client, names = tenant.open_client(), {fold_name("Sales"): Remembered(id=OTHER, called="Sales")}
        (found,) = await probe_groups(client, [("privileges[0].group", reference)], names, lasting=known)
        return found.status, f"{found.detail}|{found.remedy}"

    assert await look("Sales") == ("ok", f"'Sales' means the group {MEANT}, remembered since it was looked up|")
    tenant.directory.set_attributes(MEANT, displayName="Trade")
    status, said = await look("Sales")
    assert (status, "named 'Trade' now" in said) == ("warning", True)
    assert await look(MEANT) == ("ok", f"'{MEANT}' is one group of the tenant|")
    tenant.directory.soft_delete(MEANT)
    for reference in ("Sales", MEANT):
        status, said = await look(reference)
        assert (status, "what the rule gave it is taken" in said) == ("warning", True)
    tenant.directory.create_group({"displayName": "Sales"}, group_id=OTHER)
    status, said = await look("Sales")
    assert (status, f"{OTHER} bears the name now: a run that finds it so means that one" in said) == ("warning", True)
