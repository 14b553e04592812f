"""What is news, and what was told already."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

import pytest

from syncd.model.run import RunRecord
from syncd.plan.daily import Allowance
from syncd.plan.report.notifications import (
    Failing,
    notify_about_credential,
    notify_about_failing,
    notify_about_refusal,
    notify_about_run,
)

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
END = datetime(2026, 6, 1, tzinfo=UTC)


def judge(
    status: str, told: str = "", *, kind: str = "delta", held: Mapping[str, int] = MappingProxyType({})
) -> tuple[list[str], str]:
    """Return the events of a run, and what was told then; ``held``: how much, by action and object in one word."""
    record: Any = RunRecord(id=7, kind=kind, trigger="schedule", status=status, started_at=NOW, finished_at=NOW)  # type: ignore[arg-type]  # plain words in tests
    kinds = {(action, what): number for key, number in held.items() for action, _, what in [key.partition("-")]}
    news, told = notify_about_run(record, kinds, told, error="some reason")
    return [each.event for each in news], told


@pytest.mark.parametrize(
    ("status", "told", "held", "events", "told_then"),
    [
        ("succeeded", "", {}, [], ""),
        ("partial", "", {}, [], ""),
        ("failed", "", {}, ["failed"], "failed"),
        ("failed", "failed", {}, [], "failed"),
        ("failed", "held unlink-membership", {}, ["failed"], "failed"),
        ("interrupted", "failed", {}, [], "failed"),
        ("succeeded", "failed", {}, ["recovered"], ""),
        ("partial", "failed", {}, ["recovered"], ""),
        ("held", "", {"unlink-membership": 3}, ["held"], "held unlink-membership"),
        ("held", "held unlink-membership", {"unlink-membership": 9}, [], "held unlink-membership"),
        (
            "held",
            "held unlink-membership",
            {"unlink-membership": 9, "adopt-user": 1},
            ["held"],
            "held adopt-user unlink-membership",
        ),
        ("held", "held adopt-user unlink-membership", {"unlink-membership": 9}, [], "held unlink-membership"),
        ("partial", "", {"update-user": 3}, ["held"], "held update-user"),
        ("held", "failed", {"unlink-membership": 3}, ["recovered", "held"], "held unlink-membership"),
        ("held", "", {}, ["held"], "held source"),
        (
            "held",
            "held revoke-licence",
            {"revoke-licence": 1, "revoke-privilege": 2},
            ["held"],
            "held revoke-licence revoke-privilege",
        ),
        ("held", "held revoke-privilege", {"revoke-privilege": 4}, [], "held revoke-privilege"),
        ("succeeded", "held unlink-membership", {}, [], ""),
    ],
)
def test_a_state_is_told_once(status: str, told: str, held: dict[str, int], events: list[str], told_then: str) -> None:
    """The first failure, each kind that is withheld, and the recovery; never the same again and again."""
    assert judge(status, told, held=held) == (events, told_then)


def test_a_plan_is_no_news() -> None:
    """Whoever asked for it is looking."""
    assert judge("failed", "held unlink", kind="plan") == ([], "held unlink")


def test_a_message_says_what_helps_and_carries_the_same_as_fields() -> None:
    """A sentence for people, stable fields for machines."""
    record = RunRecord(id=7, kind="delta", trigger="schedule", status="held", started_at=NOW, finished_at=NOW)
    used = Allowance(action="unlink", object="membership", used=12, allowed=2000)
    (news,), _ = notify_about_run(
        record,
        {("unlink", "membership"): 1031},
        "",
        error="1031 times unlink, guard.max_removals allows 500",
        since=NOW,
        allowances=[used],
    )
    assert "unlink membership 1,031, the oldest since 2026-03-02 09:00 UTC" in news.text
    assert "In the last 24 hours: unlink of 12 memberships unasked, 2,000 are allowed." in news.text
    assert "'syncd approve 7' lets it through until 2026-03-09 09:00 UTC" in news.text
    assert news.subject == "1,031 changes wait for a decision (run 7)"
    assert news.fields == {
        "run": 7,
        "kind": "delta",
        "trigger": "schedule",
        "status": "held",
        "error": "1031 times unlink, guard.max_removals allows 500",
        "held": {"unlink": 1031},
        "held_objects": {"unlink membership": 1031},
        "held_since": "2026-03-02T09:00:00+00:00",
        "expires_at": "2026-03-09T09:00:00+00:00",
        "commands": ["syncd held", "syncd approve 7", "syncd reject 7"],
        "allowances": [{"action": "unlink", "object": "membership", "used": 12, "allowed": 2000}],
    }


def test_the_end_of_a_credential_is_told_at_five_stages() -> None:
    """30, 14, 7 and 1 days before, and at the end; each once, and anew for a new end."""
    told, stages = "", []
    for days in range(40, -4, -1):
        news, told = notify_about_credential("graph.certificate_file", END, now=END - timedelta(days=days), told=told)
        if news is not None:
            stages.append((days, news.fields["days_left"]))
    assert stages == [(30, 30), (14, 14), (7, 7), (1, 1), (0, 0)]
    assert notify_about_credential("graph.certificate_file", END, now=END, told=told)[0] is None
    later = END + timedelta(days=1)
    assert notify_about_credential("graph.certificate_file", later, now=END, told=told)[0] is not None


def fail(*keys: str) -> list[Failing]:
    """Return objects that keep failing."""
    return [Failing(key=key, object=key.rpartition(".")[2], cause="refused", since=NOW) for key in keys]


def test_what_keeps_failing_is_told_once_until_it_is_solved() -> None:
    """A second one is news, one that is solved is not, and one that begins anew is news again."""
    told, heard = "", []
    for failing in (
        fail("1.0.user"),
        fail("1.0.user"),
        fail("1.0.user", "2.0.group"),
        fail("2.0.group"),
        [],
        fail("1.0.user"),
    ):
        news, told = notify_about_failing(failing, told)
        heard.append(None if news is None else news.fields["failing"])
    assert heard == [{"user": 1}, None, {"group": 1, "user": 1}, None, None, {"user": 1}]


def test_the_message_about_failing_says_how_many_and_where_to_look() -> None:
    """Numbers by kind and cause, since when, and the command."""
    news, _ = notify_about_failing(fail("1.0.user", "3.0.user", "2.0.group"), "1.0.user")
    assert news is not None
    assert news.text.startswith("syncd: group 1, user 2 keep failing, 2 of them new, the oldest since 2026-03-02 09:00")
    assert (news.subject, news.fields["causes"]) == ("3 objects keep failing", {"refused": 3})
    assert "'syncd users --state failing'" in news.text


def test_a_refused_configuration_is_told_once_until_one_is_accepted() -> None:
    """The same problems after another SIGHUP are no news, others are."""
    told, heard = "", []
    for problems in (["a: is wrong"], ["a: is wrong"], ["b: is wrong", "c: too"], [], ["a: is wrong"]):
        news, told = notify_about_refusal(problems, "syncd.toml", told)
        heard.append(None if news is None else news.subject.rpartition(": ")[2])
    assert heard == ["1 problem", None, "2 problems", None, "1 problem"]
