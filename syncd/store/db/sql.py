"""Writing many rows at once, which SQLite and PostgreSQL want said differently. Conditions over many: `parameters`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec
from sqlalchemy import ColumnElement, Connection, Executable, Select, Table, bindparam, select

from syncd.store.db.parameters import among_bound

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql, sqlite
    from sqlalchemy.engine import Dialect

T = TypeVar("T")
Row = Mapping[str, Any]

_encode = msgspec.json.Encoder().encode
_encode_sorted = msgspec.json.Encoder(order="sorted").encode
_decode = msgspec.json.Decoder().decode
CHUNK = 5000
_SENT_AT_ONCE = 2000
_SELECT_PACKED = "SELECT value >> 32, value & 4294967295 FROM json_each(?)"
_SELECT_PAIRS = "SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM json_each(?)"


def encode_json(value: object) -> str:
    """Return canonical JSON text (sorted keys), so that equal values are equal texts."""
    return _encode_sorted(value).decode()


def encode_rows(rows: list[Any]) -> bytes:
    """Return rows of plain values as JSON, always alike."""
    return _encode(rows)


def decode_json(text: str | None) -> Any:
    """Read JSON text of ours; None and empty give an empty object."""
    return _decode(text) if text else {}


def chunked(values: Sequence[T], size: int = CHUNK) -> Iterator[Sequence[T]]:
    """Yield slices of at most ``size``."""
    for start in range(0, len(values), size):
        yield values[start : start + size]


_RANGE_FROM = 64
S = TypeVar("S", bound=Executable)


@dataclass(frozen=True, slots=True, kw_only=True)
class Within(Generic[S]):
    """A statement over a column that is one of many numbers, built once in two forms by `within`."""

    between: S
    """For a long run of consecutive numbers, which the database reads in one go: from ``:first`` to ``:last``."""
    among: S
    """For any others: ``:numbers``."""

    def split(self, numbers: Iterable[int]) -> Iterator[tuple[S, dict[str, Any]]]:
        """Yield statements with their parameters that together are about these numbers, each number in one of them."""
        single = list[int]()
        for first, last in _join_ranges(sorted(numbers)):
            if last - first + 1 >= _RANGE_FROM:
                yield self.between, {"first": first, "last": last}
            else:
                single += range(first, last + 1)
        if single:
            yield self.among, {"numbers": single}


def within(column: ColumnElement[Any], make: Callable[[ColumnElement[Any]], S]) -> Within[S]:
    """Build the statement that ``make`` makes of a condition over a column in both forms."""
    consecutive = column.between(bindparam("first"), bindparam("last"))
    return Within(between=make(consecutive), among=make(among_bound(column, "numbers")))


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
    if rows:
        _send_rows(connection, _say_insert(connection.dialect, table, tuple(columns)), rows)


def upsert_tuples(
    connection: Connection, table: Table, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]
) -> None:
    """Insert rows of plain values as `insert_tuples` does, or overwrite where the primary key is there already.

    No two of the rows may have the same key.
    """
    if rows:
        _send_rows(connection, _say_upsert(connection.dialect, table, tuple(columns)), rows)


def _send_rows(connection: Connection, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
    """Send rows: each by itself to SQLite, where that costs nothing, and many as one document to a server."""
    if connection.dialect.name != "postgresql":
        connection.exec_driver_sql(statement, list(rows))
        return
    for some in chunked(rows, _SENT_AT_ONCE):
        connection.exec_driver_sql(statement, (_encode(list(some)).decode(),))


@lru_cache(maxsize=64)
def _say_insert(dialect: Dialect, table: Table, columns: tuple[str, ...]) -> str:
    names = ", ".join(f'"{name}"' for name in columns)
    if dialect.name != "postgresql":
        return f"INSERT INTO {table.name} ({names}) VALUES ({', '.join('?' * len(columns))})"  # noqa: S608 - names of ours
    types = (table.c[name].type.compile(dialect) for name in columns)
    values = ", ".join(f"CAST(given.row ->> {place} AS {kind})" for place, kind in enumerate(types))
    return f"INSERT INTO {table.name} ({names}) SELECT {values} FROM jsonb_array_elements(%s::jsonb) AS given(row)"  # noqa: S608 - names of ours


@lru_cache(maxsize=64)
def _say_upsert(dialect: Dialect, table: Table, columns: tuple[str, ...]) -> str:
    keys = [column.name for column in table.primary_key]
    key = ", ".join(f'"{name}"' for name in keys)
    ours = ", ".join(f'"{name}" = excluded."{name}"' for name in columns if name not in keys)
    return f"{_say_insert(dialect, table, columns)} ON CONFLICT ({key}) DO UPDATE SET {ours}"


def insert_missing(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Insert rows whose primary or unique key is not there yet; the others stay as they are."""
    if not rows:
        return
    connection.execute(_make_insert_missing(connection.dialect.name, table), list(rows))


