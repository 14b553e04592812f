"""Properties that need a permission of their own: named when they are refused, and not believed when nobody has any."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from syncd.errors import Forbidden
from syncd.graph.checks.properties import judge_own_permissions, judge_properties, try_stream
from syncd.graph.checks.tenant_kind import judge_tenant
from syncd.graph.client import GraphClient, open_client
from syncd.graph.permissions import Claims, list_needs, list_own_needs
from syncd.graph.source import GraphSource
from tests.contract.fake_graph import Answer, Asked, FakeGraph, LoopClock, error, serve_graph

pytestmark = pytest.mark.looptime

LEAST = ("User.Read.All", "GroupMember.Read.All")
OWN = ("customSecurityAttributes", "employeeLeaveDateTime", "passwordProfile.forceChangePasswordNextSignIn")
LEAVE_DATE = {"employeeLeaveDateTime": "2026-03-01T00:00:00Z"}


def make_token(roles: tuple[str, ...]) -> str:
    """Return a token that can be looked into."""

    def encode(part: object) -> str:
        return base64.urlsafe_b64encode(msgspec.json.encode(part)).decode().rstrip("=")

    return f"{encode({})}.{encode({'roles': roles})}.signature"


@pytest.fixture
async def graph(tmp_path: Path) -> AsyncIterator[FakeGraph]:
    async with serve_graph(tmp_path) as fake:
        let_in(fake, make_token(LEAST))
        yield fake


def let_in(fake: FakeGraph, token: str) -> None:
    """Let the login host give out this token."""
    fake.good_tokens.add(token)
    fake.logins.append(Answer(200, {"token_type": "Bearer", "expires_in": 3600, "access_token": token}))


@pytest.fixture
async def client(graph: FakeGraph) -> AsyncIterator[GraphClient]:
    async with open_client(graph.make_options(user_attributes=OWN), LoopClock()) as opened:
        yield opened


def answer(graph: FakeGraph, *entries: Any, link: str = "users/delta?$deltatoken=d") -> Answer:
    """Return a page of these entries."""
    return Answer(200, {"value": list(entries), "@odata.deltaLink": f"{graph.root}/v1.0/{link}"})


def test_what_is_selected_says_what_is_needed(graph: FakeGraph) -> None:
    """Each property in its own right, of users only, in any letter case."""
    options = graph.make_options(user_attributes=("CUSTOMSECURITYATTRIBUTES.Set.Name",), group_attributes=("mail",))
    assert list_own_needs(options, "users") == (("customSecurityAttributes", "CustomSecAttributeAssignment.Read.All"),)
    assert list_own_needs(options, "groups") == ()
    assert list_needs(options) == (*LEAST, "CustomSecAttributeAssignment.Read.All")


@pytest.mark.parametrize("read", ["page", "list", "user"])
async def test_a_refused_selection_names_the_property_and_its_permission(
    graph: FakeGraph, client: GraphClient, read: str
) -> None:
    """Delta, list and direct read: what a 403 most likely is about."""
    source = GraphSource(client, LoopClock())
    refusal = error(403, "Authorization_RequestDenied", "Insufficient privileges to complete the operation.")
    graph.queue(refusal, refusal)  # the second one for a fresh token
    calls = {"page": source.fetch_page("users", None), "list": source.fetch_list("users", None)}
    calls["user"] = source.fetch_user("u1")
    wanted = calls.pop(read)
    for other in calls.values():
        other.close()
    with pytest.raises(Forbidden) as caught:
        await wanted
    said = str(caught.value)
    assert "User.Read.All, or CustomSecAttributeAssignment.Read.All, which customSecurityAttributes needs" in said
    assert "User-PasswordProfile.ReadWrite.All, which passwordProfile needs" in said


async def test_a_property_that_nobody_shows_is_not_believed_without_its_permission(
    graph: FakeGraph, client: GraphClient
) -> None:
    """Whatever somebody shows is readable; a later value counts, and the reason names what is lacking."""
    source = GraphSource(client, LoopClock())
    assert await source.find_unreadable("users") == ""
    graph.queue(answer(graph, {"id": "u1", "customSecurityAttributes": None}, {"id": "u2", "passwordProfile": {}}))
    await source.fetch_page("users", None)
    said = await source.find_unreadable("users")
    assert "nobody shows customSecurityAttributes, and the token lacks CustomSecAttributeAssignment.Read.All" in said
    assert "passwordProfile" in said
    assert "employeeLeaveDateTime" in said
    assert await source.find_unreadable("groups") == ""
    graph.queue(answer(graph, {"id": "u3", **LEAVE_DATE}, {"id": "u4", "customSecurityAttributes": {"A": {"b": 1}}}))
    await source.fetch_page("users", f"{graph.root}/v1.0/users/delta?$deltatoken=d")
    said = await source.find_unreadable("users")
    assert said.startswith("nobody shows passwordProfile")
    assert "employeeLeaveDateTime" not in said


async def test_lists_tell_values_as_pages_do(graph: FakeGraph, client: GraphClient) -> None:
    """And each full read begins to look anew."""
    source = GraphSource(client, LoopClock())
    everything = {**LEAVE_DATE, "customSecurityAttributes": {"A": {}}, "passwordProfile": {"password": None}}
    graph.queue(answer(graph, {"id": "u1", "displayName": "Ann", **everything}))
    await source.fetch_list("users", None)
    assert await source.find_unreadable("users") == ""
    graph.queue(answer(graph, {"id": "u1", "displayName": "Ann"}))
    await source.fetch_list("users", None)
    assert "employeeLeaveDateTime" in await source.find_unreadable("users")


@pytest.mark.parametrize("roles", [("opaque",), (*LEAST, "CustomSecAttributeAssignment.ReadWrite.All")])
async def test_nothing_is_concluded_from_a_token_that_allows_it_or_says_nothing(
    graph: FakeGraph, roles: tuple[str, ...]
) -> None:
    """A permission that contains the least one is enough; an opaque token is no reason."""
    graph.logins.clear()
    let_in(graph, "opaque" if roles == ("opaque",) else make_token(roles))
    options = graph.make_options(user_attributes=("customSecurityAttributes.Set.Name",))
    async with open_client(options, LoopClock()) as client:
        source = GraphSource(client, LoopClock())
        graph.queue(answer(graph, {"id": "u1"}))
        await source.fetch_page("users", None)
        assert await source.find_unreadable("users") == ""


@pytest.mark.parametrize(
    ("roles", "status"),
    [
        (frozenset(LEAST), "failed"),
        (None, "unknown"),
        (
            frozenset(
                {
                    *LEAST,
                    "CustomSecAttributeAssignment.Read.All",
                    "User-LifeCycleInfo.Read.All",
                    "User-PasswordProfile.ReadWrite.All",
                }
            ),
            "ok",
        ),
    ],
)
async def test_the_check_names_properties_with_a_permission_of_their_own(
    client: GraphClient, roles: frozenset[str] | None, status: str
) -> None:
    """Granted, lacking or not to be known; without such a property there is no line."""
    claims = None if roles is None else Claims(roles, frozenset())
    (row,) = judge_own_permissions(client, claims)
    assert (row.check, row.status) == ("graph.property_permissions", status)
    for name in ("customSecurityAttributes", "employeeLeaveDateTime", "passwordProfile"):
        assert name in row.detail
    assert bool(row.remedy) == (status != "ok")


async def test_without_such_a_property_the_check_has_no_line(graph: FakeGraph) -> None:
    """Most people have no use for it."""
    async with open_client(graph.make_options(), LoopClock()) as client:
        assert judge_own_permissions(client, None) == ()


async def test_the_check_tells_a_refused_property_from_a_refused_stream(graph: FakeGraph, client: GraphClient) -> None:
    """The stream is readable without it; what the run would fail with is said with the permission."""

    def refuse_own(asked: Asked) -> Answer:
        if "customSecurityAttributes" in asked.target:
            return error(403, "Authorization_RequestDenied", "Insufficient privileges to complete the operation.")
        return answer(graph)

    graph.queue(refuse_own, refuse_own, refuse_own, answer(graph, {"id": "u1", "DisplayName": "Ann", "mail": None}))
    trial = await try_stream(client, "users")
    assert trial.probe.status == "ok"
    row = judge_properties(client, [trial])
    assert row.status == "failed"
    assert "CustomSecAttributeAssignment.Read.All, which customSecurityAttributes needs" in row.detail
    assert "permission of its own" in row.remedy
    assert "displayName" not in trial.unnamed
    assert "userType" in trial.unnamed


async def test_the_check_tells_properties_that_no_answer_names(graph: FakeGraph) -> None:
    """In whatever letter case they come; of an empty tenant nothing is said."""
    options = graph.make_options(user_attributes=("brandNew",))
    entry = {"id": "u1", "ACCOUNTENABLED": True, "displayName": "Ann", "mail": None, "userPrincipalName": "a@x"}
    async with open_client(options, LoopClock()) as client:
        known = {
            "userType": None,
            "employeeId": None,
            "onPremisesImmutableId": None,
            "onPremisesSecurityIdentifier": None,
        }
        graph.queue(answer(graph), answer(graph, {**entry, **known}))
        trial = await try_stream(client, "users")
        assert trial.unnamed == ("brandNew",)
        row = judge_properties(client, [trial])
        assert row.status == "ok"
        assert "brandNew of users" in row.detail
        graph.queue(answer(graph), answer(graph))
        assert (await try_stream(client, "users")).unnamed == ()
        graph.queue(answer(graph), error(501, "NotImplemented"))
        assert (await try_stream(client, "users")).unnamed == ()


# --- tenants without change tracking


@pytest.mark.parametrize(
    ("host", "kind"),
    [
        ("https://contoso.ciamlogin.com", "Microsoft Entra External ID"),
        ("https://contoso.b2clogin.com", "Azure AD B2C"),
        ("https://login.microsoftonline.com", ""),
        ("https://ciamlogin.com.example", ""),
    ],
)
async def test_a_tenant_without_change_tracking_is_told_by_its_address(graph: FakeGraph, host: str, kind: str) -> None:
    """Before anything is asked."""
    async with open_client(graph.make_options(authority_url=host), LoopClock()) as client:
        rows = await judge_tenant(client, None)
    assert [row.status for row in rows] == (["failed"] if kind else [])
    assert all(kind in row.detail for row in rows)
    assert graph.asked == []


@pytest.mark.parametrize(
    ("stated", "kind"),
    [("CIAM", "Microsoft Entra External ID"), ("AAD B2C", "Azure AD B2C"), ("AAD", ""), (None, ""), (7, "")],
)
async def test_a_tenant_without_change_tracking_is_told_by_its_type(
    graph: FakeGraph, client: GraphClient, stated: object, kind: str
) -> None:
    """Where a wider permission lets us look; any refusal says nothing."""
    wide = Claims(frozenset({*LEAST, "Organization.Read.All"}), frozenset())
    assert await judge_tenant(client, Claims(frozenset(LEAST), frozenset())) == ()
    assert graph.asked == []
    graph.queue(Answer(200, {"value": [{"id": "t", "tenantType": stated}]}))
    rows = await judge_tenant(client, wide)
    assert [row.status for row in rows] == (["failed"] if kind else [])
    graph.queue(error(403, "Authorization_RequestDenied"))
    assert await judge_tenant(client, wide) == ()


async def test_a_refused_change_tracking_is_told_with_the_kinds_of_tenant(graph: FakeGraph) -> None:
    """When even the plainest query for changes is refused."""
    async with open_client(graph.make_options(), LoopClock()) as client:
        refusal = error(400, "Request_UnsupportedQuery", "Change tracking is not supported.")
        graph.queue(refusal, refusal)
        trial = await try_stream(client, "users")
    assert trial.probe.status == "failed"
    assert "External ID or Azure AD B2C has no change tracking" in trial.probe.remedy
