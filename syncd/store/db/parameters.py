"""Parts of statements that are built once: many keys or texts as one parameter, and many rows as one value.

Building a statement takes ten times as long as asking it. So the statements of this store are made once, with named
parameters, and know nothing of the engine. What the two engines say differently about lists is written here, and chosen
when a statement is translated.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import chain
from typing import Any

import msgspec
from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Dialect,
    Select,
    TableValuedAlias,
    Text,
    bindparam,
    column,
    exists,
    func,
    literal_column,
    select,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator, TypeEngine

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class _Listed(TypeDecorator[Collection[Any]]):
    """Many values as one parameter: an array for PostgreSQL, JSON text for SQLite."""

    impl = Text
    cache_ok = True

    def __init__(self, *, textual: bool) -> None:
        super().__init__()
        self.textual = textual

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Return the type of the parameter."""
        if dialect.name == "postgresql":
            array: TypeEngine[Any] = ARRAY(Text() if self.textual else BigInteger())
            return dialect.type_descriptor(array)
        return dialect.type_descriptor(Text())

    def process_bind_param(self, value: Collection[Any] | None, dialect: Dialect) -> Any:
        """Return the values as the driver takes them."""
        listed = list(value or ())
        return listed if dialect.name == "postgresql" else _encode(listed).decode()


class _Among(FunctionElement[Any]):
    """``column in list``. Not of type Boolean, which SQLAlchemy compares with 1 for SQLite, past every index."""

    name = "among"
    inherit_cache = True


@compiles(_Among, "sqlite")
def _say_among_for_sqlite(element: _Among, compiler: SQLCompiler, **options: Any) -> str:
    column, listed = (compiler.process(clause, **options) for clause in element.clauses)
    return f"{column} IN (SELECT value FROM json_each({listed}))"  # noqa: S608 - both parts are translated clauses


@compiles(_Among, "postgresql")
def _say_among_for_postgresql(element: _Among, compiler: SQLCompiler, **options: Any) -> str:
    column, listed = (compiler.process(clause, **options) for clause in element.clauses)
    return f"{column} = ANY ({listed})"


class _AmongFew(FunctionElement[Any]):
    """``column in list`` of which hardly any row is: an index over the column comes first, and others narrow it."""

    name = "among_few"
    inherit_cache = True


@compiles(_AmongFew, "sqlite")
def _say_few_for_sqlite(element: _AmongFew, compiler: SQLCompiler, **options: Any) -> str:
    return f"likelihood({_say_among_for_sqlite(element, compiler, **options)}, 0.000001)"  # type: ignore[arg-type]  # alike


@compiles(_AmongFew, "postgresql")
def _say_few_for_postgresql(element: _AmongFew, compiler: SQLCompiler, **options: Any) -> str:
    return _say_among_for_postgresql(element, compiler, **options)  # type: ignore[arg-type]  # alike


def among_bound(
    value: ColumnElement[Any], name: str, *, textual: bool = False, few: bool = False
) -> ColumnElement[Any]:
    """Return the condition ``value in :name`` for keys, or with ``textual`` for texts; none is in an empty list.

    ``few``: of a large table hardly any row is. SQLite, which guesses, would otherwise begin with another condition.
    """
    return (_AmongFew if few else _Among)(value, bindparam(name, type_=_Listed(textual=textual)))


def among_values(
    value: ColumnElement[Any], values: Collection[int] | Collection[str], *, few: bool = False
) -> ColumnElement[Any]:
    """Return the condition ``value in values``, for a statement that is built where it is asked; see `among_bound`."""
    listed = list(values)
    textual = bool(listed) and isinstance(listed[0], str)
    return (_AmongFew if few else _Among)(value, bindparam(None, listed, type_=_Listed(textual=textual), unique=True))


def pack_pairs(pairs: Collection[tuple[int, int]]) -> list[int]:
    """Return (group_key, member_key) pairs as one number each, as `among_pairs` and `listed_pairs` take them."""
    return sorted(group << 32 | member for group, member in pairs)


class _AmongPairs(FunctionElement[Any]):
    """``(group, member) in list``, of pairs that are packed into one number each."""

    name = "among_pairs"
    inherit_cache = True


