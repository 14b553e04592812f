"""A deletion takes all memberships along: it waits while their removal is held, and ends where it was rejected."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from syncd.model.run import Approval, RunRecord, RunRequest
from syncd.store.reports.status import Report
from syncd.sync.planning.undo import Undo
from tests.fakes.rules import make_limits, make_policy, make_rules
from tests.fakes.world import World

_FEW = make_limits(max_removals=2, max_removal_percent=None, max_update_percent=None)


async def found_company(world: World) -> None:
    """Five people in All, and p0 in four more groups; a guard that lets two removals of a kind through."""
    for number in range(5):
        name = f"p{number}@x.com"
        world.source.put_user(f"u{number}", userPrincipalName=name, displayName=name, mail=name)
    world.source.put_group("g", displayName="All", mailNickname="all@grp")
    for number in range(5):
        world.source.link("g", f"u{number}")
    for number in range(4):
        world.source.put_group(f"h{number}", displayName=f"H{number}", mailNickname=f"h{number}@grp")
        world.source.link(f"h{number}", "u0")
    assert (await world.sync("full")).status == "succeeded"
    policy = make_policy(
        deleted_groups="delete", deleted_users="delete", disabled_users="delete", grace=timedelta(days=1)
    )
    world.rules = make_rules(policy=policy, limits=_FEW)


pytestmark = pytest.mark.company(founded_by=found_company)


def take_away(world: World, kind: str) -> str:
    """Let a group or a person go from the tenant; return what the deletion is called in a plan."""
    if kind == "group":
        world.source.remove_group("g")
        return "delete group all@grp"
    world.source.put_user("u0", accountEnabled=False)
    return "delete user p0@x.com"


def is_there(world: World, kind: str) -> bool:
    """Return whether the portal still has it, with all its places."""
    picture = world.portal.picture()
    if kind == "group":
        return len(picture.get("all@grp", ())) == 5
    return "p0@x.com" in world.portal.accounts and sum("p0@x.com" in members for members in picture.values()) == 5


async def approve(world: World, run: RunRecord) -> RunRecord:
    """Approve everything that a run held."""
    request = RunRequest(pull="none", trigger="approval", retry_failed=True, approval=Approval(run_id=run.id))
    return await world.runs.execute(request, world.open_sides())


@pytest.mark.both_engines
@pytest.mark.parametrize("kind", ["group", "user"])
async def test_a_deletion_waits_for_the_removals_that_it_would_carry_out(world: World, kind: str) -> None:
    """One deletion is few enough for the guard, the five removals in it are not; a person lets both through."""
    deletion = take_away(world, kind)
    assert (await world.sync("delta")).status == "held"
    world.clock.ahead += timedelta(days=2)
    for pull in ("delta", "full"):
        run = await world.sync(pull)
        assert run.status == "held"
        assert f"{deletion} held" in world.changes(run)
        assert is_there(world, kind)
    approved = await approve(world, run)
    assert approved.status == "succeeded", approved.error
    assert f"{deletion} done" in world.changes(approved)
    assert not is_there(world, kind)


@pytest.mark.parametrize("kind", ["group", "user"])
async def test_a_deletion_is_not_made_when_the_removals_in_it_were_rejected(world: World, kind: str) -> None:
    """The people stay where they are, whatever run follows, and the lists say why the record is still there."""
    deletion = take_away(world, kind)
    run = await world.sync("delta")
    assert world.store.decisions.reject(Approval(run_id=run.id)) == 5
    world.clock.ahead += timedelta(days=2)
    for pull in ("delta", "full", "full"):
        run = await world.sync(pull)
        assert run.status == "succeeded", run.error
        assert is_there(world, kind)
    assert f"{deletion} dropped" in world.changes(run)
    lines = Report(world.database, world.rules.policy, now=world.clock.now()).iterate(kind)  # type: ignore[arg-type]
    line = next(line for line in lines if line.bps_id == deletion.split()[-1])
    assert "5 memberships stay: their removal was rejected, and so does the" in line.reason


async def test_a_deletion_within_the_limits_goes_on(world: World) -> None:
    """Held for no other reason than the guard's."""
    world.rules = replace(world.rules, limits=replace(_FEW, max_removals=5))
    deletion = take_away(world, "group")
    await world.sync("delta")
    world.clock.ahead += timedelta(days=2)
    assert f"{deletion} done" in world.changes(await world.sync("delta"))


async def test_an_undo_deletes_no_group_whose_members_it_would_have_to_take_out_first(world: World) -> None:
    """The memberships are more than the guard lets through: the deletion of the group waits with them."""
    world.rules = replace(world.rules, limits=replace(_FEW, max_removals=6))
    undone = await world.carry_out(Undo(run_id=1, delete_created=True))
    assert undone.status == "held"
    assert {"delete group all@grp held", "delete user p0@x.com held"} <= set(world.changes(undone))
    assert is_there(world, "group")
    assert is_there(world, "user")
    approved = await approve(world, undone)
    assert approved.status == "succeeded", approved.error
    assert world.portal.groups == {}
