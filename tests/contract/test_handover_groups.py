"""A group that is made anew keeps its BPS group, and what hangs on that: with proof, or when somebody says so."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest
import structlog

from syncd.model.run import Approval, PullKind, RunRecord, RunRequest
from syncd.plan.cel.expressions import Expression
from syncd.plan.rules import FieldRule
from syncd.sync.planning.undo import Undo
from tests.fakes.rules import make_policy, make_rules
from tests.fakes.world import World, open_world

pytestmark = pytest.mark.both_engines

OLD, NEW = "g1@groups.example.com", "g2@groups.example.com"
KINDS: tuple[PullKind, ...] = ("delta", "full")


def people(*numbers: int) -> set[str]:
    """Return BPS ids of some of the six people."""
    return {f"u{number}@x.com" for number in numbers}


@pytest.fixture
async def world(store_url: str) -> AsyncIterator[World]:
    """Four of six people are in the group Readers, whose BPS id is made of its object id; a second group stays."""
    structlog.reset_defaults()
    made = open_world(store_url)
    mapping = replace(
        make_rules().mapping, group_bps_id=FieldRule(expression=Expression('group.id + "@groups.example.com"'))
    )
    made.rules = make_rules(mapping=mapping)
    for number in range(6):
        name = f"u{number}"
        made.source.put_user(name, userPrincipalName=f"{name}@x.com", displayName=name, mail=f"{name}@x.com")
    found(made, "g1", "Readers", 0, 1, 2, 3)
    found(made, "g0", "All", *range(6))
    assert (await made.sync("full")).status == "succeeded"
    yield made
    made.database.close()


def found(world: World, group: str, name: str, *members: int) -> None:
    """Found a group with some of the people."""
    world.source.put_group(group, displayName=name)
    for number in members:
        world.source.link(group, f"u{number}")


async def approve(world: World, run: RunRecord) -> RunRecord:
    """Approve what a run held."""
    request = RunRequest(pull="none", trigger="approval", retry_failed=True, approval=Approval(run_id=run.id))
    return await world.runs.execute(request, world.open_sides())


@pytest.mark.parametrize("name", ["Readers", "READERS"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("apart", [False, True])
async def test_a_group_made_anew_keeps_its_bps_group(world: World, apart: bool, kind: PullKind, name: str) -> None:
    """Also when a run saw it deleted before, and for good: no second BPS group, and no other id later."""
    world.source.remove_group("g1")
    if apart:
        assert (await world.sync(kind)).status == "succeeded"
        assert world.portal.picture()[OLD] == set()
    found(world, "g2", name, 0, 1, 2, 4)
    run = await world.sync(kind)
    assert run.status == "succeeded", run.error
    assert f"handover group {OLD} done" in world.changes(run)
    assert set(world.portal.groups) == {OLD, "g0@groups.example.com"}
    assert world.portal.picture()[OLD] == people(0, 1, 2, 4)
    world.source.link("g2", "u5")
    world.source.put_group("g2", displayName="Readers of all")
    assert (await world.sync("delta")).status == "succeeded"
    for again in KINDS:
        assert world.changes(await world.sync(again)) == []
    assert world.portal.picture()[OLD] == people(0, 1, 2, 4, 5)
    assert world.portal.groups[OLD].name == "Readers of all"
    world.source.remove_group("g2")
    found(world, "g3", "Readers of all", 0, 1, 2)
    assert (await world.sync(kind)).status == "succeeded"
    assert world.portal.picture()[OLD] == people(0, 1, 2), "and once more"
    assert set(world.portal.groups) == {OLD, "g0@groups.example.com"}


@pytest.mark.parametrize(
    ("name", "members"),
    [("Writers", (0, 1, 2, 3)), ("Readers", (0, 4, 5)), ("Readers", ()), ("Readers", (0,))],
    ids=["another name", "other people", "nobody", "too few"],
)
async def test_without_proof_it_is_a_new_group(world: World, name: str, members: tuple[int, ...]) -> None:
    """Its mapping gives an id of its own, so that nobody need be asked; nobody gets what others had."""
    world.source.remove_group("g1")
    found(world, "g2", name, *members)
    run = await world.sync("delta")
    assert run.status == "succeeded", run.error
    assert world.portal.picture()[NEW] == people(*members)
    assert world.portal.picture()[OLD] == set()


async def test_after_the_grace_it_is_a_new_group(world: World) -> None:
    """A group that was gone for long is another one."""
    world.source.remove_group("g1")
    await world.sync("delta")
    world.clock.ahead += timedelta(days=31)
    found(world, "g2", "Readers", 0, 1, 2, 3)
    assert (await world.sync("delta")).status == "succeeded"
    assert world.portal.picture()[NEW] == people(0, 1, 2, 3)


async def test_of_two_groups_made_anew_the_better_match_follows(world: World) -> None:
    """And when nobody can tell which it is, neither does."""
    world.source.remove_group("g1")
    found(world, "g2", "Readers", 0, 1, 2, 3)
    found(world, "g3", "Readers", 0, 1)
    assert (await world.sync("delta")).status == "succeeded"
    assert world.portal.picture()[OLD] == people(0, 1, 2, 3)
    world.source.remove_group("g2")
    for group in ("g4", "g5"):
        found(world, group, "Readers", 0, 1, 2, 3)
    assert (await world.sync("delta")).status == "succeeded"
    assert world.portal.picture()[OLD] == set()
    assert set(world.portal.groups) >= {"g4@groups.example.com", "g5@groups.example.com"}


@pytest.mark.parametrize("proven", [True, False])
async def test_a_group_that_maps_to_the_id_of_a_deleted_one_needs_proof(world: World, proven: bool) -> None:
    """Where the BPS id is made of the name, the new group wants the very record."""
    world.rules = make_rules()
    world.source.put_group("g7", displayName="Club", mailNickname="club@grp")
    for number in range(4):
        world.source.link("g7", f"u{number}")
    await world.sync("full")
    world.source.remove_group("g7")
    members = (0, 1, 2) if proven else (3, 4, 5)
    world.source.put_group("g8", displayName="Club", mailNickname="club@grp")
    for number in members:
        world.source.link("g8", f"u{number}")
    run = await world.sync("delta")
    if not proven:
        assert run.status == "held"
        assert "handover group club@grp held" in world.changes(run)
        assert world.portal.picture()["club@grp"] == set(), "it is emptied like any deleted group"
        again = await world.sync("full")
        assert again.status == "held"
        run = await approve(world, again)
    assert run.status == "succeeded", run.error
    assert world.portal.picture()["club@grp"] == people(*members)
    assert world.changes(await world.sync("full")) == []


async def test_a_rejected_group_waits_no_more(world: World) -> None:
    """The record stays the deleted group's, and the new one is skipped with the reason."""
    world.rules = make_rules()
    world.source.put_group("g7", displayName="Club", mailNickname="club@grp")
    world.source.link("g7", "u0")
    await world.sync("full")
    world.source.remove_group("g7")
    world.source.put_group("g8", displayName="Club", mailNickname="club@grp")
    world.source.link("g8", "u5")
    held = await world.sync("delta")
    world.store.decisions.reject(Approval(run_id=held.id))
    for kind in KINDS:
        run = await world.sync(kind)
        assert (run.status, world.portal.picture()["club@grp"]) == ("succeeded", set())


async def test_a_handover_of_a_group_is_undone(world: World) -> None:
    """The BPS group is that of the deleted group again, and it is not proposed once more."""
    world.source.remove_group("g1")
    found(world, "g2", "Readers", 0, 1, 2, 4)
    run = await world.sync("delta")
    undone = await world.carry_out(Undo(run_id=run.id))
    assert undone.status == "succeeded", undone.error
    assert f"handover group {OLD} done" in world.changes(undone)
    assert world.portal.picture()[OLD] == people(0, 1, 2, 3)


async def test_a_deleted_group_under_delete_is_not_deleted_when_it_was_made_anew(world: World) -> None:
    """The end of the grace is no matter of the group that follows."""
    world.rules = replace(world.rules, policy=make_policy(deleted_groups="delete"))
    await world.sync("full")
    world.source.remove_group("g1")
    await world.sync("delta")
    world.clock.ahead += timedelta(days=29)
    found(world, "g2", "Readers", 0, 1, 2, 3)
    assert (await world.sync("delta")).status == "succeeded"
    world.clock.ahead += timedelta(days=40)
    assert (await world.sync("full")).status == "succeeded"
    assert world.portal.picture()[OLD] == people(0, 1, 2, 3)
