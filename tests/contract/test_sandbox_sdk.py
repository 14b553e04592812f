"""Microsoft's SDKs walk the imitation Graph: they find what is there; that for Python knows the same schema.

The SDK is 400 MB, so that it lives in an environment of its own: SYNCD_MSGRAPH_PYTHON is the path of a Python that has
it (``pip install msgraph-sdk deprecated``; msgraph-core 1.5.2 imports the second without asking for it).
SYNCD_MSGRAPH_NODE is the path of a folder that has the one for JavaScript in its node_modules.
"""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import pytest

from syncd.sandbox.server import SandboxOptions
from syncd.sandbox.tenant.schema import SCHEMAS
from tests.contract.sandbox_client import open_client

WALK = Path(__file__).with_name("sdk_walk.py")


@pytest.mark.once
async def test_the_sdk_for_python_finds_what_is_there(tmp_path: Path) -> None:
    """Pages, casts, expansions, counts, delta, batches and errors; types as the SDK has them, agents among them."""
    python = os.environ.get("SYNCD_MSGRAPH_PYTHON")
    if not python:
        pytest.skip("Microsoft's SDK was not tried: SYNCD_MSGRAPH_PYTHON names no Python with msgraph-sdk")
    async with open_client(SandboxOptions(users=40, groups=14, memberships=100), tmp_path) as client:
        directory = client.sandbox.directory
        agent = directory.create_agent("Helper", "helper@nordwind.example")
        gone = directory.hire("Gone", "gone@nordwind.example")
        directory.soft_delete(gone)
        boss = directory.users[0].id
        person = directory.hire("Somebody", "somebody@nordwind.example", manager=boss)
        device = directory.add_object("device", "SCANNER")
        group = directory.create_group({"displayName": "G"}, members=[person, agent, device], owners=[boss])
        outer = directory.create_group({"displayName": "Outer"}, members=[group])
        token = (await client.graph_token()).json["access_token"]
        root = f"{client.sandbox.graph_url}/v1.0"
        walk = await asyncio.create_subprocess_exec(
            python,
            str(WALK),
            root,
            str(client.sandbox.ca_file),
            group,
            person,
            env={**os.environ, "SYNCD_WALK_TOKEN": token},
            stdout=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(120):
            output, _ = await walk.communicate()
        assert walk.returncode == 0
        found = json.loads(output)
        active = list(directory.active_users())
        names = [name for _, name, _, _ in found["users"]]
        assert names == sorted(names, key=str.casefold)
        assert {(key, kind, manager) for key, _, kind, manager in found["users"]} == {
            (user.id, "AgentUser" if user.id == agent else "User", user.manager) for user in active
        }
        assert found["count"] == len(active)
        assert dict(found["members"]) == {person: "User", agent: "AgentUser", device: "Device"}
        assert set(found["users_of_group"]) == {person, agent}
        assert (found["owners"], found["members_count"]) == ([boss], 3)
        assert (set(found["above"]), found["manager"], found["deleted"]) == ({group, outer}, boss, [gone])
        assert found["by_ids"] == ["User", "Group"]
        assert dict(found["delta"]) == {user.id: "AgentUser" if user.id == agent else "User" for user in active}
        assert found["delta_again"] == 0
        assert found["delta_links"] == sum(len(each.members) for each in directory.active_groups())
        assert found["error"] == [404, "Request_ResourceNotFound"]
        assert found["batch"] == {"0": 200, "1": 200}
        for kind, schema in SCHEMAS.items():
            known = {each.name for each in schema.properties} | {each.name for each in schema.relations}
            assert known == set(found["schema"][kind]) - {"@odata.type"}
        assert not client.sandbox.ledger.violations


@pytest.mark.once
async def test_the_sdk_for_javascript_finds_what_is_there(tmp_path: Path) -> None:
    """Pages, expansions, casts, counts, delta, batches and errors, without a special case for the imitation."""
    modules = os.environ.get("SYNCD_MSGRAPH_NODE")
    if not modules:
        pytest.skip("Microsoft's SDK was not tried: SYNCD_MSGRAPH_NODE names no folder with its node_modules")
    async with open_client(SandboxOptions(users=40, groups=14, memberships=100), tmp_path) as client:
        directory = client.sandbox.directory
        boss = directory.users[0].id
        person = directory.hire("Somebody", "somebody@nordwind.example", manager=boss)
        device = directory.add_object("device", "SCANNER")
        group = directory.create_group({"displayName": "G"}, members=[person, device])
        token = (await client.graph_token()).json["access_token"]
        walk = await asyncio.create_subprocess_exec(
            "node",
            str(WALK.with_suffix(".mjs")),
            client.sandbox.graph_url,
            group,
            person,
            env={
                **os.environ,
                "SYNCD_WALK_TOKEN": token,
                "SYNCD_WALK_MODULES": modules,
                "NODE_EXTRA_CA_CERTS": str(client.sandbox.ca_file),
            },
            stdout=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(120):
            output, _ = await walk.communicate()
        assert walk.returncode == 0
        found = json.loads(output)
        active = list(directory.active_users())
        assert {(key, manager) for key, _, manager in found["users"]} == {(user.id, user.manager) for user in active}
        assert {tuple(each) for each in found["members"]} == {
            (person, "#microsoft.graph.user"),
            (device, "#microsoft.graph.device"),
        }
        assert found["count"] == len(active)
        assert set(found["delta"]) == {user.id for user in active}
        assert (found["again"], found["batch"]) == (0, [200, 404])
        assert found["missing"] == [404, "Request_ResourceNotFound"]
        assert found["refused"] == [400, "BadRequest"]
