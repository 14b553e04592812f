"""How every use case reaches the store, which works in a thread of its own, and what it hands out to all of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, Protocol, TypeVar

from syncd.model.change import PlannedChange

P = ParamSpec("P")
T = TypeVar("T")

Placed = tuple[PlannedChange, int, int | None]
"""A planned change with the key of its record and, for a membership, of its member; for a licence its type's number."""


class Caller(Protocol):
    """Runs the store's blocking methods off the event loop, one at a time."""

    async def call(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run and wait."""
        ...
