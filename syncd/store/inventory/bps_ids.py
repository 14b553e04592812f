"""BPS ids as integers. A row here says that the id was met somewhere, not that the portal has such a record."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter, itemgetter
from typing import Any

from sqlalchemy import CompoundSelect, Connection, Select, bindparam, func, select, update

from syncd.model.target import fold
from syncd.store.db.database import AnyRow, Database, reading
from syncd.store.db.parameters import among_bound
from syncd.store.db.sql import chunked, encode_rows
from syncd.store.schema.tables import desired_groups, source_groups, source_users, target_groups, target_principals

_CHUNK = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Ordered:
    """A question over records in the order of their BPS ids, built once by `in_order`."""

    page: Select[Any]
    """The records behind ``:after`` as far as ``:until``."""
    chosen: Select[Any]
    """The records of ``:keys``."""


def in_order(statement: Select[Any]) -> Ordered:
    """Make a statement over BPS ids, which has to name ``bps_fold``, one for `iterate_folded`."""
    key, folded = target_principals.c.key, target_principals.c.bps_fold
    return Ordered(
        page=statement.where(folded > bindparam("after"), folded <= bindparam("until")).order_by(folded),
        chosen=statement.where(among_bound(key, "keys")),
    )


def iterate_folded(
    database: Database,
    question: Ordered,
    few: Select[Any] | CompoundSelect[Any] | None,
    parameters: Mapping[str, Any] | None = None,
) -> Iterator[Sequence[AnyRow]]:
    """Yield chunks of a statement over BPS ids in their order.

    ``few``: only the records of the keys that this yields. They are looked up then, instead of walking through all; how
    few they are, no database could tell from a subquery.
    """
    given = dict(parameters or {})
    if few is not None:
        keys = database.load_values(few)
        named = sorted(database.load_rows(_LOAD_FOLDS, {"keys": keys}), key=itemgetter(1)) if keys else ()
        for chunk in chunked([row[0] for row in named], _CHUNK):
            rows = database.load_rows(question.chosen, {**given, "keys": chunk})
            if rows:
                yield sorted(rows, key=attrgetter("bps_fold"))
        return
    last: str | None = ""
    while last is not None:
        after, last = last, database.load_value(_FIND_PAGE_END, {"after": last})
        rows = database.load_rows(question.page, {**given, "after": after, "until": last}) if last is not None else ()
        if rows:
            yield rows


def load_group_names(database: Database, bps_ids: Collection[str]) -> dict[str, str]:
    """Return the names of those groups, by the BPS ids as they were given: the portal's, else the wanted ones."""
    given = {fold(bps_id): bps_id for bps_id in bps_ids}
    rows = database.load_rows(_LOAD_GROUP_NAMES, {"folds": given.keys()})
    return {given[row[0]]: row[1] for row in rows if row[1] and row[1] != given[row[0]]}


def load_source_names(database: Database, keys: Collection[int]) -> dict[int, str]:
    """Return what people know these source objects by: the login of a person, the name of a group."""
    found: dict[int, str] = {}
    with reading(database) as connection:
        for chunk in chunked(sorted(keys), _CHUNK):
            for statement in _LOAD_SOURCE_NAMES:
                found.update({row[0]: row[1] for row in connection.execute(statement, {"keys": chunk})})
    return found


def intern_bps_ids(connection: Connection, bps_ids: Collection[str], *, spelling: bool = False) -> dict[str, int]:
    """Return the key of each BPS id by its folded form, adding new ones in the case in which they are given.

    ``spelling``: the ids come from the portal, whose case is the right one, and correct what is stored.
    """
    if not bps_ids:
        return {}
    given = {fold(bps_id): bps_id for bps_id in bps_ids}
    found: dict[str, int] = {}
    wrong = []
    for key, folded, stored in connection.execute(_LOAD_KNOWN, {"folds": given.keys()}).all():
        found[folded] = key
        if spelling and stored != given[folded]:
            wrong.append({"row_key": key, "spelling": given[folded]})
    if wrong:
        connection.execute(_CORRECT_SPELLING, wrong)
    missing = sorted(given.keys() - found.keys())
    if missing:
        found.update(_add(connection, missing, [given[folded] for folded in missing]))
    return found


def _add(connection: Connection, folds: Sequence[str], spellings: Sequence[str]) -> dict[str, int]:
    """Add new BPS ids; return their keys by folded form."""
    if connection.dialect.name == "postgresql":
        rows = connection.exec_driver_sql(_ADD_IN_POSTGRESQL, (list(folds), list(spellings)))
    else:
        given = encode_rows(list(zip(folds, spellings, strict=True))).decode()
        rows = connection.exec_driver_sql(_ADD_IN_SQLITE, (given,))
    return {row[0]: row[1] for row in rows.fetchall()}


# ---- statements -----------------------------------------------------------------------------------------------------

_FIND_PAGE_END = select(
    func.max(
        select(target_principals.c.bps_fold)
        .where(target_principals.c.bps_fold > bindparam("after"))
        .order_by(target_principals.c.bps_fold)
        .limit(_CHUNK)
        .subquery()
        .c.bps_fold
    )
)
"""Where a page ends that begins behind ``:after``: with both ends known, PostgreSQL joins no more than the page."""
_LOAD_FOLDS = select(target_principals.c.key, target_principals.c.bps_fold).where(
    among_bound(target_principals.c.key, "keys")
)
_LOAD_KNOWN = select(target_principals.c.key, target_principals.c.bps_fold, target_principals.c.bps_id).where(
    among_bound(target_principals.c.bps_fold, "folds", textual=True)
)
_ADD = f"INSERT INTO {target_principals.name} (bps_fold, bps_id) SELECT"
_ADD_IN_SQLITE = (
    f"{_ADD} json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM json_each(?) RETURNING bps_fold, key"
)
_ADD_IN_POSTGRESQL = f"{_ADD} * FROM unnest(%s::text[], %s::text[]) RETURNING bps_fold, key"
_CORRECT_SPELLING = (
    update(target_principals)
    .where(target_principals.c.key == bindparam("row_key"))
    .values(bps_id=bindparam("spelling"))
)
_LOAD_GROUP_NAMES = (
    select(target_principals.c.bps_fold, func.max(func.coalesce(target_groups.c.name, desired_groups.c.name)))
    .outerjoin(target_groups, target_groups.c.key == target_principals.c.key)
    .outerjoin(desired_groups, desired_groups.c.principal_key == target_principals.c.key)
    .where(among_bound(target_principals.c.bps_fold, "folds", textual=True))
    .group_by(target_principals.c.bps_fold)
)
_LOAD_SOURCE_NAMES = tuple(
    select(key, name).where(among_bound(key, "keys"), name.is_not(None))
    for key, name in (
        (source_users.c.key, func.coalesce(source_users.c.upn, source_users.c.name)),
        (source_groups.c.key, source_groups.c.name),
    )
)
