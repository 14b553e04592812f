"""What the totals of changes count: events, and not the same standing fact in every run."""

from __future__ import annotations

import pytest

from syncd.model.run import RunRecord
from syncd.plan.rules import LicenceRule
from tests.fakes.rules import make_limits, make_rules
from tests.fakes.world import World


async def found_company(world: World) -> None:
    """Three people who are to get a licence each, of which the portal has one."""
    world.rules = make_rules(
        limits=make_limits(max_removal_percent=10, min_population=1), licences=(LicenceRule("Staff", "PowerUser"),)
    )
    world.portal.totals["PowerUser"] = 1
    world.source.put_group("g", displayName="Staff", mailNickname="staff@grp")
    for number in range(3):
        login = f"u{number}@x.com"
        world.source.put_user(f"u{number}", userPrincipalName=login, displayName=f"Person {number}", mail=login)
        world.source.link("g", f"u{number}")


pytestmark = [pytest.mark.company(founded_by=found_company), pytest.mark.both_engines]


async def count(world: World, run: RunRecord) -> dict[str, int]:
    """Return what the totals get of a run, by action, object and outcome."""
    found = await world.store.plans.count_events(run.id)
    return {" ".join(key): number for key, number in found.items() if number}


async def test_who_waits_for_a_seat_is_put_off_once(world: World) -> None:
    """Two are put off by the first run, and nothing more happens to them until somebody else waits or gets it."""
    first = await world.sync("full")
    assert (await count(world, first))["grant licence deferred"] == 2
    assert "grant licence deferred" not in await count(world, await world.sync("delta"))
    assert "grant licence deferred" not in await count(world, await world.sync("full"))
    world.source.put_user("u3", userPrincipalName="u3@x.com", displayName="Newcomer", mail="u3@x.com")
    world.source.link("g", "u3")
    assert (await count(world, await world.sync("delta")))["grant licence deferred"] == 1
    world.portal.totals["PowerUser"] = 4
    seated = await count(world, await world.sync("full"))
    assert seated["grant licence done"] == 3
    assert "grant licence deferred" not in seated


async def test_what_nobody_tried_is_no_event(world: World) -> None:
    """What is held, or was only planned, is in no total."""
    await world.sync("full")
    for number in range(2):
        world.source.put_user(f"u{number}", accountEnabled=False)
    held = await world.sync("delta")
    assert held.status == "held"
    assert not any("held" in key or "unlink" in key for key in await count(world, held))
    assert await count(world, await world.sync("full", write=False)) == {}
