"""Rules over ``now``: whose day has come is planned anew, though nothing has changed in the tenant."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from syncd.errors import Interrupted
from syncd.model.kinds import RecordKind
from syncd.plan.cel.expressions import Expression
from syncd.plan.rules import FieldRule
from syncd.store.db.markers import SELECTED, save_marker
from syncd.store.desired.decisions import DesiredState
from syncd.store.desired.time_rules import TimeRules
from syncd.store.reports.due import load_due
from syncd.sync.planning.planner import Planner
from tests.fakes.rules import make_rules, make_scope
from tests.fakes.world import World

EMPLOYED = (
    "(user.employeeHireDate == null || timestamp(user.employeeHireDate) <= now)"
    " && (user.employeeLeaveDateTime == null || timestamp(user.employeeLeaveDateTime) > now)"
)


def tell(when: datetime) -> str:
    """Return a time as Graph writes it."""
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


async def found_company(world: World) -> None:
    """Twenty people of long standing, one who begins in three days, one who leaves in five; all in one group."""
    now = world.clock.now()
    for number in range(20):
        name = f"u{number}@x.com"
        world.source.put_user(f"u{number}", userPrincipalName=name, displayName=f"User {number}", mail=name)
    world.source.put_user("u18", employeeHireDate=tell(now + timedelta(days=3)))
    world.source.put_user("u19", employeeLeaveDateTime=tell(now + timedelta(days=5)))
    world.source.put_group("g1", displayName="All", mailNickname="all@grp", expirationDateTime=tell(now))
    for number in range(20):
        world.source.link("g1", f"u{number}")
    world.rules = make_rules(scope=make_scope(users=Expression(EMPLOYED)))
    assert (await world.sync("full")).status == "succeeded"


pytestmark = pytest.mark.company(founded_by=found_company)


async def test_a_delta_run_plans_those_whose_day_has_come(world: World) -> None:
    """Who begins comes, who leaves goes, each with the first run after the moment; nobody else is looked at."""
    seen: list[list[str]] = []
    for days in (0, 2, 3.01, 4, 5.01, 6):
        world.clock.ahead = timedelta(days=days)
        run = await world.sync("delta")
        assert run.status == "succeeded", run.error
        seen.append(world.changes(run))
    assert seen == [
        [],
        [],
        ["create user u18@x.com done", "link membership all@grp u18@x.com done"],
        [],
        ["unlink membership all@grp u19@x.com done"],
        [],
    ]
    assert world.changes(await world.sync("full")) == []


async def test_a_delta_run_says_what_a_full_one_would(world: World) -> None:
    """A person changed in the same round is decided once, by the new values and the new time."""
    world.clock.ahead = timedelta(days=3.01)
    world.source.put_user("u18", displayName="Newcomer")
    run = await world.sync("delta")
    assert "create user u18@x.com done" in world.changes(run)
    assert world.portal.accounts["u18@x.com"].name == "Newcomer"
    assert world.changes(await world.sync("full")) == []


async def test_a_dry_run_leaves_them_to_the_next_one(world: World) -> None:
    """What a plan has looked at is planned again by the run that writes."""
    world.clock.ahead = timedelta(days=3.01)
    planned = await world.sync("none", write=False)
    assert any(line.startswith("create user u18@x.com") for line in world.changes(planned))
    assert "create user u18@x.com done" in world.changes(await world.sync("delta"))


async def test_a_plan_from_the_store_is_refused_where_rules_look_at_what_was_not_read(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An attribute that was not read would count as empty, and everybody would seem to leave."""
    world.source.selected = ("department", "mail")
    await world.sync("full")
    monkeypatch.setattr(type(world.source), "fingerprint", lambda _self, stream: f"other {stream}")
    assert (await world.sync("none", write=False)).status == "succeeded"
    world.source.selected = ("mail",)
    assert (await world.sync("none", write=False)).status == "succeeded"
    world.source.selected = ("mail", "employeeHireDate")
    run = await world.sync("none", write=False)
    assert run.status == "failed"
    assert "the rules look at employeeHireDate of" in run.error
    assert "'syncd plan full'" in run.error
    assert world.changes(run) == []
    await world.sync("full")
    assert (await world.sync("none", write=False)).status == "succeeded"


