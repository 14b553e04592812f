"""The portal's own synchronisation on the same people: seen, explained, and not fought over."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from syncd.errors import Conflict
from syncd.model.target import Account, Creation
from syncd.store.inventory.foreign_sync import load_blocked
from syncd.store.reports.status import Report
from tests.fakes.rules import make_limits, make_policy
from tests.fakes.world import World

HIDDEN = "ann@x.com"


def found_company(world: World) -> None:
    """Two people; the portal has a deactivated record of the one that the API does not show."""
    for name in ("ann", "ben"):
        world.source.put_user(name, userPrincipalName=f"{name}@x.com", displayName=name)
    world.source.put_group("g", displayName="All", mailNickname="all@grp")
    world.source.link("g", "ann")
    world.source.link("g", "ben")


pytestmark = pytest.mark.company(founded_by=found_company)


def hide(world: World) -> list[str]:
    """Refuse the one as the portal does; return the list to which each attempt is added."""
    create, attempts = world.portal.create_account, list[str]()

    async def refuse(account: Account, *, sent_before: bool = False) -> Creation:
        if account.bps_id == HIDDEN:
            attempts.append(account.bps_id)
            raise Conflict(
                "409; the id is in use by a record that the API does not show",
                status=409,
                sent=False,
                foreign_record=True,
            )
        return await create(account, sent_before=sent_before)

    world.portal.create_account = refuse
    return attempts


async def test_a_creation_that_is_refused_for_ever_is_tried_ever_more_rarely(world: World) -> None:
    """Three hours of delta runs every five minutes cost a handful of attempts; everybody else is synchronised."""
    attempts = hide(world)
    first = await world.sync("full", retry_failed=False)
    assert first.status == "partial"
    assert world.portal.picture()["all@grp"] == {"ben@x.com"}
    for _ in range(36):
        world.clock.ahead += timedelta(minutes=5)
        await world.sync("delta", retry_failed=False)
    assert 4 <= len(attempts) <= 7


async def test_it_is_counted_and_explained_until_it_is_solved(world: World) -> None:
    """The list of users gives the reason; what the check counts is gone when the portal takes the record."""
    create = world.portal.create_account
    hide(world)
    assert load_blocked(world.database).describe() == ""
    await world.sync("full")
    await world.sync("delta")
    blocked = load_blocked(world.database)
    assert (blocked.users, blocked.groups, blocked.attempts, blocked.examples) == (1, 0, 2, (HIDDEN,))
    assert blocked.describe().startswith("1 user refused since ")
    lines = {line.bps_id: line for line in Report(world.database, make_policy()).iterate("user")}
    assert lines[HIDDEN].state == "failing"
    assert "in use by a record that the API does not show" in lines[HIDDEN].reason
    world.portal.create_account = create
    assert (await world.sync("delta")).status == "succeeded"
    assert load_blocked(world.database).describe() == ""
    assert world.portal.picture()["all@grp"] == {HIDDEN, "ben@x.com"}


@pytest.mark.both_engines
async def test_another_failure_is_no_sign_of_it(world: World) -> None:
    """Only what speaks of such records counts."""
    world.portal.refuse.add(HIDDEN)
    await world.sync("full")
    assert load_blocked(world.database).users == 0


@pytest.mark.both_engines
async def test_a_group_of_thousands_takes_as_few_calls_as_there_can_be(world: World) -> None:
    """One call per batch in both directions, and none besides; who is not ready is put off, not failed."""
    for number in range(1000):
        world.source.put_user(f"u{number}", userPrincipalName=f"u{number}@x.com", displayName=f"User {number}")
        world.source.link("g", f"u{number}")
    world.source.put_group("other", displayName="Other", mailNickname="other@grp")
    world.source.page_size = 10_000
    run = await world.sync("full")
    assert run.status == "succeeded", run.error
    assert world.portal.writes.count("link all@grp") == 6  # 1002 members, 200 per request
    assert len(world.portal.members["all@grp"]) == 1002
    world.portal.writes.clear()
    world.source.remove_group("g")
    limits = make_limits(max_removals=None, max_removal_percent=None, max_daily_removal_percent=None)
    world.rules = replace(world.rules, limits=limits)
    await world.sync("delta")
    assert world.portal.writes == ["unlink all@grp"] * 6
    assert world.portal.members["all@grp"] == {}
