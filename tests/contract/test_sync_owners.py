"""Owners of groups: pulled, planned and written like members where mapping.group.owners asks for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest

from syncd.errors import Rejected
from syncd.model.run import Approval, RunRequest
from syncd.plan.drift import Drift
from syncd.plan.planfile import open_plan
from syncd.plan.rules import fold_all
from syncd.store.reports.explain import Explanations
from syncd.store.store import Store
from syncd.sync.planning.drift import DriftCheck
from syncd.sync.planning.proposal import FromFile
from syncd.sync.planning.undo import Undo
from tests.fakes.rules import make_limits, make_policy, make_rules
from tests.fakes.world import World


def found_company(world: World) -> None:
    """Four people and two groups, one within the other; both are owned by people, one also by a machine and a group."""
    source = world.source
    for number in range(4):
        source.put_user(f"u{number}", userPrincipalName=f"u{number}@x.com", displayName=f"User {number}")
    for name, title in (("g1", "All"), ("g2", "Sales")):
        source.put_group(name, displayName=title, mailNickname=f"{title.lower()}@grp")
    source.link("g1", "u1")
    source.link("g1", "g2", "group")
    source.link("g2", "u2")
    source.own("g1", "u0")
    source.own("g1", "u1")
    source.own("g1", "g2", "group")
    source.own("g2", "u0")
    source.own("g2", "s1", "servicePrincipal")
    set_owners(world, on=True)


pytestmark = pytest.mark.company(founded_by=found_company)


OWNERS = {"all@grp": {"u0@x.com", "u1@x.com"}, "sales@grp": {"u0@x.com"}}


def set_owners(world: World, *, on: bool) -> None:
    """Set mapping.group.owners."""
    world.source.tracks_owners = on
    world.rules = replace(world.rules, mapping=replace(world.rules.mapping, owners=on))


async def settle(world: World) -> None:
    """Bring the portal in step, and check that nothing is left to plan."""
    run = await world.sync("full")
    assert run.status == "succeeded", run.error
    assert world.changes(await world.sync("full")) == []


async def test_owners_are_written_after_the_members_and_only_people_become_one(world: World) -> None:
    """Direct owners, no machines, no groups, nothing inherited from a nested group; a second run plans nothing."""
    await settle(world)
    assert world.portal.ownership() == OWNERS
    links = [write for write in world.portal.writes if write.startswith(("link", "own"))]
    assert links == ["link all@grp", "link sales@grp", "own all@grp", "own sales@grp"]


async def test_without_the_setting_owners_are_neither_read_nor_touched(world: World) -> None:
    """Owners put in by hand stay, and the source is not asked for any."""
    set_owners(world, on=False)
    await settle(world)
    world.portal.owners["all@grp"] = {"u3@x.com": "u3@x.com"}
    world.source.remove_group("g2")
    await world.sync("full")
    run = await world.sync("full")
    assert world.portal.ownership() == {"all@grp": {"u3@x.com"}}
    assert world.changes(run) == []
    assert not [write for write in world.portal.writes if "own" in write]


async def test_a_delta_carries_owners_who_come_and_go_and_asks_each_stream_once(world: World) -> None:
    """Only what changed is read and written."""
    await settle(world)
    world.source.own("g2", "u3")
    world.source.disown("g1", "u1")
    world.source.calls.clear()
    world.portal.writes.clear()
    run = await world.sync("delta")
    assert world.changes(run) == ["link ownership sales@grp u3@x.com done", "unlink ownership all@grp u1@x.com done"]
    assert sorted(world.source.calls) == ["groups d:", "users d:"]
    assert world.portal.writes == ["own sales@grp", "disown all@grp"]
    assert world.changes(await world.sync("full")) == []


async def test_an_owner_put_in_by_hand_is_drift(world: World) -> None:
    """Ownership of an owned group is ours as a whole; protected people are left alone."""
    await settle(world)
    world.portal.owners["sales@grp"].update({"u2@x.com": "u2@x.com", "u3@x.com": "u3@x.com"})
    world.rules = replace(world.rules, scope=replace(world.rules.scope, protect=fold_all(("u3@x.com",))))
    run = await world.sync("full")
    assert world.changes(run) == ["unlink ownership sales@grp u2@x.com done"]


async def test_the_protect_list_keeps_places_of_which_the_tenant_knows_nothing(world: World) -> None:
    """A local account of the portal stays member and owner, and nobody loses or gets a place in a protected group."""
    await settle(world)
    for places in (world.portal.members["all@grp"], world.portal.owners["all@grp"]):
        places["robot@portal"] = "robot@portal"
    world.portal.add_account("robot@portal", name="Robot")
    world.portal.owners["sales@grp"]["u2@x.com"] = "u2@x.com"
    world.source.own("g2", "u3")
    protect = fold_all(("Robot@portal", "sales@grp"))
    world.rules = replace(world.rules, scope=replace(world.rules.scope, protect=protect))
    assert world.changes(await world.sync("full")) == []
    world.source.remove_group("g2")
    kept = [change for change in world.changes(await world.sync("full")) if "all@grp u2@x.com" not in change]
    assert kept == []
    world.rules = replace(world.rules, scope=replace(world.rules.scope, protect=frozenset()))
    assert world.changes(await world.sync("full")) == [
        "unlink ownership all@grp robot@portal done",
        "unlink ownership sales@grp u0@x.com done",
        "unlink ownership sales@grp u2@x.com done",
        "unlink membership all@grp robot@portal done",
        "unlink membership sales@grp u2@x.com done",
    ]


@pytest.mark.both_engines
async def test_owners_of_a_group_that_is_kept_are_kept(world: World) -> None:
    """policy.deleted_groups = "keep" freezes the group as it is."""
    world.rules = replace(world.rules, policy=make_policy(deleted_groups="keep"))
    await settle(world)
    world.source.remove_group("g1")
    world.source.remove_group("g2")
    await world.sync("delta")
    assert world.changes(await world.sync("full")) == []
    assert world.portal.ownership() == OWNERS


async def test_no_owner_is_removed_by_a_run_without_proof(world: World) -> None:
    """Only the one of whom the tenant said that the ownership ended; the run with the proof removes the other."""
    await settle(world)
    world.source.count_lie = 500
    assert (await world.sync("full")).status == "partial"
    world.source.disown("g1", "u1")
    world.source.own("g1", "u2")
    world.source.own("g1", "u3")
    assert (await world.sync("delta")).status == "partial"
    assert world.portal.ownership()["all@grp"] == {"u0@x.com", "u2@x.com", "u3@x.com"}
    world.source.groups["g1"].owners.pop("u3")  # nobody has told
    assert (await world.sync("full")).status == "partial"
    assert world.portal.ownership()["all@grp"] == {"u0@x.com", "u2@x.com", "u3@x.com"}
    world.clock.ahead += timedelta(days=3)  # what delta told of u3 is old by then
    world.source.count_lie = 0
    assert (await world.sync("full")).status == "succeeded"
    assert world.portal.ownership()["all@grp"] == {"u0@x.com", "u2@x.com"}


async def test_switching_owners_on_reads_everything_once_and_off_leaves_them_standing(world: World) -> None:
    """A delta run notices the other selection; when it is switched off again nobody loses anything."""
    set_owners(world, on=False)
    await settle(world)
    set_owners(world, on=True)
    run = await world.sync("delta")
    assert world.portal.ownership() == OWNERS
    assert "groups st" in world.source.calls
    assert run.status == "succeeded"
    world.source.calls.clear()
    await world.sync("delta")
    assert sorted(world.source.calls) == ["groups d:", "users d:"]
    set_owners(world, on=False)
    world.source.disown("g1", "u0")
    assert world.changes(await world.sync("full")) == []
    assert world.portal.ownership() == OWNERS
    set_owners(world, on=True)
    run = await world.sync("delta")
    assert world.changes(run) == ["unlink ownership all@grp u0@x.com done"]


async def test_owners_that_were_never_read_are_no_reason_to_remove_one(world: World) -> None:
    """A push without a pull right after switching on concludes nothing from owners that it does not know."""
    set_owners(world, on=False)
    await settle(world)
    world.portal.owners["all@grp"] = {"u3@x.com": "u3@x.com"}
    await world.sync("full")
    set_owners(world, on=True)
    assert world.changes(await world.sync("none", write=False)) == []
    run = await world.sync("delta")
    assert "unlink ownership all@grp u3@x.com done" in world.changes(run)


@pytest.mark.both_engines
async def test_a_missing_owner_needs_a_second_reading(world: World) -> None:
    """What the full read did not meet stays when the owners' own list still has it, and goes when that lacks it too."""
    await settle(world)
    world.source.hidden.add("g1/u0")
    run = await world.sync("full")
    assert world.changes(run) == []
    assert "owners g1" in world.source.calls
    world.source.groups["g1"].owners.pop("u0")  # and no event says so
    run = await world.sync("full")
    assert world.changes(run) == ["unlink ownership all@grp u0@x.com done"]


