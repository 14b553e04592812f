"""What the administrator's screens are made of: who works, how the sides are, and what has a date."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from icalendar import Calendar

from syncd.cli.screen.ics import encode_calendar
from syncd.daemon.schedule import compute_next
from syncd.model.run import RunRecord, RunStatus
from syncd.plan.report.due import (
    Due,
    Leaving,
    deletes_any,
    list_deletions,
    tell_credential,
    tell_hold,
    tell_substitution,
)
from syncd.plan.report.sides import find_side
from syncd.store.reports.overview import find_role
from syncd.store.runs.daemons import DaemonRole, DaemonSeen
from tests.fakes.daemon import make_settings
from tests.fakes.rules import make_policy

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def _seen(role: DaemonRole) -> DaemonSeen:
    return DaemonSeen(role=role, host="h", pid=1, since=NOW)


@pytest.mark.parametrize(
    ("roles", "taken", "role"),
    [
        ([], False, "nobody"),
        ([], True, "command"),
        (["working"], True, "daemon"),
        (["working", "standby"], True, "daemon"),
        (["working"], False, "nobody"),  # it was killed: its word is still there, its lock is not
        (["standby"], True, "standby"),
        (["standby"], False, "standby"),
        (["working", "standby"], False, "standby"),
    ],
)
def test_who_works_is_told_by_the_lock_and_by_what_daemons_say(
    roles: list[DaemonRole], *, taken: bool, role: str
) -> None:
    """Neither alone is enough: a lock has no name, and a word outlives its daemon."""
    assert find_role([_seen(each) for each in roles], taken=taken) == role


def _run(status: RunStatus, *phases: str, error: str = "") -> RunRecord:
    return RunRecord(
        id=7,
        kind="delta",
        trigger="schedule",
        status=status,
        started_at=NOW,
        finished_at=NOW,
        phases=dict.fromkeys(phases, 1.0),
        error=error,
    )


def test_a_side_is_as_the_newest_run_found_it_that_talked_to_it() -> None:
    """A run that failed while it pulled says nothing of the portal; one that never began blames both."""
    wrote, no_pull, unopened = (
        _run("succeeded", "pull", "apply"),
        _run("failed", "pull", error="no way"),
        _run("failed", error="no secret"),
    )
    assert find_side("graph", [no_pull, wrote]).reason == "no way"
    assert find_side("bps", [no_pull, wrote]).state == "ok"
    assert {find_side(side, [unopened, wrote]).state for side in ("graph", "bps")} == {"failed"}
    assert find_side("bps", [_run("running"), _run("interrupted", "pull")]).state == "unknown"
    assert find_side("graph", []).at is None
    refused = _run("failed", "pull", "read portal", "plan", error="a group that is named is not there")
    assert find_side("bps", [refused, wrote]).state == "ok"
    assert find_side("graph", [refused, no_pull]).state == "ok"
    assert find_side("bps", [_run("failed", "read portal", "plan", "read portal members")]).state == "failed"


@pytest.mark.parametrize(
    ("changes", "any_one"),
    [
        ({}, False),
        ({"disabled_users": "delete"}, True),
        ({"deleted_users": "delete"}, True),
        ({"out_of_scope": "delete"}, True),
        ({"deleted_groups": "delete"}, True),
    ],
)
def test_leavers_are_looked_at_for_their_grace_only_where_one_is_deleted(
    changes: dict[str, str], any_one: bool
) -> None:
    """A large company has thousands of leavers; most policies delete none."""
    assert deletes_any(make_policy(**changes)) is any_one


@pytest.mark.parametrize(
    ("state", "choice", "days"), [("disabled", "delete", 30), ("disabled", "revoke", None), ("deleted", "delete", None)]
)
def test_a_grace_is_due_only_where_the_policy_deletes(state: str, choice: str, days: int | None) -> None:
    """A leaver who is kept for good has no date, nor one whom a rejection or the protect list keeps."""
    policy = make_policy(disabled_users=choice, deleted_users="revoke", grace=timedelta(days=30))
    leaving = Leaving(kind="user", bps_id="ann@x", since=NOW, state=state, why="disabled", stays=False)
    found = list_deletions([leaving], policy)
    assert [entry.at for entry in found] == ([] if days is None else [NOW + timedelta(days=days)])
    kept = Leaving(kind="user", bps_id="ann@x", since=NOW, state=state, why="disabled", stays=True)
    assert list_deletions([kept], policy) == []


def test_a_mode_that_removes_nothing_has_no_grace() -> None:
    """Whatever the policy of leavers says."""
    leaving = Leaving(kind="user", bps_id="ann@x", since=NOW, state="disabled", why="", stays=False)
    for mode in ("create_only", "upsert_only", "plan_only"):
        assert list_deletions([leaving], make_policy(mode=mode, disabled_users="delete")) == []


def test_the_next_time_of_an_interval_counts_from_the_last_run() -> None:
    """That of a cron line does not, and is told in the time zone of the schedule."""
    settings = make_settings("sqlite:///unused.db", schedule__full="0 2 * * *", schedule__delta="5m").schedule
    assert compute_next(settings, "delta", after=NOW) == NOW + timedelta(minutes=5)
    assert compute_next(settings, "full", after=NOW) == datetime(2026, 3, 3, 1, 0, tzinfo=UTC)


def _dates() -> list[Due]:
    return [
        Due(
            at=NOW, what="deletion", bps_id="żółw@x.example", detail="semi; comma, back\\slash\nand a line " + "ż" * 90
        ),
        tell_hold(41, NOW, 1),
        tell_substitution("ann@x.example", "ben@x.example", NOW),
        tell_credential("graph.certificate_file", NOW, now=NOW - timedelta(days=1)),
    ]


def test_a_calendar_is_read_back_as_it_was_meant() -> None:
    """By a library that knows the standard: every text and date, whatever characters are in it."""
    written = b"".join(encode_calendar(_dates(), now=NOW))
    events = Calendar.from_ical(written.decode()).walk("VEVENT")
    assert [str(event["DESCRIPTION"]) for event in events] == [entry.detail for entry in _dates()]
    assert [event.decoded("DTSTART") for event in events] == [entry.at for entry in _dates()]
    assert str(events[0]["SUMMARY"]) == "deletion: żółw@x.example"
    assert len({str(event["UID"]) for event in events}) == 4


def test_no_line_of_a_calendar_is_longer_than_the_standard_allows() -> None:
    """Seventy-five octets, and no character is torn."""
    lines = b"".join(encode_calendar(_dates(), now=NOW)).split(b"\r\n")
    assert max(len(line) for line in lines) <= 75
    assert all(line.decode() is not None for line in lines)


def test_a_date_that_moves_keeps_its_id() -> None:
    """So that a calendar that is read again moves the event, and does not show both."""
    first, second = (
        list(encode_calendar([Due(at=at, what="deletion", bps_id="a@x", key="a@x")], now=NOW))
        for at in (NOW, NOW + timedelta(days=3))
    )
    assert [line for line in first if line.startswith(b"UID")] == [line for line in second if line.startswith(b"UID")]
    assert first != second
