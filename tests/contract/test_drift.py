"""Drift: what somebody changes by hand in the portal is seen, told, and set back or left, as asked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

import pytest
from sqlalchemy import update

from syncd.cli.screen.names import name_owners
from syncd.model.run import RunRecord
from syncd.model.target import PortalGroup
from syncd.plan.drift import Drift
from syncd.plan.rules import PolicyRules
from syncd.store.reports.status import Report
from syncd.store.schema.tables import target_users
from syncd.sync.planning.drift import DriftCheck
from tests.fakes.rules import make_limits, make_policy, make_rules, make_scope
from tests.fakes.world import World

HOUR = 3600.0


async def found_company(world: World) -> None:
    """Three people in a group, synchronised two hours ago, and one stranger."""
    world.source.put_group("g", displayName="All", mailNickname="all@grp")
    for name in ("ann", "ben", "cleo"):
        world.source.put_user(name, userPrincipalName=f"{name}@x.com", displayName=name, mail=f"{name}@x.com")
        world.source.link("g", name)
    world.source.put_user("ann", manager="ben")
    world.portal.add_account("eve@x.com", name="Eve", email="eve@x.com")
    assert (await world.sync("full")).status == "succeeded"
    assert (await world.sync("full")).status == "succeeded"
    await world.clock.sleep(2 * HOUR)


pytestmark = pytest.mark.company(founded_by=found_company)


async def check(
    world: World, answer: Literal["report", "revert", "adopt"] = "report", *, quiet: bool = False
) -> tuple[RunRecord, list[tuple[str, ...]]]:
    """Run a check, and return what it told."""
    found: list[Drift] = []

    def tell(chunks: Iterator[list[Drift]]) -> None:
        for chunk in chunks:
            found.extend(chunk)

    record = await world.carry_out(DriftCheck(answer, tell), quiet=quiet)
    return record, [(d.object, d.bps_id, d.field, d.ours or "", d.theirs or "") for d in found]


def change_everything_by_hand(world: World) -> None:
    """A name, a phone that we never set, a manager, a group's name, a member put in, one taken out."""
    accounts = world.portal.accounts
    accounts["ann@x.com"] = replace(accounts["ann@x.com"], name="Annie", phone="123", manager=None)
    world.portal.groups["all@grp"] = replace(world.portal.groups["all@grp"], name="Everybody")
    world.portal.members["all@grp"]["eve@x.com"] = "eve@x.com"
    world.portal.members["all@grp"].pop("cleo@x.com")


EVERYTHING = [
    ("user", "ann@x.com", "manager", "ben@x.com", ""),
    ("user", "ann@x.com", "name", "ann", "Annie"),
    ("user", "ann@x.com", "phone", "", "123"),
    ("group", "all@grp", "name", "All", "Everybody"),
    ("membership", "all@grp", "member", "cleo@x.com", ""),
    ("membership", "all@grp", "member", "", "eve@x.com"),
]


async def test_what_was_changed_by_hand_is_told_and_nothing_is_written(world: World) -> None:
    """Fields, memberships, in one order; strangers' own records are nobody's business."""
    assert (await check(world))[1] == []
    change_everything_by_hand(world)
    world.portal.accounts["eve@x.com"] = replace(world.portal.accounts["eve@x.com"], name="Eva")
    world.portal.writes.clear()
    world.source.calls.clear()
    record, found = await check(world)
    assert (record.status, record.kind) == ("succeeded", "drift"), record.error
    assert found == EVERYTHING
    assert (await check(world))[1] == EVERYTHING
    assert world.portal.writes == []
    assert world.source.calls == []


@pytest.mark.both_engines
async def test_each_difference_names_whom_the_record_is_owned_for(world: World) -> None:
    """A person by login, a group by name, also of a removed record; nobody once the tenant has forgotten them."""
    change_everything_by_hand(world)
    world.portal.accounts.pop("cleo@x.com")  # with her place in the group: only its other member is left to tell of
    found: list[tuple[str, str, str | None]] = []

    def tell(chunks: Iterator[list[Drift]]) -> None:
        found[:] = [(entry.object, entry.field, owner) for entry, owner in name_owners(world.database, chunks)]

    await world.carry_out(DriftCheck("report", tell))
    assert found == [
        ("user", "manager", "ann@x.com"),
        ("user", "name", "ann@x.com"),
        ("user", "phone", "ann@x.com"),
        ("group", "name", "All"),
        ("membership", "member", "All"),
        ("user", "record", "cleo@x.com"),
    ]
    with world.database.transaction() as connection:
        connection.execute(update(target_users).values(source_key=None))
    await world.carry_out(DriftCheck("report", tell))
    assert [owner for kind, field, owner in found if kind == "user" and field != "record"] == [None] * 3


