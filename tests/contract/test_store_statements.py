"""What statements that are built once are made of: the same answers from both engines, and no transaction too many."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from sqlalchemy import Text, bindparam, delete, event, insert, literal, select, text, update

from syncd.errors import StoreError
from syncd.store.db.database import Database, open_database, reading
from syncd.store.db.markers import load_markers, save_marker
from syncd.store.db.parameters import (
    among_bound,
    among_values,
    gather,
    json_field,
    read_gathered,
    select_missing,
    set_json_fields,
)
from syncd.store.db.sql import insert_from, pick_missing
from syncd.store.inventory.bps_ids import in_order, iterate_folded
from syncd.store.schema.tables import facts, runs, source_objects, target_principals, touched_users

pytestmark = pytest.mark.both_engines(every=True)

_NAMES = {1: "ann", 2: "bob", 3: 'cyd\'s "own" ż'}


@pytest.fixture
def database(store_url: str) -> Iterator[Database]:
    """A store with three texts that have keys."""
    made = open_database(store_url)
    with made.transaction() as connection:
        connection.execute(insert(source_objects), [{"key": key, "id": name} for key, name in _NAMES.items()])
    yield made
    made.close()


def test_a_list_of_keys_is_one_parameter(database: Database) -> None:
    """One statement serves lists of every length and kind; nothing is in an empty one."""
    statement = select(source_objects.c.key).where(among_bound(source_objects.c.key, "keys"))
    assert sorted(database.load_values(statement, {"keys": [3, 1, 99, -1]})) == [1, 3]
    assert sorted(database.load_values(statement, {"keys": {2: "a dictionary"}})) == [2]
    assert database.load_values(statement, {"keys": ()}) == []


def test_a_list_of_texts_is_one_parameter(database: Database) -> None:
    """Texts go through unharmed, and none is in an empty list."""
    statement = select(source_objects.c.key).where(among_bound(source_objects.c.id, "texts", textual=True))
    assert sorted(database.load_values(statement, {"texts": [_NAMES[3], "nobody"]})) == [3]
    assert database.load_values(statement, {"texts": []}) == []


def test_a_condition_over_a_list_combines_like_any_other(database: Database) -> None:
    """Negated, alternative, of an alias, and in updates and deletions."""
    other = source_objects.alias("other")
    outside = select(other.c.key).where(~among_bound(other.c.key, "keys") | (other.c.key == 1))
    assert sorted(database.load_values(outside, {"keys": [1, 2]})) == [1, 3]
    with database.transaction() as connection:
        connection.execute(
            update(source_objects).where(among_bound(source_objects.c.key, "keys")).values(id=bindparam("renamed")),
            {"keys": [2], "renamed": "robert"},
        )
        connection.execute(delete(source_objects).where(among_values(source_objects.c.key, [1])))
    assert sorted(database.load_values(select(source_objects.c.id))) == [_NAMES[3], "robert"]


def test_what_is_missing_is_found_by_one_statement(database: Database) -> None:
    """Of many texts only those leave the database that no row has."""
    missing = select_missing(source_objects.c.id, source_objects.c.key > 1)
    with reading(database) as connection:
        assert pick_missing(connection, ["bob", "zoe", "ann", "zoe"], missing) == ["ann", "zoe"]
        assert pick_missing(connection, [], missing) == []


def test_rows_are_gathered_to_one_value(database: Database) -> None:
    """One column gives plain values, several give lists; nothing gives an empty list."""
    keys = gather(select(source_objects.c.key).where(source_objects.c.key > bindparam("after")))
    both = gather(select(source_objects.c.key, source_objects.c.id))
    assert sorted(read_gathered(database.load_value(keys, {"after": 1}))) == [2, 3]
    assert read_gathered(database.load_value(keys, {"after": 9})) == []
    assert sorted(read_gathered(database.load_value(both))) == [[key, name] for key, name in _NAMES.items()]


def test_fields_of_documents_are_read_and_set(database: Database) -> None:
    """Absent and null fields read as NULL; setting keeps the other fields, and begins an absent document."""
    document = literal('{"a": "x", "b": null}')
    read = select(*(json_field(document, name).label(name) for name in ("a", "b", "c")))
    assert tuple(database.load_rows(read)[0]) == ("x", None, None)
    written = set_json_fields(document, {"a": literal("it's"), "d": literal(None, Text())})
    begun = set_json_fields(literal(None, Text()), {"a": literal("y")})
    fields = [json_field(written, name).label(name) for name in ("a", "b", "d")]
    assert tuple(database.load_rows(select(*fields, json_field(begun, "a")))[0]) == ("it's", None, None, "y")


def test_what_a_query_yields_is_inserted_or_overwritten(database: Database) -> None:
    """The query takes parameters, and rows that are there take over the named columns."""
    found = select(literal("name"), source_objects.c.id).where(source_objects.c.key == bindparam("which"))
    for which in (1, 2):
        with database.transaction() as connection:
            insert_from(connection, facts, ("name", "value"), found, {"which": which})
    assert load_markers(database, "name", "other") == {"name": "bob"}


def test_records_are_walked_in_the_order_of_their_folded_ids(database: Database) -> None:
    """All of them page by page, or some by their keys."""
    with database.transaction() as connection:
        rows = [{"key": key, "bps_fold": name, "bps_id": name.upper()} for key, name in ((5, "b"), (6, "a"), (7, "c"))]
        connection.execute(insert(target_principals), rows)
        connection.execute(insert(touched_users), [{"key": 5}, {"key": 6}])
    question = in_order(select(target_principals.c.bps_id, target_principals.c.bps_fold))
    few = select(touched_users.c.key)
    assert [row.bps_id for rows in iterate_folded(database, question, None) for row in rows] == ["A", "B", "C"]
    assert [row.bps_id for rows in iterate_folded(database, question, few) for row in rows] == ["A", "B"]


def test_a_single_question_begins_no_transaction_and_leaves_none_open(database: Database) -> None:
    """It sees what was committed before, also by others, and a later writer need not wait for it."""
    begun: list[str] = []
    event.listen(database.engine, "before_cursor_execute", lambda *given: begun.append(given[2]))
    assert load_markers(database, "x") == {}
    with database.transaction() as connection:
        save_marker(connection, "x", "1")
    assert load_markers(database, "x") == {"x": "1"}
    assert sum(statement.startswith("BEGIN") for statement in begun) == (1 if database.dialect == "sqlite" else 0)


def test_a_single_question_that_fails_is_an_error_of_the_store(database: Database) -> None:
    """The operator reads a sentence, and the next question is answered."""
    with pytest.raises(StoreError, match="failed"):
        database.load_value(text("SELECT nothing FROM nowhere"))
    assert database.load_value(select(literal(1))) == 1


def test_times_of_parameters_are_those_of_columns(database: Database) -> None:
    """A parameter that is compared with a time is written as times are stored."""
    started = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    row = {"kind": "full", "trigger": "cli", "status": "running", "started_at": started}
    with database.transaction() as connection:
        connection.execute(insert(runs), {**row, "counts": "{}", "phases": "{}", "error": ""})
    since = select(runs.c.started_at).where(runs.c.started_at >= bindparam("since"))
    assert database.load_values(since, {"since": started}) == [started]
