"""Time behind one object, so that tests can own it. Nothing else in syncd asks the system for the time or sleeps."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Clock:
    """The real clock: aware UTC now, a monotonic reading in seconds, and a sleep that can be cancelled."""

    def now(self) -> datetime:
        """Return the present instant as aware UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds from an arbitrary start that never run backwards."""
        return time.monotonic()

    def uptime(self) -> tuple[str, float]:
        """Return which start of this machine it is, and the seconds since, asleep or not; ("", 0.0) if unknown.

        Every process of the machine has the same, so that they tell what became of the time between two of them.
        """
        if not (boot := _read_boot()):
            return "", 0.0
        return boot, time.clock_gettime(time.CLOCK_BOOTTIME)

    async def sleep(self, seconds: float) -> None:
        """Wait that many seconds; negative values return at once."""
        await asyncio.sleep(max(0.0, seconds))


class LateClock(Clock):
    """Another clock, put forward: for what is written down while that one is behind."""

    def __init__(self, clock: Clock, forward: timedelta) -> None:
        self._clock = clock
        self._forward = forward

    def now(self) -> datetime:
        """Return the present of the other clock, put forward."""
        return self._clock.now() + self._forward

    def monotonic(self) -> float:
        """Return what the other clock does."""
        return self._clock.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait as the other clock does."""
        await self._clock.sleep(seconds)


@cache
def _read_boot() -> str:
    """Return what names the present start of the machine; Linux tells, others do not."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip() if hasattr(time, "CLOCK_BOOTTIME") else ""
    except (OSError, UnicodeDecodeError):
        return ""
