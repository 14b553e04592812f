"""Query options as Graph reads them: names with or without ``$``, in any case, encoded or not."""

from __future__ import annotations

import re
from dataclasses import dataclass

from syncd.clock import Clock
from syncd.sandbox.tenant.odata import refuse
from syncd.sandbox.wire.http import Request, read_number

_ID = re.compile(r"\s*id\s+eq\s+'([^']*)'\s*", re.IGNORECASE)
_MAX_FILTERED_IDS = 50


@dataclass(frozen=True, slots=True)
class Query:
    """The query options of one request, None where absent; ``eventual``: with ``ConsistencyLevel: eventual``."""

    select: str | None = None
    expand: str | None = None
    filter: str | None = None
    order: str | None = None
    top: int | None = None
    count: bool = False
    skip_token: str | None = None
    delta_token: str | None = None
    eventual: bool = False

    @property
    def advanced(self) -> bool:
        """Return whether this is an advanced query: the header and ``$count=true`` together."""
        return self.eventual and self.count


def parse_query(request: Request, *, clock: Clock) -> Query:
    """Return the query options. Raises Refusal for an unreadable ``$top`` and for options that Graph does not know."""
    options = {name.lower().lstrip("$"): value for name, value in request.query.items()}
    for name in ("search", "skip", "apply"):
        if name in options:
            raise refuse(clock, 400, "Request_UnsupportedQuery", f"The query option '${name}' is not supported here.")
    top = options.get("top")
    number = None if top is None else read_number(top)
    if top is not None and number is None:
        raise refuse(clock, 400, "BadRequest", f"Invalid value '{top}' for $top query option found.")
    return Query(
        select=options.get("select"),
        expand=options.get("expand"),
        filter=options.get("filter"),
        order=options.get("orderby"),
        top=number,
        count=options.get("count", "").lower() == "true",
        skip_token=options.get("skiptoken"),
        delta_token=options.get("deltatoken"),
        eventual=request.headers.get("consistencylevel", "").lower() == "eventual",
    )


def parse_id_filter(text: str, *, clock: Clock) -> tuple[str, ...]:
    """Return the ids of a delta filter ``id eq '…' or id eq '…'``. Raises Refusal for anything else, or too many."""
    ids = []
    for part in re.split(r"\s+or\s+", text.strip(), flags=re.IGNORECASE):
        clause = _ID.fullmatch(part)
        if clause is None:
            raise refuse(
                clock, 400, "Request_UnsupportedQuery", "Unsupported Query: only 'id eq' filters are supported."
            )
        ids.append(clause[1].lower())
    if len(ids) > _MAX_FILTERED_IDS:
        raise refuse(
            clock, 400, "Request_UnsupportedQuery", f"Too many filtered objects: the limit is {_MAX_FILTERED_IDS}."
        )
    return tuple(ids)
