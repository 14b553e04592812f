"""What was changed by hand as a list, in the command and the console: what setting it back would leave is told."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from openpyxl import load_workbook

from syncd.cli.screen.drift_list import HEADINGS, DriftList
from syncd.cli.screen.lists import Listing
from syncd.plan.drift import Drift
from syncd.sync.planning.drift import DriftCheck, iterate_known_drift
from syncd.sync.planning.kept_by_hand import list_ours
from tests.fakes.console import open_console
from tests.fakes.rules import make_policy, make_rules, make_scope
from tests.fakes.world import World

HOUR = 3600.0


async def found_company(world: World) -> None:
    """Thirty people in a group, of whom one has left since and one is on the protect list; all were renamed by hand."""
    world.rules = make_rules(policy=make_policy(drift="report"))
    world.source.put_group("g", displayName="All", mailNickname="all@grp")
    for number in range(30):
        login = f"u{number:02}@x.com"
        world.source.put_user(f"u{number}", userPrincipalName=login, displayName=f"Person {number:02}", mail=login)
        world.source.link("g", f"u{number}")
    assert (await world.sync("full")).status == "succeeded"
    await world.clock.sleep(2 * HOUR)
    world.source.put_user("u0", accountEnabled=False)
    await world.sync("delta")
    for login, account in list(world.portal.accounts.items()):
        if account.name:
            world.portal.accounts[login] = replace(account, name=f"By hand {login[:3]}")
    world.portal.members["all@grp"].pop("u05@x.com")
    await world.sync("full")
    world.rules = make_rules(policy=make_policy(drift="report"), scope=make_scope(protect=frozenset({"u01@x.com"})))


pytestmark = [pytest.mark.company(founded_by=found_company), pytest.mark.both_engines]


def make_list(world: World, *objects: str) -> DriftList:
    """Return the list as `syncd drift` makes it."""

    def load() -> Iterator[list[Drift]]:
        return iterate_known_drift(world.store, list_ours(world.rules))

    return DriftList(database=world.database, rules=world.rules, load=load, objects=objects)


async def test_what_reverting_would_leave_is_told_and_is_what_it_leaves(world: World) -> None:
    """The leaver's name and the protected one's, each with its reason; all the others are set back."""
    left = {each["bps_id"]: each["left"] for each in make_list(world).describe() if each["left"]}
    assert left.keys() == {"u00@x.com", "u01@x.com"}
    assert "do not want it any more" in str(left["u00@x.com"])
    assert "scope.protect" in str(left["u01@x.com"])
    record = await world.carry_out(DriftCheck("revert", lambda found: None))
    dropped = {change.split()[2] for change in world.changes(record) if change.endswith("dropped")}
    assert dropped == left.keys()
    assert {
        name for name, account in world.portal.accounts.items() if (account.name or "").startswith("By hand")
    } == dropped


async def test_many_differences_begin_with_numbers_and_say_a_reason_once(
    world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """How many of what, the worst hit group, and how many would be left; on a hundred columns."""
    monkeypatch.setenv("COLUMNS", "100")
    make_list(world).print(Listing())
    told = capsys.readouterr().out
    lines = told.splitlines()
    assert lines[:4] == [
        "Changed by hand since syncd's last write: 31",
        "  30 × user: 30 records; name 30",
        "  1 × membership: 1 record; worst hit All (all@grp), 1",
        "  --revert would leave 2 of all as they are, see below",
    ]
    assert max(map(len, lines)) <= 100
    assert told.count("do not want it any more") == told.count("scope.protect names it") == 1
    assert sum(line.startswith("user ") for line in lines) == 30
    assert all(line.count("@x.com") == 1 for line in lines if line.startswith("user ")), "no id twice"
    make_list(world).print(Listing(limit=5))
    assert "26 more are not shown: --limit N shows more, --csv FILE writes all" in capsys.readouterr().out
    make_list(world, "group").print(Listing())
    assert capsys.readouterr().out == "Nothing that fits was changed by hand.\n"


async def test_a_pipe_gets_every_row(
    world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line each, without a summary between."""
    monkeypatch.delenv("COLUMNS", raising=False)
    make_list(world).print(Listing())
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith(("user", "membership")) for line in lines) == 31
    assert not any("×" in line for line in lines)


async def test_files_and_the_page_tell_the_same(world: World, tmp_path: Path) -> None:
    """Of the command as CSV and as a workbook, opened by another library, and of the console."""
    listed = make_list(world)
    assert Listing(csv=str(tmp_path / "drift.csv"), xlsx=tmp_path / "drift.xlsx").export(HEADINGS, listed.iterate_cells)
    with (tmp_path / "drift.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.reader(file))
    sheet = load_workbook(tmp_path / "drift.xlsx").active
    assert sheet is not None
    assert [["" if cell.value is None else cell.value for cell in row] for row in sheet.iter_rows()] == rows
    assert len(rows) == 32
    assert rows[-1] == ["membership", "all@grp", "All", "member", "u05@x.com", "", "All", ""]
    async with open_console(world) as stage:
        viewer = stage.sign_in("viewer")
        assert list(csv.reader(io.StringIO((await viewer.get("/drift?export=csv")).body.decode("utf-8-sig")))) == rows
        page = (await viewer.get("/drift")).text
    assert page.count("do not want it any more") == page.count("scope.protect names it") == 1
