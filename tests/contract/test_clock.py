"""A clock that is off removes nobody: what hangs on time waits, everything else goes on, and the run says so."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Literal

import pytest
import structlog

from syncd.model.run import HELD_FOR, Approval, RunRecord, RunRequest
from syncd.plan.cel.expressions import Expression
from syncd.plan.moment import StatedTimes
from syncd.plan.planfile import open_plan
from syncd.store.reports.explain import Explanations
from syncd.sync.planning.proposal import FromFile
from syncd.sync.runs import Runs
from tests.fakes.rules import make_limits, make_policy, make_rules, make_scope
from tests.fakes.world import World

GRACE = timedelta(days=30)
JUMP = timedelta(days=40)
PEOPLE = 30
LEAVERS = 5
Deletions = Literal["disabled", "deleted", "out_of_scope"]


async def found_company(world: World) -> None:
    """Thirty people in one group; every kind of leaver is deleted after thirty days."""
    policy = make_policy(
        disabled_users="delete",
        deleted_users="delete",
        out_of_scope="delete",
        deleted_groups="delete",
        grace=GRACE,
        substitute="manager",
    )
    world.rules = make_rules(
        limits=make_limits(max_removals=None, max_removal_percent=None, max_update_percent=None),
        policy=policy,
        scope=make_scope(users=Expression('user.jobTitle != "gone"')),
    )
    world.source.put_group("g", displayName="All", mailNickname="all@grp")
    for number in range(PEOPLE):
        name = f"u{number}@x.com"
        world.source.put_user(
            f"u{number}",
            userPrincipalName=name,
            displayName=name,
            mail=name,
            jobTitle="clerk",
            manager="u20" if number < LEAVERS else None,
        )
        world.source.link("g", f"u{number}")
    assert (await world.sync("full")).status == "succeeded"


pytestmark = [pytest.mark.company(founded_by=found_company), pytest.mark.both_engines]


def leave(world: World, how: Deletions = "disabled") -> None:
    """Let five people leave."""
    for number in range(LEAVERS):
        match how:
            case "disabled":
                world.source.put_user(f"u{number}", accountEnabled=False)
            case "deleted":
                world.source.remove_user(f"u{number}")
            case "out_of_scope":
                world.source.put_user(f"u{number}", jobTitle="gone")


def jump(world: World, by: timedelta) -> None:
    """Put our clock forward, or back; neither side's moves, nor what the machine counts."""
    world.clock.wrong += by


def accounts(world: World) -> int:
    """Return how many accounts the portal has."""
    return len(world.portal.accounts)


@pytest.mark.parametrize("kind", ["delta", "full"])
@pytest.mark.parametrize("how", ["disabled", "deleted", "out_of_scope"])
async def test_a_clock_that_jumps_ahead_deletes_nobody(
    world: World, how: Deletions, kind: Literal["delta", "full"]
) -> None:
    """The grace of five leavers seems to be over; they wait until the clock is right, and then for their full grace."""
    leave(world, how)
    assert (await world.sync("delta")).status == "succeeded"
    jump(world, JUMP)
    run = await world.sync(kind)
    deletions = [change for change in world.changes(run) if change.startswith("delete user")]
    assert deletions == [f"delete user u{number}@x.com deferred" for number in range(LEAVERS)]
    assert accounts(world) == PEOPLE
    assert "this machine's clock is 40 days ahead of" in run.error
    jump(world, -JUMP)
    run = await world.sync("delta")
    assert not run.error
    assert accounts(world) == PEOPLE
    world.clock.ahead += GRACE + timedelta(days=1)
    await world.sync("delta")
    assert accounts(world) == PEOPLE - LEAVERS


@pytest.mark.parametrize("off", [JUMP, -JUMP, timedelta(minutes=11), timedelta(minutes=-11)])
async def test_what_does_not_hang_on_time_goes_on(world: World, off: timedelta) -> None:
    """Who is disabled loses places at once, who begins is created: whatever the clock says."""
    jump(world, off)
    leave(world)
    world.source.put_user("new", userPrincipalName="new@x.com", displayName="new", mail="new@x.com", jobTitle="clerk")
    world.source.link("g", "new")
    run = await world.sync("delta")
    assert run.status == "succeeded"
    assert "clock" in run.error
    assert world.portal.picture()["all@grp"] == {f"u{n}@x.com" for n in range(LEAVERS, PEOPLE)} | {"new@x.com"}
    jump(world, -off)
    assert not (await world.sync("delta")).error
    assert accounts(world) == PEOPLE + 1


