"""What a run of a small company costs by itself: ``python -m tests.bench.small``.

Eight people and three groups on the fakes, so that nothing is measured but the use cases and the store. Prints for a
run without news, delta and full, and for opening a store: processor time, statements (beginnings of transactions
included) and transactions.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import structlog
from sqlalchemy import event

from syncd.model.run import PullKind
from syncd.store.db.database import open_database
from syncd.store.db.revision import ensure_schema
from tests.fakes.world import World, open_world

_PEOPLE = 8
_REPEAT = 30


def make_company(world: World) -> None:
    """Fill the tenant: everybody reports to the first one, and one group is in another."""
    source = world.source
    for group in ("g1", "g2", "g3"):
        source.put_group(group, displayName=group, mailNickname=f"{group}@grp")
    for number in range(_PEOPLE):
        name, manager = f"u{number}@x.com", "u0" if number else None
        source.put_user(f"u{number}", userPrincipalName=name, displayName=name, mail=name, manager=manager)
        source.link("g1", f"u{number}")
    source.link("g2", "u1")
    source.link("g2", "g3", "group")
    source.link("g3", "u5")


def measure(work: Callable[[], None]) -> float:
    """Return the median of the processor time in milliseconds."""
    times = []
    for _ in range(_REPEAT):
        begun = time.process_time()
        work()
        times.append(time.process_time() - begun)
    return statistics.median(times) * 1000


def main() -> None:
    """Measure, and print a line for each piece of work."""
    structlog.configure(processors=[_say_nothing])
    with tempfile.TemporaryDirectory() as folder, asyncio.Runner() as runner:
        path = Path(folder) / "store.db"
        world = open_world(f"sqlite:///{path}")
        make_company(world)
        asked: list[str] = []
        commits: list[object] = []
        event.listen(world.database.engine, "before_cursor_execute", lambda *given: asked.append(given[2]))
        event.listen(world.database.engine, "commit", commits.append)

        def run(kind: PullKind) -> None:
            asked.clear()
            commits.clear()
            record = runner.run(world.sync(kind))
            if record.status != "succeeded":
                sys.exit(f"the run ended as {record.status}: {record.error}")

        def open_and_check() -> None:
            database = open_database(f"sqlite:///{path}")
            ensure_schema(database, create=False)
            database.close()

        run("full")
        kinds: tuple[PullKind, ...] = ("delta", "full")
        for kind in kinds:
            run(kind)
            spent = measure(partial(run, kind))
            print(f"{kind:8}{spent:8.1f} ms {len(asked):6} statements {len(commits):6} transactions")
        world.database.close()
        print(f"{'open':8}{measure(open_and_check):8.2f} ms")


def _say_nothing(*_: object) -> str:
    raise structlog.DropEvent


if __name__ == "__main__":
    main()