async def test_a_leaver_loses_ownership_and_a_returner_gets_it_back(world: World) -> None:
    """Disabled, then enabled; deleted softly, then restored; deleted for good."""
    await settle(world)
    source = world.source
    ways = (
        (partial(source.put_user, "u0", accountEnabled=False), partial(source.put_user, "u0", accountEnabled=True)),
        (partial(source.remove_user, "u0"), partial(source.restore_user, "u0")),
    )
    for leave, back in ways:
        leave()
        await world.sync("delta")
        assert world.portal.ownership() == {"all@grp": {"u1@x.com"}}
        back()
        await world.sync("delta")
        assert world.portal.ownership() == OWNERS
    world.source.remove_user("u0", hard=True)
    await world.sync("delta")
    assert world.portal.ownership() == {"all@grp": {"u1@x.com"}}
    assert world.changes(await world.sync("full")) == []


async def test_ownership_follows_a_renamed_person(world: World) -> None:
    """The new account owns before the old one loses it."""
    await settle(world)
    world.portal.writes.clear()
    world.source.put_user("u0", userPrincipalName="new@x.com")
    await world.sync("delta")
    assert world.portal.ownership() == {"all@grp": {"new@x.com", "u1@x.com"}, "sales@grp": {"new@x.com"}}
    owning = [write for write in world.portal.writes if "own" in write]
    assert owning == ["own all@grp", "own sales@grp", "disown all@grp", "disown sales@grp"]


