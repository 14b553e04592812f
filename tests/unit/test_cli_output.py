"""What goes to stdout: documents that are valid however long, tables that lose nothing and steer no terminal."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import insert

from syncd.cli.screen.names import name_groups
from syncd.cli.screen.output import ROWS_SHOWN, Stream, format_time, print_json, print_line, print_table, take_shown
from syncd.store.inventory.bps_ids import intern_bps_ids
from syncd.store.schema.tables import desired_groups, target_groups
from tests.stores import open_migrated


def test_documents_are_written_entry_by_entry(capsys: pytest.CaptureFixture[str]) -> None:
    """The first entry is out before the second one exists."""
    seen: list[str] = []

    def entries() -> Iterator[object]:
        yield {"n": 1}
        seen.append(capsys.readouterr().out)
        yield {"n": "zażółć"}

    print_json({"id": 1, "changes": Stream(entries()), "empty": Stream([])})
    assert '{"n": 1}' in seen[0]
    assert json.loads(seen[0] + capsys.readouterr().out) == {
        "id": 1,
        "changes": [{"n": 1}, {"n": "zażółć"}],
        "empty": [],
    }


def test_a_document_may_be_an_array(capsys: pytest.CaptureFixture[str]) -> None:
    """Empty or not."""
    print_json(Stream([]))
    print_json(Stream([1, 2]))
    assert capsys.readouterr().out == "[]\n[\n  1,\n  2\n]\n"


def test_a_document_may_have_streams_within_its_entries(capsys: pytest.CaptureFixture[str]) -> None:
    """As the list of held runs has, each with its changes."""
    print_json(Stream([{"run": 1, "changes": Stream([{"n": 1}])}, {"run": 2}]))
    assert json.loads(capsys.readouterr().out) == [{"run": 1, "changes": [{"n": 1}]}, {"run": 2}]


def test_a_table_folds_what_is_long_and_keeps_its_columns(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a long table every row is there, under one heading, in columns of one width."""
    monkeypatch.setenv("COLUMNS", "60")
    number = print_table((("name", 1), ("why", 1)), ((f"n{i}", "x " * (i % 80)) for i in range(1200)))
    lines = capsys.readouterr().out.splitlines()
    assert number == 1200
    assert sum(line.startswith("name") for line in lines) == 1
    assert sum(line.count("x") for line in lines) == sum(i % 80 for i in range(1200))
    assert all(len(line) <= 60 for line in lines)


_GROUP = "6f1c9a2e-1111-2222-3333-444455556666@groups.example.com"


