"""One object now: found, read, stored, planned and pushed by itself, beside everything else that waits."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import pytest

from syncd.errors import Forbidden, NotOffered, Unavailable, UnknownObject
from syncd.model.source import Role
from syncd.plan.cel.expressions import Expression
from syncd.store.reports.explain import Explanations
from syncd.store.store import Store
from tests.fakes.rules import make_limits, make_policy, make_rules, make_scope
from tests.fakes.world import World

PEOPLE = 8


def found_company(world: World) -> None:
    """A tenant with eight people and three groups, one within another, and an empty portal."""
    for number in range(PEOPLE):
        world.source.put_user(
            f"u{number}",
            userPrincipalName=f"u{number}@x.com",
            displayName=f"User {number}",
            mail=f"u{number}@x.com",
            manager="u0" if number else None,
        )
    for name, title in (("g1", "All"), ("g2", "Sales"), ("g3", "Board")):
        world.source.put_group(name, displayName=title, mailNickname=f"{title.lower()}@grp")
    for number in range(6):
        world.source.link("g1", f"u{number}")
    world.source.link("g1", "g2", "group")
    world.source.link("g2", "u6")


pytestmark = pytest.mark.company(founded_by=found_company)


async def settle(world: World) -> None:
    """Bring the portal in step."""
    run = await world.sync("full")
    assert run.status == "succeeded", run.error


def runs_of(world: World) -> list[tuple[str, str]]:
    """Return kind and status of every recorded run, oldest first."""
    return [(run.kind, run.status) for run in reversed(Store(world.database).runs.load_runs(100))]


# ---- one user -------------------------------------------------------------------------------------------------------


async def test_a_user_is_read_with_manager_and_groups_and_nothing_else_is_carried_out(world: World) -> None:
    """Name, manager, a group joined and one left go to the portal; the change of somebody else waits for its run."""
    await settle(world)
    source = world.source
    source.put_user("u3", displayName="Married", manager="u1")
    source.put_user("u4", displayName="Somebody else")
    source.link("g3", "u3")
    source.unlink("g1", "u3")
    source.calls.clear()
    run = await world.sync_one("user", "U3@x.com")
    assert (run.kind, run.trigger, run.status) == ("user", "cli", "succeeded"), run.error
    assert sorted(world.changes(run)) == [
        "link membership board@grp u3@x.com done",
        "unlink membership all@grp u3@x.com done",
        "update user u3@x.com done",
    ]
    assert (world.portal.accounts["u3@x.com"].name, world.portal.accounts["u3@x.com"].manager) == (
        "Married",
        "u1@x.com",
    )
    assert not any(call.startswith(("users ", "groups d:", "groups st")) for call in source.calls)
    assert world.portal.accounts["u4@x.com"].name == "User 4"
    delta = await world.sync("delta")
    assert world.changes(delta) == ["update user u4@x.com done"]
    assert world.changes(await world.sync("full")) == []


async def test_a_new_user_arrives_whole_and_the_next_delta_finds_nothing_to_do(world: World) -> None:
    """Somebody whom no delta has told yet gets account, manager and place at once."""
    await settle(world)
    world.source.put_user("u9", userPrincipalName="new@x.com", displayName="New", mail="new@x.com", manager="u1")
    world.source.link("g2", "u9")
    run = await world.sync_one("user", "new@x.com")
    assert run.status == "succeeded", run.error
    assert world.portal.accounts["new@x.com"].manager == "u1@x.com"
    assert "new@x.com" in world.portal.picture()["sales@grp"] & world.portal.picture()["all@grp"]
    assert world.changes(await world.sync("delta")) == []
    assert world.changes(await world.sync("full")) == []


async def test_a_user_without_news_is_compared_with_the_portal_all_the_same(world: World) -> None:
    """What was changed by hand in the account is put right, because the portal's record is read anew."""
    await settle(world)
    world.portal.accounts["u3@x.com"] = replace(world.portal.accounts["u3@x.com"], name="By hand")
    run = await world.sync_one("user", "u3")
    assert world.changes(run) == ["update user u3@x.com done"]
    assert world.portal.accounts["u3@x.com"].name == "User 3"


