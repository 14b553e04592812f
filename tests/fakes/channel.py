"""A channel of messages that remembers what it was told."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime

from syncd.errors import RemoteError
from syncd.plan.report.mail import Letter, make_letter
from syncd.plan.report.notifications import Notification


class FakeChannel:
    """Takes messages; ``refusals`` are raised one by one first, and while ``silent`` it never answers."""

    def __init__(self) -> None:
        self.got: list[Mapping[str, object]] = []
        self.letters: list[Letter] = []
        self.refusals: list[RemoteError] = []
        self.silent = False
        self.asked = asyncio.Event()
        self._came = asyncio.Event()

    @property
    def events(self) -> list[str]:
        """Return the events that came."""
        return [str(message["event"]) for message in self.got]

    async def deliver(self, news: Notification, *, at: datetime) -> None:
        """Remember a message as a document and as a letter."""
        self.asked.set()
        if self.silent:
            await asyncio.Event().wait()
        if self.refusals:
            raise self.refusals.pop(0)
        self.got.append({"text": news.text, "event": news.event, **news.fields})
        self.letters.append(make_letter(news, portal="bps.example.com", at=at, console=None))
        self._came.set()

    async def wait(self, *events: str) -> None:
        """Wait until exactly these events have come."""
        async with asyncio.timeout(20):
            while len(self.got) < len(events):
                self._came.clear()
                await self._came.wait()
        assert self.events == list(events)
