"""Who cannot be written any more keeps the record as it is, but no access that the tenant takes away."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from syncd.model.run import PullKind, RunRecord
from syncd.plan.cel.expressions import Expression
from syncd.plan.rules import FieldRule, LicenceRule
from syncd.store.reports.status import Report
from tests.fakes.rules import make_limits, make_policy, make_rules, make_scope
from tests.fakes.world import World

Freeze = Callable[[World], None]
KINDS: tuple[PullKind, ...] = ("delta", "full")


async def found_company(world: World) -> None:
    """Ann, ben and cleo in Sales, ben through a group within it; ann and cleo in Power too, which gives a licence."""
    for name in ("ann", "ben", "cleo"):
        upn = f"{name}@x.com"
        world.source.put_user(name, userPrincipalName=upn, displayName=name.title(), mail=upn, jobTitle="Clerk")
    for name in ("sales", "inner", "power"):
        world.source.put_group(name, displayName=name.title(), mailNickname=f"{name}@grp")
    world.source.link("sales", "ann")
    world.source.link("sales", "cleo")
    world.source.link("sales", "inner", "group")
    world.source.link("inner", "ben")
    world.source.link("power", "ann")
    world.source.link("power", "cleo")
    title = FieldRule((), Expression('user.jobTitle == "odd" ? user.employeeId.substring(0, 9) : user.jobTitle'))
    world.rules = make_rules(
        policy=make_policy(disabled_users="delete", deleted_users="delete", deleted_groups="delete", grace=timedelta()),
        licences=(LicenceRule("Power", "PowerUser"), LicenceRule("Sales", "User")),
    )
    mapping = world.rules.mapping
    world.rules = replace(
        world.rules, mapping=replace(mapping, user_fields={**mapping.user_fields, "job_title": title}, owners=True)
    )
    world.source.tracks_owners = True
    world.source.own("sales", "ann")
    world.portal.totals = {"PowerUser": 9, "User": 9}
    run = await world.sync("full")
    assert run.status == "succeeded", run.error


pytestmark = [pytest.mark.company(founded_by=found_company), pytest.mark.both_engines]


def spoil_login(world: World) -> None:
    """Give ann a login that is no BPS id."""
    world.source.put_user("ann", userPrincipalName="ann+new@x.com")


def raise_in_rule(world: World) -> None:
    """Let an expression fail for ann."""
    world.source.put_user("ann", jobTitle="odd", employeeId=None)


def take_name(world: World) -> None:
    """Take what a record must have."""
    world.source.put_user("ann", displayName="")


def lose_collision(world: World) -> None:
    """Give ann the login that cleo has."""
    world.source.put_user("ann", userPrincipalName="cleo@x.com")


def want_a_strangers(world: World) -> None:
    """Give ann a login of which the portal has an account of its own."""
    world.portal.add_account("strange@x.com", name="Strange", email="strange@x.com")
    world.source.put_user("ann", userPrincipalName="strange@x.com")
    world.rules = replace(world.rules, policy=replace(world.rules.policy, adopt="never"))


REASONS = (spoil_login, raise_in_rule, take_name, lose_collision, want_a_strangers)


async def sync(world: World, kind: PullKind) -> RunRecord:
    run = await world.sync(kind)
    assert run.status == "succeeded", run.error
    return run


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("freeze", REASONS)
async def test_a_frozen_person_loses_the_places_that_the_tenant_takes(
    world: World, freeze: Freeze, kind: PullKind
) -> None:
    """Neither the record nor what is left is touched by being frozen; a place that ends, ends, and none is added."""
    freeze(world)
    await sync(world, "full")  # knows a stranger
    before = world.portal.accounts["ann@x.com"]
    assert {"ann@x.com"} <= set(world.portal.members["sales@grp"]) & set(world.portal.members["power@grp"])
    assert world.portal.licences["ann@x.com"].keys() == {"PowerUser"}
    world.source.unlink("sales", "ann")
    world.source.disown("sales", "ann")
    world.source.link("inner", "cleo")
    world.source.put_group("new", displayName="New", mailNickname="new@grp")
    world.source.link("new", "ann")
    changes = world.changes(await sync(world, kind))
    assert "unlink membership sales@grp ann@x.com done" in changes
    assert "unlink ownership sales@grp ann@x.com done" in changes
    assert "ann@x.com" not in world.portal.members["sales@grp"]
    assert "ann@x.com" in world.portal.members["power@grp"]
    assert "ann@x.com" not in world.portal.members.get("new@grp", {})
    assert world.portal.licences["ann@x.com"].keys() == {"PowerUser"}
    world.source.unlink("power", "ann")
    changes = world.changes(await sync(world, kind))
    assert "unlink membership power@grp ann@x.com done" in changes
    assert "revoke licence ann@x.com PowerUser done" in changes
    assert world.portal.accounts["ann@x.com"] == before
    assert world.changes(await sync(world, "full")) == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("freeze", REASONS)
async def test_a_frozen_person_is_disabled_and_deleted_like_any_other(
    world: World, freeze: Freeze, kind: PullKind
) -> None:
    """What the tenant states of a person needs no mapping that succeeds."""
    freeze(world)
    await sync(world, "full")
    world.source.put_user("ann", accountEnabled=False)
    await sync(world, kind)
    assert "ann@x.com" not in world.portal.accounts
    assert not world.portal.licences.get("ann@x.com")
    assert "cleo@x.com" in world.portal.members["sales@grp"]


async def test_nested_groups_hold_a_frozen_person(world: World) -> None:
    """A person who goes from a group into one within it is still a member by the tenant."""
    spoil_login(world)
    await sync(world, "delta")
    world.source.link("inner", "ann")
    world.source.unlink("sales", "ann")
    assert world.changes(await sync(world, "delta")) == []
    world.source.unlink("sales", "inner")
    assert "unlink membership sales@grp ann@x.com done" in world.changes(await sync(world, "delta"))


async def test_the_scope_reaches_who_cannot_be_mapped(world: World) -> None:
    """Out of scope is out of scope, whatever the mapping says; only a scope that cannot be asked freezes."""
    raise_in_rule(world)
    await sync(world, "delta")
    world.rules = replace(world.rules, scope=make_scope(users=Expression('user.userPrincipalName != "ann@x.com"')))
    changes = world.changes(await sync(world, "delta"))
    assert "unlink membership sales@grp ann@x.com done" in changes
    world.rules = replace(world.rules, scope=make_scope(users=Expression('user.employeeId.substring(0, 9) != ""')))
    assert not any(change.startswith(("unlink", "delete")) for change in world.changes(await sync(world, "delta")))


@pytest.mark.parametrize("kind", KINDS)
async def test_who_leaves_a_frozen_group_is_taken_out(world: World, kind: PullKind) -> None:
    """A group without a usable BPS id is neither changed nor filled, and loses who leaves it or the company."""
    world.source.put_group("sales", mailNickname="sales+x@grp")
    await sync(world, "delta")
    world.source.put_user("dora", userPrincipalName="dora@x.com", displayName="Dora", mail="dora@x.com")
    world.source.link("sales", "dora")
    world.source.unlink("sales", "ann")
    world.source.put_user("cleo", accountEnabled=False)
    world.portal.members["sales@grp"]["hand@x.com"] = "Hand"
    await sync(world, kind)
    assert {member.casefold() for member in world.portal.members["sales@grp"]} == {"ben@x.com", "hand@x.com"}
    world.source.unlink("sales", "inner")
    await sync(world, kind)
    assert {member.casefold() for member in world.portal.members["sales@grp"]} == {"hand@x.com"}
    assert world.changes(await sync(world, "full")) == []


@pytest.mark.parametrize("kind", KINDS)
async def test_who_is_renamed_and_leaves_need_not_wait_for_the_new_account(world: World, kind: PullKind) -> None:
    """The old account keeps what the person has until the new one is there, and nothing that the tenant has taken."""
    world.source.put_user("ann", userPrincipalName="anna@x.com")
    world.source.unlink("sales", "ann")
    world.portal.refuse = {"anna@x.com"}
    await world.sync(kind)
    assert "ann@x.com" not in world.portal.members["sales@grp"]
    assert "ann@x.com" in world.portal.members["power@grp"]


async def test_the_guard_counts_what_frozen_people_lose(world: World) -> None:
    """A removal is a removal."""
    spoil_login(world)
    await sync(world, "delta")
    world.rules = replace(world.rules, limits=make_limits(max_removals=0, min_population=0))
    world.source.unlink("sales", "ann")
    run = await world.sync("delta")
    assert run.status == "held"
    assert "ann@x.com" in world.portal.members["sales@grp"]


async def test_the_list_of_users_says_what_a_frozen_person_keeps(world: World) -> None:
    """Why nothing is written, and that what the tenant takes away is taken all the same."""
    spoil_login(world)
    await sync(world, "delta")
    (line,) = list(Report(world.database, world.rules.policy).iterate("user", needle="ann"))
    assert line.state == "skipped"
    assert line.reason.endswith("its record stays as it is; what the tenant takes away is taken all the same")
