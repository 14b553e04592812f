"""The sandbox's portal without sockets, in its own time: the real adapter reads and writes it through a function.

Everything that reached the portal with an effect is remembered in the words of a plan, so that a test can judge each
write by itself, whatever the client believes to have sent.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from email.utils import format_datetime
from typing import Any, Literal, NamedTuple

from multidict import CIMultiDict
from yarl import URL

from syncd.bps.options import BpsOptions
from syncd.bps.portal import BpsPortal
from syncd.clock import Clock
from syncd.errors import Unavailable
from syncd.http import HttpClient, HttpOptions, Response
from syncd.sandbox.portal.foreign import add_application
from syncd.sandbox.portal.service import Observer, PortalApplication, PortalService
from syncd.sandbox.portal.store import Account, Origin, PortalStore
from syncd.sandbox.wire.faults import Faults
from syncd.sandbox.wire.gateways import answer_in_place, spoil_on_the_way
from syncd.sandbox.wire.http import Answer, make_request
from syncd.sandbox.wire.knobs import PortalKnobs
from syncd.sandbox.wire.ledger import Ledger
from syncd.sandbox.wire.tokens import TokenBook
from tests.fakes.rules import make_bps_options

_LINKS: Mapping[str, str] = {"members": "membership", "owners": "ownership"}


class Asked(NamedTuple):
    """One write that the portal carried out: action and object as in a plan, the record, and whom or what else."""

    action: str
    object: str
    bps_id: str
    target: str = ""

    @property
    def removes(self) -> bool:
        """Return whether it takes something away."""
        return self.action in ("delete", "unlink", "revoke") and self.object != "substitution"


class _Door(HttpClient):
    """Carries requests to the portal by a call; the retry policy and the waiting are the real door's."""

    def __init__(self, wire: Wire) -> None:
        super().__init__("WEBCON BPS portal", HttpOptions(), wire.clock)
        self._wire = wire

    async def _exchange(self, method: str, url: URL, headers: Mapping[str, str] | None, body: bytes | None) -> Response:
        self.traffic.requests += 1
        await asyncio.sleep(0)
        answer = self._wire.answer(method, url.raw_path_qs, dict(headers or {}), body or b"")
        date = format_datetime(self._wire.clock.now() + self._wire.ahead, usegmt=True)
        found = {"Content-Type": answer.content_type, "Date": date, **answer.headers}
        return Response(answer.status, CIMultiDict(found), answer.body)


class WiredPortal(BpsPortal):
    """The adapter, as a fresh process would open it, over the wire above; needs no opening."""

    def __init__(self, wire: Wire, options: BpsOptions) -> None:
        super().__init__(options, wire.clock)
        self._http = self.client.door = self.tokens._http = _Door(wire)  # instead of a pool of connections


