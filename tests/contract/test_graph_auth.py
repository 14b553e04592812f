"""Tokens over a real TLS login host: renewal, refusals with their way out, and what must never happen with a secret."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from syncd.errors import AuthFailed, ProtocolError, Rejected, RemoteError, Throttled, Timeout, Unavailable
from syncd.graph.auth.tokens import TokenSource
from syncd.graph.client import open_client
from syncd.graph.credentials import ClientSecret
from syncd.graph.source import GraphSource
from tests.contract.fake_graph import TENANT, Answer, FakeGraph, LoopClock, refusal, serve_graph

pytestmark = pytest.mark.looptime


@pytest.fixture
async def graph(tmp_path: Path) -> AsyncIterator[FakeGraph]:
    async with serve_graph(tmp_path) as fake:
        yield fake


def token_answer(text: str, lifetime: Any = 3600) -> Answer:
    return Answer(200, {"token_type": "Bearer", "expires_in": lifetime, "access_token": text})


# --- tokens


async def test_one_token_serves_all_until_five_minutes_before_its_end(graph: FakeGraph) -> None:
    """Requests at the same time share one call of the login host, and so do later ones."""
    tokens = TokenSource(graph.make_options(), LoopClock())
    assert set(await asyncio.gather(*(tokens.fetch() for _ in range(5)))) == {"token-1"}
    await asyncio.sleep(3600 - 320)
    assert await tokens.fetch() == "token-1"
    await asyncio.sleep(30)
    assert await tokens.fetch() == "token-2"
    assert [form["grant_type"] for form in graph.forms] == ["client_credentials"] * 2
    assert graph.forms[0]["scope"] == f"{graph.root}/.default"


async def test_a_short_lived_token_is_used_for_half_of_its_life(graph: FakeGraph) -> None:
    """A token of less than the margin does not lead to a login for each request."""
    graph.logins = [token_answer("short", 200), token_answer("next", 200)]
    tokens = TokenSource(graph.make_options(), LoopClock())
    assert [await tokens.fetch(), await tokens.fetch()] == ["short", "short"]
    await asyncio.sleep(101)
    assert await tokens.fetch() == "next"


async def test_only_the_refused_token_is_forgotten(graph: FakeGraph) -> None:
    """A late complaint about an old token does not cost the new one."""
    tokens = TokenSource(graph.make_options(), LoopClock())
    old = await tokens.fetch()
    tokens.invalidate(old)
    new = await tokens.fetch()
    tokens.invalidate(old)
    assert await tokens.fetch() == new != old


async def test_a_rotated_secret_works_without_a_restart(graph: FakeGraph) -> None:
    """The secret is read for every new token."""
    tokens = TokenSource(graph.make_options(), LoopClock())
    tokens.invalidate(await tokens.fetch())
    graph.secret = "second-secret"
    await tokens.fetch()
    assert [form["client_secret"] for form in graph.forms] == ["first-secret", "second-secret"]


async def test_an_expired_token_is_renewed_once_and_the_request_repeated(graph: FakeGraph) -> None:
    """401 costs one fresh token, in the middle of a round as well."""
    async with open_client(graph.make_options(), LoopClock()) as client:
        source = GraphSource(client, LoopClock())
        graph.queue(Answer(200, b"1"), Answer(200, b"2"))
        assert await source.fetch_count("users") == 1
        graph.good_tokens.clear()
        assert await source.fetch_count("users") == 2
        assert len(graph.forms) == 2
        graph.logins = [token_answer("bad")] * 2
        graph.good_tokens.clear()
        with pytest.raises(AuthFailed, match=r"fresh token.*graph\.base_url"):
            await source.fetch_count("users")
        assert len(graph.forms) == 3


async def test_a_failure_is_not_remembered(graph: FakeGraph) -> None:
    """msal keeps error answers for a minute; a corrected setting must work at once."""
    tokens = TokenSource(graph.make_options(), LoopClock())
    graph.logins = [refusal(400, 7000215)]
    with pytest.raises(AuthFailed):
        await tokens.fetch()
    assert await tokens.fetch() == "token-2"


async def test_throttled_and_failing_logins_are_repeated(graph: FakeGraph) -> None:
    """429 with its Retry-After, 5xx and the passing codes are waited out."""
    throttled = replace(refusal(429, 90055), headers={"Retry-After": "11"})
    graph.logins = [throttled, Answer(503, b"<html/>"), refusal(400, 90033, "temporarily_unavailable")]
    started = asyncio.get_running_loop().time()
    assert await TokenSource(graph.make_options(), LoopClock()).fetch() == "token-4"
    assert asyncio.get_running_loop().time() - started >= 11
    graph.discoveries = [Answer(500, b"")]
    assert await TokenSource(graph.make_options(), LoopClock()).fetch() == "token-5"


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (refusal(429, 90055), Throttled),
        (Answer(500, {}), Unavailable),
        (refusal(400, 90024), Unavailable),
        (Answer(200, b"<html>Welcome to the hotel</html>"), Unavailable),
        (Answer(200, {"token_type": "Bearer"}), ProtocolError),
        (Answer(200, {"error": "invalid_client"}), AuthFailed),
        (Answer(200, {"access_token": "a\r\nb", "expires_in": 3600}), ProtocolError),
        (Answer(302, b"", {"Location": "https://evil.example/"}), ProtocolError),
    ],
)
async def test_a_lasting_failure_of_the_login_host_is_one_of_our_errors(
    graph: FakeGraph, answer: Answer, kind: type[RemoteError]
) -> None:
    """Nothing of msal's or of requests' own kind comes through, and retries are bounded."""
    graph.logins = [answer] * 4
    with pytest.raises(kind, match=r"Microsoft Entra ID"):
        await TokenSource(graph.make_options(), LoopClock()).fetch()
    assert len(graph.forms) <= 4


# --- refusals


@pytest.mark.parametrize(
    ("number", "word", "setting", "way_out"),
    [
        (7000215, "invalid_client", "graph.client_secret", "its Value, not its Secret ID"),
        (7000222, "invalid_client", "graph.client_secret", "expired"),
        (700016, "unauthorized_client", "graph.client_id", "Application .client. ID"),
        (7000229, "unauthorized_client", "graph.client_id", "admin consent"),
        (7000112, "unauthorized_client", "graph.client_id", "disabled"),
        (90002, "invalid_request", "graph.tenant_id", "Directory .tenant. ID"),
        (900382, "invalid_request", "graph.cloud", "another cloud"),
        (500011, "invalid_resource", "graph.base_url", "same cloud"),
        (70011, "invalid_scope", "graph.base_url", "same cloud"),
        (700030, "invalid_client", "graph.certificate_file", "subject or issuer"),
        (700024, "invalid_client", "the clock of this machine", "NTP"),
        (700229, "invalid_client", "graph.federated_token_file", "app-only"),
        (90038, "invalid_request", "graph.cloud", "another cloud"),
        (53003, "access_denied", "graph.client_id", "Conditional Access"),
        (1234567, "invalid_client", "graph.client_secret", "Certificates & secrets"),
        (1234567, "unheard_of", "graph.tenant_id", "app registration"),
    ],
)
async def test_a_refusal_names_side_setting_words_and_way_out(
    graph: FakeGraph, number: int, word: str, setting: str, way_out: str
) -> None:
    """One sentence for the operator, at once and without retries."""
    graph.logins = [refusal(401, number, word, "That is not right.")]
    with pytest.raises(AuthFailed, match=way_out) as raised:
        await TokenSource(graph.make_options(), LoopClock()).fetch()
    text = str(raised.value)
    assert text.startswith(f"Microsoft Entra ID ({graph.root}) answered 401 AADSTS{number}: “That is not right")
    assert setting in text
    assert "Trace ID" not in text
    assert raised.value.code == f"AADSTS{number}"
    assert len(graph.forms) == 1


async def test_an_unknown_tenant_is_named(graph: FakeGraph) -> None:
    """The tenant's configuration is asked for before any token, so a wrong tenant shows there."""
    graph.discoveries = [refusal(400, 90002, "invalid_tenant", "Tenant not found.")]
    with pytest.raises(AuthFailed, match=rf"does not know the tenant '{TENANT}'.*graph\.tenant_id.*authority_url"):
        await TokenSource(graph.make_options(), LoopClock()).fetch()
    assert graph.forms == []


