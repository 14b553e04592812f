"""Waves: a first push, and one of new rules, goes to a few people, is read back, and then goes to the rest."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from syncd.errors import Interrupted
from syncd.model.change import Change, Phase
from syncd.model.run import Approval, RunRecord, RunRequest
from syncd.model.target import Account, Creation
from syncd.plan.rules import FieldRule, LicenceRule, Mode, WaveRules
from syncd.plan.waves import Difference, OpenWave
from syncd.sync.apply.waves import Waving
from tests.fakes.rules import make_limits, make_policy, make_rules
from tests.fakes.world import World

PEOPLE = 30


def in_waves(*percents: int, failures: int | None = 0) -> WaveRules:
    """Return rules for waves."""
    return WaveRules(percents=percents, max_failures=failures)


def found_company(world: World) -> None:
    """Thirty people, two of them in a small group as well; nothing was ever pushed."""
    world.rules = make_rules(waves=in_waves(10, 50, 100), limits=make_limits(max_update_percent=None))
    world.source.put_group("all", displayName="All", mailNickname="all@grp")
    world.source.put_group("few", displayName="Few", mailNickname="few@grp")
    for number in range(PEOPLE):
        name = f"u{number:02}"
        world.source.put_user(name, userPrincipalName=f"{name}@x.com", displayName=f"Name {name}", jobTitle="Clerk")
        world.source.link("all", name)
    for name in ("u20", "u21"):
        world.source.link("few", name)


pytestmark = [pytest.mark.company(founded_by=found_company), pytest.mark.both_engines]


async def approve(world: World, run: RunRecord) -> RunRecord:
    """Approve what a run held."""
    request = RunRequest(pull="none", trigger="approval", retry_failed=True, approval=Approval(run_id=run.id))
    return await world.runs.execute(request, world.open_sides())


async def test_a_first_push_goes_wave_by_wave_smallest_groups_first(world: World) -> None:
    """Three people, then up to half, then all; each wave whole before the next; nothing is left, and no more waves."""
    run = await world.sync("full")
    assert run.status == "succeeded", run.error
    created = [write.removeprefix("create ") for write in world.portal.writes if write.startswith("create u")]
    assert {"u20@x.com", "u21@x.com"} <= set(created[:3])
    first_link = world.portal.writes.index("link few@grp")
    assert sum(write.startswith("create u") for write in world.portal.writes[:first_link]) == 3
    assert len(world.portal.picture()["all@grp"]) == PEOPLE
    assert world.changes(await world.sync("full")) == []
    world.portal.writes.clear()
    for name in ("u03", "u04"):
        world.source.put_user(name, displayName="Other")
    assert (await world.sync("delta")).status == "succeeded"
    assert world.store.waves.load_open.blocking() is None


async def test_a_value_that_comes_back_cut_holds_the_rest(world: World) -> None:
    """The run ends held and says wave, field and id; nobody else was written; approved, the rest goes on at once."""
    world.portal.cut = 4
    run = await world.sync("full")
    assert run.status == "held"
    assert "wave 1 of 3: 6 things are not in the portal as written" in run.error
    assert "job_title of u" in run.error or "job_title of" in run.error
    assert "@x.com" not in run.error
    assert len(world.portal.accounts) == 3
    again = await world.sync("delta")
    assert again.status == "held", "what is held stays held"
    assert len(world.portal.accounts) == 3
    done = await approve(world, again)
    assert done.status == "succeeded", done.error
    assert len(world.portal.accounts) == PEOPLE
    assert len(world.portal.picture()["all@grp"]) == PEOPLE


async def test_a_membership_that_is_silently_missing_holds_the_rest(world: World) -> None:
    """The portal said yes: only reading back finds it. Rejected, the rest is not proposed again."""
    world.portal.forgets = {"u20@x.com"}
    run = await world.sync("full")
    assert run.status == "held"
    assert "membership of u20 in few missing" in run.error
    assert len(world.portal.accounts) == 3
    assert world.store.decisions.reject(Approval(run_id=run.id)) == run.counts["held"]
    world.portal.forgets = set()
    later = await world.sync("full")
    assert later.status == "succeeded", later.error
    assert len(world.portal.accounts) == 3


async def test_more_failures_than_allowed_hold_the_rest(world: World) -> None:
    """A failure is told as such (partial), and what comes later waits; one is let pass where one is allowed."""
    world.portal.refuse = {"u20@x.com"}
    run = await world.sync("full")
    assert run.status == "partial"
    assert "failed (guard.max_wave_failures allows 0); the rest waits" in run.error
    assert len(world.portal.accounts) == 2
    assert run.counts["held"]


async def test_failures_within_the_limit_let_the_waves_go_on(world: World) -> None:
    """The limit counts changes of one wave."""
    world.rules = replace(world.rules, waves=in_waves(10, 100, failures=1))
    world.portal.refuse = {"u20@x.com"}
    assert (await world.sync("full")).status == "partial"
    assert len(world.portal.accounts) == PEOPLE - 1


async def test_case_and_outer_blanks_are_the_portals_own(world: World) -> None:
    """They are no difference, in any wave."""
    create = world.portal.create_account

    async def create_lower(account: Account, *, sent_before: bool = False) -> Creation:
        return await create(replace(account, name=f" {(account.name or '').lower()} "), sent_before=sent_before)

    world.portal.create_account = create_lower
    assert (await world.sync("full")).status == "succeeded"
    assert len(world.portal.accounts) == PEOPLE


async def test_what_the_portal_still_copies_is_no_difference(world: World) -> None:
    """Records that stay unsynchronised for longer than bps.sync_wait hold nothing: their links are deferred."""
    world.portal.slow = True
    run = await world.sync("full")
    assert run.status == "succeeded", run.error
    assert len(world.portal.accounts) == PEOPLE
    assert run.counts["deferred"]


async def test_a_wave_is_looked_at_once_the_portal_has_copied_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A record that was written is copied for some seconds: what it shows then counts, and not before."""
    portal, sleep = world.portal, world.clock.sleep
    assert (await world.sync("full")).status == "succeeded"
    update = portal.update_account

    async def update_slowly(bps_id: str, fields: Any) -> None:
        await update(bps_id, fields)
        portal.accounts[bps_id] = replace(portal.accounts[bps_id], status="WaitingForSynchronization")

    async def copy(seconds: float) -> None:
        await sleep(seconds)
        for bps_id, account in portal.accounts.items():
            portal.accounts[bps_id] = replace(account, status="Synchronized")

    monkeypatch.setattr(portal, "update_account", update_slowly)
    monkeypatch.setattr(world.clock, "sleep", copy)
    portal.cut = 4
    fields = {**world.rules.mapping.user_fields, "job_title": FieldRule(("displayName",))}
    world.rules = replace(world.rules, mapping=replace(world.rules.mapping, user_fields=fields))
    run = await world.sync("delta")
    assert run.status == "held", run.error
    assert "wave 1 of 3: 3 things are not in the portal as written" in run.error


