"""The records that a person or group has in the portal, with who is in them and who owns them: for explanations."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from sqlalchemy import Connection, Row, Select, Table, bindparam, func, select

from syncd.model.kinds import RecordKind
from syncd.store.db.database import Database, reading
from syncd.store.db.parameters import among_values
from syncd.store.db.sql import decode_json
from syncd.store.reports.explain_groups import load_by_hand
from syncd.store.schema.tables import (
    source_objects,
    substitutions,
    target_groups,
    target_members,
    target_owners,
    target_principals,
    target_users,
)

_TARGET: Mapping[RecordKind, Table] = {"user": target_users, "group": target_groups}
_ALL = 1 << 62


@dataclass(frozen=True, slots=True)
class Part:
    """How much of an explanation is wanted: a group may have tens of thousands of members, and as much open.

    ``most`` links of the record in use, from place ``start`` on, and the first so many of others; ``open`` changes.
    """

    start: int
    most: int
    open: int

    @property
    def beginning(self) -> Part:
        """Return the same from the first link on."""
        return replace(self, start=0)


def load_target(
    connection: Connection, kind: RecordKind, records: Collection[int], part: Part | None = None
) -> dict[str, Any] | None:
    """Return the records of an object, the one in use first; None without any.

    With ``part`` each record has in ``numbers`` how many memberships and ownerships there are, beside those shown.
    """
    table = _TARGET[kind]
    rows = connection.execute(
        select(table, target_principals.c.bps_id)
        .join(target_principals, target_principals.c.key == table.c.key)
        .where(among_values(table.c.key, records))
        .order_by(table.c.leaving_at.is_not(None), target_principals.c.bps_fold)
    ).all()
    described = [
        describe_record(connection, kind, row, part if place == 0 else part and part.beginning)
        for place, row in enumerate(rows)
    ]
    if not described:
        return None
    return {**described[0], "other_records": described[1:]}


def describe_record(
    connection: Connection, kind: RecordKind, row: Row[Any], part: Part | None = None
) -> dict[str, Any]:
    """Return what is known of one record, in plain values."""
    names = ("name", "email", "phone", "job_title", "manager") if kind == "user" else ("name", "email")
    places, owned = ("groups", "owns") if kind == "user" else ("members", "owners")
    first = part and part.beginning
    described = {
        "bps_id": row.bps_id,
        "ownership": row.origin or "not ours",
        "status": row.status,
        "fields": {name: getattr(row, name) for name in names},
        "written": decode_json(row.written),
        "by_hand": load_by_hand(connection, kind, row),
        "leaving_since": row.leaving_at,
        "substitution": _load_substitution(connection, row.key) if kind == "user" else None,
        "last_synced_at": row.synced_at,
        places: load_linked(connection, target_members, kind, row.key, part),
        owned: load_linked(connection, target_owners, kind, row.key, first),
    }
    if part is not None:
        described["numbers"] = {
            places: _count_linked(connection, target_members, kind, row.key),
            owned: _count_linked(connection, target_owners, kind, row.key),
        }
    return described


def load_linked(
    connection: Connection, links: Table, kind: RecordKind, key: int, part: Part | None = None
) -> list[str]:
    """Return the BPS ids at the other end of a record's memberships or ownerships, all or a part of them."""
    asked = {"own": key, "start": part.start if part else 0, "most": part.most if part else _ALL}
    return list(connection.scalars(_select_linked(links, kind), asked))


def iterate_linked(database: Database, kind: RecordKind, records: Collection[int]) -> Iterator[tuple[object, ...]]:
    """Yield all memberships, then all ownerships, of some records: what it is, both BPS ids, name and source id."""
    with reading(database) as connection:
        found = [
            (what, *row)
            for what, links in (("membership", target_members), ("ownership", target_owners))
            for key in records
            for row in connection.execute(_describe_linked(links, kind), {"own": key})
        ]
    yield from found


def _count_linked(connection: Connection, links: Table, kind: RecordKind, key: int) -> int:
    mine = links.c.member_key if kind == "user" else links.c.group_key
    return connection.scalar(select(func.count()).select_from(links).where(mine == key)) or 0


def _load_substitution(connection: Connection, key: int) -> dict[str, Any] | None:
    """Return to whom the tasks of an account go, and until when."""
    row = connection.execute(
        select(target_principals.c.bps_id, substitutions.c.ends_at)
        .join(target_principals, target_principals.c.key == substitutions.c.substitute_key)
        .where(substitutions.c.original_key == key, substitutions.c.confirmed)
    ).first()
    return None if row is None else {"substitute": row.bps_id, "until": row.ends_at}


# ---- statements -----------------------------------------------------------------------------------------------------


def _find_ends(links: Table, kind: RecordKind) -> tuple[Any, Any]:
    mine, other = links.c.member_key, links.c.group_key
    return (other, mine) if kind == "group" else (mine, other)


@cache
def _select_linked(links: Table, kind: RecordKind) -> Select[Any]:
    mine, other = _find_ends(links, kind)
    return (
        select(target_principals.c.bps_id)
        .join(links, other == target_principals.c.key)
        .where(mine == bindparam("own"))
        .order_by(target_principals.c.bps_fold)
        .offset(bindparam("start"))
        .limit(bindparam("most"))
    )


@cache
def _describe_linked(links: Table, kind: RecordKind) -> Select[Any]:
    mine, other = _find_ends(links, kind)
    own, theirs = target_principals.alias("own"), target_principals.alias("theirs")
    record = target_users if kind == "group" else target_groups
    return (
        select(own.c.bps_id, theirs.c.bps_id.label("other"), record.c.name, source_objects.c.id)
        .select_from(links)
        .join(own, own.c.key == mine)
        .join(theirs, theirs.c.key == other)
        .outerjoin(record, record.c.key == other)
        .outerjoin(source_objects, source_objects.c.key == record.c.source_key)
        .where(mine == bindparam("own"))
        .order_by(theirs.c.bps_fold)
    )
