"""What is due, told by days."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from syncd.plan.report.due import Due, group_days

LATE = datetime(2026, 7, 5, 21, 30, tzinfo=UTC)
LATER = datetime(2026, 7, 5, 22, 30, tzinfo=UTC)


def test_a_day_is_one_of_the_readers_zone() -> None:
    """Half past eleven in the evening and half past midnight are two days in Warsaw, and one in Greenwich."""
    entries = [Due(at=at, what="deletion", bps_id=name) for at, name in ((LATER, "b"), (LATE, "a"), (LATER, "c"))]
    assert [(entry.bps_id, number) for entry, number in group_days(entries)] == [("a", 3)]
    in_warsaw = group_days(entries, ZoneInfo("Europe/Warsaw"))
    assert [(entry.bps_id, number) for entry, number in in_warsaw] == [("a", 1), ("b", 2)]


def test_what_concerns_no_record_keeps_its_name() -> None:
    """Two credentials that end on one day are two lines: each has its own setting, and its own way out."""
    ends = [Due(at=LATE, what="credential", detail=name, key=name) for name in ("graph.client_secret", "bps.secret")]
    assert sorted(entry.detail for entry, number in group_days(ends) if number == 1) == [
        "bps.secret",
        "graph.client_secret",
    ]
