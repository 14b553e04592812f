"""The real program beside what the portal's own synchronisation left, over the sandbox."""

from __future__ import annotations

from pathlib import Path

import pytest

from syncd.sandbox.portal.store import Account, PortalGroup
from syncd.sandbox.server import Sandbox, SandboxOptions
from tests.e2e.program import Program
from tests.e2e.truth import maps


@pytest.mark.slow
async def test_leftovers_of_the_built_in_synchronisation_are_explained_and_left_alone(tmp_path: Path) -> None:
    """A deactivated record, a visible one that the API may not change, and a group id that a hidden user has."""
    async with Sandbox(SandboxOptions(users=30, groups=4, memberships=60), tmp_path) as sandbox:
        store, tenant = sandbox.portal, sandbox.directory
        people = [user for user in tenant.active_users() if maps(user)][:2]
        names = [str(person.properties["userPrincipalName"]) for person in people]
        group = next(iter(tenant.active_groups()))
        values = dict.fromkeys(("name", "email", "phoneNumber", "managerBpsId", "jobTitle"), "x")
        for bps_id, active in ((names[0], False), (names[1], True), (f"{group.id}@groups.example.com", False)):
            store.accounts[bps_id.casefold()] = Account(bps_id, dict(values), "User", "builtin", active)
        store.knobs.builtin_visible = True
        before = {name: dict(store.accounts[name.casefold()].values) for name in names}
        syncd = Program.connected(sandbox, tmp_path)
        assert (await syncd("check", "--json")).code == 0
        for _ in range(2):
            run = await syncd("sync", "full", SYNCD_GUARD__MAX_ADOPTIONS="false")
            assert run.code == 3, run.stderr
        assert {name: dict(store.accounts[name.casefold()].values) for name in names} == before
        failing = {
            line["bps_id"]: line["reason"]
            for line in (await syncd("users", "--json")).document
            if line["state"] == "failing"
        }
        assert set(failing) == set(names)
        assert "deactivated user" in failing[names[0]]
        assert "does not let us change" in failing[names[1]]
        groups = {line["source_id"]: line for line in (await syncd("groups", "--json")).document}
        assert groups[group.id]["state"] == "failing"
        checked = await syncd("check", "--json")
        (row,) = [row for row in checked.document if row["check"] == "portal coexistence"]
        assert row["status"] == "warning"
        assert "2 users and 1 group refused" in row["detail"]
        assert isinstance(store.groups.get("local.admins@bps.local"), PortalGroup)
