"""Runs that somebody asks the working daemon for through the store, and the daemons that say that they are up."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from syncd.clock import Clock
from syncd.store.db.database import Database, open_database
from syncd.store.db.lock import StoreLock
from syncd.store.reports.overview import load_overview
from syncd.store.runs.daemons import DaemonSeen
from syncd.store.store import Store
from tests.fakes.daemon import FakeParts
from tests.unit.test_daemon_service import living

pytestmark = pytest.mark.both_engines

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


@pytest.fixture
def database(store_url: str) -> Iterator[Database]:
    """A store of each kind."""
    made = open_database(store_url)
    yield made
    made.close()


def test_a_wish_is_served_once_and_can_be_taken_back_before(database: Database) -> None:
    """Who asked is known by the run; a wish that is served is no wish any more."""
    asked = Store(database).asked
    first, second = asked.ask("full", by="ann@desk", now=NOW), asked.ask("delta", by="ben@desk", now=NOW)
    assert [(wish.id, wish.kind, wish.by) for wish in asked.load_waiting.blocking()] == [
        (first, "full", "ann@desk"),
        (second, "delta", "ben@desk"),
    ]
    assert asked.find_run(first) is None
    asked.serve.blocking([first], 41)
    assert (asked.find_run(first), asked.load_askers(41)) == (41, ["ann@desk"])
    asked.serve.blocking([first, second], 42)
    assert (asked.find_run(first), asked.find_run(second)) == (41, 42)
    third = asked.ask("delta", by="ann@desk", now=NOW)
    assert asked.withdraw(third)
    assert not asked.withdraw(second)
    assert asked.load_waiting.blocking() == []


def test_a_daemon_that_says_nothing_for_long_is_gone(database: Database) -> None:
    """Killed or cut off, it cannot say so itself; and long after that nothing is kept of it."""
    daemons = Store(database).daemons
    seen = DaemonSeen(role="standby", host="h", pid=3, since=NOW, next_full=NOW, next_delta=None)
    daemons.say_up("one", seen, now=NOW)
    assert daemons.load_up(now=NOW + timedelta(seconds=60)) == [seen]
    assert daemons.load_up(now=NOW + timedelta(seconds=120)) == []
    working = DaemonSeen(role="working", host="h", pid=4, since=NOW)
    daemons.say_up("two", working, now=NOW)
    assert [each.role for each in daemons.load_up(now=NOW)] == ["working", "standby"]
    daemons.say_gone("two")
    assert daemons.load_up(now=NOW) == [seen]
    daemons.say_up("three", working, now=NOW + timedelta(days=2))
    assert daemons.load_up(now=NOW) == [working]


def test_the_lock_is_looked_at_without_being_taken(database: Database) -> None:
    """Whoever looks keeps nobody from it, and leaves no lock behind."""
    lock, other = StoreLock(database), StoreLock(database)
    assert not lock.is_taken()
    with other:
        assert lock.is_taken()
        assert lock.is_taken()
    assert not lock.is_taken()
    for _ in range(20):  # what is given back is free at once, not when a server has found out that a session ended
        with other:
            pass
        assert lock.try_acquire()
        lock.release()
        assert not other.is_taken()


async def test_a_daemon_does_what_was_asked_for_in_the_store(store_url: str) -> None:
    """All wishes that wait become one run, full beats delta, and each of them is told which run that was."""
    async with living(store_url, FakeParts(), schedule__on_start="none") as (_, log):
        await log.wait("daemon.working")
        store = Store(open_database(store_url))
        wishes = [store.asked.ask(kind, by="ann@desk", now=Clock().now()) for kind in ("delta", "full", "delta")]
        finished = await log.wait("run.finished")
        assert (finished["kind"], finished["trigger"]) == ("full", "cli")
        await _wait_until_served(store, wishes)
        assert {store.asked.find_run(wish) for wish in wishes} == {finished["run"]}
        assert all("ann" not in str(event) for event in log.events)
        overview = load_overview(store.runs.database, now=Clock().now())
        assert overview.role == "daemon"
        assert overview.daemons[0].next_full is not None
        store.runs.database.close()
    database = open_database(store_url)
    assert load_overview(database, now=Clock().now()).role == "nobody"
    assert Store(database).daemons.load_up(now=Clock().now()) == []
    database.close()


async def _wait_until_served(store: Store, wishes: list[int]) -> None:
    for _ in range(200):
        if all(store.asked.find_run(wish) for wish in wishes):
            return
        await Clock().sleep(0.05)
    pytest.fail("a wish was not answered")


async def test_a_wish_outlives_a_run_that_was_cut_short(store_url: str) -> None:
    """The daemon is stopped in the middle of it: the next one does what was asked for."""
    parts = FakeParts()
    parts.source.gate.clear()
    database = open_database(store_url)
    store = Store(database)
    wish = store.asked.ask("full", by="ann@desk", now=Clock().now())
    async with living(store_url, parts, schedule__on_start="none") as (service, _):
        await parts.source.asked.wait()
        service.stop("test")
        parts.source.gate.set()
    assert store.asked.find_run(wish) is None
    async with living(store_url, FakeParts(), schedule__on_start="none") as (_, log):
        await log.wait("run.finished")
        await _wait_until_served(store, [wish])
    database.close()


async def test_a_daemon_answers_what_is_only_asked(store_url: str) -> None:
    """A plan that writes nothing, and what was changed by hand; who asks the same is answered by the same run."""
    parts = FakeParts()
    async with living(store_url, parts, schedule__on_start="none") as (_, log):
        await log.wait("daemon.working")
        store, now = Store(open_database(store_url)), Clock().now()
        wishes = [store.asked.ask("plan delta", by="ann@desk", now=now, rules="rules") for _ in range(2)]
        await _wait_until_served(store, wishes)
        assert store.asked.find_run(wishes[0]) == store.asked.find_run(wishes[1])
        record = store.runs.load_run.blocking(store.asked.find_run(wishes[0]) or 0)
        assert record is not None
        assert (record.kind, record.trigger, record.status) == ("plan", "cli", "succeeded")
        planned = store.plans.count_outcomes.blocking(record.id)
        assert planned == {("create", "user", "planned"): 1}
        assert parts.portal.writes == []
        drift = store.asked.ask("drift", by="ann@desk", now=now, rules="rules")
        await _wait_until_served(store, [drift])
        answered = store.runs.load_run.blocking(store.asked.find_run(drift) or 0)
        assert answered is not None
        assert (answered.kind, answered.status) == ("drift", "succeeded")
        assert "read portal" in answered.phases
        store.runs.database.close()


async def test_a_question_about_other_rules_is_refused(store_url: str) -> None:
    """The answer would be about another configuration than the asker has read; it is told so, and nothing is run."""
    async with living(store_url, FakeParts(), schedule__on_start="none") as (_, log):
        await log.wait("daemon.working")
        store = Store(open_database(store_url))
        wish = store.asked.ask("plan none", by="ann@desk", now=Clock().now(), rules="others")
        for _ in range(200):
            if refusal := store.asked.find_refusal(wish):
                break
            await Clock().sleep(0.05)
        assert "other rules" in (refusal or "")
        assert store.asked.load_waiting.blocking() == []
        assert store.asked.find_run(wish) is None
        assert "run.started" not in log.names()
        store.runs.database.close()
