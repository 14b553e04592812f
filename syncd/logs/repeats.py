"""At most so many lines of one event in one run; the line that ends the run counts the rest.

Whatever a tenant or a portal does a thousand times, the log stays one that a person can read. Most events are gathered
where they arise; this holds for all of them.
"""

from __future__ import annotations

import threading
from collections import Counter

import structlog
from structlog.typing import EventDict, WrappedLogger

MOST_LINES = 50
_MOST_NAMES = 1000


class LimitRepeats:
    """Drops lines of an event, or of a library, beyond `MOST_LINES` in a run. At debug level all of them come."""

    def __init__(self) -> None:
        self._run: object = None
        self._seen: Counter[str] = Counter()
        self._lock = threading.Lock()

    def __call__(self, logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
        """Let the line pass, or raise DropEvent; the last line of a run has ``not_logged`` where something was."""
        del logger
        run = event.get("run")
        if run is None or method == "debug":
            return event
        name = str(event.get("logger") or event.get("event"))
        with self._lock:
            if run != self._run:
                self._run, self._seen = run, Counter()
            if name == "run.finished":
                left = {each: number - MOST_LINES for each, number in self._seen.items() if number > MOST_LINES}
                self._run = None
                return {**event, "not_logged": left} if left else event
            if name in self._seen or len(self._seen) < _MOST_NAMES:
                self._seen[name] += 1
            if self._seen[name] > MOST_LINES:
                raise structlog.DropEvent
        return event
