"""What was told, over each channel, so that it is told once: across restarts, and by whichever of two daemons works."""

from __future__ import annotations

from sqlalchemy import bindparam, func, select

from syncd.plan.report.notifications import Failing
from syncd.store.db.markers import TOLD, load_markers, save_marker
from syncd.store.db.part import StorePart, in_thread
from syncd.store.schema.tables import changes, failures


class SentNotifications(StorePart):
    """Reads and writes single facts."""

    @in_thread
    def load_last_sent(self, subject: str) -> str:
        """Return what was last told about a subject, nothing when nothing was."""
        return load_markers(self._database, TOLD + subject).get(TOLD + subject, "")

    @in_thread
    def save_last_sent(self, subject: str, told: str) -> None:
        """Remember what was told."""
        with self._database.transaction() as connection:
            save_marker(connection, TOLD + subject, told or None)

    @in_thread
    def count_held(self, run_id: int) -> dict[tuple[str, str], int]:
        """Return what a run withholds, by action and object."""
        return {(row[0], row[1]): row[2] for row in self._database.load_rows(_COUNT_HELD, {"run": run_id})}

    @in_thread
    def load_failing(self, attempts: int) -> list[Failing]:
        """Return what failed at least so many times and is not solved, in the order of the objects."""
        rows = self._database.load_rows(_SELECT_FAILING, {"attempts": attempts})
        return [
            Failing(
                key=f"{row.record_key}.{row.target_key}.{row.object}",
                object=row.object,
                cause=row.cause,
                since=row.first_at,
            )
            for row in rows
        ]


_COUNT_HELD = (
    select(changes.c.action, changes.c.object, func.count())
    .where(changes.c.run_id == bindparam("run"), changes.c.status == "held")
    .group_by(changes.c.action, changes.c.object)
)
_SELECT_FAILING = (
    select(failures.c.record_key, failures.c.target_key, failures.c.object, failures.c.cause, failures.c.first_at)
    .where(failures.c.attempts >= bindparam("attempts"))
    .order_by(failures.c.record_key, failures.c.target_key, failures.c.object)
)
