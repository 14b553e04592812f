"""``orphans``, ``link``, ``release``, ``pause``, ``resume`` and ``licences`` as an administrator types them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from syncd.cli.options import name_person
from syncd.clock import Clock
from syncd.plan.rules import LicenceRule
from syncd.store.db.lock import StoreLock
from syncd.store.store import Store
from tests.fakes.rules import make_limits, make_rules
from tests.fakes.world import Companies, World
from tests.unit.desk import document, fill, found_company, syncd
from tests.unit.test_cli_desk import at_home as at_home

LOGIN = "person.number.03@subsidiary.company.example"
_SIDES = {
    "GRAPH__TENANT_ID": "00000000-0000-0000-0000-000000000001",
    "GRAPH__CLIENT_ID": "00000000-0000-0000-0000-000000000002",
    "GRAPH__CLIENT_SECRET": "nobody's",
    "BPS__PORTAL_URL": "https://bps.example",
    "BPS__CLIENT_ID": "bps",
    "BPS__CLIENT_SECRET": "nobody's",
}
"""An approval wants them, and to believe asks neither side."""
OTHER = "person.number.04@subsidiary.company.example"


async def found_beside_others(made: World) -> None:
    """The company of the desk after one sync, beside which the portal has accounts of others."""
    await found_company(made)
    made.portal.add_account("legacy.eve@old.example", name="Eve")
    made.portal.add_account("robot@bps.example", name="Robot")
    made.portal.totals["PowerUser"] = 4
    made.rules = make_rules(licences=(LicenceRule("Staff", "PowerUser"),))
    await made.sync("full")


@pytest.fixture
async def world(tmp_path: Path, companies: Companies) -> AsyncIterator[World]:
    """That company, in the store that the commands look for."""
    made = await fill(tmp_path / "syncd.db", companies, founded_by=found_beside_others)
    yield made
    made.database.close()


async def test_a_pause_is_seen_wherever_one_looks(world: World) -> None:
    """In users, explain and due, with who said so and why; it ends by a word."""
    day = f"{Clock().now() + timedelta(days=9):%Y-%m-%d}"
    paused = syncd("pause", LOGIN, OTHER, "--until", day, "--reason", "leave, keeps\nher places")
    assert paused.exit_code == 0, paused.output
    told = "(leave, keeps her places)"
    lines = {line["bps_id"]: line for line in document("users")}
    assert lines[LOGIN]["state"] == "active"
    assert told in lines[LOGIN]["reason"]
    assert told in syncd("explain", LOGIN).stdout
    dates = document("due")
    assert {(entry["what"], entry["bps_id"]) for entry in dates} == {("pause", LOGIN), ("pause", OTHER)}
    assert all(told in entry["detail"] for entry in dates)
    assert syncd("resume", LOGIN, LOGIN.upper(), LOGIN).stdout.count("goes on with the next run") == 2
    assert "was not paused" in syncd("resume", LOGIN).stdout
    assert [entry["bps_id"] for entry in document("due")] == [OTHER]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nobody@x.example", "--until", "2999-01-01", "--reason", "x"], "knows nobody"),
        ([LOGIN, "--until", "2020-01-01", "--reason", "x"], "is over"),
        ([LOGIN, "--until", "tomorrow", "--reason", "x"], "is no day"),
        ([LOGIN, "--until", "2999-01-01", "--reason", " "], "say why"),
        ([LOGIN, "nobody", "--until", "2999-01-01", "--reason", "x"], "knows nobody"),
    ],
)
async def test_a_pause_that_cannot_be_meant_is_refused(world: World, arguments: list[str], said: str) -> None:
    """And of several people none is paused then."""
    refused = syncd("pause", *arguments)
    assert (refused.exit_code, said in refused.stderr) == (2, True)
    assert Store(world.database).decisions.load_pauses(now=Clock().now()) == []


async def test_a_stranger_is_bound_to_a_person_and_let_go_again(world: World) -> None:
    """Each word names the record; what is somebody's already, or unknown, is refused with what helps."""
    assert syncd("release", LOGIN).exit_code == 0
    bound = syncd("link", LOGIN, "Legacy.Eve@old.example")
    assert bound.exit_code == 0, bound.output
    assert "legacy.eve@old.example is the record of" in bound.stdout
    assert "already" in syncd("link", LOGIN, "legacy.eve@old.example").stdout
    for arguments, said in (
        (("link", OTHER, "robot@bps.example"), f"syncd release {OTHER}"),
        (("link", LOGIN, "nobody@x.example"), "no record"),
        (("release", "robot@bps.example"), "is not ours"),
    ):
        refused = syncd(*arguments)
        assert (refused.exit_code, said in refused.stderr) == (2, True), refused.stderr
    assert "Let go of: legacy.eve@old.example" in syncd("release", "legacy.eve@old.example").stdout


async def test_in_the_middle_of_a_run_nothing_is_decided(world: World) -> None:
    """75, and the run is named; one that a crash left open is in nobody's way."""
    run_id = await world.store.runs.open("full", "cli", now=Clock().now())
    with StoreLock(world.database):
        refused = syncd("release", LOGIN)
        assert (refused.exit_code, f"run {run_id} goes on" in refused.stderr) == (75, True)
    assert Store(world.database).decisions.find_records(LOGIN)[0][1].origin == "created"


async def test_orphans_are_listed_by_class(world: World) -> None:
    """With the promised keys, a summary first, and one class when it is asked for."""
    found = document("orphans")
    assert all(list(each) == ["object", "bps_id", "name", "class", "would_match", "last_seen_at"] for each in found)
    assert {each["bps_id"]: each["class"] for each in found} == {
        "legacy.eve@old.example": "local",
        "robot@bps.example": "local",
    }
    assert found[0]["last_seen_at"]
    shown = syncd("orphans").stdout
    assert "has 2 records that the tenant does not know: local 2" in " ".join(shown.splitlines()[:2])
    assert max(len(line) for line in shown.splitlines()) <= 100
    assert document("orphans", "--class", "ours") == []
    assert syncd("orphans", "--csv", "-").stdout.count("\n") == 3


