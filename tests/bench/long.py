"""What 2,000 runs leave behind in one process: ``python -m tests.bench.long``.

A small company on the fakes, as a daemon works on it: one store, one delta run after the other, now and then a full
one, and somebody changes in every tenth. Prints how much the process has grown since the first hundred runs, and
how large the write-ahead log was at most between two runs. Exit code 1 beyond 2 MB and 16 MB.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import sys
import tempfile
from datetime import timedelta
from pathlib import Path

import structlog

from syncd.bootstrap.process import tune_process
from tests.bench.small import make_company
from tests.fakes.world import World, open_world

_GROWTH_MB, _LOG_MB = 2.0, 16.0
_SETTLED = 100
_FULL_EVERY, _CHANGE_EVERY = 50, 10


def read_memory_mb() -> float:
    """Return the resident memory of this process, after what is in cycles was collected."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096 / 1e6


async def live(world: World, store: Path, number: int) -> tuple[float, float]:
    """Let so many runs happen; return the growth in MB since the first hundred, and the largest log in MB."""
    settled, largest = 0.0, 0.0
    log = store.with_name(f"{store.name}-wal")
    for run in range(number):
        if run == _SETTLED:
            settled = read_memory_mb()
        if run % _CHANGE_EVERY == 0:
            world.source.put_user(f"u{1 + run % 7}", displayName=f"Name {run}")
        record = await world.sync("full" if run % _FULL_EVERY == 0 else "delta")
        if record.status != "succeeded":
            sys.exit(f"run {record.id} ended as {record.status}: {record.error}")
        world.source.calls.clear()
        world.clock.ahead += timedelta(minutes=5)
        largest = max(largest, log.stat().st_size / 1e6 if log.exists() else 0.0)
    return read_memory_mb() - settled, largest


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.long", description=__doc__)
    parser.add_argument("--runs", type=int, default=2000)
    options = parser.parse_args()
    structlog.configure(processors=[_say_nothing])
    with tempfile.TemporaryDirectory() as folder, asyncio.Runner() as runner:
        store = Path(folder) / "store.db"
        world = open_world(f"sqlite:///{store}")
        make_company(world)
        tune_process()
        growth, log = runner.run(live(world, store, options.runs))
        world.database.close()
    print(f"{options.runs:,} runs: grown by {growth:.2f} MB since the first {_SETTLED} (at most {_GROWTH_MB:g})")
    print(f"the write-ahead log had {log:.2f} MB at most between two runs (at most {_LOG_MB:g})")
    return 0 if growth <= _GROWTH_MB and log <= _LOG_MB else 1


def _say_nothing(*_: object) -> str:
    raise structlog.DropEvent


if __name__ == "__main__":
    sys.exit(main())
