"""Tells once a day, in the log and to the hook, which credential will end soon: while there is time to replace it."""

from __future__ import annotations

import asyncio

import structlog

from syncd.daemon.shared import DaemonContext

_DAY_SECONDS = 86_400.0


async def watch_credentials(context: DaemonContext) -> None:
    """Look at the start and then daily, by the settings then in force; ``days_left`` is negative after the end."""
    log = structlog.get_logger("syncd.daemon")
    while True:
        now = context.clock.now()
        expiring = await asyncio.to_thread(context.composition.list_expiring, context.settings, now)
        context.state.credentials = expiring
        for setting, expires_at in sorted(expiring.items()):
            log.warning(
                "credential.expiring",
                setting=setting,
                expires_at=expires_at.isoformat(),
                days_left=(expires_at - now).days,
            )
        if expiring:
            context.notifier.report(expiring)
        await context.clock.sleep(_DAY_SECONDS)
