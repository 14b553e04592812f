"""`replay` as an administrator types it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from syncd.sandbox.portal.backups import Backups
from syncd.sandbox.server import Sandbox, SandboxOptions
from tests.e2e.program import Program


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[Sandbox]:
    """A small company."""
    async with Sandbox(SandboxOptions(users=40, groups=8, memberships=120), tmp_path / "sandbox") as running:
        yield running


async def test_a_backup_that_was_played_back_is_told_shown_and_replayed(sandbox: Sandbox, tmp_path: Path) -> None:
    """Nothing is written before it is asked for; afterwards the portal is as it was."""
    syncd = Program.connected(sandbox, tmp_path)
    backups = Backups(sandbox.portal_service)
    backups.take("monday")
    assert (await syncd("sync", "full")).code == 0
    wanted = {key: dict(account.values) for key, account in sandbox.portal.accounts.items()}
    nothing = await syncd("replay")
    assert (nothing.code, nothing.stdout) == (0, "The portal shows what syncd has written: nothing was lost.\n")

    backups.restore("monday")
    before = set(sandbox.portal.accounts)
    refused = await syncd("sync", "full")
    assert refused.code == 1
    assert "the portal went back in time" in refused.stderr
    shown = await syncd("replay", "--json")
    assert shown.code == 0, shown.stderr
    assert shown.document["counts"]["create"] > 30
    assert shown.document["restored"]["lost"] == shown.document["restored"]["written"]
    assert set(sandbox.portal.accounts) == before
    assert (await syncd("replay", "--apply", "--dismiss")).code == 2

    done = await syncd("replay", "--apply")
    assert done.code == 0, done.stderr
    assert "The portal went back in time" in done.stdout
    assert (await syncd("sync", "full")).code == 0
    assert {key: dict(account.values) for key, account in sandbox.portal.accounts.items()} == wanted

    backups.restore("monday")
    dismissed = await syncd("replay", "--dismiss")
    assert dismissed.code == 0
    assert "Dismissed" in dismissed.stdout
    assert "back in time" not in (await syncd("plan", "full")).stderr
