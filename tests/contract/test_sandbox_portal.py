"""The imitation portal keeps WEBCON's rules: scopes, two stores, duplicates, validation, members, paging, clearing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from syncd.sandbox.server import SandboxOptions
from syncd.sandbox.wire.knobs import turn_knobs
from tests.contract.openapi import Judge
from tests.contract.sandbox_client import Client, MovableClock, Reply, open_client

SOLUTION = {"type": "SingleSolutionUser"}
SETTINGS = {"singleSolutionSettings": "all"}
PROCESSES = {"singleSolutionSettings": {"processes": ["one"]}}


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


@pytest.fixture
async def client(tmp_path: Path, clock: MovableClock) -> AsyncIterator[Client]:
    options = SandboxOptions(users=0, groups=0, memberships=0, portal_delay=5.0)
    async with open_client(options, tmp_path, clock=clock) as opened:
        opened.sandbox.portal_service.observer = judge = Judge(only_answers=True)
        yield opened
    assert judge.broken == []


async def create(client: Client, name: str, **more: object) -> Reply:
    """Create a user ``name@nordwind.example``."""
    bps_id = name if "@" in name else f"{name}@nordwind.example"
    return await client.portal("POST", "/admin/users", {"bpsId": bps_id, "name": name, "email": bps_id, **more})


async def create_group(client: Client, name: str, **more: object) -> Reply:
    """Create a group ``name@groups.example``."""
    bps_id = f"{name}@groups.example"
    return await client.portal("POST", "/admin/groups", {"bpsId": bps_id, "name": name, "email": bps_id, **more})


def code(reply: Reply) -> tuple[int, str]:
    """Return status and error type, and insist on the error shape."""
    assert set(reply.json) == {"type", "description", "errorGuid"}
    return reply.status, reply.json["type"]


# ---- 1, 2: tokens and scopes


async def test_token_is_form_encoded_only(client: Client) -> None:
    """A JSON body gets no token; a form does, with a lifetime unless the knob leaves it out."""
    url = f"{client.sandbox.portal_url}/api/oauth2/token"
    assert (await client.send("POST", url, body={"grant_type": "client_credentials"})).status == 400
    assert (await client.portal_token()).json.keys() == {"access_token", "token_type", "expires_in"}
    client.sandbox.portal_knobs.token_names_lifetime = False
    assert (await client.portal_token()).json.keys() == {"access_token", "token_type"}


async def test_wrong_secret_and_foreign_scope_get_no_token(client: Client) -> None:
    """The status of a wrong secret is a knob; a scope that was not granted is refused."""
    assert client.sandbox.portal_client_secret.endswith("+/=")
    reply = await client.portal_token(client_secret="wrong")
    assert (reply.status, reply.json) == (401, {"error": "invalid_client"})
    client.sandbox.portal_knobs.bad_secret_status = 400
    assert (await client.portal_token(client_secret="wrong")).status == 400
    assert (await client.portal_token(scope="Admin.ReadWrite.All")).json == {"error": "invalid_scope"}


async def test_reading_scope_cannot_write_and_expired_tokens_are_refused(client: Client, clock: MovableClock) -> None:
    """A missing scope is 403 InvalidScope; a dead, foreign or missing token is 401."""
    client.sandbox.portal_application.scopes.add("Admin.Users.Read")
    client.tokens["portal"] = (await client.portal_token(scope="Admin.Users.Read")).json["access_token"]
    assert (await client.portal("GET", "/admin/users")).status == 200
    assert code(await create(client, "a")) == (403, "InvalidScope")
    assert code(await client.portal("GET", "/admin/groups")) == (403, "InvalidScope")
    assert code(await client.portal("GET", "/admin/licenses")) == (403, "InvalidScope")
    assert (await client.portal("GET", "/me")).json["bpsId"] == client.sandbox.portal_application.bps_id
    clock.elapsed += 3600
    assert code(await client.portal("GET", "/admin/users")) == (401, "InvalidAuthenticationToken")
    client.tokens["portal"] = (await client.graph_token()).json["access_token"]
    assert code(await client.portal("GET", "/me")) == (401, "InvalidAuthenticationToken")
    assert [violation.rule for violation in client.sandbox.ledger.violations] == ["foreign-token"]


async def test_revoked_tokens_are_refused_at_once(client: Client) -> None:
    """A token may die in the middle of a run."""
    await client.portal("GET", "/me")
    client.sandbox.book.revoke_all("portal")
    assert (await client.portal("GET", "/me")).status == 401


# ---- 3: routes


async def test_both_spellings_of_a_route_reach_the_same_record(client: Client) -> None:
    """``user?bpsId=`` and ``users/{bpsId}``, percent-encoded, without case."""
    await create(client, "Anna")
    for reply in (
        await client.portal("GET", "/admin/user", bpsId="ANNA@nordwind.example"),
        await client.portal("GET", "/admin/users/anna%40nordwind.example"),
    ):
        assert reply.json["bpsId"] == "Anna@nordwind.example"
    assert (await client.portal("GET", "/admin/user", bpsId="NORDWIND\\legacy.admin")).status == 200
    assert code(await client.portal("GET", "/admin/user")) == (400, "MissingRequiredQueryParameter")


async def test_other_versions_paths_and_operations_are_404(client: Client) -> None:
    """The portal lives under its path; older versions depend on its own version."""
    await client.portal("GET", "/me")
    token = {"Authorization": f"Bearer {client.tokens['portal']}"}
    base = client.sandbox.portal_url
    assert (await client.send("GET", f"{base}/api/data/v5.0/me", headers=token)).status == 404
    assert (await client.send("GET", f"{base[:-1]}/api/data/v6.0/me", headers=token)).status == 404
    client.sandbox.portal_knobs.version = "2025R2"
    assert (await client.send("GET", f"{base}/api/data/v5.0/me", headers=token)).status == 200
    assert (await client.send("GET", f"{base}/api/data/v4.0/me", headers=token)).status == 404
    for path in ("/admin/people", "/nothing", "/admin"):
        assert (await client.portal("GET", path)).status == 404
    assert (await client.portal("PATCH", "/admin/users", {})).status == 404


async def test_portal_without_a_path(tmp_path: Path) -> None:
    """The portal may also live at the root of its host."""
    async with open_client(SandboxOptions(users=0, groups=0, memberships=0, portal_path=""), tmp_path) as client:
        assert (await client.portal("GET", "/me")).status == 200


# ---- 4: two stores


async def test_writes_become_synchronised_later(client: Client, clock: MovableClock) -> None:
    """A record waits until the delay is over, after each write again."""
    await create(client, "anna")
    assert (await client.portal("GET", "/admin/user", bpsId="anna@nordwind.example")).json["status"] == (
        "WaitingForSynchronization"
    )
    clock.elapsed += 5
    assert (await client.portal("GET", "/admin/user", bpsId="anna@nordwind.example")).json["status"] == "Synchronized"
    await client.portal("PATCH", "/admin/user", {"jobTitle": "Clerk"}, bpsId="anna@nordwind.example")
    listed = (await client.portal("GET", "/admin/users", size="100")).json["users"]
    assert {u["bpsId"]: u["status"] for u in listed}["anna@nordwind.example"] == "WaitingForSynchronization"


async def test_pending_records_may_be_invisible(client: Client, clock: MovableClock) -> None:
    """With the knob a new record is 404 and unlisted until it is synchronised, and still in the way of a second one."""
    client.sandbox.portal_knobs.pending_visible = False
    await create(client, "anna")
    await create_group(client, "g")
    assert code(await client.portal("GET", "/admin/user", bpsId="anna@nordwind.example")) == (404, "ResourceNotFound")
    assert code(await client.portal("GET", "/admin/group", bpsId="g@groups.example")) == (404, "ResourceNotFound")
    assert len((await client.portal("GET", "/admin/groups")).json["groups"]) == 1
    assert (await create(client, "anna")).status == 409
    clock.elapsed += 5
    assert (await client.portal("GET", "/admin/user", bpsId="anna@nordwind.example")).status == 200
    assert len((await client.portal("GET", "/admin/groups")).json["groups"]) == 2


async def test_pending_users_cannot_be_members(client: Client, clock: MovableClock) -> None:
    """Adding an account that is not synchronised yet is a conflict, and so is adding to a pending group."""
    await create_group(client, "g")
    await create(client, "anna")
    wanted = {"members": [{"bpsId": "anna@nordwind.example"}]}
    assert (await client.portal("POST", "/admin/group/members/add", wanted, bpsId="g@groups.example")).status == 409
    clock.elapsed += 5
    assert (await client.portal("POST", "/admin/group/members/add", wanted, bpsId="g@groups.example")).status == 200


# ---- 5: duplicates


@pytest.mark.parametrize(
    "taken",
    [
        "ANNA@nordwind.example",
        "synced.colleague@nordwind-legacy.example",
        "former.colleague@nordwind-legacy.example",
        "syncd@nordwind-api.example",
        "local.admins@bps.local",
    ],
)
async def test_any_record_with_that_id_is_in_the_way(client: Client, taken: str) -> None:
    """Users, records of the built-in sync, deactivated people, API applications and groups block an id."""
    await create(client, "anna")
    assert code(await create(client, taken)) == (409, "ValidationError")


async def test_duplicate_groups_are_405_or_409(client: Client) -> None:
    """Which of the two is a knob."""
    await create_group(client, "g")
    assert code(await create_group(client, "G")) == (405, "UnsupportedOperation")
    client.sandbox.portal_knobs.duplicate_group_status = 409
    assert (await create_group(client, "g")).status == 409


async def test_deleted_ids_may_stay_taken(client: Client, clock: MovableClock) -> None:
    """A tombstone blocks the id for as long as the knob says."""
    client.sandbox.portal_knobs.tombstone = 60.0
    await create(client, "anna")
    assert (await client.portal("DELETE", "/admin/user", bpsId="anna@nordwind.example")).status == 200
    assert (await create(client, "anna")).status == 409
    clock.elapsed += 60
    assert (await create(client, "anna")).status == 200


# ---- 6: validation


@pytest.mark.parametrize(
    "bps_id",
    ["anna", "@x.example", "a@", "a@b@c.example", "a b@x.example", "DOM\\a@x.example"]
    + [f"a{character}b@x.example" for character in '%&*+/=?{}|<>();:,[]"#'],
)
async def test_ids_must_be_principal_names_without_forbidden_characters(client: Client, bps_id: str) -> None:
    """The documented list of characters is refused, for users and for groups."""
    assert code(await create(client, "x", bpsId=bps_id))[0] == 400
    assert code(await create_group(client, "x", bpsId=bps_id))[0] == 400


async def test_ordinary_names_are_accepted(client: Client) -> None:
    """Apostrophes, dashes, dots and letters of any script are fine."""
    for bps_id in ("o'hara-smith.jr@x.example", "zażółć_1@x.example"):
        assert (await create(client, bps_id)).json == bps_id


async def test_unusable_bodies_are_400(client: Client) -> None:
    """Missing, over-long, wrongly typed and unknown values, and bodies that are no JSON object."""
    client.sandbox.portal_knobs.max_length = 50
    bodies: list[object] = [
        {"name": "x", "email": "x@x.example"},
        {"bpsId": "x@x.example", "email": "x@x.example"},
        {"bpsId": "x@x.example", "name": "x"},
        {"bpsId": "x@x.example", "name": "x" * 51, "email": "x@x.example"},
        {"bpsId": "x@x.example", "name": 5, "email": "x@x.example"},
        {"bpsId": "x@x.example", "name": "x", "email": "x@x.example", "department": "IT"},
        [],
    ]
    for body in bodies:
        assert code(await client.portal("POST", "/admin/users", body))[0] == 400
    turn_knobs(client.sandbox.portal_knobs, {"unknown_property": "ignore"})
    assert (await create(client, "x", department="IT")).status == 200


async def test_groups_refuse_empty_names(client: Client) -> None:
    """A group keeps a name and an address; absent ones stay as they are."""
    await create_group(client, "g")
    bodies: tuple[dict[str, str], ...] = ({"name": ""}, {"email": ""})
    for body in bodies:
        assert (await client.portal("PATCH", "/admin/group", body, bpsId="g@groups.example")).status == 400
    reply = await client.portal("PATCH", "/admin/group", {"name": "New"}, bpsId="g@groups.example")
    assert (reply.status, reply.body) == (200, b"")
    group = (await client.portal("GET", "/admin/group", bpsId="g@groups.example")).json
    assert (group["name"], group["email"]) == ("New", "g@groups.example")


async def test_managers_must_exist_unless_the_knob_says_otherwise(client: Client) -> None:
    """An unknown manager is refused, a conflict on creation, or accepted; a pending one is known."""
    await create(client, "boss")
    assert (await create(client, "a", managerBpsId="boss@nordwind.example")).status == 200
    assert (await create(client, "b", managerBpsId="nobody@nordwind.example")).status == 400
    client.sandbox.portal_knobs.unknown_manager = "conflict"
    assert (await create(client, "b", managerBpsId="nobody@nordwind.example")).status == 409
    client.sandbox.portal_knobs.unknown_manager = "accept"
    assert (await create(client, "b", managerBpsId="nobody@nordwind.example")).status == 200


@pytest.mark.parametrize(
    ("clearing", "empty", "null"),
    [
        ("both", None, None),
        ("empty", None, "1"),
        ("null", 400, None),
        ("ignored", "1", "1"),
        ("refused", 400, 400),
    ],
)
async def test_clearing_a_value_depends_on_the_portal(
    client: Client, clearing: str, empty: object, null: object
) -> None:
    """Absent is unchanged; an empty text or null clears, is ignored or refused as the knob says."""
    turn_knobs(client.sandbox.portal_knobs, {"clearing": clearing})
    for value, expected in (("", empty), (None, null)):
        name = f"u{value is None}"
        await create(client, name, phoneNumber="1", jobTitle="Clerk")
        reply = await client.portal("PATCH", "/admin/user", {"phoneNumber": value}, bpsId=f"{name}@nordwind.example")
        user = (await client.portal("GET", "/admin/user", bpsId=f"{name}@nordwind.example")).json
        assert (reply.status if reply.status == 400 else user["phoneNumber"]) == expected
        assert user["jobTitle"] == "Clerk"


async def test_names_of_users_cannot_be_emptied(client: Client) -> None:
    """The name stays; the BPS id cannot be changed at all."""
    await create(client, "anna")
    for body in ({"name": ""}, {"email": ""}, {"bpsId": "other@nordwind.example"}):
        assert (await client.portal("PATCH", "/admin/user", body, bpsId="anna@nordwind.example")).status == 400


# ---- 7: members


async def test_adding_members_is_idempotent_and_all_or_nothing(client: Client, clock: MovableClock) -> None:
    """One unknown id refuses all; a member twice is fine; types and names come back."""
    await create_group(client, "g")
    for name in ("anna", "bert"):
        await create(client, name)
    clock.elapsed += 5
    path, group = "/admin/group/members/add", "g@groups.example"
    bad = {"members": [{"bpsId": "anna@nordwind.example"}, {"bpsId": "nobody@nordwind.example"}]}
    assert code(await client.portal("POST", path, bad, bpsId=group)) == (409, "ValidationError")
    assert (await client.portal("GET", "/admin/group", bpsId=group)).json["members"] == []
    good = {"members": [{"bpsId": "ANNA@nordwind.example"}, {"bpsId": "S-1-5-21-1004336348-1177238915-682003330-512"}]}
    for _ in range(2):
        reply = await client.portal("POST", path, good, bpsId=group)
        assert (reply.status, reply.body) == (200, b"")
    members = (await client.portal("GET", "/admin/group", bpsId=group)).json["members"]
    assert [(m["bpsId"], m["type"]) for m in members] == [
        ("anna@nordwind.example", "User"),
        ("S-1-5-21-1004336348-1177238915-682003330-512", "AdGroup"),
    ]
    assert (await client.portal("POST", path, good, bpsId="none@groups.example")).status == 409


@pytest.mark.parametrize("wrong", ["local.admins@bps.local", "syncd@nordwind-api.example"])
async def test_groups_and_applications_cannot_be_members(client: Client, clock: MovableClock, wrong: str) -> None:
    """Only users and AD groups can."""
    await create_group(client, "g")
    clock.elapsed += 5
    body = {"members": [{"bpsId": wrong}]}
    reply = await client.portal("POST", "/admin/group/members/add", body, bpsId="g@groups.example")
    assert code(reply) == (409, "ValidationError")


async def test_removing_members(client: Client, clock: MovableClock) -> None:
    """Removing a stranger is fine or a conflict; from an unknown group it is 404; a deleted user is no member."""
    for name in ("anna", "bert"):
        await create(client, name)
    clock.elapsed += 5
    both = [{"bpsId": f"{name}@nordwind.example"} for name in ("anna", "bert")]
    await create_group(client, "g", members=both, owners=both[:1])
    clock.elapsed += 5
    path = "/admin/group/members/remove"
    assert (await client.portal("POST", path, {"members": both[:1]}, bpsId="g@groups.example")).status == 200
    assert (await client.portal("POST", path, {"members": both[:1]}, bpsId="g@groups.example")).status == 200
    client.sandbox.portal_knobs.remove_non_member = "conflict"
    assert (await client.portal("POST", path, {"members": both[:1]}, bpsId="g@groups.example")).status == 409
    assert (await client.portal("POST", path, {"members": both}, bpsId="none@groups.example")).status == 404
    await client.portal("DELETE", "/admin/user", bpsId="bert@nordwind.example")
    group = (await client.portal("GET", "/admin/group", bpsId="g@groups.example")).json
    assert (group["members"], [owner["bpsId"] for owner in group["owners"]]) == ([], ["anna@nordwind.example"])


async def test_owners_follow_the_same_rules(client: Client, clock: MovableClock) -> None:
    """Owners are added and removed like members; an unknown group is a conflict."""
    await create(client, "anna")
    await create_group(client, "g")
    clock.elapsed += 5
    body = {"owners": [{"bpsId": "anna@nordwind.example"}]}
    assert (await client.portal("POST", "/admin/group/owners/add", body, bpsId="g@groups.example")).status == 200
    assert client.sandbox.portal.groups["g@groups.example"].owners.keys() == {"anna@nordwind.example"}
    assert (await client.portal("POST", "/admin/groups/g%40groups.example/owners/remove", body)).status == 200
    assert client.sandbox.portal.groups["g@groups.example"].owners == {}
    assert (await client.portal("POST", "/admin/group/owners/remove", body, bpsId="no@groups.example")).status == 409


# ---- 8: paging


async def test_pages_start_at_zero_and_hold_twenty(client: Client) -> None:
    """The default page is 20; behind the last page comes an empty one; the server may cap the size."""
    for number in range(45):
        await create(client, f"user{number}")
    pages = [(await client.portal("GET", "/admin/users", page=str(n))).json["users"] for n in range(4)]
    listed = [user["bpsId"] for page in pages for user in page]
    assert ([len(page) for page in pages], len(set(listed))) == ([20, 20, 9, 0], 49)
    client.sandbox.portal_knobs.max_page_size = 30
    assert len((await client.portal("GET", "/admin/users", size="1000")).json["users"]) == 30
    assert (await client.portal("GET", "/admin/users", size="0")).status == 400
    assert (await client.portal("GET", "/admin/users", size="-1")).status == 400
    assert (await client.portal("GET", "/admin/users", page="x")).status == 400


async def test_items_move_between_pages_when_something_is_deleted(client: Client) -> None:
    """Paging is by offset: a deletion between two pages hides a record from the reader."""
    for number in range(30):
        await create(client, f"user{number}")
    first = (await client.portal("GET", "/admin/users", size="10")).json["users"]
    await client.portal("DELETE", "/admin/user", bpsId=first[-1]["bpsId"])
    second = (await client.portal("GET", "/admin/users", size="10", page="1")).json["users"]
    assert second[0]["bpsId"] == "user7@nordwind.example"


# ---- 9 to 12


async def test_seats_are_limited_and_survive_their_user(client: Client) -> None:
    """Assignments are all or nothing, an exhausted pool is 409, and a deleted user still holds the seat."""
    client.sandbox.portal_service.licences.totals["PowerUser"] = 1
    for name in ("anna", "bert"):
        await create(client, name)
    client.sandbox.portal_service.store.settle()

    async def assign(verb: str, name: str) -> int:
        entry = {"bpsId": f"{name}@nordwind.example", "licenses": [{"type": "PowerUser"}]}
        return (await client.portal("POST", "/admin/licenses/assign", {verb: [entry]})).status

    assert await assign("assignLicenses", "anna") == 200
    assert await assign("assignLicenses", "bert") == 409
    assert await assign("assignLicenses", "nobody") == 409
    await client.portal("DELETE", "/admin/user", bpsId="anna@nordwind.example")
    holder = (await client.portal("GET", "/admin/license", bpsId="anna@nordwind.example")).json
    assert (holder["userIsDeleted"], holder["licenses"]) == (True, [{"type": "PowerUser"}])
    assert await assign("removeLicenses", "anna") == 200
    assert await assign("assignLicenses", "bert") == 200
    summary = (await client.portal("GET", "/admin/licenses/summary")).json["licenses"]
    assert {"license": "PowerUser", "total": 1, "assigned": 1} in summary
    client.sandbox.portal_knobs.perpetual_licences = True
    assert code(await client.portal("GET", "/admin/licenses")) == (405, "UnsupportedLicensingType")


async def test_substitutions_are_created_listed_changed_and_ended(client: Client) -> None:
    """A substitution needs two different users and a period."""
    for name in ("anna", "bert"):
        await create(client, name)
    body = {
        "originalPerson": {"bpsId": "anna@nordwind.example"},
        "substitutePerson": {"bpsId": "bert@nordwind.example"},
        "startDate": "2026-03-01T00:00:00Z",
        "endDate": "2026-04-01T00:00:00Z",
        "type": "TaskDelegation",
    }
    assert (await client.portal("POST", "/admin/substitutions", body)).status == 200
    for wrong in (
        {"substitutePerson": {"bpsId": "nobody@x.example"}},
        {"substitutePerson": {"bpsId": "anna@nordwind.example"}},
        {"endDate": "2026-02-01T00:00:00Z"},
        {"type": "Holiday"},
    ):
        assert (await client.portal("POST", "/admin/substitutions", {**body, **wrong})).status == 409
    listed = (await client.portal("GET", "/admin/substitutions", originalPerson="ANNA@nordwind.example")).json
    number = listed["substitutions"][0]["id"]
    changed = {**body, "endDate": "2026-05-01T00:00:00Z"}
    assert (await client.portal("PATCH", f"/admin/substitutions/{number}", changed)).status == 200
    assert (await client.portal("GET", f"/admin/substitutions/{number}")).json["endDate"] == "2026-05-01T00:00:00Z"
    assert (await client.portal("DELETE", f"/admin/substitutions/{number}")).status == 200
    assert (await client.portal("GET", f"/admin/substitutions/{number}")).status == 404


async def test_sharepoint_installations_have_no_group_endpoints(client: Client) -> None:
    """The profile answers 405 UnsupportedInstallationType for groups, and serves users."""
    client.sandbox.portal_knobs.installation = "sharepoint"
    assert code(await create_group(client, "g")) == (405, "UnsupportedInstallationType")
    assert (await create(client, "anna")).status == 200


async def test_shapes_of_answers(client: Client) -> None:
    """Users answer with a JSON text, groups with nothing, except the query form of the group's deletion."""
    assert (await create(client, "anna")).json == "anna@nordwind.example"
    edited = await client.portal("PATCH", "/admin/user", {"name": "Anna"}, bpsId="ANNA@nordwind.example")
    assert edited.json == "anna@nordwind.example"
    assert (await client.portal("DELETE", "/admin/user", bpsId="anna@nordwind.example")).body == b""
    assert (await create_group(client, "g")).body == b""
    assert isinstance((await client.portal("DELETE", "/admin/group", bpsId="g@groups.example")).json, str)
    await create_group(client, "g")
    assert (await client.portal("DELETE", "/admin/groups/g%40groups.example")).body == b""
    assert code(await client.portal("DELETE", "/admin/group", bpsId="g@groups.example")) == (404, "ResourceNotFound")