@compiles(_AmongPairs, "sqlite")
def _say_among_pairs_for_sqlite(element: _AmongPairs, compiler: SQLCompiler, **options: Any) -> str:
    group, member, listed = (compiler.process(clause, **options) for clause in element.clauses)
    return f"({group}, {member}) IN (SELECT value >> 32, value & 4294967295 FROM json_each({listed}))"  # noqa: S608 - as above


@compiles(_AmongPairs, "postgresql")
def _say_among_pairs_for_postgresql(element: _AmongPairs, compiler: SQLCompiler, **options: Any) -> str:
    group, member, listed = (compiler.process(clause, **options) for clause in element.clauses)
    return f"({group}, {member}) IN (SELECT value >> 32, value & 4294967295 FROM unnest({listed}) AS listed(value))"  # noqa: S608 - as above


def among_pairs(group: ColumnElement[Any], member: ColumnElement[Any], name: str) -> ColumnElement[Any]:
    """Return the condition that a pair of keys is one of ``:name``, which `pack_pairs` made."""
    return _AmongPairs(group, member, bindparam(name, type_=_Listed(textual=False)))


def listed_pairs(name: str) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
    """Return group and member of each pair of ``:name``, which `pack_pairs` made, as two columns to select."""
    value = _ListedRows(bindparam(name, type_=_Listed(textual=False))).table_valued(column("value", BigInteger)).c.value
    return value.bitwise_rshift(literal_column("32")), value.bitwise_and(literal_column("4294967295"))


class _ListedRows(FunctionElement[Any]):
    """A list as a table of one column, ``value``."""

    name = "listed_rows"
    inherit_cache = True


@compiles(_ListedRows, "sqlite")
def _say_rows_for_sqlite(element: _ListedRows, compiler: SQLCompiler, **_options: Any) -> str:
    (listed,) = (compiler.process(clause) for clause in element.clauses)
    return f"json_each({listed})"


@compiles(_ListedRows, "postgresql")
def _say_rows_for_postgresql(element: _ListedRows, compiler: SQLCompiler, **_options: Any) -> str:
    (listed,) = (compiler.process(clause) for clause in element.clauses)
    return f"(SELECT unnest({listed}) AS value)"


def list_numbers(name: str) -> TableValuedAlias:
    """Return the numbers in the list ``:name`` as a table of one column, ``value``."""
    return _ListedRows(bindparam(name, type_=_Listed(textual=False))).table_valued(column("value", BigInteger))


class _LikeAnyCase(FunctionElement[Any]):
    """``text like pattern`` without the case of English letters, "!" escaping; SQLite's LIKE has none by itself."""

    name = "like_any_case"
    inherit_cache = True


@compiles(_LikeAnyCase, "sqlite")
def _say_like_for_sqlite(element: _LikeAnyCase, compiler: SQLCompiler, **options: Any) -> str:
    text, pattern = (compiler.process(clause, **options) for clause in element.clauses)
    return f"{text} LIKE {pattern} ESCAPE '!'"


@compiles(_LikeAnyCase, "postgresql")
def _say_like_for_postgresql(element: _LikeAnyCase, compiler: SQLCompiler, **options: Any) -> str:
    text, pattern = (compiler.process(clause, **options) for clause in element.clauses)
    return f"{text} ILIKE {pattern} ESCAPE '!'"


def like_any_case(text: ColumnElement[str], name: str) -> ColumnElement[Any]:
    """Return the condition that a text is like ``:name``, whose case does not count."""
    return _LikeAnyCase(text, bindparam(name, type_=Text()))


class _InOrder(FunctionElement[str]):
    """A text as Python sorts it, by code points, whatever the database's own order of letters is."""

    name = "in_order"
    type = Text()
    inherit_cache = True


@compiles(_InOrder, "sqlite")
def _say_order_for_sqlite(element: _InOrder, compiler: SQLCompiler, **options: Any) -> str:
    (text,) = (compiler.process(clause, **options) for clause in element.clauses)
    return text


@compiles(_InOrder, "postgresql")
def _say_order_for_postgresql(element: _InOrder, compiler: SQLCompiler, **options: Any) -> str:
    (text,) = (compiler.process(clause, **options) for clause in element.clauses)
    return f'{text} COLLATE "C"'


def by_code_points(text: ColumnElement[str]) -> ColumnElement[str]:
    """Return a text to sort by, in the order in which Python sorts texts."""
    return _InOrder(text)


