"""`undo` as an administrator types it."""

from __future__ import annotations

import csv
import io
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from openpyxl import load_workbook

from syncd.sandbox.portal.manual_edits import ByHand, do_by_hand
from syncd.sandbox.server import Sandbox, SandboxOptions
from syncd.sandbox.tenant.objects import Group
from syncd.store.db.database import open_database
from syncd.store.db.lock import StoreLock
from tests.e2e.program import Program


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[Sandbox]:
    """A small company."""
    async with Sandbox(SandboxOptions(users=40, groups=8, memberships=120), tmp_path / "sandbox") as running:
        yield running


@pytest.fixture
def syncd(sandbox: Sandbox, tmp_path: Path) -> Program:
    """The program, connected to it; the guard is out of the way."""
    environment = {"SYNCD_GUARD__MAX_REMOVAL_PERCENT": "100", "SYNCD_GUARD__MAX_UPDATE_PERCENT": "100"}
    program = Program.connected(sandbox, tmp_path)
    program.environment.update(environment)
    return program


def read_values(sandbox: Sandbox) -> dict[str, dict[str, str | None]]:
    """Return what every account of the portal holds now."""
    return {key: dict(account.values) for key, account in sandbox.portal.accounts.items()}


async def test_a_wrong_rule_is_undone_and_the_portal_is_as_before(sandbox: Sandbox, syncd: Program) -> None:
    """Said first, shown on request, done, and told that the next full run would do it again."""
    assert (await syncd("sync", "full")).code == 0
    before = read_values(sandbox)
    wrong = {"SYNCD_MAPPING__USER__NAME": "userPrincipalName"}
    assert (await syncd("sync", "full", **wrong)).code == 0
    assert read_values(sandbox) != before

    shown = await syncd("undo", "last", "--dry-run", "--json", **wrong)
    assert shown.code == 0, shown.stderr
    assert {change["action"] for change in shown.document["changes"]} == {"update"}
    assert shown.document["skipped"] == []
    assert "To undo: run 2 (full, trigger cli, " in shown.stderr
    assert read_values(sandbox) != before
    number = len(shown.document["changes"])
    listed = await syncd("undo", "2", "--dry-run", COLUMNS="100", **wrong)
    assert f"Would be done: {number}" in listed.stdout
    assert f"{number} × update user" in listed.stdout, "many begin with numbers"
    assert max(map(len, listed.stdout.splitlines())) <= 100
    saved = await syncd("undo", "2", "--dry-run", "--csv", "-", "--xlsx", "undo.xlsx", **wrong)
    rows = list(csv.reader(io.StringIO(saved.stdout)))
    assert rows[0] == ["outcome", "action", "object", "bps id", "group name", "member", "what", "why"]
    sheet = load_workbook(syncd.directory / "undo.xlsx").active
    assert sheet is not None
    assert (len(rows), sheet.max_row) == (number + 1, number + 1)
    assert (await syncd("undo", "2", "--dry-run", "--action", "link", "--csv", "-", **wrong)).stdout.count("\n") == 1
    assert (await syncd("undo", "2", "--action", "link", **wrong)).code == 2, "all of a run is undone"
    assert read_values(sandbox) != before
    done = await syncd("undo", "2", **wrong)
    assert done.code == 0, done.stderr
    assert done.stdout.startswith("To undo: run 2 (full, trigger cli, started ")
    assert "To be done" in done.stdout
    assert "the next full run" in done.stderr
    assert read_values(sandbox) == before
    assert (await syncd("plan", "full", "--json")).document["changes"] == []

    again = await syncd("undo", "last", **wrong)
    assert again.code == 0, again.stderr
    assert again.stdout.startswith("To undo: run 2 (full, ")
    assert "passes over run 7, which is itself an undo" in again.stderr
    assert read_values(sandbox) == before

    first = await syncd("undo", "1", "--dry-run")
    assert "Cannot be undone" in first.stdout
    assert "--delete-created" in first.stdout
    assert (await syncd("undo", "99")).code == 2
    assert (await syncd("undo", "3")).code == 2  # it only planned


