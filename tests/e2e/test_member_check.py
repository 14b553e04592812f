"""A membership that delta never reports is found by counting, over real HTTPS and with the real program."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from syncd.sandbox.server import Sandbox, SandboxOptions
from syncd.sandbox.wire.knobs import turn_knobs
from syncd.store.db.database import open_database
from syncd.store.db.markers import MEMBERS_COUNTED, save_marker
from syncd.store.schema.tables import member_checks
from tests.e2e.program import Program


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[Sandbox]:
    """A company of sixty, whose portal copies at once."""
    options = SandboxOptions(users=60, groups=12, memberships=300, portal_delay=0.0)
    async with Sandbox(options, tmp_path / "sandbox") as running:
        yield running


def let_hours_pass(directory: Path) -> None:
    """Make the last check, and what it suspected, seven hours old."""
    then = datetime.now(UTC) - timedelta(hours=7)
    database = open_database(f"sqlite:///{directory / 'store.db'}")
    try:
        with database.transaction() as connection:
            save_marker(connection, MEMBERS_COUNTED, then.isoformat())
            suspected = member_checks.c.suspected_at.is_not(None)
            connection.execute(update(member_checks).where(suspected).values(suspected_at=then))
    finally:
        database.close()


async def test_a_lost_membership_is_corrected_by_delta_runs_alone(sandbox: Sandbox, tmp_path: Path) -> None:
    """Nothing in the first delta, a suspicion in the second, the correction in the third, and then silence."""
    syncd = Program.connected(sandbox, tmp_path)
    assert (await syncd("sync", "full")).code == 0
    directory = sandbox.directory
    group = next(
        group
        for group in directory.active_groups()
        if len(group.members) > 3 and all(directory.get(member).kind == "user" for member in group.members)
    )
    place = sandbox.portal.groups[f"{group.id}@groups.example.com"]
    leaver = next(name for name in place.members)
    user = directory.find_user(leaver)
    turn_knobs(sandbox.tenant_knobs, {"lose_links": True})
    directory.remove_member(group.id, user.id)
    turn_knobs(sandbox.tenant_knobs, {"lose_links": False})
    assert (await syncd("sync", "delta", "--json")).document["counts"].get("unlink") is None
    let_hours_pass(tmp_path)
    suspicion = (await syncd("sync", "delta", "--json")).document
    assert suspicion["counts"]["groups_members_counted"] == 12
    counted_only = [  # no list shows service principals, so that a group with some is read once
        each
        for each in directory.active_groups()
        if any(directory.get(member).kind == "servicePrincipal" for member in each.members)
    ]
    assert suspicion["counts"]["groups_suspected"] == 1 + len(counted_only)
    assert leaver in place.members
    let_hours_pass(tmp_path)
    correction = await syncd("sync", "delta", "--json")
    assert correction.code == 0, correction.stderr
    assert correction.document["counts"]["groups_corrected"] == 1
    assert leaver not in place.members
    quiet = (await syncd("sync", "delta", "--json")).document
    assert quiet["counts"]["graph_requests"] == 2
    assert (await syncd("sync", "full", "--json")).document["counts"].get("link") is None
