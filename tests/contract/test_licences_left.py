"""Licences that rules of the past granted, and licences of ours that somebody took by hand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Literal

import pytest

from syncd.model.licence import LicenceList
from syncd.model.run import Approval, RunRecord, RunRequest
from syncd.plan.drift import Drift
from syncd.plan.rules import LicenceRule
from syncd.sync.planning.drift import DriftCheck
from tests.fakes.rules import make_limits, make_policy, make_rules
from tests.fakes.world import World

DriftPolicy = Literal["revert", "adopt", "report"]

USER = LicenceRule("All", "User")
POWER = LicenceRule("Power", "PowerUser")


async def found_company(world: World) -> None:
    """Three people with a licence by rule, one of them with another by hand; granted long enough ago to be shown."""
    world.source.put_group("g", displayName="All", mailNickname="all@grp")
    world.source.put_group("p", displayName="Power", mailNickname="power@grp")
    for name in ("ann", "ben", "cleo"):
        world.source.put_user(name, userPrincipalName=f"{name}@x.com", displayName=name, mail=f"{name}@x.com")
        world.source.link("g", name)
    world.rules = make_rules(licences=(POWER, USER))
    world.portal.totals = {"PowerUser": 5, "User": 5}
    world.portal.licences["cleo@x.com"] = {"ExternalUser": {}}
    assert (await world.sync("full")).status == "succeeded"
    assert held(world) == {"ann": "User", "ben": "User", "cleo": "ExternalUser User"}
    world.clock.ahead += timedelta(hours=2)


pytestmark = pytest.mark.company(founded_by=found_company)


def held(world: World) -> dict[str, str]:
    """Return who holds what."""
    return {
        bps_id.removesuffix("@x.com"): " ".join(sorted(kinds))
        for bps_id, kinds in sorted(world.portal.licences.items())
        if kinds
    }


def licence_changes(world: World, run: RunRecord) -> list[str]:
    """Return a run's licence changes."""
    return [change for change in world.changes(run) if " licence " in change]


# ---- without rules ---------------------------------------------------------------------------------------------------


async def test_the_end_of_the_last_rule_revokes_what_rules_granted_and_then_nothing_is_asked_any_more(
    world: World,
) -> None:
    """What was given by hand stays."""
    world.rules = make_rules()
    run = await world.sync()
    assert run.status == "succeeded", run.error
    assert held(world) == {"cleo": "ExternalUser"}
    assert "no licence rule covers this person any more" in {
        planned.change.reason.text
        for chunk in world.store.plans.iterate_changes(run.id, statuses=["done"])
        for planned, _, _ in chunk
    }
    world.portal.licence_reads.clear()
    world.portal.licences_forbidden = "all"
    assert world.changes(await world.sync("full")) == []
    assert world.portal.licence_reads == []


async def test_the_guard_looks_at_those_revokes(world: World) -> None:
    """A rule that was deleted by mistake takes nobody's licence unasked."""
    limits = make_limits(max_removals=1, max_removal_percent=None, max_update_percent=None)
    world.rules = make_rules(limits=limits)
    run = await world.sync()
    assert run.status == "held"
    assert held(world)["ann"] == "User"
    request = RunRequest(pull="none", trigger="approval", retry_failed=True, approval=Approval(run_id=run.id))
    assert (await world.runs.execute(request, world.open_sides())).status == "succeeded"
    assert held(world) == {"cleo": "ExternalUser"}


@pytest.mark.parametrize("lacking", ["all", "write"])
async def test_a_portal_without_the_licence_scope_is_warned_of_and_fails_no_run(world: World, lacking: str) -> None:
    """Everything else goes through; with the scope back the next full run revokes them."""
    world.rules = make_rules()
    world.portal.licences_forbidden = lacking  # type: ignore[assignment]  # one of its values
    world.source.put_user("dora", userPrincipalName="dora@x.com", displayName="dora", mail="dora@x.com")
    run = await world.sync("full")
    assert run.status == "succeeded", run.error
    assert "dora@x.com" in world.portal.accounts
    if lacking == "all":
        assert "grant Admin.Licenses.ReadWrite" in run.error
    else:
        assert {change.split()[-1] for change in licence_changes(world, run)} == {"deferred"}
    world.source.put_user("ann", jobTitle="Boss")
    assert (await world.sync()).status == "succeeded"
    world.portal.licences_forbidden = ""
    await world.sync("full")
    assert held(world) == {"cleo": "ExternalUser"}


# ---- taken by hand ---------------------------------------------------------------------------------------------------


def drift(world: World, policy: DriftPolicy) -> None:
    """Set policy.drift."""
    world.rules = replace(world.rules, policy=replace(world.rules.policy, drift=policy))


