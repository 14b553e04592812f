"""Many links of a plan are written without the index over their members, which is there again when they are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import event, select

from syncd.errors import StoreError
from syncd.model.change import PlainLinks
from syncd.store.db.database import Database
from syncd.store.plans import plain_links
from syncd.store.plans.changes import Plans
from syncd.store.schema.tables import changes
from tests.stores import open_migrated

pytestmark = pytest.mark.both_engines(every=True)

_LINKS = [PlainLinks(7, 70, [3, 1, 2]), PlainLinks(5, 50, [1]), PlainLinks(6, 60, [2, 9])]
_ROWS = [(0, 7, 3, 70), (1, 7, 1, 70), (2, 7, 2, 70), (3, 5, 1, 50), (4, 6, 2, 60), (5, 6, 9, 60)]


@pytest.fixture
def database(store_url: str) -> Iterator[Database]:
    """An empty store."""
    made = open_migrated(store_url)
    yield made
    made.close()


def _write(database: Database, run_id: int, *, many: int, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Write the links, of which so many are many; return what was said about indexes."""
    said = list[str]()

    def note(_connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        if "INDEX" in statement:
            said.append(" ".join(statement.split()[:3]))

    monkeypatch.setattr(plain_links, "MANY", many)
    event.listen(database.engine, "before_cursor_execute", note)
    assert Plans(database).add_links(run_id, 0, kind="membership", links=_LINKS) == len(_ROWS)
    event.remove(database.engine, "before_cursor_execute", note)
    return said


def _load_links(database: Database, run_id: int) -> list[tuple[Any, ...]]:
    wanted = changes.c.seq, changes.c.record_key, changes.c.target_key, changes.c.source_key
    statement = select(*wanted).where(changes.c.run_id == run_id).order_by(changes.c.seq)
    return [tuple(row) for row in database.load_rows(statement)]


def _load_indexes(database: Database) -> list[str]:
    sides = {"sqlite": "SELECT sql FROM sqlite_master WHERE type = 'index' AND tbl_name = 'changes' ORDER BY name"}
    sides["postgresql"] = "SELECT indexdef FROM pg_indexes WHERE tablename = 'changes' ORDER BY indexname"
    with database.transaction() as connection:
        return [str(row[0]) for row in connection.exec_driver_sql(sides[database.dialect])]


def test_many_links_are_the_same_links_and_leave_the_same_indexes(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On SQLite the index over the member is made anew after them, exactly as the migrations have it."""
    before = _load_indexes(database)
    assert not _write(database, 1, many=len(_ROWS) + 1, monkeypatch=monkeypatch)
    said = _write(database, 2, many=len(_ROWS), monkeypatch=monkeypatch)
    assert said == (["DROP INDEX ix_changes_target_key", "CREATE INDEX ix_changes_target_key"]
                    if database.dialect == "sqlite" else [])  # fmt: skip
    assert _load_links(database, 1) == _load_links(database, 2) == _ROWS
    assert _load_indexes(database) == before


def test_an_index_over_many_times_as_many_changes_stays(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Making it anew would cost more than it saves."""
    monkeypatch.setattr(plain_links, "_TIMES", 1)
    for run_id in (1, 2):
        _write(database, run_id, many=len(_ROWS) + 1, monkeypatch=monkeypatch)
    assert not _write(database, 3, many=len(_ROWS), monkeypatch=monkeypatch)


def test_links_that_fail_leave_the_index(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it is one transaction: a place that is there already takes back the links and what was done for them."""
    _write(database, 1, many=len(_ROWS) + 1, monkeypatch=monkeypatch)
    before = _load_indexes(database)
    with pytest.raises(StoreError):
        _write(database, 1, many=1, monkeypatch=monkeypatch)
    assert _load_links(database, 1) == _ROWS
    assert _load_indexes(database) == before
