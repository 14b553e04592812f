"""One page of a list: filter, order, size, the link to the next page, and the count.

Pages are 100 objects unless ``$top`` says otherwise, 999 at most; a page link lives minutes, not days. Unset properties
are null here, while delta leaves them out. An order is made anew for each page.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec

from syncd.sandbox.tenant.directory import Directory
from syncd.sandbox.tenant.entities import Entities
from syncd.sandbox.tenant.filters import Test, parse_filter
from syncd.sandbox.tenant.objects import Node
from syncd.sandbox.tenant.odata import JSON_TYPE, refuse
from syncd.sandbox.tenant.ordering import sort_nodes
from syncd.sandbox.tenant.queries import Query
from syncd.sandbox.tenant.replicas import Replicas
from syncd.sandbox.tenant.rights import Rights
from syncd.sandbox.tenant.routes import Collection
from syncd.sandbox.tenant.selection import Selector
from syncd.sandbox.wire.http import Answer, Refusal, Request
from syncd.sandbox.wire.ledger import Ledger
from syncd.sandbox.wire.tokens import Seal, encode_for_link

_COUNT_CODES = {400: "Request_BadRequest", 403: "Authorization_RequestDenied", 429: "TooManyRequests"}


class PageToken(msgspec.Struct, frozen=True, array_like=True):
    """What a list's nextLink carries: the list (as its path), where to go on, and its birth (epoch seconds)."""

    path: str
    options: str
    position: int
    issued: float


@dataclass(frozen=True, slots=True)
class Asked:
    """One request with what was read from it."""

    request: Request
    query: Query
    rights: Rights


class Pages:
    """Answers requests for a page of a list, and for its count."""

    def __init__(
        self,
        directory: Directory,
        replicas: Replicas,
        selector: Selector,
        entities: Entities,
        *,
        seal: Seal,
        ledger: Ledger,
        graph_url: Callable[[], str],
    ) -> None:
        self._replicas = replicas
        self._selector = selector
        self._entities = entities
        self._knobs = directory.knobs
        self._clock = directory.clock
        self._seal = seal
        self._ledger = ledger
        self._url = graph_url

    def page(self, asked: Asked, found: Collection) -> Answer:
        """Return one page; a nextLink carries the position and repeats the other query options. Raises Refusal."""
        query, request = asked.query, asked.request
        encode = self._entities.reader(asked.rights, query, found, reading="list")
        size = self._size(query)
        test = self._test(asked, found)
        view = self._replicas.view(found.read)
        nodes = sort_nodes(found.collect(view), query, kind=found.declared, selector=self._selector, clock=self._clock)
        position = self._open(request, query)
        size = min(size, self._knobs.list_page_objects or size)
        chosen, position = self._slice(nodes, position, size, found=found, test=test)
        more = position < len(nodes) if not self._knobs.page_drift else len(chosen) == size
        head: dict[str, object] = {"@odata.context": f"{self._url()}/v1.0/$metadata#{_context(found.declared)}"}
        if query.advanced and query.skip_token is None:
            head["@odata.count"] = self._total(found, test)
        if more:
            kept = _without_token(request)
            token = self._seal.close(PageToken(request.path, "&".join(kept), position, self._clock.now().timestamp()))
            options = "&".join([*kept, f"$skiptoken={encode_for_link(token)}"])
            head["@odata.nextLink"] = f"{self._url()}{request.target.partition('?')[0]}?{options}"
        entries = [encode(node, view) for node in chosen]
        body = b'%b,"value":[%b]}' % (msgspec.json.encode(head)[:-1], b",".join(entries))
        return Answer(200, body, JSON_TYPE, route=found.route)

    def count(self, asked: Asked, found: Collection) -> Answer:
        """Return the number of a list's objects as plain text. Raises Refusal."""
        if not asked.query.eventual:
            raise refuse(self._clock, 400, "Request_BadRequest", "$count is not currently supported.")
        total = self._total(found, self._test(asked, found))
        return Answer(200, str(total).encode(), "text/plain", route=f"{found.route}/$count")

    def _total(self, found: Collection, test: Test) -> int:
        status = self._knobs.count_status
        if status:
            code = _COUNT_CODES.get(status, "UnknownError")
            raise refuse(self._clock, status, code, "$count is not available here.")
        nodes = found.collect(self._replicas.view("counts"))
        total = sum(1 for node in nodes if node.state == found.state and found.counted(node) and test(node))
        return max(0, total + self._knobs.count_offset)

    def _test(self, asked: Asked, found: Collection) -> Test:
        query = asked.query
        if not query.filter:
            return lambda _: True
        return parse_filter(
            query.filter,
            kind=found.declared,
            selector=self._selector,
            advanced=query.advanced or (query.eventual and asked.request.path.endswith("/$count")),
            clock=self._clock,
        )

    def _size(self, query: Query) -> int:
        limit = 500 if query.select is not None and "signinactivity" in query.select.casefold() else 999
        size = 100 if query.top is None else query.top
        if not 0 < size <= limit:
            raise refuse(
                self._clock,
                400,
                "Request_UnsupportedQuery",
                f"Invalid page size specified: '{size}'. Must be between 1 and {limit} inclusive.",
            )
        return size

    def _slice(
        self, nodes: Sequence[Node], position: int, size: int, *, found: Collection, test: Test
    ) -> tuple[list[Node], int]:
        chosen: list[Node] = []
        if self._knobs.page_drift:
            nodes = [node for node in nodes if node.state == found.state and found.listed(node)]
        while position < len(nodes) and len(chosen) < size:
            node = nodes[position]
            position += 1
            if node.state == found.state and found.listed(node) and test(node):
                chosen.append(node)
        return chosen, position

    def _open(self, request: Request, query: Query) -> int:
        if query.skip_token is None:
            return 0
        token = self._seal.open(query.skip_token, PageToken)
        if token is None or token.path != request.path or token.options != "&".join(_without_token(request)):
            self._ledger.violate("altered-link", side="graph", detail=request.target)
            raise self._refuse(400, "BadRequest", "Skip token is invalid.")
        if self._clock.now().timestamp() - token.issued > self._knobs.page_token_lifetime:
            raise self._refuse(
                400,
                "Directory_ExpiredPageToken",
                "The specified page token value has expired and can no longer be included in your request.",
            )
        return token.position

    def _refuse(self, status: int, code: str, message: str) -> Refusal:
        return refuse(self._clock, status, code, message)


def _context(declared: str) -> str:
    """Return the entity set that a context names for entries of that type."""
    return {"user": "users", "group": "groups"}.get(declared, "directoryObjects")


def _without_token(request: Request) -> list[str]:
    return [part for part in request.target.partition("?")[2].split("&") if part and "skiptoken" not in part.lower()]
