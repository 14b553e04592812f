"""What was kept long enough is let go in small steps, what is needed stays, and the chain of run records holds."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import structlog
from sqlalchemy import func, insert, select, update

from syncd.model.run import Retention
from syncd.store.runs import retention
from syncd.store.schema.tables import changes, link_history, orders, rejections, run_chain, runs
from syncd.store.store import Store
from syncd.sync.runs import Runs
from tests.fakes.rules import make_limits, make_rules
from tests.fakes.world import World, open_world

pytestmark = pytest.mark.both_engines

KEPT = Retention(runs=timedelta(days=30), history=timedelta(days=60))


def open_kept(store_url: str) -> World:
    """Return a world of three people in a group, that lets go what is older than a month."""
    world = open_world(store_url)
    world.runs = Runs(Store(world.database), world.clock, lambda now: False, retention=KEPT)
    for name in ("ann", "ben", "eve"):
        world.source.put_user(name, userPrincipalName=f"{name}@x.com", displayName=name, mail=f"{name}@x.com")
    world.source.put_group("g", displayName="G", mailNickname="g@grp")
    for name in ("ann", "ben", "eve"):
        world.source.link("g", name)
    return world


def list_runs(world: World) -> list[int]:
    """Return the runs that are there, oldest first."""
    return [run.id for run in reversed(world.store.runs.load_runs(100))]


def count(world: World, table: Any) -> int:
    """Return how many rows a table has."""
    return int(world.database.load_value(select(func.count()).select_from(table)))


async def test_runs_and_plans_go_when_they_are_old_and_the_chain_still_holds(store_url: str) -> None:
    """The line of the run tells how many; the last run that changed anything can still be undone."""
    world = open_kept(store_url)
    await world.sync("full")  # 1 changes everything
    await world.sync("full", write=False)  # 2 a plan
    world.source.unlink("g", "eve")
    await world.sync()  # 3 the last one that changes anything
    await world.sync()  # 4
    world.clock.ahead += timedelta(days=40)
    with structlog.testing.capture_logs() as logs:
        await world.sync("full")  # 5
    (finished,) = [log for log in logs if log["event"] == "run.finished"]
    assert (finished["pruned_runs"], finished["pruned_plans"]) == (2, 1)
    assert list_runs(world) == [3, 5]
    assert world.database.load_values(select(changes.c.run_id).distinct()) == [3]
    verdict = world.store.chain.verify()
    assert (verdict.broken, verdict.checked, verdict.unhashed) == ([], 2, 0)
    noted = verdict.head
    await world.sync()
    assert world.store.chain.verify(noted).has_noted is True
    assert world.store.chain.verify("0" * 64).has_noted is False
    world.database.close()


async def test_the_chain_is_cut_behind_what_was_let_go_and_the_anchor_says_where(store_url: str) -> None:
    """A longer cut than that is found; a head from before the cut is not confirmed any more."""
    world = open_kept(store_url)
    await world.sync("full")
    early = world.store.chain.load_head()
    for name in ("ann", "ben"):
        world.source.put_user(name, displayName=f"{name} anew")
        await world.sync()
    world.clock.ahead += timedelta(days=40)
    world.source.put_user("eve", displayName="Eve anew")
    await world.sync("full")
    assert list_runs(world) == [4]
    assert world.database.load_values(select(run_chain.c.kind).order_by(run_chain.c.seq)) == ["run", "pruned", "anchor"]
    assert world.store.chain.verify().broken == []
    assert world.store.chain.verify(early).has_noted is False
    await world.sync()
    with world.database.transaction() as connection:
        first = connection.scalar(select(func.min(run_chain.c.seq)))
        connection.execute(run_chain.delete().where(run_chain.c.seq == first))
    broken = world.store.chain.verify().broken
    assert {each.run_id for each in broken} == {4, None}
    assert any("no retention let it go" in each.what for each in broken)
    world.database.close()


async def test_what_is_needed_stays_however_old_it_is(store_url: str) -> None:
    """An order that nobody has carried out, a rejection that holds, and what was sent and never settled."""
    world = open_kept(store_url)
    for number in range(5):
        world.source.put_user("ann", displayName=f"Ann {number}")
        await world.sync("full" if number == 0 else "delta")
    with world.database.transaction() as connection:
        connection.execute(insert(orders).values(run_id=1, actions="[]", only="[]"))
        place = {"record_key": 999, "target_key": 0, "object": "user", "action": "adopt", "after": ""}
        connection.execute(insert(rejections).values(run_id=2, **place))
        connection.execute(update(changes).where(changes.c.run_id == 3).values(status="started"))
    world.clock.ahead += timedelta(days=40)
    await world.sync("full")
    assert list_runs(world) == [1, 2, 3, 5, 6]
    world.database.close()


async def test_what_is_held_stays_with_the_run_that_held_it_first(store_url: str) -> None:
    """The guard goes on naming that run; and the newest run over everything stays with all that it holds."""
    world = open_kept(store_url)
    world.rules = make_rules(limits=make_limits(max_removals=0, min_population=0, max_removal_percent=None))
    await world.sync("full")
    world.source.unlink("g", "eve")
    held = await world.sync("full")
    assert held.status == "held"
    world.rules = make_rules()
    for _ in range(8):
        world.clock.ahead += timedelta(days=5)
        assert (await world.sync("full")).status == "held"
    there = list_runs(world)
    assert held.id in there
    assert 3 not in there
    assert world.store.chain.verify().broken == []
    world.database.close()


async def test_a_large_run_goes_in_slices_and_a_kill_in_between_is_gone_on_with(
    store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each transaction deletes a bounded number of rows; a run that is half gone counts as let go, not as changed."""
    monkeypatch.setattr(retention, "ROWS_AT_ONCE", 2)
    world = open_kept(store_url)
    await world.sync("full")
    total = count(world, changes)
    world.source.put_user("ann", displayName="Ann anew")
    await world.sync()
    await world.sync("full")
    now = world.clock.now() + timedelta(days=40)
    keeping = world.store.retention
    assert keeping.prune_step.blocking(KEPT, now=now).more, "first the chain is told"
    assert count(world, changes) == total + 1
    assert keeping.prune_step.blocking(KEPT, now=now).changes == 2
    assert count(world, changes) == total - 1
    assert world.store.chain.verify().broken == []
    assert 1 in list_runs(world)
    steps = 0
    while keeping.prune_step.blocking(KEPT, now=now).more:
        steps += 1
        assert steps < 50
    assert 1 not in list_runs(world)
    assert world.store.chain.verify().broken == []
    world.database.close()


