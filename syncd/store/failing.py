"""What keeps failing: how often, since when, and when it is tried again."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, exists, select

from syncd.model.change import ObjectKind
from syncd.store.rows import among, upsert
from syncd.store.tables import failures

Place = tuple[int, int, ObjectKind]
"""The record, the member of a membership or ownership (0: the record itself), and the kind of object."""

_FIRST_RETRY = timedelta(minutes=5)
_LAST_RETRY = timedelta(hours=12)


def has_failures(connection: Connection) -> bool:
    """Return whether anything keeps failing."""
    return bool(connection.scalar(select(exists().where(failures.c.record_key.is_not(None)))))


def note_failures(
    connection: Connection, done: Collection[Place], failed: Mapping[Place, str], *, now: datetime
) -> None:
    """Put off the next attempt of what failed, ever longer, and forget the failures of what is done."""
    if not failed and not has_failures(connection):
        return
    records = {record for record, _, _ in (*done, *failed)}
    concerned = select(failures).where(among(failures.c.record_key, records, connection))
    known = {(row.record_key, row.target_key, row.object): row for row in connection.execute(concerned).all()}
    for record, target, kind in known.keys() & set(done):
        same = failures.c.record_key == record, failures.c.target_key == target, failures.c.object == kind
        connection.execute(delete(failures).where(*same))
    rows = []
    for (record, target, kind), error in sorted(failed.items()):
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
                "error": error[:1000],
            }
        )
    upsert(connection, failures, rows)
