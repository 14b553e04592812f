"""A small share of what is done as a whole by hand: see docs/development/endurance.md."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from tests.endurance import files, kills, life, touches
from tests.endurance.growth import Look, Tally, judge_growth


@pytest.mark.slow
@pytest.mark.once
async def test_some_touches_of_the_outside_fail_and_all_is_right_afterwards() -> None:
    """One of a delta run in every way: a request, and a transaction of the store."""
    delta = [act for act in touches.ACTS if act.name == "delta"]
    async with touches.small_stage() as stage:
        found = await touches.play_all(stage, begin=8, most=1, acts=delta, tell=lambda line: None)
    assert found.wrong == []
    assert found.plays == len(touches.WAYS)


@pytest.mark.once
def test_every_touch_of_a_file_fails_and_what_was_there_stays(tmp_path: Path) -> None:
    """A sentence, exit code 1, the file as it was, and nothing half beside it."""
    number, wrong = files.fail_all(tmp_path)
    assert wrong == []
    assert number == 3 * len(files.COMMANDS) - 1  # made, opened, put in place; SQLite opens its copy by itself


@pytest.mark.slow
@pytest.mark.once
async def test_some_kills_lose_and_double_nothing(tmp_path: Path) -> None:
    """One of each kind."""
    found = await kills.kill_all(tmp_path, kills=1, seed="share", tell=lambda line: None)
    assert found.wrong == []
    assert set(found.killed) == set(kills.SHARES)


@pytest.mark.once
def test_what_has_grown_is_told_by_its_name() -> None:
    """Descriptors by what they lead to, memory by the file that keeps it; what only came and went is no growth."""
    three = Counter({"store.db": 3, "socket": 6})
    early = Look(
        hour=3.0, descriptors=three, threads=7, tasks=24, runs=50, changes=90, store_bytes=1, log_lines=9, resident=1
    )
    more, kept = Counter({"store.db": 2, "socket": 2}), Counter({"db/database.py": 5_000_000})
    grown = Tally(hours=9, looks=[early, replace(early, hour=9.0, descriptors=three + more, kept=kept)])
    judge_growth(grown)
    assert grown.wrong == [
        "descriptors grew from 9 to 13: store.db +2, socket +2",
        "5,000,000 bytes are kept that were allocated since hour 3.0: db/database.py +5,000,000",
    ]
    still = Tally(hours=9, looks=[early, replace(early, hour=9.0)])
    judge_growth(still)
    assert still.wrong == []


@pytest.mark.slow
@pytest.mark.once
def test_some_hours_with_everything_on_keeps_every_promise(tmp_path: Path) -> None:
    """Virtual ones: two daemons, a living company, both sides fail, and in the end everything is right."""
    found = life.live_through(tmp_path, hours=0.5, users=15, seed="share", tell=lambda line: None)
    assert found.wrong == []
    assert sum(found.runs.values()) > 10
