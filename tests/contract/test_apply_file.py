"""`apply FILE`: exactly the plan that was written, or a refusal that says what has changed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from syncd.logs.redaction import redact_text
from syncd.model.run import Approval, RunRecord, RunRequest
from syncd.plan.planfile import open_plan
from syncd.sync.planning.proposal import FromFile
from tests.fakes.rules import make_limits, make_policy, make_rules
from tests.fakes.world import World, open_world


async def found_company(world: World) -> None:
    """Three people in a group, synchronised; then one joins, one is renamed and one is disabled."""
    world.source.put_group("g", displayName="All", mailNickname="all@grp")
    for name in ("ann", "ben", "cleo"):
        world.source.put_user(name, userPrincipalName=f"{name}@x.com", displayName=name, mail=f"{name}@x.com")
        world.source.link("g", name)
    assert (await world.sync("full")).status == "succeeded"
    world.source.put_user("dora", userPrincipalName="dora@x.com", displayName="dora", mail="dora@x.com", manager="ann")
    world.source.link("g", "dora")
    world.source.put_user("ben", displayName="Benjamin")
    world.source.put_user("cleo", accountEnabled=False)


pytestmark = [pytest.mark.company(founded_by=found_company), pytest.mark.both_engines]


async def make_file(world: World) -> FromFile:
    """Plan, and return the plan as a file."""
    run = await world.sync("delta", write=False)
    lines = world.make_file(run)
    return FromFile(open_plan(lambda: lines))


def writes(world: World) -> list[str]:
    """Return what the portal was asked to write since the last look."""
    found, world.portal.writes[:] = list(world.portal.writes), []
    return found


async def test_a_plan_file_is_applied_exactly_and_without_asking_the_tenant(world: World) -> None:
    """The plan made meanwhile would be longer: what the tenant says after the plan is the next run's business."""
    proposal = await make_file(world)
    planned = [change.replace(" planned", " done") for change in world.changes(last_run(world))]
    assert len(planned) == 4
    world.source.put_user("ann", displayName="Annabel")
    world.source.calls.clear()
    record = await world.carry_out(proposal)
    assert record.status == "succeeded", record.error
    assert (record.kind, record.trigger) == ("apply", "cli")
    assert world.changes(record) == planned
    assert world.source.calls == []
    assert world.portal.accounts["ben@x.com"].name == "Benjamin"
    assert world.portal.accounts["dora@x.com"].manager == "ann@x.com"
    assert world.portal.accounts["ann@x.com"].name == "ann"
    assert world.portal.picture()["all@grp"] == {"ann@x.com", "ben@x.com", "dora@x.com"}
    assert world.changes(await world.sync()) == ["update user ann@x.com done"]
    assert world.changes(await world.sync("full")) == []


async def test_a_first_plan_over_everybody_can_be_applied_from_its_file(store_url: str) -> None:
    """More accounts than are read singly: the list is read instead, and the plan finds its ids again."""
    world = open_world(store_url)
    for number in range(250):
        name = f"u{number}@x.com"
        world.source.put_user(f"u{number}", userPrincipalName=name, displayName=name, mail=name)
    world.portal.add_account("stranger@x.com", name="Stranger")
    run = await world.sync("full", write=False)
    lines = world.make_file(run)
    record = await world.carry_out(FromFile(open_plan(lambda: lines)))
    assert record.status == "succeeded", record.error
    assert record.counts["done"] == 250
    assert len(world.portal.accounts) == 251
    assert world.changes(await world.sync("full")) == []
    world.database.close()


async def test_a_file_is_refused_when_the_stored_directory_has_changed(world: World) -> None:
    """A later pull brought news, even about somebody else: which part of the directory it is, is said."""
    proposal = await make_file(world)
    world.source.put_user("ann", displayName="Annabel")
    world.source.link("g", "nobody")
    await world.sync("delta", write=False)
    writes(world)
    record = await world.carry_out(proposal)
    assert record.status == "failed"
    assert "memberships (4 then, 5 now)" in record.error
    assert "users (4 then, 4 now)" in record.error
    assert "groups" not in record.error
    assert writes(world) == []


