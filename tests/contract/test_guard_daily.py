"""Removals also count over the last 24 hours, so that a mass removal in slices is held like one in a lump."""

from __future__ import annotations

from datetime import timedelta

import pytest

from syncd.model.event import EVENTS
from syncd.model.run import Approval, RunRecord, RunRequest
from syncd.sync.notify import Notifications
from syncd.sync.planning.undo import Undo
from tests.fakes.channel import FakeChannel
from tests.fakes.rules import make_limits, make_policy, make_rules
from tests.fakes.world import World

PEOPLE = 200
SLICE = 15


async def found_company(world: World) -> None:
    """Two hundred people in one group, under the default limits."""
    world.source.page_size = 100
    world.rules = make_rules(limits=make_limits(max_creation_percent=None))
    world.source.put_group("g", displayName="All", mailNickname="all@grp")
    for number in range(PEOPLE):
        name = f"u{number}"
        world.source.put_user(name, userPrincipalName=f"{name}@x.com", displayName=name, mail=f"{name}@x.com")
        world.source.link("g", name)
    assert (await world.sync("full")).status == "succeeded"


pytestmark = [pytest.mark.company(founded_by=found_company), pytest.mark.both_engines]


async def leave(world: World, first: int, count: int = SLICE) -> RunRecord:
    """Let so many leave the group, and look."""
    for number in range(first, first + count):
        world.source.unlink("g", f"u{number}")
    return await world.sync("delta")


async def approve(world: World, run: RunRecord, *, only: tuple[str, ...] = ()) -> RunRecord:
    """Approve what a run held."""
    request = RunRequest(
        pull="none", trigger="approval", retry_failed=True, approval=Approval(run_id=run.id, only=only)
    )
    return await world.runs.execute(request, world.open_sides())


def count(world: World) -> int:
    """Return how many are in the group."""
    return len(world.portal.picture()["all@grp"])


@pytest.mark.parametrize("a_day_later", [False, True])
async def test_a_mass_removal_in_slices_is_held_in_a_new_store_and_in_an_old_one(
    world: World, a_day_later: bool
) -> None:
    """Not one slice is beyond a limit; the sum of the day is."""
    if a_day_later:
        world.clock.ahead += timedelta(hours=25)
    held = []
    for first in range(0, 90, SLICE):
        run = await leave(world, first)
        held.append(run.status == "held")
    assert held == [False, False, True, True, True, True]
    assert count(world) == PEOPLE - 2 * SLICE
    assert "held since run 4 (unlink of 15 after 30 of 200 owned memberships in the last 24 hours" in run.error
    found = {f"{each.action} {each.object}": each for each in await world.store.plans.load_allowances(now=now(world))}
    assert (found["unlink membership"].used, found["unlink membership"].allowed) == (30, 40)


def now(world: World):  # type: ignore[no-untyped-def]  # the clock's own
    """Return the world's time."""
    return world.clock.now()


async def test_the_next_day_has_an_allowance_of_its_own_and_what_is_held_stays_held(world: World) -> None:
    """Time decides nothing about what a person was asked."""
    for first in (0, SLICE, 2 * SLICE):
        run = await leave(world, first)
    assert run.status == "held"
    world.clock.ahead += timedelta(hours=25)
    run = await leave(world, 3 * SLICE, 5)
    assert run.status == "held"
    assert count(world) == PEOPLE - 2 * SLICE - 5, "the ordinary leavers of the next day go"
    assert "held since run 4" in run.error


async def test_ordinary_leavers_go_within_what_is_left_of_the_day(world: World) -> None:
    """A slice that is held is no part of what went."""
    for first in (0, SLICE, 2 * SLICE):
        run = await leave(world, first)
    assert run.status == "held"
    await leave(world, 100, 4)
    assert count(world) == PEOPLE - 2 * SLICE - 4


async def test_an_approval_neither_blocks_the_leavers_of_the_day_nor_opens_the_door_to_slices(world: World) -> None:
    """A hundred leave with approval: of the hundred that are left, twenty may still leave unasked on that day."""
    held = await leave(world, 0, 100)
    assert held.status == "held"
    assert world.store.plans.load_starts([held.id, 999]) == {held.id: held.started_at}
    assert (await approve(world, held)).status == "succeeded"
    assert count(world) == 100
    assert (await leave(world, 100, 9)).status == "succeeded"
    assert (await leave(world, 110, 9)).status == "succeeded"
    run = await leave(world, 120, 3)
    assert run.status == "held"
    assert "unlink of 3 after 18 of 100 owned memberships" in run.error
    assert count(world) == 82


async def test_a_single_sync_and_an_undo_are_slices_too(world: World) -> None:
    """Whatever takes away unasked counts, and is asked."""
    world.rules = make_rules(limits=make_limits(max_creation_percent=None, max_daily_removals=3))
    for name in ("u0", "u1"):
        world.source.unlink("g", name)
    assert (await world.sync_one("user", "u0@x.com")).status == "succeeded"
    assert (await world.sync_one("user", "u1@x.com")).status == "succeeded"
    for name in ("new1", "new2"):
        world.source.put_user(name, userPrincipalName=f"{name}@x.com", displayName=name, mail=f"{name}@x.com")
        world.source.link("g", name)
    joined = await world.sync("delta")
    assert joined.status == "succeeded", joined.error
    undone = await world.carry_out(Undo(run_id=joined.id))
    assert undone.status == "held"
    assert "2 times unlink after 2 in the last 24 hours, guard.max_daily_removals allows 3" in undone.error


async def test_every_kind_of_removal_has_a_sum_of_its_own(world: World) -> None:
    """Deleted accounts are counted among accounts, and their places among places."""
    policy = make_policy(disabled_users="delete", grace=timedelta())
    world.rules = make_rules(limits=make_limits(max_creation_percent=None), policy=policy)
    for first in (0, SLICE):
        for number in range(first, first + SLICE):
            world.source.put_user(f"u{number}", accountEnabled=False)
        assert (await world.sync("delta")).status == "succeeded"
    assert len(world.portal.accounts) == PEOPLE - 2 * SLICE
    for number in range(2 * SLICE, 3 * SLICE):
        world.source.put_user(f"u{number}", accountEnabled=False)
    run = await world.sync("delta")
    assert run.status == "held"
    assert "delete of 15 after 30 of 200 owned users" in run.error
    assert len(world.portal.accounts) == PEOPLE - 2 * SLICE


async def test_the_message_says_since_when_and_how_much_of_the_day_is_used(world: World) -> None:
    """As text and as fields, and without a name."""
    channel = FakeChannel()
    for first in (0, SLICE, 2 * SLICE):
        run = await leave(world, first)
    await Notifications(world.clock, "webhook", EVENTS).notify_run(channel, world.store, run)
    (message,) = channel.got
    assert "In the last 24 hours: unlink of 30 memberships unasked, 40 are allowed." in str(message["text"])
    assert message["allowances"] == [{"action": "unlink", "object": "membership", "used": 30, "allowed": 40}]
    assert message["held_since"] == run.started_at.isoformat()
    later = await leave(world, 100, 1)
    assert await world.store.plans.load_held_since([later.id]) == run.started_at
