"""The standing check: memberships that delta lost without a word are found by counting and put right by reading."""

from __future__ import annotations

from datetime import timedelta

import pytest

from syncd.errors import ProtocolError, Rejected, RemoteError, Unavailable
from syncd.model.kinds import RecordKind
from syncd.model.members import CheckPace
from syncd.model.run import RunRecord
from syncd.model.source import Link
from tests.fakes.world import World

HOURS, MINUTES = timedelta(hours=7), timedelta(minutes=11)


async def found_company(world: World) -> None:
    """A tenant with six people in two groups, in step with the portal."""
    for number in range(6):
        world.source.put_user(f"u{number}", userPrincipalName=f"u{number}@x.com", displayName=f"User {number}")
    for name, title in (("g1", "All"), ("g2", "Sales")):
        world.source.put_group(name, displayName=title, mailNickname=f"{title.lower()}@grp")
    for number in range(4):
        world.source.link("g1", f"u{number}")
    world.source.link("g2", "u4")
    run = await world.sync("full")
    assert run.status == "succeeded", run.error


pytestmark = pytest.mark.company(founded_by=found_company)


async def after(world: World, wait: timedelta) -> RunRecord:
    """Run a delta some time later; it must always succeed."""
    world.clock.ahead += wait
    world.source.calls.clear()
    run = await world.sync("delta")
    assert run.status == "succeeded", run.error
    return run


def counted(world: World) -> list[str]:
    """Return which groups the last run counted."""
    return sorted(call.split()[1] for call in world.source.calls if call.endswith("$count"))


@pytest.mark.both_engines
async def test_what_delta_lost_is_found_and_corrected_after_a_second_look(world: World) -> None:
    """One came and two went unseen; the first difference only makes the group suspected."""
    world.source.losing_links = True
    world.source.unlink("g1", "u1")
    world.source.unlink("g1", "u2")
    world.source.link("g1", "u5")
    assert world.changes(await after(world, timedelta())) == []
    assert counted(world) == []
    first = await after(world, HOURS)
    assert (counted(world), world.changes(first)) == (["g1", "g2"], [])
    assert first.counts["groups_suspected"] == 1
    assert world.changes(await after(world, timedelta(minutes=1))) == []
    assert counted(world) == []
    second = await after(world, MINUTES)
    assert set(counted(world)) == {"g1"}
    assert sorted(world.changes(second)) == [
        "link membership all@grp u5@x.com done",
        "unlink membership all@grp u1@x.com done",
        "unlink membership all@grp u2@x.com done",
    ]
    assert (second.counts["groups_corrected"], second.counts["links_removed"]) == (1, 2)
    assert world.changes(await world.sync("full")) == []


async def test_a_delta_without_news_asks_once_per_stream_between_two_checks(world: World) -> None:
    """The check is due every few hours, and a full pull, which reads everything, puts it off."""
    assert (await after(world, timedelta(hours=5))).counts.get("groups_members_counted") is None
    await after(world, timedelta(hours=2))
    assert counted(world) == ["g1", "g2"]
    await after(world, timedelta(hours=2))
    assert sorted(world.source.calls) == ["groups d:", "users d:"]
    await world.sync("full")
    await after(world, timedelta(hours=5))
    assert counted(world) == []


@pytest.mark.both_engines
async def test_a_count_that_only_lagged_is_forgotten(world: World) -> None:
    """The index catches up before the second look: nothing is read."""
    world.source.member_count_lies["g1"] = 2
    await after(world, HOURS)
    world.source.member_count_lies.clear()
    await after(world, MINUTES)
    assert not any(call == "members g1" for call in world.source.calls)
    await after(world, MINUTES)
    assert counted(world) == []


async def test_what_is_counted_and_never_listed_costs_one_reading(world: World) -> None:
    """Service principals that delta never told are read once and remembered; a real loss is still found."""
    world.source.losing_links = True
    for number in range(2):
        world.source.link("g1", f"sp{number}", "servicePrincipal")
    await after(world, HOURS)
    await after(world, MINUTES)
    assert "members g1" in world.source.calls
    for _ in range(3):
        await after(world, HOURS)
        await after(world, MINUTES)
        assert "members g1" not in world.source.calls
    world.source.losing_links = True
    world.source.unlink("g1", "u1")
    await after(world, HOURS)
    run = await after(world, MINUTES)
    assert world.changes(run) == ["unlink membership all@grp u1@x.com done"]


