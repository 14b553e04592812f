"""Since when, and why, records of ours are left: the beginning and the end of the grace."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any, Literal

from sqlalchemy import (
    ColumnElement,
    Connection,
    Insert,
    Select,
    Table,
    Update,
    and_,
    bindparam,
    case,
    exists,
    insert,
    select,
    true,
    update,
)

from syncd.model.kinds import RECORD_KINDS, RecordKind
from syncd.plan.desired import LEAVER_STATES
from syncd.store.db.parameters import among_bound
from syncd.store.db.part import StorePart
from syncd.store.inventory.history import TABLES, make_noting, run_noting
from syncd.store.runs.touched import touch_groups
from syncd.store.schema.tables import (
    desired_groups,
    desired_users,
    record_history,
    target_groups,
    target_users,
    touched_groups,
    touched_principals,
)


class Leavers(StorePart):
    """Its methods are called in the store's thread."""

    def mark_leavers(self, *, touched_only: bool, now: datetime) -> None:
        """Start or end the grace of our records."""
        if touched_only and not self._database.load_value(_HAS_TOUCHED):
            return
        with self._database.transaction() as connection:
            for kind in RECORD_KINDS:
                _mark(connection, kind, "touched" if touched_only else "all", {"now": now})

    def load_new_leavers(self, *, touched_only: bool) -> tuple[set[int], set[int]]:
        """Return the users and the groups of ours whose grace `mark_leavers` would start, for a look at it."""
        users, groups = (
            set(self._database.load_values(_select_starting(table, "touched" if touched_only else "all")))
            for table in _TABLES
        )
        return users, groups

    def touch_due(self, *, grace: timedelta, now: datetime) -> None:
        """Touch records whose grace has ended."""
        due = {"due": now - grace}
        if not self._database.load_value(_HAS_DUE, due):
            return
        with self._database.transaction() as connection:
            connection.execute(_TOUCH_DUE_ACCOUNTS, due)
            touch_groups(connection, connection.scalars(_SELECT_DUE_GROUPS, due).all(), whole=False)


def mark_left_by(connection: Connection, kind: RecordKind, sources: Collection[int], *, now: datetime) -> None:
    """Start or end the grace of the records that these source objects own: something of theirs has arrived."""
    _mark(connection, kind, "sources", {"now": now, "sources": sources})


def _mark(connection: Connection, kind: RecordKind, which: Which, parameters: dict[str, Any]) -> None:
    """Start the grace of owned records that nobody wants any more, and end it for those that are wanted again.

    The grace of a record that was left by a rename starts when the new one is there, and every grace starts anew when
    the record is left for another reason than before: nobody who was disabled long ago is deleted at once when the
    tenant deletes that person.
    """
    marking = _make_marking(TABLES[kind], which)
    changed = [connection.execute(each, parameters).rowcount for each in (marking.start, marking.name, marking.end)]
    if any(changed):
        given = {name: value for name, value in parameters.items() if name != "now"}
        run_noting(connection, _make_noting(kind, which), given, None, now=parameters["now"])


# ---- statements -----------------------------------------------------------------------------------------------------

Which = Literal["all", "touched", "sources"]
"""Of which records: all, those that are touched, or those of the source objects ``:sources``."""

_TABLES = (target_users, target_groups)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Marking:
    """The statements of `_mark`. ``name``: notes why a record is left, where only since when is noted."""

    start: Update
    name: Update
    end: Update


@dataclass(frozen=True, slots=True, kw_only=True)
class _Conditions:
    """Conditions over a table of records. ``fresh``: left for another reason than is noted, or not noted as left."""

    ours: list[ColumnElement[bool]]
    leaving: ColumnElement[bool]
    fresh: ColumnElement[bool]
    wanted: ColumnElement[bool]
    reason: Any


@cache
def _make_marking(table: Table, which: Which) -> _Marking:
    found = _make_conditions(table, which)
    ours, leaving = found.ours, found.leaving
    begun = table.c.leaving_at.is_not(None)
    return _Marking(
        start=update(table)
        .where(*ours, found.fresh, leaving)
        .values(leaving_at=bindparam("now"), leaving_as=found.reason),
        name=update(table).where(*ours, begun, table.c.leaving_as.is_(None), leaving).values(leaving_as=found.reason),
        end=update(table).where(*ours, begun, found.wanted).values(leaving_at=None, leaving_as=None),
    )


@cache
def _make_noting(kind: RecordKind, which: Which) -> tuple[Update, Insert]:
    table = TABLES[kind]
    if which == "all":
        return make_noting(kind, true(), true())
    keys = _select_keys(table, which)
    return make_noting(kind, record_history.c.record_key.in_(keys), table.c.key.in_(keys))


@cache
def _select_starting(table: Table, which: Which) -> Select[Any]:
    found = _make_conditions(table, which)
    return select(table.c.key).where(*found.ours, found.fresh, found.leaving)


def _make_conditions(table: Table, which: Which) -> _Conditions:
    desired = desired_groups if table is target_groups else desired_users
    owner, heir = desired.alias("owner"), table.alias("heir")
    wanting = exists().where(desired.c.principal_key == table.c.key, desired.c.state == "wanted")
    arrived = exists().where(
        heir.c.key == owner.c.principal_key, heir.c.source_key == owner.c.key, heir.c.origin.is_not(None)
    )
    renamed = (owner.c.state == "wanted") & (owner.c.principal_key != table.c.key)
    gone = owner.c.state.in_(sorted(LEAVER_STATES))
    left = exists().where(owner.c.key == table.c.source_key, gone | (renamed & arrived.correlate(owner)))
    still_left = exists().where(owner.c.key == table.c.source_key, gone | renamed)
    reason = (
        select(case((owner.c.state == "wanted", "renamed"), else_=owner.c.state))
        .where(owner.c.key == table.c.source_key)
        .scalar_subquery()
    )
    ours: list[ColumnElement[bool]] = [table.c.origin.is_not(None)]
    if which != "all":
        ours.append(table.c.key.in_(_select_keys(table, which)))
    fresh = table.c.leaving_at.is_(None) | (table.c.leaving_as != reason)
    return _Conditions(
        ours=ours, leaving=and_(~wanting, left), fresh=fresh, wanted=wanting | ~still_left, reason=reason
    )


def _select_keys(table: Table, which: Which) -> Select[Any]:
    if which == "sources":
        return select(table.c.key).where(among_bound(table.c.source_key, "sources"))
    if table is target_users:
        return select(touched_principals.c.key)
    return select(target_groups.c.key).where(target_groups.c.source_key.in_(select(touched_groups.c.key)))


_HAS_TOUCHED = select(exists().select_from(touched_principals) | exists().select_from(touched_groups))
_DUE_ACCOUNTS, _DUE_GROUPS = (
    select(column).where(table.c.leaving_at <= bindparam("due"))
    for table, column in ((target_users, target_users.c.key), (target_groups, target_groups.c.source_key))
)
_HAS_DUE = select(_DUE_ACCOUNTS.exists() | _DUE_GROUPS.exists())
_SELECT_DUE_GROUPS = _DUE_GROUPS.where(target_groups.c.source_key.is_not(None))
_TOUCH_DUE_ACCOUNTS = insert(touched_principals).from_select(
    ["key"], _DUE_ACCOUNTS.where(target_users.c.key.not_in(select(touched_principals.c.key)))
)
