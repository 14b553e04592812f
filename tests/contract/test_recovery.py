"""A tenant that is set back to yesterday converges by itself; whatever else goes in numbers stays under the guard."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Literal

import pytest
import structlog

from syncd.plan.rules import LicenceRule
from tests.fakes.rules import make_limits, make_rules
from tests.fakes.world import World, open_world

pytestmark = pytest.mark.both_engines

PEOPLE = 40
NEW = 30
Kind = Literal["delta", "full"]


@pytest.fixture
async def world(store_url: str) -> AsyncIterator[World]:
    """Forty people, of whom the first ten are in the group of the licence, all for ten days."""
    structlog.reset_defaults()
    made = open_world(store_url)
    limits = make_limits(max_creation_percent=None, max_update_percent=30, max_removal_percent=10)
    made.rules = make_rules(limits=limits, licences=(LicenceRule("Power", "PowerUser"),))
    made.portal.totals["PowerUser"] = 100
    made.source.put_group("g", displayName="Power", mailNickname="power@grp")
    for number in range(PEOPLE):
        name = f"u{number}@x.com"
        made.source.put_user(f"u{number}", userPrincipalName=name, displayName=f"Old {number}", mail=name)
        if number < PEOPLE - NEW:
            made.source.link("g", f"u{number}")
    assert (await made.sync("full")).status == "succeeded"
    made.clock.ahead += timedelta(days=10)
    yield made
    made.database.close()


def storm(world: World) -> None:
    """Let a script put thirty people into the group and rename fifteen."""
    for number in range(PEOPLE - NEW, PEOPLE):
        world.source.link("g", f"u{number}")
    for number in range(PEOPLE - 15, PEOPLE):
        world.source.put_user(f"u{number}", displayName=f"New {number}")


def set_back(world: World) -> None:
    """Let the tenant be as it was yesterday."""
    for number in range(PEOPLE - NEW, PEOPLE):
        world.source.unlink("g", f"u{number}")
    for number in range(PEOPLE - 15, PEOPLE):
        world.source.put_user(f"u{number}", displayName=f"Old {number}")


def picture(world: World) -> tuple[set[str], set[str], set[str]]:
    """Return who is in the group, who holds a licence, and all names."""
    names = {account.name or "" for account in world.portal.accounts.values()}
    holders = {key for key, held in world.portal.licences.items() if held}
    return world.portal.picture()["power@grp"], holders, names


@pytest.mark.parametrize("kind", ["delta", "full"])
async def test_a_tenant_set_back_converges_without_an_approval(world: World, kind: Kind) -> None:
    """Values, places and licences of yesterday come back, beyond every limit, and the run says why."""
    before = picture(world)
    storm(world)
    # One run of fifteen renames is more than a third of forty: an administrator lets that go on purpose.
    world.rules = replace(world.rules, limits=replace(world.rules.limits, max_update_percent=None))
    assert (await world.sync("delta")).status == "succeeded"
    assert picture(world) != before
    world.rules = replace(world.rules, limits=replace(world.rules.limits, max_update_percent=30))
    world.clock.ahead += timedelta(days=1)
    await world.sync("delta")
    set_back(world)
    run = await world.sync(kind)
    assert run.status == "succeeded", run.error
    assert "return to the state before run" in run.error
    assert picture(world) == before
    assert world.changes(await world.sync("full")) == []


async def test_what_is_no_return_is_held_beside_it(world: World) -> None:
    """Thirty return, and five of long standing go as well: the thirty go on, and the five of forty wait."""
    storm(world)
    world.rules = replace(world.rules, limits=replace(world.rules.limits, max_update_percent=None))
    await world.sync("delta")
    world.clock.ahead += timedelta(days=1)
    set_back(world)
    for number in range(5):
        world.source.unlink("g", f"u{number}")
    run = await world.sync("delta")
    assert run.status == "held"
    assert world.portal.picture()["power@grp"] == {f"u{number}@x.com" for number in range(PEOPLE - NEW)}


@pytest.mark.parametrize("days", [4, 30])
async def test_what_is_older_than_the_last_days_is_held(world: World, days: int) -> None:
    """Thirty people who came four days ago are no accident of yesterday any more."""
    storm(world)
    world.rules = replace(world.rules, limits=replace(world.rules.limits, max_update_percent=None))
    await world.sync("delta")
    world.clock.ahead += timedelta(days=days)
    before = picture(world)
    for number in range(PEOPLE - NEW, PEOPLE):
        world.source.unlink("g", f"u{number}")
    assert (await world.sync("delta")).status == "held"
    assert picture(world) == before


async def storm_of_links(world: World) -> None:
    """Let thirty come into the group, and all ten others into a second one, and a day pass."""
    world.source.put_group("h", displayName="Club", mailNickname="club@grp")
    assert (await world.sync("delta")).status == "succeeded"
    world.clock.ahead += timedelta(days=10)
    for number in range(PEOPLE - NEW, PEOPLE):
        world.source.link("g", f"u{number}")
    for number in range(PEOPLE):
        world.source.link("h", f"u{number}")
    assert (await world.sync("delta")).status == "succeeded"
    world.clock.ahead += timedelta(days=1)


@pytest.mark.parametrize("what", ["newcomers of one group", "emptied group", "both"])
async def test_one_group_alone_is_no_tenant_that_is_set_back(world: World, what: str) -> None:
    """Whoever came yesterday is counted like anybody else, when only that group loses them, or when it is emptied."""
    await storm_of_links(world)
    before = picture(world)
    if what != "emptied group":
        for number in range(PEOPLE - NEW, PEOPLE):
            world.source.unlink("g", f"u{number}")
    if what != "newcomers of one group":
        for number in range(PEOPLE):
            world.source.unlink("h", f"u{number}")
    run = await world.sync("delta")
    assert run.status == "held", run.error
    assert "return" not in run.error
    assert picture(world) == before
    assert len(world.portal.picture()["club@grp"]) == PEOPLE


async def test_two_groups_that_lose_all_who_came_since_are_set_back(world: World) -> None:
    """Memberships alone are a pattern as well: two groups, everybody since one moment, and both keep who was there."""
    world.source.put_group("h", displayName="Club", mailNickname="club@grp")
    world.source.link("h", "u0")
    assert (await world.sync("delta")).status == "succeeded"
    world.clock.ahead += timedelta(days=10)
    before = world.portal.picture()
    joined = [("g", number) for number in range(PEOPLE - NEW, PEOPLE)] + [("h", number) for number in range(1, 25)]
    for group, number in joined:
        world.source.link(group, f"u{number}")
    assert (await world.sync("delta")).status == "succeeded"
    world.clock.ahead += timedelta(days=1)
    for group, number in joined:
        world.source.unlink(group, f"u{number}")
    run = await world.sync("delta")
    assert (run.status, world.portal.picture()) == ("succeeded", before), run.error
    assert "84 changes return to the state before run" in run.error  # thirty licences with them


async def test_a_first_load_is_no_state_to_return_to(store_url: str) -> None:
    """Everybody was put into the group yesterday, by the first run: an emptied group is held."""
    made = open_world(store_url)
    made.rules = make_rules(limits=make_limits(max_creation_percent=None, max_removal_percent=10))
    made.source.put_group("g", displayName="All", mailNickname="all@grp")
    for number in range(PEOPLE):
        name = f"u{number}@x.com"
        made.source.put_user(f"u{number}", userPrincipalName=name, displayName=name, mail=name)
        made.source.link("g", f"u{number}")
    assert (await made.sync("full")).status == "succeeded"
    made.clock.ahead += timedelta(days=1)
    for number in range(PEOPLE):
        made.source.unlink("g", f"u{number}")
    assert (await made.sync("delta")).status == "held"
    assert len(made.portal.picture()["all@grp"]) == PEOPLE
    made.database.close()


async def test_who_was_put_back_yesterday_is_no_newcomer(world: World) -> None:
    """Ten of long standing were taken out by mistake, put back, and are taken out again: the second time is held."""
    world.rules = replace(
        world.rules, limits=replace(world.rules.limits, max_removal_percent=None, max_daily_removal_percent=None)
    )
    for action in (world.source.unlink, world.source.link):
        for number in range(10):
            action("g", f"u{number}")
        assert (await world.sync("delta")).status == "succeeded"
        world.clock.ahead += timedelta(hours=30)
    world.rules = replace(world.rules, limits=replace(world.rules.limits, max_removal_percent=10, min_population=5))
    for number in range(10):
        world.source.unlink("g", f"u{number}")
    for number in range(11, 25):
        world.source.link("g", f"u{number}")
    await world.sync("delta")
    assert len(world.portal.picture()["power@grp"]) == 10 + 14


async def test_people_who_are_disabled_in_numbers_are_held_however_new_they_are(world: World) -> None:
    """Disabling thirty who came into the group yesterday is no return."""
    storm(world)
    world.rules = replace(world.rules, limits=replace(world.rules.limits, max_update_percent=None))
    await world.sync("delta")
    world.clock.ahead += timedelta(days=1)
    before = picture(world)
    for number in range(PEOPLE - NEW, PEOPLE):
        world.source.put_user(f"u{number}", accountEnabled=False)
    assert (await world.sync("delta")).status == "held"
    assert picture(world) == before


async def test_explain_and_the_run_show_each_return(world: World) -> None:
    """Each change has the reason, and the cause in JSON."""
    storm(world)
    world.rules = replace(world.rules, limits=replace(world.rules.limits, max_update_percent=None))
    await world.sync("delta")
    world.clock.ahead += timedelta(days=1)
    set_back(world)
    run = await world.sync("delta")
    reasons = [
        placed.change.reason
        for chunk in world.store.plans.iterate_changes(run.id)
        for placed, _, _ in chunk
        if placed.change.action == "unlink"
    ]
    assert len(reasons) == NEW
    assert {str(reason.cause) for reason in reasons} == {"returns"}
    assert all("returns to the state before run" in reason.text for reason in reasons)
