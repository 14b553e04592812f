"""People who leave, return and change their names: memberships, the account, and who gets the tasks."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

import pytest
import structlog

from syncd.errors import Forbidden, NotOffered, RemoteError, StoreError, Unavailable
from syncd.model.run import Approval, RunRecord, RunRequest
from syncd.model.substitution import Substitution
from syncd.plan.cel.expressions import Expression
from syncd.plan.rules import fold_all
from syncd.store.reports.due import load_due
from syncd.sync.push import Push
from syncd.sync.runs import Sides
from tests.fakes.rules import make_apply_options, make_limits, make_policy, make_rules, make_scope
from tests.fakes.store import watch_store
from tests.fakes.world import World

GRACE = timedelta(days=30)
MANAGER = make_policy(substitute="manager")
ALL = {f"u{number}@x.com" for number in range(5)}


async def found_company(world: World) -> None:
    """A chain of managers u0 < u1 < u2 < u3, and u4 without a manager; all in one group, synchronised."""
    world.rules = make_rules(policy=MANAGER)
    world.source.put_group("g", displayName="All", mailNickname="all@grp")
    for number in range(5):
        upn = f"u{number}@x.com"
        manager = f"u{number - 1}" if 0 < number < 4 else None
        world.source.put_user(f"u{number}", userPrincipalName=upn, displayName=upn, mail=upn, manager=manager)
        world.source.link("g", f"u{number}")
    assert (await world.sync("full")).status == "succeeded"


pytestmark = pytest.mark.company(founded_by=found_company)


async def settle(world: World) -> RunRecord:
    """Run a delta, and check that a full run finds nothing left."""
    run = await world.sync("delta")
    assert run.status == "succeeded", run.error
    assert world.changes(await world.sync("full")) == []
    return run


def people(world: World) -> set[str]:
    """Return who is in the group."""
    return world.portal.picture()["all@grp"]


def use(world: World, **policy: Any) -> None:
    """Change the policy."""
    world.rules = replace(world.rules, policy=replace(world.rules.policy, **policy))


def leave(world: World, way: str, user: str = "u3") -> None:
    """Let somebody leave in one of the three ways."""
    if way == "disabled":
        world.source.put_user(user, accountEnabled=False)
    elif way == "deleted":
        world.source.remove_user(user)
    else:
        world.source.put_user(user, jobTitle="Contractor")


def come_back(world: World, way: str, user: str = "u3") -> None:
    """Take it back."""
    if way == "disabled":
        world.source.put_user(user, accountEnabled=True)
    elif way == "deleted":
        world.source.restore_user(user)
    else:
        world.source.put_user(user, jobTitle=None)


def find_line(world: World, bps_id: str) -> Any:
    """Return the line of an account in the list of users."""
    from syncd.store.reports.status import Report

    lines = [
        line
        for line in Report(world.database, world.rules.policy, now=world.clock.now()).iterate("user")
        if line.bps_id == bps_id
    ]
    assert len(lines) == 1, lines
    return lines[0]


# ---- the three ways to leave, the three policies --------------------------------------------------------------------


@pytest.mark.both_engines
@pytest.mark.parametrize("way", ["disabled", "deleted", "out_of_scope"])
@pytest.mark.parametrize("policy", ["keep", "revoke", "delete"])
async def test_each_way_to_leave_has_its_policy_and_a_way_back(world: World, way: str, policy: str) -> None:
    """keep: nothing happens; revoke: out of the groups; delete: gone after the grace. Returning gives it all back."""
    setting = {"disabled": "disabled_users", "deleted": "deleted_users", "out_of_scope": "out_of_scope"}[way]
    world.rules = replace(world.rules, scope=make_scope(users=Expression('user.jobTitle != "Contractor"')))
    use(world, **{setting: policy})
    await world.sync("full")
    leave(world, way)
    run = await settle(world)
    if policy == "keep":
        assert (people(world), world.portal.stand_ins(), world.changes(run)) == (ALL, {}, [])
    else:
        assert people(world) == ALL - {"u3@x.com"}
        assert world.portal.stand_ins() == {"u3@x.com": "u2@x.com"}
        come_back(world, way)
        await world.sync("delta")
        assert (people(world), world.portal.stand_ins()) == (ALL, {})
        leave(world, way)
        await world.sync("delta")
    world.clock.ahead += GRACE + timedelta(hours=1)
    await settle(world)
    assert ("u3@x.com" in world.portal.accounts) == (policy != "delete")
    come_back(world, way)
    await settle(world)
    assert people(world) == ALL
    assert "u3@x.com" in world.portal.accounts


async def test_the_grace_starts_anew_when_the_reason_changes(world: World) -> None:
    """Somebody disabled long ago whom the tenant deletes today is not deleted here at once."""
    use(world, deleted_users="delete")
    leave(world, "disabled")
    await settle(world)
    world.clock.ahead += 3 * GRACE
    await settle(world)
    leave(world, "deleted")
    assert "delete user u3@x.com planned" not in world.changes(await world.sync("delta", write=False))
    await settle(world)
    assert "u3@x.com" in world.portal.accounts
    world.clock.ahead += GRACE + timedelta(hours=1)
    await settle(world)
    assert "u3@x.com" not in world.portal.accounts


# ---- a manager stands in --------------------------------------------------------------------------------------------


async def test_a_leavers_tasks_go_to_the_manager_until_the_grace_ends(world: World) -> None:
    """One substitution in all processes, planned as such; it is not made again when it has come to its end."""
    leave(world, "disabled")
    before = world.clock.now()
    run = await settle(world)
    assert "create substitution u3@x.com u2@x.com done" in world.changes(run)
    (made,) = world.portal.substitutions.values()
    assert timedelta() <= made.ends_at - before - GRACE < timedelta(minutes=5)
    assert made.starts_at < made.ends_at
    world.clock.ahead += GRACE + timedelta(hours=1)
    await settle(world)
    assert list(world.portal.substitutions.values()) == [made]
    assert world.store.substitutions.load_substitution.blocking(1) is None


async def test_the_policy_none_arranges_nothing_and_ends_what_was_arranged(world: World) -> None:
    """Switched off, the substitutions of leavers end; switched on, those within their grace begin."""
    use(world, substitute="none")
    leave(world, "disabled")
    await settle(world)
    assert world.portal.stand_ins() == {}
    use(world, substitute="manager")
    await world.sync("delta")
    assert world.portal.stand_ins() == {"u3@x.com": "u2@x.com"}
    use(world, substitute="none")
    await world.sync("delta")
    assert world.portal.stand_ins() == {}


async def test_a_manager_who_is_no_help_is_passed_over(world: World) -> None:
    """A leaver, a protected or an unmappable manager: the next one up the chain stands in, in the same delta run."""
    leave(world, "disabled", "u3")
    leave(world, "disabled", "u2")
    await settle(world)
    assert world.portal.stand_ins() == {"u3@x.com": "u1@x.com", "u2@x.com": "u1@x.com"}
    leave(world, "disabled", "u1")
    await settle(world)
    assert world.portal.stand_ins() == dict.fromkeys(("u3@x.com", "u2@x.com", "u1@x.com"), "u0@x.com")
    come_back(world, "disabled", "u2")
    await settle(world)
    assert world.portal.stand_ins() == {"u3@x.com": "u2@x.com", "u1@x.com": "u0@x.com"}
    world.rules = replace(world.rules, scope=make_scope(protect=fold_all(("u0@x.com", "u3@x.com"))))
    come_back(world, "disabled", "u1")
    await settle(world)
    assert world.portal.stand_ins() == {"u3@x.com": "u2@x.com"}, "what is protected stays as it is"


async def test_a_changed_manager_takes_the_substitution_over(world: World) -> None:
    """The substitution that we made is changed, with its period; another's is not looked at."""
    world.portal.substitutions[77] = by_hand = Substitution(
        original="u3@x.com",
        substitute="u0@x.com",
        starts_at=world.clock.now(),
        ends_at=world.clock.now() + GRACE,
        number=77,
    )
    leave(world, "disabled")
    await settle(world)
    number, made = max(world.portal.substitutions.items(), key=lambda item: item[1].substitute)
    assert made.substitute == "u2@x.com"
    world.source.put_user("u3", manager="u4")
    run = await settle(world)
    assert "update substitution u3@x.com u4@x.com done" in world.changes(run)
    assert world.portal.substitutions == {77: by_hand, number: replace(made, substitute="u4@x.com")}
    come_back(world, "disabled")
    await settle(world)
    assert world.portal.substitutions == {77: by_hand}


