"""The imitation Graph without delta: lists, single objects, counts, deleted items, batches, prices."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from syncd.sandbox.server import SandboxOptions
from syncd.sandbox.wire.faults import Fault
from syncd.sandbox.wire.knobs import turn_knobs
from tests.contract.sandbox_client import Client, MovableClock, open_client

EVENTUAL = {"ConsistencyLevel": "eventual"}


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


@pytest.fixture
async def client(tmp_path: Path, clock: MovableClock) -> AsyncIterator[Client]:
    async with open_client(SandboxOptions(users=250, groups=25, memberships=900), tmp_path, clock=clock) as opened:
        yield opened


async def read_all(client: Client, target: str) -> list[dict[str, Any]]:
    """Follow a list to its end."""
    found: list[dict[str, Any]] = []
    link: str | None = target
    while link:
        reply = await client.graph(link)
        assert reply.status == 200, reply.body
        found += reply.json["value"]
        link = reply.json.get("@odata.nextLink")
    return found


@pytest.mark.parametrize("target", ["/users?$select=id", "/users?$select=id&$top=999", "/users?$top=7"])
async def test_user_lists_are_complete_at_any_page_size(client: Client, target: str) -> None:
    """All active users come once each."""
    found = [entry["id"] for entry in await read_all(client, target)]
    assert sorted(found) == sorted(user.id for user in client.sandbox.directory.active_users())


async def test_lists_write_null_for_what_is_not_set(client: Client) -> None:
    """Unlike delta, a list names every selected property."""
    user_id = client.sandbox.directory.create_user({"userPrincipalName": "x@nordwind.example"})
    entry = (await client.graph(f"/users/{user_id}?$select=jobTitle,businessPhones")).json
    assert (entry["id"], entry["jobTitle"], entry["businessPhones"]) == (user_id, None, [])


@pytest.mark.parametrize("top", ["1000", "0", "many"])
async def test_unusable_page_sizes_are_refused(client: Client, top: str) -> None:
    """More than 999, none, or no number is a bad request."""
    assert (await client.graph(f"/users?$top={top}")).status == 400


async def test_members_are_direct_and_typed_and_omit_service_principals(client: Client) -> None:
    """A members list names each object's type; service principals are missing unless the knob says otherwise."""
    directory = client.sandbox.directory
    group = next(g for g in directory.active_groups() if any(directory.get(m).kind == "device" for m in g.members))
    kinds = {e["@odata.type"] for e in await read_all(client, f"/groups/{group.id}/members?$select=id&$top=50")}
    assert kinds == {"#microsoft.graph.user", "#microsoft.graph.device"}
    client.sandbox.tenant_knobs.members_omit_service_principals = False
    found = await read_all(client, f"/groups/{group.id}/members?$select=id")
    assert {entry["id"] for entry in found} == set(group.members)
    cast = await read_all(client, f"/groups/{group.id}/members/microsoft.graph.user?$select=id")
    assert {entry["id"] for entry in cast} == {m for m in group.members if directory.get(m).kind == "user"}


async def test_transitive_members_stop_at_cycles(client: Client) -> None:
    """Nested groups are followed once each."""
    directory = client.sandbox.directory
    one, two = directory.find_group("Approvers A"), directory.find_group("Approvers B")
    found = {entry["id"] for entry in await read_all(client, f"/groups/{one.id}/transitiveMembers?$select=id")}
    assert found == set(one.members) | set(two.members)


async def test_soft_deleted_objects_leave_lists_and_stand_among_the_deleted_items(client: Client) -> None:
    """A deleted user is 404, not a listed member, and found in the deleted items with a prefixed principal name."""
    directory = client.sandbox.directory
    group = directory.find_group("BPS power users")
    user_id = next(m for m in group.members if directory.get(m).kind == "user")
    name = directory.get(user_id).properties["userPrincipalName"]
    directory.soft_delete(user_id)
    reply = await client.graph(f"/users/{user_id}")
    assert (reply.status, reply.code) == (404, "Request_ResourceNotFound")
    assert user_id not in {e["id"] for e in await read_all(client, f"/groups/{group.id}/members?$select=id")}
    deleted = (await client.graph(f"/directory/deletedItems/{user_id}?$select=id,userPrincipalName")).json
    assert deleted["userPrincipalName"] == user_id.replace("-", "") + str(name)
    assert [e["id"] for e in await read_all(client, "/directory/deletedItems/microsoft.graph.user")] == [user_id]
    directory.hard_delete(user_id)
    assert (await client.graph(f"/directory/deletedItems/{user_id}")).status == 404


