"""``POST /$batch``: at most 20 requests in one, each with an answer of its own, in any order."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec

from syncd.clock import Clock
from syncd.sandbox.tenant.odata import JSON_TYPE, refuse
from syncd.sandbox.wire.faults import Faults
from syncd.sandbox.wire.http import Answer, Request, make_request
from syncd.sandbox.wire.ledger import Ledger

_LIMIT = 20


def answer_batch(
    request: Request, answer: Callable[[Request], Answer], *, faults: Faults, ledger: Ledger, clock: Clock
) -> Answer:
    """Answer a batch; the answers come in reverse order, because clients must match them by id.

    Faults of side "batch" hit single items. Raises Refusal for a malformed batch or more than 20 requests.
    """
    try:
        document = msgspec.json.decode(request.body)
        items = document["requests"]
        ids = [str(item["id"]) for item in items]
        requests = [_make_item(item, request) for item in items]
    except (msgspec.MsgspecError, KeyError, TypeError) as error:
        raise refuse(clock, 400, "BadRequest", "Invalid batch payload format.") from error
    if len(items) > _LIMIT:
        raise refuse(clock, 400, "BadRequest", f"Number of batch request steps exceeds the maximum value of {_LIMIT}.")
    if len(set(ids)) != len(ids):
        raise refuse(clock, 400, "BadRequest", "Request Id's must be unique within a batch.")
    responses, parts, units = [], list[tuple[str, str, Answer]](), 0
    for item_id, item in zip(ids, requests, strict=True):
        ledger.begin_part(item.method, item.target)
        fault = faults.take("batch", item.method, item.target)
        if fault is not None and not fault.passes:
            reply = Answer(fault.status, fault.body, fault.content_type, dict(fault.headers))
        else:
            reply = answer(item)
        if fault is not None and fault.passes:
            reply = replace(reply, body=fault.alter(reply.body, asked=item.target))
        parts.append((item.method, item.target, reply))
        units += reply.resource_units
        responses.append(_encode_item(item_id, reply))
    return Answer(
        200, msgspec.json.encode({"responses": responses[::-1]}), JSON_TYPE, {}, "$batch", units, tuple(parts)
    )


def _make_item(item: dict[str, Any], batch: Request) -> Request:
    headers = {str(name).lower(): str(value) for name, value in item.get("headers", {}).items()}
    headers["authorization"] = batch.headers.get("authorization", "")
    url = str(item["url"])
    body = msgspec.json.encode(item["body"]) if "body" in item else b""
    return make_request(str(item["method"]).upper(), f"/v1.0/{url.lstrip('/')}", headers=headers, body=body)


def _encode_item(item_id: str, reply: Answer) -> dict[str, object]:
    encoded: dict[str, object] = {
        "id": item_id,
        "status": reply.status,
        "headers": {"Content-Type": reply.content_type, **reply.headers},
    }
    if reply.body and reply.content_type.startswith("application/json"):
        encoded["body"] = msgspec.Raw(reply.body)
    elif reply.content_type.startswith("text/plain"):
        encoded["body"] = reply.body.decode()
    elif reply.body:
        encoded["body"] = base64.b64encode(reply.body).decode()
    return encoded