async def test_a_deleted_user_loses_the_places_and_a_restored_one_gets_them_back(world: World) -> None:
    """404 and the deleted items are the witnesses; the memberships are remembered."""
    await settle(world)
    world.source.remove_user("u3")
    run = await world.sync_one("user", "u3@x.com")
    assert world.changes(run) == ["unlink membership all@grp u3@x.com done"]
    assert run.counts["users_removed"] == 1
    world.source.restore_user("u3")
    again = await world.sync_one("user", "u3")
    assert world.changes(again) == ["link membership all@grp u3@x.com done"]
    assert world.changes(await world.sync("full")) == []


@pytest.mark.both_engines
async def test_a_user_whom_the_tenant_denies_and_then_shows_is_not_gone(world: World) -> None:
    """One 404 is a moment of weakness, not a proof."""
    await settle(world)
    world.source.users["u3"].state = "flickering"  # denied by a direct read, and not among the deleted items

    async def existing(stream: str, ids: list[str]) -> frozenset[str]:
        return frozenset(ids)

    world.source.fetch_existing = existing  # type: ignore[assignment]
    run = await world.sync_one("user", "u3@x.com")
    assert run.status == "failed"
    assert "denied and then showed" in run.error
    assert "u3@x.com" in world.portal.picture()["all@grp"]


async def test_a_renamed_user_is_found_by_the_old_name_too(world: World) -> None:
    """The store knows whom the old UPN meant; the tenant is asked by id then."""
    await settle(world)
    world.source.put_user("u3", userPrincipalName="married@x.com")
    run = await world.sync_one("user", "u3@x.com")
    assert "create user married@x.com done" in world.changes(run)
    assert "married@x.com" in world.portal.picture()["all@grp"]


async def test_a_failed_read_stores_nothing_and_is_recorded(world: World) -> None:
    """The user was read, the groups were not: neither directory nor portal has changed."""
    await settle(world)
    writes = list(world.portal.writes)
    world.source.put_user("u3", displayName="Married")
    whole = world.source.fetch_groups_of

    async def broken(user_id: str, *, role: Role = "members") -> frozenset[str]:
        raise Unavailable("Graph is down", status=503)

    world.source.fetch_groups_of = broken
    run = await world.sync_one("user", "u3")
    assert (run.kind, run.status, run.error) == ("user", "failed", "Graph is down")
    assert world.portal.writes == writes
    world.source.fetch_groups_of = whole
    assert world.changes(await world.sync("delta")) == ["update user u3@x.com done"]


async def test_a_group_that_hides_its_members_takes_nobody_out(world: World) -> None:
    """The user's list of groups lacks such a group, and its own list is refused: that proves nothing."""
    await settle(world)
    world.source.hiding.add("g1")
    run = await world.sync_one("user", "u3")
    assert (run.status, world.changes(run)) == ("succeeded", [])


async def test_a_membership_that_the_group_still_shows_stays(world: World) -> None:
    """A user's list of groups that lacks one is only the first witness."""
    await settle(world)

    async def none(user_id: str, *, role: Role = "members") -> frozenset[str]:
        return frozenset()

    world.source.fetch_groups_of = none
    run = await world.sync_one("user", "u3")
    assert (run.status, world.changes(run)) == ("succeeded", [])


# ---- one group ------------------------------------------------------------------------------------------------------


async def test_a_group_is_read_with_all_its_members(world: World) -> None:
    """Who came and who went, also in the groups above; members of any type are stored."""
    await settle(world)
    source = world.source
    source.put_group("g2", displayName="Sales and more")
    source.link("g2", "u7")
    source.link("g2", "d1", "device")
    source.unlink("g2", "u6")
    source.unlink("g1", "u5")
    run = await world.sync_one("group", "sales and more")
    assert run.kind == "group"
    assert sorted(world.changes(run)) == [
        "link membership all@grp u7@x.com done",
        "link membership sales@grp u7@x.com done",
        "unlink membership all@grp u6@x.com done",
        "unlink membership sales@grp u6@x.com done",
        "update group sales@grp done",
    ]
    assert "u5@x.com" in world.portal.picture()["all@grp"]
    assert world.changes(await world.sync("delta")) == ["unlink membership all@grp u5@x.com done"]
    assert world.changes(await world.sync("full")) == []


