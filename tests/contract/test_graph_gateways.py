"""Something before Graph or before the login host answers in its place; and what either side asks or repeats."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from syncd.errors import (
    AuthFailed,
    Forbidden,
    Intercepted,
    NotOffered,
    ProtocolError,
    RemoteError,
    Timeout,
    Unavailable,
)
from syncd.graph.auth.challenge import ClaimsWanted
from syncd.graph.auth.tokens import TokenSource
from syncd.graph.client import open_client
from syncd.graph.source import GraphSource
from tests.contract.fake_graph import TENANT, Answer, FakeGraph, LoopClock, error, refusal, serve_graph

pytestmark = pytest.mark.looptime

PAGE = Answer(403, b"<html><head><title>t</title></head><body>Blocked by policy</body></html>")
LINK = "/v1.0/users/delta?$deltatoken=abc"


@pytest.fixture
async def graph(tmp_path: Path) -> AsyncIterator[FakeGraph]:
    async with serve_graph(tmp_path) as fake:
        yield fake


@pytest.fixture
async def source(graph: FakeGraph) -> AsyncIterator[GraphSource]:
    async with open_client(graph.make_options(), LoopClock()) as client:
        yield GraphSource(client, LoopClock())


def page(status: int, body: Any = PAGE.body, **headers: str) -> Answer:
    return Answer(status, body, {name.replace("_", "-"): value for name, value in headers.items()})


# --- Graph


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (410, PAGE.body),  # a bare one is how Graph resets a delta link
        *(
            (status, body)
            for status in (400, 402, 403, 405, 406, 409, 413, 415, 418, 451, 501)
            for body in (
                PAGE.body,
                b"denied",
                {"message": "Forbidden"},
                {"error": "blocked"},
                {"error": {"code": str(status), "message": "Blocked by policy"}},
                {"error": {"code": "Forbidden", "message": "Blocked by policy"}},
                {"error": {"code": "Method Not Allowed"}},
                {"error": {"code": ""}},
            )
        ),
    ],
)
async def test_words_that_are_not_graphs_own_cost_no_link_and_accuse_nobody(
    graph: FakeGraph, source: GraphSource, status: int, body: Any
) -> None:
    """No permission, no setting and no delta link: it is something before Graph that speaks."""
    graph.queue(*[page(status, body)] * 9)
    with pytest.raises(Intercepted) as raised:
        await source.fetch_page("users", f"{graph.root}{LINK}")
    assert (raised.value.status, raised.value.own) == (status, False)
    for word in ("permission", "mapping", "everything is read again"):
        assert word not in str(raised.value)
    assert "before Microsoft Graph" in str(raised.value)


async def test_graphs_own_refusals_mean_what_they_meant(graph: FakeGraph, source: GraphSource) -> None:
    """In its envelope they are believed, and a bare 410 still resets a link."""
    graph.queue(*[error(403, "Authorization_RequestDenied", "Insufficient privileges")] * 2)
    with pytest.raises(Forbidden, match=r"User\.Read\.All"):
        await source.fetch_page("users", None)


@pytest.mark.parametrize(
    ("code", "marks"),
    [
        ("Authorization_RequestDenied", {}),
        ("accessDenied", {}),
        ("Forbidden", {"request-id": "4711"}),
        ("", {"request-id": "4711"}),
        ("-1, Microsoft.Exception", {"x-ms-ags-diagnostic": "{}"}),
    ],
)
async def test_a_code_of_graphs_or_its_marks_tell_its_envelope(
    graph: FakeGraph, source: GraphSource, code: str, marks: dict[str, str]
) -> None:
    """Its codes are words that say more than a status; whatever bears the id of its request is Graph's as well."""
    graph.queue(*[Answer(403, {"error": {"code": code, "message": "no"}}, marks)] * 2)
    with pytest.raises(Forbidden, match=r"User\.Read\.All"):
        await source.fetch_page("users", None)
    inner = {"date": "2026-12-01", "request-id": "4711"}
    graph.queue(*[Answer(403, {"error": {"code": "Forbidden", "message": "no", "innerError": inner}})] * 2)
    with pytest.raises(Forbidden, match=r"User\.Read\.All"):
        await source.fetch_page("users", None)


async def test_what_can_be_done_another_way_is_where_a_gateway_lets_no_batch_through(
    graph: FakeGraph, source: GraphSource
) -> None:
    """Objects are then looked for one by one."""
    graph.queue(page(403), Answer(200, {"id": "u1"}), error(404, "Request_ResourceNotFound"))
    assert await source.fetch_existing("users", ["u1", "u2"]) == {"u1"}
    graph.queue(page(413))
    with pytest.raises(NotOffered):
        await source.fetch_lists([])


async def test_one_object_that_a_gateway_minds_is_no_missing_object(graph: FakeGraph, source: GraphSource) -> None:
    """Nobody is removed because of a page."""
    for status in (403, 404, 410):
        graph.queue(*[page(status)] * 9)
        with pytest.raises((Intercepted, Unavailable)):
            await source.fetch_user("u1")
        graph.answers.clear()


