"""A drill in several processes: each founds the same company, and plays whichever fault is next.

A play keeps one core busy, whatever the number of cores. Nothing is shared but the list of faults:
whoever is done with one is given the next, so that all end at about the same time. Results are put in order again.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from dataclasses import replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import NoReturn, TypeVar

from syncd.bootstrap.drill.director import Tell, drill, open_stage, report
from syncd.config import Settings
from syncd.errors import SyncdError
from syncd.sandbox.drill.play import Scenario
from syncd.sandbox.drill.results import Report, Result
from syncd.store.reports.company import StoredCompany

T = TypeVar("T")

_MOST = 4
"""Each process holds the company twice, a quarter of a gigabyte for 5,000 people."""
_WORTH = 8
"""A further process founds the company anew, which takes as long as some faults."""


class Ended(Exception):
    """SIGTERM has come."""


def choose_processes(faults: int) -> int:
    """Return how many processes are worth it."""
    if "fork" not in multiprocessing.get_all_start_methods():
        return 1
    return max(1, min(_count_cores(), _MOST, faults // _WORTH))


def _count_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Troupe:
    """The processes that play, as the one sees them that hands out the faults. To be closed, whatever happens.

    They are started at once: later there may be threads here, which a copy of the process would lack.
    """

    def __init__(
        self,
        settings: Settings,
        scenarios: Sequence[Scenario],
        *,
        people: int,
        company: StoredCompany | None,
        processes: int | None = None,
    ) -> None:
        """``processes``: how many play at once; None: by the cores and the faults. One is this process itself."""
        self._settings = settings
        self._scenarios = scenarios
        self._people = people
        self._company = company
        self._players: list[tuple[BaseProcess, Connection]] = []
        self._before = signal.signal(signal.SIGTERM, _end)
        number = choose_processes(len(scenarios)) if processes is None else processes
        for _ in range(number if number > 1 else 0):
            self._add_player()

    def play(self, tell: Tell) -> Report:
        """Play every fault, and return what came of them. Nothing real is read or written.

        Raises DrillImpossible, what the configuration itself is refused for, and Ended after SIGTERM.
        """
        if not self._players:
            alone = drill(self._settings, self._scenarios, people=self._people, company=self._company, tell=tell)
            return asyncio.run(until_told(alone))
        left, results = iter(enumerate(self._scenarios)), dict[int, Result]()
        played_with: Report | None = None
        waiting = {line for _, line in self._players}
        while waiting:
            for line in wait(list(waiting)):
                assert isinstance(line, Connection)
                said = _receive(line)
                if isinstance(said, Report):
                    played_with = played_with or said
                elif said is not None:
                    place, result = said
                    results[place] = result
                    tell("faults played", 1)
                given = next(left, None)
                line.send(None if given is None else given[0])
                if given is None:
                    waiting.discard(line)
        assert played_with is not None, "each player says first with whom it plays"
        return replace(played_with, results=[results[place] for place in sorted(results)])

    def close(self) -> None:
        """End all that still play, and wait for them to tidy up."""
        signal.signal(signal.SIGTERM, self._before)
        for process, line in self._players:
            line.close()
            with suppress(ProcessLookupError):
                process.terminate()
        for process, _ in self._players:
            process.join()

    def _add_player(self) -> None:
        ours, theirs = multiprocessing.Pipe()
        others = [line for _, line in self._players]
        process = multiprocessing.get_context("fork").Process(
            target=self._be_player, args=(theirs, [ours, *others]), name=f"drill {len(others) + 1}"
        )
        process.start()
        theirs.close()
        self._players.append((process, ours))

    # ---- in a process of its own

    def _be_player(self, line: Connection, others: Sequence[Connection]) -> None:
        for other in others:
            other.close()  # so that the end of the one who hands out the faults is noticed
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; whoever hands out the faults ends us then
        try:
            asyncio.run(until_told(self._play_share(line)))
        except (Ended, EOFError, BrokenPipeError):
            return
        except SyncdError as error:
            line.send(error)

    async def _play_share(self, line: Connection) -> None:
        async with open_stage(self._settings, people=self._people, company=self._company) as stage:
            line.send(report(stage, self._settings, ()))
            while (place := await asyncio.to_thread(line.recv)) is not None:
                line.send((place, await stage.play(self._scenarios[place])))


def _receive(line: Connection) -> Report | tuple[int, Result]:
    try:
        said = line.recv()
    except EOFError:
        raise SyncdError("a process of the drill has ended before its time; is there enough memory?") from None
    if isinstance(said, SyncdError):
        raise said
    return said  # type: ignore[no-any-return]  # what a player of ours has sent


def _end(_number: int, _frame: object) -> NoReturn:
    raise Ended


async def until_told(playing: Coroutine[None, None, T]) -> T:
    """Let SIGTERM end the play as an error does, so that nothing of it is left on the disk."""
    task = asyncio.ensure_future(playing)
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        return await task
    except asyncio.CancelledError:
        raise Ended from None
    finally:
        loop.remove_signal_handler(signal.SIGTERM)