async def test_without_any_manager_nobody_stands_in_and_a_lost_one_stays(world: World) -> None:
    """No manager: the list of users says so. A manager who is taken away at the leaving keeps standing in."""
    leave(world, "disabled", "u4")
    leave(world, "disabled", "u3")
    await settle(world)
    assert world.portal.stand_ins() == {"u3@x.com": "u2@x.com"}
    assert "nobody stands in" in find_line(world, "u4@x.com").reason
    assert "tasks go to u2@x.com until" in find_line(world, "u3@x.com").reason
    world.source.put_user("u3", manager="")
    await settle(world)
    assert world.portal.stand_ins() == {"u3@x.com": "u2@x.com"}
    leave(world, "disabled", "u2")
    await settle(world)
    assert world.portal.stand_ins() == {"u2@x.com": "u1@x.com"}


async def test_circles_of_managers_end(world: World) -> None:
    """Leavers who report to one another have nobody."""
    world.source.put_user("u0", manager="u1")
    for user in ("u0", "u1"):
        leave(world, "disabled", user)
    await settle(world)
    assert world.portal.stand_ins() == {}


async def test_a_manager_of_somebody_elses_account_does_not_stand_in(world: World) -> None:
    """Who waits for adoption is passed over."""
    world.portal.add_account("boss@x.com", name="Boss", email="boss@x.com")
    await world.sync("full")
    world.source.put_user("b", userPrincipalName="boss@x.com", displayName="Boss", mail="boss@x.com", manager="u1")
    world.source.put_user("u3", manager="b")
    assert (await world.sync("delta")).status == "held"
    leave(world, "disabled")
    await world.sync("delta")
    assert world.portal.stand_ins() == {"u3@x.com": "u1@x.com"}