async def test_who_stops_reading_decides_nothing(sandbox: Sandbox, syncd: Program) -> None:
    """`undo RUN | head`: the undo goes on, and every command ends as it would have ended."""
    assert (await syncd("sync", "full")).code == 0
    before = read_values(sandbox)
    assert (await syncd("sync", "full", SYNCD_MAPPING__USER__NAME="userPrincipalName")).code == 0
    assert await syncd.unread("undo", "2", SYNCD_MAPPING__USER__NAME="userPrincipalName") == 0
    assert read_values(sandbox) == before
    newest = (await syncd("runs", "--json")).document[0]
    assert (newest["kind"], newest["status"]) == ("undo", "succeeded")
    assert await syncd.unread("sync", "delta") == 0
    assert await syncd.unread("users") == 0
    assert await syncd.unread("runs", "show", "99", "--json") == 2


async def test_what_the_sandbox_changes_by_hand_is_told_and_set_back(sandbox: Sandbox, syncd: Program) -> None:
    """The newcomer's way to `drift`: a field, a place in a group, and a removed account."""
    assert (await syncd("sync", "full")).code == 0
    chance = random.Random(1)
    for op in ("portal-edit", "portal-join", "portal-remove"):
        do_by_hand(sandbox.portal, chance, ByHand(op))
    told = (await syncd("drift", "--json")).document
    assert sorted(entry["field"] for entry in told) == ["member", "phone", "record"]
    by_id = {
        node.id: node.properties["displayName" if isinstance(node, Group) else "userPrincipalName"]
        for node in sandbox.directory.objects.values()
    }
    assert [entry["owner"] for entry in told] == [by_id[entry["source_id"]] for entry in told]
    table = (await syncd("drift", COLUMNS="250")).stdout
    assert "owned for" in table
    assert all(entry["owner"] in table for entry in told)
    chosen = await syncd("drift", "--object", "membership", "--csv", "-")
    assert [row[0] for row in csv.reader(io.StringIO(chosen.stdout))] == ["object", "membership"]
    assert (await syncd("drift", "--object", "membership", "--revert")).code == 2, "it is about all of it"
    reverted = await syncd("drift", "--revert")
    assert reverted.code == 0, reverted.stderr
    assert (await syncd("drift", "--json")).document == []


async def test_beside_a_daemon_nothing_points_to_a_signal_that_does_not_exist(syncd: Program) -> None:
    """No signal makes a daemon undo a run or look for drift: it must be stopped, and --wait waits for that."""
    assert (await syncd("sync", "full")).code == 0
    database = open_database(f"sqlite:///{syncd.directory / 'store.db'}")
    try:
        with StoreLock(database):
            for arguments in (("undo", "last"), ("undo", "1", "--dry-run"), ("drift",), ("drift", "--revert")):
                refused = await syncd(*arguments)
                assert refused.code == 75, refused.stderr
                assert "SIGUSR" not in refused.stderr
                assert "must be stopped" in refused.stderr
                assert "--wait" in refused.stderr
    finally:
        database.close()


async def test_drift_is_told_adopted_and_reverted(sandbox: Sandbox, syncd: Program) -> None:
    """A name changed by hand: told as JSON, written back on request; another one taken as it is."""
    assert (await syncd("sync", "full")).code == 0
    assert (await syncd("drift", "--json")).document == []
    first, second = sorted(
        account.bps_id for account in sandbox.portal.accounts.values() if account.values["jobTitle"]
    )[:2]
    values = {bps_id: sandbox.portal.accounts[bps_id.casefold()].values for bps_id in (first, second)}
    ours = values[first]["name"]
    values[first]["name"] = "By Hand"
    told = (await syncd("drift", "--json")).document
    assert [{key: entry[key] for key in ("object", "bps_id", "field", "ours", "theirs")} for entry in told] == [
        {"object": "user", "bps_id": first, "field": "name", "ours": ours, "theirs": "By Hand"}
    ]
    reverted = await syncd("drift", "--revert")
    assert reverted.code == 0, reverted.stderr
    assert "By Hand" in reverted.stdout
    assert values[first]["name"] == ours
    values[second]["name"] = "By Hand"
    assert (await syncd("drift", "--adopt")).code == 0
    assert "Nothing was changed by hand" in (await syncd("drift")).stdout
    assert (await syncd("plan", "full", "--json")).document["changes"] == []
    assert (await syncd("runs", "--json")).document[2]["kind"] == "drift"
