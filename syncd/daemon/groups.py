"""Tasks that live beside a block of code and never longer than it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any


@asynccontextmanager
async def owning(*work: tuple[Coroutine[Any, Any, None], str]) -> AsyncIterator[None]:
    """Run named coroutines beside a block, and cancel them at its end; the first error of any of them ends it all.

    A single error comes out as it is, and not as a group of one.
    """
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(coroutine, name=name) for coroutine, name in work]
            yield
            for task in tasks:
                task.cancel()
    except BaseExceptionGroup as errors:
        if len(errors.exceptions) == 1:
            raise errors.exceptions[0] from errors
        raise
