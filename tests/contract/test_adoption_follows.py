"""The plan of an adoption shows apart what would be removed after it, each with its true reason."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import structlog

from syncd.model.run import Approval, RunRecord, RunRequest
from syncd.model.target import PortalGroup
from tests.fakes.rules import make_limits, make_policy, make_rules, make_scope
from tests.fakes.world import World, open_world

pytestmark = pytest.mark.both_engines

WHY = {
    "unlink membership all@grp absent@x.com": "not a member in the tenant",
    "unlink membership all@grp disabled@x.com": "disabled",
    "unlink membership all@grp guest@x.com": "out_of_scope",
    "unlink membership all@grp gone@x.com": "deleted",
    "unlink membership all@grp stranger@portal": "nobody in the tenant goes by this BPS id",
}


@pytest.fixture
async def world(store_url: str) -> AsyncIterator[World]:
    """A portal in use, and an empty store: a group with people of every sort in it."""
    structlog.reset_defaults()
    made = open_world(store_url)
    made.rules = make_rules(scope=make_scope(guests="skip"))
    made.source.put_group("g", displayName="All", mailNickname="all@grp")
    for name in ("ann", "absent", "disabled", "gone"):
        made.source.put_user(name, userPrincipalName=f"{name}@x.com", displayName=name, mail=f"{name}@x.com")
        if name != "absent":
            made.source.link("g", name)
    made.source.put_user(
        "guest", userPrincipalName="guest@x.com", displayName="guest", mail="guest@x.com", userType="Guest"
    )
    made.source.put_user("disabled", accountEnabled=False)
    for login in ("ann@x.com", "absent@x.com", "disabled@x.com", "guest@x.com", "gone@x.com", "stranger@portal"):
        made.portal.add_account(login, name=login, email=login)
    made.portal.groups["all@grp"] = PortalGroup(bps_id="all@grp", name="All", email="all@grp")
    made.portal.members["all@grp"] = {key: key for key in made.portal.accounts}
    yield made
    made.database.close()


def follows(world: World, run: RunRecord) -> dict[str, str]:
    """Return what would follow from the adoptions that a run withholds, and why."""
    return {
        f"{change.action} {change.object} {change.bps_id} {change.target}": change.reason.text
        for chunk in world.store.plans.iterate_changes(run.id, statuses=["dropped"])
        for planned, _, _ in chunk
        for change in (planned.change,)
        if planned.error.cause == "follows_adoption"
    }


def removed(world: World, run: RunRecord) -> dict[str, str]:
    """Return what a run took away, and why."""
    return {
        f"{change.action} {change.object} {change.bps_id} {change.target}": change.reason.text
        for chunk in world.store.plans.iterate_changes(run.id, statuses=["done"])
        for planned, _, _ in chunk
        for change in (planned.change,)
        if change.action == "unlink"
    }


async def approve(world: World, run: RunRecord, *, only: tuple[str, ...] = ()) -> RunRecord:
    """Approve what a run held."""
    request = RunRequest(
        pull="none", trigger="approval", retry_failed=True, approval=Approval(run_id=run.id, only=only)
    )
    return await world.runs.execute(request, world.open_sides())


@pytest.mark.parametrize("write", [False, True])
async def test_what_would_follow_is_shown_and_nothing_else_is_removed_later(world: World, write: bool) -> None:
    """In a dry run and in the run that holds; the run after the approval removes just that, for those reasons."""
    assert (await world.sync("full")).status == "held"
    world.source.remove_user("gone")
    held = await world.sync("full", write=write)
    assert held.status == "held"
    assert follows(world, held) == WHY
    assert world.store.plans.count_following(held.id) == len(WHY)
    if not write:
        held = await world.sync("full")
    assert (await approve(world, held)).status == "succeeded"
    assert world.portal.picture()["all@grp"] == set(world.portal.members["all@grp"])
    assert len(world.portal.picture()["all@grp"]) == 6, "an approval of adoptions takes nobody away"
    run = await world.sync("full")
    assert removed(world, run) == WHY
    assert world.portal.picture()["all@grp"] == {"ann@x.com"}
    assert world.changes(await world.sync("full")) == []


async def test_an_adopted_account_shows_the_places_that_it_would_lose(world: World) -> None:
    """The group is ours already; somebody whose account waits for adoption was put into it."""
    world.source.put_user("disabled", accountEnabled=True)
    world.rules = replace(world.rules, limits=make_limits(max_adoptions=None))
    await world.sync("full")
    world.rules = replace(world.rules, limits=make_limits())
    world.source.put_user("late", userPrincipalName="late@x.com", displayName="late", mail="late@x.com")
    world.portal.add_account("late@x.com", name="late", email="late@x.com")
    world.portal.members["all@grp"]["late@x.com"] = "late@x.com"
    run = await world.sync("full")
    assert run.status == "held"
    assert follows(world, run) == {"unlink membership all@grp late@x.com": "not a member in the tenant"}
    assert "late@x.com" in world.portal.picture()["all@grp"]


async def test_what_would_follow_is_under_the_guard(world: World) -> None:
    """An approval of adoptions releases no removals: they wait for a word of their own."""
    world.rules = replace(world.rules, limits=make_limits(max_removals=2))
    held = await world.sync("full")
    assert (await approve(world, held)).status == "succeeded"
    run = await world.sync("full")
    assert run.status == "held"
    assert "times unlink, guard.max_removals allows 2" in run.error
    assert len(world.portal.picture()["all@grp"]) == 6


async def test_a_leaver_who_is_kept_keeps_the_place_in_an_adopted_group(world: World) -> None:
    """The policy for leavers counts, also when the account is not ours."""
    world.rules = replace(world.rules, policy=make_policy(disabled_users="keep"))
    run = await world.sync("full")
    assert "unlink membership all@grp disabled@x.com" not in follows(world, run)
    await approve(world, run)
    await world.sync("full")
    assert "disabled@x.com" in world.portal.picture()["all@grp"]


async def test_a_gentler_mode_shows_nothing_that_it_never_does(world: World) -> None:
    """Nothing is ever removed in upsert_only."""
    world.rules = replace(world.rules, policy=make_policy(mode="upsert_only"))
    assert follows(world, await world.sync("full")) == {}
