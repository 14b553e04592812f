"""Places in groups as numbers (`syncd.model.packed`), made and taken apart by the database."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, ColumnElement, literal_column

from syncd.model.packed import BITS, MASK


def pack_columns(group: ColumnElement[Any], member: ColumnElement[Any]) -> ColumnElement[int]:
    """Return the place of a group and a member, given as columns or values of the database."""
    return group.op("<<", return_type=BigInteger())(_literal(BITS)).op("|", return_type=BigInteger())(member)


def unpack_column(place: ColumnElement[Any]) -> tuple[ColumnElement[int], ColumnElement[int]]:
    """Return the keys of the group and the member in a column of places."""
    group = place.op(">>", return_type=BigInteger())(_literal(BITS))
    return group, place.op("&", return_type=BigInteger())(_literal(MASK))


def _literal(number: int) -> ColumnElement[int]:
    return literal_column(str(number))