async def test_who_moved_to_another_group_below_keeps_the_places_above(world: World) -> None:
    """The groups of whoever left are read anew, too: the store need not know yet where that person went."""
    world.source.link("g1", "g3", "group")
    world.source.link("g2", "u7")
    await settle(world)
    world.source.unlink("g2", "u6")
    world.source.link("g3", "u6")
    world.source.unlink("g2", "u7")
    run = await world.sync_one("group", "Sales")
    assert sorted(world.changes(run)) == [
        "link membership board@grp u6@x.com done",
        "unlink membership all@grp u7@x.com done",
        "unlink membership sales@grp u6@x.com done",
        "unlink membership sales@grp u7@x.com done",
    ]
    assert world.changes(await world.sync("delta")) == []
    assert world.changes(await world.sync("full")) == []


async def test_a_group_that_moved_takes_nobody_out_before_the_next_delta(world: World) -> None:
    """Where a nested group went is not known yet: who is here through it stays, and the run says so."""
    world.source.link("g1", "g3", "group")
    await settle(world)
    world.source.put_group("g4", displayName="Nested", mailNickname="nested@grp")
    world.source.link("g4", "u7")
    world.source.link("g2", "g4", "group")
    await world.sync("delta")
    world.source.unlink("g2", "g4")
    world.source.link("g3", "g4", "group")
    run = await world.sync_one("group", "Sales")
    assert run.status == "partial"
    assert "(g4)" in run.error
    assert "the next delta" in run.error
    assert world.changes(run) == []
    assert sorted(world.changes(await world.sync("delta"))) == [
        "link membership board@grp u7@x.com done",
        "unlink membership sales@grp u7@x.com done",
    ]


async def test_a_member_whose_own_groups_contradict_the_groups_list_stays(world: World) -> None:
    """The list of the group lacks somebody, and that person's own groups name it: one of them is behind."""
    await settle(world)
    world.source.unlink("g2", "u6")
    groups_of = world.source.fetch_groups_of

    async def lag(user_id: str, *, role: Role = "members") -> frozenset[str] | None:
        return (await groups_of(user_id) or frozenset()) | {"g2"}

    world.source.fetch_groups_of = lag
    run = await world.sync_one("group", "Sales")
    assert run.status == "partial"
    assert world.changes(run) == []


async def test_a_new_group_is_created_with_the_people_whom_the_portal_has(world: World) -> None:
    """Nothing of it was known; the next delta finds nothing left to do."""
    await settle(world)
    world.source.put_group("g9", displayName="Project", mailNickname="project@grp")
    world.source.link("g9", "u1")
    world.source.link("g9", "g2", "group")
    run = await world.sync_one("group", "Project")
    assert run.status == "succeeded", run.error
    assert world.portal.picture()["project@grp"] == {"u1@x.com", "u6@x.com"}
    assert world.changes(await world.sync("delta")) == []


async def test_a_deleted_group_is_emptied(world: World) -> None:
    """Whether groups are among the deleted items we may not know: a second denial is the second witness."""
    await settle(world)
    world.source.remove_group("g2")
    run = await world.sync_one("group", "Sales")
    assert sorted(world.changes(run)) == [
        "unlink membership all@grp u6@x.com done",
        "unlink membership sales@grp u6@x.com done",
    ]
    assert world.changes(await world.sync("full")) == []


async def test_people_who_left_a_list_that_the_count_contradicts_stay(world: World) -> None:
    """Two readings were cut alike, but the tenant counts more members than they showed."""
    await settle(world)
    world.source.unlisted.update({"g1/u1", "g1/u2"})
    world.source.member_count_lies["g1"] = 8
    run = await world.sync_one("group", "g1")
    assert run.status == "partial"
    assert "the tenant counts 15 users and groups in it, and the readings met 5" in run.error
    assert world.changes(run) == []


