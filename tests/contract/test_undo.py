"""`undo RUN`: the reverse of a run, as far as what it did still stands."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from syncd.model.run import Approval, RunRecord, RunRequest
from syncd.model.target import PortalGroup
from syncd.store.store import Store
from syncd.sync.planning.undo import Undo
from tests.fakes.rules import make_limits, make_policy, make_rules, make_scope
from tests.fakes.world import World, open_world


async def found_company(world: World) -> None:
    """Three people in a group after one full run, and nothing to do."""
    world.source.put_group("g", displayName="All", mailNickname="all@grp")
    for name in ("ann", "ben", "cleo"):
        world.source.put_user(name, userPrincipalName=f"{name}@x.com", displayName=name, mail=f"{name}@x.com")
        world.source.link("g", name)
    assert (await world.sync("full")).status == "succeeded"


pytestmark = [pytest.mark.company(founded_by=found_company), pytest.mark.both_engines]


def left(world: World, run: RunRecord) -> dict[str, str]:
    """Return what a plan leaves alone, as ``action id target`` and the reason."""
    found = {}
    for chunk in world.store.plans.iterate_changes(run.id, statuses=["dropped"]):
        for planned, _, _ in chunk:
            change = planned.change
            found[" ".join(part for part in (change.action, change.bps_id, change.target) if part)] = planned.error.text
    return found


def done(world: World, run: RunRecord) -> list[str]:
    """Return what was done."""
    return [change.removesuffix(" done") for change in world.changes(run) if change.endswith(" done")]


async def test_values_and_memberships_come_back_and_the_next_full_run_wants_its_own_again(world: World) -> None:
    """A renamed person, a manager, somebody who left and somebody who came: all as before, from the outcomes alone."""
    world.source.put_user("ann", displayName="Anna", manager="ben", jobTitle="Boss")
    world.source.put_user("cleo", accountEnabled=False)
    run = await world.sync()
    assert world.portal.accounts["ann@x.com"].manager == "ben@x.com"
    world.source.calls.clear()
    undone = await world.carry_out(Undo(run_id=run.id))
    assert (undone.status, undone.kind, undone.trigger) == ("succeeded", "undo", "cli"), undone.error
    assert world.source.calls == []
    ann = world.portal.accounts["ann@x.com"]
    assert (ann.name, ann.manager, ann.job_title) == ("ann", None, None)
    assert world.portal.picture()["all@grp"] == {"ann@x.com", "ben@x.com", "cleo@x.com"}
    assert left(world, undone) == {}
    assert world.changes(await world.sync()) == []  # nothing was touched: the tenant says nothing new
    again = await world.sync("full")
    assert done(world, again) == ["update user ann@x.com", "unlink membership all@grp cleo@x.com"]


@pytest.mark.parametrize("swapped", [False, True])
async def test_a_manager_comes_back_although_the_tenant_names_another_one_by_now(world: World, swapped: bool) -> None:
    """Unless the account of the one before has passed to somebody else: nobody is to report to that one."""
    world.source.put_user("ann", manager="ben")
    await world.sync()
    world.source.put_user("ann", manager="cleo")
    run = await world.sync()
    assert world.portal.accounts["ann@x.com"].manager == "cleo@x.com"
    if swapped:
        for name, login in (("ben", "cleo"), ("cleo", "ben")):
            world.source.put_user(name, userPrincipalName=f"{login}@x.com")
        world.source.put_user("ann", manager="ann")
        await world.sync()
        world.portal.accounts["ann@x.com"] = replace(world.portal.accounts["ann@x.com"], manager="cleo@x.com")
    undone = await world.carry_out(Undo(run_id=run.id))
    assert undone.status == "succeeded", undone.error
    assert undone.counts.get("deferred", 0) == swapped
    assert world.portal.accounts["ann@x.com"].manager == ("cleo@x.com" if swapped else "ben@x.com")


async def test_nobody_reports_by_an_undo_to_the_newcomer_who_has_an_old_login(world: World) -> None:
    """The account of the manager of before is gone, and another one was made with its login: that is another person."""
    world.rules = make_rules(policy=make_policy(deleted_users="delete", grace=timedelta()))
    world.source.put_user("ann", manager="ben")
    await world.sync()
    world.source.put_user("ann", manager="cleo")
    run = await world.sync()
    world.source.remove_user("ben", hard=True)
    await world.sync("full")
    assert "ben@x.com" not in world.portal.accounts
    world.source.put_user("dan", userPrincipalName="ben@x.com", displayName="Dan", mail="dan@x.com")
    await world.sync("full")
    assert world.portal.accounts["ben@x.com"].name == "Dan"
    await world.sync("full")  # which reads that the account is ready
    undone = await world.carry_out(Undo(run_id=run.id))
    assert world.portal.accounts["ann@x.com"].manager == "cleo@x.com", undone.error


async def test_undoing_an_undo_does_it_again(world: World) -> None:
    """An undo is a run like any other."""
    world.source.put_user("ann", displayName="Anna")
    run = await world.sync()
    first = await world.carry_out(Undo(run_id=run.id))
    second = await world.carry_out(Undo(run_id=first.id))
    assert second.status == "succeeded"
    assert world.portal.accounts["ann@x.com"].name == "Anna"
    assert world.changes(await world.sync("full")) == []


async def test_what_was_changed_again_since_is_left_and_named(world: World) -> None:
    """By hand or by a later run, field by field and membership by membership."""
    world.source.put_user("ann", displayName="Anna", jobTitle="Boss")
    world.source.put_user("cleo", accountEnabled=False)
    world.source.put_user("dora", userPrincipalName="dora@x.com", displayName="dora", mail="dora@x.com")
    world.source.link("g", "dora")
    run = await world.sync()
    await world.portal.update_account("ann@x.com", {"name": "Annie"})
    world.portal.members["all@grp"]["cleo@x.com"] = "cleo@x.com"
    world.portal.members["all@grp"].pop("dora@x.com")
    undone = await world.carry_out(Undo(run_id=run.id))
    assert undone.status == "succeeded", undone.error
    assert done(world, undone) == ["update user ann@x.com"]
    ann = world.portal.accounts["ann@x.com"]
    assert (ann.name, ann.job_title) == ("Annie", None)
    assert left(world, undone) == {
        "update ann@x.com": "changed again since, or never to be empty, and left: name",
        "create dora@x.com": "the account that was created stays: only --delete-created deletes it",
        "link all@grp dora@x.com": "no member any more",
        "unlink all@grp cleo@x.com": "member again already",
    }


async def test_created_records_stay_unless_deleting_is_asked_for(world: World) -> None:
    """Their memberships go; the accounts may have begun to be used."""
    undone = await world.carry_out(Undo(run_id=1))
    assert undone.status == "succeeded"
    assert world.portal.picture() == {"all@grp": set()}
    assert len(world.portal.accounts) == 3
    assert len(left(world, undone)) == 4
    again = await world.carry_out(Undo(run_id=1, delete_created=True))
    assert again.status == "succeeded", again.error
    assert world.portal.accounts == {}
    assert world.portal.groups == {}
    assert set(left(world, again).values()) == {"no member any more"}
    assert (await world.sync("full")).status == "succeeded"
    assert world.portal.picture()["all@grp"] == {"ann@x.com", "ben@x.com", "cleo@x.com"}


async def test_what_was_adopted_since_is_never_deleted_as_our_creation(world: World) -> None:
    """Somebody made the records anew by hand, and they were adopted: they are not those that the run created."""
    await world.clock.sleep(7200)
    await world.portal.delete_account("ann@x.com")
    await world.portal.delete_group("all@grp")
    await world.sync("full", write=False)
    world.portal.add_account("ann@x.com", name="By hand", email="ann@x.com")
    world.portal.groups["all@grp"] = PortalGroup(bps_id="all@grp", name="By hand", email="all@grp")
    world.portal.members["all@grp"] = {}
    world.rules = replace(world.rules, limits=replace(world.rules.limits, max_adoptions=None))
    adopted = await world.sync("full")
    assert {"adopt user ann@x.com", "adopt group all@grp"} <= set(done(world, adopted))
    undone = await world.carry_out(Undo(run_id=1, delete_created=True))
    assert set(world.portal.accounts) == {"ann@x.com"}
    assert set(world.portal.groups) == {"all@grp"}
    assert "adopted since" in left(world, undone)["create ann@x.com"]


async def test_an_account_that_passed_to_somebody_else_is_not_deleted_with_its_creation(world: World) -> None:
    """Two people swapped their logins, and with them the accounts: neither is the one that the run created."""
    world.source.put_user("ann", userPrincipalName="ben@x.com", mail="ben@x.com")
    world.source.put_user("ben", userPrincipalName="ann@x.com", mail="ann@x.com")
    assert (await world.sync()).status == "succeeded"
    undone = await world.carry_out(Undo(run_id=1, delete_created=True))
    assert set(world.portal.accounts) == {"ann@x.com", "ben@x.com"}
    assert "belongs to another source object by now" in left(world, undone)["create ann@x.com"]


async def test_a_deleted_account_is_made_anew_and_the_loss_is_said(world: World) -> None:
    """Its values and its manager come back; what hung on it does not, and that is in the plan."""
    world.source.put_user("cleo", jobTitle="Clerk", manager="ann")
    await world.sync()
    world.rules = replace(world.rules, policy=make_policy(deleted_users="delete", grace=make_policy().grace * 0))
    world.source.remove_user("cleo")
    first = await world.sync()
    run = first if "delete user cleo@x.com" in done(world, first) else await world.sync("full")
    assert "cleo@x.com" not in world.portal.accounts
    undone = await world.carry_out(Undo(run_id=run.id))
    assert undone.status == "succeeded", undone.error
    cleo = world.portal.accounts["cleo@x.com"]
    assert (cleo.job_title, cleo.manager) == ("Clerk", "ann@x.com")
    assert "does not come back" in left(world, undone)["delete cleo@x.com"]


async def test_undoing_an_adoption_gives_the_record_back(store_url: str) -> None:
    """The values that it overwrote return, its memberships go, and it is not ours: the next run asks again."""
    world = open_world(store_url)
    world.rules = make_rules(limits=make_limits(max_adoptions=None, max_update_percent=None, max_removal_percent=None))
    world.source.put_group("g", displayName="All", mailNickname="all@grp")
    world.source.put_user("ann", userPrincipalName="ann@x.com", displayName="Ann", mail="ann@x.com")
    world.source.link("g", "ann")
    world.portal.add_account("ann@x.com", name="By hand", email="ann@x.com", phone="1")
    before = world.portal.accounts["ann@x.com"]
    run = await world.sync("full")
    assert world.portal.accounts["ann@x.com"].name == "Ann"
    world.rules = make_rules()
    undone = await world.carry_out(Undo(run_id=run.id))
    assert undone.status == "succeeded", undone.error
    assert world.portal.accounts["ann@x.com"] == before
    assert world.portal.picture() == {"all@grp": set()}
    record = world.store.plan_files.load_record_states(["ann@x.com"], [])[0]
    assert record.ours is None
    again = await world.sync("full")
    assert again.status == "held"
    assert world.portal.accounts["ann@x.com"] == before
    redone = await world.carry_out(Undo(run_id=undone.id))
    assert redone.status == "held"  # adopting waits for approval, also when it is asked for this way
    world.database.close()


async def test_a_given_back_group_loses_our_members_first(store_url: str) -> None:
    """Memberships are corrected as long as the group is ours; whom we put out of it comes back."""
    world = open_world(store_url)
    world.rules = make_rules(limits=make_limits(max_adoptions=None, max_update_percent=None, max_removal_percent=None))
    world.source.put_group("g", displayName="All", mailNickname="all@grp")
    for name in ("ann", "ben"):
        world.source.put_user(name, userPrincipalName=f"{name}@x.com", displayName=name, mail=f"{name}@x.com")
    world.source.link("g", "ann")
    world.portal.groups["all@grp"] = PortalGroup(bps_id="all@grp", name="Old name", email="old@grp")
    world.portal.add_account("stranger@x.com", name="Stranger")
    world.portal.members["all@grp"] = {"stranger@x.com": "stranger@x.com"}
    run = await world.sync("full")
    assert world.portal.picture() == {"all@grp": {"ann@x.com"}}
    undone = await world.carry_out(Undo(run_id=run.id))
    assert undone.status == "succeeded", undone.error
    assert world.portal.picture() == {"all@grp": {"stranger@x.com"}}
    assert world.portal.groups["all@grp"] == PortalGroup(bps_id="all@grp", name="Old name", email="old@grp")
    assert world.store.plan_files.load_record_states([], ["all@grp"])[0].ours is None
    world.database.close()


async def test_the_guard_holds_what_is_too_much_and_an_approval_lets_it_through(world: World) -> None:
    """Held beside what ordinary runs hold, applied as it was shown, refused when the portal has changed since."""
    world.rules = make_rules(limits=make_limits(max_removals=1, max_removal_percent=None, max_update_percent=None))
    undone = await world.carry_out(Undo(run_id=1))
    assert undone.status == "held"
    assert "guard.max_removals" in undone.error
    assert len(world.portal.picture()["all@grp"]) == 3
    assert held(world) == [undone.id]
    assert (await world.sync("full")).status == "succeeded"
    assert held(world) == [undone.id]  # a later run does not plan this anew, so it stays
    part = await approve(world, undone.id, only=("ann@x.com",))
    assert (part.status, part.kind, part.trigger) == ("succeeded", "undo", "approval"), part.error
    assert world.portal.picture()["all@grp"] == {"ben@x.com", "cleo@x.com"}
    assert held(world) == [undone.id]
    world.portal.members["all@grp"].pop("ben@x.com")
    refused = await approve(world, undone.id)
    assert refused.status == "partial"
    assert "1 of 2 approved changes" in refused.error
    assert world.portal.picture()["all@grp"] == set()
    assert world.store.decisions.reject(Approval(run_id=undone.id)) == 1
    assert held(world) == []


async def test_rejecting_a_held_undo_rejects_nothing_of_ordinary_runs(world: World) -> None:
    """The same removal, when the tenant wants it, goes through later."""
    world.rules = make_rules(limits=make_limits(max_removals=1, max_removal_percent=None, max_update_percent=None))
    undone = await world.carry_out(Undo(run_id=1))
    world.store.decisions.reject(Approval(run_id=undone.id))
    world.source.put_user("cleo", accountEnabled=False)
    assert (await world.sync()).status == "succeeded"
    assert world.portal.picture()["all@grp"] == {"ann@x.com", "ben@x.com"}


async def test_a_held_undo_expires(world: World) -> None:
    """After a week it is planned anew, or not at all."""
    world.rules = make_rules(limits=make_limits(max_removals=1, max_removal_percent=None, max_update_percent=None))
    await world.carry_out(Undo(run_id=1))
    await world.clock.sleep(8 * 86_400)
    assert held(world) == []


async def test_a_dry_run_writes_nothing_and_holds_nothing(world: World) -> None:
    """It is a plan."""
    world.portal.writes.clear()
    planned = await world.carry_out(Undo(run_id=1, delete_created=True), write=False)
    assert planned.kind == "plan"
    assert planned.counts["planned"] == 7
    assert world.portal.writes == []
    assert held(world) == []


async def test_protect_list_mode_and_quiet_hours_hold_for_an_undo_too(world: World) -> None:
    """What must not be written in an ordinary run is not written this way either."""
    world.rules = replace(world.rules, scope=make_scope(protect=frozenset({"ann@x.com"})))
    planned = await world.carry_out(Undo(run_id=1, delete_created=True), write=False)
    assert left(world, planned)["create ann@x.com"] == "scope.protect names it: hands off"
    assert left(world, planned)["link all@grp ann@x.com"] == "scope.protect names it: hands off"
    world.rules = make_rules(policy=make_policy(mode="upsert_only"))
    planned = await world.carry_out(Undo(run_id=1, delete_created=True), write=False)
    assert "planned" not in planned.counts
    assert 'policy.mode = "upsert_only" forbids to unlink' in left(world, planned).values()
    world.rules = make_rules(policy=make_policy(mode="plan_only"))
    assert (await world.carry_out(Undo(run_id=1))).status == "failed"
    world.rules = make_rules()
    quiet = await world.carry_out(Undo(run_id=1), quiet=True)
    assert quiet.status == "failed"
    assert "quiet hours" in quiet.error
    assert len(world.portal.picture()["all@grp"]) == 3


async def test_an_undo_that_breaks_off_is_finished_by_undoing_again(world: World) -> None:
    """What was undone before is recognised and left alone."""
    world.portal.refuse.add("all@grp")
    first = await world.carry_out(Undo(run_id=1))
    assert first.status == "partial"
    world.portal.refuse.clear()
    world.portal.members["all@grp"].pop("ann@x.com")
    second = await world.carry_out(Undo(run_id=1))
    assert second.status == "succeeded"
    assert left(world, second)["link all@grp ann@x.com"] == "no member any more"
    assert world.portal.picture()["all@grp"] == set()


async def test_what_others_wait_for_is_not_hidden_by_an_undo(world: World) -> None:
    """Held changes of an ordinary run stay the newest of their sort."""
    world.rules = make_rules(limits=make_limits(max_removals=0, max_removal_percent=None, max_update_percent=None))
    world.source.put_user("cleo", accountEnabled=False)
    run = await world.sync()
    assert run.status == "held"
    undone = await world.carry_out(Undo(run_id=1))
    assert held(world) == [run.id, undone.id]
    assert (await approve(world, run.id)).status == "succeeded"


def held(world: World) -> list[int]:
    """Return the runs that hold something."""
    return world.store.decisions.load_holding_runs(now=world.clock.now())


async def approve(world: World, run: int, *, only: tuple[str, ...] = ()) -> RunRecord:
    """Approve what a run held."""
    request = RunRequest(
        pull="none", trigger="approval", retry_failed=True, approval=Approval(run_id=run, actions=(), only=only)
    )
    return await world.runs.execute(request, world.open_sides())


async def test_the_first_manager_of_an_account_stays_or_goes_with_it(world: World) -> None:
    """It was set after the creation only because these two report to one another."""
    world.source.put_user("ed", userPrincipalName="ed@x.com", displayName="ed", mail="ed@x.com", manager="zoe")
    world.source.put_user("zoe", userPrincipalName="zoe@x.com", displayName="zoe", mail="zoe@x.com", manager="ed")
    run = await world.sync()
    assert "update user ed@x.com" in done(world, run)
    undone = await world.carry_out(Undo(run_id=run.id))
    assert world.changes(undone) == [
        "create user ed@x.com dropped",
        "create user zoe@x.com dropped",
        "update user ed@x.com dropped",
        "update user zoe@x.com dropped",
    ]
    assert left(world, undone)["update ed@x.com"] == "part of the creation: it stays or goes with the account"
    assert world.portal.accounts["ed@x.com"].manager == "zoe@x.com"
    await world.carry_out(Undo(run_id=run.id, delete_created=True))
    assert "ed@x.com" not in world.portal.accounts


async def test_a_deleted_group_is_made_anew_with_the_members_that_the_run_took_out(world: World) -> None:
    """Its inner id is lost, its people are not."""
    policy = make_policy(deleted_groups="delete", grace=make_policy().grace * 0)
    world.rules = replace(world.rules, policy=policy)
    world.source.put_group("other", displayName="Other", mailNickname="other@grp")
    world.source.remove_group("g")
    first = await world.sync()
    run = first if "delete group all@grp" in done(world, first) else await world.sync("full")
    assert world.portal.groups.keys() == {"other@grp"}
    undone = await world.carry_out(Undo(run_id=run.id))
    assert undone.status == "succeeded", undone.error
    assert world.portal.groups["all@grp"].name == "All"
    unlinked = {change for change in done(world, run) if change.startswith("unlink")}
    assert unlinked
    assert len(world.portal.picture()["all@grp"]) == len(unlinked)
    assert "does not come back" in left(world, undone)["delete all@grp"]


async def test_what_a_later_run_deleted_is_named_and_left(world: World) -> None:
    """Neither the values nor the memberships of an account that is gone can come back."""
    world.source.put_user("cleo", displayName="Cleopatra")
    world.source.unlink("g", "cleo")
    run = await world.sync()
    world.rules = replace(world.rules, policy=make_policy(deleted_users="delete", grace=make_policy().grace * 0))
    world.source.remove_user("cleo")
    await world.sync()
    await world.sync("full")
    assert "cleo@x.com" not in world.portal.accounts
    undone = await world.carry_out(Undo(run_id=run.id))
    assert left(world, undone) == {
        "update cleo@x.com": "the account is not there any more",
        "unlink all@grp cleo@x.com": "the account is not there any more",
    }


async def test_the_last_run_that_changed_something_is_found(world: World) -> None:
    """Neither a plan, nor a run without work, nor one that only told of drift."""
    world.source.put_user("ann", displayName="Anna")
    run = await world.sync()
    await world.sync("full", write=False)
    await world.sync()
    last = Store(world.database).runs.load_last_changing()
    assert last is not None
    assert last.id == run.id


async def test_last_passes_over_an_undo(world: World) -> None:
    """Said a second time, 'undo last' means the same run, of which nothing is left, and does not undo the undo."""
    world.source.put_user("ann", displayName="Anna")
    run = await world.sync()
    undone = await world.carry_out(Undo(run_id=run.id))
    log = Store(world.database).runs
    last, newest = log.load_last_changing(), log.load_last_changing(undos=True)
    assert last is not None
    assert newest is not None
    assert (last.id, newest.id) == (run.id, undone.id)
    again = await world.carry_out(Undo(run_id=last.id))
    assert done(world, again) == []
    assert world.portal.accounts["ann@x.com"].name == "ann"
