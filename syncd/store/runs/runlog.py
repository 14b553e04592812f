"""The run log: a row is written before a run does anything, and closed whatever happens."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Row, Update, bindparam, delete, exists, func, insert, or_, select, update

from syncd.model.reason import Cause
from syncd.model.run import RunKind, RunRecord, RunStatus, Trigger
from syncd.store.db.parameters import among_bound
from syncd.store.db.part import StorePart, in_thread
from syncd.store.db.sql import decode_json, encode_json
from syncd.store.schema.tables import asked_runs, changes, runs

PLANS_KEPT = 50
RUNS_KEPT = 5000
_UNRECORDED = "its end was not recorded: the process ended before the run did, or the store could not be written"


class RunLog(StorePart):
    """Opens, closes and lists runs."""

    @in_thread
    def open(self, kind: RunKind, trigger: Trigger, *, now: datetime) -> int:
        """Write the record of a run that is about to start; return its id."""
        row = {
            "kind": kind,
            "trigger": trigger,
            "status": "running",
            "started_at": now,
            "counts": "{}",
            "phases": "{}",
            "error": "",
        }
        with self._database.transaction() as connection:
            return int(connection.execute(_OPEN, row).scalar_one())

    @in_thread
    def close(
        self,
        run_id: int,
        status: RunStatus,
        *,
        counts: Mapping[str, int],
        phases: Mapping[str, float],
        error: str,
        now: datetime,
        proof: Mapping[str, Mapping[str, object]] | None = None,
    ) -> None:
        """Write how a run ended."""
        with self._database.transaction() as connection:
            connection.execute(
                _CLOSE,
                {
                    "run": run_id,
                    "status": status,
                    "finished_at": now,
                    "counts": encode_json(dict(counts)),
                    "phases": encode_json({name: round(seconds, 3) for name, seconds in phases.items()}),
                    "error": error[:2000],
                    "proof": encode_json(dict(proof)) if proof else None,
                },
            )

    @in_thread
    def discard(self, run_id: int) -> None:
        """Take back the record of a run that never came about."""
        with self._database.transaction() as connection:
            connection.execute(_DELETE, {"run": run_id})

    @in_thread
    def interrupt_open(self) -> list[int]:
        """Mark runs that a crash or a failing store left open as interrupted; return their ids.

        To be called under the store's lock. They ended, as far as is known, with the last outcome that they recorded,
        however long ago that is.
        """
        with self._database.transaction() as connection:
            open_runs = list(connection.scalars(_SELECT_OPEN))
            if open_runs:
                connection.execute(_INTERRUPT)
                connection.execute(_REOPEN_WAVES, {"runs": open_runs})
            return open_runs

    @in_thread
    def prune(self) -> dict[str, int]:
        """Delete all but the newest plans that were only looked at, and the oldest runs of all; return how many."""
        if not self._database.load_value(_HAS_OLD, {"plans": PLANS_KEPT, "runs": RUNS_KEPT}):
            return {"plans": 0, "runs": 0}
        with self._database.transaction() as connection:
            ended = list(connection.scalars(_SELECT_OLD_RUNS, {"runs": RUNS_KEPT}))
            plans = [each for each in connection.scalars(_SELECT_OLD_PLANS, {"plans": PLANS_KEPT}) if each not in ended]
            for run_id in (*plans, *ended):
                for statement in (_DELETE_CHANGES, _DELETE_ASKED, _DELETE):
                    connection.execute(statement, {"run": run_id})
            return {"plans": len(plans), "runs": len(ended)}

    @in_thread
    def has_open(self) -> bool:
        """Return whether a run is going on, or was left open by a crash."""
        return bool(self._database.load_value(_HAS_OPEN))

    def load_runs(self, limit: int) -> list[RunRecord]:
        """Return the newest runs, newest first."""
        return [_make_run(row) for row in self._database.load_rows(_SELECT_NEWEST, {"most": limit})]

    @in_thread
    def load_last(self, *, kinds: Collection[RunKind], statuses: Collection[RunStatus]) -> RunRecord | None:
        """Return the newest run of those kinds that ended (or stands) in one of those ways."""
        row = self._database.load_row(_SELECT_LAST, {"kinds": kinds, "statuses": statuses})
        return None if row is None else _make_run(row)

    def load_last_changing(self, *, undos: bool = False) -> RunRecord | None:
        """Return the newest run that changed something in the target; ``undos``: also one that is itself an undo."""
        row = self._database.load_row(_SELECT_CHANGING, {"passed_over": ("plan",) if undos else ("plan", "undo")})
        return None if row is None else _make_run(row)

    @in_thread
    def load_run(self, run_id: int) -> RunRecord | None:
        """Return one run."""
        row = self._database.load_row(_SELECT_ONE, {"run": run_id})
        return None if row is None else _make_run(row)


def _make_run(row: Row[Any]) -> RunRecord:
    return RunRecord(
        id=row.id,
        kind=row.kind,
        trigger=row.trigger,
        status=row.status,
        started_at=row.started_at,
        finished_at=row.finished_at,
        counts=decode_json(row.counts),
        phases=decode_json(row.phases),
        error=row.error,
        proof=decode_json(row.proof),
    )


# ---- statements -----------------------------------------------------------------------------------------------------


def _interrupt() -> Update:
    last_sign = select(func.max(changes.c.finished_at)).where(changes.c.run_id == runs.c.id).scalar_subquery()
    ended = func.coalesce(last_sign, runs.c.started_at)
    return (
        update(runs)
        .where(runs.c.status == "running")
        .values(status="interrupted", finished_at=ended, error=_UNRECORDED)
    )


_RUN = runs.c.id == bindparam("run")
_BY_AGE = select(runs.c.id).order_by(runs.c.id.desc()).limit(1000)
_OPEN = insert(runs).returning(runs.c.id)
_CLOSE = update(runs).where(_RUN)
_DELETE = delete(runs).where(_RUN)
_DELETE_CHANGES = delete(changes).where(changes.c.run_id == bindparam("run"))
_DELETE_ASKED = delete(asked_runs).where(asked_runs.c.result_run == bindparam("run"))
_SELECT_OPEN = select(runs.c.id).where(runs.c.status == "running")
_HAS_OPEN = select(exists().where(runs.c.status == "running"))
_INTERRUPT = _interrupt()
_REOPEN_WAVES = (  # waves that never began: the run was cut short before it came to them
    update(changes)
    .where(
        among_bound(changes.c.run_id, "runs"),
        changes.c.status == "held",
        changes.c.error_cause == Cause.NEXT_WAVE.value,
    )
    .values(status="planned", error="", error_cause="")
)
_SELECT_OLD_RUNS = _BY_AGE.offset(bindparam("runs"))
_SELECT_OLD_PLANS = _BY_AGE.where(runs.c.kind == "plan").offset(bindparam("plans"))
_HAS_OLD = select(or_(_SELECT_OLD_RUNS.limit(1).exists(), _SELECT_OLD_PLANS.limit(1).exists()))
_NEWEST = select(runs).order_by(runs.c.id.desc())
_SELECT_NEWEST = _NEWEST.limit(bindparam("most"))
_SELECT_LAST = _NEWEST.limit(1).where(
    among_bound(runs.c.kind, "kinds", textual=True), among_bound(runs.c.status, "statuses", textual=True)
)
_SELECT_CHANGING = _NEWEST.limit(1).where(
    ~among_bound(runs.c.kind, "passed_over", textual=True),
    exists().where(changes.c.run_id == runs.c.id, changes.c.status == "done"),
)
_SELECT_ONE = select(runs).where(_RUN)
