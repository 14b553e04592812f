"""Replicas that are behind: whatever lists, single reads and counts answer, no full read undoes what delta has told."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from tests.fakes.office import hire, settle_in
from tests.fakes.source import READS, FakeSource, Read
from tests.fakes.world import World


async def found_company(world: World) -> None:
    """The company, settled in; u6 is deleted and can be restored, and u7 owns the login that others want."""
    settle_in(world.source)
    world.source.link("g2", "u6")
    assert (await world.sync("full")).status == "succeeded"
    world.source.remove_user("u6")
    assert (await world.sync("delta")).status == "succeeded"
    world.clock.ahead += timedelta(days=3)  # what delta has told up to here is old
    assert (await world.sync("full")).status == "succeeded"


pytestmark = pytest.mark.company(founded_by=found_company)


def leave(source: FakeSource) -> None:
    source.unlink("g1", "u1")


def take_out_of_nested(source: FakeSource) -> None:
    source.unlink("g1", "g2")


def join(source: FakeSource) -> None:
    source.link("g1", "u5")


def disable(source: FakeSource) -> None:
    source.put_user("u1", accountEnabled=False)


def rename(source: FakeSource) -> None:
    source.put_user("u1", userPrincipalName="married@x.com", displayName="Married", mail="married@x.com")


def retitle(source: FakeSource) -> None:
    source.put_user("u1", jobTitle="Boss")


def promote(source: FakeSource) -> None:
    source.put_user("u1", manager="u2")


def create(source: FakeSource) -> None:
    hire(source, 9, manager="u1")
    source.link("g1", "u9")


def delete(source: FakeSource) -> None:
    source.remove_user("u1")


def delete_for_good(source: FakeSource) -> None:
    source.remove_user("u1", hard=True)


def restore(source: FakeSource) -> None:
    source.restore_user("u6")


def new_group(source: FakeSource) -> None:
    source.put_group("g9", displayName="New", mailNickname="new@grp")
    source.link("g9", "u5")
    source.link("g9", "g2", "group")
    source.link("g1", "g9", "group")


def delete_group(source: FakeSource) -> None:
    source.remove_group("g2")


def everything(source: FakeSource) -> None:
    for event in (disable, create, restore, new_group, join, take_out_of_nested):
        event(source)
    source.put_user("u2", displayName="Other", jobTitle="Clerk", manager="u9")


EVENTS = (
    disable, rename, retitle, promote, create, delete, delete_for_good, restore, leave, join, take_out_of_nested,
    new_group, delete_group, everything,
)  # fmt: skip
BEHIND: tuple[tuple[Read, ...], ...] = (
    ("lists", "links"), ("lists",), ("links",), ("singles",), ("lists", "links", "singles"), READS,
)  # fmt: skip


def show(world: World) -> tuple[object, object]:
    """Return what the portal has: who is where, and each account's fields."""
    return world.portal.picture(), dict(world.portal.accounts)


@pytest.mark.parametrize("behind", BEHIND, ids="+".join)
@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.__name__)
async def test_a_full_read_never_undoes_a_delta(
    world: World, event: Callable[[FakeSource], None], behind: tuple[Read, ...]
) -> None:
    """Freeze, change, delta, full, thaw, delta, delta: from the first delta on the portal is right."""
    source = world.source
    source.freeze(*behind)
    event(source)
    assert (await world.sync("delta")).status == "succeeded"
    right = show(world)
    run = await world.sync("full")
    assert run.status == "succeeded", run.error
    assert show(world) == right, world.changes(run)
    source.thaw()
    for kind in ("delta", "delta", "full"):
        run = await world.sync(kind)
        assert run.status == "succeeded", run.error
        assert show(world) == right, world.changes(run)
    world.clock.ahead += timedelta(hours=5)
    assert world.changes(await world.sync("delta")) == []
    assert world.changes(await world.sync("full")) == []


@pytest.mark.both_engines
@pytest.mark.parametrize("behind", BEHIND, ids="+".join)
async def test_what_no_delta_run_has_told_yet_is_told_in_the_full_run(world: World, behind: tuple[Read, ...]) -> None:
    """The full run itself begins with what delta has to tell since the last run."""
    source = world.source
    source.freeze(*behind)
    everything(source)
    run = await world.sync("full")
    assert run.status == "succeeded", run.error
    right = show(world)
    source.thaw()
    for _ in range(2):
        assert world.changes(await world.sync("delta")) == []
    assert world.changes(await world.sync("full")) == []
    assert show(world) == right


@pytest.mark.both_engines
async def test_what_delta_told_wins_for_an_hour_and_no_longer(world: World) -> None:
    """Delta told of a person and then lost a change: what lists and direct reads show meanwhile is taken in time."""
    source = world.source
    retitle(source)
    await world.sync("delta")
    source.users["u1"].attributes["accountEnabled"] = False  # nobody tells that
    source.groups["g1"].members.pop("u2")
    assert (await world.sync("full")).status == "succeeded"
    assert "u1@x.com" in world.portal.picture()["all@grp"]
    world.clock.ahead += timedelta(hours=1)
    assert (await world.sync("delta")).status == "succeeded"
    assert world.portal.picture()["all@grp"] == {"u0@x.com", "u3@x.com", "u4@x.com"}