async def test_drift_is_written_back_on_request(world: World) -> None:
    """Afterwards everything is as syncd last wrote it, and there is no drift and no plan."""
    change_everything_by_hand(world)
    record, found = await check(world, "revert")
    assert record.status == "succeeded", record.error
    assert found == EVERYTHING
    ann = world.portal.accounts["ann@x.com"]
    assert (ann.name, ann.phone, ann.manager) == ("ann", None, "ben@x.com")
    assert world.portal.groups["all@grp"].name == "All"
    assert world.portal.picture()["all@grp"] == {"ann@x.com", "ben@x.com", "cleo@x.com"}
    assert (await check(world))[1] == []
    assert world.changes(await world.sync("full")) == []


async def test_writing_back_is_guarded_protected_and_kept_within_the_mode(world: World) -> None:
    """Like any plan; quiet hours refuse the removals in it."""
    change_everything_by_hand(world)
    world.rules = make_rules(limits=make_limits(max_removals=0, max_removal_percent=None, max_update_percent=None))
    record, _ = await check(world, "revert")
    assert record.status == "held"
    assert "eve@x.com" in world.portal.picture()["all@grp"]
    assert world.portal.accounts["ann@x.com"].name == "ann"
    change_everything_by_hand(world)
    world.rules = make_rules(scope=make_scope(protect=frozenset({"ann@x.com", "eve@x.com"})))
    assert (await check(world, "revert"))[0].status == "succeeded"
    assert world.portal.accounts["ann@x.com"].name == "Annie"
    assert "eve@x.com" in world.portal.picture()["all@grp"]
    world.rules = make_rules()
    assert (await check(world, "revert", quiet=True))[0].status == "failed"
    world.rules = make_rules(policy=make_policy(mode="plan_only"))
    assert (await check(world, "revert"))[0].status == "failed"


@pytest.mark.both_engines
async def test_adopted_drift_stays_until_the_source_changes_that_very_thing(world: World) -> None:
    """Also under policy.drift = revert; what the source changes afterwards is written, the rest stays."""
    change_everything_by_hand(world)
    assert (await check(world, "adopt"))[1] == EVERYTHING
    assert (await check(world))[1] == []
    assert world.changes(await world.sync("full")) == []
    assert world.portal.accounts["ann@x.com"].name == "Annie"
    world.source.put_user("ann", jobTitle="Boss")
    assert world.changes(await world.sync("delta")) == ["update user ann@x.com done"]
    assert world.portal.accounts["ann@x.com"].name == "Annie"
    world.source.put_user("ann", displayName="Anna")
    await world.sync("delta")
    assert world.portal.accounts["ann@x.com"].name == "Anna"
    assert world.portal.accounts["ann@x.com"].phone == "123"
    world.source.unlink("g", "cleo")  # now both sides agree about her
    await world.sync("delta")
    world.source.link("g", "cleo")
    await world.sync("delta")
    assert "cleo@x.com" in world.portal.picture()["all@grp"]
    assert world.changes(await world.sync("full")) == []


