"""How many people and groups are in each state, and what was changed by hand, under the settings in force."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping
from datetime import datetime

from syncd.bootstrap.rules import make_rules
from syncd.config import Settings
from syncd.model.kinds import RECORD_KINDS
from syncd.store.db.database import Database
from syncd.store.reports.status import Report
from syncd.store.store import Store
from syncd.sync.planning.kept_by_hand import list_ours


def count_states(settings: Settings, database: Database, now: datetime) -> Mapping[str, Mapping[str, int]]:
    """Return for ``user`` and ``group`` how many are in each state, the most numerous first; raises StoreError."""
    rules = make_rules(settings)
    report = Report(database, rules.policy, now=now, protect=rules.scope.protect)
    found = {}
    for kind in RECORD_KINDS:
        counted: Counter[str] = Counter()
        for (state, _), number in report.count(kind).items():
            counted[state] += number
        found[str(kind)] = dict(counted.most_common())
    return found


def count_drift(settings: Settings, database: Database) -> Mapping[str, int]:
    """Return how many differences by hand are known for each kind of object that has some; raises StoreError."""
    store, counted = Store(database), Counter[str]()
    by_hand = itertools.chain(
        store.drift.iterate_drift(list_ours(make_rules(settings))),
        store.licences.iterate_taken_licences(),
        [store.privileges.list_taken()],
    )
    for found in by_hand:
        counted.update(each.object for each in found)
    return counted
