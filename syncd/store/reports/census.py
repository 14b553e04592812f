"""The state of everybody in a few bytes each, so that a page of a list by state needs no look at all the others."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, get_args

from sqlalchemy import func, select

from syncd.model.kinds import RecordKind
from syncd.plan.report.status import ObjectStatus
from syncd.plan.rules import PolicyRules
from syncd.store.db.database import Database
from syncd.store.reports.status import Report
from syncd.store.schema.tables import (
    decision_records,
    pauses,
    rejections,
    runs,
    source_groups,
    source_users,
    target_groups,
    target_users,
)

STATES: Final[tuple[ObjectStatus, ...]] = (
    "active", "pending", "skipped", "leaving", "held", "failing", "foreign", "out_of_scope",
)  # fmt: skip
assert set(STATES) == set(get_args(ObjectStatus))
_NUMBERS: Final = {state: number for number, state in enumerate(STATES)}
_PACE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Census:
    """Everybody of one kind in the order of lists: keys of source objects, then of records (``orphans``)."""

    keys: Sequence[int]
    states: bytes
    orphans: int
    counts: Mapping[ObjectStatus, int]

    def find(self, state: ObjectStatus | None, *, start: int, limit: int) -> tuple[list[tuple[int, bool]], int]:
        """Return so many of those in a state, each key with whether it is an orphan's, and how many there are."""
        places: Sequence[int] = range(len(self.keys))
        if state is not None:
            wanted = _NUMBERS[state]
            places = [place for place, number in enumerate(self.states) if number == wanted]
        first = len(self.keys) - self.orphans
        return [(self.keys[place], place >= first) for place in places[start : start + limit]], len(places)

    def choose(self, keyed: Collection[tuple[int, bool]], state: ObjectStatus) -> list[tuple[int, bool]]:
        """Return those of some keys who are in a state, in their order."""
        wanted, first = _NUMBERS[state], len(self.keys) - self.orphans
        there = {
            (key, place >= first)
            for place, (key, number) in enumerate(zip(self.keys, self.states, strict=True))
            if number == wanted
        }
        return [each for each in keyed if each in there]


def take_census(
    database: Database,
    kind: RecordKind,
    policy: PolicyRules,
    *,
    now: datetime,
    protect: frozenset[str],
    pace: Callable[[], None],
) -> Census:
    """Look at everybody of one kind. ``pace`` is called every now and then, and may wait. Raises StoreError."""
    keys, states, orphans = array("q"), bytearray(), 0
    for key, is_orphan, line in Report(database, policy, now=now, protect=protect).iterate_keyed(kind):
        keys.append(key)
        states.append(_NUMBERS[line.state])
        orphans += is_orphan
        if not len(keys) % _PACE:
            pace()
    counts = Counter(STATES[number] for number in states)
    return Census(keys=keys, states=bytes(states), orphans=orphans, counts=counts)


def count_everybody(database: Database) -> int:
    """Return how many people and groups there are, of the tenant and of ours in the portal: twice who is in both."""
    return sum(int(database.load_value(statement) or 0) for statement in _COUNTS)


def load_mark(database: Database) -> tuple[object, ...]:
    """Return what is another one when a run has ended or somebody has decided something since."""
    return tuple(database.load_value(statement) for statement in _MARKS)


_COUNTS = tuple(
    select(func.count()).select_from(table) for table in (source_users, source_groups, target_users, target_groups)
)
_MARKS = (
    select(func.max(runs.c.finished_at)),
    select(func.max(decision_records.c.id)),
    select(func.count()).select_from(rejections),
    select(func.max(pauses.c.id)),
    select(func.count()).select_from(pauses),
)
