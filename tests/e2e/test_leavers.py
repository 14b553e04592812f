"""Leavers, renames and returners, as the real program carries them out against the imitation tenant and portal."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from syncd.sandbox.server import Sandbox, SandboxOptions
from tests.e2e.program import Program


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[Sandbox]:
    """A company of sixty, whose portal copies at once."""
    options = SandboxOptions(users=60, groups=12, memberships=300)
    async with Sandbox(options, tmp_path / "sandbox") as running:
        running.portal_knobs.sync_delay_min = running.portal_knobs.sync_delay_max = 0.0
        yield running


@pytest.fixture
def syncd(sandbox: Sandbox, tmp_path: Path) -> Program:
    """The program, connected to it, with managers who stand in."""
    program = Program.connected(sandbox, tmp_path)
    program.environment |= {"SYNCD_POLICY__SUBSTITUTE": "manager", "SYNCD_GUARD__MAX_UPDATE_PERCENT": "false"}
    return program


def stand_ins(sandbox: Sandbox) -> dict[str, str]:
    """Return who stands in for whom in the portal."""
    found = {}
    for entry in sandbox.portal_service.substitutions.entries.values():
        original, substitute = entry["originalPerson"], entry["substitutePerson"]
        assert isinstance(original, dict)
        assert isinstance(substitute, dict)
        found[str(original["bpsId"]).casefold()] = str(substitute["bpsId"]).casefold()
    return found


@pytest.mark.parametrize(("answer", "first_page"), [("number", 0), ("nothing", 0), ("nothing", 1)])
async def test_tasks_of_leavers_and_renamed_people_are_passed_on_and_given_back(
    sandbox: Sandbox, syncd: Program, answer: str, first_page: int
) -> None:
    """Whatever a creation is answered with and wherever pages begin."""
    sandbox.portal_knobs.substitution_answer = answer  # type: ignore[assignment]
    sandbox.portal_knobs.substitution_first_page = first_page
    directory = sandbox.directory
    boss = directory.hire("Berta Boss", "berta.boss@nordwind.example")
    leaver = directory.hire("Lea Leaver", "lea.leaver@nordwind.example", manager=boss)
    anna = directory.hire("Anna Alt", "anna.alt@nordwind.example", manager=boss)
    first = await syncd("sync", "full")
    assert first.code == 0, first.stderr

    directory.set_attributes(leaver, accountEnabled=False)
    directory.set_attributes(anna, userPrincipalName="anna.neu@nordwind.example")
    planned = (await syncd("plan", "delta", "--json")).document
    substitutions = [change for change in planned["changes"] if change["object"] == "substitution"]
    assert substitutions == [
        {
            "action": "create",
            "object": "substitution",
            "bps_id": "anna.alt@nordwind.example",
            "target": "anna.neu@nordwind.example",
        },
        {
            "action": "create",
            "object": "substitution",
            "bps_id": "lea.leaver@nordwind.example",
            "target": "berta.boss@nordwind.example",
        },
    ]
    assert stand_ins(sandbox) == {}
    delta = await syncd("sync", "delta")
    assert delta.code == 0, delta.stderr
    assert stand_ins(sandbox) == {
        "anna.alt@nordwind.example": "anna.neu@nordwind.example",
        "lea.leaver@nordwind.example": "berta.boss@nordwind.example",
    }
    users = {line["bps_id"]: line for line in (await syncd("users", "--json")).document}
    assert users["lea.leaver@nordwind.example"]["state"] == "leaving"
    assert "tasks go to berta.boss@nordwind.example until" in users["lea.leaver@nordwind.example"]["reason"]
    shown = (await syncd("explain", "lea.leaver@nordwind.example", "--json")).document
    assert shown["target"]["substitution"]["substitute"] == "berta.boss@nordwind.example"
    assert (await syncd("plan", "full", "--json")).document["changes"] == []

    directory.set_attributes(leaver, accountEnabled=True)
    directory.set_attributes(anna, userPrincipalName="anna.alt@nordwind.example")
    assert (await syncd("sync", "delta")).code == 0
    assert stand_ins(sandbox) == {"anna.neu@nordwind.example": "anna.alt@nordwind.example"}
    assert (await syncd("plan", "full", "--json")).document["changes"] == []


async def test_without_the_scope_there_is_a_warning_and_everything_else_is_done(
    sandbox: Sandbox, syncd: Program
) -> None:
    """The run succeeds, says it once, and `check` names the scope."""
    directory = sandbox.directory
    anna = directory.hire("Anna Alt", "anna.alt@nordwind.example")
    assert (await syncd("sync", "full")).code == 0
    sandbox.portal_service.application.scopes.discard("Admin.Substitutions.ReadWrite")
    directory.set_attributes(anna, userPrincipalName="anna.neu@nordwind.example")
    delta = await syncd("sync", "delta")
    assert delta.code == 0, delta.stderr
    assert "anna.neu@nordwind.example" in sandbox.portal.accounts
    assert delta.stderr.count("substitutions.forbidden") == 1
    again = await syncd("sync", "delta")
    assert (again.code, again.stderr.count("substitutions.forbidden")) == (0, 0)
    (row,) = [row for row in (await syncd("check", "--json")).document if row["check"] == "portal substitutions"]
    assert row["status"] == "warning"
    assert "Admin.Substitutions.ReadWrite" in row["remedy"]