async def test_a_licence_taken_by_hand_is_given_again_where_drift_is_reverted(world: World) -> None:
    """The default."""
    world.portal.licences["ann@x.com"] = {}
    assert licence_changes(world, await world.sync("full")) == ["grant licence ann@x.com User done"]


@pytest.mark.both_engines
@pytest.mark.parametrize("policy", ["adopt", "report"])
async def test_it_stays_taken_under_the_other_policies_until_a_rule_says_otherwise(
    world: World, policy: DriftPolicy
) -> None:
    """Another rule gives its licence; who leaves the rule's group and comes back gets it again."""
    drift(world, policy)
    world.portal.licences["ann@x.com"] = {}
    world.portal.licences["ben@x.com"] = {}
    assert licence_changes(world, await world.sync("full")) == []
    assert licence_changes(world, await world.sync("full")) == []
    world.source.link("p", "ann")
    assert licence_changes(world, await world.sync()) == ["grant licence ann@x.com PowerUser done"]
    world.source.unlink("p", "ann")
    await world.sync()
    assert held(world)["ann"] == "User"  # the note went when another rule counted
    world.source.unlink("g", "ben")
    await world.sync()
    world.source.link("g", "ben")
    assert licence_changes(world, await world.sync()) == ["grant licence ben@x.com User done"]


async def test_what_was_given_back_by_hand_is_manual(world: World) -> None:
    """Nobody takes it any more."""
    drift(world, "report")
    world.portal.licences["ann@x.com"] = {}
    await world.sync("full")
    world.portal.licences["ann@x.com"] = {"User": {}}
    await world.sync("full")
    world.source.unlink("g", "ann")
    await world.sync()
    assert held(world)["ann"] == "User"


@pytest.mark.both_engines
async def test_an_account_made_anew_gets_its_licence(world: World) -> None:
    """Whoever deletes an account by hand, deletes its licence with it; that is no drift of the licence."""
    drift(world, "report")
    world.portal.licences["ann@x.com"] = {}
    await world.sync("full")
    await world.portal.delete_account("ann@x.com")
    await world.sync("full")
    world.source.put_user("ann", displayName="Anna")
    await world.sync()
    assert "ann@x.com" in world.portal.accounts
    assert held(world)["ann"] == "User"


async def test_drift_tells_it_reverts_it_and_adopts_it(world: World) -> None:
    """Like any other difference; what was adopted stays away, also where drift is reverted."""
    world.portal.licences["ann@x.com"] = {}
    world.portal.licences["ben@x.com"] = {}
    told: list[Drift] = []

    def tell(chunks: Iterator[list[Drift]]) -> None:
        told.extend(entry for chunk in chunks for entry in chunk)

    await world.carry_out(DriftCheck("report", tell))
    assert [(entry.object, entry.bps_id, entry.field, entry.ours, entry.theirs) for entry in told] == [
        ("licence", "ann@x.com", "User", "User", None),
        ("licence", "ben@x.com", "User", "User", None),
    ]
    run = await world.carry_out(DriftCheck("revert", tell))
    assert licence_changes(world, run) == ["grant licence ann@x.com User done", "grant licence ben@x.com User done"]
    world.clock.ahead += timedelta(hours=2)
    world.portal.licences["ann@x.com"] = {}
    await world.carry_out(DriftCheck("adopt", tell))
    told.clear()
    await world.carry_out(DriftCheck("report", tell))
    assert told == []
    assert licence_changes(world, await world.sync("full")) == []
    assert held(world) == {"ben": "User", "cleo": "ExternalUser User"}


@pytest.mark.parametrize("policy", ["revert", "adopt", "report"])
async def test_a_list_that_lacks_what_the_seats_still_count_takes_nothing_from_us(
    world: World, policy: DriftPolicy
) -> None:
    """One bad reading of the licences makes no licence of ours a manual one, which nobody would revoke any more."""
    drift(world, policy)
    await world.sync("full")
    listed = world.portal.fetch_licences

    async def lose() -> LicenceList | None:
        await listed()
        return LicenceList(())

    world.portal.fetch_licences = lose
    assert licence_changes(world, await world.sync("full")) == []
    world.portal.fetch_licences = listed
    assert licence_changes(world, await world.sync("full")) == []
    world.source.unlink("g", "ann")
    assert licence_changes(world, await world.sync()) == ["revoke licence ann@x.com User done"]
    assert held(world) == {"ben": "User", "cleo": "ExternalUser User"}


async def test_our_own_revoke_is_nobodys_doing(world: World) -> None:
    """A rule that ends and comes back grants again."""
    drift(world, "report")
    world.rules = replace(world.rules, licences=(POWER,))
    await world.sync("full")
    assert held(world) == {"cleo": "ExternalUser"}
    world.rules = replace(world.rules, licences=(POWER, USER), policy=make_policy(drift="report"))
    await world.sync("full")
    assert held(world) == {"ann": "User", "ben": "User", "cleo": "ExternalUser User"}
