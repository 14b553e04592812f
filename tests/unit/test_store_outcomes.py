"""Outcomes of updates, taken over by the inventory many at a time, on both engines."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from syncd.model.change import Change, Outcome, Phase
from syncd.model.reason import Reason
from syncd.model.target import Account
from syncd.store.db.database import Database, open_database
from syncd.store.inventory.bps_ids import intern_bps_ids
from syncd.store.plans.outcomes import Placed
from syncd.store.store import Store

pytestmark = pytest.mark.both_engines(every=True)

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ANN, BEN = "ann@example.com", "Bén@example.com"


@pytest.fixture
def database(store_url: str) -> Iterator[Database]:
    """A store that knows two accounts of the portal."""
    opened = open_database(store_url)
    Store(opened).inventory.store_accounts.blocking(
        [
            Account(bps_id=ANN, name="Ann", email=ANN, phone="1", status="Synchronized"),
            Account(bps_id=BEN, name="Bén", email=BEN, phone="2", status="Synchronized"),
        ]
    )
    yield opened
    opened.close()


def plan(database: Database, *changes: Change) -> list[Placed]:
    """Write a plan and return what a run would be handed of it."""
    run = Store(database).runs.open.blocking("delta", "cli", now=NOW)
    with database.transaction() as connection:
        keys = intern_bps_ids(connection, [ANN, BEN])
    Store(database).plans.add_changes.blocking(
        run, 0, [(change, keys[change.bps_id.casefold()], None) for change in changes]
    )
    return [
        placed
        for phase in Phase
        for placed in Store(database).plans.load_batch.blocking(run, phase, after=-1, limit=100)
    ]


def update(bps_id: str, phase: Phase = Phase.USERS, **after: str | None) -> Change:
    """Return an update of one account."""
    return Change(phase=phase, action="update", object="user", bps_id=bps_id, after=after)


def test_a_plan_is_handed_out_as_it_was_written(database: Database) -> None:
    """What is loaded equals what was planned, in its order, with the portal's spelling of every id."""
    changes = [update(BEN, name="Bén “B” \\ Ö"), update(ANN, phone=None), update(ANN, Phase.MANAGERS, manager=BEN)]
    placed = plan(database, *changes)
    assert [planned.change for planned, _, _ in placed] == changes
    assert [planned.seq for planned, _, _ in placed] == [0, 1, 2]


def test_updates_of_different_fields_reach_their_own_columns(database: Database) -> None:
    """A batch of updates changes only the fields that each of them names; None clears."""
    placed = plan(database, update(ANN, phone=None), update(BEN, name="Ben", phone="3"))
    results = [(each, Outcome(each[0].seq, "done")) for each in placed]
    Store(database).outcomes.record.blocking(placed[0][0].run_id, results, now=NOW)
    assert load(database) == {
        ANN: ("Ann", None, {"phone": None}),
        BEN: ("Ben", "3", {"name": "Ben", "phone": "3"}),
    }


def test_a_record_that_is_written_twice_keeps_both(database: Database) -> None:
    """Two updates of one record that are recorded together count one after the other."""
    placed = plan(database, update(ANN, phone="7", name="A"), update(ANN, phone="8"))
    results = [(each, Outcome(each[0].seq, "done")) for each in placed]
    Store(database).outcomes.record.blocking(placed[0][0].run_id, results, now=NOW)
    assert load(database)[ANN] == ("A", "8", {"name": "A", "phone": "8"})


def test_an_update_that_failed_changes_nothing(database: Database) -> None:
    """Only what the portal took is taken over."""
    placed = plan(database, update(ANN, phone="7"))
    Store(database).outcomes.record.blocking(
        placed[0][0].run_id, [(placed[0], Outcome(0, "failed", Reason(text="no")))], now=NOW
    )
    assert load(database)[ANN] == ("Ann", "1", None)


def test_records_become_ready_whatever_their_case(database: Database) -> None:
    """A BPS id is found in any spelling when the portal says that its record is ready."""
    inventory = Store(database).inventory
    inventory.store_accounts.blocking([Account(bps_id=BEN, name="Bén", email=BEN, status="WaitingForSynchronization")])
    inventory.set_synchronized.blocking(["BÉN@example.com"])
    assert Store(database).plans.load_ready.blocking({"bén@example.com", "nobody@example.com"}) == {
        "bén@example.com": False
    }


def load(database: Database) -> dict[str, tuple[object, ...]]:
    """Return name, phone and what we wrote of every account."""
    with database.engine.connect() as connection:
        rows = connection.exec_driver_sql(
            "SELECT bps_id, name, phone, written FROM target_users JOIN target_principals USING (key)"
        )
        return {row[0]: (row[1], row[2], row[3] and json.loads(row[3])) for row in rows}
