"""How every use case reaches the store, which works in a thread of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, Protocol, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Caller(Protocol):
    """Runs the store's blocking methods off the event loop, one at a time."""

    async def call(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run and wait."""
        ...
