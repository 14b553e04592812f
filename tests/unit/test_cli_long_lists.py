"""Lists of many rows: what a terminal shows of them, what a pipe and a file get, and what is read for a page."""

from __future__ import annotations

import csv
import io
import json
import logging
import os
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import structlog
from openpyxl import load_workbook

from syncd.cli.main import program
from syncd.store.reports.status import Report
from tests.fakes.rules import make_limits, make_rules
from tests.fakes.world import Companies, World
from tests.unit.desk import document, fill, syncd
from tests.unit.test_cli_terminal import Terminal

GROUP = "6f1c9a2e-1b2c-4d5e-8f90-123456789abc@groups.example.com"
GONE = 42


def login(number: int) -> str:
    """Return a BPS id that is long."""
    return f"person.number.{number:02}@subsidiary.company.example"


@pytest.fixture(autouse=True)
def at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Work in an empty directory, with no setting in the environment, and leave the logging as it was."""
    for name in [name for name in os.environ if name.startswith("SYNCD_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


async def found_company(made: World) -> None:
    """Fifty people in one group, of whom forty-two are disabled: their unlinking is held."""
    made.source.put_group("staff", displayName="Staff", mailNickname=GROUP)
    for number in range(50):
        made.source.put_user(f"u{number}", userPrincipalName=login(number), displayName=f"P {number}")
        made.source.link("staff", f"u{number}")
    await made.sync()
    made.rules = make_rules(limits=make_limits(max_removals=0))
    for number in range(GONE):
        made.source.put_user(f"u{number}", accountEnabled=False)
    assert (await made.sync()).status == "held"


@pytest.fixture
async def world(tmp_path: Path, companies: Companies) -> AsyncIterator[World]:
    """That company, in the store that the commands look for."""
    made = await fill(tmp_path / "syncd.db", companies, founded_by=found_company)
    yield made
    made.database.close()


def check_screen(text: str) -> list[str]:
    """Return the lines of a screen of a hundred columns; none is longer, and no id is broken."""
    lines = text.splitlines()
    assert [line for line in lines if len(line) > 100] == []
    return lines


@pytest.mark.usefixtures("world")
async def test_what_is_held_begins_with_who_why_and_worst_hit() -> None:
    """The reason is said once above the people; the group is named once; all ids are whole."""
    shown = syncd("held").stdout
    lines = check_screen(shown)
    flat = " ".join(shown.split())
    assert f"{GONE} × unlink membership: {GONE} people; all disabled in the tenant; worst hit Staff ({GROUP})" in flat
    assert f"{GONE} of 50" in flat
    assert f"unlink membership, {GONE}: disabled in the tenant (accountEnabled is false)" in lines
    assert sum(GROUP in line for line in lines) == 2
    assert [line.strip() for line in lines if line.strip() in {login(n) for n in range(50)}] == [
        login(number) for number in range(GONE)
    ]
    cut = check_screen(syncd("held", "--limit", "5").stdout)
    assert sum("person.number" in line for line in cut) == 5
    assert any("37 more are not shown" in line for line in cut)


@pytest.mark.usefixtures("world")
async def test_a_terminal_shows_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looked at through an emulator of a real one, without a pager."""
    monkeypatch.setenv("PAGER", "cat")
    monkeypatch.setenv("TERM", "xterm")
    terminal = Terminal()
    try:
        terminal.take_over(monkeypatch)
        program.main(["held"], standalone_mode=False)
    finally:
        lines = terminal.close()
    assert lines[0].startswith("Run 2 holds changes until ")
    shown = [line for line in lines if "person.number" in line]
    assert len(shown) == GONE
    assert all(len(line) < 100 for line in lines)


