"""Finding one object by what an operator calls it, and having the next push look at it."""

from __future__ import annotations

from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, CompoundSelect, Select, Table, bindparam, func, select, union

from syncd.model.kinds import RecordKind
from syncd.model.run import Subject
from syncd.model.source import STREAMS
from syncd.store.db.markers import EMPTIED, INVENTORY_READ, load_markers
from syncd.store.db.part import StorePart, in_thread
from syncd.store.db.sql import intern
from syncd.store.directory.entry import ALIVE
from syncd.store.runs.touched import (
    HAS_WAITING_TOUCHES,
    recall_touches,
    set_touches_aside,
    touch_groups,
    touch_principals,
    touch_users,
)
from syncd.store.schema.tables import (
    desired_groups,
    desired_users,
    source_groups,
    source_objects,
    source_users,
    target_groups,
    target_principals,
    target_users,
    touched_users,
)

_TABLES: dict[RecordKind, tuple[Table, Table, Table]] = {
    "user": (source_users, desired_users, target_users),
    "group": (source_groups, desired_groups, target_groups),
}


class Singles(StorePart):
    """What a run over one object asks of the store."""

    @in_thread
    def is_filled(self) -> bool:
        """Return whether the portal was read completely once, and no stream of the tenant reads empty."""
        return set(load_markers(self._database, INVENTORY_READ, *(EMPTIED + stream for stream in STREAMS))) == {
            INVENTORY_READ
        }

    @in_thread
    def find_objects(self, kind: RecordKind, name: str) -> list[str]:
        """Return the ids of the stored objects that are meant: by id, else those that are not deleted, by UPN or name.

        UPNs and names are compared without case, as the tenant does.
        """
        by_id, by_name = _select_objects(kind)
        given = {"text": name.strip(), "lower": name.strip().lower()}
        return self._database.load_values(by_id, given) or self._database.load_values(by_name, given)

    @in_thread
    def begin_single(self) -> None:
        """Let the touches of everything else wait, so that the push looks at one object; its end takes them back."""
        with self._database.transaction() as connection:
            set_touches_aside(connection)

    @in_thread
    def recall_touches(self) -> None:
        """Take back the touches that a killed run over one object left waiting."""
        if self._database.load_value(HAS_WAITING_TOUCHES):
            with self._database.transaction() as connection:
                recall_touches(connection)

    @in_thread
    def touch_object(self, subject: Subject) -> None:
        """Have the next push look at an object as a whole, whether the tenant changed it or not."""
        with self._database.transaction() as connection:
            keys = intern(connection, source_objects, "id", {subject.id}).values()
            if subject.kind == "user":
                touch_users(connection, keys)
            else:
                touch_groups(connection, keys, whole=True)

    @in_thread
    def touch_records_of_touched(self) -> None:
        """Touch the target records that touched users want or own, as deciding about the touched alone would do."""
        with self._database.transaction() as connection:
            touch_principals(connection, connection.scalars(_SELECT_RECORDS_OF_TOUCHED).all())

    @in_thread
    def load_records_of(self, subject: Subject) -> list[str]:
        """Return the BPS ids that an object wants or owns."""
        return self._database.load_values(_select_records_of(subject.kind), {"object": subject.id})


# ---- statements -----------------------------------------------------------------------------------------------------


def _select_records_of_touched() -> CompoundSelect[Any]:
    touched = select(touched_users.c.key)
    return union(
        select(desired_users.c.principal_key).where(
            desired_users.c.key.in_(touched), desired_users.c.principal_key.is_not(None)
        ),
        select(target_users.c.key).where(target_users.c.source_key.in_(touched)),
    )


_SELECT_RECORDS_OF_TOUCHED = _select_records_of_touched()


@cache
def _select_objects(kind: RecordKind) -> tuple[Select[Any], Select[Any]]:
    """Return how objects are found by their id, and by their UPN or name."""
    table = _TABLES[kind][0]
    called: ColumnElement[Any] = source_users.c.upn if kind == "user" else source_groups.c.name
    base = select(source_objects.c.id).join(table, table.c.key == source_objects.c.key)
    alive = table.c.state.in_(ALIVE)
    same = (called == bindparam("text")) | (func.lower(called) == bindparam("lower"))
    return (
        base.where(source_objects.c.id == bindparam("lower")),
        base.where(same, alive).order_by(source_objects.c.id).limit(20),
    )


@cache
def _select_records_of(kind: RecordKind) -> Select[Any]:
    _, desired, target = _TABLES[kind]
    key = select(source_objects.c.key).where(source_objects.c.id == bindparam("object")).scalar_subquery()
    records = union(
        select(desired.c.principal_key).where(desired.c.key == key, desired.c.principal_key.is_not(None)),
        select(target.c.key).where(target.c.source_key == key),
    ).subquery()
    return (
        select(target_principals.c.bps_id)
        .where(target_principals.c.key.in_(select(records.c[0])))
        .order_by(target_principals.c.bps_fold)
    )