@pytest.mark.parametrize("columns", ["20", "60", "100", "140", "300"])
def test_no_id_is_ever_broken_and_no_line_is_longer_than_it_must_be(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    """However narrow the terminal: a word stands on one line, and only a word alone may stand out."""
    monkeypatch.setenv("COLUMNS", columns)
    headings = (("outcome", 3), ("object", 3), ("bps id", 8), ("member", 8), ("why", 12))
    why = "it is in the group, and " * 9
    print_table(
        headings, [("done", "membership", f"{_GROUP} (Sales)", "ann@x.example", why), ("a", "b", "c", "d", "e")]
    )
    lines = capsys.readouterr().out.splitlines()
    assert sum(_GROUP in line for line in lines) == 1
    assert sum("ann@x.example" in line for line in lines) == 1
    assert sum(line.count("group,") for line in lines) == 9
    assert all(len(line) <= int(columns) or len(line.split()) == 1 for line in lines if "(Sales)" not in line)
    assert all(line == line.rstrip() for line in lines)


def test_as_many_rows_as_there_is_room_for_stand_in_columns(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few long rows take nobody else out of line."""
    monkeypatch.setenv("COLUMNS", "60")
    short, other = ("P" * 5, "x" * 20, "active"), ("P" * 9, "x" * 18, "active")
    rows = [("P", "x" * 70, "active") if not n % 20 else other if n % 2 else short for n in range(60)]
    print_table((("name", 1), ("id", 1), ("state", 1)), rows)
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.index("active") == 33 for line in lines if "active" in line) == 57


def test_wide_characters_count_for_two(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the columns behind a Japanese name would not stand below one another."""
    monkeypatch.setenv("COLUMNS", "60")
    print_table((("name", 1), ("id", 1)), [("\u5c71\u7530", "one"), ("abcdef", "two")])
    lines = capsys.readouterr().out.splitlines()
    assert lines[2:] == ["\u5c71\u7530    one", "abcdef  two"]


def test_nothing_is_folded_in_a_pipe(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever searches for an id in a file finds it, however many columns stand before it."""
    monkeypatch.delenv("COLUMNS", raising=False)
    wide = tuple(f"{place:0>60}" for place in range(5))
    print_table(tuple((f"c{place}", 1) for place in range(5)), [wide])
    assert wide in {tuple(line.split()) for line in capsys.readouterr().out.splitlines()}


def test_groups_are_named_beside_their_ids(tmp_path: Path) -> None:
    """A group that the portal has by its name there, a wanted one by its name in the tenant, people by neither."""
    database = open_migrated(f"sqlite:///{tmp_path / 'store.db'}")
    with database.transaction() as connection:
        keys = intern_bps_ids(connection, ["G1@grp", "g2@grp", "ann@x.com"])
        connection.execute(insert(target_groups).values(key=keys["g1@grp"], name="Sales", status="Synchronized"))
        connection.execute(
            insert(desired_groups).values(key=7, state="wanted", reason="", principal_key=keys["g2@grp"], name="Staff")
        )
    rows = [
        ("unlink", "membership", "g1@GRP", "ann@x.com"),
        ("create", "group", "g2@grp", ""),
        ("update", "user", "ann@x.com", ""),
        ("delete", "group", "gone@grp", ""),
    ]
    shown = list(name_groups(database, rows, kind=1))
    database.close()
    assert [row[2] for row in shown] == ["g1@GRP (Sales)", "g2@grp (Staff)", "ann@x.com", "gone@grp"]
    assert [(*row[:2], *row[3:]) for row in shown] == [(*row[:2], *row[3:]) for row in rows]


def test_text_of_others_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """Escape sequences, line ends and markup are shown, not obeyed."""
    print_line("a\x1b[31mb\nc")
    print_table((("name", 1),), [("\x1b]0;x\x07[bold]y[/bold]\r",)])
    written = capsys.readouterr().out
    assert "\x1b" not in written
    assert "\r" not in written
    assert "[bold]y[/bold]" in written
    assert written.count("\n") == 4


def test_a_long_list_says_how_much_is_not_shown() -> None:
    """No silent cap."""
    rows, left = take_shown(iter([(number,) for number in range(ROWS_SHOWN + 5)]), ROWS_SHOWN + 5)
    assert (len(list(rows)), left) == (ROWS_SHOWN, 5)
    assert take_shown(iter([(1,)]), 1)[1] == 0


def test_times_are_utc_to_the_second() -> None:
    """None stays None."""
    assert format_time(datetime(2026, 3, 1, 2, 3, 4, 567, tzinfo=UTC)) == "2026-03-01T02:03:04Z"
    assert format_time(None) is None


def test_a_column_may_be_kept_whole_and_no_word_is_broken_where_there_are_none(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name of a check stays on one line; a row that is no row of columns is wrapped between words."""
    monkeypatch.setenv("COLUMNS", "50")
    said = "the list of users can be read, and so can that of the groups"
    print_table((("check", 0), ("detail", 2), ("remedy", 1)), [("portal users read", said, "do nothing of all that")])
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].startswith("portal users read  ")
    assert max(map(len, lines)) <= 50
    print_table((("check", 0), ("detail", 2), ("remedy", 1)), [("store", f"{'x' * 50} {said}", "do nothing")])
    told = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert "x" * 50 in told
    assert all(
        set(line.split()) <= {*said.split(), "x" * 50, "store", "do", "nothing", "check", "detail", "remedy"}
        for line in told
    )
    assert max(len(line) for line in told if "x" not in line) <= 50
