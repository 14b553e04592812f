"""Since when somebody is in a group or owns a record, and what is over: written with what the inventory is told.

A membership or ownership has its beginning in its own row of the inventory, and what is over moves to a table: so what
lasts is always what the inventory has, and nothing is written twice. Records have a row for each time in which one
owner had them and they were left for one reason.

``run``: the run that brings it about; None means the one that goes on, or none at all.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Delete,
    Executable,
    Insert,
    Select,
    Table,
    Text,
    Update,
    bindparam,
    case,
    delete,
    exists,
    func,
    insert,
    literal,
    literal_column,
    null,
    select,
    true,
    update,
)

from syncd.model.change import LinkKind
from syncd.model.history import Turn
from syncd.model.kinds import RecordKind
from syncd.store.db.parameters import among_bound, among_pairs, listed_pairs, pack_pairs
from syncd.store.db.sql import Within, insert_missing_from, within
from syncd.store.schema.tables import (
    Key,
    UtcTime,
    changes,
    link_history,
    record_history,
    runs,
    target_groups,
    target_members,
    target_owners,
    target_users,
)

Pair = tuple[int, int]
TABLES: Mapping[RecordKind, Table] = {"user": target_users, "group": target_groups}
LINKS: Mapping[LinkKind, Table] = {"membership": target_members, "ownership": target_owners}


# ---- memberships and ownerships -------------------------------------------------------------------------------------


def begin_planned(connection: Connection, kind: LinkKind, run_id: int, seqs: Sequence[int], *, now: datetime) -> None:
    """These links of a plan were written: they are there from now on. The database takes them over by itself."""
    for rows, places in _PLANNED.split(seqs):
        insert_missing_from(connection, LINKS[kind], _BEGINNING, rows, {**places, "run": run_id, "now": now})


def begin_links(connection: Connection, kind: LinkKind, pairs: Collection[Pair], cause: str, *, now: datetime) -> None:
    """These are there from now on, for that cause."""
    if pairs:
        asked = {"pairs": pack_pairs(pairs), "cause": cause, "now": now, "run": None}
        insert_missing_from(connection, LINKS[kind], _BEGINNING, _GIVEN, asked)


def end_links(
    connection: Connection,
    kind: LinkKind,
    pairs: Collection[Pair],
    cause: str,
    *,
    now: datetime,
    run: int | None = None,
) -> None:
    """These are over, for that cause; absent ones are no error."""
    if pairs:
        _ENDING[kind].run(connection, {"pairs": pack_pairs(pairs)}, cause, now=now, run=run)


def end_links_of(connection: Connection, kind: RecordKind, key: int, cause: str, *, now: datetime) -> None:
    """A record is gone from the portal, and with it its memberships and ownerships."""
    for ending in _ENDING_OF[kind]:
        ending.run(connection, {"record": key}, cause, now=now)


@dataclass(frozen=True, slots=True)
class Ending:
    """Ends links that meet a condition: first they are noted as over, then they leave the inventory."""

    note: Insert
    drop: Delete

    def run(
        self, connection: Connection, given: Mapping[str, Any], cause: str, *, now: datetime, run: int | None = None
    ) -> None:
        """Do it; ``given``: the parameters of the condition."""
        connection.execute(self.note, {**given, "cause": cause, "now": now, "run": run})
        connection.execute(self.drop, given)


def make_ending(kind: LinkKind, condition: ColumnElement[Any]) -> Ending:
    """Build what ends the links of a kind that meet a condition over their table."""
    links = LINKS[kind]
    over = select(
        literal(kind, Text()), links.c.group_key, links.c.member_key, *(links.c[name] for name in _CAME), *STAMP
    ).where(condition)
    names = ["object", "group_key", "member_key", *_CAME, *_WENT]
    return Ending(insert(link_history).from_select(names, over), delete(links).where(condition))


# ---- records --------------------------------------------------------------------------------------------------------


def note_records(
    connection: Connection,
    kind: RecordKind,
    keys: Collection[int],
    cause: str | None,
    *,
    now: datetime,
    run: int | None = None,
) -> None:
    """Whose these records are, or why they are left, may have changed: end the times that are over, begin new ones.

    Call it after the inventory was told. ``cause`` None: they begin or end to be left, which their rows say.
    """
    if keys:
        run_noting(connection, _noting_keys(kind), {"keys": keys}, cause, now=now, run=run)


def note_gone(connection: Connection, kind: RecordKind, *, now: datetime) -> None:
    """End the times of all records of a kind that the inventory has not any more: somebody else removed them."""
    connection.execute(_END_GONE[kind], {"cause": Turn.GONE.value, "now": now, "run": None})


@cache
def _noting_keys(kind: RecordKind) -> tuple[Update, Insert]:
    return make_noting(kind, among_bound(record_history.c.record_key, "keys"), among_bound(TABLES[kind].c.key, "keys"))


def make_noting(kind: RecordKind, noted: ColumnElement[Any], there: ColumnElement[Any]) -> tuple[Update, Insert]:
    """Build the statements of `note_records` for records chosen by conditions: over the history, and over the table."""
    table, past = TABLES[kind], record_history
    open_row = past.c.object == kind, past.c.went_at.is_(None)
    same = exists().where(
        table.c.key == past.c.record_key,
        table.c.origin == past.c.origin,
        func.coalesce(table.c.source_key, 0) == func.coalesce(past.c.source_key, 0),
        func.coalesce(table.c.leaving_as, "") == func.coalesce(past.c.leaving_as, ""),
    )
    ending = (
        update(past)
        .where(*open_row, noted, ~same)
        .values(went_at=_NOW, went_run=_RUN, went_cause=func.coalesce(_CAUSE, Turn.LEAVING.value), went_by=_BY)
    )
    why = case((table.c.leaving_as.is_not(None), Turn.LEAVING.value), else_=Turn.RETURNED.value)
    fresh = select(
        literal(kind, Text()),
        *(table.c[name] for name in ("key", "source_key", "origin", "leaving_as", "name")),
        *(_NOW, _RUN, func.coalesce(_CAUSE, why), _BY),
    ).where(table.c.origin.is_not(None), there, ~exists().where(*open_row, past.c.record_key == table.c.key))
    names = ["object", "record_key", "source_key", "origin", "leaving_as", "name", *_CAME]
    return ending, insert(past).from_select(names, fresh)


def run_noting(
    connection: Connection,
    noting: tuple[Executable, Executable],
    given: Mapping[str, Any],
    cause: str | None,
    *,
    now: datetime,
    run: int | None = None,
) -> None:
    """Carry out what `make_noting` made; ``given``: the parameters of its conditions."""
    for statement in noting:
        connection.execute(statement, {**given, "cause": cause, "now": now, "run": run})


# ---- statements -----------------------------------------------------------------------------------------------------

_CAME = ("came_at", "came_run", "came_cause", "came_by")
_WENT = ("went_at", "went_run", "went_cause", "went_by")
_BEGINNING = ("group_key", "member_key", *_CAME)
_NOW = bindparam("now", type_=UtcTime())
_CAUSE = bindparam("cause", type_=Text())
_OPEN_RUN = select(func.max(runs.c.id)).where(runs.c.status == literal_column("'running'")).scalar_subquery()
_RUN: ColumnElement[Any] = func.coalesce(bindparam("run", type_=Key), _OPEN_RUN)
_BY = select(runs.c.trigger).where(runs.c.id == _RUN).scalar_subquery()
STAMP = (_NOW, _RUN, _CAUSE, _BY)
"""The four columns of an end: ``:now``, the run, ``:cause`` and the trigger of the run."""


def _select_planned(which: ColumnElement[Any]) -> Select[Any]:
    cause = case((changes.c.cause == "", Turn.JOINED.value), else_=changes.c.cause)
    links = select(changes.c.record_key, changes.c.target_key, _NOW, _RUN, cause, _BY)
    return links.where(changes.c.run_id == bindparam("run"), which).order_by(changes.c.record_key, changes.c.target_key)


def _select_given() -> Select[Any]:
    group, member = listed_pairs("pairs")
    return select(group, member, *STAMP).where(true()).order_by(group, member)


def _make_ending_of(kind: RecordKind) -> tuple[Ending, ...]:
    ends = {link: links.c.member_key if kind == "user" else links.c.group_key for link, links in LINKS.items()}
    return tuple(make_ending(link, column == bindparam("record")) for link, column in ends.items())


def _end_gone(kind: RecordKind) -> Update:
    there = exists().where(TABLES[kind].c.key == record_history.c.record_key)
    return (
        update(record_history)
        .where(record_history.c.object == kind, record_history.c.went_at.is_(null()), ~there)
        .values(went_at=_NOW, went_run=_RUN, went_cause=_CAUSE, went_by=_BY)
    )


_PLANNED: Within[Select[Any]] = within(changes.c.seq, _select_planned)
_GIVEN = _select_given()
_ENDING = {
    kind: make_ending(kind, among_pairs(links.c.group_key, links.c.member_key, "pairs"))
    for kind, links in LINKS.items()
}
_ENDING_OF: Mapping[RecordKind, tuple[Ending, ...]] = {kind: _make_ending_of(kind) for kind in TABLES}
_END_GONE: Mapping[RecordKind, Update] = {kind: _end_gone(kind) for kind in TABLES}
