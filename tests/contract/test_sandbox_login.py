"""The imitation login host refuses what Entra refuses, and its tokens are worth what they should be worth."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from yarl import URL

from syncd.sandbox.server import SandboxOptions
from syncd.sandbox.wire.http import make_request
from tests.contract.sandbox_client import Client, MovableClock, open_client


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


@pytest.fixture
async def client(tmp_path: Path, clock: MovableClock) -> AsyncIterator[Client]:
    async with open_client(SandboxOptions(users=12, groups=3, memberships=10), tmp_path, clock=clock) as opened:
        yield opened


async def test_configuration_names_endpoints_of_the_tenant(client: Client) -> None:
    """The OpenID document leads to the token endpoint over https on the same host."""
    url = f"{client.sandbox.login_url}/{client.sandbox.tenant_id}/v2.0/.well-known/openid-configuration"
    document = (await client.send("GET", url)).json
    assert document["token_endpoint"] == f"{client.sandbox.login_url}/{client.sandbox.tenant_id}/oauth2/v2.0/token"
    assert document["authorization_endpoint"].startswith("https://")
    assert client.sandbox.tenant_id in document["issuer"]


async def test_the_portal_sends_a_browser_to_the_page_for_signing_in(client: Client) -> None:
    """By a page of its own; the login host knows the portal's application and no other."""
    sandbox, where = client.sandbox, client.sandbox.portal_url
    for _ in range(2):
        async with client.session.get(where, allow_redirects=False) as moved:
            assert moved.status == 302
            where = str(URL(where).join(URL(moved.headers["Location"])))
    assert where.startswith(f"{sandbox.login_url}/{sandbox.tenant_id}/oauth2/v2.0/authorize?")
    assert URL(where).query["redirect_uri"] == f"{sandbox.portal_url}/signin-aad"
    assert b"Sign in" in (await client.send("GET", where)).body
    other = await client.send("GET", where.replace(sandbox.sign_in_client_id, sandbox.client_id))
    assert (other.status, b"AADSTS700016" in other.body) == (400, True)
    assert sandbox.ledger.summary()["violations"] == []


async def test_token_carries_the_granted_roles(client: Client) -> None:
    """A token looks like a JWT and lists the application's permissions."""
    client.sandbox.registration.roles = {"User.Read.All"}
    answer = (await client.graph_token()).json
    payload = answer["access_token"].split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    assert claims["roles"] == ["User.Read.All"]
    assert answer["token_type"] == "Bearer"
    assert 3600 <= answer["expires_in"] <= 5400


@pytest.mark.parametrize(
    ("changes", "status", "error", "number"),
    [
        ({"client_secret": "wrong"}, 401, "invalid_client", 7000215),
        ({"client_secret": ""}, 401, "invalid_client", 7000218),
        ({"client_id": "00000000-0000-4000-8000-000000000000"}, 400, "unauthorized_client", 700016),
        ({"tenant": "00000000-0000-4000-8000-000000000000"}, 400, "invalid_tenant", 90002),
        ({"scope": "https://graph.microsoft.com/User.Read"}, 400, "invalid_scope", 1002012),
        ({"scope": "https://vault.azure.net/.default"}, 400, "invalid_resource", 500011),
        ({"grant_type": "password"}, 400, "unsupported_grant_type", 70003),
        ({"grant_type": ""}, 400, "invalid_request", 900144),
    ],
)
async def test_refusals_carry_entras_error_codes(
    client: Client, changes: dict[str, str], status: int, error: str, number: int
) -> None:
    """Each wrong setting is answered with the status, error and number that Entra uses."""
    reply = await client.graph_token(**changes)
    assert (reply.status, reply.json["error"], reply.json["error_codes"]) == (status, error, [number])
    assert reply.json["error_description"].startswith(f"AADSTS{number}: ")


async def test_unknown_tenant_has_no_configuration(client: Client) -> None:
    """A wrong tenant fails at the OpenID document already."""
    url = f"{client.sandbox.login_url}/nobody.example/v2.0/.well-known/openid-configuration"
    reply = await client.send("GET", url)
    assert (reply.status, reply.json["error_codes"]) == (400, [90002])


async def test_expired_secret_and_disabled_application(client: Client) -> None:
    """The two knobs of the registration answer with their own numbers."""
    client.sandbox.tenant_knobs.secret_expired = True
    assert (await client.graph_token()).json["error_codes"] == [7000222]
    client.sandbox.tenant_knobs.application_disabled = True
    assert (await client.graph_token()).json["error_codes"] == [7000112]


async def test_graph_refuses_missing_unknown_expired_and_foreign_tokens(client: Client, clock: MovableClock) -> None:
    """Only a living token of this tenant opens Graph; a portal token sent there is written down."""
    for token in ("", "nonsense", (await client.portal_token()).json["access_token"]):
        client.tokens["graph"] = token
        reply = await client.graph("/users")
        assert (reply.status, reply.code) == (401, "InvalidAuthenticationToken")
        assert {"date", "request-id", "client-request-id"} <= reply.json["error"]["innerError"].keys()
    assert [violation.rule for violation in client.sandbox.ledger.violations] == ["foreign-token"]
    client.tokens.clear()
    assert (await client.graph("/users")).status == 200
    clock.elapsed += 5401
    assert (await client.graph("/users")).status == 401


