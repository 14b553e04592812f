"""What a guard withholds waits for a person; what is approved is exactly what was shown."""

from __future__ import annotations

from dataclasses import replace

import pytest
import structlog

from syncd.model.run import Approval, RunRecord, RunRequest
from syncd.model.target import PortalGroup
from syncd.plan.rules import LicenceRule
from syncd.store.inventory.bps_ids import load_group_names
from syncd.store.reports.status import Report
from syncd.sync.runs import Sides
from tests.fakes.rules import make_limits, make_rules
from tests.fakes.world import World, open_world


async def found_company(world: World) -> None:
    """Ten people in one group, synchronised, and then four of them disabled: the unlinking is held."""
    world.rules = make_rules(limits=make_limits(max_removal_percent=10, min_population=4))
    world.source.put_group("g", displayName="All", mailNickname="all@grp")
    for number in range(10):
        name = f"u{number}@x.com"
        world.source.put_user(f"u{number}", userPrincipalName=name, displayName=name, mail=name)
        world.source.link("g", f"u{number}")
    assert (await world.sync("full")).status == "succeeded"
    for number in range(4):
        world.source.put_user(f"u{number}", accountEnabled=False)
    assert (await world.sync("delta")).status == "held"


pytestmark = [pytest.mark.company(founded_by=found_company), pytest.mark.both_engines]


async def approve(world: World, run: int, *, actions: tuple[str, ...] = (), only: tuple[str, ...] = ()) -> RunRecord:
    """Approve what a run held."""
    request = RunRequest(
        pull="none", trigger="approval", retry_failed=True, approval=Approval(run_id=run, actions=actions, only=only)
    )
    sides: Sides = world.open_sides()
    return await world.runs.execute(request, sides)


def held(world: World) -> int | None:
    """Return the run that holds something."""
    found = world.store.decisions.load_holding_runs(now=world.clock.now())
    assert len(found) < 2
    return found[0] if found else None


async def test_an_approval_applies_what_was_held_and_nothing_else(world: World) -> None:
    """Also what is planned meanwhile waits for the next run."""
    run = held(world)
    assert run == 2
    record = await approve(world, run)
    assert record.status == "succeeded", record.error
    assert record.trigger == "approval"
    assert len(world.portal.picture()["all@grp"]) == 6
    assert held(world) is None
    assert world.changes(await world.sync("full")) == []


async def test_a_part_can_be_approved_by_object_and_the_rest_stays_held(world: World) -> None:
    """--only names users, groups or members."""
    record = await approve(world, 2, actions=("unlink",), only=("u1@x.com",))
    assert record.status == "held"
    assert sum(change.endswith("done") for change in world.changes(record)) == 1
    assert "u1@x.com" not in world.portal.picture()["all@grp"]
    assert len(world.portal.picture()["all@grp"]) == 9
    assert held(world) == record.id
    again = await approve(world, record.id)
    assert again.status == "succeeded", again.error
    assert len(world.portal.picture()["all@grp"]) == 6


async def test_what_the_source_changed_since_is_refused_and_the_rest_applied(world: World) -> None:
    """One of the four is enabled again and stays; another one, disabled since, was shown to nobody and stays too."""
    world.source.put_user("u0", accountEnabled=True)
    world.source.put_user("u9", accountEnabled=False)
    await world.sync("delta", write=False)  # a dry run pulls, and leaves the held run as it is
    assert held(world) == 2
    record = await approve(world, 2)
    assert record.status == "partial"
    assert "1 of 4 approved changes of run 2 are no longer as they were shown" in record.error
    assert world.portal.picture()["all@grp"] == {f"u{number}@x.com" for number in (0, 4, 5, 6, 7, 8, 9)}


async def test_what_the_portal_changed_since_is_refused_and_the_rest_applied(world: World) -> None:
    """Somebody took one of them out of the group by hand; the records concerned are read anew."""
    await world.portal.remove_members("all@grp", ["u2@x.com"])
    record = await approve(world, 2)
    assert record.status == "partial"
    assert "unlink all@grp u2@x.com (refused: the portal has changed since it was shown)" in record.error
    assert len(world.portal.picture()["all@grp"]) == 6


async def test_what_was_rejected_is_not_proposed_again_until_its_object_changes(world: World) -> None:
    """Neither by delta nor by full runs; a new decision about that person brings it back."""
    assert world.store.decisions.reject(Approval(run_id=2)) == 4
    assert held(world) is None
    for kind in ("delta", "full"):
        run = await world.sync(kind)
        assert run.status == "succeeded", run.error
    assert len(world.portal.picture()["all@grp"]) == 10
    world.rules = make_rules(limits=replace(world.rules.limits, max_removal_percent=None))
    world.source.put_user("u0", accountEnabled=True)
    await world.sync("delta")
    world.source.put_user("u0", accountEnabled=False)
    await world.sync("delta")
    assert "u0@x.com" not in world.portal.picture()["all@grp"]
    assert len(world.portal.picture()["all@grp"]) == 9


