"""The way of a page to the store: a few at a time, and beside a run one with a rest."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from syncd.clock import Clock
from syncd.model.run import RunRequest
from syncd.web.console.desk import ASKING_AT_ONCE, DaemonVitals, StoreDoor
from tests.unit.test_console_server import make_desk

WORK = 0.02


def open_door(*, running: bool) -> StoreDoor:
    """Return the door of a console whose daemon has a run in hand, or none."""
    request = RunRequest(pull="delta", trigger="schedule") if running else None
    vitals = cast(DaemonVitals, SimpleNamespace(database=object(), running=request))
    return StoreDoor(replace(make_desk(Clock(), allow_http=True), vitals=vitals))


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


async def test_after_a_page_the_run_has_as_long_for_itself() -> None:
    """However many people read without a pause, pages take half of the time at most."""
    door, begun, ended = open_door(running=True), list[float](), list[float]()

    def make_page(_: Any) -> None:
        begun.append(time.monotonic())
        while time.monotonic() < begun[-1] + WORK:
            pass
        ended.append(time.monotonic())

    await asyncio.gather(*(door.ask(make_page) for _ in range(4)))
    assert all(after - before >= WORK for before, after in zip(ended, begun[1:], strict=False))
