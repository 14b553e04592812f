"""The imitation Microsoft Graph: tokens, headers, prices, delta links, and dispatch to lists and batches.

What a request costs and how an empty bucket answers follow Graph's throttling page.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from email.utils import format_datetime
from uuid import uuid4

import msgspec

from syncd.clock import Clock
from syncd.sandbox.login.service import GRAPH_AUDIENCE, Registration
from syncd.sandbox.tenant.applications import Applications
from syncd.sandbox.tenant.batch import answer_batch
from syncd.sandbox.tenant.delta import DeltaEngine
from syncd.sandbox.tenant.delta_pages import Page, Stream, Token
from syncd.sandbox.tenant.directory import Directory
from syncd.sandbox.tenant.graph_lists import Lists
from syncd.sandbox.tenant.me import answer_me
from syncd.sandbox.tenant.odata import JSON_TYPE, refuse
from syncd.sandbox.tenant.pages import Asked
from syncd.sandbox.tenant.paths import read_path
from syncd.sandbox.tenant.queries import Query, parse_id_filter, parse_query
from syncd.sandbox.tenant.replicas import Replicas
from syncd.sandbox.tenant.rights import Rights
from syncd.sandbox.wire.faults import Faults
from syncd.sandbox.wire.http import Answer, Refusal, Request
from syncd.sandbox.wire.ledger import Ledger
from syncd.sandbox.wire.tokens import Grant, TokenBook, encode_for_link

_LINES = 10_000
"""Of so many lines of delta links it is remembered which one was used last."""


class GraphService:
    """Answers for ``graph.microsoft.com``, v1.0. ``graph_url`` is asked for when a link is written."""

    def __init__(
        self,
        directory: Directory,
        book: TokenBook,
        *,
        seed: int,
        faults: Faults,
        ledger: Ledger,
        graph_url: Callable[[], str],
        registration: Registration,
    ) -> None:
        self.directory = directory
        self.replicas = Replicas(directory)
        self.engine = DeltaEngine(directory, seed=seed)
        self._knobs = directory.knobs
        self._clock: Clock = directory.clock
        self._book = book
        self._faults = faults
        self._ledger = ledger
        self._url = graph_url
        self._applications = Applications(registration, directory.clock, directory.knobs)
        self._lists = Lists(directory, self.replicas, seal=self.engine.seal, ledger=ledger, graph_url=graph_url)
        self._random = random.Random(f"graph-{seed}")  # noqa: S311 - reproducible imitation, not a secret
        self._bucket: tuple[float, float, int] = (0.0, 0.0, 0)
        self._newest_link: dict[str, int] = {}
        self._newest_used: dict[int, int] = {}

    def answer(self, request: Request) -> Answer:
        """Answer one request to Graph."""
        request_id = str(uuid4())
        try:
            answer = self._answer(request)
        except Refusal as refusal:
            answer = replace(refusal.answer, route=refusal.answer.route or "refused")
            answer = replace(answer, resource_units=answer.resource_units or 1)
        echoed = request.headers.get("client-request-id", "")
        headers = {
            "OData-Version": "4.0",
            "request-id": request_id,
            "client-request-id": echoed if echoed.isascii() and echoed.isprintable() and echoed else request_id,
            "x-ms-ags-diagnostic": '{"ServerInfo":{"DataCenter":"Sandbox","Slice":"E","Ring":"1"}}',
            "x-ms-resource-unit": str(answer.resource_units),
            "Cache-Control": "no-cache",
            **self._tell_level(),
            **answer.headers,
        }
        return replace(answer, headers=headers)

    def _answer(self, request: Request) -> Answer:
        grant = self._check_token(request)
        rights = Rights(grant.permissions)
        version, *rest = request.segments
        if version != "v1.0":
            raise self._refuse(400, "BadRequest", f"Invalid version: {version}.")
        if rest[:1] == ["me"]:
            self._spend(2)
            answer = answer_me(request, tuple(rest[1:]), grant, self.replicas.view("links"), clock=self._clock)
            return replace(answer, resource_units=2)
        path = read_path(tuple(rest))
        if path == ("$batch",) and request.method == "POST":
            return answer_batch(request, self._answer_item, faults=self._faults, ledger=self._ledger, clock=self._clock)
        if request.method != "GET" and path != ("directoryObjects", "getByIds"):
            raise self._refuse(403, "Authorization_RequestDenied", "Insufficient privileges to complete the operation.")
        query = parse_query(request, clock=self._clock)
        price = _price(path, query)
        self._spend(price)
        try:
            answer = self._answer_path(Asked(request, query, rights), path)
        except Refusal as refusal:  # what is refused in the end has cost as much
            raise Refusal(replace(refusal.answer, resource_units=price)) from refusal
        return replace(answer, resource_units=price)

    def _answer_path(self, asked: Asked, path: tuple[str, ...]) -> Answer:
        if not asked.rights.allow(path):
            raise self._refuse(403, "Authorization_RequestDenied", "Insufficient privileges to complete the operation.")
        match path:
            case ("users" | "groups" as kinds, "delta"):
                return self._delta(asked, stream=kinds)
            case ("applications", *rest):
                return self._applications.answer(rest, asked.query.select)
        return self._lists.answer(asked, path)

    def _answer_item(self, request: Request) -> Answer:
        """Answer one request of a batch; the refusals of one do not touch the others, and no batch holds a batch."""
        try:
            if read_path(request.segments[1:]) == ("$batch",):
                raise self._refuse(400, "BadRequest", "A batch cannot contain a batch.")
            return self._answer(request)
        except Refusal as refusal:
            return replace(refusal.answer, resource_units=refusal.answer.resource_units or 1)

    # ---- delta

    def _delta(self, asked: Asked, *, stream: Stream) -> Answer:
        engine, request, query, rights = self.engine, asked.request, asked.query, asked.rights
        kind = "user" if stream == "users" else "group"
        if query.skip_token is not None and query.delta_token is not None:
            raise self._refuse(
                400, "BadRequest", "Invalid request: Both skiptoken and deltatoken can't be in the same request."
            )
        minimal = "return=minimal" in request.headers.get("prefer", "").replace(" ", "")
        text = query.skip_token if query.skip_token is not None else query.delta_token
        if text and (text.lower() != "latest" or query.skip_token is not None):
            token = self._open_link(request, query, text, stream=stream)
            selection = None
            if query.select is not None:
                selection = self._lists.selector.read(kind, query.select, reading="delta", rights=rights)
            page = engine.resume(token, text=text, minimal=minimal, selection=selection, rights=rights)
        else:
            selection = self._lists.selector.read(kind, query.select, reading="delta", rights=rights)
            only = parse_id_filter(query.filter, clock=self._clock) if query.filter else ()
            page = engine.start(stream, selection, only=only, latest=bool(text), rights=rights)
        answer = self._encode_page(page, stream)
        if "prefer" in request.headers and minimal:
            answer = replace(answer, headers={**answer.headers, "Preference-Applied": "return=minimal"})
        return answer

    def _encode_page(self, page: Page, stream: Stream) -> Answer:
        token = page.token
        text = page.text or self.engine.seal.close(token)
        if token.role == "delta":
            self._newest_link[stream] = max(token.serial, self._newest_link.get(stream, 0))
            name, option = "@odata.deltaLink", "$deltatoken"
        else:
            name, option = "@odata.nextLink", "$skiptoken"
        names = ",".join(["id", *token.properties, *token.relations])
        head = {
            "@odata.context": f"{self._url()}/v1.0/$metadata#{stream}({names})",
            name: f"{self._url()}/v1.0/{stream}/delta?{option}={encode_for_link(text)}",
        }
        body = b'%b,"value":[%b]}' % (msgspec.json.encode(head)[:-1], b",".join(page.entries))
        return Answer(200, body, JSON_TYPE, route=f"{stream}/delta")

    def _open_link(self, request: Request, query: Query, text: str, *, stream: Stream) -> Token:
        """Return what a link carries, or refuse it: altered, expired, reset, or of the other stream."""
        engine, knobs = self.engine, self._knobs
        role = "next" if query.skip_token is not None else "delta"
        if role == "next" and query.select is not None:
            self._ledger.violate("select-on-skiptoken", side="graph", detail=request.target)
            raise self._refuse(400, "BadRequest", "Delta queries with both $select and $skiptoken aren't supported.")
        token = engine.seal.open(text, Token)
        name = "$skiptoken" if role == "next" else "$deltatoken"
        as_issued = f"{name}={encode_for_link(text)}" in request.target.partition("?")[2].split("&")
        if token is None or token.role != role or token.stream != stream or not as_issued:
            rule = "unknown-token" if token is None else "altered-link"
            self._ledger.violate(rule, side="graph", detail=request.target)
            raise self._refuse(400, knobs.corrupt_token_code, "Badly formed token.")
        now = self._clock.now().timestamp()
        if role == "delta":
            self._note_use(request, token)
        if token.serial < engine.reset_below:
            raise self._gone(stream, token)
        if role == "next" and token.since < 0 and now - token.opened > knobs.initial_round_lifetime:
            raise self._refuse(400, "Request_UnsupportedQuery", "Sync must reach steady state within 30 days.")
        if token.serial < engine.dead_below or now - token.issued > knobs.delta_lifetime:
            if knobs.expiry_form == "unsupported_query":
                raise self._refuse(400, "Request_UnsupportedQuery", "DeltaLink older than 30 days is not supported.")
            if knobs.expiry_form == "sync_state_not_found":
                raise self._refuse(
                    400,
                    "syncStateNotFound",
                    "The sync state generation is not found. The delta token is expired and data must be synchronized "
                    "again.",
                )
            if knobs.expiry_form == "gone":
                raise self._gone(stream, token)
        return token

    def _note_use(self, request: Request, token: Token) -> None:
        """Note a delta link that is older than another one, which the client need not have got, or stored.

        Whoever has used the newer one had stored it, and breaks a rule by going back.
        """
        if token.serial < self._newest_link.get(token.stream, 0):
            self._ledger.notes["older delta link used again"] += 1
        newest = self._newest_used.pop(token.line, 0)
        if token.serial < newest:
            self._ledger.violate("older-link", side="graph", detail=request.target)
        if len(self._newest_used) >= _LINES:
            del self._newest_used[next(iter(self._newest_used))]
        self._newest_used[token.line] = max(token.serial, newest)

    def _gone(self, stream: Stream, token: Token) -> Refusal:
        select = ",".join(["id", *token.properties, *token.relations])
        location = f"{self._url()}/v1.0/{stream}/delta?$deltatoken=&$select={select}"
        return refuse(
            self._clock,
            410,
            "resyncRequired",
            "The delta token is no longer valid, and the app must reset the sync state.",
            headers={"Location": location},
        )

    # ---- tokens, permissions, prices

    def _check_token(self, request: Request) -> Grant:
        grant = self._book.check(request.headers.get("authorization"), audience=GRAPH_AUDIENCE)
        if not isinstance(grant, str):
            return grant
        if grant == "foreign":
            self._ledger.violate("foreign-token", side="graph", detail=request.path)
        message = {
            "missing": "Access token is empty.",
            "unknown": "CompactToken parsing failed with error code: 80049217",
            "expired": "Lifetime validation failed, the token is expired.",
            "foreign": "Access token validation failure. Invalid audience.",
        }[grant]
        headers = {"WWW-Authenticate": 'Bearer realm="", authorization_uri="https://login.example/common/oauth2"'}
        raise refuse(self._clock, 401, "InvalidAuthenticationToken", message, headers=headers)

    def _tell_level(self) -> dict[str, str]:
        """Return the header that says how full the bucket is, as Graph sends it from four fifths on."""
        level, at, budget = self._bucket
        share = (level - (self._clock.monotonic() - at) * budget / 10) / budget if budget > 0 else 0.0
        return {"x-ms-throttle-limit-percentage": f"{min(share, 1.8):.2f}"} if share >= 0.8 else {}

    def _spend(self, price: int) -> None:
        budget = self._knobs.resource_units_per_10s
        if budget <= 0:
            self._bucket = (0.0, 0.0, 0)
            return
        now = self._clock.monotonic()
        level, at, same = self._bucket
        level = max(0.0, level - (now - at) * budget / 10) if same == budget else 0.0  # another bucket is empty
        if level + price <= budget:
            self._bucket = (level + price, now, budget)
            return
        self._bucket = (level + 0.1 * price, now, budget)  # requests during throttling accrue as well
        wait = max(1.0, (level + price - budget) * 10 / budget)
        value = {
            "integer": str(int(wait + 0.999)),
            "fraction": f"{wait:.3f}",
            "date": format_datetime(self._clock.now() + timedelta(seconds=wait + 1), usegmt=True),
            "empty": "",
        }.get(self._knobs.retry_after_form)
        headers = {"x-ms-throttle-information": "ResourceUnitLimitExceeded", "x-ms-throttle-limit-percentage": "1.0"}
        if value is not None:
            headers["Retry-After"] = value
        raise refuse(self._clock, 429, "TooManyRequests", "Too many requests.", headers=headers)

    def _refuse(self, status: int, code: str, message: str) -> Refusal:
        return refuse(self._clock, status, code, message)


def _price(path: tuple[str, ...], query: Query) -> int:
    """Return the resource units of a request.

    Base costs and what ``$select``, ``$expand`` and a small ``$top`` change are those of Microsoft's throttling limits,
    "Identity and access service limits"; what the page lists for ``me`` holds for ``users/{id}``, and a path that it
    does not list costs 1. Of ``getByIds`` it says in words that a selection makes it 2.
    """
    if path == ("directoryObjects", "getByIds") and query.select is not None:
        return 2
    match path:
        case ("groups", _, "transitiveMembers", *_) | ("directoryObjects", "getByIds"):
            base = 5
        case ("groups", _, "members", *_):
            base = 3
        case ("users",) | ("users", _, "memberOf" | "transitiveMemberOf" | "ownedObjects", *_):
            base = 2
        case _:
            base = 1
    base -= query.select is not None
    base += query.expand is not None
    base -= query.top is not None and query.top < 20
    return max(1, base)
