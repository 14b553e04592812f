"""The imitation Graph's paths: casts as documented and as the SDKs write them, any letter case, keys in parentheses."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from syncd.sandbox.server import SandboxOptions
from syncd.sandbox.wire.knobs import turn_knobs
from tests.contract.sandbox_client import Client, open_client

EVENTUAL = {"ConsistencyLevel": "eventual"}


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    async with open_client(SandboxOptions(users=40, groups=14, memberships=100), tmp_path) as opened:
        yield opened


async def ids(client: Client, target: str) -> set[str]:
    """Return the ids of a list of one page."""
    reply = await client.graph(target)
    assert reply.status == 200, reply.body
    return {entry["id"] for entry in reply.json["value"]}


def mixed_group(client: Client) -> tuple[str, dict[str, str]]:
    """Make a group that holds one object of each kind; return its id and theirs."""
    directory = client.sandbox.directory
    made = {
        "user": directory.hire("Somebody", "somebody@nordwind.example"),
        "group": directory.create_group({"displayName": "Inner"}),
        "device": directory.add_object("device", "SCANNER"),
        "orgContact": directory.add_object("orgContact", "Partner"),
        "servicePrincipal": directory.add_object("servicePrincipal", "Robot"),
    }
    return directory.create_group({"displayName": "Mixed"}, members=made.values(), owners=[made["user"]]), made


@pytest.mark.parametrize("prefix", ["graph.", "microsoft.graph.", "Graph.", "MICROSOFT.GRAPH."])
@pytest.mark.parametrize("kind", ["user", "group", "device", "orgContact"])
async def test_members_are_cast_to_a_type(client: Client, prefix: str, kind: str) -> None:
    """In the short form of the SDKs and in the long one, with a count; entries do not repeat the type."""
    group, made = mixed_group(client)
    for relation in ("members", "transitiveMembers"):
        target = f"/groups/{group}/{relation}/{prefix}{kind}"
        reply = await client.graph(f"{target}?$select=id")
        assert reply.json["value"] == [{"id": made[kind]}]
        assert (await client.graph(f"{target}/$count", headers=EVENTUAL)).body == b"1"


async def test_service_principals_are_left_out_of_members_by_a_cast_as_well(client: Client) -> None:
    """The known issue of v1.0, which the count does not share."""
    group, made = mixed_group(client)
    target = f"/groups/{group}/members/graph.servicePrincipal"
    assert await ids(client, target) == set()
    assert (await client.graph(f"{target}/$count", headers=EVENTUAL)).body == b"1"
    turn_knobs(client.sandbox.tenant_knobs, {"members_omit_service_principals": False})
    assert await ids(client, target) == {made["servicePrincipal"]}


@pytest.mark.parametrize("cast", ["graph.nothing", "microsoft.graph.", "graph.message"])
async def test_an_unsupported_cast_is_refused(client: Client, cast: str) -> None:
    """And not taken for an id."""
    group, _ = mixed_group(client)
    for path in (f"/groups/{group}/members/{cast}", f"/directory/deletedItems/{cast}"):
        assert (await client.graph(path)).code == "Request_UnsupportedQuery"


async def test_groups_above_are_cast_and_followed_to_the_top(client: Client) -> None:
    """memberOf the direct ones, transitiveMemberOf all of them once, with counts, around a cycle as well."""
    directory = client.sandbox.directory
    user = directory.hire("Somebody", "somebody@nordwind.example")
    inner = directory.create_group({"displayName": "Inner"}, members=[user])
    outer = directory.create_group({"displayName": "Outer"}, members=[inner])
    directory.add_member(inner, outer)
    top = directory.create_group({"displayName": "Top", "visibility": "HiddenMembership"}, members=[outer])
    for cast in ("", "/graph.group", "/microsoft.graph.group"):
        assert await ids(client, f"/users/{user}/memberOf{cast}?$select=id") == {inner}
        assert await ids(client, f"/users/{user}/transitiveMemberOf{cast}?$select=id") == {inner, outer, top}
        assert await ids(client, f"/groups/{outer}/transitiveMemberOf{cast}?$select=id") == {inner, outer, top}
        counted = await client.graph(f"/users/{user}/transitiveMemberOf{cast}/$count", headers=EVENTUAL)
        assert counted.body == b"3"
    assert await ids(client, f"/users/{user}/memberOf/microsoft.graph.directoryRole") == set()
    client.sandbox.registration.roles.discard("Member.Read.Hidden")
    client.tokens.clear()
    assert await ids(client, f"/users/{user}/transitiveMemberOf?$select=id") == {inner, outer}
    reply = await client.graph(f"/users/{user}/transitiveMemberOf")
    assert reply.headers["x-ms-resource-unit"] == "2"


async def test_what_a_user_owns_and_who_reports_is_cast_and_counted(client: Client) -> None:
    """Like every relationship that is a list."""
    directory = client.sandbox.directory
    group, made = mixed_group(client)
    clerk = directory.hire("clerk", "clerk@nordwind.example", manager=made["user"])
    for path, expected in (
        (f"/users/{made['user']}/ownedObjects/graph.group", group),
        (f"/users/{made['user']}/directReports/graph.user", clerk),
    ):
        assert await ids(client, f"{path}?$select=id&$top=999") == {expected}
        assert (await client.graph(f"{path}/$count", headers=EVENTUAL)).body == b"1"
    assert await ids(client, f"/users/{made['user']}/directReports?$select=id&$top=999") == {clerk}


async def test_deleted_items_are_cast_in_any_form(client: Client) -> None:
    """A single one by its id alone or behind its type; without a type nothing is listed."""
    directory = client.sandbox.directory
    user, group = directory.users[0].id, directory.groups[0].id
    directory.soft_delete(user)
    directory.soft_delete(group)
    client.sandbox.registration.roles.add("Group.Read.All")
    for prefix in ("graph.", "microsoft.graph."):
        assert await ids(client, f"/directory/deletedItems/{prefix}user?$select=id") == {user}
        assert await ids(client, f"/directory/deleteditems/{prefix}group?$select=id") == {group}
        assert await ids(client, f"/directory/deletedItems/{prefix}application") == set()
        assert (await client.graph(f"/directory/deletedItems/{prefix}user/{user}?$select=id")).json["id"] == user
        assert (await client.graph(f"/directory/deletedItems/{prefix}group/{user}")).status == 404
        counted = await client.graph(f"/directory/deletedItems/{prefix}user/$count", headers=EVENTUAL)
        assert counted.body == b"1"
    assert (await client.graph(f"/directory/deletedItems/{group}?$select=id")).json["id"] == group
    assert (await client.graph("/directory/deletedItems")).status == 400


async def test_deleted_groups_ask_for_a_permission_in_any_form(client: Client) -> None:
    """The short form of the cast is no way around it."""
    for prefix in ("graph.", "microsoft.graph.", "Graph."):
        assert (await client.graph(f"/directory/deletedItems/{prefix}group")).code == "Authorization_RequestDenied"


async def test_casts_may_need_the_header(client: Client) -> None:
    """With the knob, as the pages of members and memberOf say."""
    group, made = mixed_group(client)
    turn_knobs(client.sandbox.tenant_knobs, {"casts_need_eventual": True})
    target = f"/groups/{group}/members/microsoft.graph.user?$select=id"
    assert (await client.graph(target)).code == "Request_UnsupportedQuery"
    reply = await client.graph(f"{target}&$count=true", headers=EVENTUAL)
    assert (reply.json["@odata.count"], [entry["id"] for entry in reply.json["value"]]) == (1, [made["user"]])
    assert (await client.graph(f"/groups/{group}/members?$select=id")).status == 200


@pytest.mark.parametrize("path", ["/USERS/{0}/MEMBEROF", "/Users('{0}')/memberof", "/users('{1}')/memberOf"])
async def test_segments_are_accepted_in_any_letter_case_and_keys_in_parentheses(client: Client, path: str) -> None:
    """They lead to the same list."""
    directory = client.sandbox.directory
    user = next(user for user in directory.active_users() if directory.groups_of(user.id))
    plain = await ids(client, f"/users/{user.id}/memberOf?$select=id")
    assert await ids(client, path.format(user.id, user.properties["userPrincipalName"]) + "?$select=id") == plain


async def test_a_principal_name_that_begins_with_a_dollar_is_a_key_in_parentheses_only(client: Client) -> None:
    """In the path it is a bad request, as the page of "Get user" says."""
    user = client.sandbox.directory.hire("Money", "$money@nordwind.example")
    assert (await client.graph("/users/%24money@nordwind.example")).status == 400
    for key in ("users('%24money@nordwind.example')", "users('$money@nordwind.example')"):
        assert (await client.graph(f"/{key}?$select=id")).json["id"] == user


async def test_a_directory_object_is_read_by_its_id(client: Client) -> None:
    """Typed, whatever it is; a deleted one is missing."""
    group, made = mixed_group(client)
    for kind, object_id in {**made, "group": group}.items():
        entry: dict[str, Any] = (await client.graph(f"/directoryObjects/{object_id}?$select=displayName")).json
        assert (entry["@odata.type"], entry["id"]) == (f"#microsoft.graph.{kind}", object_id)
    client.sandbox.directory.soft_delete(made["user"])
    assert (await client.graph(f"/directoryObjects/{made['user']}")).status == 404


@pytest.mark.parametrize("path", ["", "/"])
async def test_the_version_alone_is_no_resource(client: Client, path: str) -> None:
    """404, and no failure of the server."""
    assert (await client.graph(path)).code == "Request_ResourceNotFound"
