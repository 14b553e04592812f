"""Which updates of a plan only write once more what the portal shows in a spelling of its own."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from sqlalchemy import Select, bindparam, select

from syncd.model.kinds import RECORD_KINDS, RecordKind
from syncd.model.reason import Cause
from syncd.plan.spelling import is_spelling
from syncd.plan.words import say
from syncd.store.db.part import StorePart
from syncd.store.db.sql import decode_json
from syncd.store.inventory.written import TABLES
from syncd.store.plans.change_statements import MARK
from syncd.store.schema.tables import changes

_AT_ONCE = 500
_READ_AT_ONCE = 2_000


class Respelled(StorePart):
    """Its methods are called in the store's thread."""

    def mark_respelled(self, run_id: int) -> int:
        """Note in a plan which updates write what we wrote before, where the portal shows it spelled otherwise.

        A mapping mistake cannot be one of them, since what is wanted is what was wanted. Returns how many.
        """
        run, seqs = {"run": run_id}, list[int]()
        for kind in RECORD_KINDS:
            asked = {**run, "kind": kind, "behind": -1}
            while rows := self._database.load_rows(_select_updates(kind), asked):
                seqs += [
                    row.seq
                    for row in rows
                    if _is_respelled(decode_json(row.written), decode_json(row.before), decode_json(row.after))
                ]
                asked["behind"] = rows[-1].seq
        reason = say(Cause.RESPELLED)
        values = {**run, "as": reason.cause.value, "because": reason.text}
        with self._database.transaction() as connection:
            for start in range(0, len(seqs), _AT_ONCE):
                connection.execute(MARK, {**values, "seqs": seqs[start : start + _AT_ONCE]})
        return len(seqs)


def _is_respelled(written: Mapping[str, Any], before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    return bool(after) and all(
        field != "manager"
        and written.get(field) == wanted
        and bool(wanted)
        and is_spelling(sent=wanted, shown=before.get(field) or "")
        for field, wanted in after.items()
    )


@cache
def _select_updates(kind: RecordKind) -> Select[Any]:
    table = TABLES[kind]
    return (
        select(changes.c.seq, changes.c.before, changes.c.after, table.c.written)
        .join(table, table.c.key == changes.c.record_key)
        .where(
            changes.c.run_id == bindparam("run"),
            changes.c.seq > bindparam("behind"),
            changes.c.status == "planned",
            changes.c.action == "update",
            changes.c.object == bindparam("kind"),
            changes.c.cause == Cause.NONE.value,
            table.c.written.is_not(None),
        )
        .order_by(changes.c.seq)
        .limit(_READ_AT_ONCE)
    )