@pytest.mark.parametrize("policy", ["adopt", "report"])
async def test_a_policy_that_does_not_revert_leaves_what_was_done_by_hand(world: World, policy: str) -> None:
    """In full runs and in delta runs; under adopt it is not told any more, under report it is."""
    world.rules = make_rules(policy=make_policy(drift=policy))
    await world.sync("full")
    change_everything_by_hand(world)
    run = await world.sync("full")
    assert world.changes(run) == []
    assert world.portal.accounts["ann@x.com"].name == "Annie"
    assert world.portal.picture()["all@grp"] == {"ann@x.com", "ben@x.com", "eve@x.com"}
    assert (await check(world))[1] == ([] if policy == "adopt" else EVERYTHING)
    world.source.put_user("cleo", jobTitle="Clerk")
    assert world.changes(await world.sync("delta")) == ["update user cleo@x.com done"]
    assert "cleo@x.com" not in world.portal.picture()["all@grp"]
    world.source.put_user("ann", displayName="Anna")
    world.source.put_user("dora", userPrincipalName="dora@x.com", displayName="dora", mail="dora@x.com")
    world.source.link("g", "dora")
    await world.sync("delta")
    assert world.portal.accounts["ann@x.com"].name == "Anna"
    assert world.portal.picture()["all@grp"] == {"ann@x.com", "ben@x.com", "eve@x.com", "dora@x.com"}


async def test_a_full_run_reverts_drift_by_default(world: World) -> None:
    """Fields, memberships and records, as before."""
    change_everything_by_hand(world)
    world.portal.accounts.pop("ben@x.com")
    world.portal.members["all@grp"].pop("ben@x.com")
    assert (await world.sync("full")).status == "succeeded"
    assert world.portal.accounts["ann@x.com"].name == "ann"
    assert world.portal.accounts["ben@x.com"].name == "ben"
    assert world.portal.picture()["all@grp"] == {"ann@x.com", "ben@x.com", "cleo@x.com"}
    assert (await check(world))[1] == []


async def test_a_record_removed_by_hand_is_told_and_made_again_on_request(world: World) -> None:
    """Its memberships follow with the next run."""
    world.portal.accounts.pop("cleo@x.com")
    world.portal.members["all@grp"].pop("cleo@x.com")
    assert (await check(world))[1] == [("user", "cleo@x.com", "record", "cleo@x.com", "")]
    record, _ = await check(world, "revert")
    assert record.status == "succeeded", record.error
    assert world.portal.accounts["cleo@x.com"].name == "cleo"
    assert world.changes(await world.sync("delta")) == ["link membership all@grp cleo@x.com done"]
    assert (await check(world))[1] == []


async def test_nothing_is_written_back_that_the_tenant_does_not_want_any_more(world: World) -> None:
    """Removed by hand, and gone from the tenant as well: the account is not made anew, nor the leaver put back."""
    world.source.put_user("cleo", accountEnabled=False)
    world.source.put_user("ben", accountEnabled=False)
    await world.sync("delta", write=False)
    world.portal.accounts.pop("cleo@x.com")
    world.portal.members["all@grp"].pop("cleo@x.com")
    world.portal.members["all@grp"].pop("ben@x.com")
    world.portal.writes.clear()
    record, found = await check(world, "revert")
    assert found == [
        ("membership", "all@grp", "member", "ben@x.com", ""),
        ("user", "cleo@x.com", "record", "cleo@x.com", ""),
    ]
    assert record.status == "succeeded", record.error
    assert world.portal.writes == []
    chunks = world.store.plans.iterate_changes(record.id, statuses=["dropped"])
    assert {planned.error.text for chunk in chunks for planned, _, _ in chunk} == {
        "the tenant or the rules do not want it any more: it stays, and is told, until --adopt takes it as it is"
    }


async def test_a_record_removed_by_hand_stays_away_where_drift_is_not_reverted(world: World) -> None:
    """With its memberships, and nobody is left with it as the manager; a change in the source brings it back."""
    world.rules = make_rules(policy=make_policy(drift="report"))
    await world.sync("full")
    world.portal.accounts.pop("ben@x.com")
    world.portal.members["all@grp"].pop("ben@x.com")
    accounts = world.portal.accounts
    accounts["ann@x.com"] = replace(accounts["ann@x.com"], manager=None)
    assert world.changes(await world.sync("full")) == []
    assert ("user", "ben@x.com", "record", "ben@x.com", "") in (await check(world))[1]
    world.source.put_user("dora", userPrincipalName="dora@x.com", displayName="dora", mail="dora@x.com", manager="ben")
    world.source.link("g", "dora")
    await world.sync("delta")
    assert world.portal.accounts["dora@x.com"].manager is None
    assert "ben@x.com" not in world.portal.accounts
    world.source.put_user("ben", displayName="Benjamin")
    await world.sync("delta")
    assert world.portal.accounts["ben@x.com"].name == "Benjamin"
    await world.sync("full")
    assert "ben@x.com" in world.portal.picture()["all@grp"]


