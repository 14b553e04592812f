"""What an administrator fears: a lying dry run, a hold out of nowhere, a wrong manager, a loss nobody notices."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from syncd.errors import ProtocolError, Unavailable
from syncd.model.run import PullKind, RunRecord
from syncd.model.target import GroupDetail
from syncd.plan.cel.expressions import Expression
from syncd.plan.rules import FieldRule, fold_all
from syncd.store.store import Store
from syncd.sync.runs import Runs
from tests.fakes.portal import FakePortal
from tests.fakes.rules import make_limits, make_policy, make_rules, make_scope
from tests.fakes.world import World


def found_company(world: World) -> None:
    """A tenant with thirty people who report to the first, two groups of some of them, and an empty portal."""
    for number in range(30):
        world.source.put_user(
            f"u{number}",
            userPrincipalName=f"u{number}@x.com",
            displayName=f"User {number}",
            mail=f"u{number}@x.com",
            manager="u0" if number else None,
        )
    for name, title in (("g1", "All"), ("g2", "Sales")):
        world.source.put_group(name, displayName=title, mailNickname=f"{title.lower()}@grp")
    for number in range(6):
        world.source.link("g1", f"u{number}")
    world.source.link("g2", "u4")


pytestmark = pytest.mark.company(founded_by=found_company)


async def settle(world: World) -> RunRecord:
    """Bring the portal in step, and check that nothing is left to plan."""
    run = await world.sync("full")
    assert run.status == "succeeded", run.error
    again = await world.sync("full")
    assert world.changes(again) == []
    return run


ALL = {f"u{number}@x.com" for number in range(6)}
DEFAULT_LIMITS = make_limits()
KINDS: tuple[PullKind, ...] = ("delta", "delta", "full", "delta")


# ---- a dry run leaves nothing behind --------------------------------------------------------------------------------


async def test_a_dry_run_of_other_rules_does_not_reach_the_next_real_run(world: World) -> None:
    """Trying another mapping with 'plan' must not make the next delta run under the old rules write its values."""
    await settle(world)
    real = world.rules
    names = {**real.mapping.user_fields, "name": FieldRule(("userPrincipalName",))}
    world.rules = replace(real, mapping=replace(real.mapping, user_fields=names))
    plan = await world.sync("delta", write=False)
    assert len(world.changes(plan)) == 30
    world.rules = real
    world.source.put_user("u0", userPrincipalName="boss@x.com")
    run = await world.sync("delta")
    assert run.status == "succeeded", run.error
    assert world.portal.accounts["u9@x.com"].manager == "boss@x.com"
    assert world.portal.accounts["u9@x.com"].name == "User 9"
    assert world.changes(await world.sync("full")) == []


async def test_a_dry_run_does_not_start_the_grace(world: World) -> None:
    """The grace before a deletion starts with a real run, not with a look at what would happen."""
    await settle(world)
    world.rules = make_rules(policy=make_policy(out_of_scope="delete", deleted_users="delete", grace=timedelta(days=3)))
    world.source.remove_user("u4")
    await world.sync("delta", write=False)
    world.clock.ahead += timedelta(days=9)
    run = await world.sync("delta")
    assert not any(change.startswith("delete") for change in world.changes(run))
    world.clock.ahead += timedelta(days=4)
    assert world.changes(await world.sync("delta")) == ["delete user u4@x.com done"]


@pytest.mark.both_engines
async def test_a_dry_run_shows_the_deletions_of_a_grace_of_nothing(world: World) -> None:
    """grace = "0d": whom the next run deletes at once, the plan before it shows as deleted."""
    await settle(world)
    world.rules = make_rules(policy=make_policy(deleted_users="delete", deleted_groups="delete", grace=timedelta()))
    world.source.remove_user("u4")
    world.source.remove_group("g2")
    world.source.put_user("u5", userPrincipalName="new@x.com")
    plan = await world.sync("delta", write=False)
    run = await world.sync("delta")
    assert "delete user u4@x.com done" in world.changes(run)
    assert "delete group sales@grp done" in world.changes(run)
    assert [change.rpartition(" ")[0] for change in world.changes(plan)] == [
        change.rpartition(" ")[0] for change in world.changes(run)
    ]


async def test_a_dry_run_of_other_rules_forgets_nothing_that_was_accepted(world: World) -> None:
    """What somebody changed by hand, and a person accepted, stays so although rules were tried that agree with it."""
    await settle(world)
    await world.clock.sleep(7200)
    del world.portal.members["all@grp"]["u5@x.com"]
    accounts = world.portal.accounts
    accounts["u3@x.com"] = replace(accounts["u3@x.com"], name="u3@x.com")
    del accounts["u9@x.com"]
    real = make_rules(policy=make_policy(drift="adopt"))
    world.rules = real
    await world.sync("full")
    assert world.changes(await world.sync("full")) == []
    names = {**real.mapping.user_fields, "name": FieldRule(("userPrincipalName",))}
    scope = make_scope(users=Expression('user.displayName != "User 5" && user.displayName != "User 9"'))
    world.rules = replace(real, scope=scope, mapping=replace(real.mapping, user_fields=names))
    await world.sync("full", write=False)
    world.rules = real
    assert world.changes(await world.sync("full")) == []


@pytest.mark.parametrize("mode", ["sync", "plan_only"])
async def test_create_only_does_not_carry_out_what_was_only_planned(world: World, mode: str) -> None:
    """A link between existing records that a dry run, or plan_only, showed is not one of the first memberships."""
    await settle(world)
    world.source.link("g2", "u5")
    world.rules = make_rules(policy=make_policy(mode=mode))
    await world.sync("delta", write=mode == "plan_only")
    world.rules = make_rules(policy=make_policy(mode="create_only"))
    run = await world.sync("delta")
    assert world.changes(run) == []
    assert world.portal.picture()["sales@grp"] == {"u4@x.com"}


# ---- the guard counts what it should --------------------------------------------------------------------------------


async def test_a_first_sync_that_was_cut_short_is_not_held_afterwards(world: World) -> None:
    """Setting the managers of accounts that were created without one completes them: it is no mass update."""
    world.rules = make_rules(limits=DEFAULT_LIMITS)
    world.portal.slow = True
    await world.sync("full")
    world.portal.slow = False
    for key, account in world.portal.accounts.items():
        world.portal.accounts[key] = replace(account, status="Synchronized")
    for _ in range(2):
        run = await world.sync("delta")
        assert run.status == "succeeded", run.error
    assert world.portal.accounts["u9@x.com"].manager == "u0@x.com"
    assert world.portal.picture()["all@grp"] == ALL


async def test_a_wave_of_new_people_is_no_mass_update(world: World) -> None:
    """New accounts whose managers are new too do not trip max_update_percent."""
    world.rules = make_rules(limits=DEFAULT_LIMITS)
    await settle(world)
    for number in range(30, 60):
        manager = "u30" if number > 30 else None
        world.source.put_user(
            f"u{number}", userPrincipalName=f"u{number}@x.com", displayName=f"User {number}", manager=manager
        )
    run = await world.sync("delta")
    assert run.status == "succeeded", run.error
    assert world.portal.accounts["u55@x.com"].manager == "u30@x.com"


async def test_a_changed_rule_for_bps_ids_renames_nobody_unasked(world: World) -> None:
    """Everybody renamed at once is held as a whole: no second accounts, no lost memberships, also in later runs."""
    world.rules = make_rules(limits=DEFAULT_LIMITS)
    await settle(world)
    for number in range(30):
        world.source.put_user(f"u{number}", employeeId=f"e{number}@x.com")
    await world.sync("delta")
    before = dict(world.portal.accounts)
    mapping = replace(world.rules.mapping, user_bps_id=FieldRule(("employeeId",)))
    world.rules = make_rules(limits=DEFAULT_LIMITS, mapping=mapping)
    for kind in KINDS:
        run = await world.sync(kind)
        assert run.status == "held", world.changes(run)
        assert set(world.portal.accounts) == set(before)
        assert world.portal.picture()["all@grp"] == ALL


async def test_held_removals_stay_held_and_reported_until_the_source_recovers(world: World) -> None:
    """A mass removal is reported by every run, carried out by none, and forgotten when it is taken back."""
    world.rules = make_rules(limits=replace(DEFAULT_LIMITS, min_population=3))
    await settle(world)
    for number in range(5):
        world.source.unlink("g1", f"u{number}")
    for kind in KINDS:
        run = await world.sync(kind)
        assert run.status == "held", world.changes(run)
        assert world.portal.picture()["all@grp"] == ALL
    for number in range(5):
        world.source.link("g1", f"u{number}")
    run = await world.sync("delta")
    assert (run.status, world.changes(run)) == ("succeeded", [])


async def test_an_empty_tenant_is_reported_until_it_shows_people_again(world: World) -> None:
    """A delta run after an empty full read is no success either; the hold ends by itself when the tenant recovers."""
    await settle(world)
    users = dict(world.source.users)
    world.source.users.clear()
    assert (await world.sync("full")).status == "held"
    run = await world.sync("delta")
    assert run.status == "held"
    assert "users" in run.error
    world.source.users.update(users)
    world.source.put_user("u0", displayName="Back")
    run = await world.sync("full")
    assert run.status == "succeeded", run.error
    assert (await world.sync("delta")).status == "succeeded"
    assert world.portal.picture()["all@grp"] == ALL


# ---- the right person -----------------------------------------------------------------------------------------------


async def test_a_manager_who_lost_the_name_to_somebody_else_is_not_replaced_by_that_one(world: World) -> None:
    """Whoever reports to a person without a record of their own reports to nobody, not to the record's holder."""
    await settle(world)
    world.source.put_user("z1", userPrincipalName="u1@x.com", displayName="Impostor", mail="z@x.com")
    world.source.put_user("u9", manager="z1")
    await world.sync("delta")
    assert world.portal.accounts["u9@x.com"].manager is None