async def test_a_manager_of_a_later_wave_is_set_in_a_second_pass(world: World) -> None:
    """Nobody is deferred for it: the manager is set when the account is there."""
    for number in range(PEOPLE - 1):
        world.source.put_user(f"u{number:02}", manager=f"u{PEOPLE - 1:02}")
    run = await world.sync("full")
    assert run.status == "succeeded", run.error
    assert {a.manager for key, a in world.portal.accounts.items() if key != "u29@x.com"} == {"u29@x.com"}
    assert "deferred" not in run.counts


async def test_killed_between_two_waves_the_next_run_reads_back_first(world: World) -> None:
    """What the first wave wrote is compared before anything else is sent; approved, all is well again."""
    sides = world.open_sides()
    original = sides.push._make_waves

    def make(run_id: int) -> Waving:
        waves = original(run_id)
        waves._read_back = die
        return waves

    async def die(wave: OpenWave) -> tuple[Difference, ...]:
        raise Interrupted("killed")

    sides.push._make_waves = make
    world.portal.cut = 6
    request = RunRequest(pull="full", trigger="cli")
    killed = await world.runs.execute(request, sides)
    assert killed.status == "interrupted"
    assert len(world.portal.accounts) == 3
    assert not [change for change in world.changes(killed) if change.endswith(" held")]
    run = await world.sync("delta")
    assert run.status == "held"
    assert "wave 1 of 3 of an earlier run, which was cut short: " in run.error
    assert len(world.portal.accounts) == 3
    assert (await approve(world, run)).status == "succeeded"
    assert len(world.portal.accounts) == PEOPLE


