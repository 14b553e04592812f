"""Faults hit whom they are meant for, and the ledger tells who broke which rule."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from yarl import URL

from syncd.errors import ConfigError
from syncd.sandbox.server import SandboxOptions
from syncd.sandbox.wire.faults import Fault, parse_fault
from tests.contract.sandbox_client import Client, MovableClock, open_client

USER = {"bpsId": "a@b.example", "name": "A", "email": "a@b.example"}


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


@pytest.fixture
async def client(tmp_path: Path, clock: MovableClock) -> AsyncIterator[Client]:
    async with open_client(SandboxOptions(users=30, groups=4, memberships=60), tmp_path, clock=clock) as opened:
        yield opened


async def test_a_fault_hits_matching_requests_as_often_as_asked(client: Client) -> None:
    """Side, method, path, skip and count all choose; afterwards everything works again."""
    fault = client.sandbox.faults.add(
        Fault("status", side="graph", method="GET", path=r"^/v1\.0/users\?", skip=1, count=2, status=504)
    )
    statuses = [(await client.graph("/users?$top=5")).status for _ in range(5)]
    assert statuses == [200, 504, 504, 200, 200]
    assert (await client.graph("/groups")).status == 200
    assert fault.hits == 2


async def test_html_page_instead_of_json(client: Client) -> None:
    """A maintenance page is HTML with status 503."""
    client.sandbox.faults.add(Fault("html", side="portal"))
    reply = await client.portal_token()
    assert (reply.status, reply.headers["Content-Type"]) == (503, "text/html")


@pytest.mark.parametrize(("kind", "written"), [("reset", False), ("lose", True)])
async def test_a_broken_connection_may_or_may_not_have_had_its_effect(client: Client, kind: str, written: bool) -> None:
    """ "reset" breaks before the write, "lose" after it."""
    await client.portal("GET", "/me")
    client.sandbox.faults.add(Fault(kind, side="portal", method="POST"))  # type: ignore[arg-type]  # parametrised
    with pytest.raises(aiohttp.ClientError):
        await client.portal("POST", "/admin/users", USER)
    assert ("a@b.example" in client.sandbox.portal.accounts) is written


async def test_a_truncated_body_is_noticed(client: Client) -> None:
    """Half of a page ends in an error, not in a shorter page."""
    client.sandbox.faults.add(Fault("truncate", side="graph"))
    with pytest.raises(aiohttp.ClientPayloadError):
        await client.graph("/users")


async def test_a_delay_passes_on_the_sandbox_clock(client: Client, clock: MovableClock) -> None:
    """A slow answer takes its time and is otherwise right."""
    client.sandbox.faults.add(Fault("delay", side="graph", seconds=40.0))
    assert (await client.graph("/users")).status == 200
    assert clock.elapsed == 40.0


async def test_spoiled_links(client: Client) -> None:
    """Foreign, missing and doubled links; the entries stay right."""
    client.sandbox.tenant_knobs.page_objects = 10
    faults = client.sandbox.faults
    faults.add(Fault("links", side="graph", link="foreign"))
    assert (await client.graph("/users/delta")).json["@odata.nextLink"].startswith("https://graph.attacker.example/")
    faults.add(Fault("links", side="graph", link="neither"))
    page = (await client.graph("/users/delta")).json
    assert not [key for key in page if key.endswith("Link")]
    assert len(page["value"]) == 10
    faults.add(Fault("links", side="graph", link="both"))
    page = (await client.graph("/users/delta")).json
    assert page["@odata.nextLink"] == page["@odata.deltaLink"]


async def test_a_next_link_that_leads_to_its_own_page(client: Client) -> None:
    """ "same" makes a page name the very link that it was asked with."""
    client.sandbox.tenant_knobs.page_objects = 10
    link = (await client.graph("/users/delta")).json["@odata.nextLink"]
    client.sandbox.faults.add(Fault("links", side="graph", link="same", count=-1))
    for _ in range(3):
        assert (await client.graph(link)).json["@odata.nextLink"] == link


async def test_a_test_can_alter_any_answer(client: Client) -> None:
    """An alter fault edits the decoded document, for instance to send an object without an id."""
    client.sandbox.faults.add(Fault("alter", side="graph", change=lambda page: page["value"][0].pop("id")))
    page = (await client.graph("/users/delta")).json
    assert ["id" in entry for entry in page["value"][:2]] == [False, True]


async def test_early_retries_are_written_down(client: Client, clock: MovableClock) -> None:
    """Asking the same again before Retry-After is over breaks a rule; asking afterwards does not."""
    client.sandbox.faults.add(Fault("status", side="graph", status=429, headers={"Retry-After": "10"}, count=2))
    assert (await client.graph("/users")).status == 429
    clock.elapsed += 5
    assert (await client.graph("/users")).status == 429
    clock.elapsed += 10
    assert (await client.graph("/users")).status == 200
    assert [violation.rule for violation in client.sandbox.ledger.violations] == ["early-retry"]


async def test_another_batch_is_no_early_retry(client: Client) -> None:
    """Several are under way at a time; the wait is that of the one that was refused."""
    one, other = (
        {"requests": [{"id": "1", "method": "GET", "url": f"/{kind}?$select=id"}]} for kind in ("users", "groups")
    )
    client.sandbox.faults.add(Fault("status", side="graph", method="POST", status=503, headers={"Retry-After": "3"}))
    assert (await client.graph("/$batch", method="POST", body=one)).status == 503
    assert (await client.graph("/$batch", method="POST", body=other)).status == 200
    assert not client.sandbox.ledger.violations
    assert (await client.graph("/$batch", method="POST", body=one)).status == 200
    assert [violation.rule for violation in client.sandbox.ledger.violations] == ["early-retry"]


@pytest.mark.parametrize("status", [423, 424, 429, 500, 503, 504])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Retry-After", "7"),
        ("retry-after", "7"),
        ("Retry-After", "6.5"),
        ("Retry-After", "Mon, 02 Mar 2026 09:00:07 GMT"),
    ],
)
@pytest.mark.parametrize("side", ["graph", "portal"])
async def test_every_form_of_a_wait_is_kept_or_written_down(
    client: Client, clock: MovableClock, status: int, name: str, value: str, side: str
) -> None:
    """As a number or a date, in any case, with any status: who comes back too early breaks a rule."""

    async def ask() -> int:
        return (await (client.graph("/users") if side == "graph" else client.portal("GET", "/admin/users"))).status

    for early in (False, True):
        clock.elapsed = 0.0
        client.sandbox.ledger.clear()
        client.sandbox.faults.add(Fault("status", side=side, path="/users", status=status, headers={name: value}))
        assert await ask() == status
        clock.elapsed += 4.0 if early else 7.0
        assert await ask() == 200
        assert [violation.rule for violation in client.sandbox.ledger.violations] == ["early-retry"] * early


async def test_the_ledger_counts_and_remembers(client: Client) -> None:
    """Requests per route and status, and in full mode each request."""
    await client.graph("/users/delta")
    await client.graph("/users/nobody")
    await client.portal("GET", "/admin/users")
    ledger = client.sandbox.ledger
    assert ledger.routes["graph", "users/delta"] == 1
    assert (ledger.requests("graph"), ledger.requests("login"), ledger.requests()) == (2, 1, 5)
    assert ledger.statuses["graph", 404] == 1
    assert [(e.side, e.method, e.status) for e in ledger.entries][-1] == ("portal", "GET", 200)
    ledger.clear()
    assert ledger.requests() == 0


async def test_counters_mode_remembers_no_request(tmp_path: Path) -> None:
    """A benchmark can do without the list of requests."""
    options = SandboxOptions(users=3, groups=0, memberships=0, ledger="counters")
    async with open_client(options, tmp_path) as client:
        await client.graph("/users")
        assert (len(client.sandbox.ledger.entries), client.sandbox.ledger.requests()) == (0, 2)


def test_described_faults_are_checked() -> None:
    """A fault from outside names every problem at once."""
    with pytest.raises(ConfigError) as caught:
        parse_fault({"kind": "explode", "path": "(", "colour": "red", "link": "odd"})
    assert len(caught.value.problems) == 4
    fault = parse_fault({"kind": "status", "status": 423, "body": {"type": "ResourceIsLocked"}})
    assert (fault.status, fault.body) == (423, b'{"type":"ResourceIsLocked"}')


@pytest.mark.parametrize(
    "head",
    [
        b"GET /v1.0/users/\xff\xfe HTTP/1.1",
        b"GET /v1.0/users?$filter=\xc3 HTTP/1.1",
        b"GET /v1.0/users HTTP/1.1\r\nclient-request-id: \xff\xe9",
        b"GET /v1.0/users HTTP/1.1\r\nPrefer: \xff",
        b"BREW /v1.0/users HTTP/1.1",
        b"GET * HTTP/1.1",
        b"GET //v1.0//users?? HTTP/1.1",
    ],
)
async def test_bytes_that_are_no_text_are_answered(client: Client, head: bytes) -> None:
    """By a refusal, or as if they were another text; the server does not fail."""
    await client.graph("/groups?$top=1")
    sandbox = client.sandbox
    trust = ssl.create_default_context(cafile=str(sandbox.ca_file))
    reader, writer = await asyncio.open_connection("localhost", URL(sandbox.graph_url).port, ssl=trust)
    end = f"\r\nHost: localhost\r\nAuthorization: Bearer {client.tokens['graph']}\r\nConnection: close\r\n\r\n"
    writer.write(head + end.encode())
    status = int((await reader.readline()).split()[1])
    assert status < 500
    writer.transport.abort()


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "status", "status": "503"},
        {"kind": "status", "status": 99},
        {"kind": "status", "count": "many"},
        {"kind": "status", "count": True},
        {"kind": "status", "headers": ["Retry-After"]},
        {"kind": "status", "headers": {"Retry-After": 7}},
        {"kind": "status", "headers": {"Retry-After": "7\r\nX: y"}},
        {"kind": "delay", "seconds": -1},
        {"kind": "delay", "seconds": "1"},
        {"kind": "status", "side": 7},
    ],
)
def test_faults_of_a_wrong_type_are_refused_with_their_key(fault: dict[str, object]) -> None:
    """Before they hit anybody."""
    key = next(name for name in fault if name != "kind")
    with pytest.raises(ConfigError, match=f"^{key}: "):
        parse_fault(fault)
