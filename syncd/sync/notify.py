"""Tell what is worth telling over the channels of the settings. It comes after a run and beside it, and delays none.

What to tell is decided in `syncd.plan.report.notifications`, for each channel by what that channel took before: a mail
server that is down does not make a hook hear something twice. A message counts as told when the channel has taken it;
one that could not be delivered is tried again after the next run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal, Protocol, get_args

import structlog

from syncd.clock import Clock
from syncd.errors import RemoteError, StoreError, SyncdError
from syncd.logs.redaction import redact_text
from syncd.model.run import RunRecord
from syncd.plan.report.notifications import (
    FAILED,
    KEEPS_FAILING,
    Notification,
    notify_about_credential,
    notify_about_failing,
    notify_about_refusal,
    notify_about_run,
    notify_about_unrecorded,
)

if TYPE_CHECKING:
    from syncd.store.store import Store

ChannelName = Literal["webhook", "mail"]
CHANNELS: tuple[ChannelName, ...] = get_args(ChannelName)

_SECONDS = 60.0
"""What telling one thing may take in all; what is not told by then is told after the next run, if it still is news."""
_LONGEST = 500
"""Characters of an error that a message repeats."""


class Channel(Protocol):
    """A way that messages go, opened."""

    async def deliver(self, news: Notification, *, at: datetime) -> None:
        """Deliver one message; RemoteError when it is not taken, after a few attempts."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlet:
    """A way that messages go: its name, what it is told, and how it is opened. Opening sends nothing."""

    name: ChannelName
    events: Collection[str]
    open: Callable[[], AbstractAsyncContextManager[Channel]]


@dataclass(frozen=True, slots=True)
class Reload:
    """A configuration that was read again: what was wrong with it, nothing when it is in force."""

    problems: Sequence[str] = ()
    where: str = ""


async def tell_in_time(outlet: Outlet, tell: Callable[[Channel], Awaitable[None]]) -> bool:
    """Open a channel and tell something there; False when that failed or took too long, which is logged."""
    try:
        async with asyncio.timeout(_SECONDS), outlet.open() as channel:
            await tell(channel)
    except (TimeoutError, SyncdError) as error:
        log = structlog.get_logger("syncd.notify")
        log.warning("notify.failed", channel=outlet.name, error=str(error) or "the channel took too long")
        return False
    return True


class Notifications:
    """Decides what is news on one channel, and hands it over. Raises nothing but a cancellation."""

    def __init__(self, clock: Clock, name: ChannelName, events: Collection[str]) -> None:
        self.events = events
        self._clock = clock
        self._name = name
        self._in_trouble = False
        self._log = structlog.get_logger("syncd.notify")

    async def notify_run(self, channel: Channel, store: Store, record: RunRecord) -> None:
        """Tell how a run ended, and what keeps failing, if that is news."""
        try:
            told = FAILED if self._in_trouble else await self._load(store, "run")
            held = await store.notifications.count_held(record.id)
            since = await store.plans.load_held_since([record.id]) if held else None
            allowances = await store.plans.load_allowances(now=self._clock.now()) if held else []
            error = redact_text(record.error)[:_LONGEST]
            news, told_then = notify_about_run(record, held, told, error=error, since=since, allowances=allowances)
            if await self._deliver(channel, *news) and told_then != told:
                await self._save(store, "run", told_then)
                self._in_trouble = False
            if record.kind != "plan":
                await self._notify_failing(channel, store)
        except StoreError as error:
            self._log.warning("notify.failed", channel=self._name, news="run", error=str(error))

    async def _notify_failing(self, channel: Channel, store: Store) -> None:
        failing = await store.notifications.load_failing(KEEPS_FAILING)
        told = await self._load(store, "failing")
        news, told_then = notify_about_failing(failing, told)
        if told_then != told and (news is None or await self._deliver(channel, news)):
            await self._save(store, "failing", told_then)

    async def notify_unrecorded(self, channel: Channel, error: Exception) -> None:
        """Tell, once until a run goes through, that no run can even be recorded."""
        if not self._in_trouble:
            said = str(error) if isinstance(error, SyncdError) else f"unexpected {type(error).__name__}: {error}"
            self._in_trouble = await self._deliver(channel, notify_about_unrecorded(redact_text(said)[:_LONGEST]))

    async def notify_expiring(self, channel: Channel, store: Store, expiring: Mapping[str, datetime]) -> None:
        """Tell that credentials (by setting) end soon or have ended, at each stage once."""
        try:
            for setting, expires_at in sorted(expiring.items()):
                told = await self._load(store, setting)
                news, told_then = notify_about_credential(setting, expires_at, now=self._clock.now(), told=told)
                if news is not None and await self._deliver(channel, news):
                    await self._save(store, setting, told_then)
        except StoreError as error:
            self._log.warning("notify.failed", channel=self._name, news="expiring", error=str(error))

    async def notify_reload(self, channel: Channel, store: Store, reload: Reload) -> None:
        """Tell that a changed configuration was refused, each refusal once."""
        try:
            told = await self._load(store, "configuration")
            problems = [redact_text(problem)[:_LONGEST] for problem in reload.problems]
            news, told_then = notify_about_refusal(problems, reload.where, told)
            if told_then != told and (news is None or await self._deliver(channel, news)):
                await self._save(store, "configuration", told_then)
        except StoreError as error:
            self._log.warning("notify.failed", channel=self._name, news="refused_configuration", error=str(error))

    async def _load(self, store: Store, subject: str) -> str:
        return await store.notifications.load_last_sent(self._subject(subject))

    async def _save(self, store: Store, subject: str, told: str) -> None:
        await store.notifications.save_last_sent(self._subject(subject), told)

    def _subject(self, subject: str) -> str:
        """Return under what it stands what this channel was told; the hook was the first, and needs no name."""
        return subject if self._name == "webhook" else f"{self._name}:{subject}"

    async def _deliver(self, channel: Channel, *news: Notification) -> bool:
        """Return whether the channel took everything that it is to be told."""
        for each in news:
            if each.event not in self.events:
                continue
            try:
                await channel.deliver(each, at=self._clock.now())
            except RemoteError as error:
                self._log.warning("notify.failed", channel=self._name, news=each.event, error=str(error))
                return False
            self._log.info("notify.sent", channel=self._name, news=each.event)
        return True
