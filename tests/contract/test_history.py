"""The run history is bounded, and says what it lets go; the log of a run is, and says where all of it is kept."""

from __future__ import annotations

import pytest
import structlog

from syncd.model.target import Malformed, MalformedRecord
from syncd.store.reports.status import Report
from syncd.store.store import Store
from syncd.sync.apply.failure_log import LOGGED_PER_RUN
from tests.fakes.history import reopen_run
from tests.fakes.world import open_world

pytestmark = pytest.mark.both_engines


async def test_many_failures_of_a_run_are_a_few_lines_and_a_number(store_url: str) -> None:
    """The limit is that of a run and stands in the line; the store keeps each change with its reason."""
    world = open_world(store_url)
    names = [f"u{number}" for number in range(LOGGED_PER_RUN + 15)]
    for name in names:
        world.source.put_user(name, userPrincipalName=f"{name}@x.com", displayName=name, mail=f"{name}@x.com")
    await world.sync("full")
    world.source.put_group("g", displayName="All", mailNickname="all@grp")
    world.source.link("g", "u0")
    world.portal.refuse.update(f"{name}@x.com" for name in names)
    for name in names:
        world.source.put_user(name, displayName=f"{name} anew")
    for number in (2, 3):
        with structlog.testing.capture_logs() as logs:
            run = await world.sync()
        lines = [log for log in logs if log["event"] == "change.failed"]
        assert len(lines) == LOGGED_PER_RUN
        assert {log["source_id"] for log in lines} <= set(names)
        (summary,) = [log for log in logs if log["event"] == "changes.failed"]
        failed = run.counts["failed"]
        assert failed >= len(names)
        assert (summary["failed"], summary["not_logged"]) == (failed, failed - LOGGED_PER_RUN)
        assert summary["logged_per_run"] == LOGGED_PER_RUN
        assert f"runs show {number}" in summary["all_of_them"]
        kept = [change for change in world.changes(run) if change.endswith("failed")]
        assert len(kept) == failed
    world.database.close()


async def test_a_few_failures_are_told_one_by_one_with_ids_and_no_number(store_url: str) -> None:
    """Whom a change concerns can be looked up by the ids; nobody is named."""
    world = open_world(store_url)
    world.source.put_user("ann", userPrincipalName="ann@x.com", displayName="Ann", mail="ann@x.com")
    world.source.put_group("g", displayName="All", mailNickname="all@grp")
    await world.sync("full")
    world.source.link("g", "ann")
    world.portal.refuse.add("all@grp")
    with structlog.testing.capture_logs() as logs:
        await world.sync()
    (line,) = [log for log in logs if log["event"] == "change.failed"]
    assert (line["action"], line["object"]) == ("link", "membership")
    assert (line["source_id"], line["member_id"]) == ("g", "ann")
    assert not [log for log in logs if log["event"] == "changes.failed"]
    world.database.close()


async def test_records_of_the_portal_that_nobody_understands_are_counted_and_told(
    store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run's counts have how many, the log why; a person is named at the level debug only, a group always."""
    found = {
        "user": Malformed(25, (MalformedRecord("ann@corp.example", "Object has text that cannot be stored"),) * 20),
        "group": Malformed(1, (MalformedRecord("sales@corp.example", "Object missing required field `bpsId`"),)),
    }
    world = open_world(store_url)
    monkeypatch.setattr(world.portal, "find_malformed", found.__getitem__)
    with structlog.testing.capture_logs() as logs:
        run = await world.sync("full")
    assert run.status == "succeeded"
    assert (run.counts["portal_users_malformed"], run.counts["portal_groups_malformed"]) == (25, 1)
    warned = [line for line in logs if line["log_level"] == "warning"]
    assert "ann@corp.example" not in str(warned)
    lines = [line for line in warned if line["event"] == "record.malformed"]
    assert [line["object"] for line in lines] == ["user"] * 20 + ["group"]
    assert lines[-1]["bps_id"] == "sales@corp.example"
    (rest,) = [line for line in warned if line["event"] == "records.malformed"]
    assert (rest["object"], rest["count"], rest["logged"]) == ("user", 25, 20)
    assert "ann@corp.example" in str([line for line in logs if line["log_level"] == "debug"])
    world.database.close()


async def test_a_killed_run_ended_with_its_last_outcome(store_url: str) -> None:
    """However long nobody started syncd again: the run did not take that long."""
    world = open_world(store_url)
    world.source.put_user("ann", userPrincipalName="ann@x.com", displayName="Ann", mail="ann@x.com")
    finished = await world.sync("full")
    log = Store(world.database).runs
    reopen_run(world.database, finished.id)
    early = log.open.blocking("full", "cli", now=world.clock.now())
    assert log.interrupt_open.blocking() == [finished.id, early]
    left, killed = log.load_runs(2)
    assert killed.status == left.status == "interrupted"
    assert killed.finished_at is not None
    assert killed.started_at < killed.finished_at <= (finished.finished_at or killed.started_at)
    assert left.finished_at == left.started_at
    world.database.close()


async def test_a_run_that_never_came_about_leaves_no_record(store_url: str) -> None:
    """While its record is there a run is open; until something was read there is nothing to report."""
    world = open_world(store_url)
    log, report = world.store.runs, Report(world.database, world.rules.policy)
    assert not await log.has_open()
    number = await log.open("delta", "cli", now=world.clock.now())
    assert await log.has_open()
    await log.discard(number)
    assert not await log.has_open()
    assert log.load_runs(1) == []
    assert report.is_unread()
    world.source.put_user("ann", userPrincipalName="ann@x.com", displayName="Ann", mail="ann@x.com")
    await world.sync("full")
    assert not report.is_unread()
    world.database.close()