# ---- guard, modes, scopes -------------------------------------------------------------------------------------------


async def test_a_mass_leaving_that_is_held_passes_no_tasks_on(world: World) -> None:
    """The substitutions of leavers are counted and held with the removals, and approved with them."""
    world.rules = replace(world.rules, limits=make_limits(max_removal_percent=40, min_population=3))
    for user in ("u1", "u2", "u3"):
        leave(world, "disabled", user)
    run = await world.sync("delta")
    assert run.status == "held"
    assert (people(world), world.portal.substitutions) == (ALL, {})
    request = RunRequest(pull="none", trigger="approval", approval=Approval(run_id=run.id))
    assert (await world.runs.execute(request, world.open_sides())).status == "succeeded"
    assert world.portal.stand_ins() == dict.fromkeys(("u1@x.com", "u2@x.com", "u3@x.com"), "u0@x.com")
    for user in ("u1", "u2", "u3"):
        come_back(world, "disabled", user)
    await settle(world)
    assert world.portal.substitutions == {}, "giving the tasks back is no removal"


async def test_leavers_without_a_group_are_counted_too(world: World) -> None:
    """A mass leaving of people without memberships does not pass their tasks on unasked."""
    for number in range(5):
        world.source.unlink("g", f"u{number}")
    await settle(world)
    world.rules = replace(world.rules, limits=make_limits(max_removal_percent=40, min_population=3))
    await world.sync("delta")
    for user in ("u1", "u2", "u3"):
        leave(world, "disabled", user)
    run = await world.sync("delta")
    assert (run.status, world.portal.substitutions) == ("held", {})
    assert "3 of 5 owned users" in run.error


async def test_quiet_hours_put_a_leavers_substitution_off_with_the_removals(world: World) -> None:
    """The next run outside of them carries both out; giving tasks back does not wait."""
    quiet = type(world.runs)(world.runs._store, world.clock, lambda now: True)
    leave(world, "disabled")
    assert (await quiet.execute(RunRequest(pull="delta", trigger="cli"), world.open_sides())).status == "succeeded"
    assert (people(world), world.portal.substitutions) == (ALL, {})
    await settle(world)
    assert world.portal.stand_ins() == {"u3@x.com": "u2@x.com"}
    come_back(world, "disabled")
    await quiet.execute(RunRequest(pull="delta", trigger="cli"), world.open_sides())
    assert world.portal.substitutions == {}


@pytest.mark.both_engines(every=True)
@pytest.mark.parametrize("mode", ["create_only", "upsert_only", "plan_only"])
async def test_the_milder_modes_leave_leavers_alone(world: World, mode: Any) -> None:
    """No substitution for a leaver; after a rename one is made where records may be changed."""
    use(world, mode=mode)
    await world.sync("delta")
    leave(world, "disabled", "u2")
    world.source.put_user("u3", userPrincipalName="new@x.com", mail="new@x.com")
    await world.sync("delta")
    await world.sync("delta")
    expected = {"u3@x.com": "new@x.com"} if mode == "upsert_only" else {}
    assert world.portal.stand_ins() == expected
    world.source.put_user("u3", userPrincipalName="u3@x.com", mail="u3@x.com")
    world.clock.ahead += timedelta(days=2)
    run = await world.sync("delta")
    assert not any(change.startswith(("delete", "unlink")) for change in world.changes(run) if mode != "plan_only")
    if mode == "upsert_only":
        ends = {found.original: found.ends_at for found in world.portal.substitutions.values()}
        assert ends.pop("u3@x.com") <= world.clock.now(), "ended by its date, where nothing may be deleted"
        assert set(ends) == {"new@x.com"}


