"""The n-th touch of the outside fails, for every n: a small company converges all the same, and nobody is harmed.

A touch is a request to one of the two sides, or a transaction of the store. Each fails in several ways:

=================  ==================================================================================================
request  before    the connection is dropped before anything becomes of it
request  after     it takes its effect, then the connection is dropped
request  from      it and all later ones of the run are dropped: a network that goes away
store    begin     the transaction cannot begin
store    refused   what it wrote is refused at its end, and taken back
store    lost      it is carried out, and the answer is lost
store    from      it and all later ones of the run cannot begin: a disk that goes away
=================  ==================================================================================================

Files are the third thing that syncd touches: see `files.py`.
"""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import Engine, event
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.exc import OperationalError

from syncd.bootstrap.drill.director import Stage, open_stage
from syncd.bootstrap.drill.program import DrilledProgram
from syncd.bootstrap.drill.settings import make_founding_settings
from syncd.bootstrap.settings import read_settings
from syncd.errors import SyncdError
from syncd.sandbox.drill.days import ORDINARY
from syncd.sandbox.drill.picture import Picture, find_difference, take_picture
from syncd.sandbox.drill.play import Ended, Play
from syncd.sandbox.wire.faults import Fault

PEOPLE = 25
_PATIENCE = 2 * 3600.0
_BY_HAND = "ExternalUser"

SETTINGS = """
[mapping]
group.owners = true

[[licences]]
group = "Power users"
type = "PowerUser"
"""


# ---- what fails ------------------------------------------------------------------------------------------------------


@dataclass
class _Dropped(Fault):
    """A request that is dropped; the parts of a Graph batch are no requests."""

    def matches(self, side: str, method: str, target: str, body: bytes = b"") -> bool:
        return side != "batch"


@dataclass
class Touch:
    """The touch that fails: which, in which way. ``hit`` says whether there was one with this number."""

    what: str
    way: str
    number: int
    hit: bool = False

    def __str__(self) -> str:
        return f"{self.what} {self.number} {self.way}"

    @contextmanager
    def armed(self, play: Play) -> Iterator[None]:
        """Let the touch fail within the block."""
        if self.what == "request":
            kind: Any = "lose" if self.way == "after" else "reset"
            fault = _Dropped(kind, skip=self.number - 1, count=-1 if self.way == "from" else 1)
            play.sandbox.faults.add(fault)
            try:
                yield
            finally:
                play.sandbox.faults.clear()
                self.hit = fault.hits > 0
            return
        with failing_store(self):
            yield


@contextmanager
def failing_store(touch: Touch) -> Iterator[None]:
    """Let the n-th transaction of any store that is opened in this process fail within the block."""
    count = 0

    def is_it() -> bool:
        nonlocal count
        count += 1
        struck = count == touch.number or (touch.way == "from" and count > touch.number)
        touch.hit = touch.hit or struck
        return struck

    def begin(_connection: object) -> None:
        if touch.way in ("begin", "from") and is_it():
            raise OperationalError("BEGIN", None, sqlite3.OperationalError("disk I/O error"))

    every: Any = SQLiteDialect_pysqlite  # every engine of this process
    commit: Any = every.do_commit

    def end(dialect: SQLiteDialect_pysqlite, connection: Any) -> None:
        if touch.way not in ("refused", "lost") or not is_it():
            commit(dialect, connection)
            return
        if touch.way == "lost":
            commit(dialect, connection)
        raise sqlite3.OperationalError("disk I/O error")

    event.listen(Engine, "begin", begin)
    every.do_commit = end
    try:
        yield
    finally:
        event.remove(Engine, "begin", begin)
        every.do_commit = commit


WAYS = (
    ("request", "before"),
    ("request", "after"),
    ("request", "from"),
    ("store", "begin"),
    ("store", "refused"),
    ("store", "lost"),
    ("store", "from"),
)


# ---- what goes on meanwhile ------------------------------------------------------------------------------------------

Run = Callable[[], Awaitable[Ended]]


@dataclass(frozen=True)
class Act:
    """What syncd does while a touch fails. ``prepare`` lets something happen, and returns the run."""

    name: str
    prepare: Callable[[Play], Awaitable[Run]]


async def _delta(play: Play) -> Run:
    play.happen()
    return lambda: play.program.run("delta")


async def _full(play: Play) -> Run:
    play.happen()
    return lambda: play.program.run("full")


async def _first(play: Play) -> Run:
    """An empty portal and an empty store, as on the first day."""
    program, portal = play.program, play.sandbox.portal
    assert isinstance(program, DrilledProgram)
    program.settings = make_founding_settings(program.settings)
    program.forget()
    for records in (portal.accounts, portal.groups):
        for key in [key for key, record in records.items() if record.origin == "rest"]:
            del records[key]
    play.sandbox.portal_service.licences.holders.clear()
    play.base = take_picture(play.sandbox)  # nobody has anything that could be lost yet
    return lambda: program.run("full")