async def test_a_soft_deleted_member_keeps_the_place_that_no_list_shows(world: World) -> None:
    """The group is read while the user is in the bin; restored, the user is a member again."""
    await settle(world)
    world.source.remove_user("u3")
    await world.sync("delta")
    await world.sync_one("group", "All")
    world.source.restore_user("u3")
    run = await world.sync("delta")
    assert world.changes(run) == ["link membership all@grp u3@x.com done"]


async def test_a_hidden_group_keeps_its_members(world: World) -> None:
    """That its list is refused is no news of anybody."""
    await settle(world)
    world.source.hiding.add("g1")
    run = await world.sync_one("group", "All")
    assert run.status == "partial"
    assert "hides its members from us: nobody is taken out" in run.error
    assert len(world.portal.picture()["all@grp"]) == 7


# ---- names ----------------------------------------------------------------------------------------------------------


@pytest.mark.both_engines
async def test_an_unknown_name_is_one_sentence_and_no_run(world: World) -> None:
    """A slip of the keyboard is not worth a line of the history."""
    await settle(world)
    before = runs_of(world)
    with pytest.raises(UnknownObject, match=r"neither the tenant nor the store knows a user 'nobody@x.com'"):
        await world.sync_one("user", "nobody@x.com")
    with pytest.raises(UnknownObject, match=r"a group 'Nothing'.*exact display name"):
        await world.sync_one("group", "Nothing")
    assert runs_of(world) == before


async def test_an_ambiguous_group_name_lists_the_ids(world: World) -> None:
    """Two groups of one name are a question, not a choice."""
    await settle(world)
    world.source.put_group("g8", displayName="Sales", mailNickname="other@grp")
    with pytest.raises(UnknownObject, match="2 groups are named 'Sales': g2, g8; give the id"):
        await world.sync_one("group", "Sales")
    assert (await world.sync_one("group", "g8")).status == "succeeded"


# ---- the state of the store -----------------------------------------------------------------------------------------


async def test_an_empty_store_refuses_and_says_what_comes_first(world: World) -> None:
    """One object alone cannot be told from an account that somebody else made."""
    run = await world.sync_one("user", "u3")
    assert run.status == "failed"
    assert "'syncd sync full'" in run.error
    assert world.portal.writes == []


async def test_after_a_plan_a_single_user_can_be_tried_first(world: World) -> None:
    """The push over everybody stays due, and creates exactly the others afterwards."""
    await world.sync("full", write=False)
    run = await world.sync_one("user", "u3")
    assert "create user u3@x.com done" in world.changes(run)
    assert set(world.portal.accounts) == {"u3@x.com"}
    everybody = await world.sync("delta")
    assert len(world.portal.accounts) == PEOPLE
    assert everybody.status == "succeeded"
    assert world.changes(await world.sync("full")) == []


async def test_new_rules_are_tried_on_one_user_and_reach_the_others_later(world: World) -> None:
    """The rules leave two people out; the run over one of them takes that one's places, and nobody else's."""
    await settle(world)
    world.rules = make_rules(scope=make_scope(users=Expression('user.displayName != "User 3" && user.id != "u4"')))
    run = await world.sync_one("user", "u3")
    assert world.changes(run) == ["unlink membership all@grp u3@x.com done"]
    assert "u4@x.com" in world.portal.picture()["all@grp"]
    assert world.changes(await world.sync("delta")) == ["unlink membership all@grp u4@x.com done"]


async def test_another_selection_of_attributes_is_refused(world: World) -> None:
    """The others in the store lack the new attribute, so that no rule can be trusted about them."""
    await settle(world)
    world.source.fingerprint = lambda stream: f"other-{stream}"
    run = await world.sync_one("group", "All")
    assert run.status == "failed"
    assert "attributes" in run.error


