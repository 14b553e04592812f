"""The sandbox's tenant without sockets, in its own time: the Graph adapter reads it through a door that is a function.

Everything else is the real thing: retries, tokens, links, parsing, the pull and the store. Sleeping moves the clock.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from email.utils import format_datetime
from typing import Any

from multidict import CIMultiDict
from yarl import URL

from syncd.clock import Clock
from syncd.errors import Timeout, Unavailable
from syncd.graph.auth.tokens import TokenSource
from syncd.graph.client import GraphClient
from syncd.graph.options import GraphOptions
from syncd.graph.source import GraphSource
from syncd.http import HttpClient, HttpOptions, Response
from syncd.sandbox.login.service import GRAPH_AUDIENCE, Registration
from syncd.sandbox.tenant.directory import Directory
from syncd.sandbox.tenant.graph_service import GraphService
from syncd.sandbox.wire.faults import Faults
from syncd.sandbox.wire.gateways import answer_in_place, spoil_on_the_way
from syncd.sandbox.wire.http import Answer, make_request
from syncd.sandbox.wire.knobs import TenantKnobs
from syncd.sandbox.wire.ledger import Ledger
from syncd.sandbox.wire.tokens import Grant, TokenBook
from syncd.store.db.database import Database
from syncd.store.store import Store
from syncd.sync.pull.pull import Pull
from syncd.sync.pull.result import PullResult
from tests.contract.sandbox_client import MovableClock
from tests.fakes.rules import make_graph_options

ROOT = "https://graph.example"
_DRIPS = 10
"""In so many parts a dripping answer comes, as the sandbox sends it."""
READING = frozenset({"User.Read.All", "GroupMember.Read.All", "Member.Read.Hidden"})


class _Door(HttpClient):
    """Carries requests to the tenant by a call; the retry policy and the waiting are the real door's."""

    def __init__(self, tenant: Tenant) -> None:
        super().__init__("Microsoft Graph", HttpOptions(), tenant.clock)
        self._tenant = tenant

    async def _exchange(self, method: str, url: URL, headers: Mapping[str, str] | None, body: bytes | None) -> Response:
        self.traffic.requests += 1
        await asyncio.sleep(0)
        patience = self._options.answer_timeout
        answer = await self._tenant.answer(method, url.raw_path_qs, dict(headers or {}), body or b"", patience=patience)
        date = format_datetime(self._tenant.clock.now() + self._tenant.ahead, usegmt=True)
        found = {"Content-Type": answer.content_type, "Date": date, **answer.headers}
        return Response(answer.status, CIMultiDict(found), answer.body)


class _Tokens(TokenSource):
    """Takes tokens from the tenant's own book."""

    def __init__(self, tenant: Tenant, options: GraphOptions) -> None:
        super().__init__(options, tenant.clock)
        self._tenant = tenant

    async def _ask(self, claims: str) -> Mapping[str, Any]:
        return {"access_token": self._tenant.issue_token(), "expires_in": 3600}