@pytest.mark.both_engines
@pytest.mark.parametrize("refusal", [Forbidden, NotOffered])
async def test_a_portal_that_forbids_substitutions_gets_everything_else(
    world: World, refusal: type[RemoteError]
) -> None:
    """One warning, one question an hour, no failed run; when the scope is granted they are made."""
    world.portal.substitutions_refused = refusal
    with structlog.testing.capture_logs() as logs:
        for user in ("u2", "u3"):
            leave(world, "disabled", user)
        run = await world.sync("delta")
        assert run.status == "succeeded", run.error
        assert people(world) == ALL - {"u2@x.com", "u3@x.com"}
        assert sum("deferred" in change for change in world.changes(run)) == 2
        asked = len(world.portal.writes)
        await world.sync("delta", retry_failed=False)
        assert len(world.portal.writes) == asked
        plan = [change for change in world.changes(await world.sync("full", write=False)) if "substitution" in change]
        assert len(plan) == 2
        assert all(change.endswith("deferred") for change in plan), "a plan says what a run can do"
        world.clock.ahead += timedelta(hours=2)
        await world.sync("delta", retry_failed=False)
        assert asked < len(world.portal.writes) <= asked + 2
    assert [log["event"] for log in logs].count("substitutions.forbidden") == 1
    world.portal.substitutions_refused = None
    await settle(world)
    assert len(world.portal.substitutions) == 2


async def test_a_rejected_removal_is_named_in_the_list_of_users(world: World) -> None:
    """Who keeps memberships because a person said so is not said to be out of all groups."""
    use(world, substitute="none")
    world.rules = replace(world.rules, limits=make_limits(max_removals=0, max_removal_percent=None))
    leave(world, "disabled")
    run = await world.sync("delta")
    assert run.status == "held"
    world.store.decisions.reject(Approval(run_id=run.id))
    await world.sync("delta")
    line = find_line(world, "u3@x.com")
    assert line.state == "leaving"
    assert "out of all groups" not in line.reason
    assert "1 membership stays: its removal was rejected" in line.reason


# ---- renames --------------------------------------------------------------------------------------------------------


async def test_a_rename_moves_everything_and_passes_the_tasks_on(world: World) -> None:
    """New account, memberships, reports of others, tasks; the old one is retired after the grace, not before."""
    use(world, deleted_users="delete")
    world.source.put_user("u1", userPrincipalName="new@x.com", mail="new@x.com")
    run = await settle(world)
    assert people(world) == ALL - {"u1@x.com"} | {"new@x.com"}
    assert world.portal.accounts["u2@x.com"].manager == "new@x.com"
    assert world.portal.stand_ins() == {"u1@x.com": "new@x.com"}
    assert "create substitution u1@x.com new@x.com done" in world.changes(run)
    world.clock.ahead += GRACE - timedelta(days=1)
    await settle(world)
    assert "u1@x.com" in world.portal.accounts
    world.clock.ahead += timedelta(days=2)
    await settle(world)
    assert "u1@x.com" not in world.portal.accounts


@pytest.mark.both_engines
async def test_an_old_account_keeps_its_places_until_the_new_one_can_have_them(world: World) -> None:
    """A portal that copies what is new for longer than a run waits: nobody is in no group at all meanwhile."""
    await settle(world)
    world.portal.slow = True
    world.source.put_user("u1", userPrincipalName="new@x.com", mail="new@x.com")
    for kind in ("delta", "delta"):
        run = await world.sync(kind)
        assert run.status == "succeeded", run.error
        assert "new@x.com" in world.portal.accounts
        assert {"u1@x.com"} == {"u1@x.com", "new@x.com"} & world.portal.picture()["all@grp"]
    world.portal.slow = False
    world.portal.accounts["new@x.com"] = replace(world.portal.accounts["new@x.com"], status="Synchronized")
    await world.sync("delta")
    assert {"new@x.com"} == {"u1@x.com", "new@x.com"} & world.portal.picture()["all@grp"]
    assert world.changes(await world.sync("delta")) == []


def let_be_ready(world: World, record: str) -> None:
    """Let the portal have copied an account or a group, and tell nobody."""
    world.portal.slow = False
    accounts, groups = world.portal.accounts, world.portal.groups
    if record in accounts:
        accounts[record] = replace(accounts[record], status="Synchronized")
    else:
        groups[record] = replace(groups[record], status="Synchronized")


