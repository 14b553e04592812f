"""Tasks beside each other end together, whichever way one of them ends."""

from __future__ import annotations

import asyncio

import pytest

from syncd.errors import Interrupted, StoreError
from syncd.tasks import task_group


async def _wait_for_ever() -> None:
    await asyncio.Event().wait()


async def _fail(error: BaseException) -> None:
    await asyncio.sleep(0)
    raise error


async def _fail_beside_another(error: BaseException, others: list[asyncio.Task[None]]) -> None:
    async with asyncio.timeout(5), task_group() as group:
        others.append(group.create_task(_wait_for_ever(), name="wait"))
        group.create_task(_fail(error), name="load")


async def test_a_failure_ends_the_others_and_is_raised_as_it_is() -> None:
    """No caller has to take a group of errors apart."""
    others: list[asyncio.Task[None]] = []
    with pytest.raises(StoreError, match="no room"):
        await _fail_beside_another(StoreError("no room"), others)
    assert others[0].cancelled()


async def test_work_that_breaks_off_from_within_ends_the_others() -> None:
    """A cancellation that nobody asked for (a closed executor, say) must not leave the others waiting in silence."""
    others: list[asyncio.Task[None]] = []
    with pytest.raises(Interrupted, match="'load' was cancelled"):
        await _fail_beside_another(asyncio.CancelledError(), others)
    assert others[0].cancelled()


async def test_being_cancelled_stays_a_cancellation() -> None:
    """Whoever cancels the whole gets what was asked for."""

    async def work() -> None:
        async with task_group() as group:
            group.create_task(_wait_for_ever(), name="wait")

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_single_task_may_be_cancelled() -> None:
    """Its end does not disturb the others."""
    async with asyncio.timeout(5), task_group() as group:
        waiting = group.create_task(_wait_for_ever(), name="wait")
        other = group.create_task(asyncio.sleep(0, "done"), name="other")
        await asyncio.sleep(0)
        waiting.cancel()
    assert waiting.cancelled()
    assert other.result() == "done"
