"""Licences by group, over a real store of each kind, between a fake tenant and a fake portal."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest
from sqlalchemy import text

from syncd.errors import Rejected
from syncd.model.licence import LicenceList, Step, StepResult
from syncd.model.run import Approval, PullKind, RunRecord, RunRequest
from syncd.plan.planfile import open_plan
from syncd.plan.rules import LicenceRule, fold_all
from syncd.store.reports.explain import Explanations
from syncd.store.reports.gauges import load_gauges
from syncd.store.reports.status import Report
from syncd.sync.planning.proposal import FromFile
from tests.fakes.rules import make_limits, make_policy, make_rules, make_scope
from tests.fakes.world import World

POWER = LicenceRule("Power", "PowerUser")
USER = LicenceRule("All", "User")


def found_company(world: World) -> None:
    """Five people: all of them in All, the first two also in Power, which lies in All as well."""
    for number in range(5):
        world.source.put_user(
            f"u{number}", userPrincipalName=f"u{number}@x.com", displayName=f"User {number}", mail=f"u{number}@x.com"
        )
    world.source.put_group("g1", displayName="All", mailNickname="all@grp")
    world.source.put_group("g2", displayName="Power", mailNickname="power@grp")
    for number in range(2, 5):
        world.source.link("g1", f"u{number}")
    world.source.link("g1", "g2", "group")
    world.source.link("g2", "u0")
    world.source.link("g2", "u1")
    world.rules = make_rules(licences=(POWER, USER))
    world.portal.totals = {"PowerUser": 10, "User": 10}


pytestmark = pytest.mark.company(founded_by=found_company)


def held(world: World) -> dict[str, str]:
    """Return who holds what, types joined."""
    return {bps_id: " ".join(sorted(kinds)) for bps_id, kinds in sorted(world.portal.licences.items()) if kinds}


EVERYBODY = {
    "u0@x.com": "PowerUser",
    "u1@x.com": "PowerUser",
    "u2@x.com": "User",
    "u3@x.com": "User",
    "u4@x.com": "User",
}


async def settle(world: World) -> RunRecord:
    """Bring the portal in step, and check that nothing is left to plan."""
    run = await world.sync("full")
    assert run.status == "succeeded", run.error
    assert world.changes(await world.sync("full")) == []
    return run


def licence_changes(world: World, run: RunRecord) -> list[str]:
    """Return a run's licence changes as ``action id type status``."""
    found = [change.split(" ", 2) for change in world.changes(run)]
    return [f"{action} {rest}" for action, kind, rest in found if kind == "licence"]


async def test_the_first_rule_that_covers_a_person_gives_the_licence(world: World) -> None:
    """Members are found through nested groups, the order of the rules decides, and a second run plans nothing."""
    await settle(world)
    assert held(world) == EVERYBODY


async def test_without_rules_no_licence_request_is_sent(world: World) -> None:
    """Whoever has no licence rules needs no licence scope."""
    world.rules = make_rules()
    world.portal.licences["u0@x.com"] = {"User": {}}
    await settle(world)
    assert world.portal.licence_reads == []
    assert held(world) == {"u0@x.com": "User"}


async def test_a_delta_run_changes_the_type_in_one_request_and_asks_for_the_seats_only(world: World) -> None:
    """Who moves between groups gets the new type and gives the old one back, without a moment without any."""
    await settle(world)
    world.portal.writes.clear()
    world.portal.licence_reads.clear()
    world.source.link("g2", "u2")
    run = await world.sync("delta")
    assert licence_changes(world, run) == ["revoke u2@x.com User done", "grant u2@x.com PowerUser done"]
    assert held(world) == {**EVERYBODY, "u2@x.com": "PowerUser"}
    assert [write for write in world.portal.writes if write.startswith("licences")] == ["licences u2@x.com"]
    assert world.portal.licence_reads == ["seats"]
    world.portal.licence_reads.clear()
    await world.sync("delta")
    assert world.portal.licence_reads == []


async def test_many_grants_travel_in_one_request(world: World) -> None:
    """The portal takes any number of people at once."""
    await world.sync("full")
    assert [write for write in world.portal.writes if write.startswith("licences")] == [
        "licences u0@x.com,u1@x.com,u2@x.com,u3@x.com,u4@x.com"
    ]


@pytest.mark.both_engines
async def test_what_the_metrics_tell_of_licences(world: World) -> None:
    """Seats that are left, and people who wait for one: until there is a seat, and not a run longer."""
    world.portal.totals["User"] = 2
    await world.sync("full")
    glance = await asyncio.to_thread(load_gauges, world.database)
    assert (glance.failing, glance.seats_free) == (0, {"PowerUser": 8, "User": 0})
    assert glance.licences_waiting == {"PowerUser": 0, "User": 1}
    world.portal.totals["User"] = 3
    await settle(world)
    glance = await asyncio.to_thread(load_gauges, world.database)
    assert glance.licences_waiting == {"PowerUser": 0, "User": 0}