async def test_permissions_decide_what_can_be_read(client: Client) -> None:
    """Users need User.Read.All, groups GroupMember.Read.All, deleted groups more than that."""
    client.sandbox.registration.roles = {"GroupMember.Read.All"}
    assert (await client.graph("/users/delta")).code == "Authorization_RequestDenied"
    assert (await client.graph("/groups/delta")).status == 200
    assert (await client.graph("/directory/deletedItems/microsoft.graph.group")).status == 403
    client.sandbox.registration.roles = {"User.Read.All"}
    client.tokens.clear()
    assert (await client.graph("/users/delta")).status == 200
    assert (await client.graph("/groups")).status == 403


def ask_for_sign_in(client: Client, **changes: str) -> str:
    """Return the address of the sign-in page, with changes; an empty text takes a parameter away."""
    box = client.sandbox
    asked = {
        "client_id": box.console_client_id,
        "response_type": "code",
        "redirect_uri": "http://localhost:9999/signed-in",
        "scope": "openid profile",
        "state": "a state",
        "nonce": "n",
        "code_challenge": base64.urlsafe_b64encode(hashlib.sha256(b"verifier").digest()).rstrip(b"=").decode(),
        "code_challenge_method": "S256",
    } | changes
    query = urlencode({name: value for name, value in asked.items() if value})
    return f"{box.login_url}/{box.tenant_id}/oauth2/v2.0/authorize?{query}"


@pytest.mark.parametrize(
    ("changes", "number"),
    [
        ({"client_id": "00000000-0000-4000-8000-000000000000"}, "700016"),
        ({"client_id": ""}, "900144"),
        ({"redirect_uri": "https://evil.example/signed-in"}, "50011"),
        ({"redirect_uri": "http://localhost:9999/elsewhere"}, "50011"),
        ({"redirect_uri": "https://localhost:9999/signed-in"}, "50011"),
        ({"response_type": "id_token"}, "700054"),
        ({"code_challenge_method": "plain"}, "9002325"),
        ({"scope": "profile"}, "70011"),
    ],
)
async def test_a_wrong_request_for_a_sign_in_is_told_on_the_page(
    client: Client, changes: dict[str, str], number: str
) -> None:
    """The browser is never sent to an address that is not registered."""
    answer = await client.send("GET", ask_for_sign_in(client, **changes))
    assert answer.status == 400
    assert f"AADSTS{number}" in answer.body.decode()


@pytest.mark.parametrize(
    ("changes", "number"),
    [
        ({}, 0),
        ({"code": "another"}, 9002313),
        ({"code_verifier": "wrong"}, 501481),
        ({"code_verifier": ""}, 501481),
        ({"redirect_uri": "http://localhost:1/signed-in"}, 500112),
        ({"client_secret": "wrong"}, 7000215),
        ({"client_id": "00000000-0000-4000-8000-000000000000"}, 700016),
    ],
)
async def test_a_code_is_redeemed_once_by_whom_it_was_made_for(
    client: Client, clock: MovableClock, changes: dict[str, str], number: int
) -> None:
    """With the verifier, the address and the secret that belong to it, and within ten minutes."""
    box = client.sandbox
    person = str(next(box.directory.active_users()).properties["userPrincipalName"])

    async def redeem(made: str, **more: str) -> tuple[int, dict[str, object]]:
        form = {
            "grant_type": "authorization_code",
            "client_id": box.console_client_id,
            "client_secret": box.console_client_secret,
            "scope": "openid profile",
            "code": made,
            "redirect_uri": "http://localhost:9999/signed-in",
            "code_verifier": "verifier",
        } | more
        url = f"{box.login_url}/{box.tenant_id}/oauth2/v2.0/token"
        answer = await client.send("POST", url, form=form)
        return answer.status, answer.json

    def make_code() -> str:
        request = make_request("POST", ask_for_sign_in(client), body=urlencode({"login": person}).encode())
        sent = box.people.authorize(request)
        assert sent.status == 302
        return dict(parse_qsl(urlsplit(sent.headers["Location"]).query))["code"]

    status, told = await redeem(make_code(), **changes)
    if number:
        assert told["error_codes"] == [number]
        assert "id_token" not in told
        return
    assert status == 200
    assert str(told["id_token"]).count(".") == 2
    again = make_code()
    assert (await redeem(again))[0] == 200
    assert (await redeem(again))[1]["error_codes"] == [54005]
    late = make_code()
    clock.elapsed += 601
    assert (await redeem(late))[1]["error_codes"] == [70008]


async def test_a_persons_token_tells_the_persons_own_groups_and_nothing_else(client: Client) -> None:
    """What an application may read, it may not; and an application has no groups of its own."""
    box = client.sandbox
    person = next(box.directory.active_users())
    group = box.directory.create_group({"displayName": "Desk"}, members=[person.id])
    token = box.people._make_access_token(person)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    url = f"{box.graph_url}/v1.0/me/getMemberObjects"
    answer = await client.send("POST", url, headers=headers, body={"securityEnabledOnly": False})
    assert group in answer.json["value"]
    assert (await client.send("POST", url, headers=headers, body={})).status == 400
    assert (await client.send("GET", f"{box.graph_url}/v1.0/users", headers=headers)).status == 403
    own = (await client.graph_token()).json["access_token"]
    headers["Authorization"] = f"Bearer {own}"
    assert (await client.send("POST", url, headers=headers, body={"securityEnabledOnly": False})).status == 400
