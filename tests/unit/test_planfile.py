"""The plan file itself: what it holds survives, and whatever was done to it is noticed."""

from __future__ import annotations

import json

import pytest

from syncd.errors import UnusablePlanFile
from syncd.plan.planfile import FileChange, Head, Part, RecordState, encode_plan, open_plan

HEAD = Head("portal.example", 7, "2026-01-01T00:00:00Z", "rules", {"users": Part(2, "ab")})
RECORDS = [RecordState("user", "ann@x"), RecordState("group", "g@x", "created", {"name": "Größe", "email": None})]
CHANGES = [
    FileChange("USERS", "create", "user", "ann@x", "", False, "u1", {}, {"name": "Ann"}, "", "", "", ""),
    FileChange(
        "LINKS", "link", "membership", "g@x", "ann@x", True, "g", {}, {}, "", "", "adoption_held", "its account waits"
    ),
]
LINES = list(encode_plan(HEAD, RECORDS, CHANGES))


def test_a_plan_file_gives_back_what_was_written_and_is_json_for_everybody_else() -> None:
    """Head, records and changes survive, in their order."""
    found = open_plan(lambda: LINES)
    assert found.head == HEAD
    assert list(found.iterate_records()) == RECORDS
    assert list(found.iterate_changes()) == CHANGES
    document = json.loads(b"".join(LINES))
    assert document["syncd_plan"] == 2
    assert [change["bps_id"] for change in document["changes"]] == ["ann@x", "g@x"]
    assert document["checksum"] == found.checksum


def test_an_empty_plan_is_a_plan() -> None:
    """Nothing to do is written and read like anything else."""
    lines = list(encode_plan(HEAD, [], []))
    assert json.loads(b"".join(lines))["changes"] == []
    assert list(open_plan(lambda: lines).iterate_changes()) == []


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([], "cut short"),
        ([b"hello\n"], "no plan of syncd"),
        ([b'{"changes": []}'], "no plan of syncd"),
        ([b'{"syncd_plan": 99,\n', *LINES[1:]], "newer syncd"),
        (LINES[:-1], "cut short"),
        (LINES[:4], "cut short"),
        ([*LINES[:3], *LINES[4:]], "checksum"),
        ([line.replace(b"Ann", b"Bob") for line in LINES], "checksum"),
        ([line.replace(b"portal.example", b"other.example") for line in LINES], "checksum"),
        ([*LINES, b"{}\n"], "behind its end"),
    ],
)
def test_a_file_that_is_not_as_it_was_written_is_refused_with_what_is_wrong(lines: list[bytes], said: str) -> None:
    """Cut, edited, foreign or from the future: none of them is applied."""
    with pytest.raises(UnusablePlanFile, match=said):
        open_plan(lambda: lines)


def test_a_change_of_an_unknown_phase_is_refused() -> None:
    """A file of another program may be well formed and still mean something else."""
    lines = list(
        encode_plan(HEAD, [], [FileChange("LATER", "create", "user", "a@x", "", False, None, {}, {}, "", "", "", "")])
    )
    entry = next(open_plan(lambda: lines).iterate_changes())
    with pytest.raises(UnusablePlanFile, match="LATER"):
        entry.make_change(None)
