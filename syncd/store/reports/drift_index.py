"""Where each difference made by hand is found again, so that one page of them needs no look at all records.

Four bytes or eight for each changed field, and a number for everything else: of a large company the whole list is
looked through once, when it is counted.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice

from syncd.model.change import LinkKind
from syncd.model.kinds import RECORD_KINDS, RecordKind
from syncd.plan.drift import Drift, Ours
from syncd.store.db.database import Database
from syncd.store.inventory.drift import ByHand
from syncd.store.licences.taken import TakenLicences
from syncd.store.privileges.records import Privileges

_Load = Callable[[int, int], Sequence[Drift]]
"""Returns so many differences from a place on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftIndex:
    """``fields``: the record of each changed field, in the order of the list; then numbers, in that order as well."""

    fields: Mapping[RecordKind, Sequence[int]]
    links: Mapping[LinkKind, int]
    removed: int
    taken: int

    @property
    def total(self) -> int:
        """Return how many differences there are."""
        return sum(map(len, self.fields.values())) + sum(self.links.values()) + self.removed + self.taken


def take_drift_index(database: Database, scope: Ours, *, pace: Callable[[], None]) -> DriftIndex:
    """Look through all records of ours. ``pace`` is called after each chunk, and may wait. Raises StoreError."""
    by_hand, fields = ByHand(database), dict[RecordKind, Sequence[int]]()
    for kind in RECORD_KINDS:
        keys = array("q")
        for found in by_hand.iterate_field_drift(kind, scope):
            keys.extend(key for key, _ in found)
            pace()
        fields[kind] = keys
    return DriftIndex(
        fields=fields,
        links={kind: by_hand.count_link_drift(kind) for kind in scope.links},
        removed=len(by_hand.load_removed()),
        taken=sum(len(found) for found in _iterate_taken(database)),
    )


def load_drift(database: Database, scope: Ours, index: DriftIndex, *, start: int, limit: int) -> list[Drift]:
    """Return so many differences from a place on, in the order of the list; what has gone meanwhile is left out."""
    by_hand = ByHand(database)
    sections: list[tuple[int, _Load]] = [
        *((len(keys), _load_fields(by_hand, scope, kind, keys)) for kind, keys in index.fields.items()),
        *((number, partial(by_hand.load_link_drift, kind)) for kind, number in index.links.items()),
        (index.removed, lambda first, most: by_hand.load_removed()[first : first + most]),
        (
            index.taken,
            lambda first, most: list(islice(chain.from_iterable(_iterate_taken(database)), first, first + most)),
        ),
    ]
    found = list[Drift]()
    for length, load in sections:
        if limit and start < length:
            most = min(limit, length - start)
            found += load(start, most)
            limit -= most
        start = max(0, start - length)
    return found


def _load_fields(by_hand: ByHand, scope: Ours, kind: RecordKind, keys: Sequence[int]) -> _Load:
    """Return what loads the differences of a part of ``keys``."""

    def load(first: int, most: int) -> Sequence[Drift]:
        chosen, before = keys[first : first + most], 0
        while before < first and keys[first - before - 1] == chosen[0]:
            before += 1  # the part begins within a record
        return by_hand.load_field_drift(kind, sorted(set(chosen)), scope)[before : before + most]

    return load


def _iterate_taken(database: Database) -> Iterator[list[Drift]]:
    """Yield the licences, then the privileges, that somebody took."""
    yield from TakenLicences(database).iterate_taken_licences()
    yield Privileges(database).list_taken()