async def test_licences_tell_seats_and_who_waits(world: World) -> None:
    """Ten are covered, four have a seat, and six wait."""
    Path("syncd.toml").write_text('[[licences]]\ngroup = "Staff"\ntype = "PowerUser"\n')
    (power,) = [each for each in document("licences") if each["type"] == "PowerUser"]
    assert power == {"type": "PowerUser", "seats": 4, "by_rule": 4, "by_hand": 0, "waiting": 6}
    shown = syncd("licences").stdout
    assert "licences[0]  Staff  PowerUser  10      10" in shown
    assert "PowerUser 4 of 4 (4 by rule, 0 by hand), short: 6 wait" in syncd("status").stdout


async def test_a_rejection_never_believes_that_a_tenant_is_empty(world: World) -> None:
    """It used to: whoever rejected what an emptied tenant held had approved it by that."""
    for number in range(10):
        world.source.remove_user(f"u{number}")
    run = await world.sync("delta")
    assert run.counts["users_emptied"] == 1
    assert syncd("reject", str(run.id)).exit_code == 2
    assert "users_emptied" in (await world.sync("delta")).counts


async def test_a_stream_that_is_held_as_a_whole_is_listed_until_somebody_says_that_it_is_true(world: World) -> None:
    """By `held` and `status`, although no change is planned; also when a plan was made since."""
    for user_id in world.source.users:
        world.source.remove_user(user_id)
    run = await world.sync("delta")
    await world.sync("none", write=False)
    assert f"Run {run.id} holds all users" in syncd("held").stdout
    (held,) = document("held")
    assert (held["run"], held["changes"], held["expires_at"]) == (run.id, [], None)
    assert "syncd approve" in held["reason"]
    assert document("status")["held"]["emptied"] == ["users"]
    assert any("shows nobody" in trouble for trouble in document("status")["troubles"])
    assert f"all users as they are, by run {run.id}" in syncd("status").stdout
    Store(world.database).decisions.believe_empty(["users"], run.id)
    assert "Nothing is held." in syncd("held").stdout
    assert (document("held"), document("status")["held"]["emptied"]) == ([], [])


@pytest.mark.parametrize("known_gone", [True, False])
async def test_that_a_tenant_is_truly_empty_is_told_to_machines(
    world: World, known_gone: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the document of an approval: the run that holds it, and whether a full run is needed; it is on record."""
    for name, value in _SIDES.items():
        monkeypatch.setenv(f"SYNCD_{name}", value)
    if known_gone:
        for user_id in [*world.source.users]:
            world.source.remove_user(user_id)
    else:
        world.source.users.clear()
    run = await world.sync("delta" if known_gone else "full")
    told = document("approve", str(run.id))
    assert (told["id"], told["status"], told["refused"]) == (run.id, "held", [])
    assert told["believed"] == [{"stream": "users", "needs_full_run": not known_gone}]
    (decision,) = world.store.decisions.load_decisions(run.id)
    assert (decision.decision, decision.by.via, decision.by.name) == ("approve", "command", name_person())
    assert not world.store.decisions.load_waiting_decisions()


async def test_who_rejected_is_on_record(world: World) -> None:
    """By account and machine, shown with the run; taking it back is recorded as well."""
    world.rules = make_rules(limits=make_limits(max_removal_percent=10, min_population=4))
    for number in range(4):
        world.source.put_user(f"u{number}", accountEnabled=False)
    run = await world.sync("delta")
    assert run.status == "held"
    assert syncd("reject", str(run.id)).exit_code == 0
    assert syncd("reject", str(run.id), "--withdraw").exit_code == 0
    found = world.store.decisions.load_decisions(run.id)
    assert [(each.decision, each.by.via, each.by.name, each.number) for each in found] == [
        ("reject", "command", name_person(), 8),
        ("withdraw", "command", name_person(), 8),
    ]
    assert f"{name_person()} rejected 8 changes by command" in syncd("runs", "show", str(run.id)).stdout


async def test_what_was_decided_is_one_document_for_machines(world: World) -> None:
    """Each command that only says a sentence to people."""
    day = f"{Clock().now() + timedelta(days=9):%Y-%m-%d}"
    paused = document("pause", LOGIN, OTHER, "--until", day, "--reason", "leave,  long")
    assert (paused["who"], paused["reason"]) == ([LOGIN, OTHER], "leave, long")
    assert paused["until"].startswith(day[:7])
    assert document("resume", LOGIN) == [{"who": LOGIN, "was_paused": True}]
    assert document("resume", LOGIN) == [{"who": LOGIN, "was_paused": False}]
    assert document("release", LOGIN) == {"bps_ids": [LOGIN]}
    linked = {"bps_id": "legacy.eve@old.example", "who": LOGIN}
    assert document("link", LOGIN, "Legacy.Eve@old.example") == {**linked, "was_linked": False}
    assert document("link", LOGIN, "Legacy.Eve@old.example") == {**linked, "was_linked": True}
    world.rules = make_rules(limits=make_limits(max_removals=0))
    world.source.put_user("u4", accountEnabled=False)
    run = await world.sync()
    assert run.status == "held"
    held = run.counts["held"]
    assert document("reject", str(run.id)) == {"run": run.id, "changes": held, "withdrawn": False}
    assert document("reject", str(run.id), "--withdraw") == {"run": run.id, "changes": held, "withdrawn": True}
