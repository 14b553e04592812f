"""What costs more the larger the company is: counted after a run or some minutes later, not with each scrape."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from syncd.clock import Clock
from syncd.daemon.counting import Counting
from syncd.errors import StoreError


class Turning(Clock):
    """A clock that stands where it was put."""

    seconds = 1000.0

    def monotonic(self) -> float:
        return self.seconds


class Asked:
    """Answers with how often it was asked, or fails."""

    def __init__(self) -> None:
        self.times = 0
        self.fails = False

    async def ask(self, question: Callable[[Any], int]) -> int:
        self.times += 1
        if self.fails:
            raise StoreError("the store did not answer within 5 seconds")
        return question(None)


def make_counting(*, rest: float = 0.0) -> tuple[Turning, Asked, Counting[int]]:
    clock, asked = Turning(), Asked()
    counting = Counting(clock, -1, rest=rest)
    counting.ask_by(lambda database: asked.times)
    return clock, asked, counting


async def test_it_is_counted_when_a_run_has_ended_and_some_minutes_later() -> None:
    """A scrape in between gets what was counted last."""
    clock, asked, counting = make_counting()
    assert await counting.load(asked.ask, ended=0) == 1
    clock.seconds += 200
    assert await counting.load(asked.ask, ended=0) == 1
    assert await counting.load(asked.ask, ended=1) == 2
    clock.seconds += 301
    assert await counting.load(asked.ask, ended=1) == 3


async def test_what_failed_rests_and_tells_nothing_meanwhile() -> None:
    """A company that takes too long to count is not counted after each run all the same."""
    clock, asked, counting = make_counting(rest=3600)
    await counting.load(asked.ask, ended=0)
    asked.fails = True
    with pytest.raises(StoreError):
        await counting.load(asked.ask, ended=1)
    asked.fails = False
    clock.seconds += 3599
    assert await counting.load(asked.ask, ended=2) == -1
    assert asked.times == 2
    clock.seconds += 1
    assert await counting.load(asked.ask, ended=2) == 3


async def test_nothing_is_told_before_it_is_known_what_counts() -> None:
    """Of a daemon that is starting."""
    clock, asked = Turning(), Asked()
    assert await Counting(clock, 0).load(asked.ask, ended=0) == 0
    assert asked.times == 0