async def test_managers_are_compared_without_case(world: World) -> None:
    """A portal that spells a manager's id in another case than the account's is not written to again and again."""
    await settle(world)
    world.portal.accounts["u9@x.com"] = replace(world.portal.accounts["u9@x.com"], manager="U0@X.com")
    assert world.changes(await world.sync("full")) == []


@pytest.mark.both_engines
async def test_reports_of_a_deleted_manager_are_set_right_by_the_next_delta(world: World) -> None:
    """When a manager's account is deleted after the grace, the reports do not keep the dead reference."""
    world.rules = make_rules(policy=make_policy(deleted_users="delete", grace=timedelta(days=3)))
    world.source.put_user("u9", manager="u5")
    await settle(world)
    world.source.remove_user("u5")
    await world.sync("delta")
    assert world.portal.accounts["u9@x.com"].manager == "u5@x.com"
    world.clock.ahead += timedelta(days=4)
    await world.sync("delta")
    assert "u5@x.com" not in world.portal.accounts
    await world.sync("delta")
    assert world.portal.accounts["u9@x.com"].manager is None
    assert world.changes(await world.sync("full")) == []


async def test_an_account_found_missing_comes_back_with_its_memberships(world: World) -> None:
    """An account deleted by hand is noticed by an update, and the next delta restores account and places."""
    await settle(world)
    await world.portal.delete_account("u4@x.com")
    world.source.put_user("u4", displayName="Changed")
    await world.sync("delta")
    run = await world.sync("delta")
    assert run.status == "succeeded", run.error
    assert world.portal.picture() == {"all@grp": ALL, "sales@grp": {"u4@x.com"}}