async def test_who_leaves_the_groups_gives_a_licence_of_ours_back(world: World) -> None:
    """A person without a rule loses what a rule gave, and gets it back on return."""
    await settle(world)
    world.source.unlink("g1", "u3")
    assert licence_changes(world, await world.sync("delta")) == ["revoke u3@x.com User done"]
    world.source.link("g1", "u3")
    assert licence_changes(world, await world.sync("delta")) == ["grant u3@x.com User done"]
    assert held(world) == EVERYBODY


async def test_a_licence_given_by_hand_stays_manual(world: World) -> None:
    """Neither the rule that gives the same type nor the end of that rule takes it."""
    world.portal.licences = {"u2@x.com": {"User": {}}, "u0@x.com": {"ExternalUser": {}}}
    run = await settle(world)
    assert "grant u2@x.com User done" not in licence_changes(world, run)
    assert held(world) == {**EVERYBODY, "u0@x.com": "ExternalUser PowerUser"}
    world.source.unlink("g1", "u2")
    world.source.unlink("g2", "u0")
    await world.sync("delta")
    assert held(world)["u2@x.com"] == "User"
    assert held(world)["u0@x.com"] == "ExternalUser"


@pytest.mark.both_engines
async def test_a_licence_given_by_hand_since_the_last_reading_is_noticed_before_ours_would_take_its_place(
    world: World,
) -> None:
    """More seats are assigned than we know of: the licences are read once more, and the hand-made one stays manual."""
    world.source.unlink("g1", "u4")
    await settle(world)
    world.portal.licences["u4@x.com"] = {"User": {}}
    world.source.link("g1", "u4")
    run = await world.sync("delta")
    assert licence_changes(world, run) == ["grant u4@x.com User dropped"]
    world.source.unlink("g1", "u4")
    await world.sync("delta")
    assert held(world)["u4@x.com"] == "User"


async def test_a_licence_taken_by_hand_is_given_again_by_a_full_run(world: World) -> None:
    """The full run reads who holds what."""
    await settle(world)
    world.portal.licences["u3@x.com"].clear()
    assert licence_changes(world, await world.sync("full")) == ["grant u3@x.com User done"]


# ---- seats -----------------------------------------------------------------------------------------------------------


