"""A portal that copies a changed record anew takes it into no group until that is done: it is waited for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import pytest

from syncd.errors import Forbidden, NotFound, RemoteError, Throttled, Timeout
from syncd.model.target import MembersResult, fold
from tests.fakes.world import World


async def found_company(world: World) -> None:
    """Three people in one of two groups."""
    for name in ("all", "new"):
        world.source.put_group(name, displayName=name, mailNickname=f"{name}@grp")
    for number in range(3):
        login = f"u{number}@x.com"
        world.source.put_user(f"u{number}", userPrincipalName=login, displayName=login, mail=login)
        world.source.link("all", f"u{number}")
    assert (await world.sync("full")).status == "succeeded"


pytestmark = pytest.mark.company(founded_by=found_company)


def copy_anew(world: World, monkeypatch: pytest.MonkeyPatch, *, attempts: int, members: Sequence[str]) -> list[str]:
    """Let the portal take these people into groups only at a later attempt; return the groups as they are asked for."""
    add, asked = world.portal.add_members, list[str]()

    async def add_members(group_id: str, member_ids: Sequence[str]) -> MembersResult:
        asked.append(group_id)
        late = {fold(name) for name in members} if asked.count(group_id) <= attempts else set()
        result = await add(group_id, [name for name in member_ids if fold(name) not in late])
        return MembersResult(result.done, tuple(name for name in member_ids if fold(name) in late), result.failed)

    monkeypatch.setattr(world.portal, "add_members", add_members)
    return asked


async def test_who_was_changed_by_the_run_is_waited_for(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """And asked for again without the others, who are in the group by then."""
    asked = copy_anew(world, monkeypatch, attempts=3, members=["U0@x.com"])
    world.source.put_user("u0", jobTitle="Clerk")
    for name in ("u0", "u1"):
        world.source.link("new", name)
    run = await world.sync("delta")
    assert (run.status, run.counts.get("deferred", 0)) == ("succeeded", 0)
    assert world.portal.picture()["new@grp"] == {"u0@x.com", "u1@x.com"}
    assert len(asked) == 4


async def test_so_is_everybody_of_a_group_that_was_changed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The group is copied anew then, and takes nobody."""
    copy_anew(world, monkeypatch, attempts=2, members=["u0@x.com", "u1@x.com"])
    world.source.put_group("new", displayName="newer")
    for name in ("u0", "u1"):
        world.source.link("new", name)
    run = await world.sync("delta")
    assert (run.status, run.counts.get("deferred", 0)) == ("succeeded", 0)
    assert world.portal.picture()["new@grp"] == {"u0@x.com", "u1@x.com"}


async def test_what_is_not_ready_in_time_is_put_off(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The waiting of a run is bounded, and the next run does it."""
    copy_anew(world, monkeypatch, attempts=10_000, members=["u0@x.com"])
    world.source.put_user("u0", jobTitle="Clerk")
    world.source.link("new", "u0")
    run = await world.sync("delta")
    assert (run.status, run.counts["deferred"]) == ("succeeded", 1)
    monkeypatch.undo()
    assert (await world.sync("delta")).status == "succeeded"
    assert world.portal.picture()["new@grp"] == {"u0@x.com"}


async def test_nobody_else_is_waited_for(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A portal that does not know somebody may never do: that is left to the next run at once."""
    asked = copy_anew(world, monkeypatch, attempts=10_000, members=["u0@x.com"])
    world.source.put_user("u1", jobTitle="Clerk")
    world.source.link("new", "u0")
    run = await world.sync("delta")
    assert (run.status, run.counts["deferred"], len(asked)) == ("succeeded", 1, 1)


async def test_who_came_in_before_a_call_was_broken_off_is_in_the_group(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refusal is no unclear answer, and nobody reads the group again: what the call says of itself counts."""
    add, remove = world.portal.add_members, world.portal.remove_members
    stop = Forbidden("not for you", status=403)

    async def break_off(change: Callable[..., Awaitable[MembersResult]], group: str, names: Sequence[str]) -> None:
        await change(group, names[:1])
        stop.done = frozenset(names[:1])
        raise stop

    for verb, change, tell in (("link", add, world.source.link), ("unlink", remove, world.source.unlink)):
        monkeypatch.setattr(world.portal, change.__name__, partial(break_off, change))
        for name in ("u0", "u1", "u2"):
            tell("new", name)
        run = await world.sync("delta")
        ended = [each for each in world.changes(run) if each.startswith(f"{verb} membership new@grp")]
        assert sorted(each.rpartition(" ")[2] for each in ended) == ["done", "failed", "failed"]
        monkeypatch.undo()
        assert (await world.sync("delta")).status == "succeeded"
    assert world.portal.picture()["new@grp"] == set()


@pytest.mark.parametrize(
    "error",
    [Throttled("too many", status=429, sent=False), Timeout("no answer came", sent=True), NotFound("gone", status=404)],
    ids=["refused", "lost", "not found"],
)
async def test_a_repetition_that_fails_says_nothing_of_those_who_are_in_the_group(
    world: World, monkeypatch: pytest.MonkeyPatch, error: RemoteError
) -> None:
    """They leave it again when the tenant says so, and who was waited for comes in with a later run."""
    asked = copy_anew(world, monkeypatch, attempts=10_000, members=["u0@x.com"])
    add = world.portal.add_members

    async def fail_again(group_id: str, member_ids: Sequence[str]) -> MembersResult:
        if asked:
            raise error
        return await add(group_id, member_ids)

    monkeypatch.setattr(world.portal, "add_members", fail_again)
    world.source.put_user("u0", jobTitle="Clerk")
    for name in ("u0", "u1", "u2"):
        world.source.link("new", name)
    run = await world.sync("delta")
    assert "link membership new@grp u1@x.com done" in world.changes(run)
    assert "link membership new@grp u0@x.com failed" in world.changes(run)
    monkeypatch.undo()
    world.source.unlink("new", "u1")
    assert (await world.sync("delta")).status == "succeeded"
    assert world.portal.picture()["new@grp"] == {"u0@x.com", "u2@x.com"}
