"""``$orderby``: sorted where the directory can sort, refused elsewhere.

Users are sorted by displayName and userPrincipalName, groups by displayName; by createdDateTime and deletedDateTime in
advanced queries only, as any order together with a filter, or of a list that holds several types ("Advanced query
capabilities on directory objects", "Support for sorting"; the texts of the refusals were recorded by users of Graph:
microsoft-graph-docs-contrib#1354, #1338, #2652, #3145).
"""

from __future__ import annotations

from collections.abc import Sequence

from syncd.clock import Clock
from syncd.sandbox.tenant.objects import Node
from syncd.sandbox.tenant.odata import refuse
from syncd.sandbox.tenant.queries import Query
from syncd.sandbox.tenant.schema import SCHEMAS
from syncd.sandbox.tenant.selection import Selector
from syncd.sandbox.wire.http import Refusal

_MIXED = "displayName"
"""What a list of several types can be sorted by."""


def sort_nodes(nodes: Sequence[Node], query: Query, *, kind: str, selector: Selector, clock: Clock) -> Sequence[Node]:
    """Return the objects in the order that a query asks for; nothing counts as less than anything.

    ``kind`` is the entity type of the list. Raises Refusal for an order that is not supported.
    """
    if query.order is None:
        return nodes
    if query.filter is not None and not query.advanced:
        raise _refuse(clock, "Sorting not supported for current query.")
    keys = [_read_key(part, query, kind=kind, selector=selector, clock=clock) for part in query.order.split(",")]
    ordered = list(nodes)
    for name, descending in reversed(keys):
        ordered.sort(key=lambda node, name=name: _sort_key(node, name), reverse=descending)  # type: ignore[misc]
    return ordered


def _read_key(text: str, query: Query, *, kind: str, selector: Selector, clock: Clock) -> tuple[str, bool]:
    words = text.split()
    if not words or len(words) > 2 or (len(words) == 2 and words[1].lower() not in ("asc", "desc")):
        raise refuse(clock, 400, "BadRequest", f"Invalid $orderby clause '{text.strip()}'.")
    schema = SCHEMAS.get(kind)
    if schema is None:
        if query.advanced and words[0].casefold() == _MIXED.casefold():
            return _MIXED, words[-1].lower() == "desc"
        raise _refuse(clock, f"Given expression for $orderby '{words[0]}' is not supported.")
    name = selector.require(kind, words[0])
    known = schema.property(name)
    if known is None or known.sorting == "no":
        if query.advanced:
            raise _refuse(clock, "An unsupported property was specified.")
        raise _refuse(clock, f"Unsupported sort property '{name}' for '{kind.capitalize()}'.")
    if known.sorting == "advanced" and not query.advanced:
        raise _refuse(clock, f"Unsupported sort property '{name}' for '{kind.capitalize()}'.")
    return name, words[-1].lower() == "desc"


def _sort_key(node: Node, name: str) -> tuple[bool, str]:
    value = node.properties.get(name)
    return (value is not None, str(value).casefold())


def _refuse(clock: Clock, message: str) -> Refusal:
    return refuse(clock, 400, "Request_UnsupportedQuery", message)
