"""A stream that delta empties is held as a whole, as one that reads empty is, until a person says that it is true."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.fakes.office import PLACES, hire, settle_in
from tests.fakes.rules import make_policy
from tests.fakes.world import World


async def found_company(world: World) -> None:
    """The company in step with its portal; the guard has no limits, and what is deleted is deleted at once."""
    world.rules = replace(world.rules, policy=make_policy(deleted_users="delete", grace=timedelta()))
    settle_in(world.source)
    assert (await world.sync("full")).status == "succeeded"


pytestmark = pytest.mark.company(founded_by=found_company)


def remove_all(world: World, stream: str) -> None:
    """Let the tenant delete everything of a stream, one by one."""
    source = world.source
    for user_id in source.users if stream == "users" else ():
        source.remove_user(user_id)
    for group_id in source.groups if stream == "groups" else ():
        source.remove_group(group_id)


@pytest.mark.both_engines
@pytest.mark.parametrize("kind", ["delta", "full"])
@pytest.mark.parametrize("stream", ["users", "groups"])
async def test_a_stream_that_delta_empties_is_held_as_a_whole(world: World, stream: str, kind: str) -> None:
    """Nothing is removed, in that run and in every later one of any kind, and no grace begins."""
    remove_all(world, stream)
    run = await world.sync(kind)  # type: ignore[arg-type]
    assert run.status == "held", run.error
    assert run.counts[f"{stream}_emptied"] == 1
    assert "approve" in run.error
    for again in ("delta", "full", "delta"):
        assert (await world.sync(again)).status == "held"
    assert world.portal.picture() == PLACES
    assert len(world.portal.accounts) == 8


async def test_what_delta_tells_in_several_runs_is_held_at_the_last_one(world: World) -> None:
    """It is the last object that counts, whatever went before it."""
    for number in range(7):
        world.source.remove_user(f"u{number}")
    assert (await world.sync("delta")).status == "succeeded"
    world.source.remove_user("u7")
    assert (await world.sync("delta")).status == "held"
    assert set(world.portal.accounts) == {"u7@x.com"}


async def test_a_kill_before_the_end_of_the_pull_does_not_let_it_through(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That nobody is left is noted with the page that told it."""
    remove_all(world, "users")

    async def die() -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(type(world.store.directory), "load_unread", lambda self: die())
        with pytest.raises(KeyboardInterrupt):
            await world.sync("delta")
    assert (await world.sync("delta")).status == "held"
    assert world.portal.picture() == PLACES


@pytest.mark.both_engines
async def test_the_word_of_a_person_releases_it_and_the_next_run_acts_on_it(world: World) -> None:
    """Also a delta run, since every object is known to be deleted; and it is not held once more."""
    remove_all(world, "users")
    run = await world.sync("delta")
    assert world.store.decisions.believe_empty(["users"], run.id) == {"users": True}
    run = await world.sync("delta")
    assert run.status == "succeeded", run.error
    assert world.portal.accounts == {}
    assert (await world.sync("delta")).status == "succeeded"
    assert (await world.sync("full")).status == "succeeded"


async def test_when_somebody_is_there_again_everything_goes_on(world: World) -> None:
    """The restored return to their places, the others leave; what a person said before counts no more."""
    remove_all(world, "users")
    run = await world.sync("delta")
    world.source.restore_user("u3")
    assert (await world.sync("delta")).status == "succeeded"
    assert set(world.portal.accounts) == {"u3@x.com"}
    assert world.portal.picture()["all@grp"] == {"u3@x.com"}
    assert world.store.decisions.believe_empty(["users"], run.id) == {}
    world.source.remove_user("u3")
    assert (await world.sync("delta")).status == "held"


async def test_a_round_that_empties_and_fills_a_stream_is_no_emptied_one(world: World) -> None:
    """Everybody is replaced within one round, in any order of the pages."""
    hire(world.source, 9, manager=None)
    remove_all(world, "users")
    world.source.restore_user("u9")
    run = await world.sync("delta")
    assert run.status == "succeeded", run.error
    assert set(world.portal.accounts) == {"u9@x.com"}


async def test_additions_go_through_while_a_stream_is_held(world: World) -> None:
    """Groups are gone by the word of delta, and a newcomer gets an account all the same."""
    remove_all(world, "groups")
    await world.sync("delta")
    hire(world.source, 8)
    assert (await world.sync("delta")).status == "held"
    assert "u8@x.com" in world.portal.accounts
    assert world.portal.picture() == PLACES


