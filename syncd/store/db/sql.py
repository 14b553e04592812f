"""The few places where SQLite and PostgreSQL want different words: many keys in, many rows in, rows from parameters."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any, TypeVar

import msgspec
from sqlalchemy import (
    JSON,
    BigInteger,
    ColumnElement,
    Connection,
    Executable,
    Select,
    Table,
    Text,
    any_,
    bindparam,
    cast,
    exists,
    func,
    literal_column,
    select,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

T = TypeVar("T")
Row = Mapping[str, Any]

_encode = msgspec.json.Encoder().encode
_encode_sorted = msgspec.json.Encoder(order="sorted").encode
_decode = msgspec.json.Decoder().decode
CHUNK = 5000
_SELECT_PACKED = "SELECT value >> 32, value & 4294967295 FROM json_each(?)"
_SELECT_PAIRS = "SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM json_each(?)"


def encode_json(value: object) -> str:
    """Return canonical JSON text (sorted keys), so that equal values are equal texts."""
    return _encode_sorted(value).decode()


def decode_json(text: str | None) -> Any:
    """Read JSON text of ours; None and empty give an empty object."""
    return _decode(text) if text else {}


def among(column: ColumnElement[Any], values: Collection[int] | Collection[str], connection: Connection) -> Any:
    """Return the condition ``column in values``, with the values as one parameter, so that the statement is cached."""
    listed = list(values)
    textual = bool(listed) and isinstance(listed[0], str)
    if connection.dialect.name == "postgresql":
        kind = postgresql.ARRAY(Text() if textual else BigInteger())
        return column == any_(bindparam(None, listed, type_=kind, unique=True))
    source = func.json_each(bindparam(None, _encode(listed).decode(), type_=Text(), unique=True)).table_valued("value")
    return column.in_(select(source.c.value))


def among_bound(column: ColumnElement[Any], name: str, dialect: str) -> Any:
    """Return the condition ``column in :name`` for integer keys, for a statement that is built once; see `pack`."""
    if dialect == "postgresql":
        return column == any_(bindparam(name, type_=postgresql.ARRAY(BigInteger())))
    source = func.json_each(bindparam(name, type_=Text())).table_valued("value")
    return column.in_(select(source.c.value))


def pack(keys: Collection[int], dialect: str) -> object:
    """Return integer keys as the value of a parameter of `among_bound`."""
    return list(keys) if dialect == "postgresql" else _encode(list(keys)).decode()


def chunked(values: Sequence[T], size: int = CHUNK) -> Iterator[Sequence[T]]:
    """Yield slices of at most ``size``."""
    for start in range(0, len(values), size):
        yield values[start : start + size]


_RANGE_FROM = 64


def within(column: ColumnElement[Any], numbers: Iterable[int], connection: Connection) -> Iterator[Any]:
    """Yield conditions that together mean ``column in numbers``, each number in one of them.

    A long run of consecutive numbers is asked for by its ends, which the database reads in one go.
    """
    single = list[int]()
    for first, last in _join_ranges(sorted(numbers)):
        if last - first + 1 >= _RANGE_FROM:
            yield column.between(first, last)
        else:
            single += range(first, last + 1)
    if single:
        yield among(column, single, connection)


def _join_ranges(numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield the first and the last of each run of consecutive numbers; ``numbers`` are sorted."""
    start = 0
    for place, number in enumerate(numbers):
        if place + 1 == len(numbers) or numbers[place + 1] > number + 1:
            yield numbers[start], number
            start = place + 1


def insert_tuples(
    connection: Connection, table: Table, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]
) -> None:
    """Insert rows of plain values, in the order of ``columns``, past the conversions that none of them needs."""
    mark = "%s" if connection.dialect.name == "postgresql" else "?"
    names, marks = ", ".join(f'"{name}"' for name in columns), ", ".join([mark] * len(columns))
    connection.exec_driver_sql(f"INSERT INTO {table.name} ({names}) VALUES ({marks})", list(rows))  # noqa: S608 - names of ours


