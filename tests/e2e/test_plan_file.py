"""`plan --out` and `apply` as an administrator types them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from syncd.sandbox.server import Sandbox, SandboxOptions
from tests.e2e.program import Program


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[Sandbox]:
    """A small company."""
    async with Sandbox(SandboxOptions(users=40, groups=8, memberships=120), tmp_path / "sandbox") as running:
        yield running


@pytest.fixture
def syncd(sandbox: Sandbox, tmp_path: Path) -> Program:
    """The program, connected to it."""
    return Program.connected(sandbox, tmp_path)


@pytest.mark.again
async def test_a_plan_is_written_applied_exactly_and_refused_when_applied_again(syncd: Program, tmp_path: Path) -> None:
    """The file is private, whole and JSON; a damaged one and one for another portal are usage errors."""
    planned = await syncd("plan", "full", "--json", "--out", "plan.json")
    assert planned.code == 0, planned.stderr
    file = tmp_path / "plan.json"
    assert file.stat().st_mode & 0o077 == 0
    assert [path.name for path in tmp_path.glob("plan.json*")] == ["plan.json"]
    document = json.loads(file.read_text())
    assert len(document["changes"]) == len(planned.document["changes"]) > 40

    elsewhere = await syncd("apply", "plan.json", SYNCD_BPS__PORTAL_URL="https://other.example/BPS")
    assert elsewhere.code == 2
    assert "other.example" in elsewhere.stderr
    (tmp_path / "edited.json").write_text(file.read_text().replace("create", "delete"))
    edited = await syncd("apply", "edited.json")
    assert edited.code == 2
    assert "was edited" in edited.stderr
    assert (await syncd("apply", "missing.json")).code == 2
    assert (await syncd("plan", "none", "--out", "no/such/folder.json")).code == 2

    applied = await syncd("apply", "plan.json", "--json")
    assert (applied.code, applied.document["kind"], applied.document["trigger"]) == (0, "apply", "cli"), applied.stderr
    assert applied.document["counts"]["done"] == len(document["changes"])
    again = await syncd("apply", "plan.json")
    assert again.code == 1
    assert "began to apply this file" in again.stderr
    assert "<hidden>" not in again.stderr + again.stdout
    assert ": “…”; run 2 began" in again.stderr  # it may end up in a log; whoever looks at stdout is told the names
    assert "'syncd runs show 3' has whom the following names" in again.stderr
    named = {change["bps_id"] for change in planned.document["changes"] if change["object"] == "user"}
    assert any(bps_id in again.stdout for bps_id in named)
    assert (await syncd("plan", "full", "--json")).document["changes"] == []
