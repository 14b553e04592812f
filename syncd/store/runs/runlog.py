"""The run log: a row is written before a run does anything, and closed whatever happens."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Row, delete, exists, func, insert, select, update

from syncd.model.run import RunKind, RunRecord, RunStatus, Trigger
from syncd.store.db.database import reading
from syncd.store.db.part import StorePart, in_thread
from syncd.store.db.sql import decode_json, encode_json
from syncd.store.schema.tables import changes, runs

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
            result = connection.execute(insert(runs).values(**row).returning(runs.c.id))
            return int(result.scalar_one())

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
                update(runs)
                .where(runs.c.id == run_id)
                .values(
                    status=status,
                    finished_at=now,
                    counts=encode_json(dict(counts)),
                    phases=encode_json({name: round(seconds, 3) for name, seconds in phases.items()}),
                    error=error[:2000],
                    proof=encode_json(dict(proof)) if proof else None,
                )
            )

    @in_thread
    def discard(self, run_id: int) -> None:
        """Take back the record of a run that never came about."""
        with self._database.transaction() as connection:
            connection.execute(delete(runs).where(runs.c.id == run_id))

    @in_thread
    def interrupt_open(self) -> list[int]:
        """Mark runs that a crash or a failing store left open as interrupted; return their ids.

        To be called under the store's lock. They ended, as far as is known, with the last outcome that they recorded,
        however long ago that is.
        """
        last_sign = select(func.max(changes.c.finished_at)).where(changes.c.run_id == runs.c.id).scalar_subquery()
        ended = func.coalesce(last_sign, runs.c.started_at)
        with self._database.transaction() as connection:
            open_runs = list(connection.scalars(select(runs.c.id).where(runs.c.status == "running")))
            if open_runs:
                connection.execute(
                    update(runs)
                    .where(runs.c.status == "running")
                    .values(status="interrupted", finished_at=ended, error=_UNRECORDED)
                )
            return open_runs

    @in_thread
    def prune(self) -> dict[str, int]:
        """Delete all but the newest plans that were only looked at, and the oldest runs of all; return how many."""
        with self._database.transaction() as connection:
            old_plans = select(runs.c.id).where(runs.c.kind == "plan").order_by(runs.c.id.desc()).offset(PLANS_KEPT)
            old_runs = select(runs.c.id).order_by(runs.c.id.desc()).offset(RUNS_KEPT)
            ended = list(connection.scalars(old_runs.limit(1000)))
            plans = [run_id for run_id in connection.scalars(old_plans.limit(1000)) if run_id not in ended]
            for run_id in (*plans, *ended):
                connection.execute(delete(changes).where(changes.c.run_id == run_id))
                connection.execute(delete(runs).where(runs.c.id == run_id))
            return {"plans": len(plans), "runs": len(ended)}

    @in_thread
    def has_open(self) -> bool:
        """Return whether a run is going on, or was left open by a crash."""
        with reading(self._database) as connection:
            return bool(connection.scalar(select(exists().where(runs.c.status == "running"))))

    def load_runs(self, limit: int) -> list[RunRecord]:
        """Return the newest runs, newest first."""
        with reading(self._database) as connection:
            return [_make_run(row) for row in connection.execute(select(runs).order_by(runs.c.id.desc()).limit(limit))]

    @in_thread
    def load_last(self, *, kinds: Collection[RunKind], statuses: Collection[RunStatus]) -> RunRecord | None:
        """Return the newest run of those kinds that ended (or stands) in one of those ways."""
        newest = select(runs).where(runs.c.kind.in_(kinds), runs.c.status.in_(statuses)).order_by(runs.c.id.desc())
        with reading(self._database) as connection:
            row = connection.execute(newest.limit(1)).first()
        return None if row is None else _make_run(row)

    def load_last_changing(self, *, undos: bool = False) -> RunRecord | None:
        """Return the newest run that changed something in the target; ``undos``: also one that is itself an undo."""
        changed = exists().where(changes.c.run_id == runs.c.id, changes.c.status == "done")
        passed_over = ("plan",) if undos else ("plan", "undo")
        newest = select(runs).where(runs.c.kind.not_in(passed_over), changed).order_by(runs.c.id.desc()).limit(1)
        with reading(self._database) as connection:
            row = connection.execute(newest).first()
        return None if row is None else _make_run(row)

    @in_thread
    def load_run(self, run_id: int) -> RunRecord | None:
        """Return one run."""
        with reading(self._database) as connection:
            row = connection.execute(select(runs).where(runs.c.id == run_id)).first()
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
