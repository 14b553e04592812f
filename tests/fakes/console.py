"""The console over the store of a test's world, on loopback, and a browser that keeps cookies."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from html import unescape
from http.cookies import SimpleCookie
from typing import Any

import aiohttp
from aiohttp.test_utils import TestServer

from syncd.clock import Clock
from syncd.config import Settings, WebSettings
from syncd.config.secret import Secret
from syncd.model.run import RunRequest
from syncd.store.console.sessions import ConsoleRole, ConsoleSession
from syncd.store.db.database import Database
from syncd.web.console.application import Console
from syncd.web.console.cookies import SESSION, Signer, make_secret
from syncd.web.console.desk import Checked, Desk
from tests.fakes.rules import make_default_settings
from tests.fakes.world import World

TOKEN = "a-token-of-tests-0123456789"
_HIDDEN = re.compile(r'<input type="hidden" name="([^"]*)" value="([^"]*)"')


@dataclass
class ConsoleVitals:
    """A daemon as the console sees it."""

    world: World
    role: str = "working"
    running: RunRequest | None = None
    running_since: datetime | None = None
    progress: Mapping[str, int] = field(default_factory=dict)

    @property
    def database(self) -> Database:
        """Return the world's store."""
        return self.world.database

    @property
    def settings_since(self) -> datetime:
        """Return some time."""
        return self.world.clock.now()

    def now(self) -> datetime:
        """Return the world's time."""
        return self.world.clock.now()

    def next_times(self) -> Mapping[str, datetime]:
        """Return that the next run is now."""
        return {"full": self.world.clock.now(), "delta": self.world.clock.now()}


@dataclass(frozen=True)
class Found:
    """One line of checks."""

    check: str = "configuration"
    status: str = "ok"
    detail: str = "read from somewhere"
    remedy: str = ""


@dataclass
class ConsoleStage:
    """A running console. ``settings`` may be replaced while it runs."""

    world: World
    url: str
    http: aiohttp.ClientSession
    vitals: ConsoleVitals
    settings: Settings
    application: aiohttp.web.Application
    checked: int = 0

    def sign_in(self, role: ConsoleRole, *, person: str = "11111111-2222-3333-4444-555555555555") -> Browser:
        """Return a browser of somebody who has signed in."""
        secret, now = make_secret(), self.world.clock.now()
        session = ConsoleSession(person_id=person, login=f"{role}@x.example", role=role, created_at=now, seen_at=now)
        self.world.store.console.open(secret, session)
        browser = Browser(self)
        browser.cookies[SESSION] = Signer(self.settings.web).sign(secret)
        return browser

    def configure(self, **changes: object) -> None:
        """Change ``[web]`` under the console, as a reload does."""
        web = self.settings.web.model_copy(update=changes)
        self.settings = self.settings.model_copy(update={"web": web})


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    cookies: Mapping[str, str]

    @property
    def text(self) -> str:
        """Return the document."""
        return self.body.decode()

    @property
    def place(self) -> str:
        """Return where the browser is sent."""
        return self.headers.get("Location", "")

    def fields(self) -> list[tuple[str, str]]:
        """Return the hidden fields of its forms."""
        return [(unescape(name), unescape(value)) for name, value in _HIDDEN.findall(self.text)]


class Browser:
    """Keeps cookies as a browser does over https, follows nothing, and names its origin."""

    def __init__(self, stage: ConsoleStage) -> None:
        self.stage = stage
        self.cookies: dict[str, str] = {}

    async def get(self, path: str, **headers: str) -> Answer:
        """Ask for a page."""
        return await self.send("GET", path, headers=headers)

    async def post(
        self, path: str, fields: Sequence[tuple[str, str]] = (), *, origin: str | None = "", signed: bool = True
    ) -> Answer:
        """Send a form, with the token of the session unless ``signed`` is False. ``origin``: "" is our own."""
        form = list(fields)
        if signed and not any(name == "form_token" for name, _ in form):
            form.append(("form_token", await self.form_token()))
        headers = {} if origin is None else {"Origin": origin or self.stage.url}
        return await self.send("POST", path, headers=headers, form=form)

    async def form_token(self) -> str:
        """Return the token that the forms of this session carry."""
        return dict((await self.get("/checks")).fields())["form_token"]

    async def send(
        self, method: str, path: str, *, headers: Mapping[str, str] = {}, form: Sequence[tuple[str, str]] | None = None
    ) -> Answer:
        """Send any request."""
        sent = dict(headers)
        if self.cookies:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        data = None if form is None else aiohttp.FormData(form)
        async with self.stage.http.request(
            method, self.stage.url + path, headers=sent, data=data, allow_redirects=False
        ) as answer:
            told: dict[str, str] = {}
            for line in answer.headers.getall("Set-Cookie", []):
                for name, morsel in SimpleCookie(line).items():
                    told[name] = morsel.value
                    assert morsel["secure"], line
                    assert morsel["httponly"], line
                    assert morsel["samesite"] == "Lax", line
                    assert morsel["path"] == "/", line
                    assert not morsel["domain"], line
                    self.cookies[name] = morsel.value
                    if not morsel.value:
                        del self.cookies[name]
            return Answer(answer.status, dict(answer.headers), await answer.read(), told)


async def walk(browser: Browser) -> dict[str, str]:
    """Return every kind of page that can be reached by links, by its path without names and numbers; with downloads."""
    seen: dict[str, str] = {}
    waiting = ["/"]
    while waiting:
        path = waiting.pop()
        kind = "console " + re.sub(r"\?.*|[0-9a-f-]{8,}|\d+|[\w.]+(@|%40)[\w.]+", "…", path)
        if kind in seen or kind.endswith("/sign-out"):
            continue
        answer = await browser.get(path)
        text = answer.body.decode("latin-1" if b"\0" in answer.body else "utf-8")
        seen[kind] = text + answer.place
        waiting += [unescape(link) for link in re.findall(r'(?:href|action)="(/[^"]*)"', text)]
    return seen


def make_web(**changes: Any) -> WebSettings:
    """Return ``[web]`` with the sign-in by token, with changes."""
    base: dict[str, Any] = {"sign_in": "token", "token": Secret(TOKEN)}
    return WebSettings().model_copy(update=base | changes)


@asynccontextmanager
async def open_console(
    world: World, *, clock: Clock | None = None, base: Settings | None = None, **web: Any
) -> AsyncIterator[ConsoleStage]:
    """Serve the console over a world's store; ``base``: with both sides, and the sign-in, of these settings."""
    settings = base or make_default_settings().model_copy(update={"web": make_web(**web)})
    vitals = ConsoleVitals(world)
    stage: ConsoleStage

    async def run_checks(settings: Settings, clock: Clock) -> Sequence[Checked]:
        stage.checked += 1
        return [Found()]

    desk = Desk(
        settings=lambda: stage.settings,
        vitals=vitals,  # type: ignore[arg-type]  # as much of a daemon as the console asks for
        clock=clock or world.clock,
        make_rules=lambda settings: world.rules,
        list_ends=lambda settings, database, now: {},
        run_checks=run_checks,
    )
    console = Console(desk)
    application = console.make_application()
    async with TestServer(application) as server, aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http:
        url = str(server.make_url("")).rstrip("/")
        stage = ConsoleStage(world, url, http, vitals, settings, application)
        try:
            yield stage
        finally:
            await console.close()