@dataclass
class Wire:
    """One portal with its switches, faults and ledger."""

    clock: Clock
    knobs: PortalKnobs = field(default_factory=PortalKnobs)
    seed: int = 1
    secret: str = "secret"
    ahead: timedelta = timedelta()
    """How much the clock of the portal is ahead of ours."""
    before: Callable[[str, str], None] | None = None
    """Called with method and target before a request is answered; may raise."""
    after: Callable[[str, str], None] | None = None
    """The same when it was carried out, and before anybody hears of it."""
    spoil: Callable[[str, str, Answer], Answer] | None = None
    """Given method, target and answer, may put another answer in its place, after the effect."""

    def __post_init__(self) -> None:
        self.store = PortalStore(self.knobs, clock=self.clock, seed=self.seed)
        self.application = PortalApplication("client", [self.secret])
        add_application(self.store, self.application)
        self.faults, self.ledger = Faults(), Ledger(self.clock)
        self.book = TokenBook(self.clock, seed=self.seed)
        self.service = PortalService(self.store, self.application, self.book, prefix="bps", ledger=self.ledger)
        self.service.observer = self._observe
        self.observer: Observer | None = None
        self.asked: list[Asked] = []
        """What was carried out, in order; a test takes it away."""
        self.taken: list[tuple[str, frozenset[str]]] = []
        """The same of single solution licences that were taken: whose, and which processes; none: the whole licence."""
        self.refused: list[tuple[str, str, int]] = []

    def open(self, **options: Any) -> WiredPortal:
        """Return the adapter of a new process."""
        return WiredPortal(self, make_bps_options(**{"secret": lambda: self.secret} | options))

    def add_account(self, bps_id: str, *, origin: Origin = "local", active: bool = True, **values: str | None) -> None:
        """Put a record there that nobody of ours made."""
        filled = {"name": bps_id, "email": bps_id, "phoneNumber": None, "managerBpsId": None, "jobTitle": None}
        self.store.accounts[self.store.key(bps_id)] = Account(bps_id, filled | values, "User", origin, active)

    def answer(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Answer one request as the web server of the sandbox would, faults included."""
        started = self.ledger.begin("portal", method, target, body=body)
        answer = Answer(status=0)
        try:
            if self.before is not None:
                self.before(method, target)
            fault = self.faults.take("portal", method, target, body)
            if fault is not None and fault.kind == "reset":
                raise Unavailable("the connection broke")
            request = make_request(method, target, headers=headers, body=body)
            if fault is not None and not fault.passes:
                return (answer := answer_in_place(fault, request))
            answer = self.service.answer(request)
            if fault is not None:
                answer = spoil_on_the_way(fault, answer, asked=target)
            if self.after is not None:
                self.after(method, target)
            if self.spoil is not None:
                answer = self.spoil(method, target, answer)
            if fault is not None and fault.kind in ("lose", "truncate"):
                answer = Answer(status=0, route=answer.route)  # whatever it was, nobody has seen it
                raise Unavailable("the connection broke")
            return answer
        finally:
            self.ledger.end("portal", method, target, answer=answer, started=started, body=body)

    def _observe(self, method: str, path: str, query: dict[str, str], body: bytes, status: int, answer: bytes) -> None:
        if self.observer is not None:
            self.observer(method, path, query, body, status, answer)
        if method == "GET":
            return
        if status != 200:
            self.refused.append((method, path, status))
            return
        document = json.loads(body) if body else {}
        self.asked += _describe(method, path, query, document)
        self.taken += [
            (person["bpsId"].casefold(), name_processes(licence.get("singleSolutionSettings") or {}))
            for person in document.get("removeLicenses") or []
            for licence in person["licenses"]
            if licence["type"] == "SingleSolutionUser"
        ]


def name_processes(settings: Mapping[str, Any]) -> frozenset[str]:
    """Return the processes of the settings of a single solution licence, each as "DATABASE/ID/GUID"."""
    found = settings.get("processes") or []
    return frozenset(f"{one['dbId']}/{one.get('id') or ''}/{one.get('guid') or ''}" for one in found)


def _describe(method: str, path: str, query: Mapping[str, str], body: dict[str, Any]) -> list[Asked]:
    """Return in words what a write of the data API does."""
    parts = path.removeprefix("/api/data/v6.0/admin/").split("/")
    record = (query.get("bpsId") or body.get("bpsId") or "").casefold()
    verbs = {"POST": "create", "PATCH": "update", "DELETE": "delete"}
    if "/admin/privileges/" in path:
        way = "grant" if parts[-1] == "add" else "revoke"
        where = path.removeprefix("/api/data/v6.0/db/").partition("/admin/")[0]
        return [Asked(way, "privilege", record, f"{body['level']} {where}")]
    if parts[0] == "licenses":
        found = []
        sides: tuple[tuple[str, Literal["revoke", "grant"]], ...] = (
            ("removeLicenses", "revoke"),
            ("assignLicenses", "grant"),
        )
        for side, action in sides:
            for person in body.get(side) or []:
                found += [
                    Asked(action, "licence", person["bpsId"].casefold(), licence["type"])
                    for licence in person["licenses"]
                ]
        return found
    if parts[0] == "substitutions":
        people = body.get("originalPerson") or {}
        return [Asked(verbs[method], "substitution", str(people.get("bpsId") or parts[-1]).casefold())]
    if len(parts) == 3:
        link: Literal["link", "unlink"] = "link" if parts[2] == "add" else "unlink"
        return [Asked(link, _LINKS[parts[1]], record, member["bpsId"].casefold()) for member in body[parts[1]]]
    return [Asked(verbs[method], "user" if parts[0].startswith("user") else "group", record)]
