"""A login used again, a group made anew and a name that two groups bear, as an administrator sees them."""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from syncd.sandbox.server import Sandbox, SandboxOptions
from syncd.sandbox.tenant.events import happen
from tests.e2e.program import Program


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[Sandbox]:
    """A small company."""
    options = SandboxOptions(users=40, groups=8, memberships=120)
    async with Sandbox(options, tmp_path / "sandbox") as running:
        yield running


@pytest.fixture
async def syncd(sandbox: Sandbox, tmp_path: Path) -> Program:
    """The program, after its first run."""
    program = Program.connected(sandbox, tmp_path)
    assert (await program("sync", "full")).code == 0
    return program


def let(sandbox: Sandbox, name: str, target: str | None = None) -> dict[str, Any]:
    """Let something happen, and return it."""
    (done,) = happen(sandbox.directory, random.Random(name), name, count=1, target=target)
    return dict(done)


async def test_a_login_that_is_used_again_waits_with_its_card(sandbox: Sandbox, syncd: Program) -> None:
    """held, plan, explain and approve show who had it, what hangs on it and why it is asked; approve hands it over."""
    left = let(sandbox, "leave")
    new = let(sandbox, "take-login", left["id"])
    login = new["upn"]
    plan = (await syncd("plan", "delta", "--json")).document
    (planned,) = [change for change in plan["held"] if change["action"] == "handover"]
    assert (planned["object"], planned["bps_id"].casefold()) == ("user", login.casefold())
    assert planned["card"]["former"]["id"] == left["id"]
    run = await syncd("sync", "delta")
    assert run.code == 4, run.stderr
    (held,) = (await syncd("held", "--json")).document
    (change,) = held["changes"]
    assert (change["action"], change["card"]["newcomer"]["id"]) == ("handover", new["id"])
    assert "guard.max_handovers allows 0" in change["reason"]
    assert any("employeeId" in words for words in change["card"]["evidence"]["against"])
    shown = (await syncd("held")).stdout
    for words in ("Handover of the user", "had it:", left["id"], new["id"], "against:", "only one has"):
        assert words in shown
    for who in (left["id"], new["id"]):
        assert (await syncd("explain", who, "--json")).document["handover"]["bps_id"] == planned["bps_id"]
        assert "Handover of the user" in (await syncd("explain", who)).stdout
    states = {line["source_id"]: line["state"] for line in (await syncd("users", "--json")).document}
    assert (states[left["id"]], states[new["id"]]) == ("leaving", "held")
    done = await syncd("approve", str(held["run"]), "--kind", "handover")
    assert done.code == 0, done.stderr
    assert "Handover of the user" in done.stdout
    assert sandbox.portal.accounts[login.casefold()].values["name"] == new["name"]
    last = (await syncd("runs", "show", "last", "--json")).document
    (passed,) = [change for change in last["changes"] if change["action"] == "handover"]
    assert (passed["outcome"], passed["before"]["source_id"]) == ("done", left["id"])
    assert (await syncd("explain", new["id"], "--json")).document["handover"] is None
    assert (await syncd("undo", "last", "--dry-run")).code == 0


async def test_somebody_who_is_hired_again_keeps_the_account(sandbox: Sandbox, syncd: Program) -> None:
    """The employee number says that it is the same human being."""
    left = let(sandbox, "leave")
    new = let(sandbox, "rehire", left["id"])
    assert (await syncd("sync", "delta")).code == 0
    last = (await syncd("runs", "show", "last", "--json")).document
    (passed,) = [change for change in last["changes"] if change["action"] == "handover"]
    assert passed["outcome"] == "done"
    assert "the same employeeId" in passed["reason"]
    assert (await syncd("explain", new["id"], "--json")).document["standing"][0]["state"] == "active"


async def test_a_group_that_is_made_anew_keeps_its_bps_group(sandbox: Sandbox, syncd: Program) -> None:
    """Though its BPS id is made of another object id by now."""
    group = next(each for each in sandbox.directory.active_groups() if len(each.members) > 3)
    before = len(sandbox.portal.groups)
    let(sandbox, "remake-group", group.id)
    assert (await syncd("sync", "delta")).code == 0
    assert len(sandbox.portal.groups) == before
    last = (await syncd("runs", "show", "last", "--json")).document
    (passed,) = [change for change in last["changes"] if change["action"] == "handover"]
    assert (passed["object"], passed["outcome"]) == ("group", "done")
    assert "made anew" in passed["reason"]
    assert (await syncd("sync", "full")).code == 0
    assert (await syncd("runs", "show", "last", "--json")).document["changes"] == []


async def test_a_second_group_of_a_name_that_a_rule_uses_is_told_and_changes_nothing(
    sandbox: Sandbox, syncd: Program
) -> None:
    """By the run, by check, and by explain of that group."""
    group = next(each for each in sandbox.directory.active_groups() if len(each.members) > 3)
    name = str(group.properties["displayName"])
    syncd.environment["SYNCD_LICENCES"] = json.dumps([{"group": name, "type": "PowerUser"}])
    assert (await syncd("sync", "full")).code == 0
    holders = set(sandbox.portal_service.licences.holders)
    outsider = next(user.id for user in sandbox.directory.active_users() if user.id not in group.members)
    rival = sandbox.directory.create_group({"displayName": name.upper()}, members=[outsider])
    run = await syncd("sync", "delta")
    assert run.code == 0
    assert "group.name_moved" in run.stderr
    assert set(sandbox.portal_service.licences.holders) == holders
    found = {item["check"]: item for item in (await syncd("check", "--json")).document}
    told = found["graph.group licences[0].group"]
    assert (told["status"], rival in told["detail"]) == ("warning", True)
    explained = (await syncd("explain", rival, "--json")).document
    assert explained["namesake_of"] == [{"rule": "licences[0]", "group": name, "means": group.id}]
    assert "which means another group" in (await syncd("explain", rival)).stdout
