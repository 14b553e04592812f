"""The time of a drill: one present for both sides and the program, moved on by every wait, so that none takes long."""

from __future__ import annotations

from datetime import datetime, timedelta

from syncd.clock import Clock


class PlayClock(Clock):
    """The real clock, put forward by every sleep, which lets others work and is over."""

    def __init__(self) -> None:
        self._slept = 0.0

    def now(self) -> datetime:
        """Return the moved present."""
        return super().now() + timedelta(seconds=self._slept)

    def monotonic(self) -> float:
        """Return the moved monotonic time."""
        return super().monotonic() + self._slept

    def uptime(self) -> tuple[str, float]:
        """Return the moved time since the start of this machine."""
        boot, seconds = super().uptime()
        return boot, seconds + self._slept if boot else 0.0

    async def sleep(self, seconds: float) -> None:
        """Move on, after one turn of the loop."""
        self._slept += max(0.0, seconds)
        await super().sleep(0)


class WrongClock(Clock):
    """The program's own clock: that of a play, ``ahead`` by so many seconds as far as dates are concerned."""

    def __init__(self, right: Clock) -> None:
        self.ahead = 0.0
        self._right = right

    def now(self) -> datetime:
        """Return what this clock takes for the present."""
        return self._right.now() + timedelta(seconds=self.ahead)

    def monotonic(self) -> float:
        """Return what the right clock does."""
        return self._right.monotonic()

    def uptime(self) -> tuple[str, float]:
        """Return what the right clock does."""
        return self._right.uptime()

    async def sleep(self, seconds: float) -> None:
        """Wait as the right clock does."""
        await self._right.sleep(seconds)
