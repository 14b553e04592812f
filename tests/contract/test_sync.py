"""The use cases over a real store of each kind, between a fake tenant and a fake portal."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

import pytest
from sqlalchemy import select

from syncd.errors import AuthFailed, Conflict, ProtocolError, Unavailable
from syncd.model.run import Approval, PullKind, RunRecord, RunRequest
from syncd.model.source import Link
from syncd.model.target import Account, Creation, Fields, GroupDetail, PortalGroup
from syncd.plan.cel.expressions import Expression
from syncd.plan.rules import fold_all
from syncd.store.reports.status import Report
from syncd.store.schema.tables import source_objects
from syncd.store.store import Store
from tests.fakes.rules import make_limits, make_policy, make_rules, make_scope
from tests.fakes.world import World


def found_company(world: World) -> None:
    """A tenant with eight people, a manager and three groups (one nested, one cyclic), and an empty portal."""
    source = world.source
    for number in range(8):
        source.put_user(
            f"u{number}",
            userPrincipalName=f"u{number}@x.com",
            displayName=f"User {number}",
            mail=f"u{number}@x.com",
            manager="u0" if number else None,
        )
    for name, title in (("g1", "All"), ("g2", "Sales"), ("g3", "Ring")):
        source.put_group(name, displayName=title, mailNickname=f"{title.lower()}@grp")
    for number in range(4):
        source.link("g1", f"u{number}")
    source.link("g1", "g2", "group")
    source.link("g2", "u4")
    source.link("g2", "u0")
    source.link("g2", "g3", "group")
    source.link("g3", "g2", "group")
    source.link("g3", "d1", "device")


pytestmark = [pytest.mark.company(founded_by=found_company), pytest.mark.driver, pytest.mark.both_engines]


async def settle(world: World) -> RunRecord:
    """Bring the portal in step, and check that nothing is left to plan."""
    run = await world.sync("full")
    assert run.status == "succeeded", run.error
    again = await world.sync("full")
    assert world.changes(again) == []
    return run


ALL = {"all@grp": {"u0@x.com", "u1@x.com", "u2@x.com", "u3@x.com", "u4@x.com"}}
PLACES = {**ALL, "sales@grp": {"u0@x.com", "u4@x.com"}, "ring@grp": {"u0@x.com", "u4@x.com"}}


async def test_a_first_sync_builds_the_portal_and_a_second_plans_nothing(world: World) -> None:
    """Nested groups are flattened through a cycle, managers are set, and the result is stable."""
    await settle(world)
    assert world.portal.picture() == PLACES
    assert world.portal.accounts["u3@x.com"].manager == "u0@x.com"
    assert world.portal.accounts["u0@x.com"].manager is None
    writes = len(world.portal.writes)
    run = await world.sync("delta")
    assert run.status == "succeeded"
    assert len(world.portal.writes) == writes


async def test_a_group_that_returns_and_hides_its_members_keeps_those_it_had(world: World) -> None:
    """They are asked for once and cannot be seen, which says nothing about them."""
    await settle(world)
    world.source.remove_group("g2")
    await world.sync("delta")
    assert not world.portal.members["sales@grp"]
    world.source.hiding = {"g2"}
    world.source.put_group("g2")
    await world.sync("delta")
    assert world.portal.picture()["sales@grp"] == PLACES["sales@grp"]


async def test_a_delta_run_with_no_change_asks_each_stream_once_and_the_portal_never(world: World) -> None:
    """Law 4: one request per stream."""
    await settle(world)
    world.source.calls.clear()
    world.portal.down = True  # any request to it would fail
    world.portal.writes.clear()
    run = await world.sync("delta")
    assert run.status == "succeeded"
    assert sorted(world.source.calls) == ["groups d:", "users d:"]
    assert world.portal.writes == []


async def test_a_delta_carries_moves_renames_hires_and_leavers(world: World) -> None:
    """One delta run plans only what changed, and ends where a full run ends."""
    await settle(world)
    source = world.source
    source.put_user("u9", userPrincipalName="new@x.com", displayName="New", mail="new@x.com", manager="u1")
    source.link("g3", "u9")
    source.unlink("g2", "u4")
    source.put_user("u1", displayName="Married", userPrincipalName="married@x.com")
    source.put_user("u3", accountEnabled=False)
    run = await world.sync("delta")
    assert run.status == "succeeded", run.error
    assert world.portal.picture() == {
        "all@grp": {"u0@x.com", "married@x.com", "u2@x.com", "new@x.com"},
        "sales@grp": {"u0@x.com", "new@x.com"},
        "ring@grp": {"u0@x.com", "new@x.com"},
    }
    assert world.portal.accounts["new@x.com"].manager == "married@x.com"
    assert "u3@x.com" in world.portal.accounts
    assert world.changes(await world.sync("full")) == []


async def test_a_hidden_edge_between_groups_moves_everybody_below(world: World) -> None:
    """When a nested group leaves its parent, the people below leave the parent's BPS group, and nobody else."""
    await settle(world)
    world.source.unlink("g1", "g2")
    await world.sync("delta")
    assert world.portal.picture() == {**PLACES, "all@grp": {"u0@x.com", "u1@x.com", "u2@x.com", "u3@x.com"}}
    world.source.link("g1", "g3", "group")
    await world.sync("delta")
    assert world.portal.picture() == PLACES