async def test_users_are_found_by_id_and_by_principal_name(client: Client) -> None:
    """Both names lead to the same user, without case; a guest's ``#`` is percent-encoded."""
    user = next(u for u in client.sandbox.directory.active_users() if u.properties["userType"] == "Guest")
    upn = str(user.properties["userPrincipalName"]).upper().replace("#", "%23")
    for name in (user.id, user.id.upper(), upn):
        assert (await client.graph(f"/users/{name}?$select=id")).json["id"] == user.id


async def test_the_groups_of_a_user_leave_out_those_that_hide_their_members(client: Client) -> None:
    """Direct groups only, typed; a hidden membership shows only to those with the permission for it."""
    directory = client.sandbox.directory
    user = next(u for u in directory.active_users() if directory.groups_of(u.id))
    hidden = directory.create_group({"displayName": "H", "visibility": "HiddenMembership"}, members=[user.id])
    direct = {group.id for group in directory.groups_of(user.id)}
    target = f"/users/{user.id}/memberOf?$select=id&$top=999"
    found = await read_all(client, target)
    assert {entry["id"] for entry in found} == direct
    assert {entry["@odata.type"] for entry in found} == {"#microsoft.graph.group"}
    client.sandbox.registration.roles.discard("Member.Read.Hidden")
    client.tokens.clear()
    assert {entry["id"] for entry in await read_all(client, target)} == direct - {hidden}


async def test_what_a_user_owns_is_listed_as_far_as_it_exists(client: Client) -> None:
    """Active groups only, whether they hide their members or not; of a user who is gone nothing."""
    directory = client.sandbox.directory
    user = next(directory.active_users())
    directory.create_group({"displayName": "H", "visibility": "HiddenMembership"}, owners=[user.id])
    directory.delete_group(directory.create_group({"displayName": "D"}, owners=[user.id]))
    owned = {group.id for group in directory.active_groups() if user.id in group.owners}
    client.sandbox.registration.roles.discard("Member.Read.Hidden")
    target = f"/users/{user.id}/ownedObjects?$select=id&$top=999"
    found = await read_all(client, target)
    assert {entry["id"] for entry in found} == owned
    assert {entry["@odata.type"] for entry in found} == {"#microsoft.graph.group"}
    assert (await client.graph(target)).headers["x-ms-resource-unit"] == "1"
    directory.soft_delete(user.id)
    assert (await client.graph(target)).status == 404


async def test_counts_need_eventual_consistency(client: Client) -> None:
    """``$count`` is plain text, needs the header, and may lag behind by the knob."""
    directory = client.sandbox.directory
    group = next(directory.active_groups())
    for target, expected in (
        ("/users/$count", 250),
        ("/groups/$count", 25),
        (f"/groups/{group.id}/members/$count", len(group.members)),
    ):
        assert (await client.graph(target)).status == 400
        reply = await client.graph(target, headers=EVENTUAL)
        assert (reply.status, int(reply.body)) == (200, expected)
        assert reply.headers["Content-Type"].startswith("text/plain")
    client.sandbox.tenant_knobs.count_offset = -3
    assert (await client.graph("/users/$count", headers=EVENTUAL)).body == b"247"
    guests = await client.graph("/users/$count?$filter=userType%20eq%20'Guest'", headers=EVENTUAL)
    assert int(guests.body) == sum(u.properties["userType"] == "Guest" for u in directory.active_users()) - 3


async def test_managers_and_members_can_be_expanded(client: Client) -> None:
    """``$expand=manager`` is complete; ``$expand=members`` silently stops at twenty."""
    directory = client.sandbox.directory
    users = await read_all(client, "/users?$select=id&$expand=manager($levels=1;$select=id)&$top=100")
    assert {u["id"]: u.get("manager", {}).get("id") for u in users} == {u.id: u.manager for u in directory.users}
    groups = await read_all(client, "/groups?$select=id&$expand=members")
    assert max(len(group["members"]) for group in groups) == 20


async def test_page_links_live_minutes(client: Client, clock: MovableClock) -> None:
    """A list's nextLink is refused after its short life."""
    link = (await client.graph("/users?$select=id")).json["@odata.nextLink"]
    clock.elapsed += 301
    assert (await client.graph(link)).code == "Directory_ExpiredPageToken"


async def test_drifting_pages_skip_objects(client: Client) -> None:
    """With page drift, a deletion between two pages hides an object from the reader, as it may in reality."""
    client.sandbox.tenant_knobs.page_drift = True
    page = (await client.graph("/users?$select=id&$top=100")).json
    client.sandbox.directory.soft_delete(page["value"][0]["id"])
    found = page["value"] + await read_all(client, page["@odata.nextLink"])
    assert len(found) == 249


