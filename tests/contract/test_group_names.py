"""A name in the settings is looked up once and remembered by id: no second group of that name changes who gets in."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from syncd.model.run import PullKind, RunRecord
from syncd.plan.rules import LicenceRule
from tests.fakes.rules import make_rules, make_scope
from tests.fakes.world import World, open_world

pytestmark = pytest.mark.both_engines

KINDS: tuple[PullKind, ...] = ("delta", "full")
ROLES = ("include", "exclude", "licence")


@pytest.fixture
async def world(store_url: str) -> AsyncIterator[World]:
    """Four people, the first two of them in the group ``Łódź``, and one group of the portal for everybody."""
    structlog.reset_defaults()
    made = open_world(store_url)
    made.source.put_group("g1", displayName="Łódź", mailNickname="lodz@grp")
    made.source.put_group("all", displayName="All", mailNickname="all@grp")
    for number in range(4):
        name = f"u{number}"
        made.source.put_user(name, userPrincipalName=f"{name}@x.com", displayName=name, mail=f"{name}@x.com")
        made.source.link("all", name)
    for name in ("u0", "u1"):
        made.source.link("g1", name)
    yield made
    made.database.close()


@pytest.fixture
def logged() -> Iterator[list[dict[str, Any]]]:
    """What is logged."""
    with capture_logs() as found:
        yield found  # type: ignore[misc]  # the same mappings


def name_group(world: World, role: str, name: str) -> None:
    """Let one rule name a group."""
    if role == "licence":
        world.rules = make_rules(licences=(LicenceRule(name, "PowerUser"),))
    else:
        world.rules = make_rules(scope=make_scope(**{f"{role}_groups": (name,)}))


def find_covered(world: World, role: str) -> set[str]:
    """Return whom the portal shows to be in the group of the rule."""
    inside = world.portal.picture()["all@grp"]
    if role == "licence":
        return {bps_id for bps_id, held in world.portal.licences.items() if held}
    return inside if role == "include" else {f"u{number}@x.com" for number in range(4)} - inside


async def settle(world: World, role: str, name: str = "łódź") -> RunRecord:
    """Bring the portal in step under a rule over the group, which is named in another letter case."""
    name_group(world, role, name)
    run = await world.sync("full")
    assert run.status == "succeeded", run.error
    assert find_covered(world, role) == {"u0@x.com", "u1@x.com"}
    return run


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("role", ROLES)
async def test_a_second_group_that_takes_the_name_changes_nothing_and_is_told(
    world: World, role: str, kind: PullKind, logged: list[dict[str, Any]]
) -> None:
    """Who leaves the group still loses access, who is in the rival gets none, and the run says which is meant."""
    await settle(world, role)
    assert [each["group"] for each in logged if each["event"] == "group.remembered"] == ["g1"]
    world.source.put_group("g9", displayName="ŁÓDŹ", mailNickname="rival@grp")
    world.source.link("g9", "u3")
    world.source.unlink("g1", "u1")
    run = await world.sync(kind)
    assert run.status == "succeeded"
    assert find_covered(world, role) == {"u0@x.com"}
    assert "another group is named 'łódź', too (g9), and changes nothing: the name goes on to mean g1" in run.error
    told = [each for each in logged if each["event"] == "group.name_moved"]
    assert [(each["group"], each["others"]) for each in told] == [("g1", ["g9"])]
    for again in KINDS:
        assert "another group" not in (await world.sync(again)).error, "told once"
    assert world.store.desired.load_group_names()["łódź"].rivals == ("g9",)
    world.source.put_group("g9", displayName="Rival")
    await world.sync("delta")
    assert world.store.desired.load_group_names()["łódź"].rivals == ()


@pytest.mark.parametrize("role", ROLES)
async def test_a_renamed_group_stays_what_it_was(world: World, role: str) -> None:
    """Also when another group takes the old name at the same moment."""
    await settle(world, role)
    world.source.put_group("g1", displayName="Kraków")
    world.source.put_group("g9", displayName="Łódź", mailNickname="rival@grp")
    world.source.link("g9", "u3")
    run = await world.sync("delta")
    assert "the group that 'łódź' means (g1) has another name now, and is meant all the same" in run.error
    assert find_covered(world, role) == {"u0@x.com", "u1@x.com"}
    assert "another name" not in (await world.sync("full")).error
    assert find_covered(world, role) == {"u0@x.com", "u1@x.com"}


@pytest.mark.parametrize("heir", [False, True])
@pytest.mark.parametrize("role", ROLES)
async def test_without_the_remembered_group_nothing_is_planned(world: World, role: str, heir: bool) -> None:
    """Nobody can tell whether a group of the same name is meant: the id says it, and then the name is free again."""
    await settle(world, role)
    world.source.remove_group("g1")
    if heir:
        world.source.put_group("g9", displayName="Łódź", mailNickname="heir@grp")
        world.source.link("g9", "u3")
    before = len(world.portal.writes)
    for kind in KINDS:
        run = await world.sync(kind)
        assert (run.status, run.misconfigured) == ("failed", True)
        assert "the group that 'łódź' means (g1) is gone" in run.error
        assert ("g9" in run.error) == heir
    assert len(world.portal.writes) == before
    if heir:
        name_group(world, role, "g9")
        assert (await world.sync("full")).status == "succeeded"
        assert find_covered(world, role) == {"u3@x.com"}
        name_group(world, role, "Łódź")
        assert (await world.sync("delta")).status == "succeeded"
        assert world.store.desired.load_group_names()["łódź"].id == "g9", "looked up anew"


async def test_a_changed_name_is_looked_up_anew(world: World) -> None:
    """What a name meant is forgotten with it."""
    await settle(world, "include")
    world.source.put_group("g1", displayName="Kraków")
    name_group(world, "include", "Kraków")
    assert (await world.sync("delta")).status == "succeeded"
    assert set(world.store.desired.load_group_names()) == {"kraków"}
    world.source.put_group("g9", displayName="Łódź", mailNickname="rival@grp")
    world.source.link("g9", "u3")
    name_group(world, "include", "Łódź")
    assert (await world.sync("delta")).status == "succeeded"
    assert find_covered(world, "include") == {"u3@x.com"}


async def test_a_dry_run_under_other_settings_remembers_and_forgets_nothing(world: World) -> None:
    """What a plan tries out must not decide what the next run means."""
    await settle(world, "include")
    world.source.put_group("g9", displayName="Gdańsk", mailNickname="gdansk@grp")
    name_group(world, "include", "Gdańsk")
    assert (await world.sync("delta", write=False)).status == "succeeded"
    assert set(world.store.desired.load_group_names()) == {"łódź"}


async def test_a_name_that_several_bear_from_the_beginning_means_none(world: World) -> None:
    """Also when they differ in letter case only."""
    world.source.put_group("g9", displayName="ŁÓDŹ", mailNickname="rival@grp")
    name_group(world, "include", "Łódź")
    run = await world.sync("full")
    assert run.status == "failed"
    assert "2 groups are named 'Łódź'" in run.error
    assert world.portal.writes == []


async def test_an_id_is_no_name(world: World) -> None:
    """When the group of an id is deleted, nobody takes its place by naming a group like that."""
    await settle(world, "include", "g1")
    world.source.remove_group("g1")
    world.source.put_group("g9", displayName="g1", mailNickname="rival@grp")
    world.source.link("g9", "u3")
    run = await world.sync("delta")
    assert run.status == "failed"
    assert "the group g1 is deleted in the tenant" in run.error


async def test_a_restored_store_means_what_it_meant(world: World) -> None:
    """It comes from before the rival; the remembered id is in it."""
    await settle(world, "include")
    kept = world.store.desired.load_group_names()
    world.source.put_group("g9", displayName="Łódź", mailNickname="rival@grp")
    world.source.link("g9", "u3")
    await world.sync("full")
    world.store.desired.save_group_names(kept)
    run = await world.sync("full")
    assert "another group is named" in run.error
    assert find_covered(world, "include") == {"u0@x.com", "u1@x.com"}


async def test_a_lone_run_looks_at_names_as_any_other(world: World) -> None:
    """A run over one object neither loses nor moves what is remembered."""
    await settle(world, "include")
    world.source.put_group("g9", displayName="Łódź", mailNickname="rival@grp")
    world.source.link("g9", "u3")
    run = await world.sync_one("user", "u3@x.com")
    assert run.status == "succeeded", run.error
    assert find_covered(world, "include") == {"u0@x.com", "u1@x.com"}
    assert world.store.desired.load_group_names()["łódź"].id == "g1"