def _make_insert(dialect: str, table: Table) -> postgresql.Insert | sqlite.Insert:
    """Return an insertion that can say what to do on conflict. A dialect is imported where it is spoken."""
    if dialect == "postgresql":
        from sqlalchemy.dialects.postgresql import insert

        return insert(table)
    from sqlalchemy.dialects.sqlite import insert as insert_into_sqlite

    return insert_into_sqlite(table)


@lru_cache(maxsize=64)
def _make_insert_missing(dialect: str, table: Table) -> Executable:
    return _make_insert(dialect, table).on_conflict_do_nothing()


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


def insert_missing_from(
    connection: Connection, table: Table, columns: tuple[str, ...], rows: Select[Any], parameters: Row
) -> None:
    """Insert what a query yields and whose primary key is not there yet. The query is one that is built once."""
    connection.execute(_make_insert_missing_from(connection.dialect.name, table, columns, rows), parameters)


@lru_cache(maxsize=64)
def _make_insert_missing_from(dialect: str, table: Table, columns: tuple[str, ...], rows: Select[Any]) -> Executable:
    return _make_insert(dialect, table).from_select(list(columns), rows).on_conflict_do_nothing()


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
    statement = _make_insert(dialect, table)
    keys = [column.name for column in table.primary_key]
    return statement.on_conflict_do_update(
        index_elements=keys, set_={name: statement.excluded[name] for name in names if name not in keys}
    )


def insert_from(
    connection: Connection, table: Table, columns: tuple[str, ...], rows: Select[Any], parameters: Row
) -> None:
    """Insert what a query yields, or overwrite these columns where the primary key is there already.

    The query is one that is built once.
    """
    connection.execute(_make_insert_from(connection.dialect.name, table, columns, rows), parameters)


@lru_cache(maxsize=64)
def _make_insert_from(dialect: str, table: Table, columns: tuple[str, ...], rows: Select[Any]) -> Executable:
    statement = _make_insert(dialect, table).from_select(list(columns), rows)
    keys = [column.name for column in table.primary_key]
    return statement.on_conflict_do_update(
        index_elements=keys, set_={name: statement.excluded[name] for name in columns if name not in keys}
    )


def pick_missing(connection: Connection, ids: Collection[str], missing: Select[Any]) -> list[str]:
    """Return what a query that `select_missing` made yields of these texts, sorted; only that leaves the database."""
    return sorted(set(connection.scalars(missing, {"texts": ids}))) if ids else []


def intern(connection: Connection, table: Table, column: str, values: Collection[str]) -> dict[str, int]:
    """Return the integer key of each text in a table of unique texts, adding those that are new."""
    if not values:
        return {}
    rows = connection.execute(_select_keys(table, column), {"texts": values})
    found = {row[0]: row[1] for row in rows.fetchall()}
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


@lru_cache(maxsize=8)
def _select_keys(table: Table, column: str) -> Select[Any]:
    unique = table.c[column]
    return select(unique, table.c.key).where(among_bound(unique, "texts", textual=True))
