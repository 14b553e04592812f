"""Signing in: the only pages that somebody sees who has not signed in. They say nothing about anybody.

With ``sign_in = "token"`` whoever has the token is the one approver. With ``"entra"`` the browser goes to the tenant's
sign-in page and comes back with a code: `syncd.web.console.entra`.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from aiohttp import web

from syncd.config import WebSettings
from syncd.errors import SyncdError
from syncd.graph.auth.sign_in import SignInRefused
from syncd.logs.redaction import redact_text
from syncd.store.console.sessions import ConsoleRole, ConsoleSession
from syncd.store.store import Store
from syncd.web.console.cookies import LANGUAGE, SESSION, SIGN_IN, Signer, make_secret
from syncd.web.console.desk import Desk, StoreDoor
from syncd.web.console.entra import RETURN_PATH, NotAdmitted, begin_sign_in, complete_sign_in
from syncd.web.console.limiter import Limiter
from syncd.web.console.texts.catalogue import Texts, choose_language
from syncd.web.console.view import render

TOKEN_PERSON = "token"  # noqa: S105 - what is recorded instead of a person
_WAY_BACK = re.compile(r"/(?![/\\])[A-Za-z0-9/_.~%?&=,:@+-]{0,400}")
_FIELD_BYTES = 4096


class SignInPages:
    """The pages, and how often they may be tried."""

    def __init__(self, desk: Desk, door: StoreDoor) -> None:
        self._desk = desk
        self._door = door
        self._attempts = Limiter(desk.clock, each=10, together=100, seconds=300.0)
        self._begun = Limiter(desk.clock, each=60, together=300, seconds=300.0)
        self._log = structlog.get_logger("syncd.console")

    def add_routes(self, application: web.Application) -> None:
        """Add the routes that need no session."""
        add = application.router.add_route
        add("GET", "/sign-in", self._show)
        add("POST", "/sign-in", self._take_token)
        add("GET", "/sign-in/entra", self._begin)
        add("GET", RETURN_PATH, self._complete)

    def find_way_back(self, wanted: str) -> str:
        """Return a page of ours to go on with; anything else is the first page."""
        return wanted if _WAY_BACK.fullmatch(wanted) and not wanted.startswith("/sign") else "/"

    # ---- pages ------------------------------------------------------------------------------------------------------

    async def _show(self, request: web.Request) -> web.StreamResponse:
        texts, problem = self._find_texts(request), ""
        if request.query.get("kept") == "no" and SESSION not in request.cookies:
            problem = texts("sign_in.no_cookie")
        return self._make(request, texts, problem=problem, out=request.query.get("out") == "1")

    def _make(
        self, request: web.Request, texts: Texts, *, problem: str = "", out: bool = False, status: int = 200
    ) -> web.Response:
        settings = self._desk.settings()
        body = render(
            "sign_in.html",
            texts=texts,
            now=self._desk.vitals.now(),
            zone=settings.schedule.timezone,
            title=texts("sign_in.title"),
            way=settings.web.sign_in,
            back=self.find_way_back(request.query.get("back", "/")),
            problem=problem,
            out=out,
        )
        return web.Response(text=body, status=status, content_type="text/html")

    async def _take_token(self, request: web.Request) -> web.StreamResponse:
        settings, texts = self._desk.settings().web, self._find_texts(request)
        if settings.sign_in != "token" or settings.token is None:
            raise web.HTTPNotFound
        if not self._attempts.admit(request.remote or ""):
            self._log.warning("console.sign_in_limited", address=request.remote)
            return self._make(request, texts, problem=texts("sign_in.limited"), status=429)
        form = await request.post()
        given = str(form.get("token", ""))[:_FIELD_BYTES].strip()
        if not hmac.compare_digest(given.encode(), settings.token.reveal().encode()):
            self._log.warning("console.sign_in_refused", reason="wrong token")
            return self._make(request, texts, problem=texts("sign_in.wrong_token"), status=403)
        answer = web.HTTPSeeOther(f"{self.find_way_back(str(form.get('back', '/')))}")
        await self._open_session(answer, settings, person_id="", login=TOKEN_PERSON, role="approver")
        raise answer

    async def _begin(self, request: web.Request) -> web.StreamResponse:
        settings, texts = self._desk.settings(), self._find_texts(request)
        if settings.web.sign_in != "entra":
            raise web.HTTPNotFound
        if not self._begun.admit(request.remote or ""):
            self._log.warning("console.sign_in_limited", address=request.remote)
            return self._make(request, texts, problem=texts("sign_in.limited"), status=429)
        back, browser = self.find_way_back(request.query.get("back", "/")), make_secret()

        async def go() -> web.StreamResponse:
            begun = await begin_sign_in(settings, self._desk.clock, back=back)
            now = self._desk.vitals.now()
            kept = await self._door.ask(
                lambda database: Store(database).console.begin_sign_in(begun.state, browser, begun.flow, now=now),
                short=True,
            )
            if not kept:
                return self._make(request, texts, problem=texts("sign_in.limited"), status=429)
            answer = web.HTTPSeeOther(begun.address)
            value = Signer(settings.web).sign(browser)
            answer.set_cookie(SIGN_IN, value, max_age=600, path="/", secure=True, httponly=True, samesite="Lax")
            raise answer

        return await self._telling(request, texts, go)

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        settings, texts = self._desk.settings(), self._find_texts(request)
        if settings.web.sign_in != "entra":
            raise web.HTTPNotFound
        browser = Signer(settings.web).open(request.cookies.get(SIGN_IN))
        state = request.query.get("state", "")

        async def go() -> web.StreamResponse:
            now = self._desk.vitals.now()
            begun = None
            if browser is not None and 0 < len(state) < _FIELD_BYTES:
                own = browser
                begun = await self._door.ask(
                    lambda database: Store(database).console.take_sign_in(state, own, now=now), short=True
                )
            if begun is None:
                raise SignInRefused("the state is unknown, used up, too old, or of another browser")
            person = await complete_sign_in(settings, self._desk.clock, flow=begun.flow, answer=dict(request.query))
            answer = web.HTTPSeeOther(self.find_way_back(person.back))
            answer.del_cookie(SIGN_IN, path="/", secure=True, httponly=True, samesite="Lax")
            await self._open_session(answer, settings.web, person_id=person.id, login=person.login, role=person.role)
            raise answer

        return await self._telling(request, texts, go)

    async def _telling(
        self, request: web.Request, texts: Texts, go: Callable[[], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Do one step of a sign-in; why it failed goes to the log, and its kind to the page."""
        try:
            return await go()
        except NotAdmitted as error:
            self._log.warning("console.sign_in_refused", reason="not listed", person_id=error.person_id)
            return self._make(request, texts, problem=texts("sign_in.not_admitted"), status=403)
        except SignInRefused as error:
            self._log.warning("console.sign_in_failed", reason=redact_text(str(error)))
            return self._make(request, texts, problem=texts("sign_in.failed"), status=400)
        except SyncdError as error:
            self._log.warning("console.sign_in_failed", reason=redact_text(str(error)))
            return self._make(request, texts, problem=texts("sign_in.unreachable"), status=503)

    # ---- inside -----------------------------------------------------------------------------------------------------

    async def _open_session(
        self, answer: Any, settings: WebSettings, *, person_id: str, login: str, role: ConsoleRole
    ) -> None:
        now, secret = self._desk.vitals.now(), make_secret()
        session = ConsoleSession(person_id=person_id, login=login, role=role, created_at=now, seen_at=now)
        await self._door.ask(lambda database: Store(database).console.open(secret, session), short=True)
        answer.set_cookie(SESSION, Signer(settings).sign(secret), path="/", secure=True, httponly=True, samesite="Lax")
        self._log.info("console.signed_in", person_id=person_id, role=role, way=settings.sign_in)

    def _find_texts(self, request: web.Request) -> Texts:
        return Texts(choose_language(request.cookies.get(LANGUAGE), request.headers.get("Accept-Language", "")))
