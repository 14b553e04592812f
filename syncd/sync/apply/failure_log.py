"""What is logged of failed changes: the first few of a run one by one, the rest as a number.

When the portal goes down, or refuses one thing for everybody, a line per person would bury all others. Nothing is lost
by it: the store has every change with its outcome and reason, and ``syncd runs show`` shows them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import structlog

from syncd.errors import StoreError
from syncd.model.change import Action, ObjectKind
from syncd.model.reason import Reason

if TYPE_CHECKING:
    from syncd.store.store import Store


LOGGED_PER_RUN = 10


class FailureLog:
    """Logs the failures of one run. Not reused: the limit is that of a run."""

    def __init__(self, store: Store, run_id: int) -> None:
        self._store = store
        self._run_id = run_id
        self._log = structlog.get_logger("syncd.apply")
        self._lines = 0
        self._failed = 0
        self._unlogged = 0

    async def note(self, seqs: Sequence[int], action: Action, kind: ObjectKind, error: Reason) -> None:
        """Log that these changes failed, all alike, with the ids of the first; beyond the limit only count them."""
        self._failed += len(seqs)
        if self._lines >= LOGGED_PER_RUN:
            self._unlogged += len(seqs)
            return
        self._lines += 1
        more: dict[str, object] = {"count": len(seqs)} if len(seqs) > 1 else {}
        with contextlib.suppress(StoreError):  # a line without ids is better than none
            more |= await self._store.outcomes.load_source_ids(self._run_id, seqs[0])
        self._log.warning("change.failed", seq=seqs[0], action=action, object=kind, error=error.text, **more)

    def close(self) -> None:
        """Say how many failed, when not all of them were logged."""
        if self._unlogged:
            self._log.warning(
                "changes.failed",
                failed=self._failed,
                not_logged=self._unlogged,
                logged_per_run=LOGGED_PER_RUN,
                all_of_them=f"syncd runs show {self._run_id} --json",
            )
