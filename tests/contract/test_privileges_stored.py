"""The own record of privileges over a real store of each kind, between a fake tenant and a fake portal."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from syncd.cli.commands.privileges import list_privileges
from syncd.errors import Forbidden
from syncd.model.privilege import Listed, Place
from syncd.plan.planfile import open_plan
from syncd.plan.report.privileges import DETAILS, SWAPPED_LATER
from syncd.store.db.markers import PRIVILEGE_STORE, load_marker, save_marker
from syncd.sync.planning.proposal import FromFile
from syncd.sync.planning.undo import Undo
from tests.contract.privilege_rules import rule
from tests.fakes.rules import make_limits, make_policy, make_rules
from tests.fakes.world import World


def found_company(world: World) -> None:
    """Two groups, and a portal with two applications."""
    for name in ("g", "h"):
        world.source.put_group(name, displayName=f"Group {name}", mailNickname=f"{name}@grp")
    world.portal.places = {
        (1, "application", ""): (
            Listed(number=1, guid="invoices", name="Invoices"),
            Listed(number=2, guid="contracts", name="Contracts"),
        )
    }
    world.rules = make_rules(policy=make_policy(drift="revert"))


pytestmark = [pytest.mark.company(founded_by=found_company), pytest.mark.both_engines]

GIVEN = {("1/application//invoices//readonly", "g@grp")}


def say(world: World, *groups: str, level: str = "ReadOnly") -> None:
    """Let rules give these groups something at the application Invoices."""
    world.rules = replace(world.rules, privileges=tuple(rule(f"Group {name}", level) for name in groups))


async def test_given_and_taken_on_each_engine(world: World) -> None:
    """A rule comes, its level changes, it goes; the plan shows each, and further runs nothing."""
    say(world, "g")
    run = await world.sync("full")
    assert "grant privilege g@grp ReadOnly: application Invoices (database 1) done" in world.changes(run)
    assert world.portal.privileges == GIVEN
    say(world, "g", level="Administrator")
    run = await world.sync()
    assert [line.split()[0] for line in world.changes(run)] == ["grant", "revoke"]
    assert world.changes(await world.sync("full")) == []
    say(world)
    await world.sync()
    assert world.portal.privileges == set()
    assert world.changes(await world.sync("full")) == []


async def test_a_swap_waits_for_what_takes_its_place(world: World) -> None:
    """Nobody loses the old level before the new one is given."""
    say(world, "g")
    await world.sync("full")
    world.portal.refuse = {"g@grp Administrator invoices"}
    say(world, "g", level="Administrator")
    run = await world.sync()
    assert run.status == "partial"
    assert world.portal.privileges == GIVEN
    told = {each["state"]: each["detail"] for each in list_privileges(world.store, world.rules)}
    assert told.keys() == {"unknown", "leaving"}
    assert told["unknown"].startswith(DETAILS["unknown"])
    assert "; the last attempt failed, and it is tried again: the portal refuses g@grp Admini" in told["unknown"]
    assert told["leaving"] == SWAPPED_LATER
    world.portal.refuse = set()
    await world.sync()
    assert {each["state"] for each in list_privileges(world.store, world.rules)} == {"given"}
    assert {token for token, _ in world.portal.privileges} == {"1/application//invoices//administrator"}


async def test_by_hand_before_and_taken_since(world: World) -> None:
    """What was there before stays; what was shown and is gone is drift."""
    await world.sync("full")
    world.portal.privileges = set(GIVEN)
    say(world, "g", "h")
    await world.sync("full")
    assert len(world.portal.privileges) == 2
    states = {each["bps_id"]: each["state"] for each in list_privileges(world.store, world.rules)}
    assert states == {"g@grp": "beside", "h@grp": "given"}
    await world.sync("full")
    world.portal.privileges = set(GIVEN)
    run = await world.sync("full")
    assert len(world.changes(run)) == 1
    say(world)
    await world.sync("full")
    assert world.portal.privileges == GIVEN


async def test_a_renamed_group_has_everything_before_its_old_record_loses_it(world: World) -> None:
    """Who holds something beside it is listed as somebody else's."""
    world.portal.add_account("eve@x.com", name="Eve")
    world.portal.privileges = {("1/application//invoices//readonly", "eve@x.com")}
    say(world, "g")
    await world.sync("full")
    states = {each["bps_id"]: each["state"] for each in list_privileges(world.store, world.rules)}
    assert states == {"g@grp": "given", "eve@x.com": "foreign"}
    world.source.put_group("g", displayName="Group g", mailNickname="new@grp")
    for _ in range(2):
        await world.sync()
    assert {holder for _, holder in world.portal.privileges} == {"new@grp", "eve@x.com"}