async def test_an_old_account_keeps_its_places_until_the_new_one_is_there(world: World) -> None:
    """Renamed twice, the second new account refused: the account in use loses nothing."""
    await settle(world)
    world.source.put_user("u4", userPrincipalName="b@x.com")
    await world.sync("delta")
    world.portal.refuse = {"c@x.com"}
    world.source.put_user("u4", userPrincipalName="c@x.com")
    await world.sync("delta")
    assert world.portal.picture()["sales@grp"] == {"b@x.com"}
    world.portal.refuse = set()
    await world.sync("delta")
    assert world.portal.picture()["sales@grp"] == {"c@x.com"}


@pytest.mark.both_engines
async def test_a_renamed_group_is_not_emptied_before_the_new_one_is_there(world: World) -> None:
    """A group whose BPS id changed keeps its members as long as the portal refuses the new group."""
    await settle(world)
    world.portal.refuse = {"verkauf@grp"}
    world.source.put_group("g2", mailNickname="verkauf@grp")
    await world.sync("delta")
    assert world.portal.picture()["sales@grp"] == {"u4@x.com"}
    world.portal.refuse = set()
    run = await world.sync("delta")
    assert run.status == "succeeded", run.error
    assert world.portal.picture()["verkauf@grp"] == {"u4@x.com"}
    assert world.portal.picture()["sales@grp"] == set()


