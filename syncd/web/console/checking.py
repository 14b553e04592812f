"""The page of checks: the last result of what ``syncd check`` tries, and a new one when an approver asks for it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog

from syncd.errors import SyncdError
from syncd.logs.redaction import redact_text
from syncd.web.console.desk import Checked, Desk
from syncd.web.console.pages.exports import export
from syncd.web.console.view import Page, View

CHECKS_PATH = "/checks"
HEADINGS = ("check", "status", "detail", "remedy")
_NOT_BEFORE = 30.0
"""Seconds between two rounds: each asks both sides some twenty times."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Round:
    at: datetime
    checks: Sequence[Checked] = ()
    problem: str = ""


class Checking:
    """Keeps the last round; one at a time, in the background, and forgotten when the daemon ends."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._last: _Round | None = None
        self._task: asyncio.Task[None] | None = None
        self._not_before = float("-inf")

    def begin(self) -> None:
        """Begin a round, unless one goes on or has just ended."""
        now = self._desk.clock.monotonic()
        if (self._task is None or self._task.done()) and now >= self._not_before:
            self._not_before = now + _NOT_BEFORE
            self._task = asyncio.create_task(self._run(), name="console checks")

    async def close(self) -> None:
        """End what goes on."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        started = self._desk.vitals.now()
        try:
            found = await self._desk.run_checks(self._desk.settings(), self._desk.clock)
            self._last = _Round(at=started, checks=found)
        except SyncdError as error:
            structlog.get_logger("syncd.console").warning("console.checks_failed", error=redact_text(str(error)))
            self._last = _Round(at=started, problem=str(error))

    def show(self, view: View) -> Page:
        """Return the page."""
        found = () if self._last is None else self._last.checks
        rows = ((each.check, each.status, each.detail, each.remedy) for each in found)
        if page := export(view, "checks", HEADINGS, rows):
            return page
        return view.render(
            "checks.html",
            title=view.texts("checks.title"),
            last=self._last,
            going_on=self._task is not None and not self._task.done(),
            decides=view.decides,
        )
