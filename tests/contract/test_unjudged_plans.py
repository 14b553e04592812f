"""A run that ends before its plan is complete: nobody has judged what it has in the store, and it never speaks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from syncd.model.kinds import RECORD_KINDS
from syncd.model.run import Retention
from syncd.plan.planfile import open_plan
from syncd.store.db.markers import PLANNING
from syncd.store.reports.explain import Explanations
from syncd.store.reports.status import Report
from syncd.store.schema.tables import facts
from syncd.store.store import Store
from syncd.sync.planning.proposal import FromFile
from syncd.sync.runs import Runs
from tests.fakes.rules import make_limits, make_rules
from tests.fakes.world import World


class Killed(BaseException):
    """What nothing that a run does can catch."""


async def found_company(world: World) -> None:
    """Six people in a group; then four of them are disabled, and what they lose is held."""
    for number in range(6):
        world.source.put_user(f"u{number}", userPrincipalName=f"u{number}@x.com", displayName=f"U {number}")
    world.source.put_group("g", displayName="G", mailNickname="g@grp")
    for number in range(6):
        world.source.link("g", f"u{number}")
    await world.sync("full")
    world.rules = make_rules(limits=make_limits(max_removals=0))
    for number in range(4):
        world.source.put_user(f"u{number}", accountEnabled=False)
    assert (await world.sync()).status == "held"


pytestmark = [pytest.mark.company(founded_by=found_company), pytest.mark.both_engines(every=True)]


def tell(world: World) -> dict[str, Any]:
    """Return what is told of where people stand, and what is open of one who is held and of one who is not."""
    found: dict[str, Any] = {}
    report = Report(world.database, world.rules.policy, now=world.clock.now())
    for kind in RECORD_KINDS:
        found[kind] = Counter({state: 0 for state, _ in report.count(kind)})
        for (state, _), number in report.count(kind).items():
            found[kind][state] += number
    explanations = Explanations(world.database)
    for who in ("u0@x.com", "u4@x.com"):
        pending = explanations.explain(explanations.find(who)[0], now=world.clock.now()).pending
        found[who] = Counter((entry["action"], entry["outcome"]) for entry in pending)
    return found


def list_unjudged(world: World) -> list[str]:
    """Return the runs that are noted as never having come to a complete plan."""
    rows = world.database.load_rows(select(facts.c.name).where(facts.c.name.startswith(PLANNING)))
    return sorted(row[0].removeprefix(PLANNING) for row in rows)


@contextmanager
def killing(step: str = "pass_complete") -> Iterator[None]:
    """Kill what happens meanwhile when its plan is in the store, and the guard is about to look at it."""

    def die(*arguments: Any, **options: Any) -> Any:
        raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(f"syncd.sync.planning.planner.{step}", die)
        with pytest.raises(Killed):
            yield


@pytest.mark.parametrize("write", [True, False], ids=["sync", "plan"])
async def test_a_plan_that_nobody_judged_never_speaks(world: World, write: bool) -> None:
    """Not when another run has come to a complete plan, nor while the next one plans, nor when that is killed, too."""
    before = tell(world)
    assert before["user"]["held"] == 4
    assert before["u0@x.com"] == {("unlink", "held"): 1}
    with killing():
        await world.sync("full", write=write)
    assert tell(world) == before
    world.source.put_user("u5", displayName="New")
    assert world.changes(await world.sync_one("user", "u5")) == ["update user u5@x.com done"]
    assert tell(world) == before
    with killing():
        await world.sync("full")
    assert tell(world) == before
    assert list_unjudged(world) == ["3", "5"]
    assert (await world.sync("full")).status == "held"
    assert tell(world) == before


async def test_neither_does_that_of_a_run_over_one_object(world: World) -> None:
    """What the run over everything holds is told of that person."""
    before = tell(world)
    with killing():
        await world.sync_one("user", "u0")
    assert tell(world) == before


async def test_nor_beside_a_plan_from_a_file(world: World) -> None:
    """Beside it the runs since the last one that looked at everything speak, and those alone whose plan is judged."""
    world.source.put_user("u5", displayName="New")
    planned = await world.sync("delta", write=False)
    lines = world.make_file(planned)
    world.portal.accounts["u4@x.com"] = replace(world.portal.accounts["u4@x.com"], name="By hand")
    with killing():
        await world.sync("full")
    before = tell(world)
    await world.carry_out(FromFile(open_plan(lambda: lines)))
    assert tell(world) == before


async def test_creations_that_nobody_judged_were_not_begun(world: World) -> None:
    """A limit would not count again what an earlier run began to create: it never did."""
    world.rules = make_rules(limits=make_limits(max_removals=0, max_creation_percent=50, min_population=1))
    for number in range(6, 16):
        world.source.put_user(f"u{number}", userPrincipalName=f"u{number}@x.com", displayName=f"U {number}")
    with killing("pass_records"):
        await world.sync("full")
    run = await world.sync("full")
    assert run.status == "held"
    assert Counter(change.rsplit(" ", 1)[1] for change in world.changes(run) if "create" in change) == {"held": 10}


async def test_the_note_goes_with_the_run(world: World) -> None:
    """Nothing is left of a run that was kept long enough."""
    kept = Retention(runs=timedelta(days=30), history=timedelta(days=60))
    world.runs = Runs(Store(world.database), world.clock, lambda now: False, retention=kept)
    with killing():
        await world.sync("full")
    assert list_unjudged(world) == ["3"]
    world.rules = make_rules()
    await world.sync("full")
    world.clock.ahead += timedelta(days=40)
    await world.sync("full")
    assert await world.store.runs.load_run(3) is None
    assert list_unjudged(world) == []