async def test_service_principals_cost_one_reading_also_where_delta_tells_them(world: World) -> None:
    """The count includes them and nothing else depends on how they became known, since they are not kept."""
    world.source.link("g1", "sp1", "servicePrincipal")
    await world.sync("delta")
    await after(world, HOURS)
    await after(world, MINUTES)
    assert "members g1" in world.source.calls
    await after(world, HOURS)
    await after(world, MINUTES)
    assert "members g1" not in world.source.calls
    world.source.losing_links = True
    world.source.link("g1", "u5")
    await after(world, HOURS)
    assert world.changes(await after(world, MINUTES)) == ["link membership all@grp u5@x.com done"]
    await after(world, HOURS)
    await after(world, MINUTES)
    assert "members g1" not in world.source.calls


async def test_a_soft_deleted_member_is_not_missed(world: World) -> None:
    """The tenant neither counts nor lists such a member, and the membership waits for the return."""
    world.source.remove_user("u1")
    await world.sync("delta")
    await after(world, HOURS)
    await after(world, MINUTES)
    assert "members g1" not in world.source.calls
    world.source.restore_user("u1")
    assert world.changes(await after(world, timedelta())) == ["link membership all@grp u1@x.com done"]


async def test_lists_cut_alike_take_nobody_out(world: World) -> None:
    """The suspected group is read twice and both readings lack two people whom the tenant counts."""
    world.source.losing_links = True
    world.source.link("g1", "u5")
    await after(world, HOURS)
    world.source.unlisted.update({"g1/u1", "g1/u2", "g1/u3"})
    run = await after(world, MINUTES)
    assert world.changes(run) == ["link membership all@grp u5@x.com done"]
    assert run.counts["groups_unproven"] == 1


async def test_a_group_that_hides_its_members_is_left_alone(world: World) -> None:
    """No list and a count of nobody: the stored members stay, however often it is looked at."""
    world.source.hiding.add("g1")
    for wait in (HOURS, MINUTES, HOURS, MINUTES):
        assert world.changes(await after(world, wait)) == []
    assert len(world.portal.picture()["all@grp"]) == 4


async def test_a_tenant_that_refuses_to_count_hinders_no_run(world: World) -> None:
    """The failure is a line in the log; the delta goes through, and the check comes again when it is due."""

    async def broken(group_id: str, *, kind: str | None = None) -> int:
        raise Unavailable("no counts today", status=503)

    fetch = world.source.fetch_member_count
    world.source.fetch_member_count = broken
    world.source.put_user("u1", displayName="Renamed")
    assert world.changes(await after(world, HOURS)) == ["update user u1@x.com done"]
    world.source.fetch_member_count = fetch
    await after(world, MINUTES)
    assert counted(world) == []
    await after(world, HOURS)
    assert counted(world) == ["g1", "g2"]


@pytest.mark.parametrize("error", [Rejected("no such query"), ProtocolError("unreadable"), Unavailable("busy")])
async def test_a_group_that_cannot_be_counted_hinders_no_other(world: World, error: RemoteError) -> None:
    """The others are counted and corrected, and what cures itself stays suspected."""
    fetch = world.source.fetch_member_count

    async def count(group_id: str, *, kind: RecordKind | None = None) -> int | None:
        if group_id == "g1":
            raise error
        return await fetch(group_id, kind=kind)

    world.source.fetch_member_count = count
    world.source.losing_links = True
    world.source.link("g2", "u5")
    await after(world, HOURS)
    run = await after(world, MINUTES)
    assert run.counts["groups_corrected"] == 1


async def test_a_group_that_cannot_be_read_hinders_no_other(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told, keeps what is known of its members, and is not read again in every run."""
    fetch = world.source.fetch_members

    async def read(group_id: str) -> tuple[Link, ...] | None:
        if group_id == "g1":
            raise ProtocolError("a member without an id")
        return await fetch(group_id)

    monkeypatch.setattr(world.source, "fetch_members", read)
    world.source.losing_links = True
    world.source.unlink("g1", "u1")
    world.source.link("g2", "u5")
    await after(world, HOURS)
    run = await after(world, MINUTES)
    assert (run.counts["groups_corrected"], run.counts["groups_unproven"]) == (1, 1)
    await after(world, MINUTES)
    assert counted(world) == []


async def test_the_sample_goes_round_all_groups(world: World) -> None:
    """Each time the next few; at the end it begins again, and a deleted group is not counted."""
    for number in range(3, 8):
        world.source.put_group(f"g{number}", displayName=f"Group {number}", mailNickname=f"group{number}@grp")
    world.source.remove_group("g5")
    await world.sync("delta")
    pace = CheckPace(rounds=3, least=1, most=2)
    store, seen = world.store, list[list[str]]()
    for _ in range(4):
        world.clock.ahead += HOURS
        taken = store.memberships.take_groups_to_count.blocking(pace, now=world.clock.now())
        seen.append(sorted(group.group_id for group in taken))
    assert seen[:3] == [["g1", "g2"], ["g3", "g4"], ["g6", "g7"]]
    assert seen[3] == seen[0]
    assert store.memberships.take_groups_to_count.blocking(pace, now=world.clock.now()) == []
