"""How many requests a side bears at once: found out by how long its answers take, and given back when they take longer.

The limit goes up by little and down by much (additive increase, multiplicative decrease: Chiu and Jain 1989), and
what it goes by is delay, as in TCP Vegas (Brakmo and Peterson 1995) and in the gradient limits of Netflix's
concurrency-limits: the time of an answer beside the time that the same kind of request takes when we hardly ask
anything. A side with a fixed number of workers answers as fast as ever until all of them are busy; then each further
request only makes everybody wait, its own users among them.

=====================================================  ==========================================================
what a window of answers shows                         the limit
=====================================================  ==========================================================
hardly longer than alone, and all places were taken    doubles until it has gone down once, then rises by its root
longer, within `_BEARABLE`                             stays
longer than that                                       falls by the same factor, to a quarter at most
refused for being too many (429, 503), or no answer    halves at once
as above, though we send one at a time                 stays at one, and that is what alone takes from now on
=====================================================  ==========================================================

Every few seconds one window is sent at half the limit, to learn anew what an answer takes when nobody waits because of
us: a side that has become slower for everybody is not asked less for ever.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import AsyncGenerator, Callable, Hashable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from statistics import fmean, stdev

from syncd.clock import Clock
from syncd.errors import RemoteError

MOST_REQUESTS = 32
"""So many requests are under way at most where a side decides by how it answers."""
_TOO_MANY = frozenset({429, 502, 503, 504})

_EASY, _BEARABLE, _AIM, _ALARMING = math.log(1.2), math.log(1.5), math.log(1.3), math.log(4)
"""Answer times beside those alone, as logarithms: below the first there is room, above the second there is none."""
_SLACK = 0.005
"""Seconds. Less than this is nobody's delay: without it, the noise of answers within a millisecond would decide."""
_FEWEST, _ENOUGH = 8, 64
"""So many answers at least, and so many at most, until a window tells: those that vary much tell later."""
_FIRST = 4
"""So few, one after the other, before anything is known at all."""
_LONGEST_WINDOW = 2.0
_BETWEEN_PROBES, _WINDOWS_BETWEEN = 5.0, 10
"""So many seconds and so many windows at least between two that are sent at half the limit."""
_PAUSE, _LONGEST_PAUSE = 0.5, 16.0
"""Seconds before the limit is tried again that has just been too much; doubled each time that it is."""
_STUBBORN = 3
"""After so many windows with one request at a time, what they show is what an answer takes."""
_MEMORY = 32
"""What an answer takes alone is the mean of about so many of them."""


@dataclass(slots=True)
class _Alone:
    """What an answer of one kind takes when nobody waits because of us: a mean of logarithms, and its weight."""

    mean: float
    weight: float

    def add(self, found: Sequence[float]) -> None:
        known = min(self.weight, _MEMORY)
        self.weight = known + len(found)
        self.mean = (self.mean * known + sum(found)) / self.weight