async def test_an_old_account_owns_until_the_new_one_is_there(world: World) -> None:
    """The portal refuses the new account: nobody else would own the group meanwhile."""
    await settle(world)
    world.portal.refuse = {"new@x.com"}
    world.source.put_user("u0", userPrincipalName="new@x.com")
    await world.sync("delta")
    assert world.portal.ownership() == OWNERS
    world.portal.refuse = set()
    await world.sync("delta")
    assert world.portal.ownership() == {"all@grp": {"new@x.com", "u1@x.com"}, "sales@grp": {"new@x.com"}}


async def test_ownership_follows_a_group_to_its_new_record_and_ends_with_the_group(world: World) -> None:
    """A group whose id changes is a new record with the same owners; one that is gone is emptied of owners too."""
    await settle(world)
    world.source.put_group("g2", mailNickname="market@grp")
    await world.sync("delta")
    assert world.portal.ownership() == {"all@grp": {"u0@x.com", "u1@x.com"}, "market@grp": {"u0@x.com"}}
    world.source.remove_group("g1")
    await world.sync("delta")
    assert world.portal.ownership() == {"market@grp": {"u0@x.com"}}
    assert world.changes(await world.sync("full")) == []


async def test_a_restored_group_gets_its_owners_from_a_direct_read(world: World) -> None:
    """Graph need not repeat the links of what returns."""
    await settle(world)
    world.source.remove_group("g1")
    await world.sync("delta")
    world.source.groups["g1"].owners = {"u3": "user"}
    world.source.put_group("g1")
    await world.sync("delta")
    assert world.portal.ownership()["all@grp"] == {"u3@x.com"}


async def test_the_guard_counts_ownership_apart_and_a_rejection_drops_it(world: World) -> None:
    """Percentages are of the owned ownerships, not of all links; what was rejected is not proposed again."""
    world.rules = replace(world.rules, limits=make_limits(max_removals=None, max_removal_percent=30, min_population=0))
    await settle(world)
    world.source.disown("g1", "u1")
    run = await world.sync("delta")
    assert run.status == "held"
    assert "1 of 3 owned ownerships" in run.error
    assert world.changes(run) == ["unlink ownership all@grp u1@x.com held"]
    assert Store(world.database).decisions.reject(Approval(run_id=run.id, actions=("unlink",), only=("u1@x.com",))) == 1
    run = await world.sync("full")
    assert {change.rpartition(" ")[2] for change in world.changes(run)} == {"dropped"}


