"""Lists as files: what a spreadsheet shows is what the list says, and nothing in it runs."""

from __future__ import annotations

import csv
import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from openpyxl import load_workbook

from syncd.cli.screen.lists import Listing, list_options

NASTY = ['=HYPERLINK("http://x.example","y")', "+1", "-2+3", "@SUM(A1)", "\tx", "plain", "zażółć", "https://x.example"]
HEADINGS = ["name", "number", "when"]
MOMENT = datetime(2026, 3, 1, 2, 3, tzinfo=UTC)


def _make_rows() -> Iterator[tuple[object, ...]]:
    return ((text, number, MOMENT if number else None) for number, text in enumerate(NASTY))


def test_no_cell_of_a_workbook_is_a_formula(tmp_path: Path) -> None:
    """Opened by another library: texts are texts, numbers are numbers, and nothing is a link."""
    path = tmp_path / "list.xlsx"
    assert Listing(xlsx=path).export(HEADINGS, _make_rows)
    sheet = load_workbook(path).active
    assert sheet is not None
    rows = list(sheet.iter_rows(min_row=1))
    assert [cell.value for cell in rows[0]] == HEADINGS
    assert [row[0].value for row in rows[1:]] == NASTY
    assert {row[0].data_type for row in rows[1:]} == {"s"}
    assert not any(cell.hyperlink for row in rows for cell in row)
    assert [row[1].value for row in rows[1:]] == list(range(len(NASTY)))
    assert rows[2][2].value == "2026-03-01T02:03:00Z"


def test_no_cell_of_a_csv_file_runs(tmp_path: Path) -> None:
    """What a spreadsheet would take for a formula stands behind an apostrophe; all else is as it is."""
    path = tmp_path / "list.csv"
    assert Listing(csv=str(path)).export(HEADINGS, _make_rows)
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == HEADINGS
    assert [row[0] for row in rows[1:6]] == [f"'{text}" for text in NASTY[:5]]
    assert [row[0] for row in rows[6:]] == NASTY[5:]
    assert rows[1][1:] == ["0", ""]


def test_a_file_is_private_and_whole_or_not_there(tmp_path: Path) -> None:
    """It names people. A list that breaks off leaves what was there before."""

    def break_off() -> Iterator[tuple[object, ...]]:
        yield ("ann", 1, None)
        raise click.ClickException("the store is gone")

    for listing in (Listing(csv=str(tmp_path / "list.csv")), Listing(xlsx=tmp_path / "list.xlsx")):
        path = Path(listing.csv) if listing.csv else listing.xlsx
        assert path is not None
        path.write_text("before")
        with pytest.raises(click.ClickException):
            listing.export(HEADINGS, break_off)
        assert path.read_text() == "before"
        listing.export(HEADINGS, _make_rows)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["list.csv", "list.xlsx"]


def test_a_text_that_is_too_long_for_a_cell_says_so(tmp_path: Path) -> None:
    """It is not left out, and not cut without a mark; CSV has all of it."""
    text = "word " * 8000
    Listing(xlsx=tmp_path / "list.xlsx", csv=str(tmp_path / "list.csv")).export(["why"], lambda: [(text,)])
    sheet = load_workbook(tmp_path / "list.xlsx").active
    assert sheet is not None
    shown = str(sheet["A2"].value)
    assert (len(shown), shown[-1]) == (32_767, "…")
    assert text in (tmp_path / "list.csv").read_text(encoding="utf-8-sig")


def test_the_options_of_a_list_reach_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A limit counts rows, a file goes where it can be written, and - is stdout."""
    seen: list[Listing] = []

    @click.command()
    @list_options
    def show(listing: Listing) -> None:
        seen.append(listing)
        if not listing.export(HEADINGS, _make_rows):
            listing.print([(heading, 1) for heading in HEADINGS], _make_rows(), total=len(NASTY), more=": ask for more")

    runner = CliRunner()
    assert "6 more are not shown: ask for more" in runner.invoke(show, ["--limit", "2"]).stdout
    assert runner.invoke(show, ["--csv", "-", "--limit", "1"]).stdout.splitlines()[0] == "name,number,when"
    assert (seen[0].limit, seen[1].csv) == (2, "-")
    refused = runner.invoke(show, ["--xlsx", str(tmp_path / "missing" / "list.xlsx")])
    assert (refused.exit_code, "no folder" in refused.stderr) == (2, True)
