"""Runs and answers that somebody asked the working daemon for, from another process: one row for each who asked.

A question is a plan that is only looked at, or what was changed by hand. It is asked under the rules that the asker has
read, for an answer under others would be about another configuration.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import KW_ONLY, dataclass
from datetime import datetime
from typing import Literal, get_args

from sqlalchemy import bindparam, delete, insert, select, update

from syncd.store.db.parameters import among_bound
from syncd.store.db.part import StorePart, in_thread
from syncd.store.schema.tables import asked_runs

QuestionKind = Literal["plan none", "plan delta", "drift"]
AskedKind = Literal["full", "delta", "plan none", "plan delta", "drift"]
QUESTIONS: tuple[QuestionKind, ...] = get_args(QuestionKind)


@dataclass(frozen=True, slots=True)
class Asked:
    """One wish: its number, what is wanted, and who had it; of a question the hash of the rules that it is about."""

    id: int
    kind: AskedKind
    by: str
    _: KW_ONLY
    rules: str = ""


class AskedRuns(StorePart):
    """Writes down who wants a run, and which run served whom."""

    def ask(self, kind: AskedKind, *, by: str, now: datetime, rules: str = "") -> int:
        """Ask whoever works on this store for a run or an answer; return the number of the wish."""
        row = {"kind": kind, "asked_by": by, "asked_at": now, "rules": rules}
        with self._database.transaction() as connection:
            return int(connection.execute(_INSERT, row).scalar_one())

    @in_thread
    def load_waiting(self) -> list[Asked]:
        """Return what nobody has begun yet, oldest first."""
        return [
            Asked(row.id, row.kind, row.asked_by, rules=row.rules) for row in self._database.load_rows(_SELECT_WAITING)
        ]

    @in_thread
    def serve(self, wishes: Collection[int], run_id: int) -> None:
        """Note which run serves these wishes; called when it has begun."""
        with self._database.transaction() as connection:
            connection.execute(_SERVE, {"numbers": wishes, "run": run_id})

    def find_run(self, wish: int) -> int | None:
        """Return the run that serves a wish, None while it waits."""
        found: int | None = self._database.load_value(_SELECT_RUN, {"wish": wish})
        return found

    @in_thread
    def refuse(self, wishes: Collection[int], why: str) -> None:
        """Say why these are not served; ``why`` is a whole sentence for who asked."""
        with self._database.transaction() as connection:
            connection.execute(_REFUSE, {"numbers": wishes, "why": why})

    def find_refusal(self, wish: int) -> str | None:
        """Return why a wish is not served; None where it waits or is served."""
        found: str | None = self._database.load_value(_SELECT_REFUSAL, {"wish": wish})
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
_SELECT_WAITING = select(asked_runs).where(_UNSERVED, asked_runs.c.refused.is_(None)).order_by(asked_runs.c.id)
_REFUSE = update(asked_runs).where(among_bound(asked_runs.c.id, "numbers"), _UNSERVED).values(refused=bindparam("why"))
_SELECT_REFUSAL = select(asked_runs.c.refused).where(_WISH)
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
