"""What one screen tells of a store: who works on it, its runs, and what is open. Nothing here names a person."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import exists, func, select

from syncd.model.run import RunKind, RunRecord, RunStatus
from syncd.plan.report.sides import SIDES, Side, SideState, find_side
from syncd.store.db.database import Database
from syncd.store.db.lock import StoreLock
from syncd.store.db.revision import load_revision
from syncd.store.inventory.record_statements import OWNS_ANYTHING
from syncd.store.runs.daemons import Daemons, DaemonSeen
from syncd.store.runs.runlog import RunLog
from syncd.store.schema.tables import changes, failures

Role = Literal["daemon", "standby", "command", "nobody"]
"""Who works on the store: a daemon; a command that was typed, with or without (``standby``) a daemon that waits for its
end; or nobody."""

PULLS: tuple[RunKind, ...] = ("full", "delta")
"""The kinds of run that read the tenant."""
ENDED: tuple[RunStatus, ...] = ("succeeded", "held", "partial", "failed", "interrupted")
"""How a run may have ended."""
_SUCCEEDED: tuple[RunStatus, ...] = ("succeeded",)
_RUNS_READ = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """Where a store stands. ``last``: the newest closed run of each kind of pull; ``success``: the newest good one.

    ``fresh``: it is a beginning (see `is_fresh`).
    """

    role: Role
    daemons: list[DaemonSeen]
    revision: str | None
    fresh: bool
    running: RunRecord | None
    last: Mapping[str, RunRecord | None]
    success: RunRecord | None
    sides: Mapping[Side, SideState]
    failing: int
    retried_at: datetime | None


def load_overview(database: Database, *, now: datetime) -> Overview:
    """Return where the store stands; takes nothing and locks nothing. Raises StoreError."""
    log = RunLog(database)
    runs = log.load_runs(_RUNS_READ)
    daemons = Daemons(database).load_up(now=now)
    role = load_role(database, now=now)
    failing = database.load_row(_COUNT_FAILING)
    return Overview(
        role=role,
        daemons=daemons if role != "nobody" else [],
        revision=load_revision(database),
        fresh=is_fresh(database),
        running=next((run for run in runs if run.status == "running"), None) if role != "nobody" else None,
        last={kind: log.load_last.blocking(kinds=(kind,), statuses=ENDED) for kind in PULLS},
        success=log.load_last.blocking(kinds=PULLS, statuses=_SUCCEEDED),
        sides={side: find_side(side, runs) for side in SIDES},
        failing=failing[0] if failing else 0,
        retried_at=failing[1] if failing else None,
    )


def is_fresh(database: Database) -> bool:
    """Return whether a store is a beginning: no full run has succeeded in it, and it does not yet know what is ours.

    So it is where there was none before, and where one was lost and the daemon made another. It does not know what is
    ours as long as no record is, or adoptions wait for approval. An older store whose full runs are never whole is no
    beginning.
    """
    if RunLog(database).load_last.blocking(kinds=PULLS[:1], statuses=_SUCCEEDED) is not None:
        return False
    return not database.load_value(OWNS_ANYTHING) or bool(database.load_value(_HOLDS_ADOPTIONS))


def load_role(database: Database, *, now: datetime) -> Role:
    """Return who works on a store."""
    return find_role(Daemons(database).load_up(now=now), taken=StoreLock(database).is_taken())


def find_role(daemons: list[DaemonSeen], *, taken: bool) -> Role:
    """Return who works. A daemon that was killed may have said lately that it works: the lock is free then."""
    roles = {seen.role for seen in daemons}
    if not taken:
        return "standby" if "standby" in roles else "nobody"
    if "working" in roles:
        return "daemon"
    return "standby" if "standby" in roles else "command"


_HOLDS_ADOPTIONS = select(exists().where(changes.c.action == "adopt", changes.c.status == "held"))
_COUNT_FAILING = select(func.count(), func.min(failures.c.next_at))
