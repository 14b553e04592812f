"""A web server that works on a fixed number of requests at once, each for some time, and lets the others wait."""

from __future__ import annotations

import asyncio
from collections import deque

from syncd.clock import Clock
from syncd.sandbox.wire.knobs import PortalKnobs


class Workers:
    """The workers of one server, in the number that the knob ``workers`` says at that moment; 0: as many as come."""

    def __init__(self, knobs: PortalKnobs, clock: Clock) -> None:
        self._knobs = knobs
        self._clock = clock
        self._busy = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def serve(self) -> None:
        """Return when a worker has worked on a request for ``service_time`` seconds; who came first is served first."""
        if not self._knobs.workers and not self._knobs.service_time:
            return
        while self._knobs.workers and self._busy >= self._knobs.workers:
            turn = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                self._wake()
                raise
        self._busy += 1
        try:
            await self._clock.sleep(self._knobs.service_time)
        finally:
            self._busy -= 1
            self._wake()

    def _wake(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
