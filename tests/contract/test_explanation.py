"""What the store tells of one person or group, without asking either side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from syncd.errors import Unavailable
from syncd.model.run import Approval
from syncd.model.target import MembersResult, PortalGroup
from syncd.plan.cel.expressions import Expression
from syncd.plan.group_names import Remembered
from syncd.plan.planfile import open_plan
from syncd.plan.report.scope_verdicts import list_verdicts
from syncd.store.reports.explain import Explanation, Explanations
from syncd.store.reports.status import Report
from syncd.sync.planning.proposal import FromFile
from syncd.sync.planning.undo import Undo
from tests.fakes.rules import make_limits, make_policy, make_rules, make_scope
from tests.fakes.world import World


async def found_company(world: World) -> None:
    """A member in a nested group, a guest, and somebody whom the portal refuses."""
    source = world.source
    source.put_user("u1", userPrincipalName="ann@x.com", displayName="Ann", mail="ann@x.com", manager="u3")
    source.put_user("u2", userPrincipalName="g@x.com", displayName="Guest", mail="g@y.com", userType="Guest")
    source.put_user("u3", userPrincipalName="bad@x.com", displayName="Bad", mail="bad@x.com")
    source.put_group("g1", displayName="All", mailNickname="all@grp")
    source.put_group("g2", displayName="Sales", mailNickname="sales@grp")
    source.link("g2", "u1")
    source.link("g1", "g2", "group")
    source.link("g2", "u3")
    world.portal.refuse = {"bad@x.com"}
    await world.sync("full")


pytestmark = [pytest.mark.company(founded_by=found_company), pytest.mark.both_engines(every=True)]


def explain(world: World, wanted: str) -> Explanation:
    """Explain the one object that is meant."""
    explanations = Explanations(world.database)
    (found,) = explanations.find(wanted)
    return explanations.explain(found, now=world.clock.now())


@pytest.mark.parametrize("wanted", ["u1", "ANN@x.com", "Ann"])
async def test_a_person_is_found_by_id_name_and_bps_id(world: World, wanted: str) -> None:
    """Case does not matter."""
    explained = explain(world, wanted)
    assert explained.found.id == "u1"
    assert explained.desired is not None
    assert explained.desired["state"] == "wanted"
    assert [(item["name"], item["through"]) for item in explained.source["groups"]] == [
        ("All", "Sales"),
        ("Sales", None),
    ]
    assert explained.target is not None
    assert explained.target["groups"] == ["all@grp", "sales@grp"]
    assert {"create", "link"} <= {item["action"] for item in explained.outcomes}


async def test_a_guest_is_explained_by_the_rule_that_decided(world: World) -> None:
    """The reason names the setting."""
    explained = explain(world, "g@x.com")
    assert explained.desired is not None
    assert "scope.guests" in explained.desired["reason"]
    assert explained.target is None
    assert explained.outcomes == []


async def test_a_failing_person_shows_what_is_open_and_when_it_is_tried_again(world: World) -> None:
    """The portal's refusal, the next attempt, and the links that wait for it."""
    explained = explain(world, "bad@x.com")
    by_outcome = {item["outcome"]: item for item in explained.pending}
    assert "refuses" in by_outcome["failed"]["error"]
    assert by_outcome["failed"]["next_attempt_at"] is not None
    assert by_outcome["deferred"]["action"] in ("link", "update")


async def test_what_keeps_failing_is_tried_again_after_ever_longer_pauses_of_half_a_day_at_most(world: World) -> None:
    """Five minutes, twice that each time; what is solved is no failure any more, and a later one begins anew."""

    def wait() -> int:
        (failed,) = [item for item in explain(world, "bad@x.com").pending if item["outcome"] == "failed"]
        pause: timedelta = failed["next_attempt_at"] - world.clock.now()
        return round(pause.total_seconds() / 60)

    waits = [wait()]
    for _ in range(9):
        world.clock.ahead += timedelta(minutes=waits[-1])
        await world.sync("delta", retry_failed=False)
        waits.append(wait())
    assert waits == [5, 10, 20, 40, 80, 160, 320, 640, 720, 720]
    world.portal.refuse = set()
    await world.sync("delta")
    assert explain(world, "bad@x.com").pending == []
    world.portal.refuse = {"bad@x.com"}
    world.source.put_user("u3", displayName="Worse")
    await world.sync("delta")
    assert wait() == 5


