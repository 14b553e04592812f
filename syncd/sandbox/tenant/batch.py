"""``POST /$batch``: at most 20 requests in one, each with an answer of its own, in any order.

What makes the whole batch a bad request is from "Combine multiple HTTP requests using JSON batching": ids that are
missing or differ in case only, more than 20 requests, a body without Content-Type, an empty url. An absolute url fails
that request alone (msgraph-sdk-python#1015). A request may depend on ones that stand before it; when one of those
fails, it is not sent and answers 424.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from syncd.clock import Clock
from syncd.sandbox.tenant.odata import JSON_TYPE, refuse
from syncd.sandbox.wire.faults import Faults
from syncd.sandbox.wire.http import Answer, Refusal, Request, Unreadable, make_request, read_json
from syncd.sandbox.wire.ledger import Ledger

_LIMIT = 20
_READING = frozenset({"GET", "DELETE"})
_WRITING = frozenset({"POST", "PATCH", "PUT"})


@dataclass(frozen=True, slots=True)
class _Part:
    """One request of a batch; ``needs`` are the ids, without case, on which it depends."""

    id: str
    request: Request
    needs: tuple[str, ...]


def answer_batch(
    request: Request, answer: Callable[[Request], Answer], *, faults: Faults, ledger: Ledger, clock: Clock
) -> Answer:
    """Answer a batch; the answers come in reverse order, because clients must match them by id.

    Faults of side "batch" hit single items. Raises Refusal for a malformed batch or more than 20 requests.
    """
    responses, parts, units = [], list[tuple[str, str, Answer]](), 0
    failed = set[str]()
    for part in _read_parts(request, clock):
        reply = _fail_with(part, failed, clock) or _send(part.request, answer, faults=faults, ledger=ledger)
        if reply.status >= 400:
            failed.add(part.id.casefold())
        parts.append((part.request.method, part.request.target, reply))
        units += reply.resource_units
        responses.append(_encode_item(part.id, reply))
    return Answer(
        200, msgspec.json.encode({"responses": responses[::-1]}), JSON_TYPE, {}, "$batch", units, tuple(parts)
    )


def _fail_with(part: _Part, failed: set[str], clock: Clock) -> Answer | None:
    """Return the answer to a request that depends on a failed one, None where there is none."""
    broken = [need for need in part.needs if need in failed]
    if not broken:
        return None
    message = f"The request depends on request '{broken[0]}', which failed."
    return refuse(clock, 424, "FailedDependency", message).answer


def _send(part: Request, answer: Callable[[Request], Answer], *, faults: Faults, ledger: Ledger) -> Answer:
    ledger.begin_part(part.method, part.target)
    fault = faults.take("batch", part.method, part.target)
    if fault is None:
        return answer(part)
    if not fault.passes:
        return Answer(fault.status, fault.body, fault.content_type, dict(fault.headers))
    reply = answer(part)
    return replace(reply, body=fault.alter(reply.body, asked=part.target))


def _read_parts(batch: Request, clock: Clock) -> list[_Part]:
    try:
        document = read_json(batch.body)
    except Unreadable as error:
        raise _malformed(clock) from error
    items = document.get("requests") if isinstance(document, dict) else None
    if not isinstance(items, list) or not items:
        raise _malformed(clock)
    if len(items) > _LIMIT:
        raise _refuse(clock, f"Number of batch request steps exceeds the maximum value of {_LIMIT}.")
    known: set[str] = set()
    parts = []
    for item in items:
        part = _read_part(item, batch, clock)
        if part.id.casefold() in known:
            raise _refuse(clock, "Request Id's must be unique within a batch.")
        if not known.issuperset(part.needs):
            raise _refuse(clock, f"Invalid dependency for request Id {part.id}: it must stand before the request.")
        known.add(part.id.casefold())
        parts.append(part)
    return parts


def _read_part(item: object, batch: Request, clock: Clock) -> _Part:
    if not isinstance(item, dict):
        raise _malformed(clock)
    part_id, method, url = item.get("id"), item.get("method"), item.get("url")
    if not (isinstance(part_id, str) and part_id and isinstance(method, str) and isinstance(url, str)):
        raise _malformed(clock)
    if method.upper() not in _READING | _WRITING:
        raise _refuse(clock, f"Invalid method of request Id {part_id}.")
    if not url.strip("/"):
        raise _refuse(clock, f"Invalid url of request Id {part_id}: it is empty.")
    headers = _read_headers(item, clock)
    if method.upper() in _WRITING and not ("content-type" in headers and "body" in item):
        raise _refuse(clock, f"Write request id : {part_id} does not contain Content-Type header or body.")
    if "body" in item and "content-type" not in headers:
        raise _refuse(clock, f"Request id : {part_id} has a body and no Content-Type header.")
    needs = item.get("dependsOn")
    needs = [] if needs is None else needs
    if not isinstance(needs, list) or not all(isinstance(need, str) for need in needs):
        raise _malformed(clock)
    headers["authorization"] = batch.headers.get("authorization", "")
    body = msgspec.json.encode(item["body"]) if "body" in item else b""
    request = make_request(method.upper(), f"/v1.0/{url.lstrip('/')}", headers=headers, body=body)
    return _Part(part_id, request, tuple(need.casefold() for need in needs))


def _read_headers(item: Mapping[str, Any], clock: Clock) -> dict[str, str]:
    headers = item.get("headers")
    headers = {} if headers is None else headers
    if not isinstance(headers, dict) or not all(isinstance(value, str) for value in headers.values()):
        raise _malformed(clock)
    return {str(name).lower(): value for name, value in headers.items()}


def _malformed(clock: Clock) -> Refusal:
    return _refuse(clock, "Invalid batch payload format.")


def _refuse(clock: Clock, message: str) -> Refusal:
    return refuse(clock, 400, "BadRequest", message)


def _encode_item(item_id: str, reply: Answer) -> dict[str, object]:
    encoded: dict[str, object] = {
        "id": item_id,
        "status": reply.status,
        "headers": {"Content-Type": reply.content_type, **reply.headers},
    }
    if reply.body and reply.content_type.startswith("application/json"):
        encoded["body"] = msgspec.Raw(reply.body)
    elif reply.content_type.startswith("text/plain"):
        encoded["body"] = reply.body.decode("utf-8", "replace")
    elif reply.body:
        encoded["body"] = base64.b64encode(reply.body).decode()
    return encoded
