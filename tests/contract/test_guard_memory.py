"""The guard has a memory: what is held stays held until a person decides, or until nobody plans it any more."""

from __future__ import annotations

from datetime import timedelta

import pytest

from syncd.model.run import Approval, RunRecord, RunRequest
from tests.fakes.rules import make_limits, make_policy, make_rules
from tests.fakes.world import World

PEOPLE = 60


async def found_company(world: World) -> None:
    """Sixty people in one group; leavers are deleted at once, under the default limits."""
    policy = make_policy(disabled_users="delete", grace=timedelta())
    world.rules = make_rules(limits=make_limits(max_creation_percent=None), policy=policy)
    world.source.put_group("g", displayName="All", mailNickname="all@grp")
    hire(world, PEOPLE)
    assert (await world.sync("full")).status == "succeeded"


pytestmark = pytest.mark.company(founded_by=found_company)


def hire(world: World, count: int) -> None:
    """Let so many more people begin."""
    first = len(world.source.users)
    for number in range(first, first + count):
        name = f"u{number}"
        world.source.put_user(name, userPrincipalName=f"{name}@x.com", displayName=name, mail=f"{name}@x.com")
        world.source.link("g", name)


def disable(world: World, count: int) -> None:
    """Let so many people be disabled."""
    for number in range(count):
        world.source.put_user(f"u{number}", accountEnabled=False)


async def approve(world: World, run: RunRecord) -> RunRecord:
    """Approve what a run held."""
    request = RunRequest(pull="none", trigger="approval", retry_failed=True, approval=Approval(run_id=run.id))
    return await world.runs.execute(request, world.open_sides())


@pytest.mark.both_engines
@pytest.mark.parametrize("kind", ["delta", "full"])
async def test_a_population_that_has_grown_lets_nothing_through(world: World, kind: str) -> None:
    """Forty of sixty are too many; they are no fewer when three hundred and forty have been hired since."""
    disable(world, 40)
    held = await world.sync("delta")
    assert held.status == "held"
    hire(world, 540)
    for _ in range(2):
        run = await world.sync(kind)  # type: ignore[arg-type]  # the kinds of a pull
        assert run.status == "held"
        assert run.error.startswith(f"held since run {held.id} (")
        assert len(world.portal.accounts) == PEOPLE + 540
        assert "u1@x.com" in world.portal.picture()["all@grp"]
    assert (await approve(world, run)).status == "succeeded"
    assert "u1@x.com" not in world.portal.picture()["all@grp"]


async def test_a_wider_limit_decides_nothing(world: World) -> None:
    """Whoever widens a limit means the plans to come; what waits was shown to nobody."""
    disable(world, 40)
    assert (await world.sync("delta")).status == "held"
    world.rules = make_rules(limits=make_limits(max_removal_percent=None), policy=world.rules.policy)
    assert (await world.sync("full")).status == "held"
    assert len(world.portal.accounts) == PEOPLE


@pytest.mark.both_engines
async def test_what_is_not_planned_any_more_is_not_held_any_more(world: World) -> None:
    """The mistake is put right in the tenant: nothing is left to decide."""
    disable(world, 40)
    assert (await world.sync("delta")).status == "held"
    for number in range(40):
        world.source.put_user(f"u{number}", accountEnabled=True)
    run = await world.sync("delta")
    assert (run.status, world.changes(run)) == ("succeeded", [])
    disable(world, 2)
    assert (await world.sync("delta")).status == "succeeded", (
        "two are within the limit, and were never held for themselves"
    )


async def test_what_was_rejected_is_not_held(world: World) -> None:
    """A rejection is a decision; it stands until the person changes."""
    disable(world, 40)
    held = await world.sync("delta")
    world.store.decisions.reject(Approval(run_id=held.id))
    run = await world.sync("delta")
    assert run.status == "succeeded"
    assert "u1@x.com" in world.portal.picture()["all@grp"]
