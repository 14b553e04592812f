"""The console's application: every request passes who, what and where from before a page is made."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any
from urllib.parse import urlencode, urlsplit

import structlog
from aiohttp import web

from syncd.errors import StoreError
from syncd.logs.redaction import redact_text
from syncd.store.console.sessions import ConsoleSession
from syncd.store.db.database import Database
from syncd.store.store import Store
from syncd.web.console.access import ROUTES, Route
from syncd.web.console.checking import CHECKS_PATH, Checking
from syncd.web.console.cookies import LANGUAGE, SESSION, Signer
from syncd.web.console.counts import Counts
from syncd.web.console.desk import Desk, StoreDoor
from syncd.web.console.sign_in import SignInPages
from syncd.web.console.texts.catalogue import LANGUAGES, Texts, choose_language
from syncd.web.console.view import FOLDER, Elsewhere, Page, View, render

FORM_BYTES = 256 * 1024
SECURITY_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not "no-referrer": with that browsers send "Origin: null" with our own forms (Fetch, "append a request Origin").
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
STATIC = {"console.css": "text/css", "console.js": "text/javascript", "icon.svg": "image/svg+xml"}
Serve = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Refused(Exception):
    """A request that is not served; ``reason`` is the key of a text."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class Console:
    """One console: makes the application, and keeps what is shared by its pages."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._door = StoreDoor(desk)
        self._counts = Counts(lambda: desk.vitals.running is not None)
        self._checking = Checking(desk)
        self._sign_in = SignInPages(desk, self._door)
        self._log = structlog.get_logger("syncd.console")

    def make_application(self) -> web.Application:
        """Return the application; nothing is served yet."""
        application = web.Application(
            middlewares=[self._add_headers, self._tell_refusals, self._check_origin], client_max_size=FORM_BYTES
        )
        add = application.router.add_route
        for route in ROUTES:
            add(route.method, route.path, partial(self._serve, route))
        add("GET", CHECKS_PATH, partial(self._serve_checks, "viewer"))
        add("POST", CHECKS_PATH, partial(self._serve_checks, "approver"))
        add("GET", "/static/{name}", self._serve_static)
        add("GET", "/language/{language}", self._switch_language)
        add("POST", "/sign-out", self._sign_out)
        self._sign_in.add_routes(application)
        return application

    async def close(self) -> None:
        """End what goes on in the background."""
        await self._checking.close()

    # ---- pages ------------------------------------------------------------------------------------------------------

    async def _serve(self, route: Route, request: web.Request) -> web.StreamResponse:
        session, secret = await self._expect_session(request, route.role)
        form = await self._read_form(request, secret)
        view = partial(self._make_view, request, session=session, secret=secret, form=form)

        def make(database: Database) -> Page | Elsewhere:
            return route.show(view(database))

        return self._answer(await self._door.ask(make, short=request.method == "POST"))

    async def _serve_checks(self, role: str, request: web.Request) -> web.StreamResponse:
        session, secret = await self._expect_session(request, role)
        form = await self._read_form(request, secret)
        if request.method == "POST":
            self._checking.begin()
            raise web.HTTPSeeOther(CHECKS_PATH)
        view = partial(self._make_view, request, session=session, secret=secret, form=form)
        return self._answer(await self._door.ask(lambda database: self._checking.show(view(database))))

    def _make_view(
        self,
        request: web.Request,
        database: Database,
        *,
        session: ConsoleSession,
        secret: str,
        form: tuple[tuple[str, str], ...],
    ) -> View:
        settings = self._desk.settings()
        return View(
            desk=self._desk,
            database=database,
            settings=settings,
            rules=self._desk.make_rules(settings),
            counts=self._counts,
            now=self._desk.vitals.now(),
            session=session,
            form_token=Signer(settings.web).make_form_token(secret),
            texts=find_texts(request),
            path=request.path,
            parts=dict(request.match_info),
            query=dict(request.query),
            form=form,
        )

    def _answer(self, made: Page | Elsewhere) -> web.StreamResponse:
        if isinstance(made, Elsewhere):
            raise web.HTTPSeeOther(made.path)
        body = made.body.encode() if isinstance(made.body, str) else made.body
        charset = "utf-8" if made.content_type.startswith("text/") else None
        return web.Response(
            body=body, status=made.status, content_type=made.content_type, charset=charset, headers=dict(made.headers)
        )

    async def _serve_static(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        if name not in STATIC:
            raise Refused(404, "error.unknown")
        body = await asyncio.to_thread((FOLDER / "static" / name).read_bytes)
        kind = STATIC[name]
        answer = web.Response(body=body, content_type=kind, charset="utf-8")
        answer.headers["Cache-Control"] = "max-age=3600"
        return answer

    async def _switch_language(self, request: web.Request) -> web.StreamResponse:
        language = request.match_info["language"]
        if language not in LANGUAGES:
            raise Refused(404, "error.unknown")
        answer = web.HTTPSeeOther(self._sign_in.find_way_back(request.query.get("back", "/")))
        answer.set_cookie(LANGUAGE, language, max_age=31_536_000, path="/", secure=True, httponly=True, samesite="Lax")
        raise answer

    async def _sign_out(self, request: web.Request) -> web.StreamResponse:
        _, secret = await self._expect_session(request, "viewer")
        await self._read_form(request, secret)
        await self._door.ask(lambda database: Store(database).console.close(secret), short=True)
        answer = web.HTTPSeeOther("/sign-in?out=1")
        answer.del_cookie(SESSION, path="/", secure=True, httponly=True, samesite="Lax")
        raise answer

    # ---- who, what, and where from ----------------------------------------------------------------------------------

    async def _expect_session(self, request: web.Request, role: str) -> tuple[ConsoleSession, str]:
        """Return who asks, and the secret of the session; raises Refused for anybody else, or sends them to sign in."""
        web_settings = self._desk.settings().web
        secret = Signer(web_settings).open(request.cookies.get(SESSION))
        now = self._desk.vitals.now()
        session = None
        if secret is not None:
            own = secret
            session = await self._door.ask(lambda database: Store(database).console.find(own, now=now), short=True)
        if session is None or secret is None:
            if request.method != "GET":
                raise Refused(401, "error.signed_out")
            raise web.HTTPSeeOther(f"/sign-in?{urlencode({'back': request.path_qs})}")
        if role == "approver" and session.role != "approver":
            raise Refused(403, "error.forbidden")
        return session, secret

    async def _read_form(self, request: web.Request, secret: str) -> tuple[tuple[str, str], ...]:
        if request.method != "POST":
            return ()
        if request.content_type != "application/x-www-form-urlencoded":
            raise Refused(415, "error.form")
        form = await request.post()
        fields = tuple((name, value) for name, value in form.items() if isinstance(value, str))
        token = next((value for name, value in fields if name == "form_token"), "")
        if not Signer(self._desk.settings().web).is_form_token(secret, token):
            raise Refused(403, "error.form_token")
        return fields

    @web.middleware
    async def _check_origin(self, request: web.Request, handler: Serve) -> web.StreamResponse:
        """Refuse what was sent by another site's page: every browser names the origin of a form."""
        if request.method not in ("GET", "HEAD"):
            expected = self._desk.settings().web.external_url
            origin = request.headers.get("Origin", "")
            parts = urlsplit(origin)
            own = origin == expected if expected else parts.scheme in ("http", "https") and parts.netloc == request.host
            if not own:
                raise Refused(403, "error.origin")
        return await handler(request)

    # ---- answers ----------------------------------------------------------------------------------------------------

    @web.middleware
    async def _tell_refusals(self, request: web.Request, handler: Serve) -> web.StreamResponse:
        texts = find_texts(request)
        try:
            return await handler(request)
        except Refused as refused:
            self._log.info("console.refused", status=refused.status, reason=refused.reason, method=request.method)
            return self._tell(texts, refused.status, texts(refused.reason))
        except StoreError as error:
            self._log.warning("console.store_error", error=redact_text(str(error)))
            return self._tell(texts, 503, texts("error.store"))
        except web.HTTPRedirection:
            raise
        except web.HTTPException as error:
            known = {404: "error.unknown", 405: "error.method", 413: "error.size"}
            answer = self._tell(texts, error.status, texts(known.get(error.status, "error.request")))
            if allowed := error.headers.get("Allow"):
                answer.headers["Allow"] = allowed
            return answer

    def _tell(self, texts: Texts, status: int, said: str) -> web.Response:
        settings = self._desk.settings()
        body = render(
            "message.html",
            texts=texts,
            now=self._desk.vitals.now(),
            zone=settings.schedule.timezone,
            title=texts("error.title"),
            said=said,
        )
        return web.Response(text=body, status=status, content_type="text/html")

    @web.middleware
    async def _add_headers(self, request: web.Request, handler: Serve) -> web.StreamResponse:
        try:
            answer = await handler(request)
        except web.HTTPException as redirect:
            self._dress(redirect)
            raise
        self._dress(answer)
        return answer

    def _dress(self, answer: Any) -> None:
        for name, value in SECURITY_HEADERS.items():
            answer.headers.setdefault(name, value)
        external = self._desk.settings().web.external_url or ""
        if external.startswith("https:"):
            answer.headers["Strict-Transport-Security"] = "max-age=31536000"


def find_texts(request: web.Request) -> Texts:
    """Return the texts in the language of the reader."""
    return Texts(choose_language(request.cookies.get(LANGUAGE), request.headers.get("Accept-Language", "")))