@pytest.mark.parametrize("by_hand", ["field", "gone", "came", "joined", "left"])
async def test_a_file_is_refused_when_the_portal_has_changed(world: World, by_hand: str) -> None:
    """Whatever was done by hand to a record that the plan writes to, it is named and nothing is written."""
    proposal = await make_file(world)
    match by_hand:
        case "field":
            await world.portal.update_account("ben@x.com", {"name": "Benno"})
        case "gone":
            world.portal.accounts.pop("ben@x.com")
        case "came":
            world.portal.add_account("dora@x.com", name="Somebody")
        case "joined":
            world.portal.members["all@grp"]["dora@x.com"] = "dora@x.com"
        case _:
            world.portal.members["all@grp"].pop("cleo@x.com")
    writes(world)
    record = await world.carry_out(proposal)
    assert record.status == "failed"
    expected = {
        "field": "ben@x.com (name)",
        "gone": "ben@x.com (it is gone)",
        "came": "dora@x.com (it is there now)",
        "joined": "dora@x.com in all@grp",
        "left": "cleo@x.com in all@grp",
    }
    assert f"“{expected[by_hand]}”; nothing was applied" in record.error
    assert ": “…”; nothing was applied, make the plan again" in redact_text(record.error)
    assert writes(world) == []
    assert not any(change.endswith("planned") for change in world.changes(record))


async def test_what_was_changed_by_hand_elsewhere_is_no_hindrance(world: World) -> None:
    """Only the records that the plan writes to are asked for."""
    proposal = await make_file(world)
    await world.portal.update_account("ann@x.com", {"name": "By hand"})
    assert (await world.carry_out(proposal)).status == "succeeded"


async def test_a_file_is_refused_under_other_rules(world: World) -> None:
    """A rule that would have planned something else makes the plan stale."""
    proposal = await make_file(world)
    world.rules = replace(world.rules, policy=make_policy(deleted_users="delete"))
    record = await world.carry_out(proposal)
    assert record.status == "failed"
    assert "rules" in record.error


async def test_nothing_is_applied_under_plan_only(world: World) -> None:
    """The mode that writes nothing writes nothing from a file either."""
    world.rules = replace(world.rules, policy=make_policy(mode="plan_only"))
    proposal = await make_file(world)
    writes(world)
    record = await world.carry_out(proposal)
    assert record.status == "failed"
    assert "plan_only" in record.error
    assert writes(world) == []


async def test_removals_of_a_file_are_refused_in_quiet_hours(world: World) -> None:
    """Doing a part of the plan would not be the plan."""
    proposal = await make_file(world)
    writes(world)
    record = await world.carry_out(proposal, quiet=True)
    assert record.status == "failed"
    assert "1 removals, and these are quiet hours" in record.error
    assert writes(world) == []


async def test_what_the_plan_held_stays_held_until_it_is_approved(world: World) -> None:
    """The guard is not asked again for the rest, and held changes do not slip through in a file."""
    world.rules = make_rules(limits=make_limits(max_removals=0, max_removal_percent=None, max_update_percent=None))
    proposal = await make_file(world)
    record = await world.carry_out(proposal)
    assert record.status == "held"
    assert "guard.max_removals" in record.error
    assert "cleo@x.com" in world.portal.picture()["all@grp"]
    assert world.portal.accounts["ben@x.com"].name == "Benjamin"
    assert world.store.decisions.load_holding_runs(now=world.clock.now()) == [record.id]
    approved = await approve(world, record.id)
    assert approved.status == "succeeded", approved.error
    assert "cleo@x.com" not in world.portal.picture()["all@grp"]


async def approve(world: World, run: int) -> RunRecord:
    """Approve what a run held."""
    request = RunRequest(pull="none", trigger="approval", retry_failed=True, approval=Approval(run_id=run))
    return await world.runs.execute(request, world.open_sides())


async def test_a_file_that_was_applied_in_part_is_refused_and_the_next_run_goes_on(world: World) -> None:
    """The portal goes down in the middle: nothing is written twice, and the refusal names the earlier attempt."""
    proposal = await make_file(world)
    world.portal.down = True
    first = await world.carry_out(proposal)
    assert first.status in ("failed", "partial")
    world.portal.down = False
    await world.portal.update_account("ben@x.com", {"name": "Benjamin"})  # sent, and its answer was lost
    writes(world)
    again = await world.carry_out(proposal)
    assert again.status == "failed"
    assert f"run {first.id} began to apply this file" in again.error
    assert writes(world) == []
    assert (await world.sync()).status == "succeeded"
    assert world.portal.picture()["all@grp"] == {"ann@x.com", "ben@x.com", "dora@x.com"}
    assert world.changes(await world.sync("full")) == []


async def test_a_file_that_was_applied_is_not_applied_again(world: World) -> None:
    """Its records are not as the plan saw them any more."""
    proposal = await make_file(world)
    first = await world.carry_out(proposal)
    writes(world)
    again = await world.carry_out(proposal)
    assert again.status == "failed"
    assert f"run {first.id} began to apply this file" in again.error
    assert writes(world) == []


def last_run(world: World) -> RunRecord:
    """Return the newest run."""
    from syncd.store.store import Store

    return Store(world.database).runs.load_runs(1)[0]
