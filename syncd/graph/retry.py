"""The retry policy for what the HTTP door cannot retry alone: a token, the rest of a batch, an unreadable answer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import stamina

from syncd.errors import TransientError


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
