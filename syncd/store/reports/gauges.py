"""What the metrics tell of a store at a glance: numbers that cost the same however large the company is.

The free seats are those that the portal told last, less what syncd has written since.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import func, select

from syncd.store.db.database import Database, reading
from syncd.store.licences.seats import LicenceSeats, load_seats
from syncd.store.runs.open_changes import find_newest_planned, is_in_force, is_open_still
from syncd.store.schema.tables import changes, failures


@dataclass(frozen=True, slots=True, kw_only=True)
class Gauges:
    """``failing``: objects whose writing is tried again; per type of licence: seats, those left, people without one."""

    failing: int
    seats: Mapping[str, int]
    seats_free: Mapping[str, int]
    licences_waiting: Mapping[str, int]


def load_gauges(database: Database) -> Gauges:
    """Return the numbers; raises StoreError."""
    with reading(database) as connection:
        failing = connection.scalar(_COUNT_FAILING) or 0
        newest = find_newest_planned(connection)
        speaks = is_in_force(newest) | is_open_still(connection, newest)
        waiting = {row[0]: row[1] for row in connection.execute(_COUNT_WAITING.where(speaks))}
        seats = {kind: total for kind, (total, _) in load_seats(connection).items()}
    free = LicenceSeats(database).load_free_seats.blocking()
    return Gauges(failing=failing, seats=seats, seats_free=free, licences_waiting=dict.fromkeys(free, 0) | waiting)


_COUNT_FAILING = select(func.count()).select_from(failures)
_COUNT_WAITING = (
    select(changes.c.target, func.count(changes.c.record_key.distinct()))
    .where(
        changes.c.object == "licence",
        changes.c.action == "grant",
        changes.c.status.in_(("planned", "started", "deferred", "failed")),
    )
    .group_by(changes.c.target)
)