@pytest.mark.usefixtures("world")
async def test_a_file_has_one_row_a_change_and_one_id_a_cell(tmp_path: Path) -> None:
    """Opened again by another library: the ids alone, the group's name beside them, and the run before all."""
    assert syncd("held", "--xlsx", "held.xlsx").stdout == ""
    sheet = load_workbook(tmp_path / "held.xlsx").active
    assert sheet is not None
    rows = [[cell.value for cell in row] for row in sheet.iter_rows()]
    assert rows[0] == ["run", "outcome", "action", "object", "bps id", "group name", "member", "what", "why"]
    assert len(rows) == GONE + 1
    assert rows[1][:7] == [2, "held", "unlink", "membership", GROUP, "Staff", login(0)]
    told = list(csv.reader(io.StringIO(syncd("runs", "show", "1", "--action", "create", "--csv", "-").stdout)))
    assert len(told) == 52
    assert {row[1] for row in told[1:]} == {"create"}
    people = list(csv.reader(io.StringIO(syncd("users", "--state", "held", "--csv", "-").stdout)))
    assert len(people) == GONE + 1
    assert people[1][:3] == ["P 0", login(0), "held"]


@pytest.mark.usefixtures("world")
@pytest.mark.parametrize(
    "command",
    [
        "users", "groups", "runs", "runs show 1", "held", "orphans", "licences", "due", "privileges"
    ],
)  # fmt: skip
def test_every_list_is_the_same_in_both_files(command: str, tmp_path: Path) -> None:
    """Opened again by two other libraries: the headings, then a row for each row, and no formula."""
    csv_file, xlsx_file = tmp_path / "list.csv", tmp_path / "list.xlsx"
    done = syncd(*command.split(), "--csv", str(csv_file), "--xlsx", str(xlsx_file))
    assert (done.exit_code, done.stdout) == (0, ""), done.output
    with csv_file.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.reader(file))
    sheet = load_workbook(xlsx_file).active
    assert sheet is not None
    cells = [list(row) for row in sheet.iter_rows()]
    assert [["" if cell.value is None else str(cell.value) for cell in row] for row in cells] == [
        [re.sub(r"^(\d+)\.0$", r"\1", text) for text in row]
        for row in rows  # a workbook has no 5.0
    ]
    assert {cell.data_type for row in cells for cell in row} <= {"s", "n"}
    assert len(rows) > (command not in ("orphans", "licences", "privileges"))


@pytest.mark.usefixtures("world")
async def test_people_and_groups_begin_with_numbers_and_say_a_reason_once() -> None:
    """The rows name it by its number; states may be several; a search shows whom it finds."""
    lines = check_screen(syncd("users").stdout)
    assert lines[0] == "50 users: active 8, held 42"
    assert lines[1] == "  (1) 42 held: 42 times unlink, guard.max_removals allows 0 in a run"
    rows = [line for line in lines if "person.number" in line]
    assert len(rows) == 50
    assert sum(line.endswith("(1)") for line in rows) == GONE
    assert "guard.max_removals" not in " ".join(rows)
    few = syncd("users", "number.0", "--state", "active", "--state", "held").stdout.splitlines()
    assert few[-1] == "10 users: held 10"
    assert syncd("groups").stdout.splitlines()[-1] == "1 group: held 1"


