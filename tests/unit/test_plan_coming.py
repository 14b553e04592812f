"""Whose day comes: at which instants a rule over ``now`` is asked, and what is found in between."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd.plan.cel.expressions import Expression
from syncd.plan.coming import find_turns, list_instants
from syncd.plan.passing_time import ask_rule

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
UNTIL = NOW + timedelta(days=366)


def turn(text: str, **attributes: Any) -> list[tuple[object, float]]:
    """Return what a rule says after each turn, and how many hours from now that begins."""
    rule = Expression(text)
    instants = list_instants((rule,), "user", attributes)
    found = find_turns(lambda at: ask_rule(rule, "user", attributes, now=at), instants, now=NOW, until=UNTIL)
    return [
        (ask_rule(rule, "user", attributes, now=at), round((at - NOW).total_seconds() / 3600, 2)) for _, at in found
    ]


@pytest.mark.parametrize(
    ("text", "attributes", "turns"),
    [
        ("timestamp(user.employeeHireDate) <= now", {"employeeHireDate": "2026-03-03T09:00:00Z"}, [(True, 24.0)]),
        ("timestamp(user.employeeHireDate) < now", {"employeeHireDate": "2026-03-03T10:00:00+01:00"}, [(True, 24.0)]),
        ("timestamp(user.employeeHireDate) <= now", {"employeeHireDate": "2026-03-01T09:00:00Z"}, []),
        ("timestamp(user.employeeHireDate) <= now", {"employeeHireDate": "2028-03-01T09:00:00Z"}, []),
        ("user.employeeHireDate == null || timestamp(user.employeeHireDate) <= now", {}, []),
        (
            "timestamp(user.employeeHireDate) - duration('1h30m') <= now && now < timestamp(user.employeeHireDate)",
            {"employeeHireDate": "2026-03-03T09:00:00Z"},
            [(True, 22.5), (False, 24.0)],
        ),
        (
            "now - timestamp(user.employeeHireDate) > duration('720h')",
            {"employeeHireDate": "2026-03-01T09:00:00Z"},
            [(True, 696.0)],
        ),
        ('now < timestamp("2026-03-02T10:00:00Z")', {}, [(False, 1.0)]),
        ("now.getFullYear() == 2026", {}, [(False, 7311.0)]),
        (
            "timestamp(user.onPremisesExtensionAttributes.extensionAttribute1) <= now",
            {"onPremisesExtensionAttributes": {"extensionAttribute1": "2026-03-03T09:00:00Z"}},
            [(True, 24.0)],
        ),
        ("timestamp(user.employeeHireDate) <= now", {"employeeHireDate": "9999-12-31T23:59:59Z"}, []),
    ],
)
def test_a_turn_is_found_to_the_second(
    text: str, attributes: dict[str, Any], turns: list[tuple[object, float]]
) -> None:
    """At the times of attributes and rules, put forward and back by durations, and in between by halving."""
    assert turn(text, **attributes) == turns


@given(st.integers(1, 365 * 86_400 - 2), st.integers(1, 365 * 86_400 - 2))
def test_a_span_of_employment_is_told_as_it_comes(start: int, length: int) -> None:
    """Whatever the two dates are, both are found, in their order."""
    begins, ends = NOW + timedelta(seconds=start), NOW + timedelta(seconds=start + length)
    found = turn(
        "timestamp(user.employeeHireDate) <= now && now < timestamp(user.employeeLeaveDateTime)",
        employeeHireDate=begins.isoformat(),
        employeeLeaveDateTime=ends.isoformat(),
    )
    hours = [round((each - NOW).total_seconds() / 3600, 2) for each in (begins, ends) if each < UNTIL]
    assert found == list(zip((True, False), hours, strict=False))