def insert_missing(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Insert rows whose primary or unique key is not there yet; the others stay as they are."""
    if not rows:
        return
    make = postgresql_insert if connection.dialect.name == "postgresql" else sqlite_insert
    connection.execute(make(table).on_conflict_do_nothing(), list(rows))


def insert_pairs(connection: Connection, table: Table, pairs: Collection[tuple[int, int]]) -> None:
    """Insert (group_key, member_key) pairs that are not there yet, as fast as the database takes them.

    All of them are one parameter: a statement per row would hand Python's lock to and fro for each of them.
    """
    insert_packed(connection, table, [group << 32 | member for group, member in pairs])


def insert_packed(connection: Connection, table: Table, pairs: list[int]) -> None:
    """Insert pairs that are not there yet, each packed into one number (``group_key << 32 | member_key``)."""
    if not pairs:
        return
    pairs.sort()
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(
            f"INSERT INTO {table.name} (group_key, member_key) "  # noqa: S608 - a table name of ours
            "SELECT pair >> 32, pair & 4294967295 FROM unnest(%s::bigint[]) AS given(pair) ON CONFLICT DO NOTHING",
            (pairs,),
        )
    else:
        connection.exec_driver_sql(
            f"INSERT OR IGNORE INTO {table.name} (group_key, member_key) {_SELECT_PACKED}",
            (_encode(pairs).decode(),),
        )


def delete_pairs(connection: Connection, table: Table, pairs: Collection[tuple[int, int]]) -> None:
    """Delete (group_key, member_key) pairs; absent ones are no error."""
    if not pairs:
        return
    if connection.dialect.name == "postgresql":
        groups, members = zip(*pairs, strict=True)
        connection.exec_driver_sql(
            f"DELETE FROM {table.name} USING unnest(%s::bigint[], %s::bigint[]) AS gone(g, m) "  # noqa: S608 - ditto
            "WHERE group_key = gone.g AND member_key = gone.m",
            (list(groups), list(members)),
        )
    else:
        connection.exec_driver_sql(
            f"DELETE FROM {table.name} WHERE (group_key, member_key) IN ({_SELECT_PAIRS})",  # noqa: S608 - ditto
            (_encode(sorted(pairs)).decode(),),
        )


def insert_pairs_from(connection: Connection, table: Table, pairs: Select[Any]) -> None:
    """Insert the (group_key, member_key) pairs that a query yields and that are not there yet."""
    make = postgresql_insert if connection.dialect.name == "postgresql" else sqlite_insert
    connection.execute(make(table).from_select(["group_key", "member_key"], pairs).on_conflict_do_nothing())


def insert_keys(connection: Connection, table: Table, keys: Iterable[int]) -> None:
    """Insert integer keys into a one-column table, ignoring those that are there."""
    listed = sorted(set(keys))
    if not listed:
        return
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(
            f"INSERT INTO {table.name} (key) SELECT unnest(%s::bigint[]) ON CONFLICT DO NOTHING",
            (listed,),
        )
    else:
        connection.exec_driver_sql(
            f"INSERT OR IGNORE INTO {table.name} (key) SELECT value FROM json_each(?)",  # noqa: S608 - ditto
            (_encode(listed).decode(),),
        )


def upsert(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Insert rows, or overwrite the columns they name where the primary key is there already."""
    if rows:
        connection.execute(_make_upsert(connection.dialect.name, table, tuple(rows[0])), list(rows))


@lru_cache(maxsize=64)
def _make_upsert(dialect: str, table: Table, names: tuple[str, ...]) -> Executable:
    make = postgresql_insert if dialect == "postgresql" else sqlite_insert
    statement = make(table)
    keys = [column.name for column in table.primary_key]
    return statement.on_conflict_do_update(
        index_elements=keys, set_={name: statement.excluded[name] for name in names if name not in keys}
    )


def insert_from(connection: Connection, table: Table, columns: Sequence[str], rows: Select[Any]) -> None:
    """Insert what a query yields, or overwrite these columns where the primary key is there already."""
    make = postgresql_insert if connection.dialect.name == "postgresql" else sqlite_insert
    statement = make(table).from_select(list(columns), rows)
    keys = [column.name for column in table.primary_key]
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=keys, set_={name: statement.excluded[name] for name in columns if name not in keys}
        )
    )


