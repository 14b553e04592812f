"""Query options as Graph reads them: names with or without ``$``, in any case, encoded or not; simple filters."""

from __future__ import annotations

import re
from dataclasses import dataclass

from syncd.clock import Clock
from syncd.sandbox.tenant.objects import Node
from syncd.sandbox.tenant.odata import refuse
from syncd.sandbox.wire.http import Request

_CLAUSE = re.compile(r"\s*(\w+)\s+eq\s+(?:'((?:[^']|'')*)'|(true|false|null))\s*", re.IGNORECASE)
_MAX_FILTERED_IDS = 50


@dataclass(frozen=True, slots=True)
class Query:
    """The query options of one request, None where absent."""

    select: str | None = None
    expand: str | None = None
    filter: str | None = None
    top: int | None = None
    count: bool = False
    skip_token: str | None = None
    delta_token: str | None = None


def parse_query(request: Request, *, clock: Clock) -> Query:
    """Return the query options. Raises Refusal for an unreadable ``$top`` and for options that Graph does not know."""
    options = {name.lower().lstrip("$"): value for name, value in request.query.items()}
    for name in ("search", "skip", "apply"):
        if name in options:
            raise refuse(clock, 400, "Request_UnsupportedQuery", f"The query option '${name}' is not supported here.")
    top = options.get("top")
    if top is not None and not top.isdecimal():
        raise refuse(clock, 400, "BadRequest", f"Invalid value '{top}' for $top query option found.")
    return Query(
        select=options.get("select"),
        expand=options.get("expand"),
        filter=options.get("filter"),
        top=None if top is None else int(top),
        count=options.get("count", "").lower() == "true",
        skip_token=options.get("skiptoken"),
        delta_token=options.get("deltatoken"),
    )


def parse_id_filter(text: str, *, clock: Clock) -> tuple[str, ...]:
    """Return the ids of a delta filter ``id eq '…' or id eq '…'``. Raises Refusal for anything else, or too many."""
    ids = []
    for part in re.split(r"\s+or\s+", text.strip(), flags=re.IGNORECASE):
        clause = _CLAUSE.fullmatch(part)
        if clause is None or clause[1].lower() != "id" or clause[2] is None:
            raise refuse(
                clock, 400, "Request_UnsupportedQuery", "Unsupported Query: only 'id eq' filters are supported."
            )
        ids.append(clause[2].lower())
    if len(ids) > _MAX_FILTERED_IDS:
        raise refuse(
            clock, 400, "Request_UnsupportedQuery", f"Too many filtered objects: the limit is {_MAX_FILTERED_IDS}."
        )
    return tuple(ids)


def matches_filter(node: Node, text: str, *, clock: Clock) -> bool:
    """Return whether an object passes ``name eq value`` clauses joined by ``and`` or by ``or``. Raises Refusal."""
    joined_by_or = re.search(r"\s+or\s+", text, re.IGNORECASE) is not None
    results = []
    for part in re.split(r"\s+(?:or|and)\s+", text.strip(), flags=re.IGNORECASE):
        clause = _CLAUSE.fullmatch(part.strip("()"))
        if clause is None:
            raise refuse(clock, 400, "Request_UnsupportedQuery", "Unsupported Query.")
        results.append(_matches(node, clause))
    return any(results) if joined_by_or else all(results)


def _matches(node: Node, clause: re.Match[str]) -> bool:
    value = node.id if clause[1] == "id" else node.properties.get(clause[1])
    if clause[2] is not None:
        return isinstance(value, str) and value.casefold() == clause[2].replace("''", "'").casefold()
    return value is {"true": True, "false": False, "null": None}[clause[3].lower()]
