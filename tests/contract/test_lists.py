"""What the store is asked for lists: chosen, ordered and summed up by the database, in both of them."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

from syncd.model.kinds import RECORD_KINDS
from syncd.model.reason import Cause
from syncd.store.reports.change_summary import load_summary
from syncd.store.reports.status import Report
from syncd.store.runs.runlog import Chosen
from syncd.sync.passage import pass_complete
from tests.fakes.rules import make_limits, make_rules
from tests.fakes.world import World


async def found_company(world: World) -> None:
    """Six people in two groups; then four of them are disabled, and what they lose is held."""
    for number in range(6):
        world.source.put_user(f"u{number}", userPrincipalName=f"u{number}@x.com", displayName=f"U {number}")
    for group, members in (("g1", 6), ("g2", 2)):
        world.source.put_group(group, displayName=group.upper(), mailNickname=f"{group}@grp")
        for number in range(members):
            world.source.link(group, f"u{number}")
    await world.sync("full")
    world.rules = make_rules(limits=make_limits(max_removals=0))
    for number in range(4):
        world.source.put_user(f"u{number}", accountEnabled=False)
    assert (await world.sync()).status == "held"


pytestmark = [pytest.mark.company(founded_by=found_company), pytest.mark.both_engines(every=True)]


async def test_changes_are_summed_up(world: World) -> None:
    """How many, whom, why, and the group that loses most, of how many members."""
    (unlinks,) = load_summary(world.database, 2, ["held"])
    assert (unlinks.action, unlinks.object, unlinks.number, unlinks.concerned) == ("unlink", "membership", 6, 4)
    assert [(cause, number) for cause, _, _, number in unlinks.reasons] == [(Cause.DISABLED.value, 6)]
    assert (unlinks.others, unlinks.values) == (0, ())
    assert unlinks.worst is not None
    assert (unlinks.worst.bps_id, unlinks.worst.name, unlinks.worst.lost, unlinks.worst.of) == ("g1@grp", "G1", 4, 6)
    done = load_summary(world.database, 1, ["done"])
    assert {(kind.action, kind.object): kind.number for kind in done} == {
        ("link", "membership"): 8,
        ("create", "user"): 6,
        ("create", "group"): 2,
    }
    assert [kind.object for kind in load_summary(world.database, 1, ["done"], ["link"])] == ["membership"]
    assert load_summary(world.database, 1, ["failed"]) == []


async def test_the_first_changes_come_by_what_they_do(world: World) -> None:
    """As many as are asked for, of the actions that are, and those that a list leaves apart do not count."""
    plans = world.store.plans
    first = plans.load_first(1, status="done", actions=None, at_most=3)
    assert [placed[0].change.object for placed in first] == ["user", "user", "user"]
    links = plans.load_first(1, status="done", actions=["link"], at_most=100)
    assert {placed[0].change.action for placed in links} == {"link"}
    assert len(links) == 8
    chosen = [placed for chunk in plans.iterate_changes(1, actions=["link"]) for placed in chunk]
    assert [placed[0].seq for placed in chosen] == [placed[0].seq for placed in links]
    assert plans.load_first(1, status="held", actions=None, at_most=9, apart=Cause.FOLLOWS_ADOPTION) == []


async def test_runs_are_chosen_and_counted(world: World) -> None:
    """By kind, status and time, newest first."""
    await world.sync(write=False)
    log, now = world.store.runs, world.clock.now()
    assert [run.id for run in log.iterate_runs()] == [3, 2, 1]
    assert [run.id for run in log.iterate_runs(Chosen(kinds=("full", "plan")))] == [3, 1]
    assert [run.id for run in log.iterate_runs(Chosen(statuses=("succeeded",)))] == [1]
    assert [run.id for run in log.iterate_runs(limit=2)] == [3, 2]
    assert list(log.iterate_runs(Chosen(since=now + timedelta(hours=1)))) == []
    assert log.count_runs(Chosen(since=now - timedelta(hours=1))) == {"succeeded": 1, "held": 2}


async def test_people_are_counted_as_they_are_listed(world: World) -> None:
    """Also those of whom more is known, and page by page."""
    await world.sync_one("user", "u4")
    report = Report(world.database, world.rules.policy, now=world.clock.now())
    for kind in ("user", "group"):
        lines = list(report.iterate(kind))
        assert report.count(kind) == Counter((line.state, line.reason) for line in lines)
        assert list(report.iterate(kind, at_once=2)) == lines


async def test_a_plan_says_where_people_stand_when_it_is_complete(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the next run makes its plan, who is held is held: the guard is asked at the end of it."""

    def count() -> dict[str, Counter[str]]:
        found: dict[str, Counter[str]] = {}
        for kind in RECORD_KINDS:
            found[kind] = Counter()
            for (state, _), number in Report(world.database, world.rules.policy).count(kind).items():
                found[kind][state] += number
        return found

    seen = []

    def look(*arguments: Any, **options: Any) -> Any:
        seen.append(count())
        assert world.store.plans.count_outcomes.blocking(arguments[1]), "there is a plan in the making"
        return pass_complete(*arguments, **options)

    before = count()
    assert before["user"]["held"] == 4
    monkeypatch.setattr("syncd.sync.planning.planner.pass_complete", look)
    assert (await world.sync("full")).status == "held"
    assert seen == [before]
    assert count() == before
    monkeypatch.undo()
    for number in range(4):
        world.source.put_user(f"u{number}", accountEnabled=True)
    assert (await world.sync()).status == "succeeded"
    assert count() == {"user": {"active": 6}, "group": {"active": 2}}
