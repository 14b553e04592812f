"""What is known of the places of privileges: whether they can be read, are missing or gone, and who was named there."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from syncd.model.privilege import Holders, Place
from syncd.store.db.markers import PRIVILEGES_REFUSED, load_markers, save_marker
from syncd.store.db.part import StorePart, in_thread
from syncd.store.db.sql import upsert
from syncd.store.privileges import statements as ask
from syncd.store.privileges.readings import take_over
from syncd.store.schema.tables import privilege_places

_MISSING = "the portal says that there is no such place; the next full run looks again"


class Places(StorePart):
    """Its methods are called in the store's thread, or by commands."""

    def load_readable(self) -> dict[str, tuple[str, str]]:
        """Return the state of every place that was asked about, by its token, and why.

        read · refused: it could not be read · missing: one answer said that there is no such place · gone: that is sure
        """
        return {row[0]: (row[1], row[2]) for row in self._database.load_rows(ask.SELECT_PLACES)}

    @in_thread
    def store_unreadable(self, place: Place, said: str) -> None:
        """Note that a place could not be read; what was known of it stays."""
        with self._database.transaction() as connection:
            state = connection.scalar(ask.SELECT_PLACE, {"of": place.token})
            kept = "read" if state == "read" else "refused"
            upsert(connection, privilege_places, [{"place": place.token, "state": kept, "said": said[:500]}])

    @in_thread
    def note_missing(self, place: Place) -> None:
        """Note that the portal said once that there is no such place: no reason yet to let go of anything there."""
        with self._database.transaction() as connection:
            if connection.scalar(ask.SELECT_PLACE, {"of": place.token}) != "gone":
                values = {"place": place.token, "state": "missing", "said": _MISSING}
                upsert(connection, privilege_places, [values])

    @in_thread
    def note_gone(self, place: Place) -> None:
        """Note that there is no such place: nothing of ours can be there."""
        with self._database.transaction() as connection:
            upsert(connection, privilege_places, [{"place": place.token, "state": "gone", "said": ""}])

    @in_thread
    def forget_place(self, place: Place) -> None:
        """Forget a place that the portal has no more, and the own record of it."""
        with self._database.transaction() as connection:
            for statement in ask.FORGET_PLACE:
                connection.execute(statement, {"of": place.token})

    @in_thread
    def keep_places(self, tokens: Collection[str], *, ours: bool = True) -> None:
        """Forget what readings of other places showed: they are not read any more. Not ``ours``: a refusal, too."""
        others = {row[0] for row in self._database.load_rows(ask.SELECT_PLACES)} - set(tokens)
        if not others and (ours or not load_markers(self._database, PRIVILEGES_REFUSED)):
            return
        with self._database.transaction() as connection:
            for statement in ask.FORGET_OTHER_PLACES:
                connection.execute(statement, {"tokens": tokens})
            if not ours:
                save_marker(connection, PRIVILEGES_REFUSED, None)

    @in_thread
    def store_reading(self, place: Place, found: Holders, *, now: datetime, only: int | None = None) -> None:
        """Take over who has something at a place. See `readings`."""
        with self._database.transaction() as connection:
            take_over(connection, place, found, now=now, only=only)
