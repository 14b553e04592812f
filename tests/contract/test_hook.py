"""Messages to a hook, over a loopback receiver; and what of a run becomes a message."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import structlog
from aiohttp import web

from syncd.clock import Clock
from syncd.errors import NotFound, ProtocolError, StoreError, Unavailable
from syncd.model.event import EVENTS
from syncd.notifications import HookChannel
from syncd.plan.report.notifications import Notification
from syncd.store.store import Store
from syncd.sync.notify import Notifications
from syncd.webhook import HookOptions, WebHook
from tests.fakes.channel import FakeChannel
from tests.fakes.rules import make_limits, make_rules
from tests.fakes.world import World


@dataclass
class Receiver:
    """Takes what is posted; ``statuses`` are given one by one, then 200."""

    statuses: list[int] = field(default_factory=list)
    got: list[dict[str, Any]] = field(default_factory=list)
    asked: int = 0
    url: str = ""

    async def answer(self, request: web.Request) -> web.Response:
        self.asked += 1
        status = self.statuses.pop(0) if self.statuses else 200
        if status == 200:
            assert request.content_type == "application/json"
            self.got.append(await request.json())
        return web.Response(status=status, headers={"Location": "/elsewhere"} if status == 302 else {}, text="ok")


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """A receiver on loopback."""
    structlog.reset_defaults()
    made = Receiver()
    app = web.Application()
    app.router.add_post("/hook/sesame", made.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    made.url = f"http://{host}:{port}/hook/sesame"
    yield made
    await runner.cleanup()


def make_hook(receiver: Receiver) -> WebHook:
    """Return the hook, to be opened."""
    return WebHook(HookOptions(lambda: receiver.url, "bps.example.com/WEBCONBPS"), Clock())


@pytest.mark.looptime
async def test_a_message_is_repeated_a_few_times_and_no_more(receiver: Receiver) -> None:
    """Two refusals are survived; a hook that stays broken gets three requests, and its secret is in no message."""
    receiver.statuses = [503, 500]
    async with make_hook(receiver) as hook:
        await hook.post({"text": "hello", "event": "failed"})
        assert receiver.got == [{"text": "hello", "event": "failed", "portal": "bps.example.com/WEBCONBPS"}]
        receiver.statuses = [500] * 9
        receiver.asked = 0
        with pytest.raises(Unavailable) as raised:
            await hook.post({"text": "hello"})
    assert receiver.asked == 3
    assert "sesame" not in str(raised.value)


async def test_a_hook_is_told_where_the_console_shows_it(receiver: Receiver) -> None:
    """As a field of its own, where there is a console."""
    news = Notification("held", subject="s", text="t", fields={"run": 7, "held": {"unlink": 3}})
    async with make_hook(receiver) as hook:
        await HookChannel(hook, console="https://syncd.example.com").deliver(news, at=Clock().now())
        await HookChannel(hook).deliver(news, at=Clock().now())
    assert receiver.got[0]["console"] == "https://syncd.example.com/held/7"
    assert "console" not in receiver.got[1]


async def test_a_refusal_and_a_redirect_are_final(receiver: Receiver) -> None:
    """Neither is repeated, and a redirect is not followed."""
    async with make_hook(receiver) as hook:
        receiver.statuses = [404]
        with pytest.raises(NotFound):
            await hook.post({"text": "hello"})
        receiver.statuses = [302]
        with pytest.raises(ProtocolError):
            await hook.post({"text": "hello"})
    assert receiver.asked == 2


async def test_a_check_connects_and_posts_nothing(receiver: Receiver) -> None:
    """Reachable is all that a check may find out."""
    async with make_hook(receiver) as hook:
        await hook.probe()
    assert receiver.asked == 0
    receiver.url = "http://127.0.0.1:1/hook"
    async with make_hook(receiver) as hook:
        with pytest.raises(Unavailable, match=r"127\.0\.0\.1:1"):
            await hook.probe()


async def test_workflows_of_teams_get_a_card_beside_the_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """They show Adaptive Cards only; everybody else gets plain fields."""
    import msgspec

    sent: list[Any] = []

    async def send(self: object, method: str, url: object, **rest: Any) -> None:
        sent.append(msgspec.json.decode(rest["body"]))

    monkeypatch.setattr("syncd.webhook.HttpClient.send", send)
    for host in ("prod-1.westeurope.logic.azure.com", "hooks.slack.com"):
        async with WebHook(HookOptions(lambda host=host: f"https://{host}/x", ""), Clock()) as hook:  # type: ignore[misc]
            await hook.post({"text": "hello", "event": "held"})
    card, plain = sent
    assert card["attachments"][0]["content"]["body"][0]["text"] == "hello"
    assert plain == {"text": "hello", "event": "held", "portal": ""}
    assert card["event"] == "held"


# ---- what becomes a message -----------------------------------------------------------------------------------------


async def found_company(world: World) -> None:
    """One person, synchronised."""
    world.source.put_user("u1", userPrincipalName="ann@x.com", displayName="Ann")
    await world.sync("full")


pytestmark = [pytest.mark.company(founded_by=found_company), pytest.mark.both_engines]


def hear() -> Notifications:
    """Return what decides about the hook, as another process has it."""
    return Notifications(Clock(), "webhook", EVENTS)


async def tell(world: World, receiver: Receiver, *runs: Any) -> list[str]:
    """Tell about runs, each as a process of its own would; return the events that came."""
    receiver.got.clear()
    for run in runs:
        async with make_hook(receiver) as hook:
            await hear().notify_run(HookChannel(hook), Store(world.database), run)
    return [message["event"] for message in receiver.got]


async def test_a_failure_is_told_once_and_its_end_once(world: World, receiver: Receiver) -> None:
    """Across processes, and without naming anybody."""

    async def fail(stream: str, link: str | None) -> Any:
        raise Unavailable("no answer about ann@x.com with secret=sesame", status=503)

    fetch, world.source.fetch_page = world.source.fetch_page, fail
    failed = [await world.sync("delta"), await world.sync("delta")]
    assert await tell(world, receiver, *failed) == ["failed"]
    assert "ann@x.com" not in str(receiver.got)
    assert "sesame" not in str(receiver.got)
    assert receiver.got[0]["run"] == failed[0].id
    world.source.fetch_page = fetch
    good = [await world.sync("delta"), await world.sync("delta")]
    assert await tell(world, receiver, *good) == ["recovered"]


async def test_what_could_not_be_delivered_is_told_after_the_next_run(world: World, receiver: Receiver) -> None:
    """A refusing hook fails nothing, and what it missed still counts as news."""
    world.rules = make_rules(limits=make_limits(max_adoptions=0))
    world.portal.add_account("ben@x.com", name="Ben", email="b@x.com")
    world.source.put_user("u2", userPrincipalName="ben@x.com", displayName="Ben")
    first, second = await world.sync("full"), await world.sync("full")
    receiver.statuses = [410]
    assert await tell(world, receiver, first) == []
    assert await tell(world, receiver, second, second) == ["held"]
    assert receiver.got[0]["held"] == {"adopt": 1}
    assert "ben@x.com" not in str(receiver.got)


async def test_what_keeps_failing_is_told_once_until_it_is_solved(world: World) -> None:
    """After three attempts in vain, by number and kind; when it begins anew it is news again."""
    channel = FakeChannel()

    async def sync_often(times: int) -> None:
        for _ in range(times):
            run = await world.sync("delta")
            await Notifications(world.clock, "mail", EVENTS).notify_run(channel, world.store, run)

    world.portal.refuse.add("ben@x.com")
    world.source.put_user("u2", userPrincipalName="ben@x.com", displayName="Ben")
    await sync_often(2)
    assert channel.events == []
    await sync_often(3)
    assert channel.events == ["failing"]
    assert channel.got[0]["failing"] == {"user": 1}
    assert "ben@x.com" not in str(channel.got) + str(channel.letters)
    world.portal.refuse.clear()
    await sync_often(1)
    assert channel.events == ["failing"]
    world.portal.refuse.add("cid@x.com")
    world.source.put_user("u3", userPrincipalName="cid@x.com", displayName="Cid")
    await sync_often(4)
    assert channel.events == ["failing", "failing"]


async def test_a_store_that_fails_is_told_and_what_comes_after_it_is_a_recovery(
    world: World, receiver: Receiver
) -> None:
    """A run that cannot be recorded is a failed run all the same."""
    notifications = hear()
    run = await world.sync("delta")
    async with make_hook(receiver) as hook:
        for _ in range(2):
            await notifications.notify_unrecorded(HookChannel(hook), StoreError("the disk is full"))
        await notifications.notify_run(HookChannel(hook), Store(world.database), run)
        await notifications.notify_run(HookChannel(hook), Store(world.database), run)
    assert [message["event"] for message in receiver.got] == ["failed", "recovered"]


async def test_a_hook_that_never_answers_holds_nobody_up(world: World, receiver: Receiver) -> None:
    """Telling can be broken off at any time, leaves no task behind, and what was not told still counts as news."""
    run = await world.sync("delta")
    silent = FakeChannel()
    silent.silent = True
    Store(world.database).notifications.save_last_sent.blocking("run", "failed")
    telling = asyncio.create_task(hear().notify_run(silent, Store(world.database), run))
    await silent.asked.wait()
    telling.cancel()
    await asyncio.wait([telling])
    assert telling.cancelled()
    assert await tell(world, receiver, run) == ["recovered"]