async def test_a_soft_deleted_user_loses_the_places_and_gets_them_back_when_restored(world: World) -> None:
    """The restored person brings no membership events along; the stored ones come to light again."""
    await settle(world)
    world.source.remove_user("u4")
    await world.sync("delta")
    assert world.portal.picture()["sales@grp"] == {"u0@x.com"}
    assert "u4@x.com" in world.portal.accounts
    world.source.restore_user("u4")
    run = await world.sync("delta")
    assert world.portal.picture() == PLACES
    assert world.changes(run) == [f"link membership {group}@grp u4@x.com done" for group in ("all", "ring", "sales")]


async def test_swapped_names_end_up_right(world: World) -> None:
    """Two people who swap names in one round swap records: the BPS id is the login, and it follows the person."""
    await settle(world)
    world.source.put_user("u1", userPrincipalName="u4@x.com", displayName="Was one", mail="u4@x.com")
    world.source.put_user("u4", userPrincipalName="u1@x.com", displayName="Was four", mail="u1@x.com")
    run = await world.sync("delta")
    assert run.status == "succeeded", run.error
    assert world.portal.accounts["u4@x.com"].name == "Was one"
    assert world.portal.accounts["u1@x.com"].name == "Was four"
    assert world.portal.picture()["sales@grp"] == {"u0@x.com", "u1@x.com"}
    assert world.changes(await world.sync("full")) == []


async def test_a_group_that_is_deleted_is_emptied_and_one_that_returns_is_filled(world: World) -> None:
    """policy.deleted_groups = "empty": the group stays, without members."""
    await settle(world)
    world.source.remove_group("g1")
    await world.sync("delta")
    assert world.portal.picture() == {**PLACES, "all@grp": set()}
    world.source.put_group("g1")
    await world.sync("delta")
    assert world.portal.picture() == PLACES


# ---- nothing is removed without proof ------------------------------------------------------------------------------


async def test_a_silently_cut_full_read_removes_nobody(world: World) -> None:
    """Objects that the list lacks and a direct read finds stay, and the run says that it has no proof."""
    await settle(world)
    world.source.hidden = {"u1", "u2", "g3", "g1/u3"}
    run = await world.sync("full")
    assert run.status == "partial"
    assert "missed" in run.error
    assert world.portal.picture() == PLACES


async def test_a_count_that_disagrees_makes_the_run_additive_only(world: World) -> None:
    """Without the count's agreement a full read proves nothing, even if objects are really gone."""
    await settle(world)
    world.source.count_lie = 500
    world.source.users["u4"].state = "gone"
    world.source.put_user("u8", userPrincipalName="u8@x.com", displayName="U8", mail="u8@x.com")
    run = await world.sync("full")
    assert run.status == "partial"
    assert world.portal.picture() == PLACES
    assert "u8@x.com" in world.portal.accounts