async def test_what_a_dead_process_left_waiting_is_planned_still(world: World) -> None:
    """Later waves of a run that was killed were never tried: they are not shown as held, and not lost."""
    store = world.store
    run_id = await store.runs.open("full", "cli", now=world.clock.now())
    assert (await world.sync("full", write=False)).kind == "plan"
    store.plans.add_changes.blocking(run_id, 0, _plan_people(world))
    assert await store.waves.rank_people(run_id) == PEOPLE
    await store.waves.assign(run_id, (3, PEOPLE))
    await store.waves.begin(OpenWave(run_id, 1, 2))
    assert await store.plans.count_planned(run_id) == {Phase.USERS: 3}
    assert await store.runs.interrupt_open() == [run_id]
    assert await store.plans.count_planned(run_id) == {Phase.USERS: PEOPLE}
    assert await store.waves.load_open() == OpenWave(run_id, 1, 2)


def _plan_people(world: World) -> list[tuple[Change, int, int | None]]:
    newest = max(run.id for run in world.store.runs.load_runs(5) if run.kind == "plan")
    chunks = world.store.plans.iterate_changes(newest, phase=Phase.USERS)
    return [(planned.change, record, target) for chunk in chunks for planned, record, target in chunk]


async def test_new_rules_go_in_waves_too(world: World) -> None:
    """A mapping that was mistaken reaches a tenth of the people."""
    assert (await world.sync("full")).status == "succeeded"
    world.portal.cut = 2
    fields = {**world.rules.mapping.user_fields, "job_title": FieldRule(("displayName",))}
    world.rules = replace(world.rules, mapping=replace(world.rules.mapping, user_fields=fields))
    run = await world.sync("delta")
    assert run.status == "held"
    assert sum(account.job_title == "Na" for account in world.portal.accounts.values()) == 3


async def test_a_plan_of_few_people_goes_at_once(world: World) -> None:
    """Nobody would be spared by a wave of one."""
    world.rules = replace(world.rules, limits=replace(world.rules.limits, min_population=PEOPLE + 1))
    world.portal.cut = 2
    assert (await world.sync("full")).status == "succeeded"
    assert len(world.portal.accounts) == PEOPLE


async def test_licences_whose_seats_come_from_others_wait_for_the_last_wave(world: World) -> None:
    """Freed seats are given in the same run, and nobody is refused for want of one."""
    world.rules = replace(world.rules, waves=in_waves(100), licences=(LicenceRule("few", "User"),))
    world.portal.totals = {"User": 2}
    assert (await world.sync("full")).status == "succeeded"
    assert world.portal.assigned("User") == 2
    for name in ("u20", "u21"):
        world.source.unlink("few", name)
    world.source.link("few", "u00")
    world.source.link("few", "u01")
    fields = {**world.rules.mapping.user_fields, "job_title": FieldRule(("displayName",))}
    mapping = replace(world.rules.mapping, user_fields=fields)
    world.rules = replace(world.rules, mapping=mapping, waves=in_waves(10, 100))
    run = await world.sync("delta")
    assert run.status == "succeeded", run.error
    assert {key for key, held in world.portal.licences.items() if held} == {"u00@x.com", "u01@x.com"}


async def test_a_deletion_waits_with_the_licence_that_waits_for_the_last_wave(world: World) -> None:
    """A renamed person's old account goes with its licence, and not in the first wave without it."""
    policy = make_policy(rename_substitute=False, deleted_users="delete", out_of_scope="delete", grace=timedelta())
    world.rules = replace(world.rules, policy=policy, waves=in_waves(100), licences=(LicenceRule("few", "User"),))
    world.rules = replace(world.rules, limits=make_limits(max_update_percent=None, max_removal_percent=None))
    world.portal.totals = {"User": 4}
    assert (await world.sync("full")).status == "succeeded"
    world.source.put_user("u20", userPrincipalName="renamed@x.com")
    world.source.unlink("few", "u21")
    world.source.link("few", "u00")
    fields = {**world.rules.mapping.user_fields, "job_title": FieldRule(("displayName",))}
    mapping = replace(world.rules.mapping, user_fields=fields)
    world.rules = replace(world.rules, mapping=mapping, waves=in_waves(10, 100))
    run = await world.sync("full")
    assert run.status == "succeeded", run.error
    final = await world.sync("full")
    assert final.status == "succeeded", final.error
    assert {key for key, held in world.portal.licences.items() if held} == {"u00@x.com", "renamed@x.com"}
    assert world.changes(await world.sync("full")) == []


async def test_circles_of_managers_go_in_waves(world: World) -> None:
    """Of two who report to one another, in one wave or in two, each gets the other as a manager in the end."""
    for one, other in (("u20", "u21"), ("u22", "u00"), ("u01", "u02")):
        world.source.put_user(one, manager=other)
        world.source.put_user(other, manager=one)
    run = await world.sync("full")
    assert run.status == "succeeded", run.error
    managers = {key: account.manager for key, account in world.portal.accounts.items()}
    assert managers["u20@x.com"] == "u21@x.com"
    assert managers["u21@x.com"] == "u20@x.com"
    assert managers["u22@x.com"] == "u00@x.com"
    assert managers["u00@x.com"] == "u22@x.com"
    assert world.changes(await world.sync("full")) == []