async def test_a_membership_that_delta_lost_again_is_seen_in_time(world: World) -> None:
    """The same of a membership: delta told that it began, and never that it ended."""
    source = world.source
    source.link("g1", "u5")
    await world.sync("delta")
    source.groups["g1"].members.pop("u5")
    assert (await world.sync("full")).status == "succeeded"
    world.clock.ahead += timedelta(hours=2)
    assert (await world.sync("delta")).status == "succeeded"
    assert "u5@x.com" not in world.portal.picture()["all@grp"]


@pytest.mark.both_engines
@pytest.mark.parametrize("behind", BEHIND, ids="+".join)
async def test_a_replica_that_stays_behind_for_hours_heals_without_a_full_run(
    world: World, behind: tuple[Read, ...]
) -> None:
    """When even an old direct read was believed, it is read once more: the truth comes back by a delta run."""
    source = world.source
    source.freeze(*behind)
    disable(source)
    await world.sync("delta")
    right = show(world)
    world.clock.ahead += timedelta(hours=2)
    await world.sync("full")
    await world.sync("delta")
    source.thaw()
    world.clock.ahead += timedelta(hours=4)
    await world.sync("delta")
    assert show(world) == right
    assert world.changes(await world.sync("full")) == []


async def test_an_unchanged_delta_run_asks_each_stream_once_after_a_contradiction(world: World) -> None:
    """What waits for its time costs nothing until then."""
    source = world.source
    source.freeze()
    everything(source)
    await world.sync("delta")
    await world.sync("full")
    source.calls.clear()
    await world.sync("delta")
    assert sorted(source.calls) == ["groups d:", "users d:"]


async def test_a_full_read_without_contradictions_asks_no_more_than_before(world: World) -> None:
    """News first instead of where the streams stand, then lists and members, then what changed meanwhile."""
    source = world.source
    await world.sync("full")
    source.calls.clear()
    await world.sync("full")
    streams = [call for call in source.calls if call.split()[0] in ("users", "groups") and "list" not in call]
    kinds = [call for call in streams if not call.split()[1].isdigit() and "ids" not in call]
    assert sorted(kinds) == ["groups $count", "groups d:", "groups d:", "users $count", "users d:", "users d:"]
    assert not [call for call in source.calls if call.startswith(("user ", "group ", "members "))]


@pytest.mark.parametrize("event", [disable, rename, delete, create, leave, join])
async def test_one_object_read_by_a_replica_that_is_behind_undoes_nothing(
    world: World, event: Callable[[FakeSource], None]
) -> None:
    """``sync user`` after the delta that told it: the older answer is not taken."""
    source = world.source
    source.freeze()
    event(source)
    await world.sync("delta")
    right = show(world)
    for name in ("u1", "u9" if event is create else "u5"):
        await world.sync_one("user", name)
    await world.sync_one("group", "g1")
    assert show(world) == right
    source.thaw()
    for _ in range(2):
        await world.sync("delta")
    assert world.changes(await world.sync("full")) == []
    assert show(world) == right


async def test_one_object_that_is_newer_than_what_delta_told_is_taken(world: World) -> None:
    """Who was told of a moment ago and has changed again is read as asked for, also against frozen lists."""
    source = world.source
    retitle(source)
    await world.sync("delta")
    source.freeze("lists")
    source.users["u1"].attributes["jobTitle"] = "Chief"  # delta is late
    await world.sync_one("user", "u1")
    assert world.portal.accounts["u1@x.com"].job_title == "Chief"
    await world.sync("full")
    assert world.portal.accounts["u1@x.com"].job_title == "Chief"


@pytest.mark.both_engines
async def test_a_dead_link_does_not_let_lists_undo_what_was_told_before(world: World) -> None:
    """The stored link is gone, the words of the last hours are not."""
    source = world.source
    source.freeze("lists", "links")
    everything(source)
    await world.sync("delta")
    right = show(world)
    source.dead = True
    run = await world.sync("full")
    assert run.status == "succeeded", run.error
    assert show(world) == right
    source.dead = False
    source.thaw()
    assert world.changes(await world.sync("delta")) == []
    assert show(world) == right


async def test_another_selection_keeps_what_was_told_and_adds_the_rest(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rule that looks at another attribute leads to a full read; a frozen list only adds that attribute."""
    source = world.source
    source.freeze("lists", "links")
    everything(source)
    await world.sync("delta")
    right = show(world)
    monkeypatch.setattr(source, "fingerprint", lambda stream: f"other {stream}")
    run = await world.sync("delta")
    assert run.counts.get("users_read", 0) > 0
    assert show(world) == right


async def test_who_returns_is_asked_for_old_places_until_somebody_knows(world: World) -> None:
    """A person whom the store never had in a group is restored, and the replica of links does not know that yet."""
    source = world.source
    source.groups["g1"].members["u6"] = "user"  # from a time before the store
    source.freeze("links")
    source.restore_user("u6")
    await world.sync("delta")
    source.thaw()
    source.calls.clear()
    await world.sync("delta")
    assert sorted(source.calls) == ["groups d:", "users d:"]
    world.clock.ahead += timedelta(minutes=10)
    await world.sync("delta")
    assert "u6@x.com" in world.portal.picture()["all@grp"]