@pytest.mark.both_engines
async def test_an_old_account_loses_what_the_new_one_has_once_that_is_ready(world: World) -> None:
    """Nothing else of the plan names the new account, and no delta run reads the portal's list of accounts."""
    use(world, rename_substitute=False)
    world.rules = replace(world.rules, mapping=replace(world.rules.mapping, owners=True))
    world.source.tracks_owners = True
    world.source.own("g", "u4")
    await world.sync("full")
    await settle(world)
    world.portal.slow = True
    world.source.put_user("u4", userPrincipalName="new@x.com", mail="new@x.com")
    await world.sync("delta")
    for places in (world.portal.members, world.portal.owners):
        places["all@grp"]["new@x.com"] = "new@x.com"
    put_off = await world.sync("full")
    assert world.changes(put_off) == [
        "unlink ownership all@grp u4@x.com deferred", "unlink membership all@grp u4@x.com deferred"
    ]  # fmt: skip
    let_be_ready(world, "new@x.com")
    assert world.changes(await world.sync("delta")) == [
        "unlink ownership all@grp u4@x.com done", "unlink membership all@grp u4@x.com done"
    ]  # fmt: skip
    assert world.changes(await world.sync("delta")) == []


@pytest.mark.both_engines
async def test_an_old_group_loses_whom_the_new_one_has_once_that_is_ready(world: World) -> None:
    """The same for a renamed group."""
    await settle(world)
    world.portal.slow = world.portal.copies_groups = True
    world.source.put_group("g", displayName="All", mailNickname="other@grp")
    await world.sync("delta")
    assert people(world) == ALL
    world.portal.members["other@grp"] = dict(world.portal.members["all@grp"])
    put_off = await world.sync("full")
    assert {(change.split()[0], change.split()[-1]) for change in world.changes(put_off)} == {("unlink", "deferred")}
    let_be_ready(world, "other@grp")
    await world.sync("delta")
    assert world.portal.picture() == {"all@grp": set(), "other@grp": ALL}


@pytest.mark.both_engines
async def test_an_old_account_goes_once_the_new_one_is_ready(world: World) -> None:
    """Its deletion is all that is left."""
    use(world, rename_substitute=False, deleted_users="delete", grace=timedelta())
    world.source.unlink("g", "u4")
    await settle(world)
    world.portal.slow = True
    world.source.put_user("u4", userPrincipalName="new@x.com", mail="new@x.com")
    await world.sync("delta")
    put_off = await world.sync("full")
    assert world.changes(put_off) == ["delete user u4@x.com deferred"]
    let_be_ready(world, "new@x.com")
    assert world.changes(await world.sync("delta")) == ["delete user u4@x.com done"]


async def test_an_old_account_outlives_its_grace_while_the_new_one_is_not_there(world: World) -> None:
    """Somebody removed the new account, and the portal refuses to have it again: the old one is all there is."""
    use(world, deleted_users="delete", grace=GRACE)
    world.source.put_user("u4", userPrincipalName="new@x.com")
    await settle(world)
    world.portal.accounts.pop("new@x.com")
    world.portal.members["all@grp"].pop("new@x.com")
    world.portal.refuse = {"new@x.com"}
    world.clock.ahead += GRACE + timedelta(days=1)
    await world.sync("full")
    await world.sync("delta")
    assert "u4@x.com" in world.portal.accounts
    world.portal.refuse = set()
    await world.sync("full")
    await world.sync("full")
    assert "new@x.com" in world.portal.accounts
    assert "u4@x.com" not in world.portal.accounts


async def test_a_substitution_stays_while_the_leaving_of_its_people_is_held(world: World) -> None:
    """The tasks of a renamed person's old account go on being done, should the departure turn out to be a mistake."""
    await settle(world)
    world.source.put_user("u4", userPrincipalName="new@x.com")
    await settle(world)
    arranged = world.portal.stand_ins()
    assert arranged["u4@x.com"] == "new@x.com"
    world.rules = replace(world.rules, limits=make_limits(max_removals=0, max_removal_percent=None))
    world.source.put_user("u4", accountEnabled=False)
    for pull in ("delta", "full"):
        run = await world.sync(pull)
        assert run.status == "held"
        assert world.portal.stand_ins()["u4@x.com"] == "new@x.com"
    world.source.put_user("u4", accountEnabled=True)
    await world.sync("delta")
    assert world.portal.stand_ins() == arranged


