"""The limit on the time of each request, with one timer for all of them."""

from __future__ import annotations

import asyncio

import pytest

from syncd.time_limit import TimeLimit

pytestmark = pytest.mark.looptime


async def rest(limit: TimeLimit, seconds: float) -> float:
    """Sleep under the limit; return when (the loop's time) it was over."""
    with limit.limit():
        await asyncio.sleep(seconds)
    return asyncio.get_running_loop().time()


async def test_what_takes_too_long_is_ended_and_nothing_else() -> None:
    """Each piece of work has its own time, and its end comes by a tenth of the limit too late at most."""
    limit, loop = TimeLimit(10), asyncio.get_running_loop()
    begun = loop.time()
    slow = asyncio.create_task(rest(limit, 30))
    await asyncio.sleep(7)
    quick, late = asyncio.create_task(rest(limit, 9.9)), asyncio.create_task(rest(limit, 30))
    with pytest.raises(TimeoutError, match="not done within 10 s"):
        await slow
    assert 10 <= loop.time() - begun <= 11
    assert await quick - begun == pytest.approx(16.9, abs=0.01)
    with pytest.raises(TimeoutError):
        await late
    assert 17 <= loop.time() - begun <= 18


async def test_the_next_work_of_a_task_has_a_time_of_its_own() -> None:
    """A worker sends one request after another, and goes on after one that was ended."""
    limit = TimeLimit(10)
    for _ in range(5):
        await rest(limit, 8)
    with pytest.raises(TimeoutError):
        await rest(limit, 12)
    await rest(limit, 8)
    task = asyncio.current_task()
    assert task is not None
    assert not task.cancelling()


@pytest.mark.parametrize("after", [5.0, 9.999])
async def test_being_cancelled_by_somebody_else_is_no_time_out(after: float) -> None:
    """A stop of the whole run reaches the task as what it is, however near the limit is."""
    limit = TimeLimit(10)
    task = asyncio.create_task(rest(limit, 30))
    await asyncio.sleep(after)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelled()


async def test_a_stop_while_the_limit_ends_the_work_is_a_stop() -> None:
    """When both ask, nobody may go on as after a mere time-out."""
    limit = TimeLimit(10)

    async def linger() -> None:
        with limit.limit():
            try:
                await asyncio.sleep(30)
            finally:
                await asyncio.sleep(5)  # as a connection that is being closed

    task = asyncio.create_task(linger())
    await asyncio.sleep(12)
    assert task.cancelling() == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelled()


async def test_an_error_of_the_work_stays_what_it_is() -> None:
    """The limit has nothing to say about work that fails by itself."""
    limit = TimeLimit(10)
    with pytest.raises(ValueError, match="mine"), limit.limit():
        raise ValueError("mine")


async def test_nothing_is_left_to_look_at() -> None:
    """The timer ends soon after the last work, or at once when the limit is closed."""
    limit, loop = TimeLimit(10), asyncio.get_running_loop()
    await rest(limit, 0.5)
    await asyncio.sleep(1)
    assert limit._timer is None
    await rest(limit, 0.5)
    assert limit._timer is not None
    limit.close()
    assert limit._timer is None
    begun = loop.time()
    with pytest.raises(TimeoutError):
        await rest(limit, 30)  # looks again when there is something to look at
    assert loop.time() - begun <= 11
