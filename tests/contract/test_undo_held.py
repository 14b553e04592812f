"""What an undo was planned over may change before somebody approves it, or before the next undo: it is left alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from syncd.model.run import Approval, RunRecord, RunRequest
from syncd.model.target import PortalGroup
from syncd.plan.rules import LicenceRule
from syncd.sync.planning.undo import Undo
from tests.fakes.rules import make_limits, make_policy, make_rules, make_scope
from tests.fakes.world import World

_DESK = LicenceRule("All", "DesignerDeskUser", {"project_creation": "true", "project_publishing": "false"})
_OPEN = make_limits(max_adoptions=None, max_update_percent=None, max_removal_percent=None)


async def found_company(world: World) -> None:
    """A group and three people of which two had an account by hand, which syncd took over."""
    world.rules = make_rules(limits=_OPEN)
    world.source.put_group("g", displayName="All", mailNickname="all@grp")
    for name in ("ann", "ben", "cleo"):
        world.source.put_user(name, userPrincipalName=f"{name}@x.com", displayName=name, mail=f"{name}@x.com")
    world.source.link("g", "ann")
    world.portal.add_account("ann@x.com", name="Ann by hand", email="ann@x.com")
    world.portal.groups["all@grp"] = PortalGroup(bps_id="all@grp", name="By hand", email="old@grp")
    world.portal.members["all@grp"] = {}
    assert (await world.sync("full")).status == "succeeded"


pytestmark = pytest.mark.company(founded_by=found_company)


async def change_and_hold(world: World, **changed: Any) -> RunRecord:
    """Let the tenant change somebody, undo that, and let the guard withhold the undo."""
    for name, attributes in changed.items():
        world.source.put_user(name, **attributes)
    run = await world.sync()
    assert run.status == "succeeded", run.error
    world.rules = make_rules(limits=replace(_OPEN, max_update_percent=0))
    undone = await world.carry_out(Undo(run_id=run.id))
    assert undone.status == "held", undone.error
    world.rules = make_rules(limits=_OPEN)
    world.portal.writes.clear()
    return undone


async def approve(world: World, run: RunRecord, *, only: tuple[str, ...] = ()) -> RunRecord:
    """Approve what a run held."""
    request = RunRequest(
        pull="none", trigger="approval", retry_failed=True, approval=Approval(run_id=run.id, actions=(), only=only)
    )
    return await world.runs.execute(request, world.open_sides())


def reasons(world: World, run: RunRecord) -> dict[str, str]:
    """Return what a plan leaves alone, by what it would have reversed."""
    chunks = world.store.plans.iterate_changes(run.id, statuses=["dropped"])
    dropped = [planned for chunk in chunks for planned, _, _ in chunk]
    return {
        " ".join(part for part in (d.change.action, d.change.bps_id, d.change.target) if part): d.error.text
        for d in dropped
    }


async def test_a_held_undo_is_carried_out_as_it_was_shown_while_nothing_changes(world: World) -> None:
    """The other tests here would mean nothing if it never were."""
    held = await change_and_hold(world, cleo={"displayName": "Cleopatra", "jobTitle": "Clerk"})
    approved = await approve(world, held)
    assert approved.status == "succeeded", approved.error
    assert world.portal.accounts["cleo@x.com"].name == "cleo"
    assert world.portal.accounts["cleo@x.com"].job_title is None


async def test_a_held_undo_is_refused_when_somebody_changed_its_field_since(world: World) -> None:
    """The value that was to be put back would overwrite one that nobody was shown; the rest is put back."""
    held = await change_and_hold(world, ben={"displayName": "Benjamin"}, cleo={"displayName": "Cleopatra"})
    world.portal.accounts["cleo@x.com"] = replace(world.portal.accounts["cleo@x.com"], name="Cleo by hand")
    refused = await approve(world, held)
    assert refused.status == "partial"
    assert "1 of 2 approved changes" in refused.error
    assert "update cleo@x.com (refused: the portal has changed since it was shown)" in refused.error
    assert world.portal.accounts["cleo@x.com"].name == "Cleo by hand"
    assert world.portal.accounts["ben@x.com"].name == "ben"


async def test_a_held_undo_is_refused_when_its_record_is_not_ours_any_more(world: World) -> None:
    """The account was given back in between, with the very values that were shown: hands off all the same."""
    held = await change_and_hold(world, ann={"jobTitle": "Clerk"})
    assert (await world.carry_out(Undo(run_id=1))).status == "succeeded"
    assert world.store.plan_files.load_record_states(["ann@x.com"], [])[0].ours is None
    assert world.portal.accounts["ann@x.com"].job_title == "Clerk"
    world.portal.writes.clear()
    refused = await approve(world, held)
    assert refused.status == "failed"
    assert "1 of 1 approved changes" in refused.error
    assert world.portal.writes == []


@pytest.mark.both_engines
async def test_what_was_given_back_is_out_of_reach_of_undoing_a_later_run(world: World) -> None:
    """Adopted by one run, changed by the next, given back by undoing the first: the second has nothing left to undo."""
    world.source.put_user("ann", jobTitle="Clerk")
    world.source.put_group("g", displayName="Everybody", mailNickname="all@grp")
    world.source.link("g", "cleo")
    run = await world.sync()
    assert world.portal.groups["all@grp"].name == "Everybody"
    assert (await world.carry_out(Undo(run_id=1))).status == "succeeded"
    assert world.store.plan_files.load_record_states([], ["all@grp"])[0].ours is None
    assert "cleo@x.com" in world.portal.picture()["all@grp"]
    ann, group = world.portal.accounts["ann@x.com"], world.portal.groups["all@grp"]
    world.portal.writes.clear()
    undone = await world.carry_out(Undo(run_id=run.id))
    assert undone.status == "succeeded", undone.error
    assert reasons(world, undone) == {
        "update ann@x.com": "the account is not ours any more",
        "update all@grp": "the group is not ours any more",
        "link all@grp cleo@x.com": "the group is not ours any more",
    }
    assert world.portal.writes == []
    assert (world.portal.accounts["ann@x.com"], world.portal.groups["all@grp"]) == (ann, group)
    assert "cleo@x.com" in world.portal.picture()["all@grp"]


async def test_a_held_undo_of_a_membership_is_refused_when_the_group_is_not_ours_any_more(world: World) -> None:
    """Somebody's place in a group that was given back is not ours to take."""
    world.source.link("g", "cleo")
    run = await world.sync()
    world.rules = make_rules(limits=replace(_OPEN, max_removals=0))
    held = await world.carry_out(Undo(run_id=run.id))
    assert held.status == "held", held.error
    world.rules = make_rules(limits=_OPEN)
    assert (await world.carry_out(Undo(run_id=1))).status == "succeeded"
    assert world.store.plan_files.load_record_states([], ["all@grp"])[0].ours is None
    world.portal.writes.clear()
    refused = await approve(world, held)
    assert refused.status == "failed"
    assert world.portal.writes == []
    assert "cleo@x.com" in world.portal.picture()["all@grp"]


