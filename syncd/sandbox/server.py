"""The whole sandbox: one company, an imitation tenant and an imitation portal on loopback.

Four web servers share one event loop: the login host, Graph and the portal over https with the sandbox's own CA, and a
plain http control endpoint (described in ``control_service``). Used in-process::

    async with Sandbox(SandboxOptions(users=50), directory_path) as sandbox:
        config = sandbox.config_toml(store_url="sqlite:///…", health_listen="127.0.0.1:8080")
        sandbox.directory.hire("Jan Nowak", "jan.nowak@nordwind.example")

The given directory receives ``ca.pem``, ``graph-secret`` and ``bps-secret`` (and ``syncd.toml`` from the command).
Never expose it beyond loopback: its secrets are reproducible from the seed.
"""

from __future__ import annotations

import asyncio
import base64
import json
import random
import socket
import ssl
import uuid
from dataclasses import dataclass, field
from datetime import timedelta
from email.utils import format_datetime
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Self

from aiohttp import web

from syncd.clock import Clock
from syncd.sandbox.control import ControlService
from syncd.sandbox.login.people import SignInRegistration, SignInService
from syncd.sandbox.login.service import LoginService, Registration
from syncd.sandbox.portal.backups import Backups
from syncd.sandbox.portal.foreign import add_application, add_foreign_records, add_local_users
from syncd.sandbox.portal.front import FrontDoor
from syncd.sandbox.portal.service import PortalApplication, PortalService
from syncd.sandbox.portal.store import PortalStore
from syncd.sandbox.tenant.company import CompanyOptions, found_company
from syncd.sandbox.tenant.directory import Directory
from syncd.sandbox.tenant.graph_service import GraphService
from syncd.sandbox.wire.certs import make_tls
from syncd.sandbox.wire.faults import Faults
from syncd.sandbox.wire.http import Service, Wire, make_application
from syncd.sandbox.wire.knobs import PortalKnobs, TenantKnobs
from syncd.sandbox.wire.ledger import Ledger, LedgerMode
from syncd.sandbox.wire.tokens import TokenBook
from syncd.sandbox.wire.workers import Workers

_HOST = "127.0.0.1"
_AGE = 86_400
"""Seconds for which a cache has kept an answer."""


@dataclass(frozen=True, slots=True)
class SandboxOptions:
    """How big the company is and where it lives. ``port`` is the first of four, 0: any free ones.

    ``portal_delay`` is in seconds (until a portal write is synchronised; it sets both delay knobs), ``latency`` in
    seconds per answer, ``known_to_portal`` how many of the company's people somebody has already typed into the portal.
    """

    users: int = 500
    groups: int = 60
    memberships: int = 3000
    big_groups: int = 0
    big_group_size: int = 10_000
    seed: int = 1
    domain: str = "nordwind.example"
    portal_path: str = "/WEBCONBPS"
    portal_delay: float = 0.0
    foreign_records: bool = True
    known_to_portal: int = 0
    latency: float = 0.0
    port: int = 0
    ledger: LedgerMode = "full"
    tenant_knobs: TenantKnobs = field(default_factory=TenantKnobs)
    portal_knobs: PortalKnobs = field(default_factory=PortalKnobs)


