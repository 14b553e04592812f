"""The daemon's messages to the hook: they wait in a short line of their own, so that no run waits for a hook."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import structlog

from syncd.errors import SyncdError
from syncd.model.run import RunRecord
from syncd.store.db.database import Database
from syncd.store.store import Store
from syncd.sync.notify import Hook, Notifications

if TYPE_CHECKING:
    from syncd.daemon.shared import DaemonContext

_WAITING = 32
_SECONDS = 30.0
"""What one item may take; after that it is dropped, and the next run tells what still is news."""

Item = RunRecord | Exception | Mapping[str, datetime]


@dataclass(frozen=True, slots=True)
class _Counted:
    """A hook that counts what it took."""

    hook: Hook
    total: Counter[str]

    async def post(self, document: Mapping[str, object]) -> None:
        """Post a document, and count it."""
        await self.hook.post(document)
        self.total["sent"] += 1


class Notifier:
    """What has happened and was not told yet. When more happens than can be told, the oldest is forgotten."""

    def __init__(self) -> None:
        self._items: asyncio.Queue[Item] = asyncio.Queue(_WAITING)
        self._database: Database | None = None
        self._log = structlog.get_logger("syncd.notify")

    def attach(self, database: Database) -> None:
        """Note in which store it stands what was told."""
        self._database = database

    def report(self, item: Item) -> None:
        """Hand over a closed run, what kept a run from being recorded, or credentials that end soon."""
        if self._items.full():
            self._items.get_nowait()
        self._items.put_nowait(item)

    async def work(self, context: DaemonContext) -> None:
        """Tell one item after the other, by the settings then in force."""
        notifications = Notifications(context.clock)
        while True:
            item = await self._items.get()
            try:
                async with (
                    asyncio.timeout(_SECONDS),
                    context.composition.open_hook(context.settings, context.clock) as hook,
                ):
                    if hook is not None:
                        await self._tell(notifications, _Counted(hook, context.state.messages_total), item)
            except (TimeoutError, SyncdError) as error:
                context.state.messages_total["failed"] += 1
                self._log.warning("notify.failed", error=str(error) or "the hook took too long")

    async def _tell(self, notifications: Notifications, hook: Hook, item: Item) -> None:
        if isinstance(item, Exception):
            await notifications.notify_unrecorded(hook, item)
        elif self._database is not None:
            store = Store(self._database)
            if isinstance(item, RunRecord):
                await notifications.notify_run(hook, store, item)
            else:
                await notifications.notify_expiring(hook, store, item)