async def grant_and_hold(world: World) -> RunRecord:
    """Give cleo a licence by a rule, undo that, and let the guard withhold the undo."""
    world.rules = make_rules(limits=_OPEN, licences=(_DESK,))
    world.portal.totals = {"DesignerDeskUser": 5}
    world.source.link("g", "cleo")
    run = await world.sync()
    assert "DesignerDeskUser" in world.portal.licences["cleo@x.com"], run.error
    world.rules = replace(world.rules, limits=replace(_OPEN, max_removals=0))
    held = await world.carry_out(Undo(run_id=run.id))
    assert held.status == "held", held.error
    world.rules = replace(world.rules, limits=_OPEN)
    world.portal.writes.clear()
    return held


async def test_a_held_undo_of_a_licence_is_carried_out_while_nothing_changes(world: World) -> None:
    """As it was shown."""
    held = await grant_and_hold(world)
    approved = await approve(world, held)
    assert approved.status == "succeeded", approved.error
    assert world.portal.licences["cleo@x.com"] == {}


@pytest.mark.parametrize("since", ["taken", "taken and given by hand", "given other settings", "given back"])
async def test_a_held_undo_of_a_licence_is_refused_when_it_is_another_one_by_now(world: World, since: str) -> None:
    """Taken, given anew by hand, set otherwise, or the account is not ours any more: no licence is taken."""
    if since == "given back":
        world.rules = make_rules(limits=_OPEN, licences=(_DESK,))
        world.portal.totals = {"DesignerDeskUser": 5}
        granted = await world.sync("full")
        assert "DesignerDeskUser" in world.portal.licences["ann@x.com"], granted.error
        world.rules = replace(world.rules, limits=replace(_OPEN, max_removals=0))
        held = await world.carry_out(Undo(run_id=granted.id))
        assert held.status == "held", held.error
        world.rules = replace(world.rules, limits=_OPEN)
        assert (await world.carry_out(Undo(run_id=1))).status == "succeeded"
        assert world.store.plan_files.load_record_states(["ann@x.com"], [])[0].ours is None
        assert "DesignerDeskUser" in world.portal.licences["ann@x.com"]
    else:
        held = await grant_and_hold(world)
        kinds = world.portal.licences["cleo@x.com"]
        if since == "given other settings":
            kinds["DesignerDeskUser"] = {**_DESK.settings, "project_publishing": "true"}
        else:
            kinds.clear()
            await world.sync("full", write=False)  # meets that it was taken
        if since == "taken and given by hand":
            kinds["DesignerDeskUser"] = dict(_DESK.settings)
    before = {name: {kind: dict(settings) for kind, settings in held.items()}
              for name, held in world.portal.licences.items()}  # fmt: skip
    world.portal.writes.clear()
    refused = await approve(world, held)
    assert refused.status == ("failed" if since == "given back" else "partial"), (
        refused.status,
        world.changes(refused),
        world.portal.writes,
    )
    assert "are no longer as they were shown" in refused.error
    assert world.portal.writes == ([] if since == "given back" else ["licences ann@x.com", "unlink all@grp"])
    person = "ann@x.com" if since == "given back" else "cleo@x.com"
    assert world.portal.licences[person] == before[person]


