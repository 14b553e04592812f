"""What was told to the hook, so that it is told once: across restarts, and by whichever of two daemons works."""

from __future__ import annotations

from sqlalchemy import func, select

from syncd.store.db.database import reading
from syncd.store.db.markers import TOLD, load_marker, save_marker
from syncd.store.db.part import StorePart, in_thread
from syncd.store.schema.tables import changes


class SentNotifications(StorePart):
    """Reads and writes single facts."""

    @in_thread
    def load_last_sent(self, subject: str) -> str:
        """Return what was last told about a subject, nothing when nothing was."""
        with reading(self._database) as connection:
            return load_marker(connection, TOLD + subject) or ""

    @in_thread
    def save_last_sent(self, subject: str, told: str) -> None:
        """Remember what was told."""
        with self._database.transaction() as connection:
            save_marker(connection, TOLD + subject, told or None)

    @in_thread
    def count_held(self, run_id: int) -> dict[str, int]:
        """Return what a run withholds, by action."""
        statement = (
            select(changes.c.action, func.count())
            .where(changes.c.run_id == run_id, changes.c.status == "held")
            .group_by(changes.c.action)
        )
        with reading(self._database) as connection:
            return {row[0]: row[1] for row in connection.execute(statement)}