def disable_all(world: World) -> None:
    """Let the tenant disable whoever is there."""
    for user_id, user in list(world.source.users.items()):
        if user.state == "active":
            world.source.put_user(user_id, accountEnabled=False)


async def grow(world: World) -> dict[str, set[str]]:
    """Have more people than a small company; return who is where."""
    for number in range(8, 25):
        hire(world.source, number)
    assert (await world.sync("delta")).status == "succeeded"
    return world.portal.picture()


@pytest.mark.both_engines
@pytest.mark.parametrize("kind", ["delta", "full"])
async def test_a_tenant_in_which_everybody_is_disabled_is_held_as_a_whole(world: World, kind: str) -> None:
    """Nobody works there any more, says the tenant: as good as an empty list, and nearly always a mistake."""
    before = await grow(world)
    disable_all(world)
    run = await world.sync(kind)  # type: ignore[arg-type]
    assert (run.status, run.counts["users_emptied"]) == ("held", 1), run.error
    assert "users who are not disabled" in run.error
    for again in ("delta", "full", "delta"):
        assert (await world.sync(again)).status == "held"
    assert world.portal.picture() == before
    world.source.put_user("u3", accountEnabled=True)
    run = await world.sync("delta")
    assert run.status == "succeeded", run.error
    assert {who for members in world.portal.picture().values() for who in members} == {"u3@x.com"}
    assert len(world.portal.accounts) == 25


async def test_that_everybody_is_disabled_is_true_when_a_person_says_so(world: World) -> None:
    """Then they leave their places, and what is told of them later holds nothing any more."""
    await grow(world)
    disable_all(world)
    run = await world.sync("delta")
    assert world.store.decisions.believe_empty(["users"], run.id) == {"users": True}
    assert (await world.sync("delta")).status == "succeeded"
    assert not any(world.portal.picture().values())
    world.source.put_user("u3", displayName="Another")
    assert (await world.sync("delta")).status == "succeeded"
    assert (await world.sync("full")).status == "succeeded"


async def test_the_few_people_of_a_small_company_may_all_be_disabled(world: World) -> None:
    """Each of them is said to be, and so many the guard would let pass by default: they leave their places."""
    disable_all(world)
    assert (await world.sync("delta")).status == "succeeded"
    assert not any(world.portal.picture().values())


async def test_when_the_last_who_work_are_gone_the_disabled_ones_do_not_make_it_less_empty(world: World) -> None:
    """A shared mailbox that stays is nobody who works there; the others are missing from a list that is counted."""
    await grow(world)
    world.source.put_user("u0", accountEnabled=False)
    assert (await world.sync("full")).status == "succeeded"
    before = world.portal.picture()
    for number in range(1, 25):
        world.source.remove_user(f"u{number}")
    assert (await world.sync("full")).status == "held"
    assert world.portal.picture() == before


async def test_a_plan_from_the_store_holds_what_runs_hold(world: World) -> None:
    """It asks the tenant nothing, and believes it no more than they did."""
    remove_all(world, "users")
    assert (await world.sync("delta")).status == "held"
    run = await world.sync("none", write=False)
    assert [each for each in world.changes(run) if each.startswith(("unlink", "delete", "revoke"))] == []


async def test_the_last_who_works_may_be_found_disabled_by_a_direct_reading(world: World) -> None:
    """A stream can be emptied by whatever is stored of it."""
    await grow(world)
    for number in range(24):
        world.source.put_user(f"u{number}", accountEnabled=False)
    assert (await world.sync("delta")).status == "succeeded"
    before = world.portal.picture()
    world.source.put_user("u24", accountEnabled=False)
    world.source.log["users"].pop()
    await world.sync_one("user", "u24@x.com")
    world.source.put_user("u23", displayName="Another")
    assert (await world.sync("delta")).status == "held"
    assert before["all@grp"] >= world.portal.picture()["all@grp"]


async def test_disabled_people_who_are_all_gone_are_held_once_more(world: World) -> None:
    """That nobody works there is not that nobody is there: each word of a person is about one of both."""
    await grow(world)
    disable_all(world)
    run = await world.sync("delta")
    assert world.store.decisions.believe_empty(["users"], run.id) == {"users": True}
    assert (await world.sync("delta")).status == "succeeded"
    world.clock.ahead += timedelta(hours=2)  # what delta has told lately would hold against a list
    remove_all(world, "users")
    world.source.log["users"].clear()
    run = await world.sync("full")
    assert (run.status, len(world.portal.accounts)) == ("held", 25), run.error
    assert world.store.decisions.believe_empty(["users"], run.id) == {"users": True}
    assert (await world.sync("delta")).status == "succeeded"
    assert world.portal.accounts == {}
