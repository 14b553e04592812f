"""Messages to the hook of the settings: opening it, trying it, and telling it how a run of this process ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime

from syncd.clock import Clock
from syncd.config import Missing, Settings
from syncd.errors import SyncdError
from syncd.logs import get_logger
from syncd.model.run import RunRecord
from syncd.store.db.database import Database
from syncd.store.store import Store
from syncd.sync.notify import Notifications
from syncd.webhook import HookOptions, WebHook

_SECONDS = 30.0
"""What telling may take in all; what is not told by then is told after the next run, if it still is news."""


@asynccontextmanager
async def open_hook(settings: Settings, clock: Clock) -> AsyncIterator[WebHook | None]:
    """Open what messages go to; None when the settings name nothing. Opening sends nothing."""
    url = settings.notify.webhook_url
    if url is None:
        yield None
        return
    portal = "" if isinstance(settings.bps_side, Missing) else settings.bps_side.portal_url.partition("://")[2]
    async with WebHook(HookOptions(url.reveal, portal), clock) as hook:
        yield hook


async def probe_hook(settings: Settings, clock: Clock) -> str | None:
    """Connect and hang up, since a message would alarm somebody; return the problem, "" for none, None without hook."""
    try:
        async with open_hook(settings, clock) as hook:
            if hook is None:
                return None
            await hook.probe()
    except SyncdError as error:
        return str(error)
    return ""


async def notify_about_end(
    settings: Settings,
    database: Database,
    clock: Clock,
    record: RunRecord,
    list_expiring: Callable[[Settings, datetime], Mapping[str, datetime]],
) -> None:
    """Tell how a run of this process ended, if that is news; bounded in time, and raises nothing of ours."""
    try:
        async with asyncio.timeout(_SECONDS), open_hook(settings, clock) as hook:
            if hook is not None:
                notifications, told = Notifications(clock), Store(database)
                await notifications.notify_run(hook, told, record)
                expiring = await asyncio.to_thread(list_expiring, settings, clock.now())
                await notifications.notify_expiring(hook, told, expiring)
    except (TimeoutError, SyncdError) as error:
        get_logger("syncd.notify").warning("notify.failed", error=str(error) or "the hook took too long")