@pytest.mark.usefixtures("world")
async def test_a_page_of_people_reads_no_more_than_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a limit the database is asked for so many keys and rows; the numbers are counted there."""
    asked: list[int] = []
    load = Report._load

    def count(report: Report, statement: object, keys: list[int]) -> object:
        asked.append(len(keys))
        return load(report, statement, keys)  # type: ignore[arg-type]

    monkeypatch.setattr(Report, "_load", count)
    assert len(document("users", "--limit", "3")) == 3
    assert asked == [3]
    shown = syncd("users", "--limit", "3").stdout
    assert "47 more are not shown" in shown
    assert "50 users: active 8, held 42" in shown


@pytest.mark.usefixtures("world")
async def test_in_a_pipe_a_row_is_a_line_that_says_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    """The heading first, no blanks at the end, no summary between; and never cut."""
    monkeypatch.delenv("COLUMNS")
    lines = syncd("users").stdout.splitlines()
    assert lines[0].split() == ["name", "bps", "id", "state", "synced", "(UTC)", "source", "id", "why"]
    assert lines[-1] == "50 users: active 8, held 42"
    assert len(lines) == 53
    assert all("guard.max_removals" in line for line in lines if login(0) in line)
    held = [line for line in syncd("held").stdout.splitlines() if line.startswith("unlink")]
    assert len(held) == GONE
    assert all("disabled in the tenant" in line and line == line.rstrip() for line in held)
    assert max(map(len, held)) < 250


async def test_runs_are_chosen_in_the_store(world: World) -> None:
    """By status, kind and time; what does not fit is not there, and a wrong word is told with those that exist."""
    await world.sync(write=False)
    assert [run["id"] for run in document("runs", "--status", "held")] == [3, 2]
    assert [run["id"] for run in document("runs", "--kind", "full", "--kind", "plan")] == [3, 1]
    assert [run["id"] for run in document("runs", "--limit", "1")] == [3]
    assert len(document("runs", "--since", "1h")) == 3
    assert document("runs", "--since", "2100-01-01") == []
    assert syncd("runs", "--since", "2100-01-01").stdout == "No run that fits.\n"
    refused = syncd("runs", "--since", "yesterday")
    assert (refused.exit_code, "2026-12-31" in refused.stderr) == (2, True)
    refused = syncd("runs", "--status", "fine")
    assert (refused.exit_code, "succeeded" in refused.stderr) == (2, True)
    shown = syncd("runs", "show", "1", "--outcome", "failed").stdout
    assert "No change that fits." in shown
    done = json.loads(syncd("runs", "show", "1", "--outcome", "done", "--action", "link", "--json").stdout)
    assert {(each["outcome"], each["action"]) for each in done["changes"]} == {("done", "link")}
    assert len(done["changes"]) == 50


async def test_many_runs_begin_with_how_they_ended(world: World) -> None:
    """And with the last one that failed, and why."""
    for _ in range(22):
        world.source.put_user("u49", jobTitle="x")
        await world.sync()
    lines = check_screen(syncd("runs", "--limit", "30").stdout)
    assert lines[0].startswith("24 runs: succeeded ")
    assert "held" in lines[0]
    assert any("4 more are not shown" in line for line in syncd("runs").stdout.splitlines())


async def found_two_groups(made: World) -> None:
    """Thirty people in one group and ten of them in another as well, all disabled: their unlinking is held."""
    for group in ("staff", "second"):
        made.source.put_group(group, displayName=group.title(), mailNickname=f"{group}@groups.example.com")
    for number in range(30):
        made.source.put_user(f"u{number}", userPrincipalName=login(number), displayName=f"P {number}")
        made.source.link("staff", f"u{number}")
        if number < 10:
            made.source.link("second", f"u{number}")
    made.source.put_user("u30", userPrincipalName=login(30), displayName="P 30")  # where nobody works, all is held
    await made.sync()
    made.rules = make_rules(limits=make_limits(max_removals=0))
    for number in range(30):
        made.source.put_user(f"u{number}", accountEnabled=False)
    assert (await made.sync()).status == "held"


async def test_people_who_are_held_for_one_reason_have_it_said_once(tmp_path: Path, companies: Companies) -> None:
    """However many memberships each of them is to lose: the row has the number, the reason stands above."""
    (await fill(tmp_path / "syncd.db", companies, founded_by=found_two_groups)).database.close()
    lines = check_screen(syncd("users").stdout)
    assert lines[:2] == [
        "31 users: active 1, held 30",
        "  (1) 30 held: 40 times unlink, guard.max_removals allows 0 in a run",
    ]
    flat = [" ".join(line.split()) for line in lines]
    assert sum(line.endswith("unlink of 1 membership (1)") for line in flat) == 20
    assert sum(line.endswith("unlink of 2 memberships (1)") for line in flat) == 10
    assert sum("guard.max_removals" in line for line in lines) == 1
    assert syncd("users", "--wide").stdout.count("unlink of 2 memberships: 40 times unlink") == 10


async def test_runs_that_say_the_same_say_it_once(world: World) -> None:
    """What is held since the same run stands with the newest; in a pipe each row says everything."""
    for _ in range(3):
        assert (await world.sync()).status == "held"
    lines = check_screen(syncd("runs").stdout)
    flat = " ".join(" ".join(lines).split())
    assert flat.count("held since run 2") == 1
    assert flat.count("; as in run 5") == 2
    assert syncd("runs", "--wide").stdout.count("held since run 2") == 3
