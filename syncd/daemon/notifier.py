"""The daemon's messages: they wait in a short line of their own, so that no run waits for a hook or a mail server."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import structlog

from syncd.errors import RemoteError
from syncd.model.run import RunRecord
from syncd.plan.report.notifications import Notification
from syncd.store.db.database import Database
from syncd.store.store import Store
from syncd.sync.notify import Channel, ChannelName, Notifications, Outlet, Reload, tell_in_time
from syncd.tasks import task_group

if TYPE_CHECKING:
    from syncd.daemon.shared import DaemonContext

_WAITING = 32

Item = RunRecord | Exception | Mapping[str, datetime] | Reload


@dataclass(frozen=True, slots=True)
class _Counted:
    """A channel that counts what it took and what it did not."""

    channel: Channel
    name: ChannelName
    total: Counter[tuple[str, str]]

    async def deliver(self, news: Notification, *, at: datetime) -> None:
        """Deliver a message, and count it."""
        try:
            await self.channel.deliver(news, at=at)
        except RemoteError:
            self.total[self.name, "failed"] += 1
            raise
        self.total[self.name, "sent"] += 1


class Notifier:
    """What has happened and was not told yet. When more happens than can be told, the oldest is forgotten."""

    def __init__(self) -> None:
        self.database: Database | None = None
        """The store in which it stands what was told."""
        self._items: asyncio.Queue[Item] = asyncio.Queue(_WAITING)
        self._desks: dict[ChannelName, Notifications] = {}
        self._log = structlog.get_logger("syncd.notify")

    def attach(self, database: Database) -> None:
        """Note in which store it stands what was told."""
        self.database = database

    def report(self, item: Item) -> None:
        """Hand over a closed run, what kept a run from being recorded, credentials that end soon, or a reload."""
        if self._items.full():
            self._items.get_nowait()
        self._items.put_nowait(item)

    async def work(self, context: DaemonContext) -> None:
        """Tell one item after the other over all channels at once, by the settings then in force."""
        while True:
            item = await self._items.get()
            async with task_group() as group:
                for outlet in context.composition.list_outlets(context.settings, context.clock):
                    group.create_task(self._tell(context, outlet, item), name=f"tell {outlet.name}")

    async def _tell(self, context: DaemonContext, outlet: Outlet, item: Item) -> None:
        desk = self._desks.setdefault(outlet.name, Notifications(context.clock, outlet.name, outlet.events))
        desk.events = outlet.events
        total = context.state.messages_total

        async def tell(channel: Channel) -> None:
            await self._tell_item(desk, _Counted(channel, outlet.name, total), item)

        if not await tell_in_time(outlet, tell):
            total[outlet.name, "failed"] += 1

    async def _tell_item(self, desk: Notifications, channel: Channel, item: Item) -> None:
        if isinstance(item, Exception):
            await desk.notify_unrecorded(channel, item)
        elif self.database is not None:
            store = Store(self.database)
            match item:
                case RunRecord():
                    await desk.notify_run(channel, store, item)
                case Reload():
                    await desk.notify_reload(channel, store, item)
                case _:
                    await desk.notify_expiring(channel, store, item)