async def delete_and_hold(world: World) -> RunRecord:
    """Undo the creation of cleo's account with --delete-created, and let the guard withhold the deletion."""
    world.source.put_user("dora", userPrincipalName="dora@x.com", displayName="dora", mail="dora@x.com")
    run = await world.sync()
    world.rules = make_rules(limits=replace(_OPEN, max_removals=0))
    held = await world.carry_out(Undo(run_id=run.id, delete_created=True))
    assert held.status == "held", held.error
    world.rules = make_rules(limits=_OPEN)
    return held


async def test_a_held_deletion_is_carried_out_while_nothing_changes(world: World) -> None:
    """As it was shown."""
    approved = await approve(world, await delete_and_hold(world))
    assert approved.status == "succeeded", approved.error
    assert "dora@x.com" not in world.portal.accounts


@pytest.mark.both_engines
@pytest.mark.parametrize("since", ["adopted", "passed on", "licensed"])
async def test_a_held_deletion_is_refused_when_the_account_is_another_one_by_now(world: World, since: str) -> None:
    """Made anew by hand and adopted, passed on to somebody else with its values, or given a licence by hand."""
    held = await delete_and_hold(world)
    if since == "adopted":
        account = world.portal.accounts["dora@x.com"]
        await world.clock.sleep(7200)
        await world.portal.delete_account("dora@x.com")
        await world.sync("full", write=False)
        world.portal.accounts["dora@x.com"] = account
        adopted = await world.sync("full")
        assert "adopt user dora@x.com done" in world.changes(adopted)
    elif since == "passed on":
        world.rules = make_rules(limits=replace(_OPEN, max_handovers=None))
        world.source.put_user("dora", userPrincipalName="dorothy@x.com")
        world.source.put_user("emil", userPrincipalName="dora@x.com", displayName="dora", mail="dora@x.com")
        assert (await world.sync()).status == "succeeded"
    else:
        world.rules = make_rules(limits=_OPEN, licences=(_DESK,))
        world.portal.totals = {"DesignerDeskUser": 5, "User": 5}
        world.portal.licences["dora@x.com"] = {"User": {}}
        await world.sync("full", write=False)
    world.portal.writes.clear()
    refused = await approve(world, held)
    assert refused.status == "failed", (refused.status, world.changes(refused))
    assert "are no longer as they were shown" in refused.error
    assert world.portal.writes == []
    assert "dora@x.com" in world.portal.accounts


@pytest.mark.parametrize(
    ("rules", "reason"),
    [
        ({"scope": make_scope(protect=frozenset({"cleo@x.com"}))}, "scope.protect names it"),
        ({"policy": make_policy(mode="create_only")}, 'policy.mode = "create_only" forbids to update'),
    ],
)
async def test_a_held_undo_is_refused_under_rules_that_forbid_it_by_now(
    world: World, rules: dict[str, Any], reason: str
) -> None:
    """The rules of the approval count, not those of the day on which it was held; the rest is carried out."""
    held = await change_and_hold(world, ben={"displayName": "Benjamin"}, cleo={"displayName": "Cleopatra"})
    world.rules = make_rules(limits=_OPEN, **rules)
    refused = await approve(world, held)
    assert refused.status == ("partial" if "scope" in rules else "failed")
    assert reason in refused.error
    assert world.portal.accounts["ben@x.com"].name == ("ben" if "scope" in rules else "Benjamin")
    assert world.portal.accounts["cleo@x.com"].name == "Cleopatra"