class ConcurrencyLimit:
    """The rule alone: told of each request's begin and end, it says how many may be under way. Times in seconds."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._limit = 1.0
        self._alone: dict[Hashable, _Alone] = {}
        self._window: list[tuple[Hashable, float]] = []
        self._opened = self._latest = self._changed = float("-inf")
        self._probed = math.nan
        self._saturated = self._probing = self._shrunk = False
        self._at_one = self._windows = 0
        self._pause, self._not_before, self._failed_at = _PAUSE, float("-inf"), math.inf
        self._before_probe = 1.0
        self._ratio = 0.0
        self._fell = False

    @property
    def limit(self) -> int:
        """How many may be under way now: 1 to ``most``."""
        return max(1, min(self.most, int(self._limit)))

    def note_waiting(self) -> None:
        """Note that a request had to wait: there is something to be had from a higher limit."""
        self._saturated = True

    def note_answer(self, kind: Hashable, *, begun: float, ended: float) -> None:
        """Note an answer of the side's own, whatever it says."""
        if begun < self._changed and not self._is_alarming(kind, begun, ended):
            return  # it shared the side with as many as there were before
        if not self._window or begun - self._latest > _LONGEST_WINDOW:  # nothing was asked for a while
            self._window, self._opened = [], begun
            if math.isnan(self._probed):
                self._probed = begun
        self._latest = ended
        self._window.append((kind, math.log(ended - begun + _SLACK)))
        number, late = len(self._window), ended - self._opened >= _LONGEST_WINDOW
        if late or (number >= (_FEWEST if self._alone else _FIRST) and number >= self.limit and number % 4 == 0):
            self._judge(ended, final=late or number >= max(_ENOUGH, self.limit * 2))

    def _is_alarming(self, kind: Hashable, begun: float, ended: float) -> bool:
        """Whether an answer took so long that the number of requests when it began is not why."""
        known = self._alone.get(kind)
        if known is None or (self._fell and ended - self._changed < _LONGEST_WINDOW / 2):
            return False
        return math.log(ended - begun + _SLACK) - known.mean > _ALARMING

    def note_refusal(self, *, begun: float, ended: float) -> None:
        """Note that the side asked for fewer requests, or did not answer. Those of one moment count once."""
        if begun < self._changed:
            return
        self._shrink(self._limit / 2, ended)

    def _judge(self, now: float, *, final: bool) -> None:
        """Move the limit by what the window shows, or leave the window open while it does not tell yet."""
        self._meet_kinds()
        logs = [seconds - self._alone[kind].mean for kind, seconds in self._window if kind in self._alone]
        ratio = fmean(logs) if logs else 0.0
        doubt = (stdev(logs) if len(logs) > 1 else 1.0) / math.sqrt(len(logs) or 1)
        told = ratio - 2 * doubt > _BEARABLE or ratio + doubt < _EASY
        if not logs or (not told and not (final and len(logs) >= _FIRST)):
            return
        window, self._window, self._ratio = self._window, [], max(0.0, ratio)
        saturated, self._saturated = self._saturated, False
        self._at_one = self._at_one + 1 if self.limit == 1 else 0
        alone = self._probing or (self.limit == 1 and (ratio <= _BEARABLE or self._at_one > _STUBBORN))
        self._learn(window, alone=alone, faster=ratio + 2 * doubt < -_BEARABLE)
        self._windows += 1
        if self._probing:
            self._probing = False
            self._set(self._before_probe, now)
        else:
            self._move(ratio, now, saturated=saturated)

    def _meet_kinds(self) -> None:
        """Take for new kinds what their answers would have taken alone: as much less as those of the others."""
        for kind, logs in _sort(self._window).items():
            if kind not in self._alone and len(logs) >= _FIRST:
                self._alone[kind] = _Alone(fmean(logs) - (self._ratio if self.limit > 1 else 0.0), len(logs))

    def _learn(self, window: Sequence[tuple[Hashable, float]], *, alone: bool, faster: bool) -> None:
        """Take over what the answers of this window took ``alone``, or that the side has become ``faster``."""
        for kind, logs in _sort(window).items():
            if kind not in self._alone:
                continue
            if faster:  # the side has become faster: what was known is of another time
                self._alone[kind] = _Alone(fmean(logs), len(logs))
            elif alone:
                self._alone[kind].add(logs)

    def _move(self, ratio: float, now: float, *, saturated: bool) -> None:
        if ratio > _BEARABLE:
            if self.limit > 1:
                self._shrink(max(self._limit / 4, min(self._limit - 1, self._limit * math.exp(_AIM - ratio))), now)
        elif self.limit > 1 and self._windows >= _WINDOWS_BETWEEN and now - self._probed >= _BETWEEN_PROBES:
            self._windows, self._probed, self._probing, self._before_probe = 0, now, True, self._limit
            self._set(self._limit / 2, now)
        elif ratio < _EASY and saturated and self._limit < self.most:
            higher = self._limit * 2 if not self._shrunk else self._limit + max(1.0, math.sqrt(self._limit) / 2)
            if higher < self._failed_at or now >= self._not_before:
                if self._limit >= self._failed_at:
                    self._pause, self._failed_at = _PAUSE, math.inf
                self._set(min(higher, float(self.most)), now)

    def _shrink(self, limit: float, now: float) -> None:
        self._failed_at, self._not_before = self._limit, now + self._pause
        self._pause = min(_LONGEST_PAUSE, self._pause * 2)
        self._shrunk, self._probing = True, False
        self._set(limit, now)

    def _set(self, limit: float, now: float) -> None:
        self._fell = limit < self._limit
        self._limit = max(1.0, limit)
        self._changed, self._window, self._saturated = now, [], False


def _sort(window: Sequence[tuple[Hashable, float]]) -> dict[Hashable, list[float]]:
    found: dict[Hashable, list[float]] = {}
    for kind, seconds in window:
        found.setdefault(kind, []).append(seconds)
    return found


class Admission:
    """Lets requests to one side begin, in their order, as long as its limit allows. For one event loop."""

    def __init__(self, limit: ConcurrencyLimit) -> None:
        self._limit = limit
        self._under_way = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @asynccontextmanager
    async def place(self, kind: Hashable, clock: Clock) -> AsyncGenerator[Callable[[int], None]]:
        """Hold a place while one request of that kind is under way; call what is yielded with the status of its answer.

        Left without a status, the request counts as not answered; cancelled, or refused by ourselves, as not asked.
        """
        await self._enter()
        begun, statuses = clock.monotonic(), list[int]()
        try:
            yield statuses.append
        except RemoteError:
            self._limit.note_refusal(begun=begun, ended=clock.monotonic())
            raise
        else:
            if statuses and statuses[-1] in _TOO_MANY:
                self._limit.note_refusal(begun=begun, ended=clock.monotonic())
            elif statuses:
                self._limit.note_answer(kind, begun=begun, ended=clock.monotonic())
        finally:
            self._under_way -= 1
            self._wake()

    async def _enter(self) -> None:
        if not self._waiting and self._under_way < self._limit.limit:
            self._under_way += 1
            return
        self._limit.note_waiting()
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn  # whoever wakes it takes the place for it
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._under_way -= 1
            self._wake()
            raise

    def _wake(self) -> None:
        while self._waiting and self._under_way < self._limit.limit:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                self._under_way += 1