@pytest.mark.parametrize("mode", ["create_only", "upsert_only"])
async def test_a_first_push_that_takes_nothing_away_goes_in_waves(world: World, mode: Mode) -> None:
    """Each wave is whole: accounts, their group's first members, and the groups of later waves with theirs."""
    world.rules = replace(world.rules, policy=make_policy(mode=mode))
    for number in range(PEOPLE - 1):
        world.source.put_user(f"u{number:02}", manager=f"u{PEOPLE - 1:02}")
    run = await world.sync("full")
    assert run.status == "succeeded", run.error
    assert len(world.portal.accounts) == PEOPLE
    assert {key: len(members) for key, members in world.portal.picture().items()} == {"all@grp": PEOPLE, "few@grp": 2}
    managers = {account.manager for key, account in world.portal.accounts.items() if key != "u29@x.com"}
    assert managers == {"u29@x.com"}
    assert world.changes(await world.sync("full")) == []


async def test_what_is_new_waits_with_the_rest_of_a_held_rollout(world: World) -> None:
    """It would be written by the same rules; who leaves loses access all the same. Approved, all goes on."""
    world.portal.cut = 4
    held = await world.sync("full")
    assert held.status == "held"
    there = set(world.portal.accounts)
    world.source.put_user("new", userPrincipalName="new@x.com", displayName="New", jobTitle="Clerk")
    world.source.link("all", "new")
    world.source.put_user("u21", accountEnabled=False)
    run = await world.sync("delta")
    assert run.status == "held"
    assert "wave 1 of 3" in run.error
    assert set(world.portal.accounts) == there
    assert "u21@x.com" not in world.portal.picture()["few@grp"]
    done = await approve(world, run)
    assert done.status == "succeeded", done.error
    assert "new@x.com" in world.portal.accounts
    world.source.put_user("newer", userPrincipalName="newer@x.com", displayName="Newer")
    assert (await world.sync("delta")).status == "succeeded"
    assert "newer@x.com" in world.portal.accounts


async def test_other_rules_wait_for_no_held_rollout(world: World) -> None:
    """They make a plan of their own, which goes in waves."""
    world.portal.cut = 4
    assert (await world.sync("full")).status == "held"
    world.portal.cut = 0
    fields = {name: rule for name, rule in world.rules.mapping.user_fields.items() if name != "job_title"}
    world.rules = replace(world.rules, mapping=replace(world.rules.mapping, user_fields=fields))
    world.source.put_user("new", userPrincipalName="new@x.com", displayName="New")
    run = await world.sync("delta")
    assert "new@x.com" in world.portal.accounts, run.error


async def test_a_plan_tells_the_waves_and_writes_nothing(world: World) -> None:
    """How many changes go in each; nothing of it waits or is remembered."""
    run = await world.sync("full", write=False)
    assert run.status == "succeeded", run.error
    found = world.store.waves.count_waves.blocking(run.id)
    assert list(found) == [1, 2, 3]
    assert sum(found.values()) == len(world.changes(run))
    assert found[1] >= 3 + 3, "three people and their places"
    assert all(change.endswith(" planned") for change in world.changes(run))
    assert world.portal.writes == []
    assert world.store.waves.load_open.blocking() is None
    assert (await world.sync("full")).status == "succeeded"
    assert world.store.waves.count_waves.blocking((await world.sync("full", write=False)).id) == {}


async def test_only_places_that_differ_are_looked_at_one_by_one(world: World) -> None:
    """Comparing is done by the database: of a wave of memberships as they were written no row is read."""
    world.rules = replace(world.rules, waves=in_waves(100))
    world.portal.forgets = {"u20@x.com"}
    run = await world.sync("full")
    assert "2 things are not in the portal as written" in run.error
    assert run.error.endswith("nothing was left to wait"), "what differs in the last wave is told as well"
    assert run.status == "succeeded"
    sent = [each for chunk in world.store.waves.iterate_sent(OpenWave(run.id, 1, 1)) for each in chunk]
    places = [each for each in sent if each.object == "membership"]
    assert {(each.action, each.there) for each in places} == {("link", False)}
    assert len(places) == 2
    assert len(sent) == PEOPLE + 2 + 2
