"""Signals, as the operator's hand on a running daemon.

=========  ==================================================================
SIGUSR1    a full run now
SIGUSR2    a delta run now
SIGHUP     read the configuration again
SIGTERM    stop gracefully; SIGINT the same; a second one of them: leave at once
=========  ==================================================================

The handlers are Python's own and not the event loop's, so that the second SIGTERM works even when the loop is stuck.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from syncd.model.run import PullKind

_REQUESTS: dict[int, PullKind] = {signal.SIGUSR1: "full", signal.SIGUSR2: "delta"}
_STOPS = frozenset({signal.SIGTERM, signal.SIGINT})


def leave_at_once(code: int) -> None:
    """End the process without cleaning up; what the log has buffered is written first, where that is possible.

    It is called from a signal handler, perhaps in the middle of a write to the same stream, which then refuses to be
    flushed; and nobody may read the log any more. Nothing of that may keep the process.
    """
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()
    os._exit(code)


class Signals:
    """Turns signals into calls on the event loop. ``leave`` is called at once, with the exit code."""

    def __init__(
        self,
        *,
        request: Callable[[PullKind], None],
        reload: Callable[[], None],
        stop: Callable[[str], None],
        leave: Callable[[int], None] = leave_at_once,
    ) -> None:
        self._request = request
        self._reload = reload
        self._stop = stop
        self._leave = leave
        self._stopping = False

    @contextmanager
    def receiving(self, loop: asyncio.AbstractEventLoop) -> Iterator[None]:
        """Receive signals for the loop that runs in the main thread; afterwards they mean what they meant before.

        Those that came before and were held back come now.
        """

        def receive(number: int, _frame: FrameType | None) -> None:
            self.receive(number, loop)

        wanted = (*_REQUESTS, *_STOPS, signal.SIGHUP)
        before = {number: signal.signal(number, receive) for number in wanted}
        signal.pthread_sigmask(signal.SIG_UNBLOCK, wanted)
        try:
            yield
        finally:
            for number, meaning in before.items():
                signal.signal(number, meaning)

    def receive(self, number: int, loop: asyncio.AbstractEventLoop) -> None:
        """Do what a signal asks for."""
        if number in _REQUESTS:
            loop.call_soon_threadsafe(self._request, _REQUESTS[number])
        elif number == signal.SIGHUP:
            loop.call_soon_threadsafe(self._reload)
        elif self._stopping:
            self._leave(128 + number)
        else:
            self._stopping = True
            loop.call_soon_threadsafe(self._stop, signal.Signals(number).name)
