"""Values that the portal spells in its own way, within the transaction that takes over a reading."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import Connection, Select, select

from syncd.model.kinds import RecordKind
from syncd.plan.spelling import TIMES, is_same_text, is_spelling
from syncd.store.db.parameters import among_bound
from syncd.store.db.sql import decode_json, upsert
from syncd.store.inventory.written import OWN_FIELDS, TABLES
from syncd.store.schema.tables import spellings

Values = tuple[Any, ...]
"""The state of a record, and its fields in the order of `OWN_FIELDS`."""


def take_as_written(
    connection: Connection, kind: RecordKind, fresh: dict[int, Values], there: Mapping[int, Values]
) -> Counter[str]:
    """Put what we wrote in place of the portal's spelling of it, in ``fresh``; return of how many records it is new.

    ``there``: what the store has. A spelling counts once it has been shown twice of the same value, which was written
    anew in between: only then it is not what somebody has put in by hand. The same characters in another form of
    Unicode count at once.
    """
    differing = [key for key, values in fresh.items() if key in there and there[key] != values]
    settled = Counter[str]()
    met = _find(connection, kind, fresh, differing)
    if not met:
        return settled
    known = {
        (row.key, row.field): row for row in connection.execute(_SELECT_KNOWN, {"keys": {key for key, _ in met}}).all()
    }
    rows: list[dict[str, Any]] = []
    for (key, field), (place, sent, shown) in met.items():
        row = known.get((key, field))
        if is_same_text(sent=sent, shown=shown):
            _put(fresh, key, place=place, sent=sent)
            continue
        times = row.times if row is not None and (row.sent, row.shown) == (sent, shown) else 0
        if times < TIMES and there[key][place] == sent:  # written since the last reading
            times += 1
            rows.append({"key": key, "field": field, "sent": sent, "shown": shown, "times": times})
            settled[field] += times == TIMES
        if times >= TIMES:
            _put(fresh, key, place=place, sent=sent)
    upsert(connection, spellings, rows)
    return +settled


def _put(fresh: dict[int, Values], key: int, *, place: int, sent: str) -> None:
    values = list(fresh[key])
    values[place] = sent
    fresh[key] = tuple(values)


def _find(
    connection: Connection, kind: RecordKind, fresh: Mapping[int, Values], keys: Sequence[int]
) -> dict[tuple[int, str], tuple[int, str, str]]:
    """Return the values that may be spellings: by record and field its place, what was sent and what is shown."""
    found: dict[tuple[int, str], tuple[int, str, str]] = {}
    for row in connection.execute(_select_written(kind), {"keys": keys}) if keys else ():
        written = decode_json(row.written)
        for place, field in enumerate(OWN_FIELDS[kind], 1):
            sent, shown = written.get(field), fresh[row.key][place]
            if field != "manager" and sent and shown and is_spelling(sent=sent, shown=shown):
                found[row.key, field] = place, sent, shown
    return found


@cache
def _select_written(kind: RecordKind) -> Select[Any]:
    table = TABLES[kind]
    return select(table.c.key, table.c.written).where(
        among_bound(table.c.key, "keys"), table.c.origin.is_not(None), table.c.written.is_not(None)
    )


_SELECT_KNOWN = select(spellings).where(among_bound(spellings.c.key, "keys"))