async def test_a_sign_in_before_graph_is_no_refused_token(graph: FakeGraph, source: GraphSource) -> None:
    """A page with 401 is tried with a fresh token once."""
    graph.queue(*[page(401)] * 2)
    with pytest.raises(Intercepted, match="wants a sign-in of its own"):
        await source.fetch_page("users", None)
    assert len(graph.forms) == 2


@pytest.mark.parametrize("mark", [b"\xef\xbb\xbf"])
async def test_a_byte_order_mark_before_graphs_json_is_no_harm(
    graph: FakeGraph, source: GraphSource, mark: bytes
) -> None:
    """Pages, counts, refusals and tokens are read without it."""
    token = json.dumps({"token_type": "Bearer", "expires_in": 3600, "access_token": "marked"}).encode()
    graph.good_tokens.add("marked")
    graph.logins = [Answer(200, mark + token)]
    graph.queue(Answer(200, mark + b"7"), Answer(404, mark + b'{"error":{"code":"Request_ResourceNotFound"}}'))
    assert await source.fetch_count("users") == 7
    assert await source.fetch_user("u1") is None


# --- continuous access evaluation


def challenge(claims: object, message: str = "") -> Answer:
    """Return what Graph answers where a Conditional Access policy minds the location."""
    packed = base64.b64encode(json.dumps(claims).encode()).decode()
    header = f'Bearer realm="", authorization_uri="x", error="insufficient_claims", claims="{packed}"'
    return error(401, "InvalidAuthenticationToken", message, WWW_Authenticate=header)


async def test_claims_that_graph_asks_for_are_handed_on(graph: FakeGraph, source: GraphSource) -> None:
    """The next token is asked for with them, once for all requests; a later one without."""
    claims = {"access_token": {"nbf": {"essential": True, "value": "1"}, "xms_rp_ipaddr": {"value": "203.0.113.9"}}}
    graph.queue(challenge(claims), Answer(200, b"3"))
    assert await source.fetch_count("users") == 3
    assert "claims" not in graph.forms[0]
    assert json.loads(graph.forms[1]["claims"]) == claims


@pytest.mark.parametrize(
    ("claims", "message", "address"),
    [
        ({"access_token": {"xms_rp_ipaddr": {"value": "203.0.113.9"}}}, "", "203.0.113.9"),
        ({"access_token": {"xms_rp_ipaddr": {"value": "2001:db8::7"}}}, "", "2001:db8::7"),
        ({"access_token": {}}, "Continuous access evaluation … for address 198.51.100.4.", "198.51.100.4"),
        ({"access_token": {"nbf": {"value": "1764500000"}}}, "LocationConditionEvaluationSatisfied", ""),
    ],
)
async def test_a_token_that_is_refused_by_location_names_policy_and_address(
    graph: FakeGraph, source: GraphSource, claims: object, message: str, address: str
) -> None:
    """A fresh one does not help; it is neither the secret nor the cloud."""
    graph.queue(*[challenge(claims, message)] * 2)
    with pytest.raises(ClaimsWanted, match="Conditional Access policy for workload identities") as raised:
        await source.fetch_count("users")
    assert ("it sees us at" in str(raised.value)) == bool(address)
    assert address in str(raised.value)
    assert "same cloud" not in str(raised.value)


async def test_a_challenge_that_cannot_be_read_still_names_the_policy(graph: FakeGraph, source: GraphSource) -> None:
    """Nothing is handed on then."""
    broken = error(401, "X", WWW_Authenticate='Bearer error="insufficient_claims", claims="%%%"')
    graph.queue(*[broken] * 2)
    with pytest.raises(ClaimsWanted):
        await source.fetch_count("users")
    assert "claims" not in graph.forms[1]


# --- the login host


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 413])
async def test_a_page_in_place_of_a_token_accuses_no_credential(graph: FakeGraph, status: int) -> None:
    """Neither the secret nor the registration is wrong because a firewall says no."""
    graph.logins = [page(status)] * 4
    with pytest.raises(Intercepted, match="before Microsoft Entra ID") as raised:
        await TokenSource(graph.make_options(), LoopClock()).fetch()
    assert "client_secret" not in str(raised.value)
    graph.discoveries = [page(status)] * 4
    with pytest.raises(Intercepted, match=r"check graph\.authority_url") as raised:
        await TokenSource(graph.make_options(), LoopClock()).fetch()
    assert TENANT not in str(raised.value)


async def test_a_token_answer_that_grows_without_end_is_not_read(graph: FakeGraph) -> None:
    """A small gzip that becomes hundreds of megabytes ends at the bound of a token answer."""
    bomb = gzip.compress(b" " * (1 << 20)) * 300
    graph.logins = [Answer(200, bomb, {"Content-Encoding": "gzip", "Content-Type": "application/json"})] * 4
    with pytest.raises(ProtocolError, match="larger than 1048576 bytes"):
        await TokenSource(graph.make_options(), LoopClock()).fetch()