async def test_a_list_with_an_unreadable_entry_takes_nothing_from_anybody(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever is missing in it may be that entry: the licence stays ours, and is not given twice."""
    world.portal.totals = {}
    await settle(world)
    world.clock.ahead += timedelta(hours=2)
    fetch = world.portal.fetch_licences

    async def garble() -> LicenceList | None:
        found = await fetch()
        assert found is not None
        rest = tuple(holder for holder in found.holders if holder.bps_id != "u2@x.com")
        return LicenceList(rest, complete=False)

    with monkeypatch.context() as patch:
        patch.setattr(world.portal, "fetch_licences", garble)
        assert licence_changes(world, await world.sync("full")) == []
    world.source.unlink("g1", "u2")
    assert licence_changes(world, await world.sync("delta")) == ["revoke u2@x.com User done"]


async def test_a_shortage_is_named_with_numbers_and_the_first_by_id_get_the_seats(world: World) -> None:
    """Three need one of two seats: the last goes without, is put off, and gets a seat when one is free."""
    world.portal.totals["User"] = 2
    run = await world.sync("full")
    assert run.status == "succeeded"
    assert "User: 3 seats needed, 2 are free" in run.error
    assert "grant u4@x.com User deferred" in licence_changes(world, run)
    assert "u4@x.com" not in held(world)
    assert licence_changes(world, await world.sync("delta")) == ["grant u4@x.com User deferred"]
    world.portal.totals["User"] = 3
    assert licence_changes(world, await world.sync("delta")) == ["grant u4@x.com User done"]


async def test_a_seat_that_is_freed_is_given_in_the_same_run(world: World) -> None:
    """The leaver's seat goes to the newcomer, taken before it is given."""
    world.portal.totals = {"PowerUser": 2, "User": 3}
    await settle(world)
    world.source.put_user("u2", accountEnabled=False)
    world.source.put_user("u9", userPrincipalName="u9@x.com", displayName="New", mail="u9@x.com")
    world.source.link("g1", "u9")
    run = await world.sync("delta")
    assert licence_changes(world, run) == ["revoke u2@x.com User done", "grant u9@x.com User done"]


@pytest.mark.both_engines
async def test_two_people_swap_their_types_when_no_seat_is_free(world: World) -> None:
    """Both give theirs up first."""
    world.portal.totals = {"PowerUser": 2, "User": 3}
    await settle(world)
    world.source.unlink("g2", "u0")
    world.source.link("g1", "u0")
    world.source.link("g2", "u2")
    assert (await world.sync("delta")).error == ""
    assert held(world) == {**EVERYBODY, "u0@x.com": "User", "u2@x.com": "PowerUser"}


async def test_who_cannot_get_the_new_type_keeps_the_old_one(world: World) -> None:
    """Nobody is left without a licence because the other kind is short."""
    world.portal.totals = {"PowerUser": 2, "User": 3}
    await settle(world)
    world.source.link("g2", "u2")
    run = await world.sync("delta")
    assert licence_changes(world, run) == ["revoke u2@x.com User deferred", "grant u2@x.com PowerUser deferred"]
    assert held(world) == EVERYBODY


async def test_who_changes_the_type_keeps_the_old_one_while_the_account_is_not_ready(world: World) -> None:
    """WEBCON still copies the account: what takes the old licence's place cannot be given yet."""
    await settle(world)
    ready = world.portal.accounts["u2@x.com"]
    world.portal.accounts["u2@x.com"] = replace(ready, status="WaitingForSynchronization")
    world.source.link("g2", "u2")
    run = await world.sync("full")
    assert licence_changes(world, run) == ["revoke u2@x.com User deferred", "grant u2@x.com PowerUser deferred"]
    assert held(world) == EVERYBODY
    world.portal.accounts["u2@x.com"] = ready
    await world.sync("delta")
    assert held(world) == {**EVERYBODY, "u2@x.com": "PowerUser"}


async def test_a_portal_that_turns_perpetual_in_mid_run_fails_nobody(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it does not take any more is dropped with a word."""
    await settle(world)
    world.source.link("g2", "u2")

    async def refuse(steps: Sequence[Step]) -> tuple[StepResult, ...]:
        raise Rejected("perpetual", status=405, code="UnsupportedLicensingType")

    monkeypatch.setattr(world.portal, "change_licences", refuse)
    run = await world.sync("delta")
    assert run.status == "succeeded", run.error
    assert licence_changes(world, run) == ["revoke u2@x.com User dropped", "grant u2@x.com PowerUser dropped"]


async def test_what_the_guard_holds_frees_no_seat(world: World) -> None:
    """The revoke waits for approval, and so does the newcomer for the seat; the approval settles it."""
    world.portal.totals = {"PowerUser": 2, "User": 3}
    await settle(world)
    world.rules = replace(world.rules, limits=make_limits(max_removals=0, max_removal_percent=None))
    await world.sync("full")
    world.source.put_user("u2", accountEnabled=False)
    world.source.put_user("u9", userPrincipalName="u9@x.com", displayName="New", mail="u9@x.com")
    world.source.link("g1", "u9")
    run = await world.sync("delta")
    assert run.status == "held"
    assert licence_changes(world, run) == ["revoke u2@x.com User held", "grant u9@x.com User deferred"]
    request = RunRequest(
        pull="none", trigger="approval", retry_failed=True, approval=Approval(run_id=run.id, actions=("revoke",))
    )
    approved = await world.runs.execute(request, world.open_sides())
    assert "revoke u2@x.com User done" in licence_changes(world, approved)
    await world.sync("delta")
    assert held(world) == {"u9@x.com": "User", **{k: v for k, v in EVERYBODY.items() if k != "u2@x.com"}}


async def test_a_plan_without_asking_counts_the_seats_that_are_known(world: World) -> None:
    """`plan none` sends nothing, and names the shortage all the same."""
    world.portal.totals["User"] = 3
    await settle(world)
    world.source.put_user("u9", userPrincipalName="u9@x.com", displayName="New", mail="u9@x.com")
    world.source.link("g1", "u9")
    await world.sync("delta", write=False)
    world.portal.licence_reads.clear()
    run = await world.sync("none", write=False)
    assert world.portal.licence_reads == []
    assert licence_changes(world, run) == ["grant u9@x.com User deferred"]


# ---- leavers, policies ----------------------------------------------------------------------------------------------


async def test_a_leaver_gives_the_licence_back_by_policy(world: World) -> None:
    """`revoke` takes it, `keep` leaves it, and whoever returns gets it again."""
    await settle(world)
    world.source.put_user("u2", accountEnabled=False)
    assert "revoke u2@x.com User done" in licence_changes(world, await world.sync("delta"))
    world.source.put_user("u2", accountEnabled=True)
    await world.sync("delta")
    assert held(world) == EVERYBODY
    world.rules = replace(world.rules, policy=make_policy(disabled_users="keep"))
    world.source.put_user("u2", accountEnabled=False)
    await world.sync("delta")
    assert held(world) == EVERYBODY


async def test_every_licence_is_revoked_before_its_account_is_deleted(world: World) -> None:
    """One given by hand goes together with the account, and not before."""
    world.rules = replace(world.rules, policy=make_policy(disabled_users="delete", grace=timedelta(days=1)))
    world.portal.licences["u2@x.com"] = {"ExternalUser": {}}
    await settle(world)
    world.source.put_user("u2", accountEnabled=False)
    assert licence_changes(world, await world.sync("delta")) == ["revoke u2@x.com User done"]
    assert held(world)["u2@x.com"] == "ExternalUser"
    world.clock.ahead += timedelta(days=2)
    run = await world.sync("delta")
    assert licence_changes(world, run) == ["revoke u2@x.com ExternalUser done"]
    assert "u2@x.com" not in world.portal.accounts
    assert "u2@x.com" not in held(world)


async def test_an_account_stays_as_long_as_the_portal_refuses_to_take_its_licence(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The portal would keep the seat of an account that is gone."""
    world.rules = replace(world.rules, policy=make_policy(disabled_users="delete", grace=timedelta(days=1)))
    world.portal.licences["u2@x.com"] = {"ExternalUser": {}}
    await settle(world)
    world.source.put_user("u2", accountEnabled=False)
    await world.sync("delta")
    world.clock.ahead += timedelta(days=2)

    async def refuse(steps: Sequence[Step]) -> tuple[StepResult, ...]:
        return tuple(StepResult("failed", "the portal refuses it") for _ in steps)

    with monkeypatch.context() as patch:
        patch.setattr(world.portal, "change_licences", refuse)
        run = await world.sync("delta")
    assert licence_changes(world, run) == ["revoke u2@x.com ExternalUser failed"]
    assert "delete user u2@x.com deferred" in world.changes(run)
    assert "u2@x.com" in world.portal.accounts
    await world.sync("delta")
    assert "u2@x.com" not in world.portal.accounts
    assert "u2@x.com" not in held(world)


async def test_licences_of_people_whose_leaving_is_held_go_to_nobody_else(world: World) -> None:
    """Few enough for the guard by themselves: whoever comes back after the mistake still has a seat."""
    world.portal.totals["PowerUser"] = 2
    await settle(world)
    world.rules = replace(world.rules, limits=make_limits(max_removals=1, max_removal_percent=None))
    world.source.put_user("u1", accountEnabled=False)
    world.source.put_user("u5", userPrincipalName="u5@x.com", displayName="New", mail="u5@x.com")
    world.source.link("g2", "u5")
    for pull in ("delta", "full"):
        run = await world.sync(pull)
        assert run.status == "held"
        assert {
            "unlink membership all@grp u1@x.com held",
            "unlink membership power@grp u1@x.com held",
            "revoke licence u1@x.com PowerUser held",
        } <= set(world.changes(run))
        assert held(world) == EVERYBODY
    request = RunRequest(pull="none", trigger="approval", retry_failed=True, approval=Approval(run_id=run.id))
    approved = await world.runs.execute(request, world.open_sides())
    assert "revoke licence u1@x.com PowerUser done" in world.changes(approved)
    await world.sync("delta")
    assert held(world).get("u5@x.com") == "PowerUser"
    assert "u1@x.com" not in held(world)


async def test_a_held_deletion_takes_no_licence(world: World) -> None:
    """The licence given by hand waits with the deletion; approving it takes both."""
    policy = make_policy(disabled_users="delete", grace=timedelta(days=1))
    limits = make_limits(max_removals=0, max_removal_percent=None)
    world.rules = replace(world.rules, policy=policy)
    world.portal.licences["u2@x.com"] = {"ExternalUser": {}}
    await settle(world)
    world.source.put_user("u2", accountEnabled=False)
    await world.sync("delta")
    world.rules = replace(world.rules, limits=limits)
    world.clock.ahead += timedelta(days=2)
    run = await world.sync("delta")
    assert run.status == "held"
    assert held(world)["u2@x.com"] == "ExternalUser"
    alone = RunRequest(
        pull="none", trigger="approval", retry_failed=True, approval=Approval(run_id=run.id, actions=("delete",))
    )
    await world.runs.execute(alone, world.open_sides())
    assert "u2@x.com" in world.portal.accounts
    again = await world.sync("delta")
    both = RunRequest(pull="none", trigger="approval", retry_failed=True, approval=Approval(run_id=again.id))
    await world.runs.execute(both, world.open_sides())
    assert "u2@x.com" not in world.portal.accounts
    assert "u2@x.com" not in held(world)


async def test_a_protected_person_keeps_and_gets_no_licence(world: World) -> None:
    """The protect list covers licences."""
    await settle(world)
    protect = make_scope(protect=fold_all(("u2@x.com", "u3@x.com")))
    world.rules = replace(world.rules, scope=protect, licences=(POWER,))
    run = await world.sync("full")
    assert licence_changes(world, run) == ["revoke u4@x.com User done"]


async def test_a_protected_account_keeps_its_licence_when_its_owner_goes_by_another_name(world: World) -> None:
    """The protect list names the account, not the person: what a renamed one left behind is no exception."""
    await settle(world)
    world.rules = replace(world.rules, scope=make_scope(protect=fold_all(("u2@x.com",))))
    world.source.put_user("u2", userPrincipalName="married@x.com")
    assert licence_changes(world, await world.sync("full")) == ["grant married@x.com User done"]
    assert held(world)["u2@x.com"] == "User"


async def test_upsert_only_grants_and_never_revokes(world: World) -> None:
    """Nothing is taken in this mode."""
    world.rules = replace(world.rules, policy=make_policy(mode="upsert_only"))
    await settle(world)
    assert held(world) == EVERYBODY
    world.source.link("g2", "u2")
    world.source.put_user("u3", accountEnabled=False)
    await world.sync("delta")
    assert held(world) == {**EVERYBODY, "u2@x.com": "PowerUser User"}


async def test_create_only_gives_new_accounts_their_first_licence(world: World) -> None:
    """Whoever was there before gets none."""
    world.rules = replace(make_rules(), policy=make_policy(mode="create_only"))
    await settle(world)
    world.rules = replace(world.rules, licences=(POWER, USER))
    world.portal.totals["User"] = 0
    world.source.put_user("u9", userPrincipalName="u9@x.com", displayName="New", mail="u9@x.com")
    world.source.link("g1", "u9")
    await world.sync("delta")
    assert held(world) == {}
    world.portal.totals["User"] = 1
    await world.sync("delta")
    assert held(world) == {"u9@x.com": "User"}


async def test_somebody_who_waits_for_adoption_gets_no_licence(world: World) -> None:
    """The grant waits with the adoption, and comes with its approval."""
    world.rules = replace(world.rules, limits=make_limits(max_adoptions=0, max_removal_percent=None))
    world.portal.add_account("u2@x.com", name="User 2", email="u2@x.com")
    run = await world.sync("full")
    assert "grant u2@x.com User held" in licence_changes(world, run)
    assert "u2@x.com" not in held(world)
    request = RunRequest(pull="none", trigger="approval", retry_failed=True, approval=Approval(run_id=run.id))
    await world.runs.execute(request, world.open_sides())
    await world.sync("delta")
    assert held(world) == EVERYBODY


async def test_a_foreign_account_is_left_alone(world: World) -> None:
    """adopt = "never": hands off that account, and no licence either."""
    world.rules = replace(world.rules, policy=make_policy(adopt="never"))
    world.portal.add_account("u2@x.com", name="User 2", email="u2@x.com")
    await settle(world)
    assert held(world) == {k: v for k, v in EVERYBODY.items() if k != "u2@x.com"}


async def test_a_rename_takes_the_licence_along(world: World) -> None:
    """The new account gets it, the old one gives it back, with one seat for both."""
    world.portal.totals = {"PowerUser": 2, "User": 3}
    await settle(world)
    world.source.put_user("u2", userPrincipalName="married@x.com")
    run = await world.sync("delta")
    assert run.status == "succeeded", run.error
    wanted = {**{k: v for k, v in EVERYBODY.items() if k != "u2@x.com"}, "married@x.com": "User"}
    assert held(world) == wanted


async def test_a_rename_takes_a_licence_given_by_hand_along_and_it_stays_manual(world: World) -> None:
    """With one seat for both accounts; the end of every rule does not take it, and neither does renaming back."""
    world.portal.totals = {"PowerUser": 2, "User": 3, "ExternalUser": 1}
    world.portal.licences["u2@x.com"] = {"ExternalUser": {}, "User": {}}
    await settle(world)
    world.source.put_user("u2", userPrincipalName="married@x.com")
    run = await world.sync("delta")
    assert run.status == "succeeded", run.error
    moved = {k: v for k, v in EVERYBODY.items() if k != "u2@x.com"}
    assert held(world) == {**moved, "married@x.com": "ExternalUser User"}
    assert licence_changes(world, await world.sync("full")) == []
    world.source.unlink("g1", "u2")
    await world.sync("delta")
    assert held(world)["married@x.com"] == "ExternalUser User"
    world.source.put_user("u2", userPrincipalName="u2@x.com")
    await world.sync("delta")
    assert held(world) == {**moved, "u2@x.com": "ExternalUser User"}
    assert licence_changes(world, await world.sync("full")) == []


async def test_a_licence_on_its_way_to_a_renamed_person_is_not_forgotten(world: World) -> None:
    """Taken from the old account, refused for the new one, and read in between: a later run gives it all the same."""
    world.portal.licences["u2@x.com"] = {"ExternalUser": {}}
    world.portal.unlicensable.add("married@x.com")
    await settle(world)
    world.source.put_user("u2", userPrincipalName="married@x.com")
    await world.sync("delta")
    await world.sync("full")
    assert "u2@x.com" not in held(world)
    assert "married@x.com" not in held(world)
    world.portal.unlicensable.clear()
    world.source.put_user("u2", userPrincipalName="again@x.com")
    await world.sync("delta")
    assert held(world)["again@x.com"] == "ExternalUser User"
    world.portal.licences["again@x.com"].pop("ExternalUser")
    await world.sync("full")
    assert held(world)["again@x.com"] == "User"


async def test_what_the_guard_holds_at_the_old_account_does_not_move(world: World) -> None:
    """Nobody holds two seats because a revoke waits for approval."""
    world.portal.licences["u2@x.com"] = {"ExternalUser": {}}
    await settle(world)
    world.rules = replace(world.rules, limits=make_limits(max_removals=0, max_removal_percent=None))
    await world.sync("full")
    world.source.put_user("u2", userPrincipalName="married@x.com")
    run = await world.sync("delta")
    assert "grant married@x.com ExternalUser held" in licence_changes(world, run)
    assert held(world)["u2@x.com"] == "ExternalUser User"
    request = RunRequest(pull="none", trigger="approval", retry_failed=True, approval=Approval(run_id=run.id))
    approved = await world.runs.execute(request, world.open_sides())
    assert "revoke u2@x.com ExternalUser done" in licence_changes(world, approved)
    await world.sync("delta")
    assert held(world)["married@x.com"] == "ExternalUser User"
    assert "u2@x.com" not in held(world)


async def test_a_licence_on_its_way_to_one_person_lets_nobody_elses_go(world: World) -> None:
    """Two renamed people: what is under way to the one says nothing of what the guard holds of the other."""
    world.portal.licences["u2@x.com"], world.portal.licences["u3@x.com"] = {"ExternalUser": {}}, {"ExternalUser": {}}
    world.portal.unlicensable.add("other@x.com")
    await settle(world)
    world.source.put_user("u3", userPrincipalName="other@x.com")
    await world.sync("delta")
    assert "u3@x.com" not in held(world)
    world.rules = replace(world.rules, limits=make_limits(max_removals=0, max_removal_percent=None))
    await world.sync("full")
    world.source.put_user("u2", userPrincipalName="married@x.com")
    run = await world.sync("delta")
    assert "grant married@x.com ExternalUser held" in licence_changes(world, run)
    assert held(world)["u2@x.com"] == "ExternalUser User"
    assert "ExternalUser" not in held(world).get("married@x.com", "")


# ---- settings -------------------------------------------------------------------------------------------------------


async def test_settings_of_a_rule_are_written_and_corrected(world: World) -> None:
    """A designer desk licence is assigned over when the rule's settings change; no seat is needed for that."""
    rule = LicenceRule("Power", "DesignerDeskUser", {"project_creation": "true", "project_publishing": "false"})
    world.rules = replace(world.rules, licences=(rule,))
    world.portal.totals["DesignerDeskUser"] = 2
    await settle(world)
    assert world.portal.licences["u0@x.com"]["DesignerDeskUser"]["project_creation"] == "true"
    changed = replace(rule, settings={"project_creation": "true", "project_publishing": "true"})
    world.rules = replace(world.rules, licences=(changed,))
    run = await world.sync("full")
    assert licence_changes(world, run) == [
        "grant u0@x.com DesignerDeskUser done",
        "grant u1@x.com DesignerDeskUser done",
    ]
    assert world.portal.licences["u1@x.com"]["DesignerDeskUser"]["project_publishing"] == "true"
    await settle(world)


async def test_processes_are_added_and_those_that_the_rule_does_not_name_are_revoked(world: World) -> None:
    """What is taken counts as a revoke."""
    rule = LicenceRule("Power", "SingleSolutionUser", {"processes": "1/7/ 1/8/"})
    world.rules = replace(world.rules, licences=(rule,))
    await settle(world)
    world.rules = replace(world.rules, licences=(replace(rule, settings={"processes": "1/8/ 1/9/"}),))
    run = await world.sync("full")
    assert sorted(licence_changes(world, run))[:2] == [
        "grant u0@x.com SingleSolutionUser done",
        "grant u1@x.com SingleSolutionUser done",
    ]
    assert run.counts["revoke"] == 2
    assert world.portal.licences["u0@x.com"] == {"SingleSolutionUser": {"processes": "1/8/ 1/9/"}}
    await settle(world)


# ---- what goes wrong ------------------------------------------------------------------------------------------------


async def test_perpetual_licensing_switches_licences_off_with_a_word(world: World) -> None:
    """The portal assigns by itself: nothing fails, nothing is asked again until the next full run."""
    world.portal.perpetual = True
    run = await world.sync("full")
    assert run.status == "succeeded"
    assert "perpetual" in run.error
    assert licence_changes(world, run) == []
    world.portal.licence_reads.clear()
    world.source.link("g2", "u2")
    assert (await world.sync("delta")).status == "succeeded"
    assert world.portal.licence_reads == []


async def test_a_group_that_does_not_exist_fails_the_run_before_anything_is_planned(world: World) -> None:
    """A misspelt group must not look like an empty one, which would take everybody's licence."""
    await settle(world)
    world.rules = replace(world.rules, licences=(POWER, LicenceRule("Al", "User"), LicenceRule("Nobody", "User")))
    run = await world.sync("full")
    assert run.status == "failed"
    assert "licences[1].group" in run.error
    assert "licences[2].group" in run.error
    assert held(world) == EVERYBODY


@pytest.mark.parametrize("kind", ["delta", "full"])
async def test_a_name_that_moves_to_another_group_moves_no_licence(world: World, kind: PullKind) -> None:
    """The rule goes on to mean the group that bore the name when it was looked up."""
    await settle(world)
    before = held(world)
    assert "PowerUser" in before.values()
    world.source.put_group("g3", displayName="Power", mailNickname="p3@grp")
    world.source.link("g3", "u4")
    world.source.put_group("g2", displayName="Former", mailNickname="power@grp")
    await world.sync(kind)
    assert held(world) == before


@pytest.mark.both_engines
async def test_a_grant_whose_answer_was_lost_is_recognised_as_ours(world: World) -> None:
    """Killed between sending and recording: what a full reading then shows is not taken for manual."""
    world.source.unlink("g1", "u4")
    await settle(world)
    world.source.link("g1", "u4")
    run = await world.sync("delta")
    with world.database.transaction() as connection:
        connection.execute(text("UPDATE changes SET status = 'started' WHERE run_id = :run"), {"run": run.id})
        connection.execute(text("DELETE FROM target_licences WHERE type = 'User'"))
        connection.execute(
            text("INSERT INTO target_licences (key, type, origin) SELECT key, 'User', 'granted' FROM target_principals "
                 "WHERE bps_fold IN ('u2@x.com', 'u3@x.com')")
        )  # fmt: skip
    await world.sync("full")
    world.source.unlink("g1", "u4")
    assert licence_changes(world, await world.sync("delta")) == ["revoke u4@x.com User done"]


async def test_the_new_account_is_waited_for(world: World) -> None:
    """An account that WEBCON still copies gets its licence in a later run; that is no failure."""
    world.portal.slow = True
    run = await world.sync("full")
    assert run.status == "succeeded"
    assert held(world) == {}
    assert {change.split()[-1] for change in licence_changes(world, run)} == {"deferred"}
    world.portal.slow = False
    for bps_id, account in list(world.portal.accounts.items()):
        world.portal.accounts[bps_id] = replace(account, status="Synchronized")
    await world.sync("delta")
    assert held(world) == EVERYBODY


# ---- what is told ---------------------------------------------------------------------------------------------------


async def test_users_and_explain_say_who_goes_without_and_why(world: World) -> None:
    """The list shows the shortage as the reason, the explanation the rule, and what is held by whose doing."""
    world.portal.totals["User"] = 2
    world.portal.licences["u0@x.com"] = {"ExternalUser": {}}
    await world.sync("full")
    lines = {line.bps_id: line for line in Report(world.database, world.rules.policy).iterate("user")}
    assert lines["u3@x.com"].state == "active"
    assert lines["u4@x.com"].state == "pending"
    assert "User: 3 seats needed, 2 are free" in lines["u4@x.com"].reason
    explanations = Explanations(world.database)
    explained = explanations.explain(explanations.find("u0")[0], now=world.clock.now()).licences
    assert explained == {
        "rule": 0,
        "held": [
            {"type": "ExternalUser", "granted": "by hand", "settings": {}},
            {"type": "PowerUser", "granted": "by a rule", "settings": {}},
        ],
        "perpetual": False,
    }
    pending = explanations.explain(explanations.find("u4")[0], now=world.clock.now()).pending
    assert [(item["action"], item["target"]) for item in pending] == [("grant", "User")]


async def test_who_waits_for_a_seat_goes_on_waiting_beside_a_plan_that_is_applied_from_a_file(world: World) -> None:
    """The file says nothing of the seat, a second one neither; a run over that person alone speaks in their place."""

    def list_open() -> tuple[str, list[tuple[int, str]]]:
        lines = {line.bps_id: line for line in Report(world.database, world.rules.policy).iterate("user")}
        explanations = Explanations(world.database)
        pending = explanations.explain(explanations.find("u4")[0], now=world.clock.now()).pending
        return lines["u4@x.com"].state, [(item["run"], item["outcome"]) for item in pending]

    world.portal.totals["User"] = 2
    first = await world.sync("full")
    assert list_open() == ("pending", [(first.id, "deferred")])
    for name in ("Anna", "Anne"):
        world.source.put_user("u1", displayName=name)
        lines = world.make_file(await world.sync("delta", write=False))
        applied = await world.carry_out(FromFile(open_plan(partial(list, lines))))
        assert world.changes(applied) == ["update user u1@x.com done"]
        assert list_open() == ("pending", [(first.id, "deferred")])
    single = await world.sync_one("user", "u4@x.com")
    assert list_open() == ("pending", [(single.id, "deferred")])
    world.source.unlink("g1", "u4")
    await world.sync_one("user", "u4@x.com")
    assert list_open() == ("active", [])


async def test_a_seat_that_a_file_gives_is_open_no_more(world: World) -> None:
    """What the run before left undone, and the file did."""
    world.portal.totals["User"] = 2
    await world.sync("full")
    world.portal.totals["User"] = 10
    lines = world.make_file(await world.sync("delta", write=False))
    applied = await world.carry_out(FromFile(open_plan(lambda: lines)))
    assert licence_changes(world, applied) == ["grant u4@x.com User done"]
    explanations = Explanations(world.database)
    assert explanations.explain(explanations.find("u4")[0], now=world.clock.now()).pending == []


async def test_a_grant_that_fails_is_retried_by_itself_and_hinders_nothing_else(world: World) -> None:
    """Its retry delay is not that of the account, nor of another licence."""
    world.portal.unlicensable.add("u4@x.com")
    run = await world.sync("full", retry_failed=False)
    assert run.status == "partial"
    assert "grant u4@x.com User failed" in licence_changes(world, run)
    world.source.put_user("u4", displayName="Renamed", userPrincipalName="u4@x.com", mail="u4@x.com")
    run = await world.sync("delta", retry_failed=False)
    assert "update user u4@x.com done" in world.changes(run)
    assert "grant u4@x.com User deferred" in licence_changes(world, run)
    world.portal.unlicensable.clear()
    world.clock.ahead += timedelta(hours=1)
    assert licence_changes(world, await world.sync("delta", retry_failed=False)) == ["grant u4@x.com User done"]


@pytest.mark.both_engines
async def test_a_run_that_is_killed_while_a_licence_moves_loses_none(world: World) -> None:
    """Taken from the old account, and nothing was recorded: the full reading that finds it gone remembers where to."""
    world.portal.licences["u2@x.com"] = {"ExternalUser": {}}
    await settle(world)
    world.source.put_user("u2", userPrincipalName="married@x.com")
    run = await world.sync("delta")
    with world.database.transaction() as connection:
        connection.execute(
            text("UPDATE changes SET status = 'started' WHERE run_id = :run AND object = 'licence' "
                 "AND target = 'ExternalUser'"),
            {"run": run.id},
        )  # fmt: skip
        connection.execute(text("DELETE FROM target_licences WHERE type = 'ExternalUser'"))
        connection.execute(
            text("INSERT INTO target_licences (key, type) SELECT key, 'ExternalUser' FROM target_principals "
                 "WHERE bps_fold = 'u2@x.com'")
        )  # fmt: skip
    world.portal.licences["married@x.com"].pop("ExternalUser")
    await world.sync("full")
    assert held(world)["married@x.com"] == "ExternalUser User"


# ---- other ways to a plan -------------------------------------------------------------------------------------------


async def test_a_plan_file_carries_licences_and_is_refused_when_somebody_else_did_it(world: World) -> None:
    """Applied exactly; a licence that somebody gave meanwhile is named, and nothing is written."""
    await settle(world)
    world.source.link("g2", "u2")
    run = await world.sync("delta", write=False)
    lines = world.make_file(run)
    world.portal.licences["u2@x.com"]["PowerUser"] = {}
    refused = await world.carry_out(FromFile(open_plan(lambda: lines)))
    assert refused.status == "failed"
    assert "licence PowerUser of u2@x.com" in refused.error
    assert held(world)["u2@x.com"] == "PowerUser User"
    del world.portal.licences["u2@x.com"]["PowerUser"]
    applied = await world.carry_out(FromFile(open_plan(lambda: lines)))
    assert applied.status == "succeeded", applied.error
    assert held(world) == {**EVERYBODY, "u2@x.com": "PowerUser"}
    assert licence_changes(world, await world.sync("full")) == []


async def test_one_person_alone_gets_the_licence(world: World) -> None:
    """`sync user` looks at that person's rules, and at nobody else's."""
    await settle(world)
    world.source.link("g2", "u2")
    world.source.link("g2", "u3")
    run = await world.sync_one("user", "u2")
    assert licence_changes(world, run) == ["revoke u2@x.com User done", "grant u2@x.com PowerUser done"]
    assert held(world) == {**EVERYBODY, "u2@x.com": "PowerUser"}
    await world.sync("delta")
    assert held(world)["u3@x.com"] == "PowerUser"


async def test_a_rejected_revoke_is_not_proposed_again(world: World) -> None:
    """Until the person changes."""
    await settle(world)
    world.rules = replace(world.rules, limits=make_limits(max_removals=0, max_removal_percent=None))
    await world.sync("full")
    world.source.unlink("g1", "u3")
    run = await world.sync("delta")
    assert licence_changes(world, run) == ["revoke u3@x.com User held"]
    assert world.store.decisions.reject(Approval(run_id=run.id)) >= 1
    again = await world.sync("full")
    assert licence_changes(world, again) == ["revoke u3@x.com User dropped"]
    assert again.status == "succeeded"


async def test_an_account_that_stays_for_a_rejected_revoke_keeps_what_was_given_by_hand(world: World) -> None:
    """Of two licences that stood in the way of its deletion the other one is not taken either."""
    policy = make_policy(disabled_users="delete", grace=timedelta(days=1))
    world.rules = replace(world.rules, policy=policy)
    world.portal.licences["u2@x.com"] = {"ExternalUser": {}}
    await settle(world)
    world.source.put_user("u2", accountEnabled=False)
    world.rules = replace(world.rules, limits=make_limits(max_removals=0, max_removal_percent=None))
    run = await world.sync("delta")
    assert world.store.decisions.reject(Approval(run_id=run.id, actions=("revoke",))) == 1
    rest = RunRequest(pull="none", trigger="approval", retry_failed=True, approval=Approval(run_id=run.id))
    assert (await world.runs.execute(rest, world.open_sides())).status == "succeeded"
    world.rules = replace(world.rules, limits=make_rules().limits)
    world.clock.ahead += timedelta(days=2)
    for kind in ("delta", "full"):
        run = await world.sync(kind)
        assert {change.split()[-1] for change in world.changes(run) if "licence" in change} == {"dropped"}
        assert "delete user u2@x.com dropped" in world.changes(run)
        assert held(world)["u2@x.com"] == "ExternalUser User"
