"""What stands before a real service and answers in its place: pages, redirects, and requests that come back.

A gateway knows nothing of the service behind it. Which requests it minds is the fault's matter: by side, method and
path, by what their bodies hold, or by how big they are.
"""

from __future__ import annotations

import base64
import gzip
import html
from collections.abc import Mapping
from urllib.parse import quote

import msgspec

from syncd.sandbox.wire.faults import Fault
from syncd.sandbox.wire.messages import Answer, Request

MARK = b"\xef\xbb\xbf"
"""The byte order mark of UTF-8, which some gateways put before JSON."""


def answer_in_place(fault: Fault, request: Request) -> Answer:
    """Return what comes instead of the service's answer."""
    headers, body, kind = dict(fault.headers), fault.body, fault.content_type
    if fault.kind == "redirect":
        return Answer(308, b"", headers={**headers, "Location": f"http://{_find_host(request)}{request.target}"})
    if fault.kind == "bomb":
        return Answer(200, make_bomb(fault.size), headers={**headers, "Content-Encoding": "gzip"}, route="(fault)")
    if fault.kind == "echo":
        body, kind = make_echo(fault, request)
        sent = request.headers.get("authorization") or request.target
        headers |= {"Location": f"https://{_find_host(request)}/?t={quote(sent)}", "Server": sent, "Retry-After": sent}
    return Answer(fault.status, body, content_type=kind, headers=headers, route="(fault)")


def spoil_on_the_way(fault: Fault, answer: Answer, *, asked: str) -> Answer:
    """Return an answer of the service as it comes out of the gateway; ``asked`` is the raw target."""
    if fault.kind == "replace":
        return Answer(fault.status, fault.body, content_type=fault.content_type, headers=dict(fault.headers))
    body, headers = fault.alter(answer.body, asked=asked), dict(answer.headers)
    if fault.kind == "mark" and body:
        body = MARK + body
    if fault.kind == "header":
        headers["Content-Security-Policy"] = ("default-src 'self'; " * (fault.size // 20 + 1))[: fault.size]
    return Answer(
        answer.status,
        body,
        content_type=answer.content_type,
        headers=headers,
        route=answer.route,
        resource_units=answer.resource_units,
        parts=answer.parts,
    )


def make_echo(fault: Fault, request: Request) -> tuple[bytes, str]:
    """Return a body that repeats everything that was sent, in the encodings that gateways and services use."""
    sent = [request.headers.get("authorization", ""), request.body.decode("utf-8", "replace"), request.target]
    said = " ".join(
        form
        for text in sent
        for form in (text, quote(text, safe=""), base64.b64encode(text.encode()).decode(), html.escape(text), text[:40])
    )
    words = f"{fault.body.decode('utf-8', 'replace')} {said}".strip()
    if fault.content_type != "application/json":
        return f"<html><body>{words}</body></html>".encode() if "html" in fault.content_type else words.encode(), (
            fault.content_type
        )
    shapes: Mapping[str, object] = {
        "portal": {"type": "InternalError", "description": words, "errorGuid": sent[0]},
        "graph": {"error": {"code": "InternalServerError", "message": words}},
        "login": {"error": "invalid_request", "error_description": f"AADSTS900144: {words}"},
    }
    return msgspec.json.encode(shapes.get(fault.side, shapes["portal"])), "application/json"


def make_bomb(size: int) -> bytes:
    """Return a gzip of as many blanks, made without ever holding them."""
    chunk = b" " * (1 << 20)
    packed = gzip.compress(chunk, 9)
    return packed * -(-size // len(chunk))


def _find_host(request: Request) -> str:
    return request.headers.get("host", "localhost")
