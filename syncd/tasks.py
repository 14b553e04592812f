"""Task groups that raise one error: the first real one, where asyncio raises an ExceptionGroup.

=====================  ===============================================================
`task_group`           tasks that the block starts; the block ends when all are done
`background_tasks`     tasks that run beside the block and are cancelled at its end
=====================  ===============================================================
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from syncd.errors import Interrupted

T = TypeVar("T")


class Tasks:
    """The tasks of one `task_group`."""

    def __init__(self, group: asyncio.TaskGroup) -> None:
        self._group = group

    def create_task(self, work: Coroutine[Any, Any, T], *, name: str) -> asyncio.Task[T]:
        """Start a task."""
        return self._group.create_task(_refuse_cancelled_end(work, name), name=name)


@asynccontextmanager
async def task_group() -> AsyncIterator[Tasks]:
    """Run tasks until all are done. When one fails, the others are cancelled and its error is raised as it is.

    No task outlives the block.
    """
    try:
        async with asyncio.TaskGroup() as group:
            yield Tasks(group)
    except BaseExceptionGroup as errors:
        raise find_cause(errors) from errors


@asynccontextmanager
async def background_tasks(*work: tuple[Coroutine[Any, Any, None], str]) -> AsyncIterator[None]:
    """Run (coroutine, name) pairs beside the block and cancel them at its end. The first error ends block and tasks."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(coroutine, name=name) for coroutine, name in work]
            yield
            for task in tasks:
                task.cancel()
    except BaseExceptionGroup as errors:
        raise find_cause(errors) from errors


async def _refuse_cancelled_end(work: Coroutine[Any, Any, T], name: str) -> T:
    """Turn a CancelledError that nobody asked for into Interrupted; TaskGroup would swallow it and wait for ever."""
    try:
        return await work
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise Interrupted(f"the task '{name}' was cancelled from within") from error


def find_cause(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the error that explains a failed group: the first one that is not a mere cancellation."""
    for error in errors.exceptions:
        if isinstance(error, BaseExceptionGroup):
            return find_cause(error)
        if not isinstance(error, asyncio.CancelledError):
            return error
    return errors.exceptions[0]