async def test_a_configuration_without_a_token_endpoint_is_reported(graph: FakeGraph) -> None:
    """An authority that is none is told as such."""
    graph.discoveries = [Answer(200, {})]
    with pytest.raises(ProtocolError, match=r"graph\.authority_url"):
        await TokenSource(graph.make_options(), LoopClock()).fetch()


async def test_a_refused_secret_is_named_by_the_key_that_set_it(graph: FakeGraph) -> None:
    """Whoever wrote ``client_secret_file`` finds no ``client_secret`` in the settings to look at."""
    kept = ClientSecret(lambda: graph.secret, "graph.client_secret_file")
    for number, word in ((7000215, "invalid_client"), (7000222, "invalid_client"), (1234567, "unheard_of")):
        graph.logins = [refusal(401, number, word, "That is not right.")]
        with pytest.raises(AuthFailed, match=r"graph\.client_secret_file"):
            await TokenSource(graph.make_options(credential=kept), LoopClock()).fetch()


async def test_an_unusable_secret_is_told_before_asking(graph: FakeGraph) -> None:
    """A missing file and an empty value name the setting; nothing is sent."""

    def read_missing() -> str:
        raise FileNotFoundError(2, "No such file or directory")

    missing = ClientSecret(read_missing, "graph.client_secret_file")
    with pytest.raises(AuthFailed, match=r"No such file.*client_secret_file"):
        await TokenSource(graph.make_options(credential=missing), LoopClock()).fetch()
    with pytest.raises(AuthFailed, match="empty"):
        await TokenSource(graph.make_options(credential=ClientSecret(str)), LoopClock()).fetch()
    assert graph.forms == []


