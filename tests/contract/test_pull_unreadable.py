"""Entries that cannot be understood, in numbers: met, counted, told once a day, and the end of nothing."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from syncd.model.source import BadObject
from syncd.store.reports.status import Report
from tests.fakes.office import PLACES, hire, settle_in
from tests.fakes.world import World

WRONG = "its displayName is a number"


async def found_company(world: World) -> None:
    """The company in step with its portal, and twelve more whom no reading will understand."""
    settle_in(world.source)
    assert (await world.sync("full")).status == "succeeded"


pytestmark = pytest.mark.company(founded_by=found_company)


def spoil(world: World, *object_ids: str, **stated: Any) -> None:
    """Make objects unreadable; ``stated`` is what their entries say for certain."""
    for object_id in object_ids:
        world.source.bad[object_id] = BadObject(object_id, WRONG, **stated)


def add_unreadable(world: World, number: int = 12) -> None:
    """Let people come whose entries nobody understands."""
    for user in range(20, 20 + number):
        hire(world.source, user)
        spoil(world, f"u{user}")


@pytest.mark.parametrize("kind", ["full", "delta"])
async def test_newcomers_who_cannot_be_understood_cost_no_proof(world: World, kind: str) -> None:
    """They are met and skipped, and others who are gone are removed by the next full read."""
    add_unreadable(world)
    run = await world.sync(kind)  # type: ignore[arg-type]
    assert run.status == "succeeded", run.error
    assert run.counts["users_malformed"] >= 12
    world.source.users["u3"].state = "gone"
    run = await world.sync("full")
    assert run.status == "succeeded", run.error
    assert world.portal.picture()["all@grp"] == PLACES["all@grp"] - {"u3@x.com"}
    lines = Report(world.database, world.rules.policy).iterate("user")
    (line,) = [each for each in lines if each.source_id == "u20"]
    assert line.state == "skipped"
    assert "cannot be understood" in line.reason


@pytest.mark.both_engines
async def test_an_unchanged_delta_run_asks_each_stream_once_after_it(world: World) -> None:
    """Nobody reads them directly again and again."""
    add_unreadable(world)
    await world.sync("delta")
    world.source.calls.clear()
    assert (await world.sync("delta")).status == "succeeded"
    assert sorted(world.source.calls) == ["groups d:", "users d:"]


@pytest.mark.both_engines
@pytest.mark.parametrize("kind", ["full", "delta"])
async def test_who_is_stored_stays_as_stored(world: World, kind: str) -> None:
    """Accounts, names and places of people and groups who suddenly make no sense are left as they are."""
    before = dict(world.portal.accounts)
    for number in range(8):
        world.source.put_user(f"u{number}", jobTitle="Spoilt")
    for group in ("g1", "g2", "g3"):
        world.source.put_group(group, displayName="Spoilt")
    spoil(world, *(f"u{number}" for number in range(8)), "g1", "g2", "g3")
    for _ in range(2):
        run = await world.sync(kind)  # type: ignore[arg-type]
        assert run.status == "succeeded", run.error
    assert dict(world.portal.accounts) == before
    assert world.portal.picture() == PLACES
    world.source.bad.clear()
    await world.sync("full")
    assert world.portal.accounts["u1@x.com"].job_title == "Spoilt"


@pytest.mark.both_engines
@pytest.mark.parametrize("kind", ["full", "delta"])
async def test_what_is_stated_for_certain_takes_effect(world: World, kind: str) -> None:
    """Disabled, removed and taken out of a group, although the rest of the entry makes no sense."""
    spoil(world, "u1", disabled=True)
    spoil(world, "g1", ended=(("members", "u2"),))
    world.source.put_user("u1", accountEnabled=False)
    world.source.unlink("g1", "u2")
    spoil(world, "u3")
    world.source.remove_user("u3")
    run = await world.sync(kind)  # type: ignore[arg-type]
    assert run.status == "succeeded", run.error
    assert world.portal.picture()["all@grp"] == {"u0@x.com", "u4@x.com"}


async def test_the_same_trouble_is_told_once_a_day_with_a_number(world: World) -> None:
    """One line for twelve entries in any number of runs; another reason is told at once, the old one a day later."""
    add_unreadable(world)

    async def hear(kind: str) -> list[tuple[int, list[str]]]:
        with capture_logs() as lines:
            await world.sync(kind)  # type: ignore[arg-type]
        told = [each for each in lines if each["event"] == "objects.malformed" and each["log_level"] == "warning"]
        return [(each["count"], sorted(each["reasons"])) for each in told]

    assert await hear("delta") == [(12, [WRONG])]
    assert await hear("full") == []
    world.source.put_user("u20", jobTitle="Again")
    assert await hear("delta") == []
    world.source.bad["u1"] = BadObject("u1", "its mail is a list")
    world.source.put_user("u1", jobTitle="Again")
    assert await hear("delta") == [(1, ["its mail is a list"])]
    world.clock.ahead += timedelta(days=1, minutes=1)
    assert await hear("full") == [(13, ["its displayName is a number", "its mail is a list"])]


@pytest.mark.both_engines
async def test_entries_without_an_id_may_be_anybody_who_was_not_met(world: World) -> None:
    """A list with entries that have no id: nobody is removed for them, and the read is proven all the same."""
    nameless = {f"u{number}": BadObject("", "it has no id") for number in range(1, 8)}
    world.source.bad.update(nameless)
    run = await world.sync("full")
    assert run.status == "succeeded", run.error
    assert world.portal.picture() == PLACES
    assert len(world.portal.accounts) == 8
