"""What was told to the hook, so that it is told once: across restarts, and by whichever of two daemons works."""

from __future__ import annotations

from sqlalchemy import bindparam, func, select

from syncd.store.db.markers import TOLD, load_markers, save_marker
from syncd.store.db.part import StorePart, in_thread
from syncd.store.schema.tables import changes


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
    def count_held(self, run_id: int) -> dict[str, int]:
        """Return what a run withholds, by action."""
        return {row[0]: row[1] for row in self._database.load_rows(_COUNT_HELD, {"run": run_id})}


_COUNT_HELD = (
    select(changes.c.action, func.count())
    .where(changes.c.run_id == bindparam("run"), changes.c.status == "held")
    .group_by(changes.c.action)
)
