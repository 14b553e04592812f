"""Since when, and why, records of ours are left: the beginning and the end of the grace."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, and_, bindparam, case, exists, insert, select, update

from syncd.plan.desired import LEAVER_STATES
from syncd.store.db.database import reading
from syncd.store.db.part import StorePart
from syncd.store.runs.touched import touch_groups
from syncd.store.schema.tables import (
    desired_groups,
    desired_users,
    target_groups,
    target_users,
    touched_groups,
    touched_principals,
)


class Leavers(StorePart):
    """Its methods are called in the store's thread."""

    def mark_leavers(self, *, touched_only: bool, now: datetime) -> None:
        """Start or end the grace of our records."""
        users, groups = _select_touched(touched_only)
        with self._database.transaction() as connection:
            mark_leaving(connection, target_users, touched=users, now=now)
            mark_leaving(connection, target_groups, touched=groups, now=now)

    def load_new_leavers(self, *, touched_only: bool) -> tuple[set[int], set[int]]:
        """Return the users and the groups of ours whose grace `mark_leavers` would start, for a look at it."""
        users, groups = _select_touched(touched_only)
        with reading(self._database) as connection:
            found = [
                set(connection.scalars(select(table.c.key).where(*_select_starting(table, touched))))
                for table, touched in ((target_users, users), (target_groups, groups))
            ]
        return found[0], found[1]

    def touch_due(self, *, grace: timedelta, now: datetime) -> None:
        """Touch records whose grace has ended."""
        due = now - grace
        with self._database.transaction() as connection:
            fresh = select(target_users.c.key).where(
                target_users.c.leaving_at <= due, target_users.c.key.not_in(select(touched_principals.c.key))
            )
            connection.execute(insert(touched_principals).from_select(["key"], fresh))
            groups = connection.scalars(select(target_groups.c.source_key).where(target_groups.c.leaving_at <= due))
            touch_groups(connection, {key for key in groups if key is not None}, whole=False)


def _select_touched(touched_only: bool) -> tuple[Any | None, Any | None]:
    """Return the keys of touched users and of touched groups; None: of all."""
    if not touched_only:
        return None, None
    groups = select(target_groups.c.key).where(target_groups.c.source_key.in_(select(touched_groups.c.key)))
    return select(touched_principals.c.key), groups


def mark_leaving(connection: Connection, table: Table, *, touched: Any | None, now: datetime) -> None:
    """Start the grace of owned records that nobody wants any more, and end it for those that are wanted again.

    The grace of a record that was left by a rename starts when the new one is there, and every grace starts anew when
    the record is left for another reason than before: nobody who was disabled long ago is deleted at once when the
    tenant deletes that person.
    """
    found = _make_conditions(table, touched)
    ours, leaving = found.ours, found.leaving
    connection.execute(
        update(table).where(*ours, found.fresh, leaving).values(leaving_at=bindparam("now"), leaving_as=found.reason),
        {"now": now},
    )
    connection.execute(
        update(table)
        .where(*ours, table.c.leaving_at.is_not(None), table.c.leaving_as.is_(None), leaving)
        .values(leaving_as=found.reason)
    )
    connection.execute(
        update(table)
        .where(*ours, table.c.leaving_at.is_not(None), found.wanted)
        .values(leaving_at=None, leaving_as=None)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Conditions:
    """Conditions over a table of records. ``fresh``: left for another reason than is noted, or not noted as left."""

    ours: list[ColumnElement[bool]]
    leaving: ColumnElement[bool]
    fresh: ColumnElement[bool]
    wanted: ColumnElement[bool]
    reason: Any


def _select_starting(table: Table, touched: Any | None) -> list[ColumnElement[bool]]:
    found = _make_conditions(table, touched)
    return [*found.ours, found.fresh, found.leaving]


def _make_conditions(table: Table, touched: Any | None) -> _Conditions:
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
    if touched is not None:
        ours.append(table.c.key.in_(touched))
    fresh = table.c.leaving_at.is_(None) | (table.c.leaving_as != reason)
    return _Conditions(
        ours=ours, leaving=and_(~wanting, left), fresh=fresh, wanted=wanting | ~still_left, reason=reason
    )