async def test_what_stands_beside_a_held_run(world: World) -> None:
    """Why each person leaves, what the group is called, and how many rejections hold."""
    decisions = world.store.decisions
    changes = [row for chunk in world.store.plans.iterate_changes(2, statuses=["held"]) for row in chunk]
    leavers = {target for _, _, target in changes if target is not None}
    reasons = decisions.load_leaver_reasons(leavers)
    assert (len(leavers), set(reasons), len(set(reasons.values()))) == (4, leavers, 1)
    assert load_group_names(world.database, {"ALL@grp", "nobody@grp"}) == {"ALL@grp": "All"}
    assert decisions.count_rejections() == {}
    decisions.reject(Approval(run_id=2))
    assert decisions.count_rejections() == {2: 4}


async def test_an_approved_adoption_brings_its_memberships_along(store_url: str) -> None:
    """The record and the links that waited for it are released together."""
    world = open_world(store_url)
    world.source.put_group("g", displayName="All", mailNickname="all@grp")
    world.source.put_user("u1", userPrincipalName="u1@x.com", displayName="U1", mail="u1@x.com")
    world.source.link("g", "u1")
    world.portal.add_account("u1@x.com", name="By hand", email="u1@x.com")
    assert (await world.sync("full")).status == "held"
    record = await approve(world, 1)
    assert record.status == "succeeded", record.error
    assert world.portal.accounts["u1@x.com"].name == "U1"
    assert world.portal.picture() == {"all@grp": {"u1@x.com"}}
    assert world.changes(await world.sync("full")) == []
    world.database.close()


async def test_a_tenant_that_is_truly_empty_is_believed_once_and_still_guarded(world: World) -> None:
    """After the word of a person the next full run sweeps; the guard holds the removals all the same."""
    await approve(world, 2)
    world.source.users.clear()
    run = await world.sync("full")
    assert run.status == "held"
    assert run.counts["users_emptied"] == 1
    world.store.decisions.believe_empty(["users"], run.id)
    run = await world.sync("full")
    assert run.status == "held"
    assert "guard." in run.error
    assert len(world.portal.picture()["all@grp"]) == 6
    record = await approve(world, run.id)
    assert record.status == "succeeded", record.error
    assert world.portal.picture()["all@grp"] == set()
    assert len(world.portal.accounts) == 10


async def test_an_order_is_taken_by_whoever_works_on_the_store(world: World) -> None:
    """An approval given beside a daemon travels through the store."""
    store = world.store
    order = store.decisions.add_order(Approval(run_id=2, actions=("unlink",), only=("u1@x.com",)))
    assert store.decisions.load_order.blocking() == Approval(
        run_id=2, actions=("unlink",), only=("u1@x.com",), order=order
    )
    assert store.decisions.load_order_result(order) is None
    store.decisions.finish_order.blocking(order, 7)
    assert store.decisions.load_order.blocking() is None
    assert store.decisions.load_order_result(order) == 7
    store.decisions.withdraw_order(order)


async def test_an_approval_of_an_ownership_looks_at_its_group_once_more(store_url: str) -> None:
    """Somebody took that owner out by hand: the portal has changed, and what was shown is refused."""
    world = open_world(store_url)
    rules = make_rules(limits=make_limits(max_removals=0))
    world.rules = replace(rules, mapping=replace(rules.mapping, owners=True))
    world.source.tracks_owners = True
    world.source.put_group("g", displayName="All", mailNickname="all@grp")
    for name in ("u1", "u2"):
        world.source.put_user(name, userPrincipalName=f"{name}@x.com", displayName=name, mail=f"{name}@x.com")
        world.source.own("g", name)
    assert (await world.sync("full")).status == "succeeded"
    world.source.disown("g", "u1")
    assert (await world.sync("delta")).status == "held"
    del world.portal.owners["all@grp"]["u1@x.com"]
    world.portal.writes.clear()
    record = await approve(world, 2)
    assert record.status == "failed"
    assert "no longer" in record.error
    assert world.portal.writes == []
    world.database.close()


async def test_a_rejection_can_be_withdrawn_all_or_in_part(world: World) -> None:
    """What was rejected by mistake is proposed again by the next run, whatever kind it is, and guarded as before."""
    store = world.store
    assert store.decisions.reject(Approval(run_id=2)) == 4
    await world.sync("delta")
    assert held(world) is None
    assert store.decisions.withdraw_rejections(Approval(run_id=2, only=("nobody@x.com",))) == 0
    assert store.decisions.withdraw_rejections(Approval(run_id=2, actions=("delete",))) == 0
    assert store.decisions.withdraw_rejections(Approval(run_id=2)) == 4
    assert store.decisions.withdraw_rejections(Approval(run_id=2)) == 0
    again = await world.sync("delta")
    assert again.status == "held"
    assert again.counts["held"] == 4


