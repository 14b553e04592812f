"""Write plain links into a plan, of which a first plan has hundreds of thousands: a group at a time, in columns.

Of what a link costs SQLite, three quarters is the index over the member, since each of them belongs to another place
of it. Many links are therefore written without that index, which is made anew from what is there, in the same
transaction: whoever reads sees both or neither, and a kill leaves it as it was.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from itertools import islice

from sqlalchemy import Connection

from syncd.model.change import LINK_PHASES, LinkKind, PlainLinks
from syncd.store.db.indexes import without_index
from syncd.store.db.sql import encode_rows
from syncd.store.schema.tables import changes

_COLUMNS = (
    "run_id", "seq", "phase", "action", "object", "record_key", "target_key", "target", "source_key", "cause", "reason",
    "status", "error_cause", "error",
)  # fmt: skip
_INSERT_GROUP = f"""
    INSERT INTO changes ({", ".join(_COLUMNS)})
    SELECT ?, ? + key, ?, 'link', ?, ?, value, '', ?, '', '', 'planned', '', '' FROM json_each(?)
"""  # noqa: S608 - names of ours
"""The members of a group are one parameter of SQLite, since each row that is handed over alone costs as much again."""
_INSERT_ARRAYS = f"""
    INSERT INTO changes ({", ".join(_COLUMNS)})
    SELECT %s, %s + place - 1, %s, 'link', %s, record, member, '', source, '', '', 'planned', '', ''
    FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[]) WITH ORDINALITY AS given(record, member, source, place)
"""  # noqa: S608 - names of ours
"""A server gets many groups at once: what it does with a statement costs more than what it does with a row."""
_INDEX = next(index for index in changes.indexes if index.columns.keys() == ["target_key"])

MANY = 50_000
"""From so many links on, the index over the member is made anew."""
_SENT_AT_ONCE = 20_000
_TIMES = 3
"""As long as no more than so many times as many changes are there: each costs the new index an eighth of a link."""


def insert_plain_links(
    connection: Connection, run_id: int, start: int, *, kind: LinkKind, links: Sequence[PlainLinks]
) -> int:
    """Insert links from place ``start`` on; return the next place."""
    phase, number = int(LINK_PHASES[kind]), sum(len(each.members) for each in links)
    if connection.dialect.name == "postgresql":
        place, rows = start, _list_rows(links)
        while some := list(islice(rows, _SENT_AT_ONCE)):
            arrays = (_write_array(column) for column in zip(*some, strict=True))
            connection.exec_driver_sql(_INSERT_ARRAYS, (run_id, place, phase, kind, *arrays))
            place += len(some)
    elif links:
        groups = []
        place = start
        for record, source, members in links:
            groups.append((run_id, place, phase, kind, record, source, encode_rows(list(members)).decode()))
            place += len(members)
        with without_index(connection, _INDEX, most=_TIMES * number) if number >= MANY else nullcontext():
            connection.exec_driver_sql(_INSERT_GROUP, groups)
    return start + number


def _list_rows(links: Iterable[PlainLinks]) -> Iterator[tuple[int, int, int]]:
    """Yield (group, member, source group) of each link."""
    return ((record, member, source) for record, source, members in links for member in members)


def _write_array(numbers: Iterable[int]) -> str:
    """Return numbers as an array in PostgreSQL's own words, which its driver takes longer to write."""
    return f"{{{','.join(map(str, numbers))}}}"
