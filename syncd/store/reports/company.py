"""The stored company as plain values, and which records of the portal are whose: what a drill makes its copy of."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, and_, func, select

from syncd.model.kinds import RecordKind
from syncd.plan.sample import choose_first, choose_groups, find_above
from syncd.store.db.database import Database, reading
from syncd.store.db.sql import decode_json
from syncd.store.schema.tables import (
    source_groups,
    source_members,
    source_objects,
    source_owners,
    source_users,
    target_groups,
    target_principals,
    target_users,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredObject:
    """An active user or group. ``attributes`` as the tenant told them; ``manager`` is a key, of users only."""

    id: str
    attributes: Mapping[str, Any]
    manager: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredCompany:
    """What was chosen of a tenant's directory, by the store's keys. Links name keys of chosen objects only.

    ``named``: the chosen groups that were asked for by name. ``people``: how many there are, chosen or not;
    ``by_hand``: accounts of the portal that are not ours.
    """

    users: Mapping[int, StoredObject]
    groups: Mapping[int, StoredObject]
    members: Mapping[int, list[int]]
    owners: Mapping[int, list[int]]
    named: frozenset[int]
    people: int
    by_hand: int


def load_company(database: Database, *, most: int, names: Collection[str]) -> StoredCompany:
    """Return the company, or a sample of at most so many people, read in one transaction that only reads.

    ``names``: groups, by id or name without case, that are chosen whatever the sample. Raises StoreError.
    """
    wanted = {name.casefold() for name in names}
    with reading(database) as connection:
        people, number = connection.scalar(_COUNT_USERS) or 0, connection.scalar(_COUNT_GROUPS) or 0
        share = min(1.0, most / max(1, people))
        chosen = choose_first(_stream(connection, _USER_IDS), most)
        named = frozenset(
            key
            for key, object_id, name in _stream(connection, _GROUP_NAMES)
            if wanted & {object_id.casefold(), str(name).casefold()}
        )
        groups = choose_groups(
            ((key, object_id) for key, object_id, _ in _stream(connection, _GROUP_NAMES)),
            round(number * share),
            always=named,
            nested=_stream(connection, _NESTED),
        )
        managers = dict[int, int](_stream(connection, _MANAGERS))
        members, owners = (
            _choose_links(_stream(connection, statement), groups, chosen | groups) for statement in (_MEMBERS, _OWNERS)
        )
        return StoredCompany(
            users={
                key: StoredObject(
                    id=object_id,
                    attributes=decode_json(attributes),
                    manager=find_above(managers.get(key), managers, chosen),
                )
                for key, object_id, attributes in _stream(connection, _USERS)
                if key in chosen
            },
            groups={
                key: StoredObject(id=object_id, attributes=decode_json(attributes))
                for key, object_id, attributes in _stream(connection, _GROUPS)
                if key in groups
            },
            members=members,
            owners=owners,
            named=named,
            people=people,
            by_hand=connection.scalar(_BY_HAND) or 0,
        )


def _stream(connection: Connection, statement: Select[Any]) -> Iterator[Any]:
    return iter(connection.execution_options(yield_per=_AT_ONCE).execute(statement))


def _choose_links(
    links: Iterator[tuple[int, int]], groups: Collection[int], chosen: Collection[int]
) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for group, member in links:
        if group in groups and member in chosen:
            found.setdefault(group, []).append(member)
    return found


def load_owned(database: Database) -> Mapping[RecordKind, Mapping[str, str]]:
    """Return the folded BPS id of each record of ours, by the id of its source object. Raises StoreError."""
    return {
        "user": dict(map(tuple, database.load_rows(_OWNED_USERS))),
        "group": dict(map(tuple, database.load_rows(_OWNED_GROUPS))),
    }


_AT_ONCE = 2000

_USERS = (
    select(source_objects.c.key, source_objects.c.id, source_users.c.attributes)
    .join(source_users, source_users.c.key == source_objects.c.key)
    .where(source_users.c.state == "active")
    .order_by(source_objects.c.id)
)
_GROUPS = (
    select(source_objects.c.key, source_objects.c.id, source_groups.c.attributes)
    .join(source_groups, source_groups.c.key == source_objects.c.key)
    .where(source_groups.c.state == "active")
    .order_by(source_objects.c.id)
)
_USER_IDS = _USERS.with_only_columns(source_objects.c.key, source_objects.c.id)
_GROUP_NAMES = _GROUPS.with_only_columns(source_objects.c.key, source_objects.c.id, source_groups.c.name)
_COUNT_USERS = select(func.count()).select_from(source_users).where(source_users.c.state == "active")
_COUNT_GROUPS = select(func.count()).select_from(source_groups).where(source_groups.c.state == "active")
_MANAGERS = select(source_users.c.key, source_users.c.manager_key).where(
    source_users.c.state == "active", source_users.c.manager_key.is_not(None)
)
_NESTED = select(source_members.c.group_key, source_members.c.member_key).join(
    source_groups, source_groups.c.key == source_members.c.member_key
)
_MEMBERS, _OWNERS = (
    select(table.c.group_key, table.c.member_key).order_by(table.c.group_key, table.c.member_key)
    for table in (source_members, source_owners)
)
_BY_HAND = select(func.count()).select_from(target_users).where(target_users.c.origin.is_(None))
_OWNED_USERS, _OWNED_GROUPS = (
    select(source_objects.c.id, target_principals.c.bps_fold)
    .join(table, table.c.source_key == source_objects.c.key)
    .join(target_principals, target_principals.c.key == table.c.key)
    .where(and_(table.c.origin.is_not(None), table.c.leaving_at.is_(None)))
    for table in (target_users, target_groups)
)
