"""``status``, ``due`` and ``trigger`` over a store: what they say, how it fits, and what they exit with."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import structlog
from icalendar import Calendar
from sqlalchemy import insert, update

from syncd.cli.commands.status import tell_licence
from syncd.clock import Clock
from syncd.store.db.lock import StoreLock
from syncd.store.reports.licences import LicenceUse
from syncd.store.runs.daemons import DaemonSeen
from syncd.store.schema.tables import failures, target_users
from syncd.store.store import Store
from tests.fakes.rules import make_limits, make_rules
from tests.fakes.world import Companies, World
from tests.unit.desk import document, fill, syncd

KEYS = [
    "role",
    "store",
    "sides",
    "last_runs",
    "next_runs",
    "people",
    "groups",
    "held",
    "failing",
    "drift",
    "licences",
    "due",
]


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


@pytest.fixture
async def world(tmp_path: Path, companies: Companies) -> AsyncIterator[World]:
    """A store after one sync."""
    made = await fill(tmp_path / "syncd.db", companies)
    yield made
    made.database.close()


async def test_status_is_one_screen_of_a_hundred_columns(world: World) -> None:
    """Also when a run failed and said a lot, and twenty graces end."""
    Path("syncd.toml").write_text('[policy]\ndisabled_users = "delete"\n')
    with world.database.transaction() as connection:
        connection.execute(update(target_users).values(leaving_at=Clock().now(), leaving_as="disabled"))
    shown = syncd("status")
    assert shown.exit_code == 0, shown.output
    lines = shown.stdout.splitlines()
    assert [line for line in lines if len(line) > 100 and "syncd.db" not in line] == []  # a path is one word
    assert len(lines) <= 24
    assert lines[0].startswith("in short")
    assert "no daemon works" in lines[0]
    assert "nobody works" in lines[1]
    (due,) = [line for line in lines if line.startswith("due")]
    assert re.search(r"deletion: 10 \(\S+ and 9 more\)$", due), "what is alike is told once"
    assert any(line.startswith("people") and "active 10" in line for line in lines)


@pytest.mark.parametrize(
    ("seats", "said"),
    [
        (5, "PowerUser 3 of 5 (2 by rule, 1 by hand), 4 wait"),
        (3, "PowerUser 3 of 3 (2 by rule, 1 by hand), short: 4 wait"),
    ],
)
def test_licences_are_short_only_without_a_free_seat(seats: int, said: str) -> None:
    """With one, people wait because their accounts are not there: that is no matter of seats."""
    use = LicenceUse(type="PowerUser", seats=seats, by_rule=2, by_hand=1, waiting=4)
    assert (tell_licence(use), use.is_short) == (said, "short" in said)


async def test_status_has_the_promised_keys(world: World) -> None:
    """And the numbers in them are those of the lists."""
    told = document("status")
    assert [key for key in told if key in KEYS] == KEYS
    assert told["role"] == "nobody"
    assert told["people"] == {"active": len(document("users"))}
    assert told["groups"] == {"active": len(document("groups"))}
    assert told["last_runs"]["full"]["id"] == document("runs")[0]["id"]
    assert told["last_runs"]["delta"] is None
    assert {"full", "delta"} == told["next_runs"].keys()
    assert (told["held"]["changes"], told["held"]["runs"]) == (0, [])
    assert (told["well"], told["troubles"]) == (False, ["no daemon works"])
    with StoreLock(world.database):
        assert document("status")["role"] == "command"


async def test_status_names_the_lists_that_have_what_fails(world: World) -> None:
    """A list without anybody is not named."""

    async def tell(*refused: str) -> str:
        world.portal.refuse = set(refused)
        await world.sync()
        shown = syncd("status").stdout
        line = " ".join(shown[shown.index("\nfailing ") : shown.index("\ndrift ")].split())
        lists = [name for name in ("users", "groups") if document(name, "--state", "failing")]
        assert [name for name in ("users", "groups") if f"'syncd {name} --state failing'" in line] == lists
        return line

    assert "nothing" in await tell()
    world.source.put_group("more", displayName="More", mailNickname="more@groups.example")
    line = await tell("more@groups.example")
    assert line.endswith(": 'syncd groups --state failing'")
    login = "one.more@company.example"
    world.source.put_user("more", userPrincipalName=login, displayName="One more", userType="Member")
    line = await tell("more@groups.example", login)
    assert line.endswith(": 'syncd users --state failing' and 'syncd groups --state failing'")


async def test_what_fails_and_stands_in_no_list_is_told_by_the_runs(world: World) -> None:
    """So of somebody who is held as well: the lists say that."""
    moment = Clock().now()
    row = {"record_key": 999, "target_key": 0, "object": "user", "attempts": 1, "first_at": moment, "next_at": moment}
    with world.database.transaction() as connection:
        connection.execute(insert(failures).values(**row, error="no"))
    shown = syncd("status").stdout
    assert re.search(r"^failing    1 change, next attempt .*: 'syncd runs --status partial'$", shown, re.MULTILINE)


async def test_a_killed_daemon_is_not_said_to_work(world: World) -> None:
    """Its last word is fresh, but its lock is free."""
    moment = Clock().now() + timedelta(minutes=3)
    seen = DaemonSeen(role="working", host="here", pid=1, since=moment, next_full=moment, next_delta=moment)
    Store(world.database).daemons.say_up("one", seen, now=Clock().now())
    assert document("status")["role"] == "nobody"
    with StoreLock(world.database):
        told = document("status")
        assert (told["role"], told["daemons"][0]["pid"]) == ("daemon", 1)
        assert told["next_runs"]["delta"] == moment.isoformat(timespec="seconds").replace("+00:00", "Z")
        shown = syncd("status").stdout
        assert "a daemon works (working on here, pid 1)" in shown
        assert shown.splitlines()[0] == "in short   all is well"
        assert "idle: it waits for the next run" in shown


async def test_what_is_held_shows_with_its_end(world: World) -> None:
    """In status as in due, with the number of changes and the command that lists them."""
    world.rules = make_rules(limits=make_limits(max_removals=0))
    for number in range(10):
        world.source.put_user(f"u{number}", accountEnabled=False)
    await world.sync("full")
    told = document("status")
    (held,) = told["held"]["runs"]
    assert held["changes"] == told["held"]["changes"] == 10
    dates = document("due")
    assert [(entry["what"], entry["at"]) for entry in dates] == [("held", held["expires_at"])]
    shown = syncd("status").stdout
    assert "10 changes of run 2 since " in shown
    assert held["since"] == document("held")[0]["since"]
    assert "10 changes wait for approval" in " ".join(shown.split())


async def test_due_lists_the_graces_that_end(world: World, tmp_path: Path) -> None:
    """With whose account it is, in the order of their days; as a table, a document, a file and a calendar."""
    Path("syncd.toml").write_text('[policy]\ndisabled_users = "delete"\ngrace = "10d"\n')
    began = datetime(2026, 11, 1, 9, 0, tzinfo=UTC)
    with world.database.transaction() as connection:
        for number, days in ((3, 2), (7, 1)):
            key = target_users.c.email == f"person.number.{number:02}@subsidiary.company.example"
            values = {"leaving_at": began + timedelta(days=days), "leaving_as": "disabled"}
            connection.execute(update(target_users).where(key).values(**values))
    dates = document("due")
    assert [(entry["bps_id"][:16], entry["at"]) for entry in dates] == [
        ("person.number.07", "2026-11-12T09:00:00Z"),
        ("person.number.03", "2026-11-13T09:00:00Z"),
    ]
    assert all(entry.keys() == {"at", "what", "bps_id", "detail"} for entry in dates)
    shown = syncd("due").stdout
    assert "person.number.07@subsidiary.company.example" in shown
    assert max(len(line) for line in shown.splitlines()) <= 100
    assert syncd("due", "--ics", "dates.ics").exit_code == 0
    events = Calendar.from_ical(Path("dates.ics").read_bytes()).walk("VEVENT")
    assert [event.decoded("DTSTART").day for event in events] == [12, 13]
    assert (tmp_path / "dates.ics").stat().st_mode & 0o777 == 0o600
    assert syncd("due", "--ics", "-").stdout.startswith("BEGIN:VCALENDAR")
    assert syncd("due", "--csv", "-", "--limit", "1").stdout.count("\n") == 2
    Path("syncd.toml").write_text('[policy]\ndisabled_users = "revoke"\n')
    assert syncd("due").stdout == "Nothing has a date.\n"


def test_a_file_that_cannot_be_made_is_refused_before_the_work() -> None:
    """A calendar and lists alike: a folder that is missing, and a workbook for stdout."""
    for option, value, told in (
        ("--ics", "missing/dates.ics", "missing is no folder that can be written to"),
        ("--xlsx", "missing/dates.xlsx", "missing is no folder that can be written to"),
        ("--xlsx", "-", "--xlsx: is not written to stdout: name a file, or use --csv -"),
    ):
        result = syncd("due", option, value)
        assert (result.exit_code, told in result.stderr) == (2, True), result.output
    assert not Path("-").exists()


@pytest.mark.usefixtures("world")
async def test_several_forms_of_one_list_are_all_written_or_refused(tmp_path: Path) -> None:
    """A calendar and a list each have their place; no file is left out without a word."""
    for arguments, told in (
        (("due", "--csv", "dates.csv", "--json"), "--json prints the list, and --csv and --xlsx write it: keep one"),
        (("users", "--json", "--xlsx", "users.xlsx"), "--json prints the list, and --csv and --xlsx write it: keep"),
        (("due", "--ics", "-", "--csv", "-"), "the calendar and the list cannot both go to stdout"),
        (("due", "--ics", "-", "--json"), "the calendar and the list cannot both go to stdout"),
    ):
        result = syncd(*arguments)
        assert (result.exit_code, told in result.stderr) == (2, True), result.output
    assert syncd("due", "--ics", str(tmp_path / "d.ics"), "--csv", str(tmp_path / "d.csv")).exit_code == 0
    assert {path.name for path in tmp_path.glob("d.*")} == {"d.ics", "d.csv"}
    assert syncd("due", "--ics", str(tmp_path / "e.ics"), "--json").stdout.startswith("[")
    assert (tmp_path / "e.ics").exists()


async def test_without_a_daemon_nothing_is_asked_for(world: World) -> None:
    """A wish that nobody hears would be carried out on some day when nobody wants it any more."""
    refused = syncd("trigger", "full")
    assert refused.exit_code == 1
    assert "'syncd sync full' does it here" in refused.stderr
    assert await Store(world.database).asked.load_waiting() == []


async def test_a_wish_that_is_not_served_in_time_is_taken_back(world: World) -> None:
    """The daemon is up and does nothing: the command says so, and leaves nothing behind."""
    seen = DaemonSeen(role="working", host="here", pid=1, since=Clock().now())
    Store(world.database).daemons.say_up("one", seen, now=Clock().now())
    with StoreLock(world.database):
        assert syncd("trigger", "delta").stdout.startswith("Asked for a delta run")
        assert document("trigger", "full")["kind"] == "full"
        late = syncd("trigger", "full", "--wait", "1s")
    assert (late.exit_code, "taken back" in late.stderr) == (75, True)
    assert [wish.kind for wish in await Store(world.database).asked.load_waiting()] == ["delta", "full"]


async def test_a_wish_that_is_waited_for_prints_its_run(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The document is that of the run which served it."""
    store = Store(world.database)
    run = await store.runs.load_run(1)
    store.daemons.say_up("one", DaemonSeen(role="working", host="here", pid=1, since=Clock().now()), now=Clock().now())
    monkeypatch.setattr("syncd.cli.commands.trigger._await", lambda *_: run)
    with StoreLock(world.database):
        assert document("trigger", "full", "--wait", "1s")["id"] == 1


async def test_a_run_says_who_asked_for_it(world: World) -> None:
    """In its record alone: no log line names anybody."""
    store = Store(world.database)
    wish = store.asked.ask("full", by="ann@desk", now=Clock().now())
    await store.asked.serve([wish], 1)
    assert document("runs", "show", "1")["asked_by"] == ["ann@desk"]
    assert "asked for by ann@desk" in syncd("runs", "show", "1").stdout
