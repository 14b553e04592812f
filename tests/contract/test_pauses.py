"""Pauses, and records that are bound or let go by hand: what the runs after them do, and what they leave alone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from syncd.clock import Clock
from syncd.model.run import PullKind
from syncd.store.decisions.pauses import Paused
from syncd.store.reports.company import load_owned
from syncd.store.reports.explain import Explanations
from syncd.store.reports.orphans import iterate_orphans
from syncd.store.reports.status import Report
from syncd.sync.planning.undo import Undo
from tests.fakes.rules import make_limits, make_policy, make_rules
from tests.fakes.world import World, open_world

pytestmark = pytest.mark.both_engines

NOW = Clock().now()


@pytest.fixture
async def world(empty_store_url: str) -> AsyncIterator[World]:
    """Two people and a group in the portal."""
    made = open_world(empty_store_url)
    for name in ("ann", "ben"):
        made.source.put_user(name, userPrincipalName=f"{name}@x.example", displayName=name.title(), userType="Member")
    made.source.put_group("staff", displayName="Staff", mailNickname="staff@groups.example")
    made.source.link("staff", "ann")
    made.source.link("staff", "ben")
    made.rules = make_rules(policy=make_policy(disabled_users="delete", grace=timedelta()))
    await made.sync()
    yield made
    made.database.close()


def _pause(world: World, name: str, *, until: timedelta = timedelta(days=7)) -> None:
    (found,) = Explanations(world.database).find(name)
    world.store.decisions.pause(
        source=found.key, record=None, until=world.clock.now() + until, reason="leave", by="me", now=world.clock.now()
    )


async def test_nothing_is_done_for_somebody_who_is_paused(world: World) -> None:
    """Neither a removal nor a change, by a full or a delta run; what concerns others goes on."""
    _pause(world, "ann@x.example")
    for name in ("ann", "ben"):
        world.source.put_user(name, accountEnabled=False)
    writes = len(world.portal.writes)
    kinds: tuple[PullKind, ...] = ("delta", "full")
    for kind in kinds:
        run = await world.sync(kind)
        assert run.status == "succeeded"
    assert not [write for write in world.portal.writes[writes:] if "ann" in write]
    assert "ben@x.example" not in world.portal.accounts
    assert world.portal.picture()["staff@groups.example"] == {"ann@x.example"}
    shown = {
        line.bps_id: line for line in Report(world.database, world.rules.policy, now=world.clock.now()).iterate("user")
    }
    assert shown["ann@x.example"].reason.startswith("paused until")


async def test_a_pause_that_ends_by_itself_or_by_hand_lets_go_on_what_piled_up(world: World) -> None:
    """The next run does it, without anything new from the tenant."""
    _pause(world, "ann@x.example")
    _pause(world, "ben@x.example")
    for name in ("ann", "ben"):
        world.source.put_user(name, accountEnabled=False)
    await world.sync()
    assert {"ann@x.example", "ben@x.example"} <= world.portal.accounts.keys()
    (ann,) = Explanations(world.database).find("ann@x.example")
    assert world.store.decisions.resume(source=ann.key, record=None)
    assert not world.store.decisions.resume(source=ann.key, record=None)
    await world.sync()
    assert "ann@x.example" not in world.portal.accounts
    assert "ben@x.example" in world.portal.accounts
    world.clock.ahead += timedelta(days=8)
    await world.sync()
    assert "ben@x.example" not in world.portal.accounts


async def test_a_paused_group_keeps_its_members_and_a_newcomer_waits(world: World) -> None:
    """Who leaves it stays there for the time being; a person who is paused before being made is not made."""
    _pause(world, "Staff")
    world.source.unlink("staff", "ben")
    world.source.put_user("cleo", userPrincipalName="cleo@x.example", displayName="Cleo", userType="Member")
    await world.sync()
    assert world.portal.picture()["staff@groups.example"] == {"ann@x.example", "ben@x.example"}
    assert "cleo@x.example" in world.portal.accounts
    world.source.put_user("dora", userPrincipalName="dora@x.example", displayName="Dora", userType="Member")
    await world.sync(write=False)  # it is known, and nothing is written
    _pause(world, "dora@x.example")
    await world.sync()
    assert "dora@x.example" not in world.portal.accounts


async def test_a_pause_lets_nothing_through_that_is_held(world: World) -> None:
    """What the guard holds stays held while the pause lasts, and when it ends."""
    world.rules = make_rules(policy=world.rules.policy, limits=make_limits(max_removals=0))
    world.source.put_user("ann", accountEnabled=False)
    assert (await world.sync()).status == "held"
    _pause(world, "ann@x.example")
    assert (await world.sync("full")).status == "held"
    world.clock.ahead += timedelta(days=8)
    await world.sync("full")
    assert "ann@x.example" in world.portal.accounts


async def test_an_undo_respects_a_pause(world: World) -> None:
    """What compares nothing is stopped as well."""
    _pause(world, "ben@x.example")
    run = await world.carry_out(Undo(run_id=1, delete_created=True))
    assert "ben@x.example" in world.portal.accounts
    outcomes = [line for line in world.changes(run) if "ben@x.example" in line]
    assert outcomes
    assert all(line.endswith("deferred") for line in outcomes)


async def test_a_pause_of_a_record_that_nobody_in_the_tenant_has(world: World) -> None:
    """It is named by its BPS id; an earlier pause of the same is over."""
    decisions = world.store.decisions
    ((_, record),) = decisions.find_records("ann@x.example")
    for days in (7, 3):
        until = NOW + timedelta(days=days)
        decisions.pause(source=None, record=record.key, until=until, reason=f"{days}", by="me", now=NOW)
    assert decisions.load_paused(now=NOW) == [
        Paused(bps_id="ann@x.example", until=NOW + timedelta(days=3), reason="3", by="me")
    ]
    assert decisions.load_paused(now=NOW + timedelta(days=4)) == []


# ---- bound and let go ------------------------------------------------------------------------------------------------


async def _make_stranger(world: World) -> None:
    """Let the portal have an account that somebody made by hand for a person of the tenant."""
    world.portal.add_account("OLD\\cleo", name="Cleo Old", email="cleo@x.example")
    world.portal.add_account("robot@bps.example", name="Robot")
    world.portal.add_account("app@bps.example", name="Tool - Registered App")
    world.source.put_user("cleo", userPrincipalName="cleo@x.example", displayName="Cleo", userType="Member", mail=None)
    await world.sync("full", write=False)


def _classes(world: World) -> dict[str, tuple[str, str]]:
    return {each.bps_id: (each.orphan_class, each.would_match) for each in iterate_orphans(world.database)}


async def test_orphans_fall_into_four_classes(world: World) -> None:
    """Ours of somebody who is gone, somebody's who has no record yet, others', and machines'."""
    await _make_stranger(world)
    world.rules = make_rules(policy=make_policy(deleted_users="keep"))
    world.source.remove_user("ben", hard=True)
    await world.sync("delta", write=False)
    assert _classes(world) == {
        "OLD\\cleo": ("would_match", "cleo@x.example"),
        "app@bps.example": ("machine", ""),
        "ben@x.example": ("ours", ""),
        "robot@bps.example": ("local", ""),
    }


