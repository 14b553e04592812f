"""What must hold of who was where, whatever happened: what lasts is what the inventory has, and no times overlap."""

from __future__ import annotations

import itertools
from collections import defaultdict
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import delete, select, update

from syncd.store.db.database import Database, reading
from syncd.store.inventory.history import LINKS, TABLES
from syncd.store.licences.taken import is_held
from syncd.store.schema.tables import (
    licence_history,
    link_history,
    record_history,
    run_chain,
    runs,
    settlements,
    target_licences,
)
from syncd.store.store import Store

_EVER = datetime(1, 1, 1, tzinfo=UTC)


def reopen_run(database: Database, run_id: int) -> None:
    """Let the newest run look as a kill leaves it: begun, and never ended."""
    with database.transaction() as connection:
        connection.execute(update(runs).where(runs.c.id == run_id).values(status="running", finished_at=None))
        for table in (run_chain, settlements):
            connection.execute(delete(table).where(table.c.run_id == run_id))


def check_history(database: Database) -> None:
    """Compare the history with the inventory; both are written in one transaction, so that no kill comes between."""
    with reading(database) as connection:
        lasting = select(licence_history.c.holder_key, licence_history.c.type).where(
            licence_history.c.went_at.is_(None)
        )
        held = select(target_licences.c.key, target_licences.c.type).where(is_held())
        assert sorted(map(tuple, connection.execute(lasting))) == sorted(map(tuple, connection.execute(held)))
        for kind, table in TABLES.items():
            past = record_history.c
            noted = select(past.record_key, past.origin, past.source_key, past.leaving_as).where(
                past.object == kind, past.went_at.is_(None)
            )
            owned = select(table.c.key, table.c.origin, table.c.source_key, table.c.leaving_as).where(
                table.c.origin.is_not(None)
            )
            assert {tuple(row) for row in connection.execute(noted)} == {
                tuple(row) for row in connection.execute(owned)
            }
        times: dict[tuple[Any, ...], list[tuple[Any, Any]]] = defaultdict(list)
        for link, links in LINKS.items():
            for row in connection.execute(select(links)):
                assert row.came_cause or row.came_at is None, f"{link} {row} began for no cause"
                times[link, row.group_key, row.member_key].append((row.came_at, None))
        for row in connection.execute(select(link_history)):
            assert row.went_cause, f"{row} ended for no cause"
            times[row.object, row.group_key, row.member_key].append((row.came_at, row.went_at))
    for place, spans in times.items():
        spans.sort(key=lambda span: (span[0] or _EVER, span[1] is None, span[1] or _EVER))
        for (_, over), (begun, _) in itertools.pairwise(spans):
            assert over is not None, f"{place} lasts twice"
            assert over <= (begun or _EVER), f"{place} began before it was over"


def check_chain(database: Database) -> None:
    """The chain of run records holds, whatever later runs settled of what earlier ones left open."""
    verdict = Store(database).chain.verify()
    assert verdict.broken == []
