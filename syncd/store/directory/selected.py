"""Which attributes the stored objects were read with."""

from __future__ import annotations

from collections.abc import Collection

from syncd.model.source import Stream
from syncd.store.db.markers import SELECTED, load_markers, save_marker
from syncd.store.db.part import StorePart, in_thread


class SelectedAttributes(StorePart):
    """What a plan from the store can go by: an attribute that was not read looks like one that is empty."""

    @in_thread
    def save_selected(self, stream: Stream, names: Collection[str]) -> None:
        """Remember with which attributes the objects of a stream are read from now on."""
        with self._database.transaction() as connection:
            save_marker(connection, SELECTED + stream, " ".join(sorted(names)))

    @in_thread
    def load_selected(self, stream: Stream) -> frozenset[str] | None:
        """Return the attributes that the objects of a stream were read with; None: an older version read them."""
        text = load_markers(self._database, SELECTED + stream).get(SELECTED + stream)
        return None if text is None else frozenset(text.split())