async def test_a_rejected_removal_is_proposed_again_when_the_person_came_back_and_left_once_more(
    store_url: str,
) -> None:
    """The tenant has said in between that the person belongs there: what was rejected is over."""
    world = open_world(store_url)
    world.rules = make_rules(limits=make_limits(max_removals=0))
    world.source.put_group("g", displayName="All", mailNickname="all@grp")
    for name in ("u1", "u2"):
        world.source.put_user(name, userPrincipalName=f"{name}@x.com", displayName=name, mail=f"{name}@x.com")
        world.source.link("g", name)
    await world.sync("full")
    world.source.unlink("g", "u1")
    world.source.unlink("g", "u2")
    assert (await world.sync("delta")).status == "held"
    assert world.store.decisions.reject(Approval(run_id=2)) == 2
    assert (await world.sync("full")).status == "succeeded"
    world.source.link("g", "u1")
    await world.sync("delta", write=False)
    await world.sync("delta")
    world.source.unlink("g", "u1")
    run = await world.sync("delta")
    assert (run.status, world.changes(run)) == ("held", ["unlink membership all@grp u1@x.com held"])
    assert world.portal.picture()["all@grp"] == {"u1@x.com", "u2@x.com"}
    world.database.close()


@pytest.mark.parametrize("only", ["u1@x.com", "all@grp"])
async def test_a_membership_is_not_written_as_long_as_its_group_or_account_is_somebody_elses(
    store_url: str, only: str
) -> None:
    """Whoever releases one of the two adoptions has not released the other, and the membership needs both."""
    world = open_world(store_url)
    world.source.put_group("g", displayName="All", mailNickname="all@grp")
    world.source.put_user("u1", userPrincipalName="u1@x.com", displayName="U1", mail="u1@x.com")
    world.source.link("g", "u1")
    world.portal.add_account("u1@x.com", name="By hand", email="u1@x.com")
    world.portal.groups["all@grp"] = PortalGroup(bps_id="all@grp", name="By hand", email="all@grp")
    assert (await world.sync("full")).status == "held"
    record = await approve(world, 1, only=(only,))
    assert "link all@grp" not in world.portal.writes
    assert world.portal.picture() == {"all@grp": set()}
    record = await approve(world, record.id)
    assert record.status == "succeeded", record.error
    assert world.changes(await world.sync("full")) in ([], ["link membership all@grp u1@x.com done"])
    assert world.portal.picture() == {"all@grp": {"u1@x.com"}}
    world.database.close()


async def test_an_adoption_that_fails_lets_nobody_into_the_group(store_url: str) -> None:
    """The plan counted on it; what is somebody else's stays as it is all the same."""
    world = open_world(store_url)
    world.rules = make_rules(limits=make_limits(max_adoptions=None))
    world.source.put_group("g", displayName="All", mailNickname="all@grp")
    world.source.put_user("u1", userPrincipalName="u1@x.com", displayName="U1", mail="u1@x.com")
    world.source.link("g", "u1")
    world.portal.groups["all@grp"] = PortalGroup(bps_id="all@grp", name="By hand", email="all@grp")
    world.portal.refuse = {"all@grp"}
    run = await world.sync("full")
    assert "link all@grp" not in world.portal.writes
    told = [
        placed.error.text
        for chunk in world.store.plans.iterate_changes(run.id, statuses=["deferred"])
        for placed, _, _ in chunk
        if placed.change.action == "link"
    ]
    assert told == [
        "its account or group is somebody else's in the portal, and not adopted: see 'syncd explain' and 'syncd held'"
    ]
    world.portal.refuse = set()
    assert (await world.sync("full")).status == "succeeded"
    assert world.portal.picture() == {"all@grp": {"u1@x.com"}}
    world.database.close()