def pick_missing(connection: Connection, ids: Collection[str], known: ColumnElement[str], where: Any) -> list[str]:
    """Return those texts that no row has as ``known`` and meets ``where``, sorted; only they leave the database."""
    if not ids:
        return []
    if connection.dialect.name == "postgresql":
        listed = bindparam(None, list(ids), type_=postgresql.ARRAY(Text()), unique=True)
        value: ColumnElement[Any] = func.unnest(listed).column_valued("given")
    else:
        source = func.json_each(bindparam(None, _encode(list(ids)).decode(), type_=Text(), unique=True))
        value = source.table_valued("value").c.value
    statement = select(value).where(~exists().where(known == value, where))
    return sorted(set(connection.scalars(statement)))


def gather_keys(keys: Select[Any], dialect: str) -> Select[Any]:
    """Return a query for all that a query of integers yields, as one value; `fetch_keys` reads it."""
    found = keys.subquery()
    (key,) = found.c
    return select(func.json_group_array(key) if dialect == "sqlite" else cast(func.json_agg(key), Text))


def fetch_keys(connection: Connection, gathered: Select[Any], parameters: Row) -> list[int]:
    """Return the integers of a query that `gather_keys` made."""
    keys: list[int] = _decode(connection.scalar(gathered, parameters) or "[]")
    return keys


def fetch_together(connection: Connection, rows: Select[Any]) -> list[list[Any]]:
    """Return what a query of integers and texts yields, made one value by the database.

    Fetched row by row, each row of SQLite hands Python's lock to the event loop and waits to get it back.
    """
    found = rows.subquery()
    if connection.dialect.name == "sqlite":
        gathered: Any = func.json_group_array(func.json_array(*found.c))
    else:
        gathered = cast(func.json_agg(func.json_build_array(*found.c)), Text)
    rows_read: list[list[Any]] = _decode(connection.scalar(select(gathered)) or "[]")
    return rows_read


def json_field(connection: Connection, document: ColumnElement[Any], name: str) -> Any:
    """Return a text field of JSON text of ours, NULL when it is absent or null."""
    if connection.dialect.name == "sqlite":
        return func.json_extract(document, f"$.{name}", type_=Text)
    return cast(document, JSON)[name].as_string()


def set_json_fields(
    connection: Connection, document: ColumnElement[Any], fields: Mapping[str, ColumnElement[Any]]
) -> Any:
    """Return JSON text of ours with these text fields set, NULL as null; a document that is NULL counts as empty."""
    known = func.coalesce(document, "{}")
    if connection.dialect.name == "sqlite":
        return func.json_set(known, *chain(*((f"$.{name}", value) for name, value in fields.items())))
    given = chain(*((literal_column(f"'{name}'"), value) for name, value in fields.items()))
    return cast(cast(known, postgresql.JSONB).concat(func.jsonb_build_object(*given)), Text)


def intern(connection: Connection, table: Table, column: str, values: Collection[str]) -> dict[str, int]:
    """Return the integer key of each text in a table of unique texts, adding those that are new."""
    if not values:
        return {}
    unique = table.c[column]
    found = _load_keys(connection, table, unique, values)
    missing = sorted(set(values) - found.keys())
    if missing:
        found.update(_insert_texts(connection, table, column, missing))
    return found


def _insert_texts(connection: Connection, table: Table, column: str, texts: Sequence[str]) -> dict[str, int]:
    if connection.dialect.name == "postgresql":
        rows = connection.exec_driver_sql(
            f"INSERT INTO {table.name} ({column}) SELECT unnest(%s::text[]) RETURNING {column}, key",
            (list(texts),),
        )
    else:
        rows = connection.exec_driver_sql(
            f"INSERT INTO {table.name} ({column}) SELECT value FROM json_each(?) RETURNING {column}, key",  # noqa: S608 - ditto
            (_encode(texts).decode(),),
        )
    return {row[0]: row[1] for row in rows.fetchall()}


def _load_keys(
    connection: Connection, table: Table, unique: ColumnElement[Any], values: Collection[str]
) -> dict[str, int]:
    rows = connection.execute(select(unique, table.c.key).where(among(unique, values, connection)))
    return {row[0]: row[1] for row in rows.fetchall()}
