"""Since when, and why, records of ours are left: the beginning and the end of the grace."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Table, and_, bindparam, case, exists, select, update

from syncd.plan.desired import LEAVER_STATES
from syncd.store.tables import desired_groups, desired_users, target_groups


def mark_leaving(connection: Connection, table: Table, *, touched: Any | None, now: datetime) -> None:
    """Start the grace of owned records that nobody wants any more, and end it for those that are wanted again.

    The grace of a record that was left by a rename starts when the new one is there, and every grace starts anew when
    the record is left for another reason than before: nobody who was disabled long ago is deleted at once when the
    tenant deletes that person.
    """
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
    where = [table.c.origin.is_not(None)]
    if touched is not None:
        where.append(table.c.key.in_(touched))
    leaving = and_(~wanting, left)
    fresh = table.c.leaving_at.is_(None) | (table.c.leaving_as != reason)
    connection.execute(
        update(table).where(*where, fresh, leaving).values(leaving_at=bindparam("now"), leaving_as=reason),
        {"now": now},
    )
    connection.execute(
        update(table)
        .where(*where, table.c.leaving_at.is_not(None), table.c.leaving_as.is_(None), leaving)
        .values(leaving_as=reason)
    )
    connection.execute(
        update(table)
        .where(*where, table.c.leaving_at.is_not(None), wanting | ~still_left)
        .values(leaving_at=None, leaving_as=None)
    )
