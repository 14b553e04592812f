"""A limit on the time that each of many short pieces of work may take, for next to nothing.

A timer for every request (as the HTTP library's own total time limit, or `asyncio.timeout`) costs a seventh of what a
request costs altogether. Here one timer looks now and then at all that is under way.
"""

from __future__ import annotations

import asyncio
from types import TracebackType

_LOOKS = 10
"""So often within the limit it is looked at what is under way: work ends by a tenth of the limit too late at most."""


class TimeLimit:
    """Ends work that takes longer than ``seconds`` with TimeoutError, a tenth of it later at most."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._under_way: set[Limited] = set()
        self._timer: asyncio.TimerHandle | None = None

    def limit(self) -> Limited:
        """Return a context that holds what the current task does inside to the limit."""
        return Limited(self)

    def close(self) -> None:
        """Stop looking."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def begin(self, work: Limited, loop: asyncio.AbstractEventLoop) -> None:
        """Look after this work from now on."""
        self._under_way.add(work)
        if self._timer is None:
            self._timer = loop.call_later(self.seconds / _LOOKS, self._look, loop)

    def end(self, work: Limited) -> None:
        """Look after this work no more."""
        self._under_way.discard(work)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        begun_before = loop.time() - self.seconds
        for work in self._under_way:
            if work.since <= begun_before:
                work.stop()
        self._timer = loop.call_later(self.seconds / _LOOKS, self._look, loop) if self._under_way else None


class Limited:
    """One piece of work under a limit. As with `asyncio.timeout`, being cancelled by somebody else stays just that."""

    __slots__ = ("_asked", "_late", "_limit", "_task", "since")

    def __init__(self, limit: TimeLimit) -> None:
        self._limit = limit
        self._late = False

    def __enter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None, "only a task can be ended"
        loop = task.get_loop()
        self._task, self._asked, self.since = task, task.cancelling(), loop.time()
        self._limit.begin(self, loop)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._limit.end(self)
        if self._late and self._task.uncancel() <= self._asked and kind is asyncio.CancelledError:
            raise TimeoutError(f"not done within {self._limit.seconds:g} s") from error

    def stop(self) -> None:
        """Cancel the task, once."""
        if not self._late:
            self._late = True
            self._task.cancel()