async def test_a_tenant_that_reads_empty_is_settled_first(world: World) -> None:
    """While a whole stream shows nothing, a single 404 is not believed either."""
    await settle(world)
    for user in world.source.users.values():
        user.state = "soft_deleted"
    assert (await world.sync("full")).status == "held"
    run = await world.sync_one("user", "u3")
    assert run.status == "failed"
    assert len(world.portal.picture()["all@grp"]) == 7


async def test_a_killed_single_run_loses_no_touch_of_the_others(world: World) -> None:
    """What waited meanwhile is taken back by the next run of any kind."""
    await settle(world)
    world.source.put_user("u4", displayName="Somebody else")
    await world.sync("delta", write=False)
    world.source.put_user("u3", displayName="Married")

    async def killed(bps_id: str) -> None:
        raise KeyboardInterrupt

    fetch = world.portal.fetch_account
    world.portal.fetch_account = killed
    with pytest.raises(KeyboardInterrupt):
        await world.sync_one("user", "u3")
    world.portal.fetch_account = fetch
    run = await world.sync("delta")
    assert sorted(world.changes(run)) == ["update user u3@x.com done", "update user u4@x.com done"]


# ---- the guard, and what others hold --------------------------------------------------------------------------------


async def test_the_guard_judges_the_one_object(world: World) -> None:
    """A group that was emptied is held by itself, and can be approved."""
    await settle(world)
    world.rules = make_rules(limits=make_limits(max_removals=3, max_update_percent=None))
    await world.sync("full")
    for number in range(6):
        world.source.unlink("g1", f"u{number}")
    run = await world.sync_one("group", "All")
    assert run.status == "held"
    assert Store(world.database).decisions.load_holding_runs(now=world.clock.now()) == [run.id]
    assert len(world.portal.picture()["all@grp"]) == 7


@pytest.mark.both_engines
async def test_what_a_run_over_everybody_holds_stays_held_for_the_one_object_too(world: World) -> None:
    """Six removals are held; one of these people is synchronised alone: that decides nothing, and explain knows."""
    await settle(world)
    world.rules = make_rules(limits=make_limits(max_removals=3, max_update_percent=None))
    await world.sync("full")
    for number in range(6):
        world.source.unlink("g1", f"u{number}")
    held = await world.sync("delta")
    assert held.status == "held"
    run = await world.sync_one("user", "u2")
    assert (run.status, world.changes(run)) == ("held", ["unlink membership all@grp u2@x.com held"])
    assert f"held since run {held.id} (6 times unlink" in run.error
    assert Store(world.database).decisions.load_holding_runs(now=world.clock.now()) == [held.id, run.id]
    explanations = Explanations(world.database)
    open_of = {
        name: [
            entry["outcome"]
            for entry in explanations.explain(explanations.find(name)[0], now=world.clock.now()).pending
        ]
        for name in ("u2@x.com", "u3@x.com")
    }
    assert open_of == {"u2@x.com": ["held"], "u3@x.com": ["held"]}
    again = await world.sync("delta")
    assert again.counts["held"] == 6
    assert "u2@x.com" in world.portal.picture()["all@grp"]


@pytest.mark.both_engines
async def test_the_failure_of_somebody_else_is_not_forgotten(world: World) -> None:
    """A refused account keeps its growing delay while others are synchronised singly."""
    await settle(world)
    world.portal.refuse.add("u4@x.com")
    world.source.put_user("u4", displayName="Refused")
    assert (await world.sync("delta")).status == "partial"
    assert (await world.sync_one("user", "u3")).status == "succeeded"
    later = await world.sync("delta", retry_failed=False)
    assert world.changes(later) == ["update user u4@x.com deferred"]
    world.portal.refuse.clear()
    solved = await world.sync_one("user", "u4")
    assert world.changes(solved) == ["update user u4@x.com done"]
    explanations = Explanations(world.database)
    assert explanations.explain(explanations.find("u4@x.com")[0], now=world.clock.now()).pending == []


