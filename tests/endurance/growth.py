"""What may not grow while a daemon lives: measured, and compared with what it was."""

from __future__ import annotations

import os
import sqlite3
import tracemalloc
from collections import Counter
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Look:
    """What may not grow, at one moment. ``kept``: bytes allocated since the first third, and still there, by file.

    ``descriptors``: how many lead to what.
    """

    hour: float
    descriptors: Counter[str]
    threads: int
    tasks: int
    runs: int
    changes: int
    store_bytes: int
    log_lines: int
    resident: int
    kept: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        """Return one line of it."""
        parts = {name: getattr(self, name) for name in self.__slots__ if name not in ("descriptors", "kept")}
        parts |= {"descriptors": self.descriptors.total(), "kept": self.kept.total()}
        return ", ".join(f"{name} {value:,}" for name, value in parts.items())


@dataclass
class Tally:
    """What happened, what was measured, and what is wrong."""

    hours: float = 0.0
    runs: Counter[str] = field(default_factory=Counter)
    happened: Counter[str] = field(default_factory=Counter)
    looks: list[Look] = field(default_factory=list)
    log: Counter[str] = field(default_factory=Counter)
    people: int = 0
    chained: int = 0
    wrong: list[str] = field(default_factory=list)


def count_rows(store: Path) -> dict[str, int]:
    with closing(sqlite3.connect(store)) as connection:
        counts = {
            name: int(connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0]) for name in ("runs", "changes")
        }
        pages, size, free = (
            int(connection.execute(f"PRAGMA {name}").fetchone()[0])
            for name in ("page_count", "page_size", "freelist_count")
        )
    return {**counts, "bytes": (pages - free) * size}


def name_descriptors() -> Counter[str]:
    """Return what the descriptors of this process lead to: files by name, and anything else by its kind."""
    found = Counter[str]()
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # the one by which the folder is read
            target = os.readlink(entry)  # noqa: PTH115 - of a socket it is no path
            found[Path(target).name if target.startswith("/") else target.partition(":[")[0]] += 1
    return found


def tell_growth(before: Counter[str], now: Counter[str], *, most: int = 6) -> str:
    """Return in what two counts differ, what grew most first."""
    grown = Counter({name: now[name] - before[name] for name in now | before if now[name] != before[name]})
    return ", ".join(f"{name} {number:+,}" for name, number in grown.most_common(most)) or "nothing"


def read_resident() -> int:
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def measure_kept() -> Counter[str]:
    """Return how many bytes are there still that were allocated since tracing began, the imitation's own left out."""
    without = [
        tracemalloc.Filter(inclusive=False, filename_pattern=pattern)
        for pattern in ("*/syncd/sandbox/*", "*/tests/*", "*/aiohttp/web*", tracemalloc.__file__)
    ]
    taken = tracemalloc.take_snapshot().filter_traces(without)
    found = taken.statistics("filename")
    return Counter({"/".join(each.traceback[0].filename.split("/")[-3:]): each.size for each in found})


_SLACK = 1.25
_KEPT_BYTES = 4_000_000
_DESCRIPTORS = 3


def judge_growth(tally: Tally) -> None:
    """What lasts must be after the whole time what it was after a third of it; runs that are kept too."""
    first = [look for look in tally.looks if look.hour >= tally.hours / 3]
    if len(first) < 2:
        return
    begin, end = first[0], first[-1]
    if end.descriptors.total() > begin.descriptors.total() + _DESCRIPTORS:
        tally.wrong.append(
            f"descriptors grew from {begin.descriptors.total()} to {end.descriptors.total()}: "
            f"{tell_growth(begin.descriptors, end.descriptors)}"
        )
    for name in ("threads", "tasks"):
        if getattr(end, name) > getattr(begin, name) + 3:
            tally.wrong.append(f"{name} grew from {getattr(begin, name)} to {getattr(end, name)}")
    for name in ("runs", "changes"):
        if getattr(end, name) > getattr(begin, name) * _SLACK + 50:
            tally.wrong.append(f"{name} in the store grew from {getattr(begin, name)} to {getattr(end, name)}")
    halves = len(tally.looks) // 2
    early = tally.looks[halves].log_lines / max(1.0, tally.looks[halves].hour)
    if end.log_lines / end.hour > early * _SLACK + 5:
        tally.wrong.append(
            f"the log grew faster: {early:.0f} lines an hour at first, {end.log_lines / end.hour:.0f} later"
        )
    if end.kept.total() > _KEPT_BYTES:
        tally.wrong.append(
            f"{end.kept.total():,} bytes are kept that were allocated since hour {begin.hour}: "
            f"{tell_growth(Counter(), end.kept)}"
        )
