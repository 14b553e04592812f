"""The way of a page to the store: a few at a time, and beside a run one with a rest."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace
from typing import Any, cast

import pytest

from syncd.clock import Clock
from syncd.errors import StoreError
from syncd.model.run import RunRequest
from syncd.web.console.desk import ANSWER_SECONDS, ASKING_AT_ONCE, DaemonVitals, StoreDoor
from tests.unit.test_console_server import make_desk

RUN = RunRequest(pull="delta", trigger="schedule")


class Hands(Clock):
    """A clock that stands still but for who sleeps or works; of the work it knows what a processor had of it."""

    def __init__(self) -> None:
        self.reads = 0.0
        self.worked = 0.0

    def monotonic(self) -> float:
        """Return what it reads."""
        return self.reads

    async def sleep(self, seconds: float) -> None:
        """Go on by so much, at once."""
        assert seconds > 0
        self.reads += seconds
        await asyncio.sleep(0)

    def work(self, seconds: float, *, waits: float = 0.0) -> None:
        """Keep a processor busy for so long, and wait besides."""
        self.worked += seconds
        self.reads += seconds + waits


def open_door(*, running: bool, clock: Hands | None = None) -> StoreDoor:
    """Return the door of a console whose daemon has a run in hand, or none."""
    clock = clock or Hands()
    vitals = cast(DaemonVitals, SimpleNamespace(database=object(), running=RUN if running else None))
    desk = replace(make_desk(clock, allow_http=True), vitals=vitals)
    return StoreDoor(desk, processor_time=lambda: clock.worked)


@pytest.mark.parametrize(("running", "at_once"), [(False, ASKING_AT_ONCE), (True, 1)])
async def test_beside_a_run_pages_are_made_one_at_a_time(running: bool, at_once: int) -> None:
    """And otherwise a few: those who are first wait for one another here, so that all of them are seen."""
    door, inside, most = open_door(running=running), list[int](), list[int]()
    meeting = threading.Barrier(at_once)

    def make_page(_: Any) -> None:
        inside.append(1)
        most.append(len(inside))
        meeting.wait(timeout=30)
        inside.pop()

    await asyncio.gather(*(door.ask(make_page) for _ in range(2 * ASKING_AT_ONCE)))
    assert max(most) == at_once


async def test_however_many_read_nine_tenths_of_a_processor_are_the_runs() -> None:
    """After each page there is a rest of nine times what a processor had of it; what it waited for does not count."""
    clock = Hands()
    door, begun = open_door(running=True, clock=clock), list[float]()

    def make_page(_: Any) -> None:
        begun.append(clock.reads)
        clock.work(0.05, waits=0.5)

    await asyncio.gather(*(door.ask(make_page) for _ in range(20)))
    assert [after - before for before, after in pairwise(begun)] == pytest.approx([0.05 + 0.5 + 0.45] * 19)
    assert clock.worked <= 0.1 * (clock.reads + 0.45)


async def test_a_dear_page_is_followed_by_two_seconds_at_most() -> None:
    """Also one that failed is followed by its rest."""
    clock = Hands()
    door = open_door(running=True, clock=clock)

    def make_page(_: Any) -> None:
        clock.work(3.0)
        raise KeyError

    for reads in (3.0, 8.0):
        with pytest.raises(KeyError):
            await door.ask(make_page)
        assert clock.reads == reads


async def test_who_opens_a_page_a_second_waits_for_nothing() -> None:
    """The rest after the dearest page that was measured is over by then."""
    clock = Hands()
    door = open_door(running=True, clock=clock)
    for second in range(5):
        clock.reads = float(second)
        await door.ask(lambda _: clock.work(0.058))
        assert clock.reads == second + 0.058


async def test_no_rest_is_kept_once_the_run_is_over() -> None:
    """Neither by a page that is asked for then, nor without a run at all."""
    clock = Hands()
    door = open_door(running=True, clock=clock)
    await door.ask(lambda _: clock.work(0.1))
    door._desk.vitals.running = None  # type: ignore[misc]
    for _ in range(5):
        await door.ask(lambda _: clock.work(0.1))
    assert clock.reads == pytest.approx(0.6)


async def test_who_gives_up_during_a_rest_leaves_the_place_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that is not asked in time is an error, and the next page is made."""
    monkeypatch.setattr("syncd.web.console.desk.ANSWER_SECONDS", 0.05)
    clock = Hands()
    door = open_door(running=True, clock=clock)
    await door.ask(lambda _: clock.work(0.1))
    with monkeypatch.context() as patch:
        patch.setattr(clock, "sleep", lambda seconds: asyncio.sleep(30))
        with pytest.raises(StoreError, match="did not answer"):
            await door.ask(lambda _: None)
    monkeypatch.setattr("syncd.web.console.desk.ANSWER_SECONDS", ANSWER_SECONDS)
    assert await door.ask(lambda _: "made") == "made"


async def test_a_decision_waits_for_no_page_and_for_no_rest() -> None:
    """Nor does the look at who asks; the rest that a page has left stays what it was."""
    clock = Hands()
    door, leave = open_door(running=True, clock=clock), threading.Event()
    await door.ask(lambda _: clock.work(0.1))
    await door.ask(lambda _: clock.work(0.001), short=True)
    assert clock.reads == pytest.approx(0.101)
    export = asyncio.create_task(door.ask(lambda _: leave.wait(timeout=30)))
    while clock.reads < 1.0:
        await asyncio.sleep(0)
    assert await door.ask(lambda _: "decided", short=True) == "decided"
    assert not export.done()
    leave.set()
    assert await export
