"""What our own writes mean for the inventory, within the transactions that record their outcomes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache, lru_cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Delete,
    Select,
    Update,
    bindparam,
    delete,
    func,
    literal,
    null,
    select,
    update,
)

from syncd.model.change import PlannedChange
from syncd.model.history import Turn
from syncd.model.kinds import RecordKind
from syncd.model.target import Fields
from syncd.plan.handover import send_fields
from syncd.plan.privileges import GONE, OURS
from syncd.store.db.parameters import among_bound, json_field, set_json_fields
from syncd.store.db.sql import encode_json, insert_from
from syncd.store.inventory.drift_notes import forget_accepted, forget_links_of
from syncd.store.inventory.history import LINKS as LINKS
from syncd.store.inventory.history import TABLES as TABLES
from syncd.store.inventory.history import end_links_of, note_records
from syncd.store.schema.tables import (
    UtcTime,
    changes,
    privileges,
    substitutions,
)

OWN_FIELDS: Mapping[RecordKind, tuple[str, ...]] = {
    "user": ("name", "email", "phone", "job_title", "manager"),
    "group": ("name", "email"),
}


@dataclass(frozen=True, slots=True)
class Written:
    """A record that was written: its key, the source object that wanted it, and the fields that were sent."""

    key: int
    source_key: int | None
    fields: Fields


def own_created(connection: Connection, kind: RecordKind, run_id: int, seqs: Sequence[int], *, now: datetime) -> None:
    """Records were created as these changes say: they are ours, and WEBCON still has to copy them.

    The database takes them over from the plan by itself: a first push creates everybody.
    """
    if not seqs:
        return
    columns = (*_COLUMNS, *OWN_FIELDS[kind])
    insert_from(connection, TABLES[kind], columns, _select_created(kind), {"run": run_id, "seqs": seqs, "now": now})


def own_adopted(connection: Connection, kind: RecordKind, records: Sequence[Written], *, now: datetime) -> None:
    """Records that the portal had before us were adopted: they are ours from now on."""
    for record in records:
        values = {"origin": "adopted", "source_key": record.source_key, "written": encode_json(dict(record.fields))}
        connection.execute(
            _UPDATE[kind],
            {
                "row_key": record.key,
                **values,
                "leaving_at": None,
                "leaving_as": None,
                "synced_at": now,
                **record.fields,
            },
        )


def write_fields(
    connection: Connection, kind: RecordKind, written: Sequence[tuple[PlannedChange, int]], *, now: datetime
) -> None:
    """Fields of records of ours (a change and the key of its record) were written as these changes say.

    The database takes them over from the plan by itself: a first push sets nearly everybody's manager.
    """
    if not written:
        return
    names: dict[int, set[str]] = {}
    times: Counter[int] = Counter()  # a record may have been written twice, and the later one holds
    alike: dict[tuple[int, int, tuple[str, ...]], list[int]] = {}
    for planned, record in written:
        fields = tuple(sorted(send_fields(planned.change)))
        alike.setdefault((times[record], planned.run_id, fields), []).append(planned.seq)
        times[record] += 1
        names.setdefault(record, set()).update(fields)
    for (_, run_id, fields), seqs in sorted(alike.items()):
        connection.execute(_write(kind, fields), {"run": run_id, "seqs": seqs, "now": now})
    forget_accepted(connection, kind, names)


def forget_record(connection: Connection, kind: RecordKind, key: int, *, deleted: bool, now: datetime) -> None:
    """A record is gone from the portal, and with it its memberships and ownerships; ``deleted``: we did it.

    What rules gave to a group may be there still, for the next one with its BPS id: the next readings tell.
    """
    over = _OVER_DELETED if deleted else _OVER_GONE
    end_links_of(connection, kind, key, over[kind].value, now=now)
    for statement in _FORGET[kind]:
        connection.execute(statement, {"record": key})
    forget_links_of(connection, kind, [key])
    note_records(connection, kind, [key], (Turn.DELETED if deleted else Turn.GONE).value, now=now)


# ---- statements -----------------------------------------------------------------------------------------------------

_COLUMNS = ("key", "status", "origin", "source_key", "written", "leaving_at", "leaving_as", "synced_at")
_THESE = changes.c.run_id == bindparam("run"), among_bound(changes.c.seq, "seqs")
_UPDATE = {kind: update(table).where(table.c.key == bindparam("row_key")) for kind, table in TABLES.items()}
"""Writes the columns that are given into the row of ``row_key``."""


@cache
def _select_created(kind: RecordKind) -> Select[Any]:
    sent = [json_field(changes.c.after, name).label(name) for name in OWN_FIELDS[kind]]
    return select(
        changes.c.record_key,
        literal("WaitingForSynchronization"),
        literal("created"),
        changes.c.source_key,
        func.coalesce(changes.c.after, "{}"),
        null(),
        null(),
        bindparam("now", type_=UtcTime),
        *sent,
    ).where(*_THESE)


@lru_cache(maxsize=64)
def _write(kind: RecordKind, fields: tuple[str, ...]) -> Update:
    table = TABLES[kind]
    sent = {name: json_field(changes.c.after, name) for name in fields}
    return (
        update(table)
        .where(*_THESE)
        .where(table.c.key == changes.c.record_key)
        .values(
            source_key=changes.c.source_key,
            written=set_json_fields(table.c.written, sent) if sent else func.coalesce(table.c.written, "{}"),
            synced_at=bindparam("now"),
            **sent,
        )
    )


def make_given_forgetting(of: ColumnElement[bool]) -> tuple[Delete | Update, ...]:
    """Return the statements about privileges of groups that the portal has no more; ``of``: which rows those are.

    What rules gave may be there still, for the next group with that BPS id: the next readings of places tell. What
    somebody took was taken from the group that is gone.
    """
    return (
        delete(privileges).where(of, privileges.c.state.in_(GONE)),
        update(privileges).where(of, privileges.c.state.in_(OURS)).values(state="sent", shown=False),
    )


def _make_forgetting(kind: RecordKind) -> tuple[Delete | Update, ...]:
    record = delete(TABLES[kind]).where(TABLES[kind].c.key == bindparam("record"))
    if kind == "user":
        return record, delete(substitutions).where(substitutions.c.original_key == bindparam("record"))
    return record, *make_given_forgetting(privileges.c.group_key == bindparam("record"))


_OVER_DELETED: Mapping[RecordKind, Turn] = {"user": Turn.ACCOUNT_DELETED, "group": Turn.GROUP_DELETED}
_OVER_GONE: Mapping[RecordKind, Turn] = {"user": Turn.ACCOUNT_GONE, "group": Turn.GROUP_GONE}
_FORGET: Mapping[RecordKind, tuple[Delete | Update, ...]] = {kind: _make_forgetting(kind) for kind in TABLES}
