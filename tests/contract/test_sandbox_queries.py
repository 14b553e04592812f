"""The imitation Graph sorts, filters and expands as documented, or refuses."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from syncd.sandbox.server import SandboxOptions
from syncd.sandbox.wire.knobs import turn_knobs
from tests.contract.sandbox_client import Client, open_client

Expected = Callable[[Callable[[str], Any]], bool]
EVENTUAL = {"ConsistencyLevel": "eventual"}


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    async with open_client(SandboxOptions(users=60, groups=14, memberships=100), tmp_path) as opened:
        yield opened


async def read_all(client: Client, target: str, *, advanced: bool = False) -> list[dict[str, Any]]:
    """Follow a list to its end."""
    found: list[dict[str, Any]] = []
    link: str | None = f"{target}&$count=true" if advanced else target
    while link:
        reply = await client.graph(link, headers=EVENTUAL if advanced else {})
        assert reply.status == 200, reply.body
        found += reply.json["value"]
        link = reply.json.get("@odata.nextLink")
    return found


# ---- $orderby


@pytest.mark.parametrize(
    ("order", "name", "falling"),
    [("displayName", "displayName", False), ("userPrincipalName desc", "userPrincipalName", True)],
)
async def test_lists_are_sorted_over_all_their_pages(client: Client, order: str, name: str, falling: bool) -> None:
    """Without case, up or down, and nobody is lost between two pages."""
    entries = await read_all(client, f"/users?$select=id,{name}&$top=7&$orderby={order}")
    names = [str(entry[name]) for entry in entries]
    assert names == sorted(names, key=str.casefold, reverse=falling)
    assert len(entries) == len({entry["id"] for entry in entries}) == 60


async def test_advanced_queries_sort_by_dates_and_with_filters(client: Client) -> None:
    """With the header and the count; nothing comes before anything."""
    target = "/users?$select=id,createdDateTime&$orderby=createdDateTime"
    dates = [entry["createdDateTime"] or "" for entry in await read_all(client, target, advanced=True)]
    assert dates == sorted(dates)
    target = "/users?$select=displayName&$filter=userType eq 'Member'&$orderby=displayName"
    names = [entry["displayName"] for entry in await read_all(client, target, advanced=True)]
    assert names == sorted(names, key=str.casefold)
    assert (await client.graph(target)).json["error"]["message"] == "Sorting not supported for current query."


@pytest.mark.parametrize(
    ("order", "message"),
    [
        ("createdDateTime", "Unsupported sort property 'createdDateTime' for 'User'."),
        ("jobTitle", "Unsupported sort property 'jobTitle' for 'User'."),
    ],
)
async def test_other_orders_are_refused(client: Client, order: str, message: str) -> None:
    """In the words that were recorded."""
    reply = await client.graph(f"/users?$orderby={order}")
    assert (reply.status, reply.code) == (400, "Request_UnsupportedQuery")
    assert reply.json["error"]["message"] == message


@pytest.mark.parametrize("order", ["", "displayName up", "displayName desc asc", ",", "displayName,"])
async def test_an_order_that_is_none_is_refused(client: Client, order: str) -> None:
    """With a bad request."""
    assert (await client.graph(f"/users?$orderby={order}")).status == 400


async def test_lists_of_several_types_are_sorted_by_advanced_queries_only(client: Client) -> None:
    """Members have a name to be sorted by, and nothing else."""
    directory = client.sandbox.directory
    group = directory.find_group("BPS power users")
    target = f"/groups/{group.id}/members?$select=displayName&$orderby=displayName"
    assert (await client.graph(target)).code == "Request_UnsupportedQuery"
    names = [entry["displayName"] for entry in await read_all(client, target, advanced=True)]
    assert names == sorted(names, key=str.casefold)
    other = target.replace("$orderby=displayName", "$orderby=mail&$count=true")
    assert (await client.graph(other, headers=EVENTUAL)).code == "Request_UnsupportedQuery"


async def test_deleted_items_are_sorted_by_the_day_of_their_deletion(client: Client) -> None:
    """In advanced queries, the last one first if that is wanted."""
    directory = client.sandbox.directory
    for number, user in enumerate(list(directory.active_users())[:3]):
        directory.soft_delete(user.id)
        directory.get(user.id).properties["deletedDateTime"] = f"2026-03-0{number + 1}T00:00:00Z"
    target = "/directory/deleteditems/microsoft.graph.user?$select=deletedDateTime&$orderby=deletedDateTime desc"
    assert (await client.graph(target)).status == 400
    days = [entry["deletedDateTime"][:10] for entry in await read_all(client, target, advanced=True)]
    assert days == ["2026-03-03", "2026-03-02", "2026-03-01"]


# ---- $filter


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "accountEnabled eq true and (department eq 'Sales' or department eq 'IT')",
            lambda of: of("accountEnabled") is True and of("department") in ("Sales", "IT"),
        ),
        (
            "department eq 'Sales' or department eq 'IT' and accountEnabled eq false",
            lambda of: of("department") == "Sales" or (of("department") == "IT" and of("accountEnabled") is False),
        ),
        ("startsWith(displayName,'A')", lambda of: of("displayName").startswith("A")),
        ("department in ('Sales', 'IT')", lambda of: of("department") in ("Sales", "IT")),
        ("mail eq null", lambda of: of("mail") is None),
        ("businessPhones/any(p:p eq '22 100000')", lambda of: "22 100000" in (of("businessPhones") or [])),
        ("businessPhones/any(p : p eq '22 100000')", lambda of: "22 100000" in (of("businessPhones") or [])),
        (
            "employeeId ge '100010' and employeeId lt '100020'",
            lambda of: "100010" <= (of("employeeId") or "") < "100020",
        ),
        ("createdDateTime ge 2020-01-01T00:00:00Z", lambda of: (of("createdDateTime") or "") >= "2020"),
        ("displayName eq 'O''Brien'", lambda of: of("displayName") == "O'BRIEN"),
        ("onPremisesExtensionAttributes/ExtensionAttribute1 eq 'x'", lambda of: of("displayName") == "O'BRIEN"),
    ],
)
async def test_filters_mean_what_they_say(client: Client, text: str, expected: Expected) -> None:
    """And binds closer than or, brackets closer than both; texts are compared without case."""
    directory = client.sandbox.directory
    directory.set_attributes(directory.users[0].id, businessPhones=["22 100000"])
    directory.set_attributes(
        directory.users[1].id, displayName="O'BRIEN", onPremisesExtensionAttributes={"extensionAttribute1": "X"}
    )
    wanted = {user.id for user in directory.active_users() if expected(user.properties.get)}
    found = {entry["id"] for entry in await read_all(client, f"/users?$select=id&$filter={text}")}
    assert found == wanted != set()


@pytest.mark.parametrize(
    "text", ["department ne 'Sales'", "not (department eq 'Sales')", "endsWith(mail,'@nordwind.example')"]
)
async def test_some_operators_need_an_advanced_query(client: Client, text: str) -> None:
    """Refused without, answered with the header and the count, in the count of the path with the header alone."""
    reply = await client.graph(f"/users?$filter={text}")
    assert (reply.status, reply.code) == (400, "Request_UnsupportedQuery")
    found = await read_all(client, f"/users?$select=id&$filter={text}", advanced=True)
    counted = await client.graph(f"/users/$count?$filter={text}", headers=EVENTUAL)
    assert 0 < int(counted.body) == len(found) < 60


@pytest.mark.parametrize(
    "text",
    ["displayName", "displayName eq", "(displayName eq 'a'", "displayName eq 'a')", "displayName has 'a'", "((((", "'"],
)
async def test_a_filter_that_is_none_is_refused(client: Client, text: str) -> None:
    """With a bad request."""
    assert (await client.graph(f"/users?$filter={text}")).code == "Request_UnsupportedQuery"


# ---- $expand


async def test_an_expanded_manager_has_the_properties_that_were_asked_for(client: Client) -> None:
    """The default ones, or those of the brackets, beside type and id."""
    directory = client.sandbox.directory
    boss, clerk = (directory.hire(name, f"{name}@nordwind.example", jobTitle=name) for name in ("boss", "clerk"))
    directory.set_manager(clerk, boss)
    manager = (await client.graph(f"/users/{clerk}?$expand=manager")).json["manager"]
    assert (manager["@odata.type"], manager["id"], manager["jobTitle"]) == ("#microsoft.graph.user", boss, "boss")
    assert {"businessPhones", "mail", "surname"} <= set(manager)
    expand = "$expand=manager($select=ID,DISPLAYNAME)"
    for target in (f"/users/{clerk}?$select=id&{expand}", f"/users?$select=id&{expand}&$filter=id eq '{clerk}'"):
        reply = (await client.graph(target)).json
        entry = reply["value"][0] if "value" in reply else reply
        assert entry["manager"] == {"@odata.type": "#microsoft.graph.user", "id": boss, "displayName": "boss"}
    assert "manager" not in (await client.graph(f"/users/{boss}?$expand=manager")).json


async def test_levels_show_the_managers_above_of_a_single_user(client: Client) -> None:
    """As many as asked for, each of a circle once, also who reports to themselves; a list shows one level only."""
    directory = client.sandbox.directory
    ids = [directory.hire(name, f"{name}@nordwind.example") for name in ("one", "two", "three")]
    for user, manager in zip(ids, [*ids[1:], ids[0]], strict=True):
        directory.set_manager(user, manager)

    async def chain(levels: str) -> list[str]:
        target = f"/users/{ids[0]}?$select=id&$expand=manager($levels={levels};$select=id)"
        entry, found = (await client.graph(target)).json, []
        while "manager" in entry:
            entry = entry["manager"]
            found.append(entry["id"])
        return found

    assert (await chain("1"), await chain("2"), await chain("max")) == (ids[1:2], ids[1:], [*ids[1:], ids[0]])
    directory.set_manager(ids[0], ids[0])
    assert (await chain("1"), await chain("max")) == (ids[:1], ids[:1])
    reply = await client.graph("/users?$select=id&$expand=manager($levels=max;$select=id)")
    assert (reply.status, reply.code) == (400, "Request_UnsupportedQuery")
    assert (await client.graph("/users?$select=id&$expand=manager($levels=1;$select=id)")).status == 200


async def test_levels_may_be_refused_as_the_page_says(client: Client) -> None:
    """With the knob: of single users only, with the header."""
    turn_knobs(client.sandbox.tenant_knobs, {"manager_levels": "documented"})
    user, option = client.sandbox.directory.users[0].id, "$expand=manager($levels=1;$select=id)"
    assert (await client.graph(f"/users?{option}", headers=EVENTUAL)).status == 400
    assert (await client.graph(f"/users/{user}?{option}")).status == 400
    assert (await client.graph(f"/users/{user}?{option}", headers=EVENTUAL)).status == 200
    assert (await client.graph("/users?$expand=manager")).status == 200


@pytest.mark.parametrize(
    "expand",
    [
        "manager,memberOf",
        "sponsors",
        "colour",
        "manager(",
        "manager($levels=0)",
        "manager($levels=1001)",
        "manager($levels=many)",
        "manager($filter=id eq 'x')",
        "memberOf($levels=1)",
        "*",
    ],
)
async def test_other_expansions_are_refused(client: Client, expand: str) -> None:
    """More than one relationship, an unknown one, one that is not imitated, and options that are none."""
    assert (await client.graph(f"/users?$select=id&$expand={expand}")).status == 400


async def test_expanded_members_have_properties_and_stay_hidden_where_they_are(client: Client) -> None:
    """Twenty at most; of a hidden group none without the permission."""
    directory = client.sandbox.directory
    members = [user.id for user in list(directory.active_users())[:25]]
    hidden = directory.create_group({"displayName": "H", "visibility": "HiddenMembership"}, members=members)
    target = f"/groups/{hidden}?$select=id&$expand=members($select=displayName)"
    shown = (await client.graph(target)).json["members"]
    assert [entry["id"] for entry in shown] == members[:20]
    assert shown[0]["displayName"] == directory.get(members[0]).properties["displayName"]
    client.sandbox.registration.roles.discard("Member.Read.Hidden")
    client.tokens.clear()
    assert (await client.graph(target)).json["members"] == []
    above = await client.graph(f"/users/{members[0]}?$select=id&$expand=memberOf($select=id)")
    assert hidden not in {entry["id"] for entry in above.json["memberOf"]}


# ---- links


async def test_a_link_is_json_whatever_was_asked(client: Client) -> None:
    """Quotes and backslashes of an unknown option, or of a name, come back escaped."""
    for target in ('/users?$select=id&$top=1&x="\\', '/users/delta?$select=extension_"\\'):
        assert (await client.graph(target)).json["value"]
