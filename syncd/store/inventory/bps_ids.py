"""BPS ids as integers. A row here says that the id was met somewhere, not that the portal has such a record."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from operator import attrgetter, itemgetter
from typing import Any

from sqlalchemy import Connection, Select, bindparam, func, insert, select, update

from syncd.model.target import fold
from syncd.store.db.database import Database, reading
from syncd.store.db.sql import among, chunked
from syncd.store.schema.tables import desired_groups, source_groups, source_users, target_groups, target_principals

_CHUNK = 1000


def iterate_folded(database: Database, statement: Select[Any], few: Select[Any] | None) -> Iterator[Any]:
    """Yield chunks of a statement over BPS ids in their order; it has to name ``bps_fold``.

    ``few``: only the records of these keys; it is they that are looked up then, instead of walking through all.
    """
    if few is not None:
        yield from _iterate_few(database, statement, few)
        return
    folded = target_principals.c.bps_fold
    last = ""
    while True:
        with reading(database) as connection:
            rows = connection.execute(statement.where(folded > last).order_by(folded).limit(_CHUNK)).all()
        if not rows:
            return
        yield rows
        last = rows[-1].bps_fold


def _iterate_few(database: Database, statement: Select[Any], few: Select[Any]) -> Iterator[Any]:
    key, folded = target_principals.c.key, target_principals.c.bps_fold
    with reading(database) as connection:
        keys = list(connection.scalars(few))
        named = connection.execute(select(key, folded).where(among(key, keys, connection))).all()
    ordered = [row[0] for row in sorted(named, key=itemgetter(1))]
    for chunk in chunked(ordered, _CHUNK):
        with reading(database) as connection:
            rows = connection.execute(statement.where(among(key, chunk, connection))).all()
        if rows:
            yield sorted(rows, key=attrgetter("bps_fold"))


def load_group_names(database: Database, bps_ids: Collection[str]) -> dict[str, str]:
    """Return the names of those groups, by the BPS ids as they were given: the portal's, else the wanted ones."""
    given = {fold(bps_id): bps_id for bps_id in bps_ids}
    table, wanted = target_principals, desired_groups
    statement = (
        select(table.c.bps_fold, func.max(func.coalesce(target_groups.c.name, wanted.c.name)))
        .outerjoin(target_groups, target_groups.c.key == table.c.key)
        .outerjoin(wanted, wanted.c.principal_key == table.c.key)
        .group_by(table.c.bps_fold)
    )
    with reading(database) as connection:
        rows = connection.execute(statement.where(among(table.c.bps_fold, given.keys(), connection)))
        return {given[row[0]]: row[1] for row in rows if row[1] and row[1] != given[row[0]]}


def load_source_names(database: Database, keys: Collection[int]) -> dict[int, str]:
    """Return what people know these source objects by: the login of a person, the name of a group."""
    users, groups = source_users.c, source_groups.c
    found: dict[int, str] = {}
    with reading(database) as connection:
        for chunk in chunked(sorted(keys), _CHUNK):
            for key, name in (
                (users.key, func.coalesce(users.upn, users.name)),
                (groups.key, groups.name),
            ):
                rows = connection.execute(select(key, name).where(among(key, chunk, connection), name.is_not(None)))
                found.update({row[0]: row[1] for row in rows})
    return found


def intern_bps_ids(connection: Connection, bps_ids: Collection[str], *, spelling: bool = False) -> dict[str, int]:
    """Return the key of each BPS id by its folded form, adding new ones in the case in which they are given.

    ``spelling``: the ids come from the portal, whose case is the right one, and correct what is stored.
    """
    if not bps_ids:
        return {}
    given = {fold(bps_id): bps_id for bps_id in bps_ids}
    table = target_principals
    found: dict[str, int] = {}
    wrong = []
    for key, folded, stored in connection.execute(
        select(table.c.key, table.c.bps_fold, table.c.bps_id).where(among(table.c.bps_fold, given.keys(), connection))
    ).all():
        found[folded] = key
        if spelling and stored != given[folded]:
            wrong.append({"row_key": key, "bps_id": given[folded]})
    if wrong:
        connection.execute(update(table).where(table.c.key == bindparam("row_key")), wrong)
    missing = sorted(given.keys() - found.keys())
    if missing:
        connection.execute(insert(table), [{"bps_fold": folded, "bps_id": given[folded]} for folded in missing])
        rows = connection.execute(
            select(table.c.bps_fold, table.c.key).where(among(table.c.bps_fold, missing, connection))
        ).all()
        found.update((row[0], row[1]) for row in rows)
    return found
