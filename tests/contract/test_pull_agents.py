"""Accounts of agents: users that ``scope.agents`` lets in or leaves out, and nothing that costs a read its proof."""

from __future__ import annotations

from dataclasses import replace

import pytest

from syncd.model.source import KIND
from syncd.store.reports.status import Report
from tests.fakes.office import PLACES, hire, settle_in
from tests.fakes.rules import make_scope
from tests.fakes.world import World

STATED = {KIND: "agentUser"}
UNSTATED = {"identityParentId": "i1"}


def found_company(world: World) -> None:
    """The company that most tests of pulls play with."""
    settle_in(world.source)


pytestmark = pytest.mark.company(founded_by=found_company)


def add_agents(world: World, mark: dict[str, str], *, number: int = 12) -> None:
    """Let agents come, members of a group and reports of somebody."""
    for agent in range(20, 20 + number):
        hire(world.source, agent, **mark)
        world.source.link("g1", f"u{agent}")


def state_of(world: World, source_id: str) -> tuple[str, str]:
    """Return what ``syncd users`` says of somebody."""
    lines = Report(world.database, world.rules.policy).iterate("user")
    (line,) = [each for each in lines if each.source_id == source_id]
    return line.state, line.reason


@pytest.mark.both_engines
@pytest.mark.parametrize("mark", [STATED, UNSTATED], ids=["stated", "unstated"])
@pytest.mark.parametrize("kind", ["full", "delta"])
async def test_agents_are_left_out_and_cost_no_proof(world: World, mark: dict[str, str], kind: str) -> None:
    """They are listed as skipped, with the key that decides; removals of others go on as ever."""
    if kind == "delta":
        await world.sync("full")
    add_agents(world, mark)
    run = await world.sync(kind)  # type: ignore[arg-type]
    assert run.status == "succeeded", run.error
    assert world.portal.picture() == PLACES
    assert len(world.portal.accounts) == 8
    state, reason = state_of(world, "u20")
    assert state == "skipped"
    assert 'scope.agents = "skip"' in reason
    world.source.users["u3"].state = "gone"
    assert (await world.sync("full")).status == "succeeded"
    assert "u3@x.com" not in world.portal.picture()["all@grp"]


@pytest.mark.both_engines
@pytest.mark.parametrize("mark", [STATED, UNSTATED, {KIND: "robotUser"}], ids=["stated", "unstated", "unknown"])
async def test_agents_are_let_in_where_the_scope_says_so(world: World, mark: dict[str, str]) -> None:
    """With their memberships and managers, as people are."""
    world.rules = replace(world.rules, scope=make_scope(agents="sync"))
    add_agents(world, mark, number=1)
    assert (await world.sync("full")).status == "succeeded"
    assert "u20@x.com" in world.portal.picture()["all@grp"]
    assert world.portal.accounts["u20@x.com"].manager == "u0@x.com"


@pytest.mark.parametrize("mark", [STATED, UNSTATED], ids=["stated", "unstated"])
async def test_an_agent_that_was_in_the_portal_leaves_by_the_policy_for_scope(
    world: World, mark: dict[str, str]
) -> None:
    """Left out is out of scope: the key or the tenant said so, and the account is kept without its places."""
    world.rules = replace(world.rules, scope=make_scope(agents="sync"))
    add_agents(world, mark, number=1)
    await world.sync("full")
    world.rules = replace(world.rules, scope=make_scope())
    run = await world.sync("delta")
    assert world.changes(run) == ["unlink membership all@grp u20@x.com done"]
    assert state_of(world, "u20")[0] == "leaving"


async def test_a_person_of_a_type_that_nobody_knows_keeps_everything(world: World) -> None:
    """Whether the new name was meant to leave them out, nobody can tell; being disabled is told for certain."""
    await world.sync("full")
    for number in range(1, 8):
        world.source.put_user(f"u{number}", **{KIND: "cloudUser"})
    run = await world.sync("delta")
    assert run.status == "succeeded", run.error
    assert world.portal.picture() == PLACES
    assert state_of(world, "u1")[0] == "skipped"
    world.source.put_user("u1", accountEnabled=False)
    await world.sync("delta")
    assert "u1@x.com" not in world.portal.picture()["all@grp"]


@pytest.mark.parametrize("counted", [True, False])
@pytest.mark.parametrize("listed", [True, False])
@pytest.mark.parametrize("alone", [True, False])
async def test_whether_lists_show_and_counts_count_agents_is_no_contradiction(
    world: World, listed: bool, counted: bool, alone: bool
) -> None:
    """Whatever the tenant does, the read is proven where delta told of them or they can be counted by themselves."""
    await world.sync("full")
    add_agents(world, UNSTATED)
    if listed or alone:
        await world.sync("delta")
    source = world.source
    source.unlisted_agents, source.uncounted_agents, source.counts_agents = not listed, not counted, alone
    for _ in range(2):
        run = await world.sync("full")
        assert run.status == "succeeded", run.error
    source.users["u3"].state = "gone"
    source.users["u20"].state = "gone"
    assert (await world.sync("full")).status == "succeeded"
    assert world.portal.picture()["all@grp"] == PLACES["all@grp"] - {"u3@x.com"}


async def test_an_agent_that_becomes_known_as_one_is_told_by_delta(world: World) -> None:
    """A tenant that begins to state the type says it of accounts that were taken for people until then."""
    hire(world.source, 20)
    world.source.link("g1", "u20")
    await world.sync("full")
    world.source.put_user("u20", **STATED)
    run = await world.sync("delta")
    assert world.changes(run) == ["unlink membership all@grp u20@x.com done"]