async def test_foreign_records_are_there_and_some_are_out_of_reach(client: Client) -> None:
    """Local people and the API application are listed, records of the built-in synchronisation are not."""
    listed = {u["bpsId"] for u in (await client.portal("GET", "/admin/users", size="100")).json["users"]}
    assert "syncd@nordwind-api.example" in listed
    assert "workflow.robot@bps.local" in listed
    assert "synced.colleague@nordwind-legacy.example" not in listed
    reply = await client.portal("DELETE", "/admin/user", bpsId="syncd@nordwind-api.example")
    assert code(reply) == (405, "UnsupportedOperation")
    client.sandbox.portal_knobs.builtin_visible = True
    listed = {u["bpsId"] for u in (await client.portal("GET", "/admin/users", size="100")).json["users"]}
    assert "synced.colleague@nordwind-legacy.example" in listed


async def test_people_can_be_in_the_portal_before_anybody_synchronises(tmp_path: Path) -> None:
    """Some of the company's people were typed in by hand, under their principal name and another display name."""
    options = SandboxOptions(users=12, groups=0, memberships=0, known_to_portal=3)
    async with open_client(options, tmp_path) as client:
        for person in client.sandbox.directory.users[:3]:
            upn = str(person.properties["userPrincipalName"])
            user = (await client.portal("GET", "/admin/user", bpsId=upn)).json
            assert (user["bpsId"], user["status"]) == (upn, "Synchronized")
            assert user["name"] == f"{person.properties['displayName']} (by hand)"
            assert client.sandbox.portal.accounts[upn.casefold()].origin == "local"