async def test_without_the_policy_a_rename_passes_no_tasks_on(world: World) -> None:
    """rename_substitute = false."""
    use(world, rename_substitute=False)
    await world.sync("delta")
    world.source.put_user("u1", userPrincipalName="new@x.com")
    await settle(world)
    assert world.portal.substitutions == {}


async def test_a_rename_back_reclaims_the_first_account(world: World) -> None:
    """Its retirement is cancelled, its tasks are its own again, and those of the other account come to it."""
    use(world, deleted_users="delete")
    world.source.put_user("u1", userPrincipalName="new@x.com")
    await settle(world)
    world.clock.ahead += GRACE - timedelta(days=1)
    world.source.put_user("u1", userPrincipalName="u1@x.com")
    await settle(world)
    assert people(world) == ALL
    assert world.portal.stand_ins() == {"new@x.com": "u1@x.com"}
    world.clock.ahead += timedelta(days=5)
    await settle(world)
    assert {"u1@x.com", "new@x.com"} <= world.portal.accounts.keys()
    world.clock.ahead += GRACE
    await settle(world)
    assert "new@x.com" not in world.portal.accounts
    assert people(world) == ALL


async def test_a_second_rename_leads_all_tasks_to_the_last_account(world: World) -> None:
    """Also when the account of the first one never came about."""
    world.source.put_user("u1", userPrincipalName="b@x.com")
    await settle(world)
    world.source.put_user("u1", userPrincipalName="c@x.com")
    run = await settle(world)
    assert "update substitution u1@x.com c@x.com done" in world.changes(run)
    assert world.portal.stand_ins() == {"u1@x.com": "c@x.com", "b@x.com": "c@x.com"}
    world.portal.refuse.add("d@x.com")
    world.source.put_user("u1", userPrincipalName="d@x.com")
    assert (await world.sync("delta")).status == "partial"
    assert people(world) == ALL - {"u1@x.com"} | {"c@x.com"}
    assert world.portal.stand_ins() == {"u1@x.com": "c@x.com", "b@x.com": "c@x.com"}
    world.source.put_user("u1", userPrincipalName="e@x.com")
    await settle(world)
    assert world.portal.stand_ins() == dict.fromkeys(("u1@x.com", "b@x.com", "c@x.com"), "e@x.com")
    assert people(world) == ALL - {"u1@x.com"} | {"e@x.com"}


async def test_an_old_account_waits_for_the_whole_grace_after_the_new_one_came(world: World) -> None:
    """A new account that the portal refuses for weeks does not cost the grace of the old one."""
    use(world, deleted_users="delete")
    world.portal.refuse.add("new@x.com")
    world.source.put_user("u1", userPrincipalName="new@x.com")
    await world.sync("delta")
    world.clock.ahead += 2 * GRACE
    await world.sync("delta")
    world.portal.refuse.clear()
    await settle(world)
    assert "u1@x.com" in world.portal.accounts
    assert world.portal.stand_ins() == {"u1@x.com": "new@x.com"}
    world.clock.ahead += GRACE + timedelta(hours=1)
    await settle(world)
    assert "u1@x.com" not in world.portal.accounts


async def test_a_change_of_case_is_no_rename(world: World) -> None:
    """The same account, spelled as the portal has it."""
    world.source.put_user("u1", userPrincipalName="U1@X.com")
    run = await settle(world)
    assert world.changes(run) == []
    assert world.portal.accounts["u1@x.com"].bps_id == "u1@x.com"


async def test_a_tombstone_name_moves_nobody(world: World) -> None:
    """A login with 32 hex digits in front is Entra's mark of a deleted user, and is never written."""
    world.source.put_user("u1", userPrincipalName="0123456789abcdef0123456789ABCDEFu1@x.com")
    run = await settle(world)
    assert (world.changes(run), people(world)) == ([], ALL)


async def test_swapped_names_swap_the_accounts_and_pass_no_tasks_on(world: World) -> None:
    """Both accounts are in use, so that neither has a substitute."""
    world.source.put_user("u1", userPrincipalName="u2@x.com", mail="u2@x.com")
    world.source.put_user("u2", userPrincipalName="u1@x.com", mail="u1@x.com")
    await settle(world)
    assert world.portal.accounts["u1@x.com"].name == "u2@x.com"
    assert world.portal.accounts["u3@x.com"].manager == "u1@x.com"
    assert (people(world), world.portal.substitutions) == (ALL, {})


