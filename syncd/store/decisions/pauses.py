"""People and groups for whom nothing is done until a day, because somebody said so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, bindparam, delete, insert, or_, select, union_all

from syncd.plan.pauses import Pause
from syncd.store.db.database import reading
from syncd.store.db.markers import FULL_PUSH_DUE, save_marker
from syncd.store.db.parameters import among_bound
from syncd.store.db.part import StorePart
from syncd.store.schema.tables import (
    desired_groups,
    desired_users,
    pauses,
    target_groups,
    target_principals,
    target_users,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Paused:
    """What a command says of one pause. ``bps_id``: a record that it concerns, empty when there is none."""

    bps_id: str
    until: datetime
    reason: str
    by: str


class Pauses(StorePart):
    """Its methods are called in the store's thread, or by commands."""

    def pause(
        self, *, source: int | None, record: int | None, until: datetime, reason: str, by: str, now: datetime
    ) -> None:
        """Do nothing for a source object, or for a record that none has, until a moment; an earlier pause is over."""
        row = {"source_key": source, "record_key": record, "until": until, "reason": reason, "paused_by": by}
        with self._database.transaction() as connection:
            connection.execute(_FORGET, {"source": source, "record": record})
            connection.execute(insert(pauses).values(paused_at=now, **row))

    def resume(self, *, source: int | None, record: int | None) -> bool:
        """Go on with a source object or record; return whether it was paused. The next run looks at everybody."""
        with self._database.transaction() as connection:
            found = bool(connection.execute(_FORGET, {"source": source, "record": record}).rowcount)
            if found:
                save_marker(connection, FULL_PUSH_DUE, "yes")
        return found

    def load_pauses(self, *, now: datetime) -> list[Pause]:
        """Return what is paused, with the records that it has or is to have."""
        with reading(self._database) as connection:
            rows = connection.execute(_SELECT, {"now": now}).all()
            records = _load_records(connection, [row.source_key for row in rows])
        return [
            Pause(
                source=row.source_key,
                records=frozenset({*records.get(row.source_key, ()), row.record_key} - {None}),
                until=row.until,
                reason=row.reason,
            )
            for row in rows
        ]

    def load_paused(self, *, now: datetime) -> list[Paused]:
        """Return the pauses for people to read, the one that ends first first."""
        found = []
        with reading(self._database) as connection:
            rows = connection.execute(_SELECT, {"now": now}).all()
            records = _load_records(connection, [row.source_key for row in rows])
            for row in rows:
                keys = [row.record_key] if row.record_key is not None else sorted(records.get(row.source_key, ()))
                names = connection.scalars(_SELECT_IDS, {"keys": keys}).all() if keys else []
                name = names[0] if names else ""
                found.append(Paused(bps_id=name, until=row.until, reason=row.reason, by=row.paused_by))
        return found


def _load_records(connection: Connection, sources: list[int | None]) -> Mapping[int | None, set[int]]:
    """Return the records of ours that source objects have, and the ones that they are to have."""
    found: dict[int | None, set[int]] = {}
    wanted = {source for source in sources if source is not None}
    for row in connection.execute(_SELECT_RECORDS, {"sources": wanted}) if wanted else ():
        found.setdefault(row.source_key, set()).add(row.record_key)
    return found


# ---- statements -----------------------------------------------------------------------------------------------------


def _select_records() -> Any:
    parts: list[Select[Any]] = []
    for desired, target in ((desired_users, target_users), (desired_groups, target_groups)):
        parts.append(
            select(target.c.source_key.label("source_key"), target.c.key.label("record_key")).where(
                among_bound(target.c.source_key, "sources"), target.c.origin.is_not(None)
            )
        )
        parts.append(
            select(desired.c.key, desired.c.principal_key).where(
                among_bound(desired.c.key, "sources"),
                desired.c.state == "wanted",
                desired.c.principal_key.is_not(None),
            )
        )
    return union_all(*parts)


_FORGET = delete(pauses).where(
    or_(pauses.c.source_key == bindparam("source"), pauses.c.record_key == bindparam("record"))
)
_SELECT = select(pauses).where(pauses.c.until > bindparam("now")).order_by(pauses.c.until, pauses.c.id)
_SELECT_RECORDS = _select_records()
_SELECT_IDS = (
    select(target_principals.c.bps_id)
    .where(among_bound(target_principals.c.key, "keys"))
    .order_by(target_principals.c.bps_fold)
)
