"""Who decided what about held changes: one record for each decision, by command or in the console.

A record is kept as long as the run that held the changes. It names the person, as the log does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Row, bindparam, delete, insert, or_, select, update

from syncd.model.run import Approval
from syncd.store.db.part import StorePart
from syncd.store.db.sql import decode_json, encode_json
from syncd.store.schema.tables import decision_records, orders

DecisionKind = Literal["approve", "reject", "withdraw"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decider:
    """Who decides: the account of the operating system for a command, whoever signed in for the console."""

    via: Literal["command", "console"]
    name: str
    person_id: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionRecord:
    """One decision. ``number``: of changes; ``result_run``: the run that carried it out; None while unknown."""

    id: int
    decision: DecisionKind
    run_id: int
    actions: tuple[str, ...]
    only: tuple[str, ...]
    by: Decider
    at: datetime
    number: int | None = None
    result_run: int | None = None
    waiting: bool = False
    """An order to the daemon that nobody has carried out yet."""


class DecisionRecords(StorePart):
    """Writes and reads them. Its methods may be called in any thread."""

    def record(
        self, decision: DecisionKind, approval: Approval, by: Decider, *, now: datetime, number: int | None = None
    ) -> int:
        """Write down who decided; return the number of the record."""
        row = {
            "decision": decision,
            "run_id": approval.run_id,
            "actions": encode_json(list(approval.actions)),
            "only": encode_json(list(approval.only)),
            "reason": by.reason,
            "via": by.via,
            "decided_by": by.name,
            "person_id": by.person_id,
            "decided_at": now,
            "number": number,
        }
        with self._database.transaction() as connection:
            return int(connection.execute(_INSERT, row).scalar_one())

    def note_result(self, record: int, run_id: int) -> None:
        """Note which run carried out an approval."""
        with self._database.transaction() as connection:
            connection.execute(_NOTE_RESULT, {"record": record, "result": run_id})

    def load_decisions(self, run_id: int) -> list[DecisionRecord]:
        """Return what was decided about what a run held, and what it carries out itself, in the order of time."""
        return _make(self._database.load_rows(_SELECT, {"run": run_id}))

    def load_decision(self, record: int) -> DecisionRecord | None:
        """Return one decision."""
        found = _make(self._database.load_rows(_SELECT_ONE, {"record": record}))
        return found[0] if found else None

    def load_waiting_decisions(self) -> list[DecisionRecord]:
        """Return the approvals that the daemon has not carried out yet."""
        return _make(self._database.load_rows(_SELECT_WAITING))

    def withdraw_decision(self, record: int) -> bool:
        """Take an order back that nobody has begun; False when there is none."""
        with self._database.transaction() as connection:
            return bool(connection.execute(_WITHDRAW, {"record": record}).rowcount)


def _make(rows: Sequence[Row[Any]]) -> list[DecisionRecord]:
    return [
        DecisionRecord(
            id=row.id,
            decision=row.decision,
            run_id=row.run_id,
            actions=tuple(decode_json(row.actions)),
            only=tuple(decode_json(row.only)),
            by=Decider(via=row.via, name=row.decided_by, person_id=row.person_id, reason=row.reason),
            at=row.decided_at,
            number=row.number,
            result_run=row.result_run,
            waiting=row.waiting is not None,
        )
        for row in rows
    ]


# ---- statements -----------------------------------------------------------------------------------------------------

_INSERT = insert(decision_records).returning(decision_records.c.id)
_RECORD = decision_records.c.id == bindparam("record")
_NOTE_RESULT = update(decision_records).where(_RECORD).values(result_run=bindparam("result"))
_ALL = (
    select(decision_records, orders.c.id.label("waiting"))
    .outerjoin(orders, (orders.c.decision == decision_records.c.id) & orders.c.result_run.is_(None))
    .order_by(decision_records.c.id)
)
_SELECT = _ALL.where(
    or_(decision_records.c.run_id == bindparam("run"), decision_records.c.result_run == bindparam("run"))
)
_SELECT_ONE = _ALL.where(_RECORD)
_SELECT_WAITING = _ALL.where(orders.c.id.is_not(None))
_WITHDRAW = delete(orders).where(orders.c.decision == bindparam("record"), orders.c.result_run.is_(None))