def select_missing(known: ColumnElement[str], where: ColumnElement[bool]) -> Select[Any]:
    """Return a query for those texts of ``:texts`` that no row has as ``known`` and meets ``where``."""
    texts = _ListedRows(bindparam("texts", type_=_Listed(textual=True))).table_valued("value")
    return select(texts.c.value).where(~exists().where(known == texts.c.value, where))


class _Gathered(FunctionElement[str]):
    """All that a column yields, as one JSON text; nothing yields NULL or an empty list."""

    name = "gathered"
    type = Text()
    inherit_cache = True


@compiles(_Gathered, "sqlite")
def _say_gathered_for_sqlite(element: _Gathered, compiler: SQLCompiler, **options: Any) -> str:
    found = [compiler.process(clause, **options) for clause in element.clauses]
    return f"json_group_array({found[0]})" if len(found) == 1 else f"json_group_array(json_array({', '.join(found)}))"


@compiles(_Gathered, "postgresql")
def _say_gathered_for_postgresql(element: _Gathered, compiler: SQLCompiler, **options: Any) -> str:
    found = [compiler.process(clause, **options) for clause in element.clauses]
    value = found[0] if len(found) == 1 else f"json_build_array({', '.join(found)})"
    return f"CAST(json_agg({value}) AS TEXT)"


def gathered_column(value: ColumnElement[Any]) -> ColumnElement[str]:
    """Return the aggregate of all that a column has in a group of rows, as one JSON text."""
    return _Gathered(value)


def gather(rows: Select[Any]) -> Select[Any]:
    """Return a query for all that a query of integers and texts yields, as one value; `read_gathered` reads it.

    Fetched row by row, each row of SQLite hands Python's lock to the event loop and waits to get it back.
    """
    return select(_Gathered(*rows.subquery().c))


def read_gathered(text: str | None) -> list[Any]:
    """Return the rows in the one value of a gathered query."""
    found: list[Any] = _decode(text or "[]")
    return found


class _JsonField(FunctionElement[str]):
    """A text field of JSON text of ours, NULL when it is absent or null."""

    name = "json_field"
    type = Text()
    inherit_cache = True


@compiles(_JsonField, "sqlite")
def _say_field_for_sqlite(element: _JsonField, compiler: SQLCompiler, **options: Any) -> str:
    document, field = (compiler.process(clause, **options) for clause in element.clauses)
    return f"json_extract({document}, '$.' || {field})"


@compiles(_JsonField, "postgresql")
def _say_field_for_postgresql(element: _JsonField, compiler: SQLCompiler, **options: Any) -> str:
    document, field = (compiler.process(clause, **options) for clause in element.clauses)
    return f"CAST({document} AS JSON) ->> {field}"


def json_field(document: ColumnElement[Any], name: str) -> ColumnElement[Any]:
    """Return a text field of JSON text of ours, NULL when it is absent or null."""
    return _JsonField(document, literal_column(f"'{name}'"))


class _WithFields(FunctionElement[str]):
    """JSON text of ours with other values in some of its fields."""

    name = "with_fields"
    type = Text()
    inherit_cache = True


@compiles(_WithFields, "sqlite")
def _say_with_fields_for_sqlite(element: _WithFields, compiler: SQLCompiler, **options: Any) -> str:
    document, *given = (compiler.process(clause, **options) for clause in element.clauses)
    pairs = ", ".join(f"'$.' || {name}, {value}" for name, value in zip(given[::2], given[1::2], strict=True))
    return f"json_set({document}, {pairs})"


@compiles(_WithFields, "postgresql")
def _say_with_fields_for_postgresql(element: _WithFields, compiler: SQLCompiler, **options: Any) -> str:
    document, *given = (compiler.process(clause, **options) for clause in element.clauses)
    return f"CAST(CAST({document} AS JSONB) || jsonb_build_object({', '.join(given)}) AS TEXT)"


def set_json_fields(document: ColumnElement[Any], fields: Mapping[str, ColumnElement[Any]]) -> ColumnElement[Any]:
    """Return JSON text of ours with these text fields set, NULL as null; a document that is NULL counts as empty."""
    given = chain(*((literal_column(f"'{name}'"), value) for name, value in fields.items()))
    return _WithFields(func.coalesce(document, "{}"), *given)