async def test_leavers_are_handled_by_the_policy(world: World) -> None:
    """A disabled user keeps what the policy keeps."""
    world.rules = make_rules(policy=make_policy(disabled_users="keep"))
    await settle(world)
    world.source.put_user("u3", accountEnabled=False)
    run = await world.sync_one("user", "u3")
    assert world.changes(run) == []
    assert "u3@x.com" in world.portal.picture()["all@grp"]


@pytest.mark.both_engines
@pytest.mark.parametrize("policy", ["keep", "revoke"])
async def test_who_left_the_tenant_is_left_to_the_policy_and_not_to_the_list_of_a_group(
    world: World, policy: Literal["keep", "revoke"]
) -> None:
    """No list shows who is deleted: with keep that person keeps the places, with revoke loses them by a delta."""
    world.rules = make_rules(policy=make_policy(deleted_users=policy))
    world.rules = replace(world.rules, mapping=replace(world.rules.mapping, owners=True))
    world.source.tracks_owners = True
    world.source.own("g2", "u6")
    await settle(world)
    world.source.remove_user("u6", hard=True)
    run = await world.sync_one("group", "Sales")
    assert run.status == "partial"
    assert "not in the tenant any more (u6)" in run.error
    assert world.changes(run) == []
    run = await world.sync("delta")
    left = ["all@grp", "sales@grp"] if policy == "keep" else []
    assert [group for group, people in world.portal.picture().items() if "u6@x.com" in people] == left
    assert world.changes(await world.sync("full")) == []


# ---- what a user owns -----------------------------------------------------------------------------------------------


@pytest.fixture
async def owning(world: World) -> World:
    """The same world with owners tracked: u1 owns two groups."""
    world.rules = replace(world.rules, mapping=replace(world.rules.mapping, owners=True))
    world.source.tracks_owners = True
    world.source.own("g1", "u1")
    world.source.own("g2", "u1")
    await settle(world)
    return world


async def test_a_user_comes_with_what_they_own(owning: World) -> None:
    """An ownership that is new is added, one that neither the person nor the group has is taken away."""
    owning.source.own("g3", "u1")
    owning.source.disown("g1", "u1")
    owning.source.own("g1", "u2")
    run = await owning.sync_one("user", "u1@x.com")
    assert run.status == "succeeded", run.error
    changes = ["link ownership board@grp u1@x.com done", "unlink ownership all@grp u1@x.com done"]
    assert owning.changes(run) == changes
    run = await owning.sync("delta")
    assert owning.changes(run) == ["link ownership all@grp u2@x.com done"]
    assert owning.changes(await owning.sync("full")) == []


@pytest.mark.both_engines
async def test_an_ownership_that_the_group_still_has_stays(owning: World) -> None:
    """What somebody owns may lag behind: the group's own list is the second witness."""
    whole = owning.source.fetch_groups_of

    async def lag(user_id: str, *, role: Role = "members") -> frozenset[str] | None:
        return frozenset() if role == "owners" else await whole(user_id)

    owning.source.fetch_groups_of = lag
    run = await owning.sync_one("user", "u1@x.com")
    assert run.status == "succeeded", run.error
    assert owning.changes(run) == []
    assert {"owners g1", "owners g2"} <= set(owning.source.calls)


@pytest.mark.parametrize("error", [Forbidden("no right", status=403), NotOffered("no such list", status=501)])
async def test_where_nobody_tells_what_a_user_owns_it_stays_and_the_run_says_so(
    owning: World, error: Exception
) -> None:
    """Everything else of that user is synchronised."""
    whole = owning.source.fetch_groups_of

    async def refuse(user_id: str, *, role: Role = "members") -> frozenset[str] | None:
        if role == "owners":
            raise error
        return await whole(user_id)

    owning.source.fetch_groups_of = refuse
    owning.source.disown("g1", "u1")
    owning.source.put_user("u1", displayName="Renamed")
    run = await owning.sync_one("user", "u1@x.com")
    assert run.status == "partial"
    assert "what they own could not be read" in run.error
    assert owning.changes(run) == ["update user u1@x.com done"]
    assert "u1@x.com" in owning.portal.ownership()["all@grp"]
