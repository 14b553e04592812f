"""Write plain links into a plan, of which a first plan has hundreds of thousands: a group at a time, in columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sqlalchemy import Connection

from syncd.model.change import LINK_PHASES, LinkKind, PlainLinks
from syncd.store.db.sql import encode_rows, insert_tuples
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


def insert_plain_links(
    connection: Connection, run_id: int, start: int, *, kind: LinkKind, links: Sequence[PlainLinks]
) -> int:
    """Insert links from place ``start`` on; return the next place."""
    phase = int(LINK_PHASES[kind])
    if connection.dialect.name == "postgresql":
        rows = _list_rows(links, run_id=run_id, start=start, phase=phase, kind=kind)
        insert_tuples(connection, changes, _COLUMNS, list(rows))
    elif links:
        groups = []
        place = start
        for record, source, members in links:
            groups.append((run_id, place, phase, kind, record, source, encode_rows(members).decode()))
            place += len(members)
        connection.exec_driver_sql(_INSERT_GROUP, groups)
    return start + sum(len(each.members) for each in links)


def _list_rows(
    links: Sequence[PlainLinks], *, run_id: int, start: int, phase: int, kind: LinkKind
) -> Iterator[tuple[object, ...]]:
    place = start
    for record, source, members in links:
        for member in members:
            yield run_id, place, phase, "link", kind, record, member, "", source, "", "", "planned", "", ""
            place += 1
