"""A place in a group as one number, which is what hundreds of thousands of them are read, compared and written as."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, ColumnElement, literal_column

_BITS = 32
_MASK = (1 << _BITS) - 1


def pack(group: int, member: int) -> int:
    """Return the number for the keys of a group and a member, which are below 2 to the 32nd."""
    return group << _BITS | member


def unpack(place: int) -> tuple[int, int]:
    """Return the keys of the group and the member."""
    return place >> _BITS, place & _MASK


def pack_columns(group: ColumnElement[Any], member: ColumnElement[Any]) -> ColumnElement[int]:
    """Return the same of two columns, or values of the database."""
    return group.op("<<", return_type=BigInteger())(_literal(_BITS)).op("|", return_type=BigInteger())(member)


def unpack_column(place: ColumnElement[Any]) -> tuple[ColumnElement[int], ColumnElement[int]]:
    """Return the keys of the group and the member in a column of places."""
    group = place.op(">>", return_type=BigInteger())(_literal(_BITS))
    return group, place.op("&", return_type=BigInteger())(_literal(_MASK))


def _literal(number: int) -> ColumnElement[int]:
    return literal_column(str(number))