@dataclass
class Tenant:
    """One tenant with its faults and ledger. ``roles`` are the permissions of the next token."""

    knobs: TenantKnobs = field(default_factory=TenantKnobs)
    clock: Clock = field(default_factory=MovableClock)
    roles: frozenset[str] = READING
    seed: int = 1
    before: Callable[[str], None] | None = None
    """Called with each target before it is answered: lets the tenant change under a read."""
    slow: Callable[[], None] = lambda: None
    """Called while an answer is on its way that a fault slows down."""
    ahead: timedelta = timedelta()
    """How much the clock of Graph is ahead of ours."""
    scopes: str = ""
    opaque: bool = False
    """Whether a token is no readable JWT."""

    def __post_init__(self) -> None:
        self.faults = Faults()
        self.ledger = Ledger(self.clock)
        self.book = TokenBook(self.clock, seed=self.seed)
        self.directory = Directory(clock=self.clock, seed=self.seed, knobs=self.knobs)
        self.registration = Registration("tenant.example", "client", ["secret"])
        self.service = GraphService(
            self.directory,
            self.book,
            seed=self.seed,
            faults=self.faults,
            ledger=self.ledger,
            graph_url=lambda: ROOT,
            registration=self.registration,
        )

    def issue_token(self) -> str:
        """Return a new token with the present roles."""
        grant = Grant(GRAPH_AUDIENCE, "client", self.roles, self.clock.now().timestamp() + 3600)
        claims: dict[str, object] = {"roles": sorted(self.roles), "tid": "tenant"}
        if self.scopes:
            claims["scp"] = self.scopes
        token = self.book.issue(grant, claims)
        return token.replace(".", "|") if self.opaque else token

    async def answer(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes, *, patience: float
    ) -> Answer:
        """Answer one request as the web server of the sandbox would, faults included.

        Slow answers take their time on the tenant's clock, and other requests overtake them; whoever asks waits for
        ``patience`` seconds. Raises Unavailable and Timeout as the door does.
        """
        started = self.ledger.begin("graph", method, target, body=body)
        answer = Answer(status=0)
        try:
            if self.before is not None:
                self.before(target)
            fault = self.faults.take("graph", method, target, body)
            if fault is not None and fault.kind == "reset":
                raise Unavailable("Microsoft Graph: the connection broke")
            if fault is not None and fault.kind == "delay":
                await self._be_slow(fault.seconds, patience)
            if fault is None or fault.passes:
                clear = {name: value.replace("|", ".") for name, value in headers.items()}
                answer = self.service.answer(make_request(method, target, headers=clear, body=body))
            else:
                answer = answer_in_place(fault, make_request(method, target, headers=headers, body=body))
            if fault is not None and fault.kind in ("lose", "truncate"):
                answer = Answer(status=0, route=answer.route)  # whatever it was, nobody has seen it
                raise Unavailable("Microsoft Graph: the connection broke")
            if fault is not None and fault.kind == "drip":
                whole, answer = answer, Answer(status=0, route=answer.route)
                await self._be_slow(_DRIPS * fault.seconds, patience)
                answer = whole
            if fault is not None and fault.passes:
                answer = spoil_on_the_way(fault, answer, asked=target)
            return answer
        finally:
            self.ledger.end("graph", method, target, answer=answer, started=started, body=body)

    async def _be_slow(self, seconds: float, patience: float) -> None:
        for _ in range(_DRIPS):
            await self.clock.sleep(min(seconds, patience) / _DRIPS)
            self.slow()
            await asyncio.sleep(0)
        if seconds > patience:
            raise Timeout("Microsoft Graph did not answer in time")

    def open_client(self, **options: Any) -> GraphClient:
        """Return the authorised client, as a fresh process would open it."""
        chosen = make_graph_options(base_url=ROOT, **options)
        return GraphClient(_Door(self), _Tokens(self, chosen), options=chosen, clock=self.clock)

    def open_source(self, **options: Any) -> GraphSource:
        """Return the adapter, as a fresh process would open it."""
        return GraphSource(self.open_client(**options), self.clock)

    async def pull(
        self,
        database: Database,
        *,
        full: bool = False,
        source: GraphSource | None = None,
        stopping: Callable[[], bool] = lambda: False,
        clock: Clock | None = None,
    ) -> PullResult:
        """Run one pull of this tenant into a store; ``clock``: that of our machine, where it is another."""
        use_case = Pull(
            source or self.open_source(),
            Store(database),
            clock=clock or self.clock,
            progress=lambda name, number: None,
            stopping=stopping,
        )
        return await use_case.run("full" if full else "delta")

    def deltas(self) -> list[str]:
        """Return how each delta request since the ledger was cleared began: ``users first``, ``groups next`` …"""
        found = []
        for entry in self.ledger.entries:
            path, _, query = entry.target.partition("?")
            if path.endswith("/delta"):
                kind = "next" if "skiptoken" in query else "link" if "deltatoken" in query else "first"
                found.append(f"{path.split('/')[2]} {kind}")
        return found


def make_error(code: str, message: str = "") -> bytes:
    """Return Graph's error envelope."""
    return json.dumps({"error": {"code": code, "message": message}}).encode()
