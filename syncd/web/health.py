"""Health, readiness, metrics and the status page over plain http, meant for loopback or a private network.

``/healthz`` says that the loop turns and asks nobody; ``/readyz`` asks the store. No route writes anything.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import structlog
from aiohttp import web

from syncd.clock import Clock
from syncd.errors import StoreError
from syncd.web.bounds import BACKLOG, Bounds
from syncd.web.metrics import CONTENT_TYPE, render_metrics
from syncd.web.page import render_page
from syncd.web.vitals import PULLS, StoreView, Vitals

_RETRY_SECONDS = 30.0
_RUNS_SHOWN = 20
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


async def serve_health(host: str, port: int, vitals: Vitals, clock: Clock) -> None:
    """Answer on an address until cancelled. An address that cannot be had is logged once and tried again for ever."""
    log = structlog.get_logger("syncd.health")
    application, bounds = make_application(vitals), Bounds(clock)
    application.middlewares.append(bounds.make_middleware())
    runner = web.AppRunner(application, access_log=None, handle_signals=False, shutdown_timeout=1.0)
    await runner.setup()
    bounds.server = runner.server
    said, listening = "", list[asyncio.Server]()
    try:
        while problem := await _try_listen(bounds, host, port, listening):
            if problem != said:
                log.error("health.unreachable", host=host, port=port, reason=problem)
            said = problem
            await clock.sleep(_RETRY_SECONDS)
        log.info("health.listening", host=host, port=listening[0].sockets[0].getsockname()[1])
        await bounds.watch()
    finally:
        for server in listening:
            server.close()
        await runner.cleanup()


async def _try_listen(bounds: Bounds, host: str, port: int, listening: list[asyncio.Server]) -> str:
    """Start to listen; return why that cannot be, nothing when it can."""
    try:
        loop = asyncio.get_running_loop()
        listening.append(await loop.create_server(bounds.admit, host, port, backlog=BACKLOG))
    except OSError as error:
        return error.strerror or type(error).__name__
    return ""


def make_application(vitals: Vitals) -> web.Application:
    """Return the pages over one daemon's vitals."""
    pages = _Pages(vitals)
    application = web.Application(middlewares=[_add_headers])
    application.router.add_get("/", pages.show_status)
    application.router.add_get("/healthz", pages.show_live)
    application.router.add_get("/readyz", pages.show_ready)
    application.router.add_get("/metrics", pages.show_metrics)
    return application


@web.middleware
async def _add_headers(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    response = await handler(request)
    response.headers.update(_HEADERS)
    return response


class _Pages:
    def __init__(self, vitals: Vitals) -> None:
        self._vitals = vitals

    async def show_live(self, _request: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def show_ready(self, _request: web.Request) -> web.Response:
        vitals = self._vitals
        store = await self._look()
        body: dict[str, object] = {"status": "ready"}
        if store.problem or vitals.role in ("starting", "stopping"):
            body = {"status": "unready", "reason": store.problem or f"syncd is {vitals.role}"}
        elif vitals.role == "standby":
            body = {"status": "standby"}
        if not store.problem:
            body["stale"] = store.stale
            body["last_good"] = None if store.last_good is None else store.last_good.isoformat()
        return web.json_response(body, status=503 if body["status"] == "unready" else 200)

    async def show_metrics(self, _request: web.Request) -> web.Response:
        text = render_metrics(self._vitals, await self._look(glance=True, states_too=True))
        return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE})

    async def show_status(self, _request: web.Request) -> web.Response:
        page = render_page(self._vitals, await self._look(states_too=True))
        return web.Response(text=page, content_type="text/html")

    async def _count_states(self) -> Mapping[str, Mapping[str, int]]:
        """Return people and groups by state; nothing where a company is so large that counting takes too long."""
        try:
            return await self._vitals.load_states()
        except StoreError:
            return {}

    async def _count_drift(self) -> Mapping[str, int] | None:
        """Return what was changed by hand; None where counting takes too long."""
        try:
            return await self._vitals.load_drift()
        except StoreError:
            return None

    async def _look(self, *, glance: bool = False, states_too: bool = False) -> StoreView:
        vitals = self._vitals
        problem = await vitals.probe_store()
        if problem:
            return StoreView(problem=problem)
        try:
            runs = await vitals.load_runs(_RUNS_SHOWN)
            last = {kind: await vitals.load_last(kind) for kind in PULLS}
            last_good, last_through = await vitals.load_last_good(), await vitals.load_last_through()
            held, allowances = await vitals.load_held(), await vitals.load_allowances()
            states = await self._count_states() if states_too else {}
            drift = await self._count_drift() if glance else None
            last_success = await vitals.load_last_success() if glance else None
            seen = await vitals.load_gauges() if glance else None
        except StoreError as error:
            return StoreView(problem=str(error))
        closed = {kind: run for kind, run in last.items() if run is not None}
        return StoreView(
            problem="",
            runs=runs,
            last=closed,
            last_good=last_good,
            last_success=last_success,
            glance=seen,
            stale=vitals.is_stale(last_through),
            held=held,
            allowances=allowances,
            states=states,
            drift=drift,
        )
