"""A portal that went back in time: recognised by our own history, not written to, and replayed."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from syncd.model.run import Approval, RunRecord, RunRequest
from syncd.plan.restored import Block, PutBack, Restored, find_restored, may_be_restored
from syncd.plan.rules import FieldRule, LicenceRule
from syncd.store.store import Store
from syncd.sync.planning.drift import DriftCheck
from syncd.sync.planning.replay import Replay
from syncd.sync.portal import restored
from tests.fakes.rules import make_limits, make_policy, make_rules
from tests.fakes.world import World

PEOPLE = 30
_STATE = ("accounts", "groups", "members", "owners", "licences")


def backup(world: World) -> dict[str, Any]:
    """Return the portal as it is."""
    return deepcopy({name: getattr(world.portal, name) for name in _STATE})


def restore(world: World, kept: dict[str, Any]) -> None:
    """Play a backup back."""
    for name, value in deepcopy(kept).items():
        setattr(world.portal, name, value)


def hire(world: World, *names: str, group: str = "all") -> None:
    """Let people begin."""
    for name in names:
        world.source.put_user(name, userPrincipalName=f"{name}@x.com", displayName=name, mail=f"{name}@x.com")
        world.source.link(group, name)


async def found_company(world: World) -> None:
    """Thirty people in one group, five of them with licences; whoever is deleted goes at once."""
    policy = make_policy(deleted_users="delete", grace=timedelta())
    world.rules = make_rules(
        policy=policy,
        limits=make_limits(max_removal_percent=None, max_daily_removal_percent=None, max_update_percent=None),
        licences=(LicenceRule("power", "User"),),
    )
    world.source.put_group("all", displayName="All", mailNickname="all@grp")
    world.source.put_group("power", displayName="Power", mailNickname="power@grp")
    hire(world, *(f"u{number:02}" for number in range(PEOPLE)))
    for number in range(5):
        world.source.link("power", f"u{number:02}")
    assert (await world.sync("full")).status == "succeeded"
    assert (await world.sync("full")).status == "succeeded"


pytestmark = [pytest.mark.company(founded_by=found_company), pytest.mark.both_engines(every=True)]


async def live_a_week(world: World) -> None:
    """People come, go, change, and move between groups and licences, in several runs with a full one in between."""
    hire(world, *(f"n{number}" for number in range(6)))
    await world.sync("delta")
    world.source.put_group("new", displayName="New", mailNickname="new@grp")
    for name in ("n0", "n1", "u10"):
        world.source.link("new", name)
    await world.sync("full")
    for name in ("u28", "u29"):
        world.source.remove_user(name)
    world.source.unlink("power", "u00")
    world.source.link("power", "u20")
    for name in ("u05", "u06", "u07"):
        world.source.put_user(name, displayName=f"{name} new", manager="u01")
    run = await world.sync("delta")
    assert run.status == "succeeded", run.error


def picture(world: World) -> dict[str, Any]:
    """Return what the portal holds, without states of synchronising."""
    return {
        "accounts": {key: (a.name, a.email, a.manager) for key, a in world.portal.accounts.items()},
        "members": world.portal.picture(),
        "licences": {key: set(held) for key, held in world.portal.licences.items() if held},
    }


def done(world: World, run: RunRecord) -> set[str]:
    """Return what was done."""
    return {change.removesuffix(" done") for change in world.changes(run) if change.endswith(" done")}


async def test_a_restored_portal_is_not_written_to_and_replayed(world: World) -> None:
    """Accounts missing, accounts back, memberships, licences and values of last week; afterwards all is as it was.

    But what the tenant says that somebody has no place in is taken again.
    """
    kept = backup(world)
    await live_a_week(world)
    wanted = picture(world)
    world.portal.add_account("local@x.com", name="Local")
    restore(world, kept)
    world.portal.add_account("local@x.com", name="Local")
    world.portal.writes.clear()
    for kind in ("full", "delta", "delta"):
        run = await world.sync(kind)
        assert run.status == "failed"
        assert "the portal went back in time: " in run.error
        assert "'syncd replay'" in run.error
        assert world.portal.writes == ["unlink power@grp"], "who left that group is in it again: the tenant says no"
    world.portal.writes.clear()
    single = await world.sync_one("user", "u05@x.com")
    assert (single.status, world.portal.writes) == ("failed", [])
    shown = await world.carry_out(Replay(), write=False)
    assert (shown.status, world.portal.writes) == ("succeeded", [])
    planned = {change.rsplit(" ", 1)[0] for change in world.changes(shown)}
    assert {
        "create user n0@x.com",
        "create group new@grp",
        "link membership new@grp u10@x.com",
        "link membership all@grp n5@x.com",
        "delete user u28@x.com",
        "update user u05@x.com",
        "revoke licence u00@x.com User",
        "grant licence u20@x.com User",
    } <= planned, planned
    replayed = await world.carry_out(Replay())
    assert replayed.status == "succeeded", replayed.error
    assert replayed.kind == "replay"
    after = await world.sync("delta")
    assert after.status == "succeeded", after.error
    wanted["accounts"]["local@x.com"] = ("Local", None, None)
    assert picture(world) == wanted
    assert (await world.sync("full")).status == "succeeded"
    assert world.changes(await world.sync("full")) == []


async def test_leavers_lose_access_in_a_restored_portal_and_nothing_else_is_written(world: World) -> None:
    """Whom the tenant calls disabled or deleted, or takes out of a group: by each run, and that run has failed."""
    kept = backup(world)
    await live_a_week(world)
    restore(world, kept)
    assert (await world.sync("full")).status == "failed"
    world.portal.writes.clear()
    world.source.put_user("u02", accountEnabled=False)
    world.source.remove_user("u03")
    world.source.unlink("all", "u04")
    world.source.put_user("u10", displayName="u10 other")
    hire(world, "late")
    run = await world.sync("delta")
    assert run.status == "failed"
    assert "Nothing was written but " in run.error
    assert "'syncd replay'" in run.error
    places = world.portal.picture()["all@grp"]
    assert not {"u02@x.com", "u03@x.com", "u04@x.com"} & set(places)
    licensed = {key for key, held in world.portal.licences.items() if held}
    assert licensed == {"u00@x.com", "u01@x.com", "u03@x.com", "u04@x.com"}, "u03's goes with the account, which waits"
    assert "late@x.com" not in world.portal.accounts
    assert "u02@x.com" in world.portal.accounts, "an account is never deleted there"
    assert world.portal.accounts["u10@x.com"].name == "u10"
    assert sorted(world.portal.writes) == ["licences u02@x.com", "unlink all@grp", "unlink power@grp"]
    assert not [change for change in world.changes(run) if change.endswith((" held", " planned"))]
    again = await world.sync("delta")
    assert "Nothing was written. " in again.error, "and it is still known for what it is"
    assert (await world.carry_out(Replay())).status == "succeeded"
    assert (await world.sync("full")).status == "succeeded"
    assert world.changes(await world.sync("full")) == []


async def test_a_record_that_was_somebody_elses_then_is_left_alone_in_a_restored_portal(world: World) -> None:
    """The account passed to a newcomer after the backup: what that one loses by now is not taken from the other."""
    world.rules = replace(world.rules, limits=replace(world.rules.limits, max_handovers=None))
    kept = backup(world)
    await live_a_week(world)
    world.source.remove_user("u06")
    world.source.put_user("other", userPrincipalName="u06@x.com", displayName="other", mail="u06@x.com")
    world.source.link("all", "other")
    assert (await world.sync("delta")).status == "succeeded"
    restore(world, kept)
    world.source.put_user("other", accountEnabled=False)
    world.source.put_user("u07", accountEnabled=False)
    assert (await world.sync("full")).status == "failed"
    places = world.portal.picture()["all@grp"]
    assert "u07@x.com" not in places
    assert "u06@x.com" in places


async def test_the_guard_counts_what_is_taken_in_a_restored_portal(world: World) -> None:
    """A mass of leavers in a portal that nobody knows waits as ever; what it lost of itself counts for nothing."""
    kept = backup(world)
    await live_a_week(world)
    restore(world, kept)
    limits = make_limits(max_removals=5, max_removal_percent=None, max_update_percent=None)
    world.rules = replace(world.rules, limits=limits)
    for number in range(10, 20):
        world.source.put_user(f"u{number}", accountEnabled=False)
    world.portal.writes.clear()
    assert (await world.sync("full")).status == "failed"
    assert world.portal.writes == []


async def test_what_was_changed_there_and_back_hides_nothing(world: World) -> None:
    """Since the backup some left a group and came back, got a name and the old one: all that is as it was."""
    kept = backup(world)
    hire(world, *(f"n{number}" for number in range(8)))
    coming = [f"u{number:02}" for number in range(8, 27)]
    for name in coming:
        world.source.unlink("all", name)
        world.source.put_user(name, displayName=f"{name} for a day")
    world.source.unlink("power", "u01")
    assert (await world.sync("delta")).status == "succeeded"
    for name in coming:
        world.source.link("all", name)
        world.source.put_user(name, displayName=name)
    world.source.link("power", "u01")
    assert (await world.sync("delta")).status == "succeeded"
    for name in ("u02", "u03", "u04"):
        world.source.put_user(name, displayName=f"{name} new")
    assert (await world.sync("full")).status == "succeeded"
    restore(world, kept)
    run = await world.sync("full")
    assert run.status == "failed", run.error
    assert "the portal went back in time: 11 of 11 things" in run.error


def put_into_groups(world: World) -> None:
    """Put five people into each of three groups."""
    for group in ("b", "c", "d"):
        for number in range(5):
            world.source.link(group, f"u{number:02}")


async def take_by_hand(world: World) -> RunRecord:
    """Take them out by hand, after a full run that found all as it should be and before the next one."""
    assert (await world.sync("full")).status == "succeeded"
    world.clock.ahead += timedelta(hours=2)
    for group in ("b", "c", "d"):
        await world.portal.remove_members(f"{group}@grp", [f"u{number:02}@x.com" for number in range(5)])
    return await world.sync("full")


@pytest.fixture
async def settled(world: World) -> World:
    """Three more groups, with one member each."""
    for group in ("b", "c", "d"):
        world.source.put_group(group, displayName=group, mailNickname=f"{group}@grp")
        world.source.link(group, "u29")
    assert (await world.sync("full")).status == "succeeded"
    return world


async def test_a_group_that_was_made_emptied_and_filled_again_tells_of_no_restore(settled: World) -> None:
    """The portal from before that group would not show its members; others of that run were taken out by hand."""
    world = settled
    coming = [f"u{number:02}" for number in range(5, 29)]
    world.source.put_group("new", displayName="New", mailNickname="new@grp")
    put_into_groups(world)
    for change in (world.source.link, world.source.unlink, world.source.link):
        for name in coming:
            change("new", name)
        assert (await world.sync("delta")).status == "succeeded"
    run = await take_by_hand(world)
    assert run.status == "succeeded", run.error
    assert len(world.portal.picture()["b@grp"]) == 6


async def test_accounts_that_were_adopted_and_deleted_tell_of_no_restore(settled: World) -> None:
    """They were there before they were adopted, and are not now."""
    world = settled
    limits = replace(world.rules.limits, max_adoptions=None)
    world.rules = replace(world.rules, policy=replace(world.rules.policy, adopt="match"), limits=limits)
    coming = [f"f{number}" for number in range(12)]
    for name in coming:
        world.portal.add_account(f"{name}@x.com", name=name)
    hire(world, *coming)
    put_into_groups(world)
    run = await world.sync("full")
    assert "adopt user f0@x.com" in done(world, run)
    for name in coming:
        world.source.remove_user(name)
    run = await world.sync("delta")
    assert "delete user f0@x.com" in done(world, run)
    run = await take_by_hand(world)
    assert run.status == "succeeded", run.error


async def test_names_that_came_back_by_way_of_two_others_tell_of_no_restore(settled: World) -> None:
    """Between the second and the third change the portal showed another one; and before them, not what is kept."""
    world = settled
    for name in ("first", "second", ""):
        for number in range(8, 28):
            world.source.put_user(f"u{number:02}", displayName=f"u{number:02} {name}".strip())
        if name == "first":
            for number in range(8, 28):
                world.source.link("b", f"u{number:02}")
        if name == "second":
            put_into_groups(world)
        assert (await world.sync("delta")).status == "succeeded"
    run = await take_by_hand(world)
    assert run.status == "succeeded", run.error


async def test_names_that_came_back_by_way_of_two_others_hide_no_restore(settled: World) -> None:
    """They were so before both."""
    world = settled
    kept = backup(world)
    for name in ("first", "second", ""):
        for number in range(8, 28):
            world.source.put_user(f"u{number:02}", displayName=f"u{number:02} {name}".strip())
        if name == "first":
            put_into_groups(world)
        assert (await world.sync("delta")).status == "succeeded"
    assert (await world.sync("full")).status == "succeeded"
    world.clock.ahead += timedelta(hours=2)
    restore(world, kept)
    run = await world.sync("full")
    assert "the portal went back in time: 15 of 15 things" in run.error


async def test_a_portal_that_lost_everything_is_replayed_as_a_whole(world: World) -> None:
    """An empty portal under the old address: nothing is adopted, nothing guessed."""
    wanted = picture(world)
    restore(world, {"accounts": {}, "groups": {}, "members": {}, "owners": {}, "licences": {}})
    run = await world.sync("full")
    assert run.status == "failed"
    assert world.portal.accounts == {}
    assert (await world.carry_out(Replay())).status == "succeeded"
    assert (await world.sync("full")).status == "succeeded"
    assert picture(world) == wanted


async def test_a_copy_in_which_nothing_differs_is_as_good_as_the_portal(world: World) -> None:
    """A copy of today has lost nothing."""
    await live_a_week(world)
    restore(world, backup(world))
    assert world.changes(await world.sync("full")) == []
    shown = await world.carry_out(Replay(), write=False)
    assert (shown.status, world.changes(shown)) == ("succeeded", [])


async def test_a_few_deletions_by_hand_are_drift(world: World) -> None:
    """Twelve of thirty accounts, and a group of its members: they were written with others that are still there."""
    for number in range(12):
        await world.portal.delete_account(f"u{number:02}@x.com")
    run = await world.sync("full")
    assert run.status in ("succeeded", "held"), run.error
    assert "back in time" not in run.error


async def test_emptying_the_newest_group_by_hand_is_drift(world: World) -> None:
    """All that was written last is gone, and it is one group."""
    world.source.put_group("new", displayName="New", mailNickname="new@grp")
    for number in range(15):
        world.source.link("new", f"u{number:02}")
    assert (await world.sync("delta")).status == "succeeded"
    world.clock.ahead += timedelta(hours=2)
    await world.portal.remove_members("new@grp", [f"u{number:02}@x.com" for number in range(15)])
    run = await world.sync("full")
    assert run.status == "succeeded", run.error
    assert len(world.portal.picture()["new@grp"]) == 15


async def test_changes_that_fit_no_moment_are_drift(world: World) -> None:
    """Some of each run's writes by hand, most of each run's still there."""
    await live_a_week(world)
    world.clock.ahead += timedelta(hours=2)
    for name in ("n0", "n1", "u02", "u03", "u04", "u05", "u11", "u12", "u13", "u14"):
        await world.portal.remove_members("all@grp", [f"{name}@x.com"])
    run = await world.sync("full")
    assert run.status == "succeeded", run.error


async def test_a_delta_run_stops_at_an_unexpected_answer(world: World) -> None:
    """The first record that is not there makes it look at those that were written last; it writes no more."""
    kept = backup(world)
    await live_a_week(world)
    restore(world, kept)
    world.portal.writes.clear()
    world.source.put_user("n0", displayName="n0 other")
    for number in range(10, 20):
        world.source.put_user(f"u{number}", jobTitle="Clerk")
    run = await world.sync("delta")
    assert run.status == "failed"
    assert "seems to have gone back in time" in run.error
    full = await world.sync("delta")
    assert full.status == "failed"
    assert "the portal went back in time" in full.error


async def test_a_delta_run_goes_on_when_one_record_was_deleted_by_hand(world: World) -> None:
    """One look at those that were written last tells that they are there."""
    await live_a_week(world)
    await world.portal.delete_account("n0@x.com")
    world.source.put_user("n0", displayName="n0 other")
    world.source.put_user("u10", displayName="u10 other")
    assert (await world.sync("delta")).status == "succeeded"
    assert world.portal.accounts["u10@x.com"].name == "u10 other"


async def test_the_guard_looks_at_a_replay_and_what_it_holds_is_approved(world: World) -> None:
    """Beyond a limit a kind waits; the portal counts as settled, and an approval does the rest."""
    kept = backup(world)
    await live_a_week(world)
    restore(world, kept)
    world.rules = make_rules(
        policy=world.rules.policy, licences=world.rules.licences, limits=make_limits(max_removals=1)
    )
    assert (await world.sync("full")).status == "failed"
    run = await world.carry_out(Replay())
    assert run.status == "held", run.error
    assert "u28@x.com" in world.portal.accounts
    request = RunRequest(pull="none", trigger="approval", retry_failed=True, approval=Approval(run_id=run.id))
    approved = await world.runs.execute(request, world.open_sides())
    assert approved.status == "succeeded", approved.error
    assert "u28@x.com" not in world.portal.accounts
    assert "back in time" not in (await world.sync("full")).error


async def test_whoever_is_wanted_otherwise_by_now_is_left_to_the_next_run(world: World) -> None:
    """Nobody is made anew or put back who has left since, and whoever came back stays."""
    kept = backup(world)
    await live_a_week(world)
    restore(world, kept)
    assert (await world.sync("full")).status == "failed"
    world.source.remove_user("n3")
    world.source.unlink("all", "n4")
    assert (await world.sync("delta")).status == "failed"  # which has read the news of the tenant
    run = await world.carry_out(Replay())
    assert run.status == "succeeded", run.error
    assert "n3@x.com" not in world.portal.accounts
    assert "n4@x.com" in world.portal.accounts
    assert "n4@x.com" not in world.portal.picture()["all@grp"]


async def test_dismissed_the_portal_is_compared_as_always(world: World) -> None:
    """What was lost counts as changed by hand from then on."""
    kept = backup(world)
    await live_a_week(world)
    restore(world, kept)
    assert (await world.sync("full")).status == "failed"
    await world.store.past.settle(now=world.clock.now())
    run = await world.sync("full")
    assert "back in time" not in run.error
    assert run.status in ("succeeded", "held")


async def test_a_value_that_the_portal_never_takes_is_no_sign(world: World) -> None:
    """It is written in every full run, and shown cut each time: writing goes on, for everybody."""
    fields = {**world.rules.mapping.user_fields, "job_title": FieldRule(("jobTitle",))}
    world.rules = replace(world.rules, mapping=replace(world.rules.mapping, user_fields=fields))
    world.portal.cut = 3
    for number in range(15):
        world.source.put_user(f"u{number:02}", jobTitle="Clerk")
    for _ in range(4):
        run = await world.sync("full")
        assert run.status == "succeeded", run.error
        assert "update user u00@x.com" in done(world, run)


async def test_a_value_that_is_cut_like_the_one_before_is_no_sign(world: World) -> None:
    """Titles of one beginning, which is all that the portal keeps of either."""
    fields = {**world.rules.mapping.user_fields, "job_title": FieldRule(("jobTitle",))}
    world.rules = replace(world.rules, mapping=replace(world.rules.mapping, user_fields=fields))
    world.portal.cut = 12
    for place in ("Cracow", "Warsaw"):
        for number in range(15):
            world.source.put_user(f"u{number:02}", jobTitle=f"Manager of production, {place}")
        assert (await world.sync("delta")).status == "succeeded"
        run = await world.sync("full")
        assert run.status == "succeeded", run.error
    assert world.portal.accounts["u00@x.com"].job_title == "Manager of p"


async def test_places_that_are_taken_out_again_and_again_are_no_sign(world: World) -> None:
    """The first time it looks like a restored portal; written again by a run, and gone again, it is drift."""
    groups = ("a", "b", "c")
    for group in groups:
        world.source.put_group(group, displayName=group, mailNickname=f"{group}@grp")
        for number in range(4):
            world.source.link(group, f"u{number:02}")
    assert (await world.sync("full")).status == "succeeded"
    for turn in range(3):
        world.clock.ahead += timedelta(hours=2)
        for group in groups:
            await world.portal.remove_members(f"{group}@grp", [f"u{number:02}@x.com" for number in range(4)])
        run = await world.sync("full")
        if turn == 0:
            assert run.status == "failed"
            await world.store.past.settle(now=world.clock.now())
            run = await world.sync("full")
        assert run.status == "succeeded", run.error
        assert len(world.portal.picture()["a@grp"]) == 4


async def test_restored_twice_from_one_backup_is_found_twice(world: World) -> None:
    """What a replay has written again counts like any last write."""
    kept = backup(world)
    await live_a_week(world)
    for _ in range(2):
        restore(world, kept)
        assert "back in time" in (await world.sync("full")).error
        assert (await world.carry_out(Replay())).status == "succeeded"
        assert (await world.sync("full")).status == "succeeded"


async def test_an_approval_is_refused_too(world: World) -> None:
    """It does not read the whole portal, and must not write what a run held before the portal went back."""
    world.rules = make_rules(
        policy=world.rules.policy, licences=world.rules.licences, limits=make_limits(max_removals=0)
    )
    kept = backup(world)
    world.source.unlink("all", "u27")
    hire(world, *(f"n{number}" for number in range(14)))
    held = await world.sync("full")
    assert held.status == "held"
    restore(world, kept)
    assert (await world.sync("full")).status == "failed"
    world.portal.writes.clear()
    request = RunRequest(pull="none", trigger="approval", retry_failed=True, approval=Approval(run_id=held.id))
    run = await world.runs.execute(request, world.open_sides())
    assert (run.status, world.portal.writes) == ("failed", [])
    assert "the portal went back in time" in run.error


async def test_setting_drift_back_is_refused_too(world: World) -> None:
    """It would write into a portal of which nobody knows what it is; to look is allowed."""
    kept = backup(world)
    await live_a_week(world)
    restore(world, kept)
    world.portal.writes.clear()
    refused = await world.carry_out(DriftCheck("revert", lambda found: None))
    assert (refused.status, world.portal.writes) == ("failed", [])
    assert (await world.carry_out(DriftCheck("report", lambda found: None))).status == "succeeded"


async def test_history_is_only_asked_where_there_are_signs(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Comparing every write of ours with the portal is dear: a day without changes by hand does without."""
    asked: list[str] = []

    def note(blocks: Sequence[Block], put_back: Sequence[PutBack], *, seen: datetime | None) -> Restored | None:
        asked.append("history")
        return find_restored(blocks, put_back, seen=seen)

    monkeypatch.setattr(restored, "find_restored", note)
    await live_a_week(world)
    assert (await world.sync("full")).status == "succeeded"
    assert asked == []
    world.portal.members["all@grp"].pop("u03@x.com")
    assert (await world.sync("full")).status == "succeeded"
    assert asked == []  # one thing is a change by hand
    world.clock.ahead += timedelta(hours=2)
    for number in range(10, 22):
        world.portal.members["all@grp"].pop(f"u{number}@x.com")
    await world.sync("full")
    assert asked == ["history"]


