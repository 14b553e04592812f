"""The imitation login host refuses what Entra refuses, and its tokens are worth what they should be worth."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from yarl import URL

from syncd.sandbox.server import SandboxOptions
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
