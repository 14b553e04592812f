"""The console's own server: TLS or plain behind a proxy, within the same bounds as the status page."""

from __future__ import annotations

import asyncio
import ssl

import structlog
from aiohttp import web

from syncd.config import Listen, WebSettings, make_tls
from syncd.web.bounds import BACKLOG, Bounds
from syncd.web.console.application import Console
from syncd.web.console.desk import Desk
from syncd.web.console.warming import prepare

_RETRY_SECONDS = 30.0


async def serve_console(listen: Listen, desk: Desk) -> None:
    """Answer on an address until cancelled; trouble with address or certificate is logged once and tried for ever."""
    log = structlog.get_logger("syncd.console")
    console, bounds = Console(desk), Bounds(desk.clock)
    application = console.make_application()
    application.middlewares.insert(0, bounds.make_middleware())
    runner = web.AppRunner(application, access_log=None, handle_signals=False, shutdown_timeout=1.0)
    await runner.setup()
    bounds.server = runner.server
    said, listening = "", list[asyncio.Server]()
    try:
        while problem := await _try_listen(bounds, listen, desk.settings().web, listening):
            if problem != said:
                log.error("console.unreachable", host=listen.host, port=listen.port, reason=problem)
            said = problem
            await desk.clock.sleep(_RETRY_SECONDS)
        log.info("console.listening", host=listen.host, port=listening[0].sockets[0].getsockname()[1])
        await asyncio.to_thread(prepare)
        await bounds.watch()
    finally:
        for server in listening:
            server.close()
        await console.close()
        await runner.cleanup()


async def _try_listen(bounds: Bounds, listen: Listen, settings: WebSettings, listening: list[asyncio.Server]) -> str:
    """Start to listen; return why that cannot be, nothing when it can."""
    try:
        tls = None
        if settings.tls_certificate_file is not None and settings.tls_key_file is not None:
            tls = await asyncio.to_thread(make_tls, settings.tls_certificate_file, settings.tls_key_file)
        loop = asyncio.get_running_loop()
        listening.append(await loop.create_server(bounds.admit, listen.host, listen.port, backlog=BACKLOG, ssl=tls))
    except ssl.SSLError:
        return "the certificate and its key cannot be used"
    except OSError as error:
        return error.strerror or type(error).__name__
    return ""
