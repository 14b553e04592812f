"""Tell a hook what is worth telling. It comes after a run and beside it: nothing here delays or fails one.

A message counts as told when the hook has taken it; one that could not be delivered is tried again after the next run.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

import structlog

from syncd.clock import Clock
from syncd.errors import RemoteError, StoreError, SyncdError
from syncd.logs.redaction import redact_text
from syncd.model.run import RunRecord
from syncd.plan.report.notifications import (
    FAILED,
    Notification,
    notify_about_credential,
    notify_about_run,
    notify_about_unrecorded,
)

if TYPE_CHECKING:
    from syncd.store.store import Store

_LONGEST = 500
"""Characters of an error that a message repeats."""


class Hook(Protocol):
    """Where messages go."""

    async def post(self, document: Mapping[str, object]) -> None:
        """Deliver one message; RemoteError when the hook does not take it, after a few attempts."""
        ...


class Notifications:
    """Decides what is news, and hands it to the hook. Raises nothing but a cancellation."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._in_trouble = False
        self._log = structlog.get_logger("syncd.notify")

    async def notify_run(self, hook: Hook, store: Store, record: RunRecord) -> None:
        """Tell how a run ended, if that is news."""
        try:
            told = FAILED if self._in_trouble else await store.notifications.load_last_sent("run")
            held = await store.notifications.count_held(record.id)
            since = await store.plans.load_held_since([record.id]) if held else None
            allowances = await store.plans.load_allowances(now=self._clock.now()) if held else []
            error = redact_text(record.error)[:_LONGEST]
            news, told_then = notify_about_run(record, held, told, error=error, since=since, allowances=allowances)
            if await self._deliver(hook, *news) and told_then != told:
                await store.notifications.save_last_sent("run", told_then)
                self._in_trouble = False
        except StoreError as error:
            self._log.warning("notify.failed", news="run", error=str(error))

    async def notify_unrecorded(self, hook: Hook, error: Exception) -> None:
        """Tell, once until a run goes through, that no run can even be recorded."""
        if not self._in_trouble:
            said = str(error) if isinstance(error, SyncdError) else f"unexpected {type(error).__name__}: {error}"
            self._in_trouble = await self._deliver(hook, notify_about_unrecorded(redact_text(said)[:_LONGEST]))

    async def notify_expiring(self, hook: Hook, store: Store, expiring: Mapping[str, datetime]) -> None:
        """Tell that credentials (by setting) end soon, at each stage once."""
        try:
            for setting, expires_at in sorted(expiring.items()):
                told = await store.notifications.load_last_sent(setting)
                news, told_then = notify_about_credential(setting, expires_at, now=self._clock.now(), told=told)
                if news is not None and await self._deliver(hook, news):
                    await store.notifications.save_last_sent(setting, told_then)
        except StoreError as error:
            self._log.warning("notify.failed", news="expiring", error=str(error))

    async def _deliver(self, hook: Hook, *news: Notification) -> bool:
        """Return whether the hook took everything."""
        for each in news:
            document = {"text": each.text, "event": each.event, "at": self._clock.now().isoformat(), **each.fields}
            try:
                await hook.post(document)
            except RemoteError as error:
                self._log.warning("notify.failed", news=each.event, error=str(error))
                return False
            self._log.info("notify.sent", news=each.event)
        return True
