"""Who was where: each time begins and ends in the run that did it, for the cause that it had, and whatever happens."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import select, update

from syncd.model.history import Asked, End
from syncd.model.run import Approval, RunRequest
from syncd.plan.rules import LicenceRule
from syncd.store.reports.certificate import Certificates
from syncd.store.reports.explain import Explanations
from syncd.store.reports.history import History
from syncd.store.schema.tables import source_groups, source_users, target_licences, target_members
from syncd.sync.planning.undo import Undo
from tests.fakes.history import check_chain, check_history
from tests.fakes.rules import make_limits, make_policy, make_rules
from tests.fakes.world import World, open_world

pytestmark = pytest.mark.both_engines

FREE = make_limits(max_removals=None, max_removal_percent=None, max_handovers=None, max_daily_removal_percent=None)


@pytest.fixture
async def world(store_url: str) -> AsyncIterator[World]:
    """Three people in two groups, in step with the portal since run 1."""
    made = open_world(store_url)
    made.rules = make_rules(limits=FREE)
    for name in ("ann", "ben", "eve"):
        made.source.put_user(name, userPrincipalName=f"{name}@x.com", displayName=name, mail=f"{name}@x.com")
    for group in ("sales", "staff"):
        made.source.put_group(group, displayName=group.title(), mailNickname=f"{group}@grp")
        for name in ("ann", "ben"):
            made.source.link(group, name)
    assert (await made.sync("full")).status == "succeeded"
    yield made
    check_history(made.database)
    check_chain(made.database)
    made.database.close()


def _say(end: End | None) -> str:
    return "-" if end is None else f"{end.run}:{end.cause}{' approved' if end.by == 'approval' else ''}"


def times(world: World, group: str, person: str) -> list[str]:
    """Return when somebody was in a group, as run and cause of both ends."""
    history = History(world.database)
    key = history.find_record("group", f"{group}@grp")
    assert key is not None
    return [
        f"{_say(each.time.came)} {_say(each.time.went)}"
        for each in history.iterate_links(groups=[key])
        if each.member.casefold() == f"{person}@x.com"
    ]


def records(world: World, kind: str, source: str) -> list[str]:
    """Return what was noted of the records of a person or group: why each time began, and why it ended."""
    table = source_users if kind == "user" else source_groups
    key = world.database.load_value(
        select(table.c.key).where(table.c.name == (source if kind == "user" else source.title())).limit(1)
    )
    found = History(world.database).load_records("user" if kind == "user" else "group", source=key)
    return [
        f"{each.bps_id} {each.leaving_as or 'active'} {_say(each.time.came)} {_say(each.time.went)}" for each in found
    ]


async def test_joined_and_left(world: World) -> None:
    """And came again, which is a time of its own."""
    assert times(world, "sales", "ann") == ["1:joined -"]
    world.source.unlink("sales", "ann")
    await world.sync()
    world.source.link("sales", "ann")
    await world.sync()
    assert times(world, "sales", "ann") == ["1:joined 2:left", "3:joined -"]


@pytest.mark.parametrize("state", ["disabled", "deleted"])
async def test_a_leaver_goes_as_a_leaver_and_who_returns_comes_again(world: World, state: str) -> None:
    """The account is noted as left, and as active again."""
    if state == "disabled":
        world.source.put_user("ann", accountEnabled=False)
    else:
        world.source.remove_user("ann")
    await world.sync()
    assert times(world, "sales", "ann") == [f"1:joined 2:{state}"]
    assert records(world, "user", "ann") == ["ann@x.com active 1:created 2:leaving", f"ann@x.com {state} 2:leaving -"]
    (found,) = Explanations(world.database).find("ann@x.com")
    departure = Certificates(world.database).load(found, now=world.clock.now())
    assert departure is not None
    assert (departure.state, departure.left_run) == (state, 2)
    assert [(proof.id, proof.status) for proof in departure.runs] == [(1, "succeeded"), (2, "succeeded")]
    world.source.put_user("ann", userPrincipalName="ann@x.com", displayName="ann", accountEnabled=True)
    world.source.link("sales", "ann")
    await world.sync()
    assert times(world, "sales", "ann")[1:] == ["3:joined -"]
    assert records(world, "user", "ann")[-1] == "ann@x.com active 3:returned -"


async def test_a_rename_moves_everything_as_a_rename(world: World) -> None:
    """The old account goes, the new one comes, and both are the person's."""
    world.source.put_user("ann", userPrincipalName="anna@x.com")
    await world.sync()
    await world.sync()
    assert times(world, "sales", "ann") == ["1:joined 2:renamed"]
    assert [each.split(" ")[0].split(":")[0] for each in times(world, "sales", "anna")] == ["2"]
    assert [each.split()[:2] for each in records(world, "user", "ann")] == [
        ["ann@x.com", "active"], ["anna@x.com", "active"], ["ann@x.com", "renamed"],
    ]  # fmt: skip


async def test_by_hand_found_by_a_full_reading_and_set_back(world: World) -> None:
    """Somebody was put in and somebody was taken out; the same run makes both as the tenant says."""
    world.clock.ahead += timedelta(hours=2)
    world.portal.members["sales@grp"]["eve@x.com"] = "eve@x.com"
    world.portal.members["sales@grp"].pop("ben@x.com")
    await world.sync("full")
    assert times(world, "sales", "eve") == ["2:by_hand 2:left"]
    assert times(world, "sales", "ben")[0] == "1:joined 2:by_hand"
    assert times(world, "sales", "ben")[1].startswith("2:")
    assert len(times(world, "sales", "ben")) == 2


