"""What has been asked for and not yet been started: at most one request, which serves all who asked."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from syncd.model.run import RunRequest


class RequestQueue:
    """A level, not a counter: fifty requests while a run is going on are one run afterwards, and full beats delta.

    ``wake`` is called when there is something to take; the one worker takes, so that runs are single-flight.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._waiting: RunRequest | None = None
        self._owed: RunRequest | None = None
        self._log = structlog.get_logger("syncd.daemon")

    def put(self, request: RunRequest) -> None:
        """Ask for a run as soon as may be. That the schedule does so by itself is no news."""
        log = self._log.debug if request.trigger == "schedule" else self._log.info
        log("request.queued", kind=request.pull, trigger=request.trigger, coalesced=self._waiting is not None)
        self.put_back(request)

    def put_back(self, request: RunRequest) -> None:
        """Ask again for what was taken and could not be started."""
        self._waiting = _merge(self._waiting, request)
        self._wake()

    def owe(self, request: RunRequest) -> None:
        """Let the next request, whatever it is, serve this one too."""
        self._owed = _merge(self._owed, request)

    def take(self) -> RunRequest | None:
        """Return what is asked for, once; None when nothing is."""
        request, self._waiting = self._waiting, None
        if request is not None and self._owed is not None:
            request, self._owed = request.merge(self._owed), None
        return request


def _merge(earlier: RunRequest | None, request: RunRequest) -> RunRequest:
    return request if earlier is None else earlier.merge(request)
