"""The run log: a row is written before a run does anything, and closed whatever happens."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, get_args

from sqlalchemy import Row, Update, bindparam, delete, exists, func, insert, literal_column, select, update

from syncd.model.reason import Cause
from syncd.model.run import RunKind, RunRecord, RunStatus, Trigger
from syncd.store.db.parameters import among_bound
from syncd.store.db.part import StorePart, in_thread
from syncd.store.db.sql import decode_json, encode_json
from syncd.store.runs.chain import CHAINED, append_ended, append_run
from syncd.store.schema.tables import changes, runs

_UNRECORDED = "its end was not recorded: the process ended before the run did, or the store could not be written"


_NO_RUN = 2**62
_AT_ONCE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """Which runs are meant: those of some kinds, of some statuses, and since when; empty: whichever."""

    kinds: tuple[str, ...] = ()
    statuses: tuple[str, ...] = ()
    since: datetime | None = None


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
    ) -> str:
        """Write how a run ended; return the hash of the chain of run records with it."""
        with self._database.transaction() as connection:
            ended = connection.execute(
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
            ).one()
            return append_run(connection, ended)

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
            for run_id in open_runs:
                append_ended(connection, run_id)
            return open_runs

    @in_thread
    def has_open(self) -> bool:
        """Return whether a run is going on, or was left open by a crash."""
        return bool(self._database.load_value(_HAS_OPEN))

    def load_runs(self, limit: int, chosen: Chosen | None = None) -> list[RunRecord]:
        """Return the newest runs, newest first: of all, or of those that are chosen."""
        return list(self.iterate_runs(chosen, limit=limit))

    def iterate_runs(self, chosen: Chosen | None = None, *, limit: int | None = None) -> Iterator[RunRecord]:
        """Yield the runs that are chosen, newest first, in chunks, so many at most."""
        asked, left = _say_chosen(chosen) | {"before": _NO_RUN}, limit
        while left is None or left > 0:
            most = min(_AT_ONCE, left or _AT_ONCE)
            rows = self._database.load_rows(_SELECT_CHOSEN, {**asked, "most": most})
            yield from map(make_run, rows)
            if len(rows) < most:
                return
            asked["before"] = rows[-1].id
            left = None if left is None else left - len(rows)

    def count_runs(self, chosen: Chosen) -> dict[RunStatus, int]:
        """Return how many runs that are chosen have each status."""
        return {row[0]: row[1] for row in self._database.load_rows(_COUNT_CHOSEN, _say_chosen(chosen))}

    @in_thread
    def load_last(self, *, kinds: Collection[RunKind], statuses: Collection[RunStatus]) -> RunRecord | None:
        """Return the newest run of those kinds that ended (or stands) in one of those ways."""
        row = self._database.load_row(_SELECT_LAST, {"kinds": kinds, "statuses": statuses})
        return None if row is None else make_run(row)

    def load_last_changing(self, *, undos: bool = False) -> RunRecord | None:
        """Return the newest run that changed something in the target; ``undos``: also one that is itself an undo."""
        row = self._database.load_row(_SELECT_CHANGING, {"passed_over": ("plan",) if undos else ("plan", "undo")})
        return None if row is None else make_run(row)

    @in_thread
    def load_run(self, run_id: int) -> RunRecord | None:
        """Return one run."""
        row = self._database.load_row(_SELECT_ONE, {"run": run_id})
        return None if row is None else make_run(row)


def _say_chosen(chosen: Chosen | None) -> dict[str, Any]:
    found = chosen or Chosen()
    return {
        "kinds": found.kinds or get_args(RunKind),
        "statuses": found.statuses or get_args(RunStatus),
        "since": found.since or datetime(1970, 1, 1, tzinfo=UTC),
    }


def make_run(row: Row[Any]) -> RunRecord:
    """Return the record that a row is."""
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
_OPEN = insert(runs).returning(runs.c.id)
_CLOSE = update(runs).where(_RUN).returning(*CHAINED)
_DELETE = delete(runs).where(_RUN)
_RUNNING = runs.c.status == literal_column("'running'")  # as the index says it
_SELECT_OPEN = select(runs.c.id).where(_RUNNING).order_by(runs.c.id)
_HAS_OPEN = select(exists().where(_RUNNING))
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
_NEWEST = select(runs).order_by(runs.c.id.desc())
_CHOSEN = (
    among_bound(runs.c.kind, "kinds", textual=True),
    among_bound(runs.c.status, "statuses", textual=True),
    runs.c.started_at >= bindparam("since"),
)
_SELECT_CHOSEN = _NEWEST.where(*_CHOSEN, runs.c.id < bindparam("before")).limit(bindparam("most"))
_COUNT_CHOSEN = select(runs.c.status, func.count()).where(*_CHOSEN).group_by(runs.c.status)
_SELECT_LAST = _NEWEST.limit(1).where(
    among_bound(runs.c.kind, "kinds", textual=True), among_bound(runs.c.status, "statuses", textual=True)
)
_SELECT_CHANGING = _NEWEST.limit(1).where(
    ~among_bound(runs.c.kind, "passed_over", textual=True),
    exists().where(changes.c.run_id == runs.c.id, changes.c.status == "done"),
)
_SELECT_ONE = select(runs).where(_RUN)
