"""The protect list and deletions: a portal takes along what hangs on an account or a group that it deletes."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Literal

import pytest

from syncd.model.kinds import RecordKind
from syncd.model.target import Account, Creation, PortalGroup
from syncd.plan.rules import LicenceRule, fold_all
from syncd.plan.words import TIED
from syncd.store.reports.status import Report
from syncd.sync.planning.undo import Undo
from tests.fakes.rules import make_policy, make_rules, make_scope
from tests.fakes.world import World

POLICY = make_policy(deleted_users="delete", deleted_groups="delete", grace=timedelta(days=3))
KINDS: list[Literal["delta", "full"]] = ["delta", "full"]


async def found_company(world: World) -> None:
    """Three people in one group, in step."""
    for name in ("ann", "ben", "cleo"):
        world.source.put_user(name, userPrincipalName=f"{name}@x.com", displayName=name)
    world.source.put_group("g1", displayName="All", mailNickname="all@grp")
    for name in ("ann", "ben", "cleo"):
        world.source.link("g1", name)
    protect(world)
    assert (await world.sync("full")).status == "succeeded"


pytestmark = pytest.mark.company(founded_by=found_company)


def protect(world: World, *bps_ids: str) -> None:
    """Set scope.protect."""
    world.rules = make_rules(policy=POLICY, scope=make_scope(protect=fold_all(bps_ids)))


async def let_go(world: World, kind: Literal["delta", "full"]) -> None:
    """Let the grace of whoever left pass, and run twice."""
    await world.sync("delta")
    world.clock.ahead += timedelta(days=4)
    for _ in range(2):
        run = await world.sync(kind)
        assert run.status == "succeeded", run.error
        assert world.changes(run) == []


def explain(world: World, kind: RecordKind, bps_id: str) -> str:
    """Return why a record stands where it stands."""
    report = Report(world.database, POLICY, protect=world.rules.scope.protect)
    return next(line.reason for line in report.iterate(kind) if line.bps_id == bps_id)


def put_another_group(world: World) -> None:
    """Let the tenant have a group whatever becomes of the first one: one without any would be held for that."""
    world.source.put_group("other", displayName="Other", mailNickname="other@grp")


@pytest.mark.both_engines
@pytest.mark.parametrize("kind", KINDS)
async def test_an_account_in_a_protected_group_is_not_deleted(world: World, kind: Literal["delta", "full"]) -> None:
    """The group that was ours would lose a member; when it is not protected any more, the account goes."""
    protect(world, "ALL@grp")
    world.source.remove_user("ann")
    await let_go(world, kind)
    assert world.portal.picture()["all@grp"] == {"ann@x.com", "ben@x.com", "cleo@x.com"}
    assert explain(world, "user", "ann@x.com").endswith(TIED["user"])
    protect(world)
    await world.sync(kind)
    assert "ann@x.com" not in world.portal.accounts


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", ["members", "owners"])
async def test_nor_one_in_a_protected_group_of_somebody_else(
    world: World, kind: Literal["delta", "full"], place: Literal["members", "owners"]
) -> None:
    """A group that never was ours is read for that, whether it is a member or an owner."""
    world.portal.groups["board@y.com"] = PortalGroup(bps_id="Board@Y.com", name="Board", email="board@y.com")
    getattr(world.portal, place)["board@y.com"] = {"ann@x.com": "ann@x.com"}
    protect(world, "board@y.com")
    world.source.remove_user("ann")
    assert "unlink membership all@grp ann@x.com done" in world.changes(await world.sync("full"))
    await let_go(world, kind)
    assert "ann@x.com" in world.portal.accounts
    assert getattr(world.portal, place)["board@y.com"] == {"ann@x.com": "ann@x.com"}


@pytest.mark.both_engines
@pytest.mark.parametrize("kind", KINDS)
async def test_a_group_with_a_protected_person_is_not_deleted(world: World, kind: Literal["delta", "full"]) -> None:
    """The others are taken out, and that one stays where it is."""
    protect(world, "Ben@x.com")
    put_another_group(world)
    world.source.remove_group("g1")
    await let_go(world, kind)
    assert world.portal.picture()["all@grp"] == {"ben@x.com"}
    assert explain(world, "group", "all@grp").endswith(TIED["group"])
    protect(world)
    await world.sync(kind)
    await world.sync(kind)
    assert "all@grp" not in world.portal.groups


async def test_what_was_tied_by_hand_since_the_last_reading_is_seen_before_the_deletion(world: World) -> None:
    """A delta run does not read the portal; the deletion is put off, and not planned any more."""
    world.portal.groups["board@y.com"] = PortalGroup(bps_id="Board@Y.com", name="Board", email="board@y.com")
    protect(world, "board@y.com", "cleo@x.com")
    world.rules = replace(world.rules, licences=(LicenceRule("Two", "User"),))
    world.portal.licences["ann@x.com"] = {"ExternalUser": {}}
    world.source.put_group("g2", displayName="Two", mailNickname="two@grp")
    await world.sync("full")
    world.source.remove_user("ann")
    world.source.remove_group("g2")
    world.rules = replace(world.rules, licences=(LicenceRule("All", "User"),))
    await world.sync("delta")
    world.portal.members["board@y.com"] = {"ann@x.com": "ann@x.com"}
    world.portal.members["two@grp"] = {"cleo@x.com": "cleo@x.com"}
    world.clock.ahead += timedelta(days=4)
    run = await world.sync("delta")
    assert world.changes(run) == [
        "revoke licence ann@x.com ExternalUser deferred",
        "delete group two@grp deferred",
        "delete user ann@x.com deferred",
    ]
    assert world.portal.licences["ann@x.com"] == {"ExternalUser": {}}, "given by hand, it goes only with the account"
    assert "ann@x.com" in world.portal.accounts
    assert "two@grp" in world.portal.groups
    assert world.changes(await world.sync("delta")) == []


async def test_what_is_tied_by_hand_during_the_run_is_seen_right_before_the_deletion(world: World) -> None:
    """A plan may take its time: deletions come last, and look once more."""
    world.portal.groups["board@y.com"] = PortalGroup(bps_id="Board@Y.com", name="Board", email="board@y.com")
    protect(world, "board@y.com")
    await world.sync("full")
    world.source.remove_user("ann")
    await world.sync("delta")
    world.source.put_user("dora", userPrincipalName="dora@x.com", displayName="dora")
    create = world.portal.create_account

    async def create_slowly(account: Account, *, sent_before: bool = False) -> Creation:
        world.portal.members["board@y.com"] = {"ann@x.com": "ann@x.com"}
        return await create(account, sent_before=sent_before)

    world.portal.create_account = create_slowly
    world.clock.ahead += timedelta(days=4)
    run = await world.sync("delta")
    assert world.changes(run) == ["create user dora@x.com done", "delete user ann@x.com deferred"]
    assert world.changes(await world.sync("delta")) == []
    assert "ann@x.com" in world.portal.accounts


@pytest.mark.both_engines
async def test_an_undo_spares_them_too(world: World) -> None:
    """What was created is not deleted when that would change something on the protect list; the rest is."""
    protect(world, "all@grp")
    planned = await world.carry_out(Undo(run_id=1, delete_created=True), write=False)
    entries = [entry for chunk in world.store.plans.iterate_changes(planned.id) for entry, _, _ in chunk]
    told = {f"{entry.change.action} {entry.change.bps_id}": entry.error.text for entry in entries}
    assert told["create ann@x.com"] == TIED["user"]
    protect(world, "ben@x.com")
    run = await world.carry_out(Undo(run_id=1, delete_created=True))
    assert run.status == "succeeded", run.error
    assert set(world.portal.accounts) == {"ben@x.com"}
    assert world.portal.picture()["all@grp"] == {"ben@x.com"}
