"""Ask the daemon that works on the store, where this command cannot have the store for itself."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING

import click

from syncd.cli.options import name_person
from syncd.clock import Clock
from syncd.errors import StoreError, StoreLocked

if TYPE_CHECKING:
    from syncd.config import Settings
    from syncd.model.run import RunRecord
    from syncd.store.db.database import Database
    from syncd.store.runs.asked import QuestionKind

PATIENCE = timedelta(minutes=15)
"""So long a daemon is waited for that has a run in hand, where nobody says otherwise."""
_LOOK_SECONDS = 0.5
_LOOK_WHO_EVERY = 10


def has_working_daemon(database: Database) -> bool:
    """Return whether a daemon works on this store, and could answer."""
    from syncd.store.reports.overview import load_role

    return load_role(database, now=Clock().now()) == "daemon"


def ask_daemon(
    settings: Settings, database: Database, question: QuestionKind, *, wait: timedelta | None = None
) -> RunRecord:
    """Have the working daemon make a plan, or look for what was changed by hand; return the record of its run.

    The daemon answers between two runs. Raises StoreLocked when it does not in time (``wait``, else `PATIENCE`), ends,
    or works by other rules than these settings have.
    """
    from syncd.bootstrap.rules import identify_rules
    from syncd.store.store import Store

    asked, patience, clock = Store(database).asked, wait or PATIENCE, Clock()
    wish = asked.ask(question, by=name_person(), now=clock.now(), rules=identify_rules(settings))
    click.echo("syncd: the daemon that works on this store answers, after the run in hand if there is one", err=True)
    try:
        run_id = _await(database, wish, patience)
    finally:
        asked.withdraw(wish)
    record = Store(database).runs.load_run.blocking(run_id)
    if record is None:
        raise StoreError(f"run {run_id} was the answer, and is gone from the run log")
    return record


def _await(database: Database, wish: int, patience: timedelta) -> int:
    """Return the run that answers a question."""
    from syncd.store.store import Store

    asked, clock, looks = Store(database).asked, Clock(), 0
    deadline = clock.monotonic() + patience.total_seconds()
    while (run_id := asked.find_run(wish)) is None:
        if why := asked.find_refusal(wish):
            raise StoreLocked(why)
        if clock.monotonic() >= deadline:
            raise StoreLocked(
                f"the daemon that works on this store did not answer in {patience.total_seconds():.0f} seconds; the "
                "question was taken back: 'syncd status' tells what it does, and '--wait 1h' waits longer"
            )
        looks += 1
        if looks % _LOOK_WHO_EVERY == 0 and not has_working_daemon(database):
            raise StoreLocked("the daemon that was asked has ended, or lost the store, without an answer; try again")
        time.sleep(_LOOK_SECONDS)
    return run_id
