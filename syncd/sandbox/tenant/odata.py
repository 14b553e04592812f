"""How an object is written: Graph's error envelope, encoded objects, references, and the statement of their types.

Each object is encoded once per selection and remembered until it changes, so that the sandbox is never the slow side
of a benchmark.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from uuid import uuid4

import msgspec

from syncd.clock import Clock
from syncd.sandbox.tenant.objects import Node
from syncd.sandbox.tenant.schema import SCHEMAS
from syncd.sandbox.wire.http import Answer, Refusal

JSON_TYPE = "application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8"


def refuse(clock: Clock, status: int, code: str, message: str, *, headers: Mapping[str, str] | None = None) -> Refusal:
    """Return the refusal with Graph's error envelope."""
    request_id = str(uuid4())
    envelope = {
        "error": {
            "code": code,
            "message": message.encode("utf-8", "replace").decode(),
            "innerError": {
                "date": clock.now().strftime("%Y-%m-%dT%H:%M:%S"),
                "request-id": request_id,
                "client-request-id": request_id,
            },
        }
    }
    return Refusal(Answer(status, msgspec.json.encode(envelope), "application/json", dict(headers or {})))


def refuse_missing(clock: Clock, name: str) -> Refusal:
    """Return the refusal of an object that does not exist."""
    return refuse(
        clock,
        404,
        "Request_ResourceNotFound",
        f"Resource '{name}' does not exist or one of its queried reference-property objects are not present.",
    )


def encode_inner(
    node: Node, properties: tuple[str, ...], *, omit_unset: bool, unseen: frozenset[str] = frozenset()
) -> bytes:
    """Return the object's JSON without its braces, ``id`` first: unset properties left out (delta) or null (lists).

    ``unseen`` properties look as if they were never set. An unset list is empty.
    """
    key = (properties, omit_unset, unseen)
    known = node.rendered.get(key)
    if known is None:
        schema = SCHEMAS.get(node.kind)
        values: dict[str, object] = {"id": node.id}
        own = node.properties
        for name in properties:
            if name in own and name not in unseen:
                values[name] = own[name]
            elif not omit_unset:
                declared = schema.property(name) if schema is not None else None
                values[name] = [] if declared is not None and declared.many else None
        known = node.rendered[key] = msgspec.json.encode(values)[1:-1]
    return known


def encode_limited(node: Node, properties: tuple[str, ...]) -> bytes:
    """Return the JSON of an object that the application may not read: type and id, everything else null."""
    return msgspec.json.encode({"id": node.id, **dict.fromkeys(properties)})[1:-1]


def encode_type(node: Node, declared: str, *, stated: bool) -> bytes:
    """Return the ``@odata.type`` of an object with a comma behind it, nothing where the context declares the type.

    ``stated``: an object of a subtype says so; otherwise it passes for one of the type that its own derives from.
    """
    name = node.subtype if stated and node.subtype is not None else node.kind
    if declared in (name, node.subtype):
        return b""
    return _statement(name)


@cache
def _statement(name: str) -> bytes:
    return f'"@odata.type":"#microsoft.graph.{name}",'.encode()


def encode_reference(node: Node, *, stated: bool, removed: bool = False) -> bytes:
    """Return an entry of ``members@delta`` and its like: type and id, and the reason ``deleted`` for an ended link."""
    tail = b',"@removed":{"reason":"deleted"}' if removed else b""
    return b'{%b"id":"%b"%b}' % (encode_type(node, "directoryObject", stated=stated), node.id.encode(), tail)
