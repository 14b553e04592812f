"""One object now, as an administrator types it: the real program against the imitation tenant and portal."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from syncd.sandbox.server import Sandbox, SandboxOptions
from syncd.store.db.database import open_database
from syncd.store.db.lock import StoreLock
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
    """The program, connected to it."""
    return Program.connected(sandbox, tmp_path)


async def test_one_user_and_one_group_go_through_in_a_handful_of_requests(sandbox: Sandbox, syncd: Program) -> None:
    """Whatever else has changed waits; the next delta still knows of it, because no checkpoint moved."""
    empty = await syncd("sync", "user", "somebody@nordwind.example")
    assert empty.code == 1
    assert "sync full" in empty.stderr
    first = await syncd("sync", "full")
    assert first.code == 0
    assert "users complete: 60 met, Graph counts 60 (± 5)" in first.stdout
    assert "groups complete: 12 met, Graph counts 12 (± 5)" in (await syncd("runs", "show", "last")).stdout
    proof = (await syncd("runs", "show", "last", "--json")).document["proof"]
    assert (proof["users"]["proven"], proof["groups"]["counted"]) == (True, 12)
    directory = sandbox.directory
    other = next(user for user in directory.active_users() if user.properties["userType"] == "Member")
    directory.set_attributes(other.id, jobTitle="Another title")
    hired = directory.hire("Nina Neu", "nina.neu@nordwind.example", manager=other.id)
    group = directory.find_group("BPS users")
    directory.add_member(group.id, hired)
    sandbox.ledger.clear()
    one = await syncd("sync", "user", "Nina.Neu@nordwind.example", "--json")
    assert (one.code, one.document["kind"], one.document["status"]) == (0, "user", "succeeded"), one.stderr
    account = sandbox.portal.accounts["nina.neu@nordwind.example"]
    assert account.values["managerBpsId"] == other.properties["userPrincipalName"]
    assert account.bps_id.casefold() in sandbox.portal.groups[f"{group.id}@groups.example.com"].members
    assert sandbox.ledger.requests("graph") <= 3
    assert not any("delta" in entry.target for entry in sandbox.ledger.entries)

    directory.remove_member(group.id, hired)
    left = await syncd("sync", "group", "bps USERS")
    assert left.code == 0, left.stderr
    assert account.bps_id.casefold() not in sandbox.portal.groups[f"{group.id}@groups.example.com"].members
    assert [(run["kind"], run["trigger"]) for run in (await syncd("runs", "--json")).document] == [
        ("group", "cli"),
        ("user", "cli"),
        ("full", "cli"),
        ("user", "cli"),  # which was refused, since nothing was read yet
    ]
    shown = (await syncd("explain", "nina.neu@nordwind.example", "--json")).document
    assert [entry["outcome"] for entry in shown["outcomes"]][:1] == ["done"]
    assert shown["target"]["groups"] == []

    delta = await syncd("sync", "delta", "--json")
    assert delta.document["counts"]["update"] == 1
    title = sandbox.portal.accounts[str(other.properties["userPrincipalName"]).casefold()].values["jobTitle"]
    assert title == "Another title"


async def test_names_that_nobody_or_several_bear_are_exit_code_2(sandbox: Sandbox, syncd: Program) -> None:
    """A sentence with the way out, and no line in the history."""
    assert (await syncd("sync", "full")).code == 0
    twins = [sandbox.directory.create_group({"displayName": "Twins"}) for _ in range(2)]
    several = await syncd("sync", "group", "Twins")
    assert several.code == 2
    assert all(group_id in several.stderr for group_id in twins)
    for arguments in (("user", "nobody@nordwind.example"), ("user", "delta"), ("group", "Nothing"), ("group", " ")):
        refused = await syncd("sync", *arguments)
        assert refused.code == 2, refused.stderr
        assert "Traceback" not in refused.stderr
    assert len((await syncd("runs", "--json")).document) == 1
    database = open_database(f"sqlite:///{syncd.directory / 'store.db'}")
    try:
        with StoreLock(database):
            assert (await syncd("sync", "user", "nobody@nordwind.example")).code == 75
    finally:
        database.close()
