"""What needs a look at everybody: people and groups by state, what was changed by hand, orphans, licences given lately.

It is looked at when somebody asks and a run has ended or a decision was made since, once for all readers, and shown
with the time of that. A few bytes are kept for each, so that a page of a list needs no second look.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from syncd.errors import StoreError
from syncd.logs.redaction import redact_text
from syncd.model.kinds import RECORD_KINDS, RecordKind
from syncd.plan.rules import Rules
from syncd.store.db.database import Database
from syncd.store.reports.census import Census, count_everybody, load_mark, take_census
from syncd.store.reports.drift_index import DriftIndex, take_drift_index
from syncd.store.reports.licence_forecast import Done, count_done
from syncd.store.reports.orphans import OrphanIndex, take_orphan_index
from syncd.sync.planning.kept_by_hand import list_ours

Mark = tuple[object, ...]
_COUNTED_AT_ONCE = 200
"""So many people and groups are counted while the reader waits."""
LOOKED_BACK = timedelta(days=30)
"""By so much of the past the use of licences is foreseen."""
_GROWS_OLD = timedelta(minutes=10)
"""Pauses and grace periods end without a run: the numbers are counted again after so long."""
_LOOK_SECONDS = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """What was counted, and when."""

    mark: Mark
    at: datetime
    census: Mapping[RecordKind, Census]
    drift: DriftIndex
    orphans: OrphanIndex
    licences: Done


class Counts:
    """Keeps the newest numbers. Used by several threads; one of them counts.

    Of all but a small company, to count takes longer than a page may: it is done behind, and readers get the numbers of
    before meanwhile, or none. It stands still as long as ``is_busy`` says that a run goes on.
    """

    def __init__(self, is_busy: Callable[[], bool]) -> None:
        self._is_busy = is_busy
        self._lock = threading.Lock()
        self._counted: Counted | None = None
        self._behind: threading.Thread | None = None

    def load(self, database: Database, rules: Rules, *, now: datetime) -> Counted | None:
        """Return numbers that hold now, or held lately; None as long as there are none. Raises StoreError."""
        with self._lock:
            mark, known = _make_mark(database, rules), self._counted
            if known is not None and known.mark[0] != mark[0]:
                known = None  # another store
            if known is not None and known.mark == mark and now - known.at <= _GROWS_OLD:
                return known
            if count_everybody(database) <= _COUNTED_AT_ONCE:
                self._counted = known = _count(database, rules, mark=mark, now=now, pace=lambda: None)
            elif self._behind is None or not self._behind.is_alive():
                self._behind = threading.Thread(
                    target=self._recount, args=(database, rules, now), name="console counts", daemon=True
                )
                self._behind.start()
            return known

    def _recount(self, database: Database, rules: Rules, now: datetime) -> None:
        try:
            self._stand_still()
            mark = _make_mark(database, rules)
            self._counted = _count(database, rules, mark=mark, now=now, pace=self._stand_still)
        except StoreError as error:  # the next page asks the store again, and says what is wrong with it
            structlog.get_logger("syncd.console").warning("console.store_error", error=redact_text(str(error)))

    def _stand_still(self) -> None:
        while self._is_busy():
            time.sleep(_LOOK_SECONDS)


def _make_mark(database: Database, rules: Rules) -> Mark:
    return (database.address, load_mark(database), rules.fingerprint())


def _count(database: Database, rules: Rules, *, mark: Mark, now: datetime, pace: Callable[[], None]) -> Counted:
    protect = rules.scope.protect
    return Counted(
        mark=mark,
        at=now,
        census={
            kind: take_census(database, kind, rules.policy, now=now, protect=protect, pace=pace)
            for kind in RECORD_KINDS
        },
        drift=take_drift_index(database, list_ours(rules), pace=pace),
        orphans=take_orphan_index(database, pace=pace),
        licences=count_done(database, since=now - LOOKED_BACK),
    )