async def test_of_two_groups_with_one_bps_id_the_second_follows_when_the_first_gives_way(world: World) -> None:
    """The skipped group takes the id over in the delta run in which it becomes free."""
    world.source.put_group("g3", displayName="Other", mailNickname="Sales@grp")
    world.source.link("g3", "u5")
    run = await world.sync("full")
    assert "sales@grp" not in world.portal.groups
    world.source.put_group("g2", mailNickname="verkauf@grp")
    run = await world.sync("delta")
    assert run.status == "succeeded", run.error
    assert world.portal.picture()["sales@grp"] == {"u5@x.com"}
    assert world.portal.picture()["verkauf@grp"] == {"u4@x.com"}


@pytest.mark.both_engines
async def test_a_name_in_the_scope_that_moves_to_another_group_moves_nobody(world: World) -> None:
    """include_groups by name: the group that was meant is meant on, by a delta run as by a full one."""
    world.rules = make_rules(scope=make_scope(include_groups=("All",)))
    await settle(world)
    world.source.put_group("g1", displayName="Old all")
    world.source.put_group("g2", displayName="All")
    run = await world.sync("delta")
    assert run.status == "succeeded", run.error
    assert world.portal.picture()["all@grp"] == {f"u{number}@x.com" for number in range(6)}
    assert world.changes(await world.sync("full")) == []
    world.rules = make_rules(scope=make_scope(include_groups=("g2",)))
    assert (await world.sync("delta")).status == "succeeded"
    assert world.portal.picture()["all@grp"] == {"u4@x.com"}, "named by its id it is the other one"
    assert world.changes(await world.sync("full")) == []


# ---- a record that cannot be read ------------------------------------------------------------------------------------


async def test_one_malformed_record_of_ours_does_not_stop_the_rest(world: World) -> None:
    """A record that the portal shows malformed is left as it is; everybody else is served."""
    await settle(world)
    account = world.portal.accounts.pop("u4@x.com")

    async def fetch_account(bps_id: str) -> None:
        if bps_id.casefold() == "u4@x.com":
            raise ProtocolError("a malformed user")

    async def fetch_group(bps_id: str) -> GroupDetail | None:
        if bps_id == "sales@grp":
            raise ProtocolError("a malformed group")
        return await original(bps_id)

    original = world.portal.fetch_group
    world.portal.fetch_account = fetch_account
    world.portal.fetch_group = fetch_group
    world.source.put_user("u8", displayName="Changed")
    run = await world.sync("full")
    assert run.status == "succeeded", run.error
    assert world.portal.accounts["u8@x.com"].name == "Changed"
    assert [change for change in world.changes(run) if "u4" in change or "sales" in change] == []
    assert account.name == "User 4"


async def test_a_portal_that_fails_while_members_are_read_fails_the_run(world: World) -> None:
    """The run is closed as failed with the portal's words, and the next one converges."""
    await settle(world)
    original = world.portal.fetch_group

    async def fetch_group(bps_id: str) -> GroupDetail | None:
        raise Unavailable("the portal is down", status=503)

    world.portal.fetch_group = fetch_group
    run = await world.sync("full")
    assert run.status == "failed"
    assert "down" in run.error
    world.portal.fetch_group = original
    assert world.changes(await world.sync("delta")) == []