@pytest.mark.parametrize(
    "body",
    [
        {"assignLicenses": ["anna@nordwind.example"]},
        {"removeLicenses": [7]},
        {"assignLicenses": "anna@nordwind.example"},
        {"assignLicenses": {"bpsId": "anna@nordwind.example"}},
        {"assignLicenses": [{"licenses": []}]},
        {"assignLicenses": [{"bpsId": "anna@nordwind.example", "licenses": ["User"]}]},
        {"assignLicenses": [{"bpsId": "anna@nordwind.example", "licenses": {"type": "User"}}]},
        {"assignLicenses": [{"bpsId": "anna@nordwind.example", "licenses": [{**SOLUTION, **SETTINGS}]}]},
        {"assignLicenses": [{"bpsId": "anna@nordwind.example", "licenses": [{**SOLUTION, **PROCESSES}]}]},
    ],
)
async def test_an_assignment_of_another_shape_is_refused(client: Client, body: dict[str, object]) -> None:
    """With 400, and nobody gets anything."""
    await create(client, "anna")
    assert (await client.portal("POST", "/admin/licenses/assign", body)).status == 400
    assert (await client.portal("GET", "/admin/licenses")).json == {"assignedLicenses": []}


async def test_numbers_of_any_length_are_answered(client: Client) -> None:
    """A page beyond all numbers is refused, as a substitution with such a number is unknown."""
    assert (await client.portal("GET", "/admin/users", page="9" * 5000)).status == 400
    assert (await client.portal("GET", f"/admin/substitutions/{'9' * 5000}")).status == 404