@pytest.mark.parametrize("sign", ["value", "returned", "unready", "gone", "link"])
async def test_each_kind_of_sign_is_counted(world: World, sign: str) -> None:
    """What was written lately and never seen by a reading counts as well."""
    past = Store(world.database).past
    hire(world, *(f"n{number}" for number in range(4)))
    world.source.remove_user("u29")
    await world.sync("delta")
    kept = deepcopy(world.portal.accounts)
    if sign != "unready":
        assert (await world.sync("full")).status == "succeeded"
        assert await past.count_signs(most=10) == 0
        world.clock.ahead += timedelta(hours=2)
    match sign:
        case "value":
            world.portal.accounts["u05@x.com"] = replace(kept["u05@x.com"], name="somebody")
        case "returned":
            world.portal.add_account("u29@x.com", name="u29")
        case "gone" | "unready":
            for name in ("n0@x.com", "n1@x.com"):
                del world.portal.accounts[name]
                world.portal.members["all@grp"].pop(name)
        case "link":
            world.portal.members["all@grp"].pop("u07@x.com")
    signs = list[int]()

    def judge(found: int, *, licences: bool) -> bool:
        signs.append(found)
        return may_be_restored(found, licences=licences)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(restored, "may_be_restored", judge)
        await world.sync("full")
    (found,) = signs
    assert 2 <= found <= 4 if sign in ("gone", "unready") else found == 1