async def test_a_chain_of_names_hands_the_account_in_the_middle_over(world: World) -> None:
    """u1 takes the name of u2, who takes a new one: only the account that nobody has any more is stood in for."""
    world.rules = replace(world.rules, limits=replace(world.rules.limits, max_handovers=None))
    world.source.put_user("u2", userPrincipalName="new@x.com", mail="new@x.com")
    world.source.put_user("u1", userPrincipalName="u2@x.com", mail="u2@x.com")
    await settle(world)
    assert people(world) == ALL - {"u1@x.com"} | {"new@x.com"}
    assert world.portal.stand_ins() == {"u1@x.com": "u2@x.com"}
    assert world.portal.accounts["u2@x.com"].name == "u1@x.com"


async def test_a_leaver_who_is_renamed_keeps_the_account_and_the_grace(world: World) -> None:
    """No second account for somebody who is leaving; on return under the new name it is an ordinary rename."""
    use(world, disabled_users="delete", deleted_users="delete")
    leave(world, "disabled")
    await settle(world)
    world.source.put_user("u3", userPrincipalName="gone@x.com")
    run = await settle(world)
    assert world.changes(run) == []
    world.clock.ahead += GRACE - timedelta(days=1)
    world.source.put_user("u3", accountEnabled=True)
    await settle(world)
    assert people(world) == ALL - {"u3@x.com"} | {"gone@x.com"}
    assert world.portal.stand_ins() == {"u3@x.com": "gone@x.com"}
    world.clock.ahead += timedelta(days=2)
    await settle(world)
    assert "u3@x.com" in world.portal.accounts, "the grace of the old account began with the rename"


async def test_a_renamed_person_who_leaves_hands_both_accounts_to_the_manager(world: World) -> None:
    """Tasks do not go to an account that nobody uses."""
    world.source.put_user("u3", userPrincipalName="new@x.com")
    await settle(world)
    leave(world, "disabled")
    await settle(world)
    assert world.portal.stand_ins() == {"u3@x.com": "u2@x.com", "new@x.com": "u2@x.com"}
    come_back(world, "disabled")
    await settle(world)
    assert world.portal.stand_ins() == {"u3@x.com": "new@x.com"}


@pytest.mark.both_engines
async def test_whose_account_goes_when_is_told_ahead(world: World) -> None:
    """The day of the deletion of who left, as long as nothing speaks against it, and the end of the substitution."""
    use(world, disabled_users="delete", grace=GRACE)
    leave(world, "disabled", "u2")
    await settle(world)
    now = world.clock.now()
    due = load_due(world.database, world.rules, now=now, until=now + 2 * GRACE)
    told = {(each.what, each.bps_id) for each in due if abs(each.at - now - GRACE) < timedelta(hours=1)}
    assert told == {("deletion", "u2@x.com"), ("substitution", "u2@x.com")}
    use(world, disabled_users="revoke")
    assert all(
        each.what != "deletion" for each in load_due(world.database, world.rules, now=now, until=now + 2 * GRACE)
    )


@pytest.mark.both_engines
async def test_a_new_name_that_a_stranger_has_leaves_the_old_account_as_it_is(world: World) -> None:
    """Until the stranger's record is adopted, nothing is taken from the account that the person has."""
    world.portal.add_account("new@x.com", name="Stranger", email="new@x.com")
    await world.sync("full")
    world.source.put_user("u1", userPrincipalName="new@x.com", mail="new@x.com")
    assert (await world.sync("delta")).status == "held"
    assert people(world) == ALL
    assert world.portal.substitutions == {}
    use(world, adopt="never")
    run = await world.sync("delta")
    assert (run.status, world.changes(run), people(world)) == ("succeeded", [], ALL)
    assert find_line(world, "new@x.com").state == "foreign"
    assert "belongs to somebody else" in find_line(world, "u1@x.com").reason
    world.clock.ahead += 2 * GRACE
    assert world.changes(await world.sync("full")) == []

    use(world, adopt="match")
    world.rules = replace(world.rules, limits=make_limits(max_adoptions=1))
    await world.sync("delta")
    await settle(world)
    assert people(world) == ALL - {"u1@x.com"} | {"new@x.com"}
    assert world.portal.stand_ins() == {"u1@x.com": "new@x.com"}


async def test_a_new_name_that_a_group_has_leaves_the_old_account_as_it_is(world: World) -> None:
    """A BPS id that belongs to a group of the portal is no person's."""
    world.source.put_user("u1", userPrincipalName="all@grp")
    run = await settle(world)
    assert (world.changes(run), people(world)) == ([], ALL)


# ---- killed at every step -------------------------------------------------------------------------------------------


