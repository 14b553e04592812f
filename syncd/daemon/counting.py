"""A number of the store that costs more to count the larger the company is: not counted anew with each scrape."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from syncd.clock import Clock
from syncd.store.db.database import Database

T = TypeVar("T")
_AGAIN_SECONDS = 300.0
"""For so long nothing is counted again, as long as no run ends."""


class Counting(Generic[T]):
    """Counts when a run has ended or some minutes have gone by, and remembers the answer in between.

    ``nothing``: the answer before anything was counted, and while counting fails. ``rest``: seconds for which it is not
    tried again after it failed.
    """

    def __init__(self, clock: Clock, nothing: T, *, rest: float = 0.0) -> None:
        self._clock = clock
        self._nothing = self._answer = nothing
        self._rest = rest
        self._question: Callable[[Database], T] | None = None
        self._known: object = None
        self._since = 0.0
        self._not_before = 0.0

    def ask_by(self, question: Callable[[Database], T]) -> None:
        """Note what counts."""
        self._question = question

    async def load(self, ask: Callable[[Callable[[Database], T]], Awaitable[T]], *, ended: int) -> T:
        """Return the number, asked by ``ask`` where it must be counted anew; ``ended``: how many runs have ended.

        Raises what ``ask`` raises; what failed is not asked again with the next scrape.
        """
        now, known = self._clock.monotonic(), (ended, self._question)
        if now >= self._not_before and (known != self._known or now - self._since > _AGAIN_SECONDS):
            self._known, self._since, self._answer = known, now, self._nothing
            if self._question is not None:
                self._not_before = now + self._rest
                self._answer = await ask(self._question)
                self._not_before = 0.0
        return self._answer
