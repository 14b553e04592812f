"""When a change of the imitation portal's privileges takes effect, and when readings show it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from syncd.clock import Clock
from syncd.sandbox.portal.places import Given


class Moments:
    """What is still to take effect, and what was there before. With both switches at 0 there is neither."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._due: list[tuple[float, Callable[[], None]]] = []
        self._before: list[tuple[float, tuple[Given, ...]]] = []

    def put_off(self, effect: Callable[[], None], *, seconds: float) -> None:
        """Let something take effect so much later; nothing to wait for: at once."""
        if seconds > 0:
            self._due.append((self._clock.monotonic() + seconds, effect))
        else:
            effect()

    def catch_up(self) -> None:
        """Let everything take effect that is due, in the order in which it came."""
        now = self._clock.monotonic()
        while self._due and self._due[0][0] <= now:
            self._due.pop(0)[1]()

    def recall(self, given: Mapping[Given, object], *, seconds: float) -> Collection[Given]:
        """Return what was there so long ago, as far as it was seen here since; remembers what is there."""
        if seconds <= 0:
            self._before.clear()
            return given.keys()
        now, there = self._clock.monotonic(), tuple(given)
        if not self._before or self._before[-1][1] != there:
            self._before.append((now, there))
        while len(self._before) > 1 and self._before[1][0] <= now - seconds:
            self._before.pop(0)
        return self._before[0][1]
