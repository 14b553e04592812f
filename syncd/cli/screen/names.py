"""Groups and source objects by name: their ids are made of numbers that nobody knows by heart."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from syncd.plan.drift import Drift
    from syncd.store.db.database import Database

OF_GROUPS = frozenset({"group", "membership", "ownership", "privilege"})
"""Kinds of object of which the BPS id is a group's."""
_AT_ONCE = 200


def name_groups(database: Database, rows: Iterable[Sequence[object]], *, kind: int) -> Iterator[Sequence[object]]:
    """Yield rows of a table with the group's name behind its BPS id, where the store knows one.

    ``kind``: the place of the kind of object (group, membership, …) in a row; the BPS id follows it.
    """
    from syncd.store.inventory.bps_ids import load_group_names

    source = iter(rows)
    while chunk := list(islice(source, _AT_ONCE)):
        ids = {str(row[kind + 1]) for row in chunk if row[kind] in OF_GROUPS}
        names = load_group_names(database, ids) if ids else {}
        for row in chunk:
            name = names.get(str(row[kind + 1])) if row[kind] in OF_GROUPS else None
            yield (*row[: kind + 1], f"{row[kind + 1]} ({name})", *row[kind + 2 :]) if name else row


def name_owners(database: Database, found: Iterable[Sequence[Drift]]) -> Iterator[tuple[Drift, str | None]]:
    """Yield each difference with the person or group of the tenant that its record is owned for.

    None: no source object that the store knows.
    """
    from syncd.store.inventory.bps_ids import load_source_names

    for chunk in found:
        names = load_source_names(database, {entry.source_key for entry in chunk if entry.source_key is not None})
        for entry in chunk:
            yield entry, None if entry.source_key is None else names.get(entry.source_key)