@pytest.mark.both_engines
async def test_who_was_removed_by_hand_is_forgotten_once_the_tenant_lets_go_as_well(world: World) -> None:
    """Nothing is left to remember: who comes back to the tenant is made again."""
    world.rules = make_rules(policy=make_policy(drift="report"))
    world.portal.accounts.pop("cleo@x.com")
    world.portal.members["all@grp"].pop("cleo@x.com")
    await world.sync("full")
    assert [each.bps_id for each in world.store.drift.load_vanished()] == ["cleo@x.com"]
    world.source.remove_user("cleo", hard=True)
    await world.sync("delta")
    assert world.store.drift.load_vanished() == []
    assert "cleo@x.com" not in world.portal.accounts


async def test_a_group_removed_by_hand_can_be_adopted_as_gone(world: World) -> None:
    """Neither it nor its members come back until its source changes."""
    world.portal.groups.pop("all@grp")
    world.portal.members.pop("all@grp")
    assert (await check(world, "adopt"))[1] == [("group", "all@grp", "record", "all@grp", "")]
    assert world.changes(await world.sync("full")) == []
    assert (await check(world))[1] == []
    world.source.put_group("g", displayName="Everybody", mailNickname="all@grp")
    await world.sync("delta")
    assert world.portal.groups["all@grp"].name == "Everybody"
    await world.sync("full")
    assert world.portal.picture()["all@grp"] == {"ann@x.com", "ben@x.com", "cleo@x.com"}


async def test_our_own_late_or_lost_writes_are_no_drift(world: World) -> None:
    """A membership that the portal does not show yet, and one that was sent when the run was cut short."""
    world.rules = make_rules(policy=make_policy(drift="report"))
    await world.sync("full")
    world.source.put_user("dora", userPrincipalName="dora@x.com", displayName="dora", mail="dora@x.com")
    world.source.link("g", "dora")
    await world.sync("delta")
    world.portal.members["all@grp"].pop("dora@x.com")  # not shown yet
    assert (await check(world))[1] == []
    assert world.changes(await world.sync("full")) == ["link membership all@grp dora@x.com done"]


async def test_a_change_by_hand_that_is_taken_back_by_hand_is_forgotten(world: World) -> None:
    """What counts is the difference, not the doing."""
    change_everything_by_hand(world)
    await check(world)
    accounts = world.portal.accounts
    accounts["ann@x.com"] = replace(accounts["ann@x.com"], name="ann", phone=None, manager="ben@x.com")
    world.portal.groups["all@grp"] = PortalGroup(
        bps_id="all@grp", name="All", email=world.portal.groups["all@grp"].email
    )
    world.portal.members["all@grp"].pop("eve@x.com")
    world.portal.members["all@grp"]["cleo@x.com"] = "cleo@x.com"
    assert (await check(world))[1] == []


async def test_a_leaver_put_back_by_hand_leaves_again_whatever_the_drift_policy(world: World) -> None:
    """The policy for leavers says who may stay in groups."""
    world.rules = make_rules(policy=make_policy(drift="report"))
    world.source.put_user("cleo", accountEnabled=False)
    await world.sync("full")
    await world.clock.sleep(2 * HOUR)
    world.portal.members["all@grp"]["cleo@x.com"] = "cleo@x.com"
    await world.sync("full")
    assert "cleo@x.com" not in world.portal.picture()["all@grp"]


async def test_users_says_why_an_account_stays_away_or_comes_back(world: World) -> None:
    """Nobody has to guess what became of a person without an account."""

    def reason(policy: PolicyRules) -> tuple[str, str]:
        line = next(line for line in Report(world.database, policy).iterate("user") if line.source_id == "cleo")
        return line.state, line.reason

    world.portal.accounts.pop("cleo@x.com")
    await check(world)
    assert reason(make_policy())[0] == "pending"
    assert "the next full run makes it again" in reason(make_policy())[1]
    assert reason(make_policy(drift="report"))[0] == "skipped"
    await check(world, "adopt")
    assert reason(make_policy())[0] == "skipped"
    assert "removed by hand" in reason(make_policy())[1]