async def test_a_group_that_is_emptied(world: World) -> None:
    """Its members go because the group does."""
    world.source.remove_group("sales")
    await world.sync()
    assert times(world, "sales", "ann") == ["1:joined 2:group_leaves"]
    assert records(world, "group", "sales")[-1].startswith("sales@grp deleted 2:leaving -")
    assert times(world, "staff", "ann") == ["1:joined -"]


async def test_an_account_that_somebody_deletes_in_the_portal(world: World) -> None:
    """Its places end with it, and it has a new time when it is made anew."""
    world.clock.ahead += timedelta(hours=2)
    world.portal.accounts.pop("ann@x.com")
    for group in ("sales@grp", "staff@grp"):
        world.portal.members[group].pop("ann@x.com")
    await world.sync("full")
    assert records(world, "user", "ann") == ["ann@x.com active 1:created 2:gone", "ann@x.com active 2:created -"]
    assert times(world, "sales", "ann") == ["1:joined 2:account_gone", "2:joined -"]


async def test_a_group_that_somebody_deletes_in_the_portal(world: World) -> None:
    """Its members go with it, and come into the one that is made anew."""
    world.clock.ahead += timedelta(hours=2)
    world.portal.groups.pop("sales@grp")
    world.portal.members.pop("sales@grp")
    await world.sync("full")
    assert records(world, "group", "sales") == ["sales@grp active 1:created 2:gone", "sales@grp active 2:created -"]
    assert times(world, "sales", "ann")[0] == "1:joined 2:group_gone"


async def test_our_own_deletion(world: World) -> None:
    """The account goes by our run, after the grace."""
    world.rules = make_rules(limits=FREE, policy=make_policy(disabled_users="delete", grace=timedelta(days=1)))
    world.source.put_user("ann", accountEnabled=False)
    await world.sync()
    world.clock.ahead += timedelta(days=2)
    await world.sync()
    assert records(world, "user", "ann")[-1] == "ann@x.com disabled 2:leaving 3:record_deleted"


async def test_an_approval_is_the_run_that_did_it(world: World) -> None:
    """What was held and released went by the approving run, and says so."""
    world.rules = make_rules(limits=make_limits(max_removals=0, min_population=0, max_removal_percent=None))
    world.source.unlink("sales", "ann")
    assert (await world.sync()).status == "held"
    assert times(world, "sales", "ann") == ["1:joined -"]
    request = RunRequest(pull="none", trigger="approval", approval=Approval(run_id=2))
    run = await world.runs.execute(request, world.open_sides())
    assert times(world, "sales", "ann") == [f"1:joined {run.id}:left approved"]


async def test_an_undo_brings_back_and_takes_back(world: World) -> None:
    """Both ends say that it was an undo."""
    world.source.unlink("sales", "ann")
    world.source.link("sales", "eve")
    await world.sync()
    await world.carry_out(Undo(run_id=2))
    assert times(world, "sales", "ann")[0] == "1:joined 2:left"
    assert times(world, "sales", "ann")[1].startswith("3:undone")
    assert times(world, "sales", "eve")[0].startswith("2:joined 3:undone")


async def test_a_handover_ends_one_owner_and_begins_another(world: World) -> None:
    """The account is the same, and has two people one after the other."""
    world.source.remove_user("ann")
    await world.sync()
    world.source.put_user("new", userPrincipalName="ann@x.com", displayName="newcomer", mail="ann@x.com")
    run = await world.sync()
    assert "handover user ann@x.com done" in world.changes(run)
    assert records(world, "user", "ann")[-1].split()[-1] == f"{run.id}:handover"
    assert records(world, "user", "newcomer") == [f"ann@x.com active {run.id}:handover -"]


async def test_ownerships_and_licences_have_times_too(world: World) -> None:
    """Given by a rule and taken when no rule gives it; by hand, where somebody did it in the portal."""
    world.source.tracks_owners = True
    rules = make_rules(limits=FREE, licences=(LicenceRule("Sales", "PowerUser"),))
    world.rules = replace(rules, mapping=replace(rules.mapping, owners=True))
    world.source.own("sales", "ann")
    await world.sync("full")
    world.source.disown("sales", "ann")
    world.source.unlink("sales", "ann")
    await world.sync()
    history = History(world.database)
    key = history.find_record("user", "ann@x.com")
    assert key is not None
    owned = [each for each in history.iterate_links(members=[key]) if each.object == "ownership"]
    assert [f"{_say(each.time.came)} {_say(each.time.went)}" for each in owned] == ["2:joined 3:left"]
    licences = history.load_licences([key])
    assert [f"{_say(each.time.came)} {_say(each.time.went)}" for each in licences] == ["2:rule_gives 3:no_rule"]
    day = Asked(start=world.clock.now() - timedelta(days=1), end=world.clock.now())
    assert [each.type for each in history.load_licences([key], day)] == ["PowerUser"]
    assert history.load_licences([key], Asked(end=world.clock.now())) == []
    assert world.database.load_values(select(target_licences.c.type).where(target_licences.c.key == key)) == []


async def test_what_was_there_before_the_history_began_has_no_beginning(world: World) -> None:
    """After an upgrade: it counts as there since before, and its end is noted as any other."""
    nothing = {"came_at": None, "came_run": None, "came_cause": None, "came_by": None}
    with world.database.transaction() as connection:
        connection.execute(update(target_members).values(**nothing))
    world.source.unlink("sales", "ann")
    await world.sync()
    history = History(world.database)
    key = history.find_record("group", "sales@grp")
    assert key is not None
    early = list(history.iterate_links(groups=[key], asked=Asked(end=world.clock.now() - timedelta(days=900))))
    assert [(each.member, each.time.came.at) for each in early] == [("ann@x.com", None), ("ben@x.com", None)]
    with world.database.transaction() as connection:
        connection.execute(update(target_members).values(came_cause="joined", came_at=world.clock.now()))