async def test_one_unreadable_answer_about_one_group_stops_no_run(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its members stay as they are, the rest goes on, and the run after Graph has mended it corrects the group."""
    await settle(world)
    fetch = world.source.fetch_members

    async def fail(group_id: str) -> tuple[Link, ...] | None:
        if group_id == "g1":
            raise ProtocolError("Microsoft Graph sent an unreadable member: it has no id")
        return await fetch(group_id)

    monkeypatch.setattr(world.source, "fetch_members", fail)
    world.source.groups["g1"].members.pop("u3")
    world.source.users["u4"].state = "gone"
    run = await world.sync("full")
    assert run.status == "succeeded", run.error
    assert run.counts["groups_unproven"] == 1
    assert not any(change.startswith("unlink") and "u3@x.com" in change for change in world.changes(run))
    monkeypatch.undo()
    assert any("unlink" in change and "u3@x.com" in change for change in world.changes(await world.sync("full")))


async def test_what_an_unproven_read_missed_is_not_removed_by_the_runs_after_it(world: World) -> None:
    """Deltas stay additive until a full read has a proof: they cannot know what that one did not see."""
    await settle(world)
    world.source.count_lie = 500
    assert (await world.sync("full")).status == "partial"
    world.source.groups["g1"].members.pop("u3")
    run = await world.sync("delta")
    assert run.status == "partial"
    assert "the last full read of users had no proof" in run.error
    assert world.portal.picture() == PLACES
    world.source.count_lie = 0
    assert (await world.sync("full")).status == "succeeded"
    assert (await world.sync("delta")).status == "succeeded"


async def test_an_empty_tenant_is_held_and_removes_nobody(world: World) -> None:
    """A stream that had objects and reads empty, even completely, is not believed."""
    await settle(world)
    world.source.users.clear()
    world.source.groups.clear()
    run = await world.sync("full")
    assert run.status == "held"
    assert world.portal.picture() == PLACES
    for _ in range(2):
        again = await world.sync("delta")
        assert world.portal.picture() == PLACES, world.changes(again)


async def test_what_is_really_gone_is_removed_after_both_witnesses(world: World) -> None:
    """Gone from the list and denied by a direct read; a membership gone from both readings of the group."""
    await settle(world)
    world.source.users["u4"].state = "gone"
    world.source.groups["g1"].members.pop("u3")
    run = await world.sync("full")
    assert run.status == "succeeded", run.error
    assert world.portal.picture() == {
        "all@grp": {"u0@x.com", "u1@x.com", "u2@x.com"},
        "sales@grp": {"u0@x.com"},
        "ring@grp": {"u0@x.com"},
    }


async def test_a_dead_checkpoint_leads_to_one_full_pull(world: World) -> None:
    """The expired delta link is replaced by a baseline in the same run, without removals."""
    await settle(world)
    world.source.dead = True
    world.source.put_user("u2", displayName="Changed")
    run = await world.sync("delta")
    assert run.status == "succeeded", run.error
    assert world.portal.accounts["u2@x.com"].name == "Changed"
    assert world.portal.picture() == PLACES


# ---- policy and guard -----------------------------------------------------------------------------------------------


async def test_a_mass_removal_is_held_and_additions_go_through(world: World) -> None:
    """Beyond the percentage the whole kind is withheld; the run says so until the source comes to its senses."""
    limits = make_limits(max_removal_percent=10, min_population=4)
    world.rules = make_rules(limits=limits)
    await settle(world)
    for number in range(4):
        world.source.put_user(f"u{number}", accountEnabled=False)
    world.source.put_user("u8", userPrincipalName="u8@x.com", displayName="U8", mail="u8@x.com")
    for _ in range(2):
        run = await world.sync("delta")
        assert run.status == "held"
        assert "guard.max_removal_percent" in run.error
        assert world.portal.picture() == PLACES
        assert "u8@x.com" in world.portal.accounts
    for number in range(4):
        world.source.put_user(f"u{number}", accountEnabled=True)
    run = await world.sync("delta")
    assert run.status == "succeeded", (run.error, world.changes(run))
    assert world.portal.picture() == PLACES


async def test_records_that_the_portal_had_before_us_wait_for_approval(world: World) -> None:
    """guard.max_adoptions = 0: the record, and every membership of it, waits; the others are served."""
    world.portal.add_account("U1@x.com", name="Somebody", email="hand@x.com")
    before = world.portal.accounts["u1@x.com"]
    run = await world.sync("full")
    assert run.status == "held"
    assert "adopt user U1@x.com held" in world.changes(run)
    assert "link membership all@grp U1@x.com held" in world.changes(run)
    assert world.portal.accounts["u1@x.com"] == before
    assert world.portal.picture() == {**PLACES, "all@grp": ALL["all@grp"] - {"u1@x.com"}}


async def test_an_allowed_adoption_writes_what_is_set_and_leaves_the_rest(world: World) -> None:
    """Adoption overwrites mapped values that are set; what only the portal has stays, also in later runs."""
    world.rules = make_rules(limits=replace(world.rules.limits, max_adoptions=5))
    world.portal.add_account("U1@x.com", name="Somebody", email="hand@x.com", phone="123")
    await settle(world)
    record = world.portal.accounts["u1@x.com"]
    assert (record.name, record.phone, record.bps_id) == ("User 1", "123", "U1@x.com")
    assert "u1@x.com" in world.portal.picture()["all@grp"]


async def test_adopt_never_keeps_hands_off(world: World) -> None:
    """A foreign account is neither written nor linked, and that is no failure."""
    world.rules = make_rules(policy=make_policy(adopt="never"))
    world.portal.add_account("u1@x.com", name="Somebody")
    run = await world.sync("full")
    assert run.status == "succeeded"
    assert world.portal.accounts["u1@x.com"].name == "Somebody"
    assert "u1@x.com" not in world.portal.picture()["all@grp"]


async def test_a_group_id_that_a_user_of_the_portal_has_is_reported_and_not_fought_over(world: World) -> None:
    """No group is made, changed or filled under it, and nobody of the group is taken for anything else."""
    world.portal.add_account("Sales@grp", name="Sales mailbox", email="sales@x.com")
    kinds: tuple[PullKind, ...] = ("full", "delta", "full")
    for kind in kinds:
        run = await world.sync(kind)
        assert run.status == "succeeded", run.error
        assert not [change for change in world.changes(run) if "sales@grp" in change.casefold()]
    assert not [write for write in world.portal.writes if "sales@grp" in write.casefold()]
    assert world.portal.accounts["sales@grp"].name == "Sales mailbox"
    (line,) = Report(world.database, world.rules.policy).iterate("group", needle="sales@grp")
    assert (line.state, line.reason) == ("foreign", "its BPS id belongs to a user of the portal")
    world.portal.accounts.pop("sales@grp")
    await settle(world)
    assert world.portal.picture() == PLACES


async def test_strangers_are_never_touched(world: World) -> None:
    """A record that nobody in the tenant claims stays to the byte, whatever happens."""
    world.portal.add_account("app@portal", name="App")
    before = world.portal.accounts["app@portal"]
    await settle(world)
    world.source.remove_user("u1", hard=True)
    await world.sync("full")
    assert world.portal.accounts["app@portal"] == before


@pytest.mark.parametrize("mode", ["plan_only", "create_only", "upsert_only"])
async def test_the_milder_modes_do_no_more_than_they_say(world: World, mode: str) -> None:
    """plan_only writes nothing; create_only never touches what is there; upsert_only never takes away."""
    await settle(world)
    before = dict(world.portal.accounts)
    world.rules = make_rules(policy=make_policy(mode=mode))
    world.source.put_user("u2", displayName="Changed")
    world.source.put_user("u8", userPrincipalName="u8@x.com", displayName="U8", mail="u8@x.com")
    world.source.link("g1", "u8")
    world.source.unlink("g1", "u3")
    run = await world.sync("delta")
    assert run.status == "succeeded", run.error
    portal = world.portal
    assert ("u8@x.com" in portal.accounts) is (mode != "plan_only")
    assert ("u8@x.com" in portal.picture()["all@grp"]) is (mode != "plan_only")
    assert (portal.accounts["u2@x.com"] == before["u2@x.com"]) is (mode != "upsert_only")
    assert "u3@x.com" in portal.picture()["all@grp"]


async def test_the_protect_list_keeps_every_hand_off(world: World) -> None:
    """Neither created nor changed nor linked nor unlinked, but named as a manager all the same."""
    world.portal.add_account("u0@x.com", name="The boss")
    world.portal.add_account("u4@x.com", name="By hand")
    world.rules = make_rules(scope=make_scope(protect=fold_all(["U0@x.com", "u4@x.com", "u7@x.com"])))
    run = await settle(world)
    assert run.status == "succeeded"
    assert world.portal.accounts["u0@x.com"].name == "The boss"
    assert world.portal.accounts["u3@x.com"].manager == "u0@x.com"
    assert "u7@x.com" not in world.portal.accounts
    assert world.portal.picture()["all@grp"] == {"u1@x.com", "u2@x.com", "u3@x.com"}


async def test_deleting_is_asked_for_and_waits_for_the_grace(world: World) -> None:
    """deleted_users = "delete": emptied at once, deleted after the grace, by a plain delta run."""
    world.rules = make_rules(policy=make_policy(deleted_users="delete", grace=timedelta(days=3)))
    await settle(world)
    world.source.remove_user("u4")
    await world.sync("delta")
    assert "u4@x.com" in world.portal.accounts
    world.clock.ahead += timedelta(days=2)
    await world.sync("delta")
    assert "u4@x.com" in world.portal.accounts
    world.clock.ahead += timedelta(days=2)
    run = await world.sync("delta")
    assert world.changes(run) == ["delete user u4@x.com done"]
    assert "u4@x.com" not in world.portal.accounts
    assert world.changes(await world.sync("full")) == []


async def test_keep_freezes_a_leaver(world: World) -> None:
    """out_of_scope = "keep": whoever leaves the scope stays as it is, memberships included."""
    scope = make_scope(users=Expression('user.jobTitle != "Contractor"'))
    world.rules = make_rules(policy=make_policy(out_of_scope="keep"), scope=scope)
    await settle(world)
    world.source.put_user("u4", jobTitle="Contractor", displayName="Changed too")
    run = await world.sync("delta")
    assert world.changes(run) == []
    assert world.portal.picture() == PLACES
    assert world.changes(await world.sync("full")) == []


async def test_who_was_wanted_and_is_in_no_excluded_group_is_known(world: World) -> None:
    """By this a reading without proof keeps people in the scope; a nested group excludes as well."""
    world.rules = make_rules(scope=make_scope(exclude_groups=("Sales",)))
    await settle(world)
    rows = world.database.load_rows(select(source_objects.c.key, source_objects.c.id))
    people = {key: name for key, name in rows if name.startswith("u")}
    wanted = world.store.desired.find_wanted_outside(people)
    assert {people[key] for key in wanted} == {f"u{number}" for number in (1, 2, 3, 5, 6, 7)}


async def test_scope_by_group_follows_nested_groups(world: World) -> None:
    """include_groups reaches people through nesting, in full and in delta runs; exclude_groups takes them out."""
    world.rules = make_rules(scope=make_scope(include_groups=("Sales",)))
    await settle(world)
    assert set(world.portal.accounts) == {"u0@x.com", "u4@x.com"}
    world.source.link("g3", "u7")
    await world.sync("delta")
    assert "u7@x.com" in world.portal.accounts
    world.source.unlink("g2", "g3")
    run = await world.sync("delta")
    assert run.status == "succeeded", run.error
    assert "u7@x.com" not in world.portal.picture()["all@grp"]
    assert world.changes(await world.sync("full")) == []


async def test_an_unknown_group_in_the_scope_fails_before_anything_is_planned(world: World) -> None:
    """A configured group that nobody bears is not an empty scope."""
    await settle(world)
    world.rules = make_rules(scope=make_scope(include_groups=("Nobody",)))
    run = await world.sync("delta")
    assert run.status == "failed"
    assert "Nobody" in run.error
    assert world.changes(run) == []
    assert world.portal.picture() == PLACES


# ---- collisions and bad objects -------------------------------------------------------------------------------------


async def test_of_two_claimants_the_holder_keeps_the_record(world: World) -> None:
    """The second person of that BPS id is skipped, the first stays; when it goes, a person says whose it is."""
    await settle(world)
    world.source.put_user("z1", userPrincipalName="U1@X.com", displayName="Impostor", mail="z@x.com")
    world.source.put_user("u1", displayName="Still me")
    await world.sync("delta")
    assert world.portal.accounts["u1@x.com"].name == "Still me"
    world.source.put_user("u1", userPrincipalName="other@x.com")
    held = await world.sync("delta")
    assert "1 handover, guard.max_handovers allows 0" in held.error
    assert world.portal.accounts["u1@x.com"].name == world.portal.accounts["other@x.com"].name == "Still me"
    approval = RunRequest(pull="none", trigger="approval", retry_failed=True, approval=Approval(run_id=held.id))
    run = await world.runs.execute(approval, world.open_sides())
    assert run.status == "succeeded", run.error
    assert world.portal.accounts["u1@x.com"].name == "Impostor"
    assert world.portal.accounts["other@x.com"].name == "Still me"
    assert world.changes(await world.sync("full")) == []


async def test_two_claimants_without_a_record_are_both_skipped(world: World) -> None:
    """Neither is written; when one gives way, the other is."""
    world.source.put_user("z1", userPrincipalName="same@x.com", displayName="Z1", mail="z1@x.com")
    world.source.put_user("z2", userPrincipalName="SAME@x.com", displayName="Z2", mail="z2@x.com")
    await settle(world)
    assert "same@x.com" not in world.portal.accounts
    world.source.put_user("z2", userPrincipalName="z2@x.com")
    await world.sync("delta")
    assert world.portal.accounts["same@x.com"].name == "Z1"
    assert world.portal.accounts["z2@x.com"].name == "Z2"


async def test_groups_of_one_bps_id_are_settled_by_delta_runs(world: World) -> None:
    """The group that has the record keeps it whatever else wants it; when it gives the name up, the other gets it."""
    await settle(world)
    world.source.put_group("z9", displayName="Late", mailNickname="ALL@grp")
    world.source.link("z9", "u1")
    run = await world.sync("delta")
    assert world.changes(run) == []
    assert world.portal.groups["all@grp"].name != "Late"
    world.source.put_group("z8", displayName="Later", mailNickname="new@grp")
    world.source.put_group("z7", displayName="Latest", mailNickname="NEW@grp")
    await world.sync("delta")
    assert "new@grp" not in {key.casefold() for key in world.portal.groups}  # neither has it, and neither is written
    world.source.remove_group("z7")
    await world.sync("delta")
    assert world.portal.groups["new@grp"].name == "Later"
    assert world.changes(await world.sync("full")) == []


async def test_one_refused_object_does_not_stop_the_rest(world: World) -> None:
    """The run is partial, the next delta run tries that object again, and only that."""
    world.portal.refuse = {"u2@x.com"}
    run = await world.sync("full")
    assert run.status == "partial"
    assert "create user u2@x.com failed" in world.changes(run)
    assert "link membership all@grp u2@x.com deferred" in world.changes(run)
    assert world.portal.picture() == {**PLACES, "all@grp": ALL["all@grp"] - {"u2@x.com"}}
    world.portal.refuse = set()
    run = await world.sync("delta")
    assert run.status == "succeeded", run.error
    assert world.portal.picture() == PLACES
    assert all("u2@x.com" in change for change in world.changes(run))


async def test_a_failing_object_waits_longer_each_time(world: World) -> None:
    """A scheduled run leaves it alone until its next attempt is due."""
    world.portal.refuse = {"u2@x.com"}
    await world.sync("full")
    world.portal.writes.clear()
    run = await world.sync("delta", retry_failed=False)
    assert run.status == "succeeded"
    assert world.portal.writes == []
    world.clock.ahead += timedelta(minutes=6)
    run = await world.sync("delta", retry_failed=False)
    assert world.portal.writes == ["create u2@x.com"]
    assert run.status == "partial"


async def test_what_is_to_be_written_otherwise_by_now_is_tried_at_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody corrected the title in the tenant: it does not wait for the next attempt of the one that was refused."""
    await world.sync("full")
    write = world.portal.update_account

    async def refuse_long(bps_id: str, fields: Fields) -> None:
        if len(fields.get("job_title") or "") > 5:
            raise Conflict("too long", status=409)
        await write(bps_id, fields)

    monkeypatch.setattr(world.portal, "update_account", refuse_long)
    world.source.put_user("u2", jobTitle="much too long")
    for _ in range(4):
        assert "failed" in "".join(world.changes(await world.sync("delta", retry_failed=False)))
        world.clock.ahead += timedelta(hours=2)
    await world.sync("delta", retry_failed=False)
    run = await world.sync("delta", retry_failed=False)
    assert world.changes(run) == ["update user u2@x.com deferred"]
    world.source.put_user("u2", jobTitle="short", displayName="Other")
    run = await world.sync("delta", retry_failed=False)
    assert world.changes(run) == ["update user u2@x.com done"]
    assert world.portal.accounts["u2@x.com"].job_title == "short"
    assert world.changes(await world.sync("delta", retry_failed=False)) == []


async def test_a_portal_that_is_down_ends_the_run_as_failed_and_the_next_one_converges(world: World) -> None:
    """The circuit opens instead of hammering; nothing is lost."""
    world.portal.down = True
    run = await world.sync("full")
    assert run.status == "failed"
    assert "down" in run.error
    world.portal.down = False
    run = await world.sync("delta")
    assert run.status == "succeeded", run.error
    assert world.portal.picture() == PLACES


async def test_refused_credentials_end_the_run_at_once_and_lose_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No other request can do better, and none is tried once those under way are answered."""
    tried: list[str] = []

    async def refuse(account: Account, *, sent_before: bool = False) -> Creation:
        tried.append(account.bps_id)
        raise AuthFailed("the portal refused a token that it had just given", status=401, sent=False)

    with monkeypatch.context() as patch:
        patch.setattr(world.portal, "create_account", refuse)
        run = await world.sync("full")
    assert (run.status, run.error) == ("failed", "the portal refused a token that it had just given")
    assert len(tried) <= 4
    assert (await world.sync("delta")).status == "succeeded"
    assert world.portal.picture() == PLACES


async def test_a_portal_that_fails_while_groups_are_read_ends_the_run_as_failed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Groups are read beside each other; what hinders one of them is the run's error in its own words."""
    await settle(world)

    async def fail(bps_id: str) -> GroupDetail | None:
        raise Unavailable(f"no answer about {bps_id}")

    with monkeypatch.context() as patch:
        patch.setattr(world.portal, "fetch_group", fail)
        run = await world.sync("full")
    assert run.status == "failed"
    assert run.error.startswith("no answer about")
    assert (await world.sync("full")).status == "succeeded"


@pytest.mark.parametrize("kind", ["full", "delta"])
async def test_a_creation_that_ended_unclear_is_ours_when_it_turns_up(
    world: World, monkeypatch: pytest.MonkeyPatch, kind: PullKind
) -> None:
    """The answer was lost and no reading could settle it: no adoption is asked for, also when values changed since."""
    create = world.portal.create_account

    async def lose(account: Account, *, sent_before: bool = False) -> Creation:
        await create(account, sent_before=sent_before)
        raise Unavailable("the answer was lost")

    with monkeypatch.context() as patch:
        patch.setattr(world.portal, "create_account", lose)
        run = await world.sync("full")
    assert run.status == "failed", "a portal that loses every answer is down"
    assert "create user u1@x.com started" in world.changes(run)
    for number in (1, 2):
        world.source.put_user(f"u{number}", displayName="Married")
    for _ in range(3):
        run = await world.sync(kind)
        assert run.status == "succeeded", run.error
    assert world.portal.picture() == PLACES
    assert world.portal.accounts["u1@x.com"].name == "Married"
    assert world.changes(await world.sync("full")) == []
    world.source.remove_user("u4")
    await world.sync("delta")
    assert "u4@x.com" not in world.portal.picture()["sales@grp"]


@pytest.mark.parametrize("kind", ["full", "delta"])
@pytest.mark.parametrize("what", ["account", "group"])
async def test_an_unclear_creation_makes_no_record_with_other_values_ours(
    world: World, monkeypatch: pytest.MonkeyPatch, kind: PullKind, what: str
) -> None:
    """It never arrived, and somebody made a record of that name meanwhile: that one waits for adoption, untouched."""
    bps_id = "u1@x.com" if what == "account" else "sales@grp"
    create = getattr(world.portal, f"create_{what}")

    async def lose(record: Account | PortalGroup, *, sent_before: bool = False) -> Creation:
        if record.bps_id == bps_id:
            raise Unavailable("the connection broke")
        made: Creation = await create(record, sent_before=sent_before)
        return made

    with monkeypatch.context() as patch:
        patch.setattr(world.portal, f"create_{what}", lose)
        assert any(f"{bps_id} started" in change for change in world.changes(await world.sync("full")))
    if what == "account":
        world.portal.add_account(bps_id, name="Somebody", email="hand@x.com")
    else:
        world.portal.groups[bps_id] = PortalGroup(bps_id=bps_id, name="Old name", email="old@grp")
        world.portal.add_account("hand@x.com", name="By hand")
        world.portal.members[bps_id] = {"hand@x.com": "hand@x.com"}
    for _ in range(2):
        run = await world.sync(kind)
    assert run.status == "held", run.error
    assert any(change.startswith("adopt") and change.endswith(f"{bps_id} held") for change in world.changes(run))
    if what == "account":
        assert world.portal.accounts[bps_id].name == "Somebody"
    else:
        assert (world.portal.groups[bps_id].name, world.portal.picture()[bps_id]) == ("Old name", {"hand@x.com"})


async def test_a_refused_creation_never_makes_a_strangers_record_ours(world: World) -> None:
    """What was clearly refused was not made by us, even if such a record turns up with the very same values."""
    world.portal.refuse.add("u1@x.com")
    run = await world.sync("full")
    assert "create user u1@x.com failed" in world.changes(run)
    world.portal.add_account("u1@x.com", name="User 1", email="u1@x.com", manager="u0@x.com")
    run = await world.sync("full")
    assert run.status == "held"
    assert "adopt user u1@x.com held" in world.changes(run)


async def test_accounts_that_webcon_still_copies_are_linked_later(world: World) -> None:
    """Links of records that are not synchronised in time are deferred, which is no failure."""
    world.portal.slow = True
    run = await world.sync("full")
    assert run.status == "succeeded", run.error
    assert {change.split()[-1] for change in world.changes(run) if change.startswith("link")} == {"deferred"}
    world.portal.slow = False
    for key, account in world.portal.accounts.items():
        world.portal.accounts[key] = replace(account, status="Synchronized")
    run = await world.sync("delta")
    assert run.status == "succeeded", run.error
    assert world.portal.picture() == PLACES


async def test_records_deleted_by_hand_come_back(world: World) -> None:
    """A full run notices what was deleted in the portal, and restores it with its places."""
    await settle(world)
    await world.portal.delete_account("u4@x.com")
    await world.portal.delete_group("sales@grp")
    await world.portal.add_members("all@grp", ["u7@x.com"])
    run = await world.sync("full")
    assert run.status == "succeeded", run.error
    assert world.portal.picture() == PLACES


async def test_plan_writes_nothing_and_says_what_apply_does(world: World) -> None:
    """Law 6: the plan of a dry run is what the next run carries out."""
    plan = await world.sync("full", write=False)
    assert world.portal.writes == []
    planned = [change.rsplit(" ", 1)[0] for change in world.changes(plan)]
    run = await world.sync("delta")
    assert [change.rsplit(" ", 1)[0] for change in world.changes(run)] == planned


async def test_an_adopted_group_becomes_ours_as_a_whole_in_the_same_run(world: World) -> None:
    """With adoptions allowed, members put in by hand leave with the adoption; the next run plans nothing."""
    world.rules = make_rules(limits=replace(world.rules.limits, max_adoptions=5))
    world.portal.add_account("hand@x.com", name="By hand", email="hand@x.com")
    world.portal.groups["sales@grp"] = PortalGroup(bps_id="Sales@grp", name="Old name", email="old@grp")
    world.portal.members["sales@grp"] = {"hand@x.com": "hand@x.com", "u4@x.com": "u4@x.com"}
    await settle(world)
    assert world.portal.picture() == PLACES
    assert world.portal.groups["sales@grp"].name == "Sales"


async def test_a_group_whose_adoption_the_portal_refuses_keeps_its_members(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The plan took the adoption for granted; nobody is taken out of a group that did not become ours."""
    world.rules = make_rules(limits=replace(world.rules.limits, max_adoptions=5))
    world.portal.add_account("hand@x.com", name="By hand", email="hand@x.com")
    world.portal.groups["sales@grp"] = PortalGroup(bps_id="Sales@grp", name="Old name", email="old@grp")
    world.portal.members["sales@grp"] = {"hand@x.com": "hand@x.com"}

    async def refuse(bps_id: str, fields: Fields) -> None:
        raise Conflict(f"the portal refuses {bps_id}", status=409, sent=False)

    monkeypatch.setattr(world.portal, "update_group", refuse)
    run = await world.sync("full")
    assert "adopt group Sales@grp failed" in world.changes(run)
    assert "unlink membership Sales@grp hand@x.com deferred" in world.changes(run)
    assert world.portal.picture()["sales@grp"] == {"hand@x.com"}


async def test_a_group_that_waits_for_adoption_keeps_its_members(world: World) -> None:
    """Held adoption: neither renamed nor linked nor unlinked."""
    world.portal.add_account("hand@x.com", name="By hand", email="hand@x.com")
    world.portal.groups["sales@grp"] = PortalGroup(bps_id="Sales@grp", name="Old name", email="old@grp")
    world.portal.members["sales@grp"] = {"hand@x.com": "hand@x.com"}
    run = await world.sync("full")
    assert run.status == "held"
    assert world.portal.picture() == {**PLACES, "sales@grp": {"hand@x.com"}}
    assert world.portal.groups["sales@grp"].name == "Old name"


async def test_create_only_finishes_first_memberships_that_were_deferred(world: World) -> None:
    """A link that WEBCON was not ready for is still one of the new account's first memberships."""
    world.rules = make_rules(policy=make_policy(mode="create_only"))
    world.portal.slow = True
    await world.sync("full")
    world.portal.slow = False
    for key, account in world.portal.accounts.items():
        world.portal.accounts[key] = replace(account, status="Synchronized")
    run = await world.sync("delta")
    assert run.status == "succeeded", run.error
    assert world.portal.picture() == PLACES


# ---- the proof of a full pull ---------------------------------------------------------------------------------------


async def test_the_proof_of_a_full_pull_is_stored_with_its_run(world: World) -> None:
    """What was met, what the tenant counts and what was removed can be read from the history later on."""
    await settle(world)
    world.source.remove_user("u3")
    world.source.log["users"].clear()
    world.source.groups["g1"].members.pop("u1")  # nobody has told either
    run = await world.sync("full")
    (stored,) = Store(world.database).runs.load_runs(1)
    assert stored.proof == run.proof
    assert stored.proof["users"] == {
        "proven": True,
        "reason": None,
        "read": 7,
        "counted": 7,
        "tolerance": 5,
        "missing": 1,
        "removed": 1,
    }
    groups = stored.proof["groups"]
    assert (groups["proven"], groups["groups_rechecked"], groups["memberships_removed"]) == (True, 1, 1)
    assert groups["groups"] == [{"source_id": "g1", "read": 3, "counted": 3, "removed": 1, "doubt": None}]
    delta = await world.sync("delta")
    assert delta.proof == {}


async def test_an_unproven_read_says_so_in_its_proof(world: World) -> None:
    """The reason is part of the record."""
    await settle(world)
    world.source.count_lie = 40
    run = await world.sync("full")
    assert run.proof["users"]["proven"] is False
    assert run.proof["users"]["reason"] == "the tenant counts 48 users, the read met 8 (tolerance 5)"


async def test_one_person_whom_two_readings_lack_stays_when_the_count_knows_her(world: World) -> None:
    """One is as much as many: a count that exceeds both readings by a single member is believed."""
    await settle(world)
    for cut in (world.source.hidden, world.source.unlisted):
        cut.add("g1/u1")
    await world.sync("full")
    assert world.portal.picture() == PLACES
    for cut in (world.source.hidden, world.source.unlisted):
        cut.clear()
    world.source.groups["g1"].members.pop("u1")  # nobody tells, and by now the count knows it too
    await world.sync("full")
    assert "u1@x.com" not in world.portal.picture()["all@grp"]


async def test_members_that_the_count_contradicts_are_not_swept(world: World) -> None:
    """Baseline and second reading are cut alike: that group keeps its members, and the others are swept."""
    await settle(world)
    world.source.groups["g2"].members.pop("u4")  # nobody has told
    for cut in (world.source.hidden, world.source.unlisted):
        cut.update({"g1/u1", "g1/u2"})
    run = await world.sync("full")
    assert run.status == "succeeded", run.error
    assert world.changes(run) == [
        "unlink membership all@grp u4@x.com done",
        "unlink membership ring@grp u4@x.com done",
        "unlink membership sales@grp u4@x.com done",
    ]
    doubts = {loss["source_id"]: loss["doubt"] for loss in cast("list[Any]", run.proof["groups"]["groups"])}
    assert doubts == {"g1": "the tenant counts 5 users and groups in it, and the readings met 3", "g2": None}
    assert run.counts["groups_unproven"] == 1


def load_places(world: World, user_id: str) -> set[str]:
    """Return the groups in which a user is stored, hidden memberships counted in."""
    with world.database.engine.connect() as connection:
        rows = connection.exec_driver_sql(
            "SELECT g.id FROM source_members m JOIN source_objects g ON g.key = m.group_key "
            f"JOIN source_objects u ON u.key = m.member_key WHERE u.id = '{user_id}'"
        )
        return {row[0] for row in rows}


async def test_a_full_read_tells_purged_people_from_those_who_may_come_back(world: World) -> None:
    """Hidden memberships are kept for the recycle bin, and for nobody else; whoever is back has them."""
    await settle(world)
    world.source.remove_user("u1", hard=True)
    world.source.remove_user("u4")
    world.source.dead = True
    run = await world.sync("full")
    assert (run.counts["users_removed"], run.counts["users_purged"]) == (2, 1)
    assert load_places(world, "u1") == set()
    assert load_places(world, "u4") == {"g2"}
    world.source.dead = False
    world.source.restore_user("u4")
    await world.sync("delta")
    assert "u4@x.com" in world.portal.picture()["sales@grp"]


@pytest.mark.parametrize("there", [None, True])
async def test_what_cannot_be_looked_up_is_purged_when_no_recycle_bin_keeps_it(
    world: World, monkeypatch: pytest.MonkeyPatch, there: bool | None
) -> None:
    """Without the right to read deleted items the age decides; with it they do, whatever the age."""

    async def is_deleted(stream: str, object_id: str) -> bool | None:
        return there

    monkeypatch.setattr(world.source, "is_deleted", is_deleted)
    await settle(world)
    world.source.remove_user("u4")
    world.source.dead = True
    assert "users_purged" not in (await world.sync("full")).counts
    world.clock.ahead += timedelta(days=30)
    assert "users_purged" not in (await world.sync("full")).counts
    world.clock.ahead += timedelta(days=2)
    run = await world.sync("full")
    assert run.counts.get("users_purged") == (1 if there is None else None)
    assert load_places(world, "u4") == (set() if there is None else {"g2"})


async def test_who_is_restored_while_we_look_is_not_taken_for_purged(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither there nor among the deleted items may also mean: there again."""
    await settle(world)
    world.source.remove_user("u4")
    world.source.dead = True

    async def restore(stream: str, object_id: str) -> bool:
        world.source.restore_user(object_id)
        return False

    monkeypatch.setattr(world.source, "is_deleted", restore)
    run = await world.sync("full")
    assert "users_purged" not in run.counts
    assert load_places(world, "u4") == {"g2"}
    world.source.dead = False
    await world.sync("delta")
    assert "u4@x.com" in world.portal.picture()["sales@grp"]


async def test_service_principals_in_a_group_do_not_hinder_the_sweep(world: World) -> None:
    """They are counted, and no list of v1.0 shows them."""
    for number in range(4):
        world.source.link("g2", f"sp{number}", "servicePrincipal")
    await settle(world)
    world.source.groups["g2"].members.pop("u4")  # nobody has told
    run = await world.sync("full")
    assert "unlink membership sales@grp u4@x.com done" in world.changes(run)
    assert run.proof["groups"]["memberships_removed"] == 1
