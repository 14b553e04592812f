"""PostgreSQL beside the least that fills it, and beside SQLite: ``python -m tests.bench.server``.

A full pull into an empty database, and the floor that fills the same rows by COPY (`tests.bench.floor`); then the first
plan of what was pulled, and the same on SQLite. All of them in turn, each in a process of its own, on a server of its
own whose durability is off (`tests.postgres`). Seconds count, for a quiet machine: while the client waits the server
works, and the other way round. Processor time, of the client with its imports and of all the server's processes with
what it does by itself (vacuuming, and copying the database before), is told beside it.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy.engine import make_url

from tests.bench.stage import Size, Stage, open_stage
from tests.postgres import copy_database, fresh_database, private_postgres

_PULL_RATIO, _PLAN_RATIO = 1.3, 1.3
_TICKS = os.sysconf("SC_CLK_TCK")
_URL = re.compile(r'^url = ".*"$', re.MULTILINE)


def _find_postmaster(url: str) -> int:
    """Return the process that all of the server's others come from: the one that listens, by its own file."""
    import psycopg

    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        row = connection.execute("SHOW data_directory").fetchone()
    return int(Path(row[0] if row else "", "postmaster.pid").read_text().split()[0])


def _read_processor_seconds(postmaster: int) -> float:
    """Return what the server's processes have spent so far: itself, those that ended and those that live."""
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(postmaster)], capture_output=True, text=True, check=False)
    ticks = sum(_read_ticks(postmaster, (11, 12, 13, 14)))
    for child in found.stdout.split():
        ticks += sum(_read_ticks(int(child), (11, 12)))
    return ticks / _TICKS


def _read_ticks(process: int, places: tuple[int, ...]) -> list[int]:
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:  # it has just ended: it is among the postmaster's then
        return []
    return [int(fields[place]) for place in places]


class Bench:
    """A company, a server, and the configuration that connects them."""

    def __init__(self, stage: Stage, url: str) -> None:
        self._stage, self._url, self._postmaster = stage, url, _find_postmaster(url)
        self._sqlite = stage.config.read_text(encoding="utf-8")

    def _connect(self, url: str) -> None:
        self._stage.config.write_text(_URL.sub(f'url = "{url}"', self._sqlite, count=1), encoding="utf-8")

    def _spend(self, work: Callable[[], dict[str, Any]]) -> tuple[float, dict[str, Any]]:
        before = _read_processor_seconds(self._postmaster)
        found = work()
        return _read_processor_seconds(self._postmaster) - before, found

    def pull(self, *, keep: str = "") -> dict[str, float]:
        """Pull everything into an empty database; ``keep``: leave a copy of it under that name."""
        with fresh_database(self._url) as database:
            self._connect(database)
            self._stage.work("measured", "empty")
            server, found = self._spend(lambda: self._stage.work("measured", "pull"))
            if keep:
                copy_database(database, keep)
        return {"cpu": server + found["cpu_seconds"], "seconds": found["seconds"], "mb": found["peak_mb"]}

    def pull_bare(self) -> dict[str, float]:
        """Let the floor do it."""
        with fresh_database(self._url) as database:
            self._connect(database)
            self._stage.work("measured", "empty")
            server, found = self._spend(lambda: self._stage.work("floor", "pull", "--store", database))
        return {"cpu": server + found["cpu_seconds"], "seconds": found["seconds"]}

    def plan(self, template: str) -> dict[str, float]:
        """Make the first plan of a pulled database."""
        with fresh_database(self._url, template=template) as database:
            self._connect(database)
            server, found = self._spend(lambda: self._stage.measure_planning("plan"))
        planning = sum(found["planning"].values())
        return {
            "cpu": server + found["cpu_seconds"], "planning": server + planning,
            "seconds": found["phases"]["plan"], "mb": found["peak_mb"],
        }  # fmt: skip

    def pull_into_file(self) -> Path:
        """Pull everything into a SQLite file; return a copy of it."""
        self._stage.config.write_text(self._sqlite, encoding="utf-8")
        self._stage.empty_store()
        self._stage.work("measured", "pull")
        return self._stage.keep_store()

    def plan_in_file(self, kept: Path) -> dict[str, float]:
        """Make the first plan of that."""
        self._stage.config.write_text(self._sqlite, encoding="utf-8")
        self._stage.restore(kept)
        found = self._stage.measure_planning("plan")
        planning = sum(found["planning"].values())
        return {"cpu": found["cpu_seconds"], "planning": planning, "seconds": found["phases"]["plan"]}


def _compare(
    what: str,
    ours: Callable[[], dict[str, float]],
    theirs: Callable[[], dict[str, float]],
    *,
    repeat: int,
    limit: float,
) -> bool:
    """Measure both in turn and print the ratios of the medians; return whether processor time is within its limit."""
    pairs = [(theirs(), ours()) for _ in range(repeat)]
    good = True
    for name in pairs[0][0]:
        least, found = (statistics.median(each[place][name] for each in pairs) for place in (0, 1))
        counts = name == "seconds"
        good = good and not (counts and found / least > limit)
        print(f"{what}: {name:9} {found:8.2f} / {least:8.2f} = {found / least:.2f}" + f" (at most {limit})" * counts)
    if "mb" in pairs[0][1]:
        print(f"{what}: peak MB {max(each['mb'] for _, each in pairs):.0f}")
    return good


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.server", description=__doc__)
    parser.add_argument("--users", type=int, default=50_000)
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    size = Size(50_000, 5_000, 300_000, 3)
    size = size if options.users == size.users else size.scale_to(options.users)
    with (
        tempfile.TemporaryDirectory(prefix="syncd-bench-") as folder,
        private_postgres(vacuums=True) as url,
        open_stage(Path(folder, "stage"), size) as stage,
    ):
        bench = Bench(stage, make_url(url).render_as_string(hide_password=False))
        bench.pull(keep="pulled")
        kept = bench.pull_into_file()
        good = _compare("a full pull / COPY", bench.pull, bench.pull_bare, repeat=options.repeat, limit=_PULL_RATIO)
        good &= _compare(
            "first plan / SQLite",
            lambda: bench.plan("pulled"),
            lambda: bench.plan_in_file(kept),
            repeat=options.repeat,
            limit=_PLAN_RATIO,
        )
    print(json.dumps({"users": size.users, "good": good}))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