@pytest.mark.parametrize("rename", [False, True])
async def test_a_grace_that_begins_by_a_clock_behind_is_no_shorter(world: World, rename: bool) -> None:
    """Our clock was forty days behind when they left; set right, it ends no grace."""
    jump(world, -JUMP)
    if rename:
        world.source.put_user("u0", userPrincipalName="other@x.com", mail="other@x.com")
    else:
        leave(world)
    await world.sync("delta")
    before = accounts(world)
    jump(world, JUMP)
    for kind in ("delta", "full"):
        await world.sync(kind)
        assert accounts(world) == before
    world.clock.ahead += GRACE + timedelta(hours=1)
    await world.sync("full")
    assert accounts(world) < before


async def test_a_return_ends_the_grace_whatever_the_clock_says(world: World) -> None:
    """Who is enabled again while the clock is off is not deleted later on."""
    leave(world)
    await world.sync("delta")
    jump(world, JUMP)
    for number in range(LEAVERS):
        world.source.put_user(f"u{number}", accountEnabled=True)
    await world.sync("delta")
    jump(world, -JUMP)
    world.clock.ahead += 2 * GRACE
    await world.sync("full")
    assert accounts(world) == PEOPLE


@pytest.mark.parametrize("graph", ["right", "silent", "off"])
@pytest.mark.parametrize("portal", ["right", "silent", "off"])
async def test_one_side_is_enough_to_wait_and_silence_is_no_word(world: World, graph: str, portal: str) -> None:
    """Our clock is right and the grace is over. A side that is off stops the deletion, a silent one does not."""
    leave(world)
    await world.sync("delta")
    world.clock.ahead += GRACE + timedelta(days=1)
    for side, state in (("graph", graph), ("bps", portal)):
        world.meters[side].ahead = {"right": timedelta(), "silent": None, "off": timedelta(hours=-2)}[state]
    run = await world.sync("delta")
    waits = "off" in (graph, portal)
    assert accounts(world) == (PEOPLE if waits else PEOPLE - LEAVERS)
    assert ("clock" in run.error) == waits


async def test_a_jump_is_seen_where_neither_side_states_the_time(world: World) -> None:
    """What the machine itself counted since the last confirmed run tells; nobody is deleted."""
    leave(world)
    await world.sync("delta")
    for meter in world.meters.values():
        meter.ahead = None
    jump(world, JUMP)
    run = await world.sync("delta")
    assert accounts(world) == PEOPLE
    assert "where it should be since" in run.error
    jump(world, -JUMP)
    world.clock.ahead += GRACE + timedelta(days=1)  # and the machine has counted that, too
    assert not (await world.sync("delta")).error
    assert accounts(world) == PEOPLE - LEAVERS


async def test_on_another_machine_silence_confirms_nothing(world: World) -> None:
    """Neither side states the time, and the machine was started since: nobody is deleted."""
    leave(world)
    await world.sync("delta")
    for meter in world.meters.values():
        meter.ahead = None
    world.clock.boot = "another start"
    world.clock.ahead += GRACE + timedelta(days=1)
    run = await world.sync("delta")
    assert accounts(world) == PEOPLE
    assert "no side states the time" in run.error


async def test_a_jump_while_a_run_plans_is_seen_before_it_deletes(world: World) -> None:
    """Both sides stated the time before the jump; what the process counts shows it."""
    leave(world)
    await world.sync("delta")
    now = world.clock.now().timestamp() - world.clock.monotonic()
    for meter in world.meters.values():
        meter.fixed = StatedTimes(now, now)
    jump(world, JUMP)
    await world.sync("full")
    assert accounts(world) == PEOPLE


async def test_quiet_hours_are_not_guessed(world: World) -> None:
    """Where there are quiet hours, a clock that is off puts removals off; where there are none it does not."""
    world.runs = Runs(world.store, world.clock, lambda now: now is None)
    jump(world, timedelta(hours=3))
    leave(world)
    run = await world.sync("delta")
    assert {change.split()[-1] for change in world.changes(run) if change.startswith("unlink")} == {"deferred"}
    assert len(world.portal.picture()["all@grp"]) == PEOPLE
    jump(world, timedelta(hours=-3))
    await world.sync("delta")
    assert len(world.portal.picture()["all@grp"]) == PEOPLE - LEAVERS


async def _hold(world: World) -> RunRecord:
    world.rules = make_rules(limits=make_limits(max_removals=3), policy=world.rules.policy, scope=world.rules.scope)
    leave(world)
    held = await world.sync("delta")
    assert held.status == "held"
    return held


