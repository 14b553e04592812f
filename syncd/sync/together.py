"""Tasks beside each other: one failure ends them all and explains itself, so that no caller meets a group of errors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from syncd.errors import Interrupted

T = TypeVar("T")


class Tasks:
    """The tasks of one `working_together`."""

    def __init__(self, group: asyncio.TaskGroup) -> None:
        self._group = group

    def create_task(self, work: Coroutine[Any, Any, T], *, name: str) -> asyncio.Task[T]:
        """Begin a task."""
        return self._group.create_task(_tell(work, name), name=name)


@asynccontextmanager
async def working_together() -> AsyncIterator[Tasks]:
    """Run tasks until all are done; when one fails the others are cancelled, and its error is raised as it is.

    None of them outlives the block.
    """
    try:
        async with asyncio.TaskGroup() as group:
            yield Tasks(group)
    except BaseExceptionGroup as errors:
        raise find_cause(errors) from errors


async def _tell(work: Coroutine[Any, Any, T], name: str) -> T:
    """Do the work. One that ends as cancelled though nobody cancelled it has failed: Interrupted.

    A group of tasks takes such an end for nothing, and the others would wait for it for ever.
    """
    try:
        return await work
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise Interrupted(f"the work '{name}' was broken off from within") from error


def find_cause(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the error that explains a failed group: the first one that is not a mere cancellation."""
    for error in errors.exceptions:
        if isinstance(error, BaseExceptionGroup):
            return find_cause(error)
        if not isinstance(error, asyncio.CancelledError):
            return error
    return errors.exceptions[0]
