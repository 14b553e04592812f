"""The retry policy for what the HTTP door cannot retry alone: a token, the rest of a batch, an unreadable answer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

import stamina

from syncd.clock import Clock
from syncd.errors import Throttled, TransientError

T = TypeVar("T")

PATIENCE = 180.0
"""Seconds without any progress after which being refused is a failure; also the longest Retry-After waited for."""


@dataclass(slots=True)
class Progress:
    """When something was last answered by one side, whatever it was. Seconds are monotonic."""

    clock: Clock
    at: float = float("-inf")

    def note(self) -> None:
        """Note that something was answered."""
        self.at = self.clock.monotonic()

    async def wait_out(self, fetch: Callable[[], Awaitable[T]]) -> T:
        """Fetch, and again when it was refused for the tenant's budget, as long as anything moves forward.

        Raises what ``fetch`` raises, and everything that is no refusal for the budget. Without any answer in between it
        is repeated once, and only after a Retry-After that was obeyed.
        """
        began, spare = self.clock.monotonic(), True
        while True:
            before = self.at
            try:
                return await fetch()
            except Throttled as error:
                moved = self.at > before
                late = self.clock.monotonic() - max(self.at, began) >= PATIENCE
                obeyed = error.retry_after is not None and error.retry_after <= PATIENCE
                if late or not (obeyed or (moved and error.status == 429)) or not (moved or spare):
                    raise
                spare = moved


def repeat_while(
    is_passing: Callable[[Exception], bool], *, attempts: int = 4, patience: float = 120.0
) -> AsyncIterator[stamina.Attempt]:
    """Return attempts for ``async for attempt in …: with attempt: …`` as long as the error may pass.

    A named Retry-After wins over the jittered backoff; one longer than ``patience`` (seconds, also the bound for all
    waiting together) is not waited for.
    """

    def decide(error: Exception) -> bool | float:
        wait = error.retry_after if isinstance(error, TransientError) else None
        if not is_passing(error) or wait is None:
            return is_passing(error)
        return wait if wait <= patience else False

    return stamina.retry_context(
        on=decide, attempts=attempts, timeout=patience, wait_initial=0.4, wait_max=20.0, wait_jitter=0.4
    ).__aiter__()


def is_transient(error: Exception) -> bool:
    """Whether the error may pass by itself."""
    return isinstance(error, TransientError)
