"""Writing many rows of SQLite without an index that is made anew afterwards, in the same transaction."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Index, Select, literal_column, select


@contextmanager
def without_index(connection: Connection, index: Index, *, most: int) -> Iterator[None]:
    """Leave an index out of what is written within, unless its table has more than ``most`` rows already.

    An error leaves it to the end of the transaction, which takes back that it is missing.
    """
    assert index.table is not None
    one_more: Select[Any] = select(literal_column("1")).select_from(index.table).limit(1).offset(most)
    if connection.scalar(one_more) is not None:
        yield
        return
    index.drop(connection)
    yield
    index.create(connection)
