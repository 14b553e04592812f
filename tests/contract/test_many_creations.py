"""A scope that bursts, or a wrong tenant, shows as creations: beyond a share of what is ours they wait for a person."""

from __future__ import annotations

import pytest

from syncd.model.run import Approval, RunRecord, RunRequest
from tests.fakes.rules import make_limits, make_rules
from tests.fakes.world import World


async def found_company(world: World) -> None:
    """Twenty-seven people in one group after their first run."""
    world.rules = make_rules(limits=make_limits())
    world.source.put_group("g", displayName="All", mailNickname="all@grp")
    hire(world, 27)
    assert (await world.sync("full")).status == "succeeded"


pytestmark = pytest.mark.company(founded_by=found_company)


def hire(world: World, count: int) -> None:
    """Let so many more people begin."""
    first = len(world.source.users)
    for number in range(first, first + count):
        name = f"u{number}"
        world.source.put_user(name, userPrincipalName=f"{name}@x.com", displayName=name, mail=f"{name}@x.com")
        world.source.link("g", name)


async def approve(world: World, run: RunRecord) -> RunRecord:
    """Approve what a run held."""
    request = RunRequest(pull="none", trigger="approval", retry_failed=True, approval=Approval(run_id=run.id))
    return await world.runs.execute(request, world.open_sides())


@pytest.mark.both_engines
async def test_two_thousand_joiners_into_a_portal_of_twenty_seven_wait(world: World) -> None:
    """Nobody is created unasked; with the approval all come, with their places."""
    hire(world, 60)
    run = await world.sync("delta")
    assert run.status == "held"
    assert "guard.max_creation_percent allows 100 %" in run.error
    assert len(world.portal.accounts) == 27
    assert {change.rsplit(" ", 1)[1] for change in world.changes(run)} == {"held"}
    again = await world.sync("delta")
    assert again.status == "held", "what was held stays held"
    assert (await approve(world, again)).status == "succeeded"
    assert len(world.portal.accounts) == 87
    assert len(world.portal.picture()["all@grp"]) == 87
    assert world.changes(await world.sync("full")) == []


async def test_as_many_as_there_are_come_unasked_and_a_first_push_has_no_limit(world: World) -> None:
    """Exactly as many again are not beyond; removals and updates of the same run have limits of their own."""
    hire(world, 27)
    assert (await world.sync("delta")).status == "succeeded"
    assert len(world.portal.accounts) == 54
    world.rules = make_rules(limits=make_limits(max_creation_percent=None))
    hire(world, 300)
    assert (await world.sync("full")).status == "succeeded"