async def test_nothing_held_expires_by_a_jump(world: World) -> None:
    """The hold of five seems to be too old, and today's numbers would let them go: it stands."""
    await _hold(world)
    world.rules = make_rules(limits=make_limits(max_removals=100), policy=world.rules.policy, scope=world.rules.scope)
    jump(world, HELD_FOR + timedelta(days=1))
    world.source.put_user("u9", displayName="changed")
    assert (await world.sync("full")).status == "held"
    assert len(world.portal.picture()["all@grp"]) == PEOPLE


@pytest.mark.parametrize("off", [JUMP, -JUMP])
async def test_an_approval_waits_for_a_clock_that_is_right(world: World, off: timedelta) -> None:
    """Whether what it releases has expired cannot be known; set right, the approval goes on."""
    held = await _hold(world)
    request = RunRequest(pull="none", trigger="approval", retry_failed=True, approval=Approval(run_id=held.id))
    jump(world, off)
    run = await world.runs.execute(request, world.open_sides())
    assert run.status == "failed"
    assert f"whether what run {held.id} held has expired" in run.error
    assert len(world.portal.picture()["all@grp"]) == PEOPLE
    jump(world, -off)
    assert (await world.runs.execute(request, world.open_sides())).status == "succeeded"
    assert len(world.portal.picture()["all@grp"]) == PEOPLE - LEAVERS


async def test_a_rule_over_now_is_not_asked_for_a_wrong_day(world: World) -> None:
    """Nobody whose last day lies in the jump goes, in a delta or a full run; and the newcomer is judged by the past."""
    leaves = (datetime.now(UTC) + timedelta(days=10)).strftime("%Y-%m-%dT%H:%M:%SZ")
    employed = Expression("user.employeeLeaveDateTime == null || timestamp(user.employeeLeaveDateTime) > now")
    world.rules = make_rules(limits=world.rules.limits, policy=world.rules.policy, scope=make_scope(users=employed))
    for number in range(LEAVERS):
        world.source.put_user(f"u{number}", employeeLeaveDateTime=leaves)
    assert (await world.sync("full")).status == "succeeded"
    jump(world, JUMP)
    for kind in ("delta", "full", "delta"):
        world.source.put_user("u0", displayName=f"touched by {kind}")
        await world.sync(kind)
        assert len(world.portal.picture()["all@grp"]) == PEOPLE
    jump(world, -JUMP)
    world.clock.ahead += timedelta(days=11)
    await world.sync("delta")
    assert len(world.portal.picture()["all@grp"]) == PEOPLE - LEAVERS


@pytest.mark.parametrize("when", ["made", "applied"])
async def test_a_plan_file_deletes_nobody_by_a_wrong_clock(world: World, when: str) -> None:
    """Whether the clock was off when it was made, or is when it is applied: it is refused, and says why."""
    leave(world)
    await world.sync("delta")
    world.clock.ahead += GRACE + timedelta(days=1) if when == "applied" else timedelta()
    for meter in world.meters.values():
        meter.silent = when == "made"  # "plan none" asks neither side
    jump(world, JUMP if when == "made" else timedelta())
    world.clock.boot = "another start"
    plan = await world.sync("none", write=False)
    lines = world.make_file(plan, made_at=world.clock.now())
    for meter in world.meters.values():
        meter.silent = False
    jump(world, -JUMP if when == "made" else JUMP)
    run = await world.carry_out(FromFile(open_plan(lambda: lines)))
    assert run.status == "failed"
    assert "hang on time" in run.error
    assert accounts(world) == PEOPLE


async def test_it_is_logged_when_it_begins_and_when_it_ends(world: World) -> None:
    """Not each run repeats it; each run's record says it."""
    leave(world)
    await world.sync("delta")
    with structlog.testing.capture_logs() as logs:
        jump(world, JUMP)
        for _ in range(3):
            assert "clock" in (await world.sync("delta")).error
        jump(world, -JUMP)
        await world.sync("delta")
    found = [each["event"] for each in logs if each["event"].startswith("clock.")]
    assert found == ["clock.doubted", "clock.believed"]


async def test_explain_tells_what_a_leaver_waits_for(world: World) -> None:
    """The account of a leaver whose deletion waits for the clock says so, in the list and by itself."""
    leave(world)
    await world.sync("delta")
    jump(world, JUMP)
    await world.sync("delta")
    reason = world.find_reason("user", "u0@x.com")
    assert "put off: delete: this machine's clock is 40 days ahead" in reason
    explanations = Explanations(world.database)
    found = explanations.explain(explanations.find("u0@x.com")[0], now=world.clock.now())
    assert [each["reason"] for each in found.pending if each["action"] == "delete"]
    assert all("clock" in str(each) for each in found.pending)
