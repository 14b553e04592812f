"""The imitation tenant has accounts of agents: entities of a subtype of user, stated or not, wherever users are."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from syncd.sandbox.server import SandboxOptions
from syncd.sandbox.wire.knobs import turn_knobs
from tests.contract.sandbox_client import Client, open_client

EVENTUAL = {"ConsistencyLevel": "eventual"}
AGENT, USER = "#microsoft.graph.agentUser", "#microsoft.graph.user"


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    async with open_client(SandboxOptions(users=30, groups=14, memberships=60), tmp_path) as opened:
        yield opened


def create_agent(client: Client) -> str:
    """Create an agent's account with a manager."""
    directory = client.sandbox.directory
    return directory.create_agent("Helper", "helper@nordwind.example", manager=directory.users[0].id)


async def find(client: Client, target: str, object_id: str) -> dict[str, Any]:
    """Return the entry of one object in a list, or in the first page of delta."""
    entries = [entry for entry in (await client.graph(target)).json["value"] if entry["id"] == object_id]
    assert len(entries) == 1
    return dict(entries[0])


@pytest.mark.parametrize("stated", [True, False])
@pytest.mark.parametrize("target", ["/users?$select=displayName&$top=999", "/users/delta?$select=displayName"])
async def test_a_list_of_users_states_the_subtype_or_not(client: Client, target: str, stated: bool) -> None:
    """A person's entry names no type, in lists and in delta."""
    turn_knobs(client.sandbox.tenant_knobs, {"subtypes_stated": stated})
    agent = create_agent(client)
    entry = await find(client, target, agent)
    assert entry == {"id": agent, "displayName": "Helper", **({"@odata.type": AGENT} if stated else {})}
    assert "@odata.type" not in await find(client, target, client.sandbox.directory.users[0].id)


@pytest.mark.parametrize("stated", [True, False])
async def test_a_single_agent_and_its_parent_can_be_read(client: Client, stated: bool) -> None:
    """By id, by principal name, and behind its type; the parent is an agentIdentity, a service principal."""
    turn_knobs(client.sandbox.tenant_knobs, {"subtypes_stated": stated})
    agent = create_agent(client)
    for path in (f"/users/{agent}", "/users/helper@nordwind.example", f"/users/microsoft.graph.agentUser/{agent}"):
        entry = (await client.graph(f"{path}?$select=identityParentId")).json
        assert entry.get("@odata.type") == (AGENT if stated else None)
    parent = (await client.graph(f"/directoryObjects/{entry['identityParentId']}")).json
    assert parent["@odata.type"] == f"#microsoft.graph.{'agentIdentity' if stated else 'servicePrincipal'}"
    person = client.sandbox.directory.users[0].id
    assert (await client.graph(f"/users/microsoft.graph.agentUser/{person}")).status == 404


@pytest.mark.parametrize("stated", [True, False])
async def test_references_name_the_subtype_or_the_type_that_it_derives_from(client: Client, stated: bool) -> None:
    """Members, owners, reports and managers, in lists and in delta, and the objects found by their ids."""
    turn_knobs(client.sandbox.tenant_knobs, {"subtypes_stated": stated})
    directory = client.sandbox.directory
    agent = create_agent(client)
    clerk = directory.hire("clerk", "clerk@nordwind.example", manager=agent)
    group = directory.create_group({"displayName": "G"}, members=[agent], owners=[agent])
    expected = AGENT if stated else USER
    for target in (
        f"/groups/{group}/members",
        f"/groups/{group}/owners",
        f"/users/{directory.users[0].id}/directReports",
    ):
        assert (await find(client, f"{target}?$select=id", agent))["@odata.type"] == expected
    changed = await find(client, f"/groups/delta?$select=members&$filter=id eq '{group}'", group)
    assert changed["members@delta"] == [{"@odata.type": expected, "id": agent}]
    changed = await find(client, f"/users/delta?$select=manager&$filter=id eq '{clerk}'", clerk)
    assert changed["manager@delta"] == [{"@odata.type": expected, "id": agent}]
    assert (await client.graph(f"/users/{clerk}/manager")).json["@odata.type"] == expected
    by_id = await client.graph("/directoryObjects/getByIds", method="POST", body={"ids": [agent], "types": ["user"]})
    assert [entry["@odata.type"] for entry in by_id.json["value"]] == [expected]


@pytest.mark.parametrize("stated", [True, False])
async def test_an_agent_is_deleted_and_restored_like_a_user(client: Client, stated: bool) -> None:
    """Delta says with its removal, and its return, what it is; the deleted items have it under both types."""
    turn_knobs(client.sandbox.tenant_knobs, {"subtypes_stated": stated})
    directory, more = client.sandbox.directory, {"@odata.type": AGENT} if stated else {}
    agent = create_agent(client)
    _, link = await client.round("/users/delta?$select=displayName")
    directory.soft_delete(agent)
    assert (await client.graph(link)).json["value"] == [{**more, "id": agent, "@removed": {"reason": "changed"}}]
    assert await find(client, "/directory/deletedItems/microsoft.graph.user?$select=id", agent) == {**more, "id": agent}
    assert await find(client, "/directory/deletedItems/graph.agentUser?$select=id", agent) == {"id": agent}
    directory.restore(agent)
    assert (await client.graph(link)).json["value"] == [{**more, "id": agent, "displayName": "Helper"}]
    directory.hard_delete(agent)
    assert (await client.graph(link)).json["value"] == [{**more, "id": agent, "@removed": {"reason": "deleted"}}]


async def test_a_cast_to_user_holds_agents_and_a_cast_to_agent_them_alone(client: Client) -> None:
    """A cast declares the type, so that nothing but a subtype of it is stated."""
    directory = client.sandbox.directory
    agent, person = create_agent(client), directory.users[0].id
    group = directory.create_group({"displayName": "G"}, members=[agent, person])
    assert (await client.graph(f"/groups/{group}/members/graph.user?$select=id")).json["value"] == [
        {"@odata.type": AGENT, "id": agent},
        {"id": person},
    ]
    for path in (f"/groups/{group}/members", "/users"):
        assert (await client.graph(f"{path}/graph.agentUser?$select=id")).json["value"] == [{"id": agent}]
        assert (await client.graph(f"{path}/graph.agentUser/$count", headers=EVENTUAL)).body == b"1"


async def test_lists_and_counts_may_leave_agents_out(client: Client) -> None:
    """Each by its knob: what v1.0 does is not known."""
    agent = create_agent(client)

    async def read() -> tuple[bool, int]:
        listed = {entry["id"] for entry in (await client.graph("/users?$select=id&$top=999")).json["value"]}
        return agent in listed, int((await client.graph("/users/$count", headers=EVENTUAL)).body)

    assert await read() == (True, 31)
    turn_knobs(client.sandbox.tenant_knobs, {"subtypes_listed": False})
    assert await read() == (False, 31)
    turn_knobs(client.sandbox.tenant_knobs, {"subtypes_listed": True, "subtypes_counted": False})
    assert await read() == (True, 30)


async def test_an_agent_appears_on_request(client: Client) -> None:
    """From outside, in groups at once, and what happens to people can happen to it."""
    url = f"{client.sandbox.control_url}/change"
    (made,) = (await client.send("POST", url, body={"op": "agent"})).json
    directory = client.sandbox.directory
    agent = directory.get(made["id"])
    assert (agent.kind, agent.subtype) == ("user", "agentUser")
    assert directory.groups_of(agent.id)
    (gone,) = (await client.send("POST", url, body={"op": "leave", "target": agent.id})).json
    assert (gone["id"], agent.state) == (agent.id, "deleted")