class Kill:
    """Strikes after the n-th write to the portal; from then on nothing is remembered."""

    def __init__(self, world: World, at: int) -> None:
        self.portal = world.portal
        self.left, self.dead = at, False

    def check(self) -> None:
        """Fail when dead."""
        if self.dead:
            self.strike()

    def strike(self) -> None:
        """Be dead."""
        self.dead = True
        raise StoreError("killed")


class KilledPortal:
    """Passes on to the portal until the kill."""

    def __init__(self, kill: Kill) -> None:
        self._kill = kill

    def __getattr__(self, name: str) -> Any:
        kill, wrapped = self._kill, getattr(self._kill.portal, name)
        if not name.startswith(("create_", "update_", "delete_", "add_", "remove_")):
            return wrapped

        async def call(*args: Any, **kwargs: Any) -> Any:
            kill.left -= 1
            if kill.dead:
                kill.strike()
            result = await wrapped(*args, **kwargs)
            if kill.left == 0:
                kill.strike()
            return result

        return call


async def run_killed(world: World, at: int) -> bool:
    """Run until the kill; return whether it struck."""
    kill = Kill(world, at)
    portal = cast(Any, KilledPortal(kill))
    store = watch_store(world.database, kill.check)
    options = make_apply_options(concurrency=1, sync_wait=5)
    push = Push(
        portal,
        store,
        rules=world.rules,
        clock=world.clock,
        options=options,
        progress=lambda name, number: None,
        stopping=lambda: False,
    )
    sides = Sides(world.open_sides().pull, push, {})
    await world.runs.execute(RunRequest(pull="delta", trigger="cli", retry_failed=True), sides)
    return kill.dead


async def test_a_rename_and_a_leaving_killed_after_any_write_end_right(world: World) -> None:
    """After the effect of each write in turn, none of which is remembered: the next run finishes, nothing is twice."""
    at, struck = 0, True
    while struck:
        at += 1
        name, old, leaver = f"v{at}@x.com", f"back{at}@x.com", f"w{at}"
        world.portal.tells_numbers = at % 2 == 0
        world.source.put_user("u1", userPrincipalName=name, mail=name)
        world.source.put_user(
            leaver, userPrincipalName=f"{leaver}@x.com", displayName=leaver, mail=f"{leaver}@x.com", manager="u2"
        )
        world.source.link("g", leaver)
        await world.sync("delta")
        world.source.put_user("u1", userPrincipalName=old, mail=old)
        leave(world, "disabled", leaver)
        struck = await run_killed(world, at)
        await world.sync("full")
        await settle(world)
        assert people(world) == ALL - {"u1@x.com"} | {old}
        assert world.portal.accounts["u2@x.com"].manager == old
        stand_ins = [(found.original, found.substitute) for found in world.portal.substitutions.values()]
        assert len(stand_ins) == len(world.portal.stand_ins()), "two substitutes for one, or one made twice"
        assert stand_ins.count((name, old)) == 1
        assert stand_ins.count((f"{leaver}@x.com", "u2@x.com")) == 1
        world.clock.ahead += GRACE + timedelta(days=2)
        world.portal.substitutions.clear()  # over, every one of them
    assert at > 6


@pytest.mark.both_engines
async def test_a_substitution_whose_answer_was_lost_is_not_made_twice(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when it is not wanted any more by then: it is found and ended."""
    made = type(world.portal).create_substitution
    for back in (False, True):

        async def lose(portal: Any, wanted: Substitution) -> int | None:
            await made(portal, wanted)
            raise Unavailable("the answer was lost", status=None)

        monkeypatch.setattr(type(world.portal), "create_substitution", lose)
        leave(world, "disabled")
        assert (await world.sync("delta")).status == "partial"
        monkeypatch.setattr(type(world.portal), "create_substitution", made)
        if back:
            come_back(world, "disabled")
        await settle(world)
        assert len(world.portal.substitutions) == (0 if back else 1)
        if not back:
            come_back(world, "disabled")
            await settle(world)


async def test_a_substitution_ended_by_hand_is_not_fought_over(world: World) -> None:
    """It stays away, and its end does not fail when its time has come."""
    leave(world, "disabled")
    await settle(world)
    world.portal.substitutions.clear()
    await settle(world)
    assert world.portal.substitutions == {}
    come_back(world, "disabled")
    await settle(world)


async def test_a_delta_run_with_leavers_asks_the_portal_nothing(world: World) -> None:
    """What is arranged costs nothing until something changes."""
    leave(world, "disabled")
    await settle(world)
    world.portal.down = True
    assert (await world.sync("delta")).status == "succeeded"
