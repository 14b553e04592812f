"""What connections to the pages may cost: so many at once, and each only so long without a whole request.

A page that anybody in reach can open must not use up the file descriptors that runs need.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Middleware

from syncd.clock import Clock

CONNECTIONS = 64
"""Connections at once. One more takes the place of the one that has been idle for longest."""
IDLE_SECONDS = 10.0
"""How long a connection may wait with its first request, or its next; a head counts when it is whole."""
ANSWER_SECONDS = 60.0
BACKLOG = 16

Serve = Callable[[web.Request], Awaitable[web.StreamResponse]]


class _Refusal(asyncio.Protocol):
    """Closes a connection that is one too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.abort()  # type: ignore[attr-defined]  # those of sockets have it


class Bounds:
    """Admits connections to one server, and closes those that are idle for too long."""

    def __init__(self, clock: Clock) -> None:
        self.server: web.Server | None = None
        """Set before anybody connects."""
        self._clock = clock
        self._since: dict[object, float] = {}
        self._busy: set[object] = set()

    def admit(self) -> asyncio.BaseProtocol:
        """Return the protocol of a new connection: the factory that a listening socket wants."""
        if len(self._since) >= CONNECTIONS:
            self.tidy()
        if len(self._since) >= CONNECTIONS:
            idle = [each for each in self._since if each not in self._busy]
            if not idle:
                return _Refusal()
            self._close(min(idle, key=self._since.__getitem__))
        assert self.server is not None
        handler = self.server()
        self._since[handler] = self._clock.monotonic()
        return handler

    async def watch(self) -> None:
        """Close what is idle for too long, until cancelled."""
        while True:
            await self._clock.sleep(IDLE_SECONDS / 2)
            self.tidy()

    def tidy(self) -> None:
        """Close what has been idle, or has been answered, for too long; forget what is closed."""
        now, there = self._clock.monotonic(), set(self.server.connections if self.server is not None else ())
        for handler, since in list(self._since.items()):
            limit = ANSWER_SECONDS if handler in self._busy else IDLE_SECONDS
            if now - since > limit:
                self._close(handler)
            elif handler not in there and now - since > 1.0:  # a new one is not among them yet
                self._forget(handler)

    def _close(self, handler: Any) -> None:
        self._forget(handler)
        if handler.transport is not None:
            handler.transport.abort()

    def _forget(self, handler: object) -> None:
        self._since.pop(handler, None)
        self._busy.discard(handler)

    def make_middleware(self) -> Middleware:
        """Return what notes that a connection is busy: from a whole head to its answer."""

        @web.middleware
        async def note_request(request: web.Request, handler: Serve) -> web.StreamResponse:
            connection = request.protocol
            self._busy.add(connection)
            self._since[connection] = self._clock.monotonic()
            try:
                return await handler(request)
            finally:
                self._busy.discard(connection)
                if connection in self._since:
                    self._since[connection] = self._clock.monotonic()

        return note_request