async def test_an_old_record_loses_what_somebody_took_of_the_new_one(world: World) -> None:
    """It had arrived there: the old one does not keep it for ever."""
    world.rules = make_rules(policy=make_policy(drift="report"))
    say(world, "g")
    await world.sync("full")
    world.source.put_group("g", displayName="Group g", mailNickname="new@grp")
    world.portal.refuse = {"g@grp ReadOnly invoices"}
    for _ in range(3):
        await world.sync("full")
    assert {holder for _, holder in world.portal.privileges} == {"g@grp", "new@grp"}
    world.portal.privileges = set(GIVEN)
    await world.sync("full")
    assert [each.bps_id for each in world.store.privileges.list_taken()] == ["new@grp"]
    world.portal.refuse = set()
    for _ in range(2):
        await world.sync("full")
    assert world.portal.privileges == set()


async def test_what_somebody_took_is_forgotten_with_its_rule(world: World) -> None:
    """As long as the rule gives it, it is told as drift, where drift is only told."""
    world.rules = make_rules(policy=make_policy(drift="report"))
    say(world, "g")
    for _ in range(2):
        await world.sync("full")
    world.portal.privileges = set()
    await world.sync("full")
    assert [each.bps_id for each in world.store.privileges.list_taken()] == ["g@grp"]
    say(world)
    await world.sync("full")
    assert world.store.privileges.list_taken() == []


async def test_held_approved_rejected_and_undone(world: World) -> None:
    """The guard counts them; what a person decided stands; an undone run gives back."""
    say(world, "g", "h")
    await world.sync("full")
    world.rules = replace(world.rules, limits=make_limits(max_removals=1))
    say(world)
    held = await world.sync()
    assert held.status == "held"
    assert len(world.portal.privileges) == 2
    world.rules = replace(world.rules, limits=make_limits(max_removals=None))
    took = await world.sync("full")
    assert took.status == "held"  # the guard has a memory
    world.rules = replace(world.rules, limits=make_limits())
    say(world, "g", "h")
    assert world.changes(await world.sync("full")) == []
    say(world, "h")
    took = await world.sync("full")
    assert world.portal.privileges != GIVEN
    await world.carry_out(Undo(run_id=took.id))
    assert len(world.portal.privileges) == 2


async def test_a_plan_in_a_file_is_carried_out_once(world: World) -> None:
    """A second time it is refused: what it gives is given."""
    await world.sync("full")
    say(world, "g")
    shown = await world.sync("full", write=False)
    lines = world.make_file(shown)
    assert (await world.carry_out(FromFile(open_plan(lambda: lines)))).status == "succeeded"
    assert world.portal.privileges == GIVEN
    again = await world.carry_out(FromFile(open_plan(lambda: lines)))
    assert "the portal has changed" in again.error
    assert world.changes(await world.sync("full")) == []


async def test_one_group_alone_gets_what_its_rules_give(world: World) -> None:
    """A run over one object tries what failed for it, and plans nothing for the others."""
    world.portal.refuse = {"g@grp ReadOnly invoices", "h@grp ReadOnly invoices"}
    say(world, "g", "h")
    assert (await world.sync("full")).status == "partial"
    world.portal.refuse = set()
    run = await world.sync_one("group", "Group g")
    assert run.status == "succeeded", run.error
    assert world.portal.privileges == GIVEN


@pytest.mark.parametrize("twice", [False, True])
async def test_what_was_known_by_its_number_is_known_by_its_guid(world: World, *, twice: bool) -> None:
    """A list tells the guid that it did not tell before; given under both identities (``twice``), it is one thing."""
    guids = world.portal.places
    world.portal.places = {key: tuple(replace(each, guid="") for each in listed) for key, listed in guids.items()}
    say(world, "g", "h")
    await world.sync("full")
    assert {token for token, _ in world.portal.privileges} == {"1/application//1//readonly"}
    if twice:
        (old,) = await world.store.privileges.load_own()
        new = replace(old, place=replace(old.place, key="invoices"))
        (number,) = world.store.privileges.intern([new]).values()
        (group,) = [
            key
            for key, name in world.store.privileges.load_names(world.store.privileges.load_held()).items()
            if name == "g@grp"
        ]
        await world.store.privileges.begin(group, number, remove=False, now=world.clock.now())
    world.portal.places = guids
    world.portal.privileges = {("1/application//invoices//readonly", name) for name in ("g@grp", "h@grp")}
    assert world.changes(await world.sync("full")) == []
    (known,) = await world.store.privileges.load_own()
    assert known.place.key == "invoices"
    say(world)
    await world.sync()
    assert world.portal.privileges == set()