async def test_a_just_created_record_that_the_portal_does_not_show_yet_stays_ours(world: World) -> None:
    """A full run right after the creation neither forgets nor creates it again (data synchronisation takes a while)."""
    world.portal.slow = True
    await world.sync("full")
    hidden = world.portal.accounts.pop("u9@x.com")
    run = await world.sync("full")
    assert not any(change.startswith("create") for change in world.changes(run))
    world.portal.accounts["u9@x.com"] = hidden
    world.portal.slow = False
    for key, account in world.portal.accounts.items():
        world.portal.accounts[key] = replace(account, status="Synchronized")
    run = await world.sync("full")
    assert run.status == "succeeded", run.error
    assert not any(change.startswith("adopt") for change in world.changes(run))


# ---- the alarm ends -------------------------------------------------------------------------------------------------


async def test_a_failure_that_is_no_longer_wanted_leaves_the_alarm(world: World) -> None:
    """A refused change that the source takes back is solved: it is not reported, and a later one starts afresh."""
    await settle(world)
    world.portal.refuse = {"u9@x.com"}
    world.source.put_user("u9", displayName="Refused")
    assert (await world.sync("delta")).status == "partial"
    world.source.put_user("u9", displayName="User 9")
    assert (await world.sync("delta", retry_failed=False)).status == "succeeded"
    world.portal.refuse = set()
    world.source.put_user("u9", displayName="Accepted")
    await world.sync("delta", retry_failed=False)
    assert world.portal.accounts["u9@x.com"].name == "Accepted"


async def test_a_user_whose_id_is_a_groups_leaves_the_plan_empty(world: World) -> None:
    """A BPS id that a group of the portal has is reported as foreign; nothing about it is planned over and over."""
    world.rules = make_rules(scope=make_scope(protect=fold_all(["none@x.com"])))
    await settle(world)
    world.source.put_user("u31", userPrincipalName="sales@grp", displayName="Sales person", manager="u0")
    world.source.link("g1", "u31")
    world.source.put_user("u9", manager="u31")
    await world.sync("delta")
    assert world.changes(await world.sync("full")) == []


# ---- the grace ------------------------------------------------------------------------------------------------------


async def test_a_grace_that_was_broken_off_starts_anew(world: World) -> None:
    """Who returns and leaves again has the whole grace once more."""
    world.rules = make_rules(policy=make_policy(disabled_users="delete", grace=timedelta(days=5)))
    await settle(world)
    for enabled in (False, True, False):
        world.source.put_user("u4", accountEnabled=enabled)
        run = await world.sync("delta")
        assert not any(change.startswith("delete") for change in world.changes(run))
        world.clock.ahead += timedelta(days=3)
    await world.sync("delta")
    assert "u4@x.com" in world.portal.accounts
    world.clock.ahead += timedelta(days=3)
    await world.sync("delta")
    assert "u4@x.com" not in world.portal.accounts


async def test_a_rename_taken_back_retires_the_other_account(world: World) -> None:
    """After the grace the account that nobody goes by is deleted, and never the one in use."""
    world.rules = make_rules(policy=make_policy(deleted_users="delete", grace=timedelta(days=5)))
    await settle(world)
    for name in ("b@x.com", "u4@x.com"):
        world.source.put_user("u4", userPrincipalName=name)
        run = await world.sync("delta")
        assert run.status == "succeeded", run.error
        world.clock.ahead += timedelta(days=4)
    world.clock.ahead += timedelta(days=4)
    run = await world.sync("delta")
    assert world.changes(run) == ["delete user b@x.com done"]
    assert world.portal.picture()["sales@grp"] == {"u4@x.com"}
    assert world.changes(await world.sync("full")) == []


async def test_a_removal_put_off_in_quiet_hours_happens_afterwards_without_a_new_change(world: World) -> None:
    """Quiet hours hold nothing: the next run outside of them carries the removal out."""
    await settle(world)
    quiet = True
    world.runs = Runs(Store(world.database), world.clock, lambda now: quiet)
    world.source.unlink("g1", "u5")
    run = await world.sync("delta")
    assert (run.status, world.changes(run)) == ("succeeded", ["unlink membership all@grp u5@x.com deferred"])
    quiet = False
    await world.sync("delta")
    assert world.portal.picture()["all@grp"] == ALL - {"u5@x.com"}


