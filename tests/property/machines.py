"""Long random histories, in shares that run beside each other.

CI walks the same ones each time, so that a red run can be repeated; SYNCD_MACHINES=5000 makes a long run of new ones
(whose failures are then shrunk as well), and with SYNCD_SEED=7 beside it always the same long run.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest
import stamina
import structlog
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import RuleBasedStateMachine, get_state_machine_test

from syncd.clock import Clock
from syncd.store.db.database import Database
from tests.contract.sandbox_client import MovableClock

_WANTED, _SEED = os.environ.get("SYNCD_MACHINES"), os.environ.get("SYNCD_SEED")
_SHRINK_FROM = 1000
_NUMBER = 4
SHARES = range(_NUMBER)
"""Values of a test's parameter ``share``."""


class OurClock(Clock):
    """The clock of our machine, which may be ``wrong`` by so much; what counts seconds is right with all the world."""

    def __init__(self, world: MovableClock) -> None:
        self._world = world
        self.wrong = timedelta()

    def now(self) -> datetime:
        """Return what our machine believes."""
        return self._world.now() + self.wrong

    def monotonic(self) -> float:
        """Return the seconds that have passed."""
        return self._world.monotonic()

    def uptime(self) -> tuple[str, float]:
        """Return the seconds since the start of the machine."""
        return self._world.uptime()

    async def sleep(self, seconds: float) -> None:
        """Let that time pass for everybody."""
        await self._world.sleep(seconds)


@contextmanager
def calling_the_store_at_once() -> Iterator[None]:
    """Have what runs in the store's thread done where it is asked for: on a busy machine each change of threads waits.

    Others get their turn first, as they would.
    """

    async def call(_database: Database, work: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        await asyncio.sleep(0)
        return work(*args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Database, "call", call)
        yield


def choose_settings(number: int, **more: Any) -> settings:
    """Return how random histories are walked, of which CI takes so many; ``more``: other settings of hypothesis."""
    wanted = int(_WANTED or number)
    quick = (Phase.explicit, Phase.reuse, Phase.generate)  # shrinking whole histories takes minutes
    return settings(
        max_examples=max(1, wanted),
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=quick if wanted <= _SHRINK_FROM else tuple(Phase),
        print_blob=True,
        **more,
    )


def walked(number: int) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return the decorator of a test that is given one random history: CI walks so many, the same ones each time."""
    if not _WANTED:
        return choose_settings(number, derandomize=True)

    def decorate(test: Callable[..., Any]) -> Callable[..., Any]:
        return choose_settings(number)(seed(int(_SEED))(test) if _SEED else test)

    return decorate


def list_seeds(share: int, *, variants: int) -> list[str]:
    """Return the seeds of the histories of one share of a test that plays them by itself, in so many variants.

    CI walks one in each, the same each time. What a failing test prints of a seed before the first stroke is what
    SYNCD_SEED has to be for the same histories.
    """
    wanted = int(_WANTED or 0) // (_NUMBER * variants)
    begun = (_SEED or str(secrets.randbelow(2**32))) if _WANTED else "ci"
    return [f"{begun}/{share}/{number}" for number in range(max(1, wanted))]


def walk(machine: type[RuleBasedStateMachine], share: int, *, machines: int, steps: int) -> None:
    """Run one share of so many machines, of at most ``steps`` steps each; one that fails prints its history."""
    share_wanted = int(_WANTED or machines) // _NUMBER
    chosen = settings(choose_settings(machines), max_examples=max(1, share_wanted), stateful_step_count=steps)
    test = get_state_machine_test(machine, settings=chosen)
    begun = share if not _WANTED else int(_SEED) * _NUMBER + share if _SEED else None
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    with stamina.set_testing(True, attempts=6, cap=True):
        (test if begun is None else seed(begun)(test))()
    structlog.reset_defaults()
