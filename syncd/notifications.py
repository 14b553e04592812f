"""Messages over the channels of the settings: opening and trying them, and telling how a run of this process ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from typing import TYPE_CHECKING

import structlog

from syncd.clock import Clock
from syncd.config import Missing, Settings
from syncd.errors import SyncdError
from syncd.model.run import RunRecord
from syncd.plan.report.console_links import find_page
from syncd.plan.report.mail import make_letter
from syncd.plan.report.notifications import Notification
from syncd.store.db.database import Database
from syncd.store.store import Store
from syncd.sync.notify import Channel, ChannelName, Notifications, Outlet, tell_in_time
from syncd.tasks import task_group
from syncd.webhook import HookOptions, WebHook

if TYPE_CHECKING:
    from syncd.mail import Mailer


class HookChannel:
    """The hook as a channel: a message is one document. ``console``: where it is reached, None where there is none."""

    def __init__(self, hook: WebHook, *, console: str | None = None) -> None:
        self._hook = hook
        self._console = console

    async def deliver(self, news: Notification, *, at: datetime) -> None:
        """Post one message; RemoteError when the hook does not take it."""
        link = {"console": find_page(news, self._console)} if self._console else {}
        await self._hook.post({"text": news.text, "event": news.event, "at": at.isoformat(), **news.fields, **link})


class MailChannel:
    """Mail as a channel: a message is one letter. ``console``: where it is reached, None where there is none."""

    def __init__(self, mailer: Mailer, *, portal: str, console: str | None) -> None:
        self._mailer = mailer
        self._portal = portal
        self._console = console
        self._log = structlog.get_logger("syncd.notify")

    async def deliver(self, news: Notification, *, at: datetime) -> None:
        """Send one letter; RemoteError when the server does not take it."""
        console = find_page(news, self._console) if self._console else None
        letter = make_letter(news, portal=self._portal, at=at, console=console)
        receipt = await self._mailer.send(letter, at=at)
        if receipt.refused:
            self._log.warning(
                "notify.partly_refused",
                channel="mail",
                news=news.event,
                refused=sum(receipt.refused.values()),
                answers={str(code): number for code, number in sorted(receipt.refused.items())},
            )
        if receipt.unclear:
            self._log.warning("notify.unclear", channel="mail", news=news.event)


def list_outlets(settings: Settings, clock: Clock) -> list[Outlet]:
    """Return the ways that messages go by these settings; none when nothing is named. Nothing is opened yet."""
    found, events = list[Outlet](), frozenset(settings.notify.events)
    if settings.notify.webhook_url is not None:
        found.append(Outlet(name="webhook", events=events, open=lambda: _open_hook(settings, clock)))
    if settings.notify.smtp_url is not None:
        found.append(Outlet(name="mail", events=events, open=lambda: _open_mail(settings, clock)))
    return found


@asynccontextmanager
async def _open_hook(settings: Settings, clock: Clock) -> AsyncIterator[HookChannel]:
    async with _make_hook(settings, clock) as hook:
        yield HookChannel(hook, console=_find_console(settings))


@asynccontextmanager
async def _open_mail(settings: Settings, clock: Clock) -> AsyncIterator[MailChannel]:
    # No connection is kept between two mails, which are rare.
    yield MailChannel(_make_mailer(settings, clock), portal=_find_portal(settings), console=_find_console(settings))


def _make_hook(settings: Settings, clock: Clock) -> WebHook:
    url = settings.notify.webhook_url
    assert url is not None
    return WebHook(HookOptions(url.reveal, _find_portal(settings)), clock)


def _make_mailer(settings: Settings, clock: Clock) -> Mailer:
    from syncd.mail import Mailer, MailOptions  # late: few send mail, and its library is not small

    notify = settings.notify
    assert notify.smtp_url is not None
    name = notify.smtp_url.name_key("notify.smtp_url")
    return Mailer(MailOptions(notify.smtp_url.reveal, notify.mail_from or "", notify.mail_to, name), clock)


def _find_portal(settings: Settings) -> str:
    return "" if isinstance(settings.bps_side, Missing) else settings.bps_side.portal_url.partition("://")[2]


def _find_console(settings: Settings) -> str | None:
    return settings.web.external_url if settings.web.listen is not None else None


async def probe_channels(settings: Settings, clock: Clock) -> dict[ChannelName, str]:
    """Try each channel without a message, since that would alarm somebody; return the problems, "" for none."""
    found: dict[ChannelName, str] = {}
    for outlet in list_outlets(settings, clock):
        try:
            if outlet.name == "webhook":
                async with _make_hook(settings, clock) as hook:
                    await hook.probe()
            else:
                await _make_mailer(settings, clock).probe()
        except SyncdError as error:
            found[outlet.name] = str(error)
        else:
            found[outlet.name] = ""
    return found


async def notify_about_end(
    settings: Settings,
    database: Database,
    clock: Clock,
    record: RunRecord,
    list_expiring: Callable[[Settings, Database, datetime], Mapping[str, datetime]],
) -> None:
    """Tell how a run of this process ended, if that is news; bounded in time, and raises nothing of ours."""
    outlets = list_outlets(settings, clock)
    if not outlets:
        return
    try:
        expiring = await asyncio.to_thread(list_expiring, settings, database, clock.now())
    except SyncdError:
        expiring = {}  # the store fails; what is told of the run says so

    async def tell(outlet: Outlet) -> None:
        notifications, told = Notifications(clock, outlet.name, outlet.events), Store(database)

        async def tell_all(channel: Channel) -> None:
            await notifications.notify_run(channel, told, record)
            await notifications.notify_expiring(channel, told, expiring)

        await tell_in_time(outlet, tell_all)

    async with task_group() as group:
        for outlet in outlets:
            group.create_task(tell(outlet), name=f"tell {outlet.name}")