async def test_a_deleted_group_of_the_scope_fails_every_run_and_removes_nobody(world: World) -> None:
    """include_groups whose group is gone is no empty scope, neither today nor in the next run."""
    world.rules = make_rules(scope=make_scope(include_groups=("Sales",)))
    await settle(world)
    world.source.remove_group("g2")
    for kind in KINDS:
        run = await world.sync(kind)
        assert run.status == "failed"
        assert "Sales" in run.error
    assert "u4@x.com" in world.portal.picture()["all@grp"]


async def test_a_leaver_who_is_protected_or_not_ours_is_left_alone(world: World) -> None:
    """Protect list and adopt = "never" hold for leavers too: neither unlinked nor deleted."""
    world.portal.add_account("u5@x.com", name="By hand")
    policy = make_policy(adopt="never", deleted_users="delete", grace=timedelta())
    world.rules = make_rules(policy=policy, scope=make_scope(protect=fold_all(["U4@X.com"])))
    await world.sync("full")
    await world.portal.add_members("all@grp", ["u5@x.com"])
    before = world.portal.accounts["u5@x.com"]
    for user in ("u4", "u5"):
        world.source.remove_user(user)
    for kind in KINDS:
        await world.sync(kind)
        world.clock.ahead += timedelta(days=1)
    assert world.portal.accounts["u5@x.com"] == before


async def test_a_store_is_not_used_for_another_portal(world: World) -> None:
    """What we made in one portal is a stranger's in another: the run fails before anything is read or written there."""
    await settle(world)
    other = FakePortal(address="production.example")
    for number in range(30):
        other.add_account(f"u{number}@x.com", name="Made by hand")
    world.portal = other
    world.source.remove_user("u4")
    for kind in KINDS:
        run = await world.sync(kind)
        assert run.status == "failed"
        assert "portal.example" in run.error
    assert other.writes == []


@pytest.mark.both_engines
async def test_a_store_that_owns_nothing_yet_follows_to_another_portal(world: World) -> None:
    """Somebody who only looked at a test portal's plan may go on with the real one."""
    await world.sync("full", write=False)
    world.portal = FakePortal(address="production.example")
    await settle(world)
    assert world.portal.picture()["all@grp"] == ALL


async def test_a_full_run_asks_the_portal_before_it_reads_the_tenant(world: World) -> None:
    """A portal that cannot be reached is found out by one small question, not after an hour of reading."""
    world.portal.unreachable = True
    run = await world.sync("full")
    assert run.status == "failed"
    assert "cannot be reached" in run.error
    assert world.source.calls == []
    world.portal.unreachable = False
    assert (await world.sync("full")).status == "succeeded"
    world.portal.unreachable = True
    assert (await world.sync("delta")).status == "succeeded", "a delta without news asks the portal nothing"


async def test_properties_that_cannot_be_read_take_nobody_out_of_the_scope(world: World) -> None:
    """A full read in which a permission is lacking adds and removes nobody, until one can be believed again."""
    world.rules = make_rules(scope=make_scope(users=Expression('user.customSecurityAttributes.Hr.Level == "A"')))
    for number in range(30):
        world.source.put_user(f"u{number}", customSecurityAttributes={"Hr": {"Level": "A"}})
    await settle(world)
    reason = "nobody shows customSecurityAttributes, and the token lacks CustomSecAttributeAssignment.Read.All"
    world.source.unreadable["users"] = reason
    for number in range(30):
        world.source.put_user(f"u{number}", customSecurityAttributes=None)
    for kind in KINDS[2:]:
        run = await world.sync(kind)
        assert run.status == "partial"
        assert reason in run.error
        assert not any(line.startswith(("unlink", "delete", "revoke")) for line in world.changes(run))
    world.source.unreadable.clear()
    for number in range(30):
        world.source.put_user(f"u{number}", customSecurityAttributes={"Hr": {"Level": "A"}})
    run = await world.sync("full")
    assert (run.status, world.changes(run)) == ("succeeded", [])
