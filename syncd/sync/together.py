"""Tasks beside each other: one failure ends them all and explains itself, so that no caller meets a group of errors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


@asynccontextmanager
async def working_together() -> AsyncIterator[asyncio.TaskGroup]:
    """Run tasks until all are done; when one fails the others are cancelled, and its error is raised as it is.

    None of them outlives the block.
    """
    try:
        async with asyncio.TaskGroup() as group:
            yield group
    except BaseExceptionGroup as errors:
        raise find_cause(errors) from errors


def find_cause(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the error that explains a failed group: the first one that is not a mere cancellation."""
    for error in errors.exceptions:
        if isinstance(error, BaseExceptionGroup):
            return find_cause(error)
        if not isinstance(error, asyncio.CancelledError):
            return error
    return errors.exceptions[0]
