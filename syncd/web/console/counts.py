"""Numbers that need a look at everybody: people and groups by state, drift, and orphans by class.

They are counted when somebody looks and a run has ended or a decision was made since, once for all readers, and shown
with the time of the counting. One number per person is kept, so that a list by state needs no second look.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from syncd.errors import StoreError
from syncd.logs.redaction import redact_text
from syncd.model.kinds import RECORD_KINDS, RecordKind
from syncd.plan.rules import Rules
from syncd.store.db.database import Database
from syncd.store.reports.census import Census, load_mark, take_census
from syncd.store.reports.orphans import iterate_orphans
from syncd.store.store import Store
from syncd.sync.planning.kept_by_hand import list_ours

Mark = tuple[object, ...]
_COUNTED_AT_ONCE = 5000
"""So many people and groups are counted while the reader waits."""
_GROWS_OLD = timedelta(minutes=10)
"""Pauses and grace periods end without a run: the numbers are counted again after so long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """What was counted, and when."""

    mark: Mark
    at: datetime
    census: Mapping[RecordKind, Census] = field(default_factory=dict)
    drift: int = 0
    orphans: Mapping[str, int] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Return how many were counted."""
        return sum(len(each.keys) for each in self.census.values())


class Counts:
    """Keeps the newest numbers. Used by several threads; one of them counts, and the others wait for it.

    Of a large company, to count takes seconds: readers get the numbers of before meanwhile, with their time.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counted: Counted | None = None
        self._behind: threading.Thread | None = None

    def load(self, database: Database, rules: Rules, *, now: datetime) -> Counted:
        """Return numbers that hold now, or lately; raises StoreError."""
        with self._lock:
            mark, known = (database.address, load_mark(database), rules.fingerprint()), self._counted
            if known is not None and known.mark == mark and now - known.at <= _GROWS_OLD:
                return known
            if known is None or known.mark[0] != mark[0] or known.size <= _COUNTED_AT_ONCE:
                self._counted = known = _count(database, rules, mark=mark, now=now)
            elif self._behind is None or not self._behind.is_alive():
                self._behind = threading.Thread(
                    target=self._recount, args=(database, rules, mark, now), name="console counts", daemon=True
                )
                self._behind.start()
            return known

    def _recount(self, database: Database, rules: Rules, mark: Mark, now: datetime) -> None:
        try:
            self._counted = _count(database, rules, mark=mark, now=now)
        except StoreError as error:  # the next page asks the store again, and says what is wrong with it
            structlog.get_logger("syncd.console").warning("console.store_error", error=redact_text(str(error)))


def _count(database: Database, rules: Rules, *, mark: Mark, now: datetime) -> Counted:
    store = Store(database)
    drift = sum(len(found) for found in store.drift.iterate_drift(list_ours(rules)))
    return Counted(
        mark=mark,
        at=now,
        census={
            kind: take_census(database, kind, rules.policy, now=now, protect=rules.scope.protect)
            for kind in RECORD_KINDS
        },
        drift=drift + sum(len(found) for found in store.licences.iterate_taken_licences()),
        orphans=Counter(str(each.orphan_class) for each in iterate_orphans(database)),
    )