async def test_members_of_unreadable_types_are_limited(client: Client) -> None:
    """Without User.Read.All a user among the members is type and id, everything else null."""
    client.sandbox.registration.roles = {"GroupMember.Read.All"}
    group = client.sandbox.directory.find_group("BPS power users")
    users = [
        e
        for e in await read_all(client, f"/groups/{group.id}/members?$select=displayName")
        if e["@odata.type"].endswith("user")
    ]
    assert users
    assert {entry["displayName"] for entry in users} == {None}


async def test_get_by_ids_finds_active_objects(client: Client) -> None:
    """Up to a thousand ids are looked up at once; unknown and deleted ones are left out."""
    directory = client.sandbox.directory
    user, group = next(directory.active_users()), next(directory.active_groups())
    body = {"ids": [user.id, group.id, "00000000-0000-4000-8000-000000000000"], "types": ["user", "group"]}
    reply = await client.graph("/directoryObjects/getByIds?$select=id", method="POST", body=body)
    assert {e["id"] for e in reply.json["value"]} == {user.id, group.id}
    too_many = {"ids": [user.id] * 1001}
    assert (await client.graph("/directoryObjects/getByIds", method="POST", body=too_many)).status == 400


async def test_batches_answer_each_request_out_of_order(client: Client) -> None:
    """Each item has its own status; a throttled item does not touch the others."""
    user = next(client.sandbox.directory.active_users())
    client.sandbox.faults.add(Fault("status", side="batch", path="/groups", status=429, headers={"Retry-After": "7"}))
    requests = [
        {"id": "a", "method": "GET", "url": f"/users/{user.id}?$select=id"},
        {"id": "b", "method": "GET", "url": "/users/nobody"},
        {"id": "c", "method": "GET", "url": "/groups?$top=1"},
        {"id": "d", "method": "GET", "url": "/users/$count", "headers": EVENTUAL},
    ]
    reply = await client.graph("/$batch", method="POST", body={"requests": requests})
    answers = {answer["id"]: answer for answer in reply.json["responses"]}
    assert [answer["id"] for answer in reply.json["responses"]] == ["d", "c", "b", "a"]
    assert {key: answer["status"] for key, answer in answers.items()} == {"a": 200, "b": 404, "c": 429, "d": 200}
    assert answers["a"]["body"]["id"] == user.id
    assert answers["c"]["headers"]["Retry-After"] == "7"
    assert answers["d"]["body"] == "250"
    many = {"requests": [{"id": str(n), "method": "GET", "url": "/users"} for n in range(21)]}
    assert (await client.graph("/$batch", method="POST", body=many)).status == 400


async def test_prices_follow_the_throttling_page(client: Client) -> None:
    """The header names the resource units of each request, and the ledger adds them up."""
    group = next(client.sandbox.directory.active_groups())
    user = next(client.sandbox.directory.active_users())
    for target, units in (
        ("/users?$top=100", "2"),
        (f"/users/{user.id}", "1"),
        (f"/users/{user.id}?$expand=manager", "2"),
        (f"/users/{user.id}/memberOf", "2"),
        (f"/users/{user.id}/ownedObjects", "2"),
        (f"/users/{user.id}/directReports", "1"),
        ("/directory/deletedItems/microsoft.graph.user", "1"),
        ("/groups/nobody/members", "3"),
        ("/users?$select=id", "1"),
        (f"/groups/{group.id}/members?$top=100", "3"),
        (f"/groups/{group.id}/members?$select=id", "2"),
        (f"/groups/{group.id}/transitiveMembers", "5"),
        ("/users/delta?$select=id", "1"),
    ):
        assert (await client.graph(target)).headers["x-ms-resource-unit"] == units
    many = {"ids": [user.id], "types": ["user"]}
    for target, units in (("/directoryObjects/getByIds", "5"), ("/directoryObjects/getByIds?$select=id", "2")):
        reply = await client.graph(target, method="POST", body=many)
        assert (reply.status, reply.headers["x-ms-resource-unit"]) == (200, units)
    assert client.sandbox.ledger.resource_units == 14 + 12 + 7


