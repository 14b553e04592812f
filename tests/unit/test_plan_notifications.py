"""What is news, and what was told already."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

import pytest

from syncd.model.run import RunRecord
from syncd.plan.daily import Allowance
from syncd.plan.report.notifications import notify_about_credential, notify_about_run

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
END = datetime(2026, 6, 1, tzinfo=UTC)


def judge(
    status: str, told: str = "", *, kind: str = "delta", held: Mapping[str, int] = MappingProxyType({})
) -> tuple[list[str], str]:
    """Return the events of a run, and what was told then."""
    record: Any = RunRecord(id=7, kind=kind, trigger="schedule", status=status, started_at=NOW, finished_at=NOW)  # type: ignore[arg-type]  # plain words in tests
    news, told = notify_about_run(record, held, told, error="some reason")
    return [each.event for each in news], told


@pytest.mark.parametrize(
    ("status", "told", "held", "events", "told_then"),
    [
        ("succeeded", "", {}, [], ""),
        ("partial", "", {}, [], ""),
        ("failed", "", {}, ["failed"], "failed"),
        ("failed", "failed", {}, [], "failed"),
        ("failed", "held unlink", {}, ["failed"], "failed"),
        ("interrupted", "failed", {}, [], "failed"),
        ("succeeded", "failed", {}, ["recovered"], ""),
        ("partial", "failed", {}, ["recovered"], ""),
        ("held", "", {"unlink": 3}, ["held"], "held unlink"),
        ("held", "held unlink", {"unlink": 9}, [], "held unlink"),
        ("held", "held unlink", {"unlink": 9, "adopt": 1}, ["held"], "held adopt unlink"),
        ("held", "held adopt unlink", {"unlink": 9}, [], "held unlink"),
        ("partial", "", {"update": 3}, ["held"], "held update"),
        ("held", "failed", {"unlink": 3}, ["recovered", "held"], "held unlink"),
        ("held", "", {}, ["held"], "held source"),
        ("succeeded", "held unlink", {}, [], ""),
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
        {"unlink": 1031},
        "",
        error="1031 times unlink, guard.max_removals allows 500",
        since=NOW,
        allowances=[used],
    )
    assert "unlink 1,031, the oldest since 2026-03-02 09:00 UTC" in news.text
    assert "In the last 24 hours: unlink of 12 memberships unasked, 2,000 are allowed." in news.text
    assert "syncd approve 7" in news.text
    assert news.fields == {
        "run": 7,
        "kind": "delta",
        "trigger": "schedule",
        "status": "held",
        "error": "1031 times unlink, guard.max_removals allows 500",
        "held": {"unlink": 1031},
        "held_since": "2026-03-02T09:00:00+00:00",
        "allowances": [{"action": "unlink", "object": "membership", "used": 12, "allowed": 2000}],
    }


def test_the_end_of_a_credential_is_told_at_four_stages() -> None:
    """30, 7 and 1 days before, and at the end; each once, and anew for a new end."""
    told, stages = "", []
    for days in range(40, -4, -1):
        news, told = notify_about_credential("graph.certificate_file", END, now=END - timedelta(days=days), told=told)
        if news is not None:
            stages.append((days, news.fields["days_left"]))
    assert stages == [(30, 30), (7, 7), (1, 1), (0, 0)]
    assert notify_about_credential("graph.certificate_file", END, now=END, told=told)[0] is None
    later = END + timedelta(days=1)
    assert notify_about_credential("graph.certificate_file", later, now=END, told=told)[0] is not None
