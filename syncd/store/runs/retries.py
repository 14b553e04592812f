"""What keeps failing: how often, since when, and when it is tried again."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Any

from sqlalchemy import ColumnElement, Connection, bindparam, delete, exists, func, select

from syncd.model.change import ObjectKind
from syncd.model.reason import Cause, Reason
from syncd.store.db.parameters import among_bound
from syncd.store.db.sql import decode_json, upsert
from syncd.store.schema.tables import changes, failures

DOUBTFUL = (Cause.MAYBE_DONE.value, Cause.MAYBE_TAKEN.value)
"""Causes of failures after which nobody knows what the portal has."""

LATE = timedelta(minutes=15)
"""So long what was sent without an answer may still take effect."""

Place = tuple[int, int, ObjectKind]
"""The record, the member of a membership or ownership (0: the record itself), and the kind of object."""

_FIRST_RETRY = timedelta(minutes=5)
_LAST_RETRY = timedelta(hours=12)


def has_failures(connection: Connection) -> bool:
    """Return whether anything keeps failing."""
    return bool(connection.scalar(_HAS_FAILURES))


def is_settled() -> ColumnElement[bool]:
    """Return the condition that a failure says all there is to know, or that it began before ``:late``."""
    return failures.c.cause.not_in(DOUBTFUL) | (failures.c.first_at < bindparam("late"))


def is_not_due() -> ColumnElement[bool]:
    """Return the condition that the object of a change failed before, and that its next attempt is after ``:now``."""
    return exists().where(
        failures.c.record_key == changes.c.record_key,
        failures.c.target_key == func.coalesce(changes.c.target_key, 0),
        failures.c.object == changes.c.object,
        failures.c.next_at > bindparam("now"),
        # Whoever may be in a group after all is taken out at once, and put in who may be out of it.
        ~((changes.c.action == "unlink") & (failures.c.cause == Cause.MAYBE_DONE.value)),
        ~((changes.c.action == "link") & (failures.c.cause == Cause.MAYBE_TAKEN.value)),
    )


def load_tried(connection: Connection, run_id: int, records: Collection[int]) -> set[tuple[Any, ...]]:
    """Return what earlier runs sent about these records, and failed; links left out."""
    rows = connection.execute(_SELECT_TRIED, {"run": run_id, "records": records})
    return {identify_written(row) for row in rows}


def identify_written(row: Any) -> tuple[Any, ...]:
    """Return what tells one attempt from another. A manager that goes along with a creation makes it no other one."""
    written = decode_json(row.after)
    if row.action == "create":
        written.pop("manager", None)
    return row.record_key, row.target_key or 0, row.object, row.action, tuple(sorted(written.items()))


def forget_failures(connection: Connection, places: Collection[Place]) -> None:
    """Nothing fails about these any more."""
    for record, target, kind in places:
        connection.execute(_FORGET_FAILURE, {"record": record, "target": target, "kind": kind})


def note_failures(
    connection: Connection, done: Collection[Place], failed: Mapping[Place, Reason], *, now: datetime
) -> None:
    """Put off the next attempt of what failed, ever longer, and forget the failures of what is done."""
    if not failed and not has_failures(connection):
        return
    records = {record for record, _, _ in (*done, *failed)}
    concerned = connection.execute(_SELECT_FAILURES, {"records": records}).all()
    known = {(row.record_key, row.target_key, row.object): row for row in concerned}
    forget_failures(connection, known.keys() & set(done))
    rows = []
    for (record, target, kind), error in sorted(failed.items(), key=itemgetter(0)):
        there = known.get((record, target, kind))
        attempts = there.attempts + 1 if there else 1
        rows.append(
            {
                "record_key": record,
                "target_key": target,
                "object": kind,
                "attempts": attempts,
                "first_at": there.first_at if there else now,
                "next_at": now + min(_FIRST_RETRY * 2 ** min(attempts - 1, 20), _LAST_RETRY),
                "cause": error.cause.value,
                "error": error.text[:1000],
            }
        )
    upsert(connection, failures, rows)


# ---- statements -----------------------------------------------------------------------------------------------------

_HAS_FAILURES = select(exists().select_from(failures))
_SELECT_FAILURES = select(failures).where(among_bound(failures.c.record_key, "records"))
_FORGET_FAILURE = delete(failures).where(
    failures.c.record_key == bindparam("record"),
    failures.c.target_key == bindparam("target"),
    failures.c.object == bindparam("kind"),
)
_SELECT_TRIED = select(
    changes.c.record_key, changes.c.target_key, changes.c.object, changes.c.action, changes.c.after
).where(
    among_bound(changes.c.record_key, "records"),
    changes.c.object.not_in(("membership", "ownership")),
    changes.c.run_id < bindparam("run"),
    changes.c.status.in_(("failed", "started")),
)
