"""A scripted Graph and login host on loopback TLS: answers what a test queued, and records what was asked.

It is no imitation of the tenant's behaviour; it refuses only what every Graph request must get right (a bearer token
that the login host gave out) and what no test has queued an answer for.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import trustme
from aiohttp import web

from syncd.clock import Clock
from syncd.graph.credentials import ClientSecret
from syncd.graph.options import GraphOptions
from tests.fakes.rules import make_graph_options

TENANT = "11111111-1111-4111-8111-111111111111"


class LoopClock(Clock):
    """The clock of the running loop, so that looptime owns it."""

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()


@dataclass(frozen=True, slots=True)
class Answer:
    """One queued answer; a ``body`` that is neither bytes nor text is sent as JSON."""

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def make_response(self) -> web.Response:
        if isinstance(self.body, bytes):
            return web.Response(status=self.status, body=self.body, headers=self.headers)
        content = msgspec.json.encode(self.body)
        return web.Response(
            status=self.status, body=content, headers={"Content-Type": "application/json", **self.headers}
        )


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as it came: ``target`` is the raw path with query."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


def error(status: int, code: str, message: str = "", **headers: str) -> Answer:
    """Return Graph's error envelope."""
    return Answer(
        status,
        {"error": {"code": code, "message": message}},
        {name.replace("_", "-"): value for name, value in headers.items()},
    )


def refusal(status: int, number: int, word: str = "invalid_client", text: str = "It is refused.") -> Answer:
    """Return an error of the token endpoint."""
    return Answer(
        status,
        {
            "error": word,
            "error_description": f"AADSTS{number}: {text} Trace ID: 1 Correlation ID: 2",
            "error_codes": [number],
        },
    )


class FakeGraph:
    """The two hosts behind one port. ``answers`` are for Graph, ``logins`` for the token endpoint, in turn."""

    def __init__(self) -> None:
        self.root = ""
        self.ca_file = Path()
        self.answers: list[Answer | Callable[[Asked], Answer]] = []
        self.logins: list[Answer] = []
        self.discoveries: list[Answer] = []
        self.asked: list[Asked] = []
        self.forms: list[Mapping[str, str]] = []
        self.good_tokens: set[str] = set()
        self.secret = "first-secret"
        self.drip = 0.0
        """Seconds between the bytes of a token answer; 0: all at once."""
        self.dripping = False

    def queue(self, *answers: Answer | Callable[[Asked], Answer]) -> None:
        self.answers.extend(answers)

    def targets(self) -> list[str]:
        return [asked.target for asked in self.asked]

    def make_options(self, **changes: Any) -> GraphOptions:
        settings: dict[str, Any] = {
            "tenant_id": TENANT,
            "client_id": "client",
            "credential": ClientSecret(lambda: self.secret),
            "authority_url": self.root,
            "base_url": self.root,
            "ca_file": self.ca_file,
        }
        return make_graph_options(**(settings | changes))

    async def answer_discovery(self, request: web.Request) -> web.Response:
        if self.discoveries:
            return self.discoveries.pop(0).make_response()
        endpoint = f"{self.root}/{TENANT}/oauth2/v2.0"
        document = {
            "issuer": f"{self.root}/{TENANT}/v2.0",
            "authorization_endpoint": f"{endpoint}/authorize",
            "token_endpoint": f"{endpoint}/token",
        }
        return Answer(200, document).make_response()

    async def answer_login(self, request: web.Request) -> web.StreamResponse:
        form = await request.post()
        self.forms.append({name: str(value) for name, value in form.items()})
        if self.drip:
            return await self.drip_login(request)
        if self.logins:
            return self.logins.pop(0).make_response()
        token = f"token-{len(self.forms)}"
        self.good_tokens.add(token)
        return Answer(200, {"token_type": "Bearer", "expires_in": 3600, "access_token": token}).make_response()

    async def drip_login(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": "1000"})
        await response.prepare(request)
        self.dripping = True
        for _ in range(1000):
            await response.write(b" ")
            await asyncio.sleep(self.drip)
        return response

    async def answer_graph(self, request: web.Request) -> web.Response:
        asked = Asked(request.method, request.raw_path, dict(request.headers), await request.read())
        self.asked.append(asked)
        if asked.headers.get("Authorization", "").removeprefix("Bearer ") not in self.good_tokens:
            return error(
                401, "InvalidAuthenticationToken", "Access token has expired or is not yet valid."
            ).make_response()
        if not self.answers:
            return error(501, "NothingQueued", asked.target).make_response()
        answer = self.answers.pop(0)
        return (answer(asked) if callable(answer) else answer).make_response()


@asynccontextmanager
async def serve_graph(folder: Path) -> AsyncIterator[FakeGraph]:
    """Run the fake on a free port; its authority's certificate is in ``ca_file``."""
    fake = FakeGraph()
    authority = trustme.CA()
    fake.ca_file = folder / "ca.pem"
    authority.cert_pem.write_to_path(str(fake.ca_file))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    connections: set[asyncio.Transport] = set()

    @web.middleware
    async def note_connection(request: web.Request, handler: Any) -> web.StreamResponse:
        if request.transport is not None:
            connections.add(request.transport)
        response: web.StreamResponse = await handler(request)
        return response

    app = web.Application(middlewares=[note_connection])
    app.router.add_get("/{tenant}/v2.0/.well-known/openid-configuration", fake.answer_discovery)
    app.router.add_post("/{tenant}/oauth2/v2.0/token", fake.answer_login)
    app.router.add_route("*", "/v1.0/{rest:.*}", fake.answer_graph)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "localhost", 0, ssl_context=context)
        await site.start()
        port = runner.addresses[0][1]
        fake.root = f"https://localhost:{port}"
        yield fake
    finally:
        await runner.cleanup()
        for connection in connections:  # a client that left without a TLS goodbye keeps its transport open for a while
            connection.abort()
        await asyncio.sleep(0)
