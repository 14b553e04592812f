"""Which plans are not complete: nobody is told by them where people stand."""

from __future__ import annotations

from syncd.store.db.markers import PLANNING, save_marker
from syncd.store.db.part import StorePart, in_thread


class Making(StorePart):
    """Notes the runs whose plans are being made. Its methods are called in the store's thread."""

    def begin_plan(self, run_id: int) -> None:
        """Note that the plan of this run is not complete: what the guard holds of it is not known yet.

        A run that ends before its plan is complete leaves this behind, and never speaks: it goes with the run.
        """
        with self._database.transaction() as connection:
            save_marker(connection, PLANNING + str(run_id), "yes")

    @in_thread
    def complete_plan(self, run_id: int) -> None:
        """Note that it is: from now on it says what is open, and no earlier one does."""
        with self._database.transaction() as connection:
            save_marker(connection, PLANNING + str(run_id), None)