async def test_history_goes_when_it_is_over_for_long_and_what_lasts_never(store_url: str) -> None:
    """Nobody who is in a group now is forgotten, since whenever that is."""
    world = open_kept(store_url)
    await world.sync("full")
    world.source.unlink("g", "eve")
    await world.sync()
    assert count(world, link_history) == 1
    world.clock.ahead += timedelta(days=55)
    await world.sync("full")
    assert count(world, link_history) == 1
    world.clock.ahead += timedelta(days=10)
    await world.sync("full")
    assert count(world, link_history) == 0
    world.database.close()


async def test_a_run_without_anything_to_let_go_asks_once(store_url: str) -> None:
    """However much is kept."""
    world = open_kept(store_url)
    await world.sync("full")
    assert world.store.retention.prune_step.blocking(KEPT, now=world.clock.now()) == retention.Pruned()
    assert world.database.load_value(select(func.count()).select_from(runs)) == 1
    world.database.close()


async def test_a_clock_that_is_not_believed_lets_nothing_go(store_url: str) -> None:
    """Years ahead of both sides everything looks old; when the clock is right again, all is still there."""
    world = open_kept(store_url)
    await world.sync("full")
    for name in ("ann", "ben"):
        world.source.put_user(name, displayName=f"{name} anew")
        await world.sync()
    world.clock.wrong = timedelta(days=800)
    run = await world.sync("full")
    assert "clock is 800 days ahead" in run.error
    assert list_runs(world) == [1, 2, 3, 4]
    world.clock.wrong = timedelta()
    await world.sync("full")
    assert list_runs(world) == [1, 2, 3, 4, 5]
    world.database.close()
