"""Runs that somebody asked the working daemon for, from another process: one row for each who asked."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import bindparam, delete, insert, select, update

from syncd.store.db.parameters import among_bound
from syncd.store.db.part import StorePart, in_thread
from syncd.store.schema.tables import asked_runs

AskedKind = Literal["full", "delta"]


@dataclass(frozen=True, slots=True)
class Asked:
    """One wish: its number, the kind of run, and who had it."""

    id: int
    kind: AskedKind
    by: str


class AskedRuns(StorePart):
    """Writes down who wants a run, and which run served whom."""

    def ask(self, kind: AskedKind, *, by: str, now: datetime) -> int:
        """Ask whoever works on this store for a run; return the number of the wish."""
        row = {"kind": kind, "asked_by": by, "asked_at": now}
        with self._database.transaction() as connection:
            return int(connection.execute(_INSERT, row).scalar_one())

    @in_thread
    def load_waiting(self) -> list[Asked]:
        """Return what nobody has begun yet, oldest first."""
        return [Asked(row.id, row.kind, row.asked_by) for row in self._database.load_rows(_SELECT_WAITING)]

    @in_thread
    def serve(self, wishes: Collection[int], run_id: int) -> None:
        """Note which run serves these wishes; called when it has begun."""
        with self._database.transaction() as connection:
            connection.execute(_SERVE, {"numbers": wishes, "run": run_id})

    def find_run(self, wish: int) -> int | None:
        """Return the run that serves a wish, None while it waits."""
        found: int | None = self._database.load_value(_SELECT_RUN, {"wish": wish})
        return found

    def load_askers(self, run_id: int) -> list[str]:
        """Return who asked for a run."""
        return self._database.load_values(_SELECT_ASKERS, {"run": run_id})

    def withdraw(self, wish: int) -> bool:
        """Take a wish back; False when a run serves it already."""
        with self._database.transaction() as connection:
            return bool(connection.execute(_WITHDRAW, {"wish": wish}).rowcount)


# ---- statements -----------------------------------------------------------------------------------------------------

_WISH = asked_runs.c.id == bindparam("wish")
_UNSERVED = asked_runs.c.result_run.is_(None)
_INSERT = insert(asked_runs).returning(asked_runs.c.id)
_SELECT_WAITING = select(asked_runs).where(_UNSERVED).order_by(asked_runs.c.id)
_SERVE = (
    update(asked_runs).where(among_bound(asked_runs.c.id, "numbers"), _UNSERVED).values(result_run=bindparam("run"))
)
_SELECT_RUN = select(asked_runs.c.result_run).where(_WISH)
_SELECT_ASKERS = (
    select(asked_runs.c.asked_by)
    .where(asked_runs.c.result_run == bindparam("run"))
    .distinct()
    .order_by(asked_runs.c.asked_by)
)
_WITHDRAW = delete(asked_runs).where(_WISH, _UNSERVED)
