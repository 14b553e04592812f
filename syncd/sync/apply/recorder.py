"""Writing down outcomes beside the sending: many in one transaction, since each writing holds up the requests."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from syncd.clock import Clock
from syncd.errors import StoreError
from syncd.model.change import LinkOutcome, Outcome, Placed

if TYPE_CHECKING:
    from syncd.store.store import Store


Result = tuple[Placed, Outcome]

_AT_ONCE = 2048
_LINKS_LIKE_ONE = 12
"""So many links are as much to write down as one other change."""
_LINGER = 1.0
"""Seconds until an outcome is written at the latest. What a kill takes back is found out by the next run."""


class Recorder:
    """Records the outcomes of one run's phase, in a task of its own that outlives a cancelled apply.

    What waits is bounded by what is under way: the plan is loaded through the same store, some thousand changes ahead
    of the sending. When the store fails, ``give_up`` is told once, and what comes afterwards is thrown away.
    """

    def __init__(self, store: Store, clock: Clock, *, run_id: int, give_up: Callable[[StoreError], None]) -> None:
        self._store = store
        self._clock = clock
        self._run_id = run_id
        self._give_up = give_up
        self._failed = False
        self._results: list[Result] = []
        self._links: list[LinkOutcome] = []
        self._waiting = 0.0
        self._arrived = asyncio.Event()
        self._enough = asyncio.Event()
        self._ended = False
        self._task = asyncio.create_task(self._run(), name="record outcomes")

    def add(self, results: Sequence[Result]) -> None:
        """Hand over the outcomes of one call."""
        self._results += results
        self._note_arrival(len(results))

    def add_links(self, outcomes: Sequence[LinkOutcome]) -> None:
        """Hand over the outcomes of one call that links."""
        self._links += outcomes
        self._note_arrival(sum(len(outcome.links.seqs) for outcome in outcomes) / _LINKS_LIKE_ONE)

    def _note_arrival(self, weight: float) -> None:
        self._waiting += weight
        self._arrived.set()
        if self._waiting >= _AT_ONCE:
            self._enough.set()

    async def close(self) -> None:
        """Return when everything that was handed over is recorded."""
        self._ended = True
        self._arrived.set()
        self._enough.set()
        await self._task

    async def _run(self) -> None:
        while not self._ended or self._results or self._links:
            await self._arrived.wait()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LINGER):
                    await self._enough.wait()
            batch, self._results = self._results, []
            links, self._links, self._waiting = self._links, [], 0.0
            if not self._ended:
                self._arrived.clear()
                self._enough.clear()
            if self._failed:
                continue
            try:
                if batch:
                    await self._store.outcomes.record(self._run_id, batch, now=self._clock.now())
                if links:
                    await self._store.outcomes.record_links(self._run_id, links, now=self._clock.now())
            except StoreError as error:
                # Nothing can be recorded any more: whatever still comes is thrown away.
                self._failed = True
                self._give_up(error)