@pytest.mark.parametrize(
    ("form", "header"),
    [
        ("integer", "1"),
        ("fraction", "1.000"),
        ("date", "Mon, 02 Mar 2026 09:00:02 GMT"),
        ("empty", ""),
        ("absent", None),
    ],
)
async def test_an_empty_bucket_throttles(client: Client, form: str, header: str | None) -> None:
    """Beyond the budget the answer is 429, with Retry-After in each of the forms that were seen."""
    turn_knobs(client.sandbox.tenant_knobs, {"resource_units_per_10s": 10, "retry_after_form": form})
    assert [(await client.graph("/users?$select=id")).status for _ in range(10)] == [200] * 10
    reply = await client.graph("/groups?$top=500")
    assert (reply.status, reply.headers.get("Retry-After")) == (429, header)


async def test_a_bucket_tells_how_full_it_is_from_four_fifths_on(client: Client) -> None:
    """Before anything is refused; without a budget nothing is told."""
    name = "x-ms-throttle-limit-percentage"
    assert name not in (await client.graph("/groups?$top=1")).headers
    turn_knobs(client.sandbox.tenant_knobs, {"resource_units_per_10s": 10})
    told = [(await client.graph("/groups?$top=1")).headers.get(name) for _ in range(10)]
    assert told == [None] * 7 + ["0.80", "0.90", "1.00"]


async def test_a_part_of_a_batch_that_is_repeated_too_early_is_noted(client: Client, clock: MovableClock) -> None:
    """Each part has a Retry-After of its own."""
    client.sandbox.faults.add(Fault("status", side="batch", status=429, headers={"Retry-After": "7"}, count=2))
    body = {"requests": [{"id": "1", "method": "GET", "url": "/groups?$top=1"}]}
    await client.graph("/$batch", method="POST", body=body)
    clock.elapsed += 8
    await client.graph("/$batch", method="POST", body=body)
    assert not client.sandbox.ledger.violations
    await client.graph("/$batch", method="POST", body=body)
    assert [violation.rule for violation in client.sandbox.ledger.violations] == ["early-retry"]


async def test_an_altered_link_of_a_list_is_noted_and_refused(client: Client) -> None:
    """A page link is to be sent as it came."""
    link = (await client.graph("/users?$select=id&$top=20")).json["@odata.nextLink"]
    assert (await client.graph(link.replace("$top=20", "$top=30"))).status == 400
    assert [violation.rule for violation in client.sandbox.ledger.violations] == ["altered-link"]
    assert (await client.graph(link)).status == 200


async def test_a_server_may_send_less_than_was_asked_for(client: Client) -> None:
    """With a cap of its own pages are smaller, and the list is as long as ever."""
    turn_knobs(client.sandbox.tenant_knobs, {"list_page_objects": 60})
    assert len((await client.graph("/users?$select=id&$top=999")).json["value"]) == 60
    assert len(await read_all(client, "/users?$select=id&$top=999")) == 250


async def test_the_groups_of_a_group_and_the_reports_of_a_user_are_listed(client: Client) -> None:
    """Those that are there, and no others."""
    directory = client.sandbox.directory
    boss, clerk, gone = (directory.hire(name, f"{name}@nordwind.example") for name in ("boss", "clerk", "gone"))
    for user in (clerk, gone):
        directory.set_manager(user, boss)
    directory.soft_delete(gone)
    inner = directory.create_group({"displayName": "Inner"})
    outer = directory.create_group({"displayName": "Outer"}, members=[inner])
    deleted = directory.create_group({"displayName": "Deleted"}, members=[inner])
    directory.delete_group(deleted)
    assert [entry["id"] for entry in await read_all(client, f"/groups/{inner}/memberOf?$select=id")] == [outer]
    assert [entry["id"] for entry in await read_all(client, f"/users/{boss}/directReports?$select=id")] == [clerk]


async def test_every_answer_can_be_held_back(client: Client, clock: MovableClock) -> None:
    """For as long as the knob says."""
    await client.graph("/groups?$top=1")  # with the request for a token
    turn_knobs(client.sandbox.tenant_knobs, {"latency": 0.05})
    before = clock.elapsed
    await client.graph("/groups?$top=1")
    assert clock.elapsed == pytest.approx(before + 0.05)


async def test_nothing_but_reading_is_allowed(client: Client) -> None:
    """The application has no write permission, whatever it tries."""
    user = next(client.sandbox.directory.active_users())
    assert (await client.graph(f"/users/{user.id}", method="DELETE")).code == "Authorization_RequestDenied"
    assert user.state == "active"


async def test_unknown_routes_are_bad_requests(client: Client) -> None:
    """A misspelt segment is not an empty list."""
    for target in ("/user", "/groups/x/y/z", "/users?$search=a"):
        assert (await client.graph(target)).status in (400, 404)