async def test_of_an_adoption_that_was_rejected_nothing_is_planned_any_more(store_url: str) -> None:
    """No membership, manager or licence of an account or a group that stays somebody else's, also no later one."""
    structlog.reset_defaults()
    world = open_world(store_url)
    licences = LicenceRule("Power", "User")
    world.rules = make_rules(limits=make_limits(max_adoptions=0), licences=(licences,))
    world.portal.totals = {"User": 9}
    world.portal.add_account("ann@x.com", name="By hand")
    world.portal.groups["all@grp"] = PortalGroup(bps_id="all@grp", name="By hand", email="all@grp")
    for name in ("ann", "ben"):
        world.source.put_user(name, userPrincipalName=f"{name}@x.com", displayName=name)
    world.source.put_user("ann", manager="ben")
    for group, title, bps_id in (("g1", "All", "all@grp"), ("g2", "Power", "power@grp")):
        world.source.put_group(group, displayName=title, mailNickname=bps_id)
    assert (await world.sync("full")).status == "held"
    assert world.store.decisions.reject(Approval(run_id=held(world) or 0, only=("ann@x.com", "all@grp"))) == 3
    world.source.link("g1", "ben")
    world.source.link("g2", "ann")
    for limit in (0, None):
        world.rules = make_rules(limits=make_limits(max_adoptions=limit), licences=(licences,))
        for kind in ("delta", "full"):
            run = await world.sync(kind)
            assert run.status == "succeeded", run.error
            assert {change.split()[-1] for change in world.changes(run)} <= {"dropped"}, world.changes(run)
    assert world.portal.accounts["ann@x.com"].name == "By hand"
    lines = [*Report(world.database, world.rules.policy).iterate("user")]
    assert [(line.state, line.reason) for line in lines if line.source_id == "ann"] == [
        ("foreign", "the portal had this record before us, and its adoption was rejected")
    ]
    world.source.put_user("ann", displayName="Ann")
    run = await world.sync("delta")
    assert "adopt user ann@x.com done" in world.changes(run)
    world.database.close()


async def test_a_rejected_update_stays_away_in_all_its_parts(store_url: str) -> None:
    """A name and a manager who is not there yet are two updates, and one as soon as that account is there."""
    structlog.reset_defaults()
    world = open_world(store_url)
    for name in ("ann", "ben"):
        world.source.put_user(name, userPrincipalName=f"{name}@x.com", displayName=name)
    world.source.put_user("ann", manager="ben")
    await world.sync("full")
    world.rules = make_rules(limits=make_limits(max_update_percent=0, min_population=1))
    world.source.put_user("dora", userPrincipalName="dora@x.com", displayName="dora")
    world.source.put_user("ann", displayName="Ann", manager="dora")
    assert sorted(world.changes(await world.sync("delta"))) == [
        "create user dora@x.com done",
        "update user ann@x.com held",
        "update user ann@x.com held",
    ]
    assert world.store.decisions.reject(Approval(run_id=held(world) or 0)) == 2
    assert world.changes(await world.sync("full")) == ["update user ann@x.com dropped"]
    world.source.put_user("ann", jobTitle="Boss")
    run = await world.sync("delta")
    assert world.changes(run) == ["update user ann@x.com held"]
    assert world.store.decisions.reject(Approval(run_id=run.id)) == 1
    assert world.changes(await world.sync("full")) == ["update user ann@x.com dropped"]
    world.source.put_user("ann", jobTitle=None)
    assert world.changes(await world.sync("full")) == ["update user ann@x.com dropped"]
    world.database.close()


@pytest.mark.parametrize("part", [(), ("anna@x.com",)])
async def test_a_renamed_person_whose_new_account_was_rejected_keeps_the_old_one(
    store_url: str, part: tuple[str, ...]
) -> None:
    """With places, licence and reports, and nothing is planned in every run that cannot be done."""
    structlog.reset_defaults()
    world = open_world(store_url)
    licences = (LicenceRule("Power", "User"),)
    world.portal.totals = {"User": 9}
    world.rules = make_rules(licences=licences)
    for name in ("ann", "ben", "cleo"):
        world.source.put_user(name, userPrincipalName=f"{name}@x.com", displayName=name)
    for name in ("ben", "cleo"):
        world.source.put_user(name, manager="ann")
    world.source.put_group("g2", displayName="Power", mailNickname="power@grp")
    world.source.link("g2", "ann")
    await world.sync("full")
    before = dict(world.portal.accounts), world.portal.picture()
    world.rules = make_rules(limits=make_limits(max_update_percent=0, min_population=1), licences=licences)
    world.source.put_user("ann", userPrincipalName="anna@x.com")
    assert (await world.sync("delta")).status == "held"
    assert world.store.decisions.reject(Approval(run_id=held(world) or 0, only=part)) == (2 if part else 4)
    world.rules = make_rules(licences=licences)
    for kind in ("delta", "full", "full"):
        run = await world.sync(kind)
        assert run.status == "succeeded", run.error
        assert {change.split()[-1] for change in world.changes(run)} <= {"dropped"}, world.changes(run)
    assert (dict(world.portal.accounts), world.portal.picture()) == before
    world.source.put_user("ann", userPrincipalName="annette@x.com")
    run = await world.sync("delta")
    assert "create user annette@x.com done" in world.changes(run)
    assert world.changes(await world.sync("full")) == []
    assert world.portal.picture() == {"power@grp": {"annette@x.com"}}
    world.database.close()