async def test_an_unknown_authority_of_certificates_names_the_setting(graph: FakeGraph) -> None:
    """Without the private authority's certificate neither secret nor token is sent."""
    with pytest.raises(Rejected, match=r"graph\.ca_file"):
        await TokenSource(graph.make_options(ca_file=None), LoopClock()).fetch()
    assert graph.forms == []


async def test_variables_of_the_environment_change_nothing(
    graph: FakeGraph, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Certificate bundles and proxies come from the settings only."""
    empty = tmp_path / "empty.pem"
    empty.touch()
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.setenv(name, str(empty))
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert await TokenSource(graph.make_options(), LoopClock()).fetch() == "token-1"


async def test_an_unreachable_login_host_or_proxy_is_named(graph: FakeGraph) -> None:
    """Refused connections are retried, then told with the settings to look at."""
    refused = r"Microsoft Entra ID \(localhost:1\) cannot be reached: Connection refused; check graph\.authority_url"
    with pytest.raises(Unavailable, match=refused):
        await TokenSource(graph.make_options(authority_url="https://localhost:1"), LoopClock()).fetch()
    with pytest.raises(Unavailable, match=r"the proxy of graph\.proxy_url cannot be reached: Connection refused"):
        await TokenSource(graph.make_options(proxy_url="http://localhost:1"), LoopClock()).fetch()


async def test_a_silent_login_host_is_given_up(graph: FakeGraph, monkeypatch: pytest.MonkeyPatch) -> None:
    """msal's own session would wait for ever."""
    for name in ("_CONNECT_SECONDS", "_ANSWER_SECONDS"):
        monkeypatch.setattr(f"syncd.graph.auth.authority.{name}", 0.05)

    async def stay_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(stay_silent, "localhost", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        with pytest.raises(Timeout, match="did not answer in time"):
            await TokenSource(graph.make_options(authority_url=f"https://localhost:{port}"), LoopClock()).fetch()


async def test_no_secret_and_no_token_reaches_log_or_repr(graph: FakeGraph, caplog: pytest.LogCaptureFixture) -> None:
    """Even an answer cut short in the middle of a token is not written anywhere."""
    caplog.set_level(logging.DEBUG)
    graph.logins = [Answer(200, b'{"access_token":"precious-token"')] * 4
    options = graph.make_options()
    tokens = TokenSource(options, LoopClock())
    with pytest.raises(Unavailable) as raised:
        await tokens.fetch()
    await tokens.fetch()
    shown = caplog.text + str(raised.value) + repr(options) + repr(tokens.__dict__)
    assert "precious-token" not in shown
    assert "first-secret" not in shown
    assert "token-5" not in shown
