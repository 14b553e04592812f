"""Many rows at once: written as they are, whatever is in them, and read page by page without losing one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import select

from syncd.store.db.database import Database
from syncd.store.db.sql import insert_tuples, upsert_tuples
from syncd.store.inventory.bps_ids import intern_bps_ids
from syncd.store.plans.pairs import Pairing
from syncd.store.schema.tables import desired_groups, source_groups
from tests.stores import open_migrated

pytestmark = pytest.mark.both_engines(every=True)

_PRINCIPALS = 3_500
"""More than three pages."""


@pytest.fixture
def database(store_url: str) -> Iterator[Database]:
    """An empty store."""
    made = open_migrated(store_url)
    yield made
    made.close()


def test_rows_are_written_as_they_are(database: Database) -> None:
    """Numbers, flags, what has no value, and texts that a document or a statement could take for its own."""
    columns = ("key", "state", "name", "attributes", "reread")
    rows = [
        (1, "active", None, "{}", False),
        (2**40, "parked", 'Zoë "%s" \\ {x} :y ?', '{"a":"\\u0001"}', True),
        (3, "", "null", "[1]", False),
    ]
    with database.transaction() as connection:
        insert_tuples(connection, source_groups, columns, rows)
        insert_tuples(connection, source_groups, columns, [])
    wanted = select(*(source_groups.c[name] for name in columns))
    assert sorted(tuple(row) for row in database.load_rows(wanted)) == sorted(rows)


def test_rows_that_are_there_are_overwritten(database: Database) -> None:
    """Each column that is named, also where it has no value any more."""
    columns = [column.name for column in desired_groups.c]
    first = [
        (1, "wanted", "", "", 7, "A", "a@x.com", -(2**63)),
        (2, "skipped", "no_value", "why", None, None, None, None),
    ]
    second = [(2, "wanted", "", "", 8, "B", None, 2**63 - 1), (3, "wanted", "", "", 9, "C", None, None)]
    with database.transaction() as connection:
        upsert_tuples(connection, desired_groups, columns, first)
        upsert_tuples(connection, desired_groups, columns, second)
    found = [tuple(row) for row in database.load_rows(select(desired_groups).order_by(desired_groups.c.key))]
    assert found == [first[0], *second]


def test_pages_without_a_record_end_no_reading(database: Database) -> None:
    """Of thousands of BPS ids only the first, two that are neighbours and the last are wanted."""
    names = [f"n{number:05}@x.com" for number in range(_PRINCIPALS)]
    with database.transaction() as connection:
        keys = intern_bps_ids(connection, names)
        wanted = [names[place] for place in (0, 2999, 3000, _PRINCIPALS - 1)]
        columns = ("key", "state", "cause", "reason", "principal_key", "name")
        rows = [(place, "wanted", "", "", keys[name], name) for place, name in enumerate(wanted, 1)]
        insert_tuples(connection, desired_groups, columns, rows)
    groups = Pairing(database).load_group_rows_to_compare(touched_only=False)
    assert [group.bps_id for group in groups] == wanted
