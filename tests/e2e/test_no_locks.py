"""The real program on a file system without locks, for which a library stands that is loaded before all others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from syncd.sandbox.server import Sandbox, SandboxOptions
from tests.e2e.daemons import PROMPTLY
from tests.e2e.program import Program
from tests.optional import build_library_or_skip


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[Sandbox]:
    """A company of three."""
    async with Sandbox(SandboxOptions(users=3, groups=1, memberships=2), tmp_path / "sandbox") as company:
        yield company


@pytest.fixture
def no_locks(tmp_path: Path) -> str:
    """The path of the library."""
    reason = "a file system without locks was not tested: there is no C compiler (Debian: apt-get install gcc)"
    return str(build_library_or_skip(Path(__file__).with_name("no_locks.c"), tmp_path, reason=reason))


@pytest.mark.once
@pytest.mark.parametrize("fresh", [True, False], ids=["no store yet", "a store from elsewhere"])
async def test_a_file_system_without_locks_is_a_sentence(
    sandbox: Sandbox, tmp_path: Path, no_locks: str, *, fresh: bool
) -> None:
    """Daemon and commands end with what to do, the check has a failed row, and nothing is written to the portal."""
    syncd, before = Program.connected(sandbox, tmp_path, fresh=fresh), set(sandbox.portal.accounts)
    for command in (("migrate",), ("run",), ("sync", "full")):
        async with asyncio.timeout(PROMPTLY):  # SQLite would wait for half a minute, and begin again
            ended = await syncd(*command, LD_PRELOAD=no_locks)
        assert ended.code == 1, command
        assert "use PostgreSQL" in ended.stderr.splitlines()[-1], command
        assert "Traceback" not in ended.stdout + ended.stderr
    check = await syncd("check", "--json", LD_PRELOAD=no_locks)
    (row,) = [row for row in check.document if row["check"] == "store"]
    assert row["status"] == "failed"
    assert "use PostgreSQL" in row["detail"] + row["remedy"]
    assert sandbox.portal.accounts.keys() == before