async def test_a_bound_record_is_its_persons_whatever_the_mapping_says(world: World) -> None:
    """No second account is made; its values are written, and a rename changes nothing about it."""
    await _make_stranger(world)
    ((kind, record),) = world.store.decisions.find_records("old\\cleo")
    (cleo,) = Explanations(world.database).find("cleo@x.example")
    assert world.store.decisions.load_owned(kind, cleo.key) == []
    assert world.store.decisions.bind(kind, record=record.key, source=cleo.key, by="me", now=NOW) is None
    assert world.store.decisions.load_owned(kind, cleo.key) == ["OLD\\cleo"]
    assert load_owned(world.database)[kind]["cleo"] == "old\\cleo"
    world.source.link("staff", "cleo")
    for login in ("cleo@x.example", "cleopatra@x.example"):
        world.source.put_user("cleo", userPrincipalName=login)
        assert (await world.sync("full")).status == "succeeded"
        assert "cleo@x.example" not in world.portal.accounts
        assert "cleopatra@x.example" not in world.portal.accounts
    assert world.portal.accounts["old\\cleo"].name == "Cleo"
    assert "old\\cleo" in world.portal.picture()["staff@groups.example"]
    explained = Explanations(world.database).explain(cleo, now=NOW)
    assert explained.desired is not None
    assert explained.desired["bound"]


async def test_a_released_record_is_nobodys_and_is_not_touched(world: World) -> None:
    """It is proposed for adoption again where the tenant wants it, and left alone where it does not."""
    ((kind, record),) = world.store.decisions.find_records("ben@x.example")
    assert world.store.decisions.release(kind, [record.key], now=world.clock.now()) is None
    writes = len(world.portal.writes)
    world.source.put_user("ben", accountEnabled=False)
    await world.sync("full")
    assert "ben@x.example" in world.portal.accounts
    assert not [write for write in world.portal.writes[writes:] if write.startswith("delete")]
    world.source.put_user("ben", accountEnabled=True)
    world.rules = make_rules(limits=make_limits(max_adoptions=0))
    run = await world.sync("full")
    assert "adopt user ben@x.example held" in world.changes(run)


async def test_nothing_is_decided_in_the_middle_of_a_run(world: World) -> None:
    """The number of the run that goes on is returned, and nothing is written."""
    ((kind, record),) = world.store.decisions.find_records("ben@x.example")
    (ann,) = Explanations(world.database).find("ann@x.example")
    run_id = await world.store.runs.open("delta", "cli", now=NOW)
    assert world.store.decisions.release(kind, [record.key], now=world.clock.now()) == run_id
    assert world.store.decisions.bind(kind, record=record.key, source=ann.key, by="me", now=NOW) == run_id
    assert world.store.decisions.load_bindings() == {}
    ((_, after),) = world.store.decisions.find_records("ben@x.example")
    assert after.origin == "created"
