"""A portal that trims, folds or cuts values: its spelling of what was written is no change by hand."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import pytest

from tests.fakes.world import World

pytestmark = pytest.mark.both_engines(every=True)
LONG = "Head of the Department of Everything That Has a Very Long Name"


def keep_as(world: World, spell: Callable[[str], str]) -> None:
    """Let the portal keep names and job titles of users as ``spell`` makes them."""
    for key, account in world.portal.accounts.items():
        title = spell(account.job_title or "") or None
        world.portal.accounts[key] = replace(account, name=spell(account.name or ""), job_title=title)


def count_written(world: World) -> int:
    """Return how many changes of records the portal was sent since it was last asked."""
    written = [write for write in world.portal.writes if write.endswith("@x.com")]
    world.portal.writes.clear()
    return len(written)


async def live(world: World, spell: Callable[[str], str], *, runs: int) -> list[int]:
    """Return how many updates each of so many nightly runs sends, with a portal that spells like that."""
    found = []
    for _ in range(runs):
        keep_as(world, spell)
        await world.clock.sleep(86_400)
        world.portal.writes.clear()
        assert (await world.sync("full")).status == "succeeded"
        found.append(count_written(world))
    return found


def hire(world: World) -> None:
    """Let three people begin."""
    world.source.put_group("g", displayName="All", mailNickname="all@grp")
    for name in ("ann", "ben", "cleo"):
        world.source.put_user(
            name, userPrincipalName=f"{name}@x.com", displayName=f" {name.title()}  Smith", mail=f"{name}@x.com",
            jobTitle=LONG,
        )  # fmt: skip
        world.source.link("g", name)


async def hire_many(world: World) -> None:
    """Let forty more begin, under a limit for updates."""
    world.rules = replace(world.rules, limits=replace(world.rules.limits, max_update_percent=60.0))
    hire(world)
    for number in range(40):
        world.source.put_user(f"u{number}", userPrincipalName=f"u{number}@x.com", displayName=f"Una {number}")
    await world.sync("full")


@pytest.mark.parametrize(
    "spell",
    [lambda text: " ".join(text.split()), str.lower, lambda text: text[:20].rstrip()],
    ids=["trimmed", "lower", "cut"],
)
async def test_a_spelling_that_comes_back_twice_is_what_we_wrote(world: World, spell: Callable[[str], str]) -> None:
    """It is written once more, and then never again; and no drift is told of it."""
    hire(world)
    await world.sync("full")
    first, *later = await live(world, spell, runs=4)
    assert first == 3
    assert later == [0, 0, 0]
    world.source.put_user("ann", jobTitle=f"Former  {LONG}")
    await world.sync("delta")
    assert world.portal.accounts["ann@x.com"].job_title == f"Former  {LONG}"
    assert await live(world, spell, runs=3) == [1, 0, 0]


async def test_a_portal_that_folds_everybody_trips_no_limit(world: World) -> None:
    """Of many people, too: what is wanted is what was written, so that it is no mistake in the mapping."""
    await hire_many(world)
    assert await live(world, str.lower, runs=3) == [43, 0, 0]


async def test_names_of_groups_are_spelled_as_well(world: World) -> None:
    """A group is read with its people after the list of groups: that reading forgets no spelling."""
    hire(world)
    world.source.put_group("g", displayName="All OF Us", mailNickname="all@grp")
    await world.sync("full")
    written = []
    for _ in range(4):
        world.portal.groups = {
            key: replace(group, name=(group.name or "").lower()) for key, group in world.portal.groups.items()
        }
        await world.clock.sleep(86_400)
        world.portal.writes.clear()
        assert (await world.sync("full")).status == "succeeded"
        written.append(len(world.portal.writes))
    assert written == [1, 0, 0, 0]


async def test_a_mistake_in_the_mapping_is_held_in_such_a_portal(world: World) -> None:
    """Other values than those that were written are counted, however alike they are."""
    await hire_many(world)
    keep_as(world, str.lower)
    for number in range(40):
        world.source.put_user(f"u{number}", displayName=f"UNA {number}")
    world.portal.writes.clear()
    run = await world.sync("full")
    assert (run.status, run.counts["held"], count_written(world)) == ("held", 40, 3)


@pytest.mark.parametrize("form", ["NFC", "NFD"])
async def test_another_form_of_unicode_is_no_difference_at_all(world: World, form: Literal["NFC", "NFD"]) -> None:
    """It is not even written once more, and a real change goes through, one by hand is set back."""
    hire(world)
    other: Literal["NFC", "NFD"] = "NFD" if form == "NFC" else "NFC"
    names = {name: unicodedata.normalize(other, f"Jos\xe9 {name}") for name in ("ann", "ben", "cleo")}
    for name, shown in names.items():
        world.source.put_user(name, displayName=shown, jobTitle=unicodedata.normalize(other, "G\xe4rtner"))
    await world.sync("full")

    def spell(text: str) -> str:
        return unicodedata.normalize(form, text)

    assert await live(world, spell, runs=3) == [0, 0, 0]
    world.source.put_user("ann", jobTitle=unicodedata.normalize(other, "B\xe4cker"))
    await world.sync("delta")
    assert spell(world.portal.accounts["ann@x.com"].job_title or "") == spell("B\xe4cker")
    assert await live(world, spell, runs=2) == [0, 0]
    world.portal.accounts["ann@x.com"] = replace(world.portal.accounts["ann@x.com"], job_title="Backer")
    await world.sync("full")
    assert spell(world.portal.accounts["ann@x.com"].job_title or "") == spell("B\xe4cker")


async def test_two_logins_that_differ_by_their_form_are_two_people(world: World) -> None:
    """Neither takes the record of the other, whichever goes."""
    one, two = "jos\xe9@x.com", "jose\u0301@x.com"
    for name, login in (("one", one), ("two", two)):
        world.source.put_user(name, userPrincipalName=login, displayName=name, mail="j@x.com")
    await world.sync("full")
    assert {one, two} <= set(world.portal.accounts)
    world.source.put_user("one", userPrincipalName="joe@x.com")
    await world.sync("full")
    assert world.portal.accounts[two].name == "two"


async def test_another_word_is_somebody_elses_doing(world: World) -> None:
    """However often it is put in by hand: it is set back each time."""
    hire(world)
    await world.sync("full")
    for _ in range(4):
        world.portal.accounts["ann@x.com"] = replace(world.portal.accounts["ann@x.com"], job_title="Boss")
        await world.clock.sleep(86_400)
        await world.sync("full")
        assert world.portal.accounts["ann@x.com"].job_title == LONG


async def test_a_change_by_hand_beside_a_spelling_is_seen(world: World) -> None:
    """What is known as a spelling is that one value, and no other."""
    hire(world)
    await world.sync("full")
    await live(world, str.lower, runs=3)
    world.portal.accounts["ann@x.com"] = replace(world.portal.accounts["ann@x.com"], job_title="boss")
    await world.clock.sleep(86_400)
    await world.sync("full")
    assert world.portal.accounts["ann@x.com"].job_title == LONG