async def test_a_store_that_is_not_the_one_of_the_last_run_takes_nothing(world: World) -> None:
    """A file without its mark beside it, or a database under another number: a copy that was put back."""
    say(world, "g")
    await world.sync("full")
    with world.database.transaction() as connection:
        assert load_marker(connection, PRIVILEGE_STORE) is not None
        save_marker(connection, PRIVILEGE_STORE, "another store")
    say(world)
    run = await world.sync()
    assert "the store is a copy that was put back" in run.error
    for _ in range(2):
        assert "put back" not in (await world.sync("full")).error
    assert world.portal.privileges == GIVEN
    assert [each["state"] for each in list_privileges(world.store, world.rules)] == ["kept"]


async def test_a_place_that_is_gone_is_found_anew_or_forgotten(world: World) -> None:
    """Its name means the new one; of the old one nothing is remembered, and nothing is asked without a rule."""
    say(world, "g")
    await world.sync("full")
    lists = world.portal.places
    invoices, contracts = lists[1, "application", ""]
    world.portal.gone_places, world.portal.privileges = {"invoices"}, set()
    lists[1, "application", ""] = (contracts,)
    assert "the portal has no such place any more" in (await world.sync("full")).error
    lists[1, "application", ""] = (contracts, replace(invoices, number=3, guid="anew"))
    await world.sync("full")
    assert world.portal.privileges == {("1/application//anew//readonly", "g@grp")}
    assert [each.place.key for each in await world.store.privileges.load_own()] == ["anew"]
    world.portal.gone_places.add("anew")
    lists[1, "application", ""] = (contracts,)
    say(world)
    await world.sync("full")
    world.portal.privilege_reads.clear()
    await world.sync("full")
    assert world.portal.privilege_reads == []
    assert await world.store.privileges.load_own() == []


def hide_places(patch: pytest.MonkeyPatch, world: World) -> None:
    """Let the portal refuse to say who has something anywhere."""

    async def refuse(place: Place) -> None:
        raise Forbidden(f"no look at {place}")

    patch.setattr(world.portal, "fetch_holders", refuse)


async def test_what_a_group_had_that_a_full_run_finds_gone_may_be_by_hand_on_the_next_one(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its place could not be read in that run: what somebody gave the new group meanwhile is not ours to take."""
    say(world, "g", "h")
    for _ in range(2):
        await world.sync("full")
    world.clock.ahead += timedelta(days=1)
    await world.portal.delete_group("g@grp")
    world.portal.privileges -= GIVEN
    with monkeypatch.context() as patch:
        hide_places(patch, world)
        for _ in range(2):
            await world.sync("full")
    assert "g@grp" in world.portal.groups
    world.portal.privileges |= GIVEN
    world.clock.ahead += timedelta(days=1)
    await world.sync("full")
    states = {each["bps_id"]: each["state"] for each in list_privileges(world.store, world.rules)}
    assert states == {"g@grp": "beside", "h@grp": "given"}
    say(world, "h")
    await world.sync("full")
    assert world.portal.privileges > GIVEN


@pytest.mark.parametrize("how", ["undone", "full", "one object"])
async def test_what_was_let_go_of_a_group_is_forgotten_with_that_group(
    world: World, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """The next group with its BPS id has its rule carried out, whichever run found the first one gone."""
    world.rules = make_rules(policy=make_policy(drift="report"))
    say(world, "g", "h")
    made = await world.sync("full")
    await world.sync("full")
    world.portal.privileges -= GIVEN
    await world.sync("full")
    assert [each.bps_id for each in world.store.privileges.list_taken()] == ["g@grp"]
    await world.store.privileges.accept_taken()
    world.rules = replace(world.rules, policy=make_policy(drift="revert"))
    world.clock.ahead += timedelta(days=1)
    if how == "undone":
        await world.carry_out(Undo(run_id=made.id, delete_created=True))
        assert "g@grp" not in world.portal.groups
    else:
        await world.portal.delete_group("g@grp")
    with monkeypatch.context() as patch:
        hide_places(patch, world)
        await (world.sync_one("group", "Group g") if how == "one object" else world.sync("full"))
    for _ in range(3):
        await world.sync()
    assert world.portal.privileges > GIVEN
