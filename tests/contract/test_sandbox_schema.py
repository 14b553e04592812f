"""The imitation Graph knows the properties of v1.0: in any letter case, with their types, where each may be read."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from syncd.sandbox.server import SandboxOptions
from syncd.sandbox.tenant.schema import SCHEMAS
from syncd.sandbox.wire.knobs import turn_knobs
from tests.contract.sandbox_client import Client, open_client

NEW = {
    "user": (
        "employeeLeaveDateTime",
        "identityParentId",
        "isResourceAccount",
        "isManagementRestricted",
        "assignedPlans",
    ),
    "group": (
        "onPremisesExtensionAttributes",
        "assignedLicenses",
        "infoCatalogs",
        "uniqueName",
        "isManagementRestricted",
    ),
}
EXTENSION = "extension_0a1b2c3d4e5f40718293a4b5c6d7e8f9_shoeSize"


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    async with open_client(SandboxOptions(users=30, groups=14, memberships=60), tmp_path) as opened:
        yield opened


@pytest.mark.parametrize("kind", ["user", "group"])
async def test_every_property_of_the_schema_can_be_selected(client: Client, kind: str) -> None:
    """One by one, of a single object; what is never returned is left out, and an unset list is empty."""
    object_id = client.sandbox.directory.users[0].id if kind == "user" else client.sandbox.directory.groups[0].id
    for known in SCHEMAS[kind].properties:
        reply = await client.graph(f"/{kind}s/{object_id}?$select={known.name}")
        assert reply.status == 200, known.name
        assert (known.name in reply.json) == (known.where != "never"), known.name
        if known.many:
            assert isinstance(reply.json[known.name], list), known.name
    assert set(NEW[kind]) <= {known.name for known in SCHEMAS[kind].properties}


@pytest.mark.parametrize("path", ["/users", "/users/{user}", "/users/delta"])
async def test_names_are_accepted_in_any_letter_case_and_answered_in_the_schemas(client: Client, path: str) -> None:
    """In lists, single objects and delta, extensions of the tenant among them."""
    directory = client.sandbox.directory
    user = directory.users[0]
    directory.set_attributes(user.id, **{"employeeId": "77", EXTENSION: "46"})
    select = f"ID,EMPLOYEEID,displayname,{EXTENSION.upper()}"
    reply = await client.graph(f"{path.format(user=user.id)}?$select={select}")
    entry = reply.json["value"][0] if "value" in reply.json else reply.json
    named = {name: value for name, value in entry.items() if "@" not in name}
    assert named == {
        "id": user.id,
        "employeeId": "77",
        "displayName": user.properties["displayName"],
        EXTENSION: "46",
    }


async def test_names_in_filters_and_orders_are_accepted_in_any_letter_case(client: Client) -> None:
    """A filter on DEPARTMENT means the department."""
    directory = client.sandbox.directory
    wanted = sorted(user.id for user in directory.active_users() if user.properties.get("department") == "Sales")
    found = (await client.graph("/users?$select=id&$filter=DEPARTMENT eq 'sales'")).json["value"]
    assert sorted(entry["id"] for entry in found) == wanted != []
    names = [entry["displayName"] for entry in (await client.graph("/groups?$orderby=DISPLAYNAME")).json["value"]]
    assert names == sorted(names, key=str.casefold)


@pytest.mark.parametrize("option", ["$select=shoeSize", "$filter=shoeSize eq '46'", "$orderby=shoeSize"])
@pytest.mark.parametrize("kinds", ["users", "groups"])
async def test_an_unknown_name_is_refused(client: Client, kinds: str, option: str) -> None:
    """Also where nothing is there to be shown."""
    reply = await client.graph(f"/{kinds}?{option}")
    assert (reply.status, reply.code) == (400, "BadRequest")
    assert "Could not find a property named 'shoeSize'" in reply.json["error"]["message"]


@pytest.mark.parametrize(
    "target",
    ["/users?$select=id,sponsors", "/users/{user}?$select=Manager", "/groups?$select=members", "/groups?$select=team"],
)
async def test_a_relationship_cannot_be_selected(client: Client, target: str) -> None:
    """It is refused, or with the knob ignored, as the list of users was seen to do."""
    target = target.format(user=client.sandbox.directory.users[0].id)
    assert (await client.graph(target)).code == "BadRequest"
    turn_knobs(client.sandbox.tenant_knobs, {"select_relations": "ignored"})
    reply = await client.graph(target)
    assert reply.status == 200
    entry = reply.json["value"][0] if "value" in reply.json else reply.json
    assert {name for name in entry if "@" not in name} == {"id"}


@pytest.mark.parametrize("relation", ["sponsors", "memberOf", "licenseDetails"])
async def test_delta_refuses_the_relationships_that_it_does_not_track(client: Client, relation: str) -> None:
    """Whatever the knob says about lists."""
    turn_knobs(client.sandbox.tenant_knobs, {"select_relations": "ignored"})
    reply = await client.graph(f"/users/delta?$select=id,{relation}")
    assert (reply.status, reply.code) == (400, "BadRequest")
    assert relation in reply.json["error"]["message"]


@pytest.mark.parametrize(
    "target", ["/users?$select=id,aboutMe", "/users?$select=SKILLS", "/groups?$select=unseenCount"]
)
async def test_a_list_does_not_implement_what_only_a_single_object_has(client: Client, target: str) -> None:
    """501 as recorded, while the single object is answered and delta calls it untracked."""
    reply = await client.graph(target)
    assert (reply.status, reply.code) == (501, "NotImplemented")
    kinds, name = target[1:].split("?")[0], target.rpartition("=")[2].rpartition(",")[2]
    object_id = (client.sandbox.directory.users if kinds == "users" else client.sandbox.directory.groups)[0].id
    assert (await client.graph(f"/{kinds}/{object_id}?$select={name}")).status == 200
    assert (await client.graph(f"/{kinds}/delta?$select={name}")).code == "BadRequest"


async def test_a_property_with_a_permission_of_its_own_looks_unset_without_it(client: Client) -> None:
    """Null in lists, left out in delta, and there once the permission is granted; or refused with the knob."""
    directory = client.sandbox.directory
    user = directory.users[0].id
    directory.set_attributes(user, employeeLeaveDateTime="2026-12-31T23:59:59Z")
    name, targets = (
        "employeeLeaveDateTime",
        ("/users/{}?$select={}", "/users?$select=id,{1}", "/users/delta?$select={1}"),
    )

    async def read() -> list[object]:
        replies = [(await client.graph(target.format(user, name))).json for target in targets]
        return [reply.get("value", [reply])[0].get(name, "absent") for reply in replies]

    assert await read() == [None, None, "absent"]
    turn_knobs(client.sandbox.tenant_knobs, {"unpermitted_property": "forbidden"})
    for target in targets:
        assert (await client.graph(target.format(user, name))).code == "Authorization_RequestDenied"
    client.sandbox.registration.roles.add("User-LifeCycleInfo.Read.All")
    client.tokens.clear()
    assert await read() == ["2026-12-31T23:59:59Z"] * 3


async def test_defaults_are_those_of_the_type(client: Client) -> None:
    """Of users the eleven of the resource page; of a group in a list of several types those of a group."""
    directory = client.sandbox.directory
    (entry,) = (await client.graph("/users?$top=1")).json["value"]
    assert set(entry) == {"id", *SCHEMAS["user"].defaults}
    inner = directory.create_group({"displayName": "Inner"})
    outer = directory.create_group({"displayName": "Outer"}, members=[inner, directory.users[0].id])
    members = {entry["id"]: entry for entry in (await client.graph(f"/groups/{outer}/members")).json["value"]}
    assert set(members[inner]) == {"@odata.type", "id", *SCHEMAS["group"].defaults}
    assert set(members[directory.users[0].id]) == {"@odata.type", "id", *SCHEMAS["user"].defaults}
