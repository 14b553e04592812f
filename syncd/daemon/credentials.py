"""Tells once a day, in the log and as a message, which credential will end soon: while there is time to replace it."""

from __future__ import annotations

import asyncio

import structlog

from syncd.daemon.shared import DaemonContext
from syncd.errors import StoreError

_DAY_SECONDS = 86_400.0


async def watch_credentials(context: DaemonContext) -> None:
    """Look once the store is there, then daily and whenever something may have changed, by the settings then in force.

    The log has a line a day for each, and another one when its end is another one; ``days_left`` is negative after it.
    """
    log = structlog.get_logger("syncd.daemon")
    logged: dict[str, tuple[str, str]] = {}
    while True:
        context.credentials_due.clear()
        now, database = context.clock.now(), context.notifier.database
        if database is not None:
            try:
                expiring = await asyncio.to_thread(context.composition.list_expiring, context.settings, database, now)
            except StoreError as error:
                log.debug("credential.unknown", error=str(error))  # what needs the store says so itself
                expiring = context.state.credentials
            context.state.credentials = expiring
            for setting, expires_at in sorted(expiring.items()):
                told = (now.date().isoformat(), expires_at.isoformat())
                if logged.get(setting) == told:
                    continue
                logged[setting] = told
                log.warning(
                    "credential.expiring",
                    setting=setting,
                    expires_at=expires_at.isoformat(),
                    days_left=(expires_at - now).days,
                )
            if expiring:
                context.notifier.report(expiring)
        await _rest(context)


async def _rest(context: DaemonContext) -> None:
    """Wait for a day, or until something may have changed."""
    waits = [
        asyncio.create_task(context.clock.sleep(_DAY_SECONDS), name="a day"),
        asyncio.create_task(context.credentials_due.wait(), name="credentials due"),
    ]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for each in waits:
            each.cancel()
        await asyncio.wait(waits)
