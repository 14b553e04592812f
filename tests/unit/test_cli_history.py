"""``who``, ``explain --at``, ``certificate`` and ``verify`` as an administrator types them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog
from openpyxl import load_workbook
from sqlalchemy import update

from syncd.clock import Clock
from syncd.plan.rules import LicenceRule
from syncd.store.db.database import open_database
from syncd.store.schema.tables import facts, runs, source_groups
from tests.fakes.rules import make_policy, make_rules
from tests.fakes.world import World, open_world
from tests.unit.desk import document, syncd

DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Work in an empty directory, with no setting in the environment, and leave the logging as it was."""
    for name in [name for name in os.environ if name.startswith("SYNCD_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("SYNCD_SCHEDULE__TIMEZONE", "UTC")
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """The company of `live_through`, which goes on."""
    made = await live_through(tmp_path / "syncd.db")
    yield made
    made.database.close()


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store of that company, made once: to be copied."""
    path = tmp_path_factory.mktemp("lived") / "syncd.db"
    asyncio.run(live_through(path)).database.close()
    return path


@pytest.fixture
def store(lived: Path, tmp_path: Path) -> None:
    """A copy of that store where the commands look for it."""
    shutil.copy(lived, tmp_path / "syncd.db")


async def live_through(path: Path) -> World:
    """Ten days ago three people came into Sales; five days ago eve left the group; three days ago ben was deleted."""
    made = open_world(f"sqlite:///{path}")
    made.rules = make_rules(policy=make_policy(substitute="manager"), licences=(LicenceRule("Sales", "PowerUser"),))
    with made.database.transaction() as connection:
        ago = (Clock().now() - 20 * DAY).isoformat(timespec="seconds")
        connection.execute(update(facts).where(facts.c.name == "history_since").values(value=ago))
    made.clock.ahead = -10 * DAY
    source = made.source
    source.put_group("g1", displayName="Sales", mailNickname="sales@grp")
    source.put_user("boss", userPrincipalName="boss@x.com", displayName="Boss", mail="boss@x.com")
    for name in ("ann", "ben", "eve"):
        source.put_user(
            name, userPrincipalName=f"{name}@x.com", displayName=name.title(), mail=f"{name}@x.com", manager="boss"
        )
        source.link("g1", name)
    await made.sync("full")
    await made.sync("full")
    made.clock.ahead = -5 * DAY
    source.unlink("g1", "eve")
    await made.sync()
    made.clock.ahead = -3 * DAY
    source.remove_user("ben")
    await made.sync()
    made.clock.ahead = timedelta()
    return made


def day(ago: int) -> str:
    """Return a day in the past."""
    return f"{Clock().now() - ago * DAY:%Y-%m-%d}"


def people(*arguments: str) -> dict[str, bool]:
    """Return who was in the group, each with whether also at the end."""
    return {each["bps_id"]: each["there_at_end"] for each in document("who", *arguments)["people"]}


@pytest.mark.usefixtures("store")
def test_a_day_lists_who_was_in_at_some_time_and_who_still_was_at_its_end() -> None:
    """By name, by id or by BPS id; a moment lists who was in then."""
    assert people("Sales", "--at", day(8)) == {"ann@x.com": True, "ben@x.com": True, "eve@x.com": True}
    assert people("g1", "--at", day(5)) == {"ann@x.com": True, "ben@x.com": True, "eve@x.com": False}
    assert people("sales@grp", "--at", day(4)) == {"ann@x.com": True, "ben@x.com": True}
    assert people("SALES", "--at", day(0)) == {"ann@x.com": True}
    moment = (Clock().now() - 5 * DAY - timedelta(hours=1)).isoformat()
    assert people("Sales", "--at", moment) == {"ann@x.com": True, "ben@x.com": True, "eve@x.com": True}


@pytest.mark.usefixtures("store")
def test_each_came_and_went_by_a_named_run_for_a_reason() -> None:
    """The table fits a hundred columns, and says what the document says."""
    found = {each["bps_id"]: each for each in document("who", "Sales", "--at", day(5))["people"]}
    assert (found["ann@x.com"]["came"]["run"], found["ann@x.com"]["came"]["cause"]) == (1, "joined")
    assert found["ann@x.com"]["went"] is None
    assert (found["eve@x.com"]["went"]["run"], found["eve@x.com"]["went"]["says"]) == (3, "not in it in the tenant")
    assert (found["ben@x.com"]["went"]["run"], found["ben@x.com"]["went"]["says"]) == (4, "leaver: deleted")
    shown = syncd("who", "Sales", "--at", day(5)).stdout
    assert "3 places" in shown
    assert "2 at" in shown
    assert "run 3: not in it" in " ".join(shown.split())
    assert max(map(len, shown.splitlines())) <= 100


@pytest.mark.usefixtures("store")
def test_the_list_is_exported(tmp_path: Path) -> None:
    """As CSV and as a workbook, one row for each."""
    shown = syncd("who", "Sales", "--at", day(5), "--csv", "-", "--xlsx", "who.xlsx")
    assert shown.exit_code == 0, shown.output
    lines = shown.stdout.splitlines()
    assert (len(lines), lines[0].split(",")[:4]) == (4, ["group", "bps id", "name", "as"])
    sheet: Any = load_workbook(tmp_path / "who.xlsx").active
    assert sheet.max_row == 4
    assert syncd("who", "Sales", "--at", day(5), "--csv", "-", "--limit", "1").stdout.count("\n") == 2


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("Sales", "--at", "2999-01-01"), "is in the future"),
        (("Sales", "--at", "2999-01-01T10:00"), "is in the future"),
        (("Sales", "--at", "2001-01-01"), "the history of this store begins at"),
        (("Sales", "--at", "last week"), "is no date: write a day"),
        (("Nowhere", "--at", "2999-01-01"), "is in the future"),
        (("Nowhere", "--at", "today"), "is no date"),
        (("Sales",), "Missing option '--at'"),
    ],
)
def test_what_nobody_can_answer_is_a_sentence(arguments: tuple[str, ...], said: str) -> None:
    """A usage error, and no table."""
    shown = syncd("who", *arguments)
    assert shown.exit_code == 2
    assert said in " ".join(shown.stderr.split())


async def test_a_name_that_nobody_or_several_bear_is_a_sentence(world: World) -> None:
    """With the ids to choose from; a person is no group."""
    world.source.put_group("g2", displayName="Sales", mailNickname="sales2@grp")
    await world.sync()
    assert "2 groups bear the name 'Sales'" in " ".join(syncd("who", "Sales", "--at", day(0)).stderr.split())
    assert "knows no group 'Nowhere'" in " ".join(syncd("who", "Nowhere", "--at", day(0)).stderr.split())
    assert "knows no group 'ann@x.com'" in " ".join(syncd("who", "ann@x.com", "--at", day(0)).stderr.split())
    assert people("g1", "--at", day(0)) == {"ann@x.com": True}


@pytest.mark.usefixtures("store")
def test_what_was_kept_too_short_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is shown half of the answer."""
    monkeypatch.setenv("SYNCD_STORE__KEEP_HISTORY", "7d")
    shown = syncd("who", "Sales", "--at", day(9))
    assert (shown.exit_code, "kept for 7 days (store.keep_history)" in " ".join(shown.stderr.split())) == (2, True)


@pytest.mark.usefixtures("store")
def test_a_person_at_a_time_has_accounts_groups_and_licences() -> None:
    """Also one who has left since."""
    then = document("explain", "ben@x.com", "--at", day(8))
    assert [(each["bps_id"], each["leaving_as"]) for each in then["accounts"]] == [("ben@x.com", None)]
    assert [(each["group"], each["there_at_end"]) for each in then["groups"]] == [("sales@grp", True)]
    assert [each["type"] for each in then["licences"]] == ["PowerUser"]
    now = document("explain", "ben", "--at", day(0))
    assert [(each["bps_id"], each["leaving_as"]) for each in now["accounts"]] == [("ben@x.com", "deleted")]
    assert (now["groups"], now["licences"]) == ([], [])
    shown = syncd("explain", "ben", "--at", day(3)).stdout
    assert "leaver: deleted" in shown
    assert max(map(len, shown.splitlines())) <= 100
    refused = syncd("explain", "Sales", "--at", day(0))
    assert (refused.exit_code, "'Sales' is a group" in refused.stderr) == (2, True)
    with contextlib.closing(open_database("sqlite:///syncd.db")) as database, database.transaction() as connection:
        connection.execute(update(source_groups).values(name="Sales of Łódź"))
    refused = syncd("explain", "Sales of Łódź", "--at", day(0))
    assert """'syncd who "Sales of Łódź" --at DATE' lists who was in it""" in refused.stderr


@pytest.mark.usefixtures("store")
def test_a_name_is_found_in_any_case_of_letters_that_are_not_english() -> None:
    """The whole of it, or a part: as typed, in capitals, in small letters."""
    with contextlib.closing(open_database("sqlite:///syncd.db")) as database, database.transaction() as connection:
        connection.execute(update(source_groups).values(name="Żółw of Łódź"))
    for word in ("Żółw of Łódź", "żółw", "ŁÓDŹ", "Łódź"):
        assert document("explain", word)["source"]["id"] == "g1", word


@pytest.mark.usefixtures("store")
def test_a_certificate_says_when_each_thing_ended_and_how_that_is_known() -> None:
    """With the runs and their hashes; finished, so that the exit code is 0."""
    found = document("certificate", "ben@x.com")
    assert [group["name"] for group in found["groups"]] == ["Sales"] * len(found["groups"])
    named = {run["id"] for run in found["runs"]}
    parts = [*found["accounts"], *found["groups"], *found["owned"], *found["licences"]]
    ends = [part[way] for part in parts for way in ("came", "went") if part[way]]
    assert {end["run"] for end in ends if end["run"] is not None} <= named, "each run of the tables has its hash"
    assert (found["finished"], found["open"]) == (True, [])
    assert (found["left"]["as"], found["left"]["run"], found["left"]["known_by"]) == ("deleted", 4, "told")
    assert [(each["group"], each["went"]["run"]) for each in found["groups"]] == [("sales@grp", 4)]
    assert [(each["type"], each["went"]["run"]) for each in found["licences"]] == [("PowerUser", 4)]
    assert [(each["substitute"], each["action"]) for each in found["tasks"]] == [("boss@x.com", "create")]
    assert [each["kept"] for each in found["accounts"]] == [False, True]
    assert {each["id"]: len(each["hash"]) for each in found["runs"]}[4] == 64
    shown = syncd("certificate", "ben@x.com")
    assert shown.exit_code == 0
    assert shown.stdout.startswith("Finished: nothing is open")
    assert max(len(line) for line in shown.stdout.splitlines()) <= 100


async def test_what_is_open_stands_first_and_the_exit_code_says_so(world: World) -> None:
    """A removal that failed, and a person whom nobody has looked at since."""
    world.portal.refuse.add("sales@grp")
    world.source.put_user("ann", accountEnabled=False)
    await world.sync()
    shown = syncd("certificate", "ann@x.com")
    assert shown.exit_code == 3
    lines = shown.stdout.splitlines()
    assert lines[0].startswith("NOT finished: ")
    assert "still a member of sales@grp" in shown.stdout
    found = syncd("certificate", "ann@x.com", "--json")
    assert found.exit_code == 3
    assert '"finished": false' in found.stdout


@pytest.mark.usefixtures("store")
def test_who_has_not_left_gets_no_certificate() -> None:
    """A sentence and exit 1; a group is no person."""
    shown = syncd("certificate", "eve@x.com")
    assert (shown.exit_code, "eve@x.com has not left" in " ".join(shown.stderr.split())) == (1, True)
    assert syncd("certificate", "Sales").exit_code == 2


async def test_verify_prints_the_head_and_names_the_first_run_that_was_changed(world: World) -> None:
    """It says what it proves; a noted head is found again, and another one is not."""
    found = document("verify")
    assert (found["ok"], found["runs_checked"], found["broken"]) == (True, 4, [])
    assert document("verify", "--head", found["head"])["noted_head_is_there"] is True
    shown = syncd("verify").stdout
    assert f"head {found['head']}" in shown
    assert "Whoever can write the store can make it anew" in " ".join(shown.split())
    missing = syncd("verify", "--head", "0" * 64)
    assert (missing.exit_code, "NOT in the chain" in missing.stdout) == (1, True)
    assert syncd("verify", "--head", "abc").exit_code == 2
    with world.database.transaction() as connection:
        connection.execute(update(runs).where(runs.c.id == 3).values(error="forged"))
    broken = syncd("verify")
    assert broken.exit_code == 1
    assert broken.stdout.startswith("The chain is BROKEN, first here: run 3: its record")
