"""Bare clients of the sandbox for its own tests: nothing of syncd's adapters, one aiohttp session."""

from __future__ import annotations

import json
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
from yarl import URL

from syncd.clock import Clock
from syncd.sandbox.server import Sandbox, SandboxOptions


class MovableClock(Clock):
    """A clock that stands still until it is told to move on; sleeping moves it."""

    def __init__(self) -> None:
        self.elapsed = 0.0

    def now(self) -> datetime:
        """Return a fixed day plus what has elapsed."""
        return datetime(2026, 3, 2, 9, 0, tzinfo=UTC) + timedelta(seconds=self.elapsed)

    def monotonic(self) -> float:
        """Return what has elapsed, from an arbitrary start."""
        return 1000.0 + self.elapsed

    def uptime(self) -> tuple[str, float]:
        """Return what has elapsed, of one start of the machine."""
        return "boot", self.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Let that time pass at once."""
        self.elapsed += max(0.0, seconds)


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer as it came."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """Return the decoded body."""
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """Return Graph's error code."""
        return str(self.json["error"]["code"])


@dataclass(slots=True)
class Mirror:
    """What a careful consumer of delta would have: merged by id, idempotent, deletions remembered."""

    objects: dict[str, dict[str, Any]] = field(default_factory=dict)
    removed: dict[str, str] = field(default_factory=dict)
    links: dict[str, set[str]] = field(default_factory=dict)
    managers: dict[str, str | None] = field(default_factory=dict)
    pages: list[dict[str, Any]] = field(default_factory=list)

    def merge(self, page: dict[str, Any]) -> None:
        """Apply one page."""
        self.pages.append(page)
        for entry in page["value"]:
            object_id = entry["id"]
            if "@removed" in entry:
                self.removed[object_id] = entry["@removed"]["reason"]
                self.objects.pop(object_id, None)
                continue
            self.removed.pop(object_id, None)
            values = {key: value for key, value in entry.items() if "@" not in key}
            self.objects.setdefault(object_id, {}).update(values)
            links = self.links.setdefault(object_id, set())
            for link in entry.get("members@delta", []):
                (links.discard if "@removed" in link else links.add)(link["id"])
            if "manager@delta" in entry:
                live = [link["id"] for link in entry["manager@delta"] if "@removed" not in link]
                self.managers[object_id] = live[-1] if live else None


class Client:
    """Speaks to both sides of one sandbox with valid tokens."""

    def __init__(self, sandbox: Sandbox, session: aiohttp.ClientSession) -> None:
        self.sandbox = sandbox
        self.session = session
        self.tokens: dict[str, str] = {}

    async def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: object = None,
        form: dict[str, str] | None = None,
    ) -> Reply:
        """Send one request to a URL exactly as written."""
        async with self.session.request(
            method, URL(url, encoded=True), headers=dict(headers or {}), json=body, data=form
        ) as response:
            return Reply(response.status, dict(response.headers), await response.read())

    async def graph_token(self, **changes: str) -> Reply:
        """Ask the login host for a token; keyword arguments replace form fields."""
        sandbox = self.sandbox
        tenant = changes.pop("tenant", sandbox.tenant_id)
        form = {
            "grant_type": "client_credentials",
            "client_id": sandbox.client_id,
            "client_secret": sandbox.client_secret,
            "scope": f"{sandbox.graph_url}/.default",
            **changes,
        }
        return await self.send("POST", f"{sandbox.login_url}/{tenant}/oauth2/v2.0/token", form=form)

    async def portal_token(self, **changes: str) -> Reply:
        """Ask the portal for a token; keyword arguments replace form fields."""
        sandbox = self.sandbox
        form = {
            "grant_type": "client_credentials",
            "client_id": sandbox.portal_client_id,
            "client_secret": sandbox.portal_client_secret,
            **changes,
        }
        return await self.send("POST", f"{sandbox.portal_url}/api/oauth2/token", form=form)

    async def graph(
        self, target: str, *, method: str = "GET", headers: Mapping[str, str] | None = None, body: object = None
    ) -> Reply:
        """Send a request to Graph; ``target`` is a path behind the version, whose spaces are encoded, or a link."""
        if "graph" not in self.tokens:
            self.tokens["graph"] = (await self.graph_token()).json["access_token"]
        path = target.replace(" ", "%20")
        url = target if target.startswith("https:") else f"{self.sandbox.graph_url}/v1.0{path}"
        authorized = {"Authorization": f"Bearer {self.tokens['graph']}", **(headers or {})}
        return await self.send(method, url, headers=authorized, body=body)

    async def round(self, start: str, mirror: Mirror | None = None) -> tuple[Mirror, str]:
        """Follow one delta round to its end; return what it said and the delta link."""
        mirror = mirror or Mirror()
        link = start
        for _ in range(2000):
            reply = await self.graph(link)
            assert reply.status == 200, reply.body
            page = reply.json
            mirror.merge(page)
            if "@odata.deltaLink" in page:
                return mirror, page["@odata.deltaLink"]
            link = page["@odata.nextLink"]
        raise AssertionError("the round does not end")

    async def portal(
        self, method: str, path: str, body: object = None, *, headers: Mapping[str, str] | None = None, **query: str
    ) -> Reply:
        """Send a request to the portal's API, version 6.0; keyword arguments become the query."""
        if "portal" not in self.tokens:
            self.tokens["portal"] = (await self.portal_token()).json["access_token"]
        options = "&".join(f"{name}={quote(value, safe='')}" for name, value in query.items())
        url = f"{self.sandbox.portal_url}/api/data/v6.0{path}{'?' if options else ''}{options}"
        authorized = {"Authorization": f"Bearer {self.tokens['portal']}", **(headers or {})}
        return await self.send(method, url, headers=authorized, body=body)


@asynccontextmanager
async def open_client(options: SandboxOptions, path: Path, *, clock: Clock | None = None) -> AsyncIterator[Client]:
    """Start a sandbox and yield a client of it."""
    async with Sandbox(options, path, clock=clock) as sandbox:
        trust = ssl.create_default_context(cafile=str(sandbox.ca_file))
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust)) as session:
            yield Client(sandbox, session)
