"""The wire: one plain request and answer shape for all imitation services, and the aiohttp application around them.

A service is a function from Request to Answer, so that batches, tests and the web server use the same one. Here are
faults injected and the ledger kept; nothing here knows what Graph or the portal mean.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Protocol
from urllib.parse import parse_qsl, unquote

import msgspec
from aiohttp import web

from syncd.clock import Clock
from syncd.errors import SyncdError
from syncd.sandbox.wire.faults import Fault, Faults
from syncd.sandbox.wire.gateways import answer_in_place, spoil_on_the_way
from syncd.sandbox.wire.ledger import Ledger
from syncd.sandbox.wire.messages import Answer, Request
from syncd.sandbox.wire.workers import Workers

_PACED = ("drip", "endless")
"""Faults whose ``seconds`` are between the parts of a body, and not before the answer."""
_GLANCE = 0.25
"""Seconds after which such a fault looks whether anybody still listens."""

__all__ = [
    "Answer",
    "Refusal",
    "Request",
    "Service",
    "Unreadable",
    "Wire",
    "make_application",
    "make_request",
    "read_json",
    "read_number",
]


class Refusal(SyncdError):
    """A service declines the request with this answer."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(f"refused with status {answer.status}")
        self.answer = answer


class Unreadable(SyncdError):
    """A request's body is no JSON, or JSON that nobody could read: broken text, nested too deep."""


class Service(Protocol):
    """What the web server asks for an answer; must not block and must not raise."""

    def answer(self, request: Request) -> Answer: ...


def make_request(method: str, target: str, *, headers: Mapping[str, str] | None = None, body: bytes = b"") -> Request:
    """Return the request for a raw target such as ``/v1.0/users?%24top=5``; bytes that are no text are replaced."""
    target = target.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    path, _, query = target.partition("?")
    return Request(
        method=method,
        target=target,
        path=unquote(path),
        query=dict(parse_qsl(query, keep_blank_values=True)),
        headers={name.lower(): value for name, value in (headers or {}).items()},
        body=body,
    )


def read_json(body: bytes) -> Any:
    """Return the decoded body. Raises Unreadable; msgspec lets broken UTF-8 and deep nesting pass as foreign errors."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Unreadable("the body is not JSON that can be read") from error


def read_number(text: str) -> int | None:
    """Return the whole number that a text of at most nine digits states, None for any other text."""
    return int(text) if len(text) < 10 and text.isdecimal() else None


@dataclass(frozen=True, slots=True)
class Wire:
    """What all web servers of one sandbox share. ``latency`` returns the seconds that every answer is held back."""

    clock: Clock
    faults: Faults
    ledger: Ledger
    latency: Callable[[], float]
    tell_time: Callable[[str], Mapping[str, str]]
    """Given a side, returns the headers by which it states the time."""
    workers: Mapping[str, Workers] = field(default_factory=dict)
    """Who works on the requests to a side; a side without an entry answers as many as come at once."""


def make_application(side: str, service: Service, wire: Wire, *, compress: Callable[[], bool]) -> web.Application:
    """Return the web application that serves ``service`` under every path as ``side`` of the ledger."""

    workers = wire.workers.get(side)

    async def handle(raw: web.Request) -> web.StreamResponse:
        body = await raw.read() if raw.body_exists else b""
        request = make_request(raw.method, raw.raw_path, headers=raw.headers, body=body)
        started = wire.ledger.begin(side, request.method, request.target, body=body)
        answer = Answer(status=0)
        try:
            fault = wire.faults.take(side, request.method, request.target, body)
            if workers is not None:
                await workers.serve()
            delay = wire.latency() + (fault.seconds if fault is not None and fault.kind not in _PACED else 0.0)
            if delay > 0:
                await wire.clock.sleep(delay)
            if fault is not None and fault.kind == "reset":
                return _abort(raw)
            if fault is not None and fault.kind == "endless":
                return await _go_on(raw, fault, wire.clock)
            answer = service.answer(request) if fault is None or fault.passes else answer_in_place(fault, request)
            if fault is not None and fault.passes:
                answer = spoil_on_the_way(fault, answer, asked=request.target)
            if fault is not None and fault.kind in ("lose", "truncate"):
                cut, answer = answer, Answer(status=0, route=answer.route)  # whatever it was, nobody has seen it
                return _abort(raw) if fault.kind == "lose" else await _truncate(raw, cut)
            if fault is not None and fault.kind == "drip":
                return await _drip(raw, answer, wire.clock, pause=fault.seconds)
            if fault is not None and fault.kind in ("alter", "links"):
                answer = replace(answer, parts=())
            return _respond(request, answer, compress=compress())
        finally:
            wire.ledger.end(side, request.method, request.target, answer=answer, started=started, body=body)

    async def state_time(_raw: web.Request, response: web.StreamResponse) -> None:
        response.headers.popall("Date", None)  # the real time, by the server; the sandbox may have one of its own
        response.headers.update(wire.tell_time(side))

    application = web.Application(client_max_size=64 * 1024 * 1024)
    application.on_response_prepare.append(state_time)
    application.router.add_route("*", "/{tail:.*}", handle)
    return application


def _respond(request: Request, answer: Answer, *, compress: bool) -> web.Response:
    headers = {"Content-Type": answer.content_type, **answer.headers} if answer.body else dict(answer.headers)
    body = answer.body
    if compress and len(body) > 1024 and "gzip" in request.headers.get("accept-encoding", ""):
        headers["Content-Encoding"] = "gzip"
        body = gzip.compress(body, compresslevel=1)
    return web.Response(status=answer.status, body=body, headers=headers)


def _abort(raw: web.Request) -> web.Response:
    if raw.transport is not None:
        raw.transport.abort()
    return web.Response()


async def _drip(raw: web.Request, answer: Answer, clock: Clock, *, pause: float) -> web.StreamResponse:
    """Send the head at once, and the body a tenth at a time."""
    length = {"Content-Type": answer.content_type, "Content-Length": str(len(answer.body))}
    response = web.StreamResponse(status=answer.status, headers={**answer.headers, **length})
    await response.prepare(raw)
    step = max(1, -(-len(answer.body) // 10))
    with suppress(ConnectionError):  # nobody waits for it any more
        for start in range(0, len(answer.body), step):
            await _wait(raw, clock, pause)
            await response.write(answer.body[start : start + step])
        await response.write_eof()
    return response


async def _go_on(raw: web.Request, fault: Fault, clock: Clock) -> web.StreamResponse:
    """Send a body without an end, until the connection is closed."""
    response = web.StreamResponse(status=fault.status, headers={"Content-Type": fault.content_type})
    await response.prepare(raw)
    with suppress(ConnectionError):
        while True:
            await response.write(b" " * max(1, fault.size))
            await _wait(raw, clock, fault.seconds)
    return response


async def _wait(raw: web.Request, clock: Clock, seconds: float) -> None:
    """Let time pass. Raises ConnectionError soon after nobody listens any more."""
    left = seconds
    while left > _GLANCE:
        await clock.sleep(_GLANCE)
        left -= _GLANCE
        if raw.transport is None or raw.transport.is_closing():
            raise ConnectionResetError("nobody listens any more")
    await clock.sleep(left)


async def _truncate(raw: web.Request, answer: Answer) -> web.StreamResponse:
    response = web.StreamResponse(
        status=answer.status, headers={"Content-Type": answer.content_type, "Content-Length": str(len(answer.body))}
    )
    await response.prepare(raw)
    await response.write(answer.body[: len(answer.body) // 2])
    _abort(raw)
    return response