async def test_a_rejected_membership_does_not_hide_an_ownership(world: World) -> None:
    """The same person in the same group: two questions, two answers."""
    world.rules = replace(world.rules, limits=make_limits(max_removals=0))
    await settle(world)
    world.source.unlink("g1", "u1")
    run = await world.sync("delta")
    Store(world.database).decisions.reject(Approval(run_id=run.id))
    world.source.disown("g1", "u1")
    run = await world.sync("delta")
    assert "unlink ownership all@grp u1@x.com held" in world.changes(run)


async def test_a_failing_membership_does_not_delay_an_ownership(world: World) -> None:
    """Each has its own attempts."""
    await settle(world)
    world.source.link("g1", "u3")
    world.source.own("g1", "u3")

    async def refuse(group_id: str, ids: object) -> object:
        raise Rejected("no members here", status=400)

    world.portal.add_members = refuse  # type: ignore[assignment]
    run = await world.sync("delta")
    assert world.changes(run) == [
        "link membership all@grp u3@x.com failed",
        "link ownership all@grp u3@x.com done",
    ]
    world.source.disown("g1", "u3")
    run = await world.sync("delta", retry_failed=False)
    assert world.changes(run) == [
        "link membership all@grp u3@x.com deferred",
        "unlink ownership all@grp u3@x.com done",
    ]


@pytest.mark.parametrize("mode", ["create_only", "upsert_only"])
async def test_modes_hold_for_owners(world: World, mode: str) -> None:
    """create_only: first owners only; upsert_only: nobody loses ownership."""
    world.rules = replace(make_rules(policy=make_policy(mode=mode)), mapping=world.rules.mapping)
    await world.sync("full")
    assert world.portal.ownership() == OWNERS
    world.source.own("g2", "u3")
    world.source.disown("g1", "u1")
    await world.sync("delta")
    added = {"u3@x.com"} if mode == "upsert_only" else set()
    assert world.portal.ownership() == {**OWNERS, "sales@grp": {"u0@x.com", *added}}


async def test_an_owner_whose_account_is_not_there_yet_is_deferred(world: World) -> None:
    """The portal takes an owner when the account is synchronised; the next run sees to it."""
    world.portal.slow = True
    run = await world.sync("full")
    assert run.status == "succeeded"
    assert "link ownership sales@grp u0@x.com deferred" in world.changes(run)
    world.portal.accounts = {key: replace(a, status="Synchronized") for key, a in world.portal.accounts.items()}
    world.portal.slow = False
    await world.sync("delta")
    assert world.portal.ownership() == OWNERS


async def test_explain_names_owners_and_what_somebody_owns(world: World) -> None:
    """From the store alone."""
    await settle(world)
    explanations = Explanations(world.database)
    group = explanations.explain(explanations.find("Sales")[0], now=world.clock.now()).target
    person = explanations.explain(explanations.find("u0@x.com")[0], now=world.clock.now()).target
    assert group is not None
    assert person is not None
    assert group["owners"] == ["u0@x.com"]
    assert person["owns"] == ["all@grp", "sales@grp"]


async def test_grace_does_not_matter_for_ownership(world: World) -> None:
    """Deleted after the grace: the account goes, its ownership went before."""
    world.rules = replace(world.rules, policy=make_policy(deleted_users="delete", grace=timedelta(days=1)))
    await settle(world)
    world.source.remove_user("u1")
    await world.sync("delta")
    assert world.portal.ownership() == {"all@grp": {"u0@x.com"}, "sales@grp": {"u0@x.com"}}
    world.clock.ahead += timedelta(days=2)
    await world.sync("delta")
    assert "u1@x.com" not in world.portal.accounts
    assert world.changes(await world.sync("full")) == []


async def test_a_plan_file_carries_ownerships_and_minds_what_changed(world: World) -> None:
    """Applied exactly; refused when an owner came by hand, or when the stored owners are others by now."""
    await settle(world)
    world.source.own("g2", "u3")
    run = await world.sync("delta", write=False)
    lines = world.make_file(run)
    world.portal.owners["sales@grp"]["u3@x.com"] = "u3@x.com"
    refused = await world.carry_out(FromFile(open_plan(lambda: lines)))
    assert refused.status == "failed"
    assert "u3@x.com in sales@grp" in refused.error
    world.portal.owners["sales@grp"].pop("u3@x.com")
    record = await world.carry_out(FromFile(open_plan(lambda: lines)))
    assert world.changes(record) == ["link ownership sales@grp u3@x.com done"]
    world.source.disown("g2", "u3")
    stale = world.make_file(await world.sync("delta", write=False))
    world.source.own("g1", "u2")
    await world.sync("delta", write=False)
    refused = await world.carry_out(FromFile(open_plan(lambda: stale)))
    assert "ownerships" in refused.error