async def _approve(play: Play) -> Run:
    """A third of the company is really dismissed; that is held, and then released."""
    people = sorted(play.people)[: len(play.people) // 3]
    for person in people:
        play.sandbox.directory.disable(person)
    play.mean(people)
    held = await play.program.run("delta")
    assert held.held, held
    return lambda: play.program.approve(held.run)


ACTS = (Act("delta", _delta), Act("full", _full), Act("first", _first), Act("approve", _approve))


# ---- what is to come of it -------------------------------------------------------------------------------------------


@dataclass
class Tally:
    """How many touches failed, in how many plays something was wrong, and what."""

    plays: int = 0
    touches: dict[str, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)


@dataclass
class Course:
    """One act on one stage, and what comes of it when nothing fails."""

    stage: Stage
    act: Act
    wanted: Picture
    meant: frozenset[str]

    async def play(self, touch: Touch) -> str:
        """Let a touch fail; return what is wrong when all is over, empty when nothing is."""
        play = _begin(self.stage, self.wanted, self.meant)
        run = await self.act.prepare(play)
        with touch.armed(play), suppress(SyncdError):  # a store that cannot even record a run ends the process
            await run()
        play.look()
        found: list[str] = []
        for kind, patience in (("delta", 0.0), ("full", 0.0), ("full", _PATIENCE)):
            await self.stage.sandbox.directory.clock.sleep(patience)
            ended = play.look(await play.program.run("delta" if kind == "delta" else "full", insist=True))
            if (
                ended.held and self.act.name == "approve"
            ):  # an approval that failed leaves it held: a person tries again
                play.look(await play.program.approve(ended.run))
            found = find_difference(play.wanted, take_picture(self.stage.sandbox))
            if not found:
                break
        harmed = [] if self.act.name == "first" else sorted(play.harm.everybody())
        again = await play.program.run("delta")
        open_runs = await asyncio.to_thread(_count_open, self.stage.store.with_name("drill.db"))
        parts = [
            f"harmed {harmed}" if harmed else "",
            f"differs {found[:5]}" if found else "",
            f"{again.planned} planned again" if again.planned else "",
            f"{open_runs} open" if open_runs else "",
        ]
        return "; ".join(filter(None, parts))


def _begin(stage: Stage, wanted: Picture, meant: frozenset[str]) -> Play:
    play = stage.begin(wanted, ORDINARY)
    play.meant |= meant
    return play


async def prepare(stage: Stage, act: Act) -> Course:
    """Play an act without a fault, to know what is to come of it and who loses something by it."""
    play = _begin(stage, stage.base, frozenset())
    run = await act.prepare(play)
    await run()
    await play.program.run("full")
    wanted = take_picture(stage.sandbox)
    if act.name != "first":
        base = stage.base
        wanted = replace(wanted, foreign=base.foreign)
    return Course(stage, act, wanted, frozenset(play.meant))


async def play_all(
    stage: Stage,
    *,
    every: int = 1,
    begin: int = 1,
    most: int | None = None,
    acts: Sequence[Act] = ACTS,
    ways: Sequence[tuple[str, str]] = WAYS,
    tell: Callable[[str], None] = print,
) -> Tally:
    """Let each touch fail in each way, or every so many-th from ``begin`` on, at most so many in each way."""
    tally = Tally()
    for act in acts:
        course = await prepare(stage, act)
        for what, way in ways:
            number = begin
            while most is None or number < begin + most * every:
                touch = Touch(what, way, number)
                wrong = await course.play(touch)
                if not touch.hit:
                    break
                tally.plays += 1
                if wrong:
                    tally.wrong.append(f"{act.name}: {touch}: {wrong}")
                    tell(tally.wrong[-1])
                number += every
            tally.touches[f"{act.name} {what} {way}"] = number - every if number > begin else 0
            tell(f"{act.name} {what} {way}: {tally.touches[f'{act.name} {what} {way}']}")
    return tally


def _count_open(store: Path) -> int:
    connection = sqlite3.connect(store)
    try:
        return int(connection.execute("SELECT count(*) FROM runs WHERE status = 'running'").fetchone()[0])
    finally:
        connection.close()


@asynccontextmanager
async def small_stage() -> AsyncIterator[Stage]:
    """Found a small company with everything: groups, owners, managers, licences."""
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    with tempfile.TemporaryDirectory(prefix="syncd-touches-") as folder:
        file = Path(folder, "syncd.toml")
        await asyncio.to_thread(file.write_text, SETTINGS)
        settings = read_settings(file, {}, need=frozenset())
        async with open_stage(settings, people=PEOPLE, company=None) as stage:
            yield stage
    structlog.reset_defaults()
