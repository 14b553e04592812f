"""Time behind one object, so that tests can own it. Nothing else in syncd asks the system for the time or sleeps."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime


class Clock:
    """The real clock: aware UTC now, a monotonic reading in seconds, and a sleep that can be cancelled."""

    def now(self) -> datetime:
        """Return the present instant as aware UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds from an arbitrary start that never run backwards."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait that many seconds; negative values return at once."""
        await asyncio.sleep(max(0.0, seconds))