async def test_one_group_now_brings_its_owners_along(world: World) -> None:
    """Whoever is missing was missing twice; the owners of other groups wait for their own turn."""
    await settle(world)
    world.source.own("g2", "u3")
    world.source.disown("g2", "u0")
    world.source.own("g1", "u2")
    run = await world.sync_one("group", "g2")
    assert run.status == "succeeded", run.error
    assert world.portal.ownership() == {**OWNERS, "sales@grp": {"u3@x.com"}}
    assert world.source.calls.count("owners g2") == 2
    await world.sync("delta")
    assert world.portal.ownership()["all@grp"] == {"u0@x.com", "u1@x.com", "u2@x.com"}
    assert world.changes(await world.sync("full")) == []


async def test_undoing_a_run_covers_ownerships(world: World) -> None:
    """Who came goes, who went comes back; what changed again since is left and said."""
    await settle(world)
    world.source.own("g2", "u3")
    world.source.own("g2", "u2")
    world.source.disown("g1", "u1")
    run = await world.sync("delta")
    world.portal.owners["sales@grp"].pop("u2@x.com")
    undone = await world.carry_out(Undo(run_id=run.id))
    assert sorted(change for change in world.changes(undone) if change.endswith("done")) == [
        "link ownership all@grp u1@x.com done",
        "unlink ownership sales@grp u3@x.com done",
    ]
    assert world.portal.ownership() == OWNERS


@pytest.mark.both_engines
async def test_owners_changed_by_hand_are_drift_and_undone_ownerships_come_back(world: World) -> None:
    """Told, written back, taken as they are, and reversed, as members are; nothing of it where owners are not ours."""
    await settle(world)
    await world.clock.sleep(7200)
    found: list[Drift] = []

    def tell(chunks: Iterator[list[Drift]]) -> None:
        found[:] = [drift for chunk in chunks for drift in chunk]

    owners = world.portal.owners["all@grp"]
    owners["u2@x.com"] = "u2@x.com"
    owners.pop("u1@x.com")
    await world.carry_out(DriftCheck("report", tell))
    assert [(d.object, d.field, d.ours, d.theirs) for d in found] == [
        ("ownership", "owner", "u1@x.com", None),
        ("ownership", "owner", None, "u2@x.com"),
    ]
    run = await world.carry_out(DriftCheck("revert", tell))
    assert run.status == "succeeded", run.error
    assert set(owners) == OWNERS["all@grp"]
    undone = await world.carry_out(Undo(run_id=run.id))
    assert undone.status == "succeeded", undone.error
    assert set(owners) == {"u0@x.com", "u2@x.com"}
    world.rules = replace(world.rules, policy=make_policy(drift="report"))
    await world.carry_out(Undo(run_id=undone.id))
    await world.clock.sleep(7200)
    owners.pop("u1@x.com")
    assert world.changes(await world.sync("full")) == []
    set_owners(world, on=False)
    await world.carry_out(DriftCheck("report", tell))
    assert found == []


async def test_a_held_undo_of_ownerships_is_refused_when_the_portal_has_changed(world: World) -> None:
    """What is released is looked at in the portal first: the group, whose owners they are."""
    await settle(world)
    world.rules = replace(world.rules, limits=make_limits(max_removals=0, max_removal_percent=None))
    undone = await world.carry_out(Undo(run_id=1))
    assert undone.status == "held"
    world.portal.owners["sales@grp"].clear()
    request = RunRequest(
        pull="none",
        trigger="approval",
        retry_failed=True,
        approval=Approval(run_id=undone.id, actions=(), only=("u0@x.com",)),
    )
    refused = await world.runs.execute(request, world.open_sides())
    assert refused.status == "partial"
    assert "unlink sales@grp u0@x.com (refused: the portal has changed since it was shown)" in refused.error
