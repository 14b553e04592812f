"""How often somebody may try to sign in."""

from __future__ import annotations

from collections import OrderedDict, deque

from syncd.clock import Clock

_ADDRESSES = 2000


class Limiter:
    """Counts attempts within a span of time: of one address, and of all together."""

    def __init__(self, clock: Clock, *, each: int, together: int, seconds: float) -> None:
        self._clock = clock
        self._each = each
        self._seconds = seconds
        self._seen: OrderedDict[str, deque[float]] = OrderedDict()
        self._all: deque[float] = deque(maxlen=together)

    def admit(self, address: str) -> bool:
        """Count an attempt; return False, and do not count it, when there were too many lately."""
        now = self._clock.monotonic()
        own = self._seen.setdefault(address, deque(maxlen=self._each))
        self._seen.move_to_end(address)
        while len(self._seen) > _ADDRESSES:
            self._seen.popitem(last=False)
        for attempts in (own, self._all):
            if len(attempts) == attempts.maxlen and now - attempts[0] < self._seconds:
                return False
        own.append(now)
        self._all.append(now)
        return True