async def test_a_token_that_no_header_takes_is_refused(graph: FakeGraph) -> None:
    """Knowing each part of it by heart, so that none is shown, would take a gigabyte."""
    graph.logins = [Answer(200, {"access_token": "a" * 100_001, "expires_in": 3600, "token_type": "Bearer"})] * 4
    with pytest.raises(ProtocolError, match="an access token of 100,001 characters"):
        await TokenSource(graph.make_options(), LoopClock()).fetch()


async def test_a_token_answer_that_drips_ends_in_time(graph: FakeGraph, monkeypatch: pytest.MonkeyPatch) -> None:
    """A byte now and then is no answer: the limit is for all of it."""
    monkeypatch.setattr("syncd.graph.auth.authority._ANSWER_SECONDS", 2.0)
    monkeypatch.setattr(graph, "drip", 1.0, raising=False)
    with pytest.raises(Timeout):
        await TokenSource(graph.make_options(), LoopClock()).fetch()


async def test_a_sign_in_that_is_called_off_ends_at_once(graph: FakeGraph, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for a thread: the request in hand is ended with it."""
    monkeypatch.setattr(graph, "drip", 1000.0, raising=False)
    task = asyncio.create_task(TokenSource(graph.make_options(), LoopClock()).fetch())
    while not graph.dripping:
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.get_running_loop().shutdown_default_executor()


async def test_what_a_side_repeats_of_the_request_is_in_no_message(graph: FakeGraph, source: GraphSource) -> None:
    """The token by Graph, the secret and the assertion by the login host, as JSON, text and page."""
    graph.secret = "s+e/c=r&t-canary"
    told: list[RemoteError] = []
    for body in (
        {"error": "invalid_client", "error_description": "AADSTS7000215: you sent s+e/c=r&t-canary. Trace ID: 1"},
        b"<html>client_secret=s%2Be%2Fc%3Dr%26t-canary</html>",
        b'{"error":"invalid_request","error_description":"' + base64.b64encode(b"client:s+e/c=r&t-canary") + b'"}',
    ):
        for status in (200, 400, 401, 403):
            graph.logins = [Answer(status, body)] * 9
            with pytest.raises(RemoteError) as raised:
                await TokenSource(graph.make_options(), LoopClock()).fetch()
            told.append(raised.value)
    graph.logins = []
    token = "token-canary-0123456789"
    graph.logins = [Answer(200, {"token_type": "Bearer", "expires_in": 3600, "access_token": token})]
    graph.good_tokens.add(token)
    for status in (200, 302, 400, 403, 500):
        for answer in (
            error(status, f"Code{token}", f"you sent {token}", Location=f"https://x.example/{token}"),
            page(status, f"<p>Bearer {token}</p>".encode()),
            page(status, token[:15].encode()),
        ):
            graph.answers = [answer] * 99
            with pytest.raises(RemoteError) as raised:
                await source.fetch_page("users", None)
            told.append(raised.value)
    assert len(told) == 27
    for each in told:
        shown = f"{each!r} {each.code} {each.location}"
        assert "canary" not in shown
        assert "s%2Be" not in shown
        assert token[:10] not in shown
        assert base64.b64encode(b"client:s+e/c=r&t-canary").decode()[10:30] not in shown


async def test_a_refusal_by_policy_at_the_login_host_names_it(graph: FakeGraph) -> None:
    """AADSTS53003 is Conditional Access, for an application that for workload identities."""
    graph.logins = [refusal(400, 53003, "access_denied", "Access has been blocked.")]
    with pytest.raises(AuthFailed, match="Conditional Access policy for workload identities"):
        await TokenSource(graph.make_options(), LoopClock()).fetch()


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 405, 413, 451])
@pytest.mark.parametrize(
    "body", [{"error": "Forbidden"}, {"message": "Unauthorized"}, {"error": {"code": 403}}, b"denied", PAGE.body]
)
async def test_what_stands_before_the_login_host_accuses_no_credential(
    graph: FakeGraph, status: int, body: Any
) -> None:
    """JSON of a gateway is no more the endpoint's word than its page: no setting is named."""
    graph.logins = [page(status, body)] * 4
    with pytest.raises(Intercepted) as raised:
        await TokenSource(graph.make_options(), LoopClock()).fetch()
    assert (raised.value.status, raised.value.own) == (status, False)
    assert "before Microsoft Entra ID" in str(raised.value)
    for word in ("secret", "client_id", "tenant_id", "app registration"):
        assert word not in str(raised.value)
    if status == 405:
        assert "does not let POST through" in str(raised.value)


async def test_json_of_a_gateway_with_success_is_no_refusal_of_the_login_host(graph: FakeGraph) -> None:
    """Neither is it a token."""
    graph.logins = [Answer(200, {"error": "Forbidden"})] * 4
    with pytest.raises(Intercepted):
        await TokenSource(graph.make_options(), LoopClock()).fetch()
