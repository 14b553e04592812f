"""A work queue between the loader and the senders: no sender idles while work waits, and work does not pile up."""

from __future__ import annotations

import asyncio

from syncd.model.change import Change, Phase, PlannedChange
from syncd.sync.apply.work_queue import Call, WorkQueue


def make_call(number: int) -> Call:
    """Return a call that can be told from others."""
    change = Change(phase=Phase.USERS, action="create", object="user", bps_id=f"u{number}@x.com")
    return Call([(PlannedChange(run_id=1, seq=number, change=change), number, None)])


async def take(calls: WorkQueue, found: list[int], *, pause: asyncio.Event) -> None:
    """Take calls until there are no more, each held until ``pause`` is set."""
    while (call := await calls.get()) is not None:
        assert isinstance(call, Call)
        found.append(call.placed[0][1])
        await pause.wait()


async def test_a_few_calls_keep_every_worker_busy() -> None:
    """Also when all of them came in one go, and fewer than are handed on together."""
    calls, found, pause = WorkQueue(), list[int](), asyncio.Event()
    workers = [asyncio.create_task(take(calls, found, pause=pause)) for _ in range(4)]
    await asyncio.sleep(0)
    for number in range(10):
        await calls.put(make_call(number))
    await calls.end()
    for _ in range(5):
        await asyncio.sleep(0)
    assert found == [0, 1, 2, 3]
    pause.set()
    await asyncio.gather(*workers)
    assert sorted(found) == list(range(10))


async def test_no_more_than_some_hundred_calls_wait() -> None:
    """Whoever loads waits for those who send, and goes on with them; every call is sent once, in order."""
    calls, found, pause = WorkQueue(), list[int](), asyncio.Event()

    async def load() -> None:
        for number in range(1000):
            await calls.put(make_call(number))
        await calls.end()

    loading = asyncio.create_task(load())
    for _ in range(50):
        await asyncio.sleep(0)
    assert not loading.done()
    waiting = len(calls.take_rest())
    assert waiting < 300
    pause.set()
    await asyncio.gather(loading, *(take(calls, found, pause=pause) for _ in range(3)))
    assert found == list(range(1000))
    assert calls.take_rest() == []


async def test_what_nobody_took_is_handed_back() -> None:
    """When the workers end early, as in a stop."""
    calls = WorkQueue()
    for number in range(70):
        await calls.put(make_call(number))
    first = await calls.get()
    assert isinstance(first, Call)
    assert [call.placed[0][1] for call in (first, *calls.take_rest())] == list(range(70))