@pytest.mark.both_engines
async def test_a_plan_from_a_store_of_an_older_version_warns(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has not noted what its objects were read with."""
    with world.database.transaction() as connection:
        for stream in ("users", "groups"):
            save_marker(connection, SELECTED + stream, None)
    with capture_logs() as logs:
        await world.sync("none", write=False)
    assert [line for line in logs if line["event"] == "checkpoint.unread"] == []
    monkeypatch.setattr(type(world.source), "fingerprint", lambda _self, stream: f"other {stream}")
    with capture_logs() as logs:
        await world.sync("none", write=False)
    assert {line["stream"] for line in logs if line["event"] == "checkpoint.unread"} == {"users", "groups"}


@pytest.mark.both_engines
async def test_groups_and_values_follow_the_time_too(world: World) -> None:
    """A group whose time is over leaves the scope, and a value made of the time is written."""
    title = FieldRule(expression=Expression("now < timestamp(user.employeeHireDate) ? 'to come' : 'here'"))
    mapping = world.rules.mapping
    world.rules = make_rules(
        scope=make_scope(groups=Expression("timestamp(group.expirationDateTime) + duration('48h') > now")),
        mapping=replace(mapping, user_fields={**mapping.user_fields, "job_title": title}),
    )
    await world.sync("full")
    assert world.portal.accounts["u18@x.com"].job_title == "to come"
    world.clock.ahead = timedelta(days=3.01)
    run = await world.sync("delta")
    assert "update user u18@x.com done" in world.changes(run)
    assert world.portal.accounts["u18@x.com"].job_title == "here"
    assert world.portal.picture() == {"all@grp": set()}
    assert world.changes(await world.sync("full")) == []


async def test_somebody_alone_is_decided_by_the_present_time(world: World) -> None:
    """``sync user`` looks at that person only, and leaves the others to the next run."""
    world.clock.ahead = timedelta(days=5.01)
    run = await world.sync_one("user", "u18@x.com")
    assert "create user u18@x.com done" in world.changes(run)
    assert not any("u19" in line for line in world.changes(run))
    assert "unlink membership all@grp u19@x.com done" in world.changes(await world.sync("delta"))


async def test_rules_without_now_are_not_asked_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a rule over time has a delta run walk through everybody, and only the kind that it is about."""
    walked: list[str] = []
    original = TimeRules.iterate_active

    def spy(self: TimeRules, kind: RecordKind) -> Iterator[list[tuple[int, dict[str, Any]]]]:
        walked.append(kind)
        return original(self, kind)

    monkeypatch.setattr(TimeRules, "iterate_active", spy)
    await world.sync("delta")
    assert walked == ["user"]
    walked.clear()
    world.rules = make_rules()
    await world.sync("full")
    await world.sync("delta")
    assert walked == []


async def test_a_run_that_is_broken_off_forgets_nobody(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whose day has come is planned by a later run, when the run that found that out did not get to it."""

    def stop(*args: object, **more: object) -> None:
        raise Interrupted("asked to stop")

    world.clock.ahead = timedelta(days=3.01)
    with monkeypatch.context() as patched:
        patched.setattr(Planner, "plan_records", stop)
        assert (await world.sync("delta")).status == "interrupted"
    world.clock.ahead = timedelta(days=4)
    assert "create user u18@x.com done" in world.changes(await world.sync("delta"))


async def test_a_clock_that_goes_back_takes_back_what_it_brought(world: World) -> None:
    """The rules are asked for both moments, in whatever order they come."""
    world.clock.ahead = timedelta(days=5.01)
    await world.sync("delta")
    assert "u19@x.com" not in world.portal.picture()["all@grp"]
    world.clock.ahead = timedelta(days=4)
    run = await world.sync("delta")
    assert "link membership all@grp u19@x.com done" in world.changes(run)


def foresee(world: World, days: float = 366) -> list[tuple[str, str, float]]:
    """Return what is due from the world's present on: what, whose, and in how many days."""
    now = world.clock.now()
    due = load_due(world.database, world.rules, now=now, until=now + timedelta(days=days))
    return [(each.what, each.bps_id, round((each.at - now).total_seconds() / 86_400, 1)) for each in due]


async def test_whose_day_comes_is_told_ahead(world: World) -> None:
    """Who begins and who leaves, on the day on which the runs carry it out; nobody else, and no more afterwards."""
    assert foresee(world) == [("start", "u18@x.com", 3.0), ("end", "u19@x.com", 5.0)]
    assert foresee(world, 4) == [("start", "u18@x.com", 3.0)]
    world.clock.ahead = timedelta(days=3.01)
    assert foresee(world) == [("end", "u19@x.com", 2.0)]
    world.clock.ahead = timedelta(days=6)
    assert foresee(world) == []


async def test_what_is_told_ahead_is_what_the_runs_do(world: World) -> None:
    """Of rules with durations, literal days and mapped values; only what would be seen is told."""
    begun = "user.employeeHireDate == null || timestamp(user.employeeHireDate) <= now"
    title = FieldRule(expression=Expression(f"{begun} ? 'here' : 'to come'"))
    mapping = world.rules.mapping
    until = world.clock.now() + timedelta(days=10)
    trial = (
        f"now < timestamp('{tell(until)}')"
        " && (user.employeeLeaveDateTime == null || now < timestamp(user.employeeLeaveDateTime) + duration('48h'))"
    )
    world.rules = make_rules(
        scope=make_scope(users=Expression(trial)),
        mapping=replace(mapping, user_fields={**mapping.user_fields, "job_title": title}),
    )
    world.source.put_user("u17", accountEnabled=False, employeeLeaveDateTime=tell(until - timedelta(days=1)))
    await world.sync("full")
    told = foresee(world)
    assert told[:2] == [("change", "u18@x.com", 3.0), ("end", "u19@x.com", 7.0)]
    # u17 is disabled, and time changes nothing for whoever is
    assert sorted(told[2:]) == sorted(("end", f"u{n}@x.com", 10.0) for n in (*range(17), 18))
    world.clock.ahead = timedelta(days=7.01)
    assert "unlink membership all@grp u19@x.com done" in world.changes(await world.sync("delta"))


async def test_a_group_whose_time_ends_is_told_ahead(world: World) -> None:
    """By its own rule, with its BPS id."""
    world.rules = make_rules(
        scope=make_scope(groups=Expression("timestamp(group.expirationDateTime) + duration('48h') > now"))
    )
    await world.sync("full")
    assert foresee(world) == [("end", "all@grp", 2.0)]


async def test_without_rules_over_time_nothing_is_walked_through(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What has no date by a rule costs `status` and `due` nothing."""

    def refuse(*_: object, **__: object) -> Iterator[Any]:
        raise AssertionError("everybody was read")

    world.rules = make_rules()
    monkeypatch.setattr(DesiredState, "iterate_users", refuse)
    assert foresee(world) == []
