"""`undo RUN`: substitutions. What was arranged is ended, what was changed or ended is as before while its time runs."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from syncd.model.run import RunRecord
from syncd.sync.planning.undo import Undo
from tests.fakes.rules import make_policy, make_rules
from tests.fakes.world import World


async def found_company(world: World) -> None:
    """Managers ann < ben < cleo, and dan; a leaver's tasks go to the manager."""
    world.rules = make_rules(policy=make_policy(substitute="manager"))
    world.source.put_group("g", displayName="All", mailNickname="all@grp")
    for name, manager in (("ann", None), ("ben", "ann"), ("cleo", "ben"), ("dan", None)):
        upn = f"{name}@x.com"
        world.source.put_user(name, userPrincipalName=upn, displayName=name, mail=upn, manager=manager)
        world.source.link("g", name)
    assert (await world.sync("full")).status == "succeeded"


pytestmark = pytest.mark.company(founded_by=found_company)


def left(world: World, run: RunRecord) -> dict[str, str]:
    """Return which substitutions a plan leaves alone, and why."""
    return {
        f"{planned.change.action} {planned.change.bps_id} {planned.change.target}": planned.error.text
        for chunk in world.store.plans.iterate_changes(run.id, statuses=["dropped"])
        for planned, _, _ in chunk
        if planned.change.object == "substitution"
    }


async def leave(world: World) -> RunRecord:
    """Let cleo leave; ben stands in."""
    world.source.put_user("cleo", accountEnabled=False)
    run = await world.sync()
    assert world.portal.stand_ins() == {"cleo@x.com": "ben@x.com"}
    return run


async def undo(world: World, run: int) -> RunRecord:
    """Undo a run, which succeeds."""
    undone = await world.carry_out(Undo(run_id=run))
    assert undone.status == "succeeded", undone.error
    return undone


async def test_what_was_arranged_is_ended_and_undoing_that_arranges_it_again(world: World) -> None:
    """With the membership; the next full run would do it again, too."""
    run = await leave(world)
    undone = await undo(world, run.id)
    assert world.portal.stand_ins() == {}
    assert "cleo@x.com" in world.portal.picture()["all@grp"]
    assert left(world, undone) == {}
    assert world.changes(await world.sync()) == []
    await undo(world, undone.id)
    assert world.portal.stand_ins() == {"cleo@x.com": "ben@x.com"}
    assert world.changes(await world.sync("full")) == []


async def test_the_substitute_of_before_stands_in_again(world: World) -> None:
    """A new manager took over; a later change is left alone, and a substitute without an account is none."""
    await leave(world)
    world.source.put_user("cleo", manager="dan")
    run = await world.sync()
    assert world.portal.stand_ins() == {"cleo@x.com": "dan@x.com"}
    undone = await undo(world, run.id)
    assert world.portal.stand_ins() == {"cleo@x.com": "ben@x.com"}
    again = await undo(world, run.id)
    assert left(world, again) == {"update cleo@x.com dan@x.com": "the substitution was changed again since"}
    world.source.put_user("dan", accountEnabled=False)
    await world.sync()
    useless = await undo(world, undone.id)
    assert left(world, useless) == {
        "update cleo@x.com ben@x.com": "the substitute of before has no account any more, or nobody goes by it"
    }
    assert world.portal.stand_ins()["cleo@x.com"] == "ben@x.com"


async def test_an_ended_one_is_made_again_until_its_end_date(world: World) -> None:
    """Somebody came back by mistake; after the end date there is nothing to give."""
    await leave(world)
    (made,) = world.portal.substitutions.values()
    world.source.put_user("cleo", accountEnabled=True)
    run = await world.sync()
    assert world.portal.stand_ins() == {}
    await undo(world, run.id)
    (again,) = world.portal.substitutions.values()
    assert (again.original, again.substitute, again.ends_at) == (made.original, made.substitute, made.ends_at)
    twice = await undo(world, run.id)
    assert left(world, twice) == {"delete cleo@x.com ben@x.com": "there is another substitution by now"}
    world.portal.substitutions.clear()
    world.clock.ahead += timedelta(days=31)
    await world.sync()
    late = await undo(world, run.id)
    assert left(world, late) == {"delete cleo@x.com ben@x.com": "the time of the substitution before is over"}


@pytest.mark.both_engines
async def test_one_that_has_ended_by_itself_needs_nothing(world: World) -> None:
    """Its account may even be gone."""
    run = await leave(world)
    world.clock.ahead += timedelta(days=31)
    await world.sync()
    undone = await undo(world, run.id)
    assert left(world, undone) == {"create cleo@x.com ben@x.com": "the substitution has ended already"}


async def test_a_mode_that_removes_nothing_ends_none(world: World) -> None:
    """Said, not done; protect likewise."""
    run = await leave(world)
    world.rules = replace(world.rules, policy=replace(world.rules.policy, mode="upsert_only"))
    undone = await undo(world, run.id)
    assert left(world, undone) == {"create cleo@x.com ben@x.com": 'policy.mode = "upsert_only" forbids to delete'}
    assert world.portal.stand_ins() == {"cleo@x.com": "ben@x.com"}


async def test_a_rename_is_undone_with_its_substitution(world: World) -> None:
    """The old account has its memberships again, and its tasks go nowhere else."""
    world.source.put_user("dan", userPrincipalName="danny@x.com")
    run = await world.sync()
    assert world.portal.stand_ins() == {"dan@x.com": "danny@x.com"}
    undone = await undo(world, run.id)
    assert world.portal.stand_ins() == {}
    assert world.portal.picture()["all@grp"] == {"ann@x.com", "ben@x.com", "cleo@x.com", "dan@x.com"}
    assert left(world, undone) == {}
    await world.sync("full")
    assert world.portal.stand_ins() == {"dan@x.com": "danny@x.com"}
    assert world.portal.picture()["all@grp"] == {"ann@x.com", "ben@x.com", "cleo@x.com", "danny@x.com"}