class Sandbox:
    """A running sandbox; an async context manager. Everything named here may be used and changed by tests."""

    def __init__(self, options: SandboxOptions, directory_path: Path, *, clock: Clock | None = None) -> None:
        clock = clock or Clock()
        chance = random.Random(f"secrets-{options.seed}")  # noqa: S311 - reproducible imitation, loopback only
        self.options = options
        self.path = directory_path
        self.tenant_id = str(uuid.UUID(int=chance.getrandbits(128), version=4))
        self.client_id = str(uuid.UUID(int=chance.getrandbits(128), version=4))
        self.client_secret = f"7Qw8Q~{base64.urlsafe_b64encode(chance.randbytes(25)).decode().rstrip('=')}"
        self.portal_client_id = str(uuid.UUID(int=chance.getrandbits(128), version=4))
        self.portal_client_secret = f"{base64.b64encode(chance.randbytes(31)).decode()[:-2]}+/="
        signing = random.Random(f"sign-in-{options.seed}")  # noqa: S311 - reproducible imitation, loopback only
        self.sign_in_client_id = str(uuid.UUID(int=signing.getrandbits(128), version=4))
        self.console_client_id = str(uuid.UUID(int=chance.getrandbits(128), version=4))
        self.console_client_secret = f"9Ty8Q~{base64.urlsafe_b64encode(chance.randbytes(25)).decode().rstrip('=')}"
        self.latency = options.latency
        self.tenant_knobs = options.tenant_knobs
        self.portal_knobs = options.portal_knobs
        self.portal_knobs.sync_delay_min = self.portal_knobs.sync_delay_max = options.portal_delay
        self.faults = Faults()
        self.ledger = Ledger(clock, mode=options.ledger)
        self.book = TokenBook(clock, seed=options.seed)
        self.directory = Directory(clock=clock, seed=options.seed, domain=options.domain, knobs=self.tenant_knobs)
        self.registration = Registration(self.tenant_id, self.client_id, [self.client_secret])
        self.portal = PortalStore(self.portal_knobs, clock=clock, seed=options.seed)
        self.portal_application = PortalApplication(self.portal_client_id, [self.portal_client_secret])
        self.graph = GraphService(
            self.directory,
            self.book,
            seed=options.seed,
            faults=self.faults,
            ledger=self.ledger,
            graph_url=lambda: self.graph_url,
            registration=self.registration,
        )
        self.replicas = self.graph.replicas
        self.people = SignInService(
            SignInRegistration(self.console_client_id, [self.console_client_secret]),
            self.directory,
            self.book,
            clock=clock,
            tenant_id=self.tenant_id,
            urls=lambda: (self.login_url, self.graph_url),
        )
        self.login = LoginService(
            self.registration,
            self.book,
            clock=clock,
            knobs=self.tenant_knobs,
            domain=options.domain,
            seed=options.seed,
            urls=lambda: (self.login_url, self.graph_url),
            sign_in_client_id=self.sign_in_client_id,
            people=self.people,
        )
        self.portal_service = PortalService(
            self.portal,
            self.portal_application,
            self.book,
            prefix=options.portal_path,
            ledger=self.ledger,
            front=lambda: FrontDoor(self.login_url, self.tenant_id, self.sign_in_client_id, self.portal_url),
        )
        self.control = ControlService(
            directory=self.directory,
            engine=self.graph.engine,
            replicas=self.replicas,
            portal=self.portal,
            backups=Backups(self.portal_service),
            book=self.book,
            faults=self.faults,
            ledger=self.ledger,
            seed=options.seed,
        )
        self._clock = clock
        self._ports: dict[str, int] = {}
        self._runners: list[web.AppRunner] = []
        self._populate()

    async def __aenter__(self) -> Self:
        """Write the CA and the secrets, start the four servers and return the running sandbox."""
        await asyncio.to_thread(self.path.mkdir, parents=True, exist_ok=True)
        tls = await asyncio.to_thread(self._write_files)
        latency = lambda: self.latency + self.tenant_knobs.latency  # noqa: E731 - asked at each answer
        workers = {"portal": Workers(self.portal_knobs, self._clock)}
        wire = Wire(self._clock, self.faults, self.ledger, latency, self._tell_time, workers)
        direct = Wire(self._clock, Faults(), Ledger(self._clock, mode="counters"), lambda: 0.0, self._tell_time)
        try:
            await self._serve("login", self.login, wire, tls)
            await self._serve("graph", self.graph, wire, tls)
            await self._serve("portal", self.portal_service, wire, tls)
            await self._serve("control", self.control, direct, None)
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the servers; files stay."""
        while self._runners:
            runner = self._runners.pop()
            open_now = [] if runner.server is None else [one.transport for one in runner.server.connections]
            await runner.cleanup()
            for transport in open_now:
                if transport is not None:  # a client that leaves without a TLS goodbye would be waited for
                    transport.abort()
        await asyncio.sleep(0)

    # ---- where things are

    @property
    def login_url(self) -> str:
        """Return the host root of the login service: ``graph.authority_url``."""
        return f"https://localhost:{self._ports['login']}"

    @property
    def graph_url(self) -> str:
        """Return the host root of Graph: ``graph.base_url``."""
        return f"https://localhost:{self._ports['graph']}"

    @property
    def portal_url(self) -> str:
        """Return the portal's address with its path: ``bps.portal_url``."""
        return f"https://localhost:{self._ports['portal']}{self.options.portal_path}"

    @property
    def control_url(self) -> str:
        """Return the root of the control endpoint."""
        return f"http://{_HOST}:{self._ports['control']}"

    @property
    def ca_file(self) -> Path:
        """Return the file with the CA that signed all servers."""
        return self.path / "ca.pem"

    def config_toml(self, *, store_url: str, health_listen: str, web_port: int | None = None) -> str:
        """Return a complete configuration that connects syncd to this sandbox; secrets are files beside the CA.

        ``web_port``: with the console on this port of this machine, for the first people of the company.
        """
        path, text = self.path.resolve(), json.dumps
        console = [] if web_port is None else self._configure_console(web_port)
        return "\n".join(
            [
                "# Connects syncd to the sandbox. Keys that are not named here have their defaults.",
                "",
                "[graph]",
                f"tenant_id = {text(self.tenant_id)}",
                f"client_id = {text(self.client_id)}",
                f"client_secret_file = {text(str(path / 'graph-secret'))}",
                f"authority_url = {text(self.login_url)}",
                f"base_url = {text(self.graph_url)}",
                f"ca_file = {text(str(path / 'ca.pem'))}",
                "",
                "[bps]",
                f"portal_url = {text(self.portal_url)}",
                f"client_id = {text(self.portal_client_id)}",
                f"client_secret_file = {text(str(path / 'bps-secret'))}",
                f"ca_file = {text(str(path / 'ca.pem'))}",
                "",
                "[store]",
                f"url = {text(store_url)}",
                "",
                "[schedule]",
                'delta = "10s"',
                "",
                "[health]",
                f"listen = {text(health_listen)}",
                "",
                *console,
            ]
        )

    def _configure_console(self, port: int) -> list[str]:
        """Return ``[web]``: the first person of the company approves, and everybody of the largest group may look."""
        people = list(islice(self.directory.active_users(), 1))
        groups = sorted(self.directory.active_groups(), key=lambda group: len(group.members), reverse=True)
        return [
            "[web]",
            f'listen = "127.0.0.1:{port}"',
            "allow_http = true",
            f'external_url = "http://localhost:{port}"',
            'sign_in = "entra"',
            f"client_id = {json.dumps(self.console_client_id)}",
            f"client_secret_file = {json.dumps(str(self.path.resolve() / 'console-secret'))}",
            f"viewers = {json.dumps([group.id for group in groups[:1]])}",
            f"approvers = {json.dumps([person.id for person in people])}",
            "",
        ]

    # ---- inside

    def _populate(self) -> None:
        options = self.options
        found_company(
            self.directory,
            CompanyOptions(
                users=options.users,
                groups=options.groups,
                memberships=options.memberships,
                big_groups=options.big_groups,
                big_group_size=options.big_group_size,
                seed=options.seed,
            ),
        )
        add_application(self.portal, self.portal_application)
        if options.foreign_records:
            add_foreign_records(self.portal)
        members = (user.properties for user in self.directory.users if user.properties.get("userType") == "Member")
        known = islice(members, options.known_to_portal)
        add_local_users(self.portal, ((str(p["userPrincipalName"]), f"{p['displayName']} (by hand)") for p in known))

    def _tell_time(self, side: str) -> dict[str, str]:
        """Return the headers by which a side states its time; all but the portal goes by the tenant's."""
        knobs = self.portal_knobs if side == "portal" else self.tenant_knobs
        if knobs.date_header == "absent":
            return {}
        aged = knobs.date_header == "aged"
        moment = self._clock.now() + timedelta(seconds=knobs.clock_ahead - (_AGE if aged else 0))
        return {"Date": format_datetime(moment, usegmt=True), **({"Age": str(_AGE)} if aged else {})}

    def _write_files(self) -> ssl.SSLContext:
        for name, secret in (
            ("graph-secret", self.client_secret),
            ("bps-secret", self.portal_client_secret),
            ("console-secret", self.console_client_secret),
        ):
            file = self.path / name
            file.touch(mode=0o600)
            file.write_text(secret + "\n", encoding="utf-8")
        return make_tls(self.ca_file)

    async def _serve(self, side: str, service: Service, wire: Wire, tls: ssl.SSLContext | None) -> None:
        application = make_application(side, service, wire, compress=lambda: self.tenant_knobs.gzip and side == "graph")
        runner = web.AppRunner(application, access_log=None, handle_signals=False, shutdown_timeout=1.0)
        await runner.setup()
        self._runners.append(runner)
        port = self.options.port + len(self._ports) if self.options.port else 0
        site = web.TCPSite(runner, _HOST, port, ssl_context=tls, backlog=512)
        await site.start()
        self._ports[side] = int(runner.addresses[0][1])


def find_free_port() -> int:
    """Return a TCP port on loopback that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        return int(probe.getsockname()[1])