async def test_a_refused_membership_names_its_next_attempt_at_the_person_and_at_the_group(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both sides of it are failing, in the lists and in the explanation, with the portal's words."""

    async def refuse(group_id: str, member_ids: Sequence[str]) -> MembersResult:
        return MembersResult(failed=tuple((member, "the portal minds") for member in member_ids))

    monkeypatch.setattr(world.portal, "add_members", refuse)
    world.source.put_user("u4", userPrincipalName="new@x.com", displayName="New", mail="new@x.com")
    world.source.link("g1", "u4")
    await world.sync("delta", retry_failed=False)
    for wanted in ("new@x.com", "All"):
        (failed,) = [item for item in explain(world, wanted).pending if item["outcome"] == "failed"]
        assert (failed["bps_id"], failed["target"], failed["error"]) == ("all@grp", "new@x.com", "the portal minds")
        assert failed["next_attempt_at"] is not None
        assert failed["next_attempt_at"] > world.clock.now()
    report = Report(world.database, world.rules.policy)
    people = {line.bps_id: line for line in report.iterate("user")}
    groups = {line.bps_id: line for line in report.iterate("group")}
    assert (people["new@x.com"].state, groups["all@grp"].state) == ("failing", "failing")
    assert "the portal minds (1 attempt, next attempt" in groups["all@grp"].reason
    assert groups["sales@grp"].state != "failing"


async def test_a_failure_that_the_tenant_solves_is_told_no_more(world: World) -> None:
    """Nobody wants the account any more: it is neither failing nor tried again."""
    world.source.put_user("u3", accountEnabled=False)
    await world.sync("delta")
    assert explain(world, "bad@x.com").pending == []
    lines = Report(world.database, world.rules.policy).iterate("user")
    assert {line.source_id: line.state for line in lines}["u3"] == "skipped"
    world.source.put_user("u3", accountEnabled=True)
    await world.sync("delta", retry_failed=False)
    (failed,) = [item for item in explain(world, "bad@x.com").pending if item["outcome"] == "failed"]
    assert failed["next_attempt_at"] - world.clock.now() < timedelta(minutes=6)


async def test_what_is_open_is_told_also_after_a_run_that_came_to_no_plan(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Graph is down: what the run before left open stands, in the lists and in the explanation."""
    before = explain(world, "bad@x.com").pending

    async def be_down(*_: object) -> None:
        raise Unavailable("Graph is down", status=503)

    monkeypatch.setattr(world.source, "fetch_page", be_down)
    run = await world.sync("delta", retry_failed=False)
    assert run.status == "failed"
    assert explain(world, "bad@x.com").pending == before
    assert {item["outcome"] for item in before} == {"failed", "deferred"}
    lines = {line.bps_id: line for line in Report(world.database, world.rules.policy).iterate("user")}
    assert lines["bad@x.com"].state == "failing"


async def test_what_fails_goes_on_failing_beside_a_plan_that_is_applied_from_a_file(world: World) -> None:
    """The file says nothing about it; what the file did is not open any more."""
    world.source.put_user("u1", displayName="Anne")
    lines = world.make_file(await world.sync("delta", write=False, retry_failed=False))
    applied = await world.carry_out(FromFile(open_plan(lambda: lines)))
    assert applied.status == "succeeded", applied.error
    (failed,) = [item for item in explain(world, "bad@x.com").pending if item["outcome"] == "failed"]
    assert failed["next_attempt_at"] is not None
    lines_of = {line.bps_id: line for line in Report(world.database, world.rules.policy).iterate("user")}
    assert lines_of["bad@x.com"].state == "failing"
    assert "1 attempt" in lines_of["bad@x.com"].reason
    assert [item["after"] for item in explain(world, "ann@x.com").pending if item["object"] == "user"] == [
        {"manager": "bad@x.com"}
    ]


async def test_the_manager_is_told_with_the_account_or_the_reason_why_there_is_none(world: World) -> None:
    """Somebody in scope, a guest, somebody who has left, and nobody."""

    def manager(wanted: str) -> Any:
        desired = explain(world, wanted).desired
        assert desired is not None
        return desired["manager"]

    assert manager("u1") == {
        "id": "u3",
        "name": "bad@x.com",
        "bps_id": "bad@x.com",
        "reason": "the manager has no account in the portal yet",
    }
    assert manager("u3") is None
    world.source.put_user("u1", manager="u2")
    await world.sync("delta")
    found = manager("u1")
    assert (found["name"], found["bps_id"]) == ("g@x.com", None)
    assert "not wanted in the portal: " in found["reason"]
    assert "scope.guests" in found["reason"]
    world.portal.groups["bad@x.com"] = PortalGroup(bps_id="bad@x.com", name="By hand", email="bad@x.com")
    world.source.put_user("u1", manager="u3")
    await world.sync("full")
    assert (manager("u1")["bps_id"], manager("u1")["reason"]) == (
        None, "the manager's BPS id bad@x.com belongs to a group of the portal",
    )  # fmt: skip


async def test_the_manager_that_is_told_is_the_one_that_the_portal_is_given(world: World) -> None:
    """While the portal still works on the account, once it is there, of a leaver who has one, and of one not ours."""

    def tell() -> tuple[Any, Any]:
        desired = explain(world, "u1").desired
        assert desired is not None
        return desired["manager"]["bps_id"], desired["manager"]["reason"]

    world.portal.refuse = set()
    world.portal.slow = True
    await world.sync("full")
    assert tell() == ("bad@x.com", "the portal still synchronises the manager's account")
    assert world.portal.accounts["ann@x.com"].manager is None
    world.portal.slow = False
    world.portal.accounts = {key: replace(a, status="Synchronized") for key, a in world.portal.accounts.items()}
    await world.sync("full")
    assert tell() == (world.portal.accounts["ann@x.com"].manager, None) == ("bad@x.com", None)
    world.source.put_user("u3", accountEnabled=False)
    await world.sync("full")
    assert tell() == (world.portal.accounts["ann@x.com"].manager, None) == ("bad@x.com", None)
    world.source.put_user("u3", userPrincipalName="+")
    await world.sync("full")
    assert tell() == (world.portal.accounts["ann@x.com"].manager, None) == ("bad@x.com", None)
    world.rules = make_rules(policy=make_policy(adopt="never"))
    world.portal.add_account("hand@x.com", name="By hand", email="hand@x.com")
    world.source.put_user("u5", userPrincipalName="hand@x.com", displayName="Hand", accountEnabled=False)
    world.source.put_user("u1", manager="u5")
    await world.sync("full")
    assert tell() == (world.portal.accounts["ann@x.com"].manager, None) == ("hand@x.com", None)


async def test_owners_are_told_on_both_sides(world: World) -> None:
    """Of a group its owners in the tenant, of a person the groups, whatever the portal has of them yet."""
    world.rules = replace(world.rules, mapping=replace(world.rules.mapping, owners=True))
    world.source.tracks_owners = True
    world.source.own("g2", "u1")
    world.source.own("g2", "u3")
    assert explain(world, "Sales").source["owners"] is None, "nobody has asked the tenant"
    await world.sync("full")
    assert [item["name"] for item in explain(world, "Sales").source["owners"]] == ["ann@x.com", "bad@x.com"]
    assert [item["name"] for item in explain(world, "u3").source["owns"]] == ["Sales"]
    assert explain(world, "All").source["owners"] == []


async def test_a_record_of_the_portal_alone_is_told_as_not_ours(world: World) -> None:
    """Made by hand, or the portal's own; an id that nobody has is nobody."""
    world.portal.add_account("robot@portal", name="Robot", email="robot@portal")
    world.portal.groups["handmade@grp"] = PortalGroup(bps_id="handmade@grp", name="By hand", email="h@grp")
    world.portal.members["handmade@grp"] = {"robot@portal": "robot@portal"}
    await world.sync("full")
    explanations = Explanations(world.database)
    assert explanations.find("robot@portal") == []
    robot, group = explanations.find_record(" ROBOT@portal"), explanations.find_record("handmade@grp")
    assert robot is not None
    assert group is not None
    assert (robot["kind"], robot["bps_id"], robot["ownership"]) == ("user", "robot@portal", "not ours")
    assert (group["kind"], group["fields"]["name"], group["ownership"]) == ("group", "By hand", "not ours")
    assert explanations.find_record("nobody@x.com") is None


async def test_what_a_run_over_one_object_solved_is_not_open_any_more(world: World) -> None:
    """The run over everything is older, and still has it as failed."""
    world.portal.refuse = set()
    solved = await world.sync_one("user", "bad@x.com")
    assert solved.status == "succeeded", solved.error
    assert [item for item in explain(world, "bad@x.com").pending if item["outcome"] == "failed"] == []


async def test_a_group_is_explained_with_its_members(world: World) -> None:
    """And an unknown name finds nothing."""
    explained = explain(world, "Sales")
    assert explained.found.kind == "group"
    assert explained.target is not None
    assert explained.target["members"] == ["ann@x.com"]
    assert Explanations(world.database).find("nobody") == []


async def test_the_rules_of_the_scope_are_told_one_by_one_with_the_path_that_led_there(world: World) -> None:
    """Which group let somebody in through which others, and what the other rules say."""
    explained = explain(world, "u1")
    scope = make_scope(
        include_groups=("Nobody", "All"),
        exclude_groups=("Sales",),
        users=Expression('user.displayName == "Ann"'),
        protect=frozenset({"ann@x.com"}),
    )
    verdicts = list_verdicts("user", explained.source["attributes"], explained.places, "ann@x.com", scope, named={})
    assert [(verdict.rule, verdict.says, verdict.path) for verdict in verdicts] == [
        ("scope.protect", "out", ()),
        ("scope.include_groups", "no say", ()),
        ("scope.include_groups", "in", ("All", "Sales")),
        ("scope.exclude_groups", "out", ("Sales",)),
        ("scope.users", "in", ()),
    ]
    named = {"all": Remembered(id="g2", called="Sales"), "sales": Remembered(id="g9", called="Sales")}
    moved = list_verdicts("user", explained.source["attributes"], explained.places, None, scope, named=named)
    assert [(verdict.rule, verdict.says, verdict.path) for verdict in moved[1:3]] == [
        ("scope.include_groups", "in", ("Sales",)),
        ("scope.exclude_groups", "no say", ()),
    ], "a name means the remembered group, whatever that is called now, and no other"
    nobody = list_verdicts("user", {"userType": "Guest"}, [], None, make_scope(include_groups=("All",)), named={})
    assert [(verdict.rule, verdict.says) for verdict in nobody] == [
        ("scope.guests", "out"),
        ("scope.include_groups", "out"),
    ]


async def test_a_circle_of_groups_is_explained_once(world: World) -> None:
    """The shortest way counts."""
    world.source.link("g2", "g1", "group")
    world.source.link("g1", "u1")
    await world.sync()
    assert [place.path for place in explain(world, "u1").places] == [("All",), ("Sales",)]
    assert explain(world, "Sales").source["contains"]["groups"] == [{"id": "g1", "name": "All"}]


async def test_what_was_changed_by_hand_and_what_was_rejected_is_told(world: World) -> None:
    """Beside the record: value by value, membership by membership; and what is not proposed again."""
    await world.portal.update_account("ann@x.com", {"name": "Annie"})
    world.clock.ahead += timedelta(hours=2)
    world.portal.members["all@grp"].pop("ann@x.com")
    world.rules = make_rules(policy=make_policy(drift="report"), limits=make_limits(max_removals=0))
    await world.sync("full")
    explained = explain(world, "u1")
    assert explained.target is not None
    assert explained.target["by_hand"] == [
        {"field": "name", "ours": "Ann", "theirs": "Annie", "accepted": False},
        {"field": "member of", "ours": "all@grp", "theirs": None, "accepted": False},
    ]
    world.source.put_user("u1", accountEnabled=False)
    run = await world.sync()
    assert [item["outcome"] for item in explain(world, "u1").pending] == ["held"]
    world.store.decisions.reject(Approval(run_id=run.id))
    rejected = explain(world, "u1").rejected
    assert [(item["action"], item["bps_id"], item["target"]) for item in rejected] == [
        ("unlink", "sales@grp", "ann@x.com")
    ]


async def test_what_an_undo_holds_is_open_until_it_expires(world: World) -> None:
    """Nobody plans it anew."""
    world.rules = make_rules(limits=make_limits(max_removals=0))
    await world.carry_out(Undo(run_id=1))
    held = [item for item in explain(world, "u1").pending if item["outcome"] == "held"]
    assert {(item["action"], item["object"]) for item in held} == {("unlink", "membership")}
    world.clock.ahead += timedelta(days=8)
    assert not [item for item in explain(world, "u1").pending if item["outcome"] == "held"]


async def test_a_part_of_a_name_lists_whom_it_may_mean(world: World) -> None:
    """With names and states; an exact name wins over parts of others."""
    world.source.put_user("u9", userPrincipalName="anna@x.com", displayName="Anna", mail="anna@x.com")
    await world.sync()
    found = Explanations(world.database).find("an")
    assert [(item.name, item.state) for item in found] == [("Ann", "active"), ("Anna", "active")]
    assert [item.name for item in Explanations(world.database).find("ann")] == ["Ann"]
