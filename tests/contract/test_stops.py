"""A selection means the same to the store, as SQL, as it means in `syncd.plan.selection`, on rows."""

from __future__ import annotations

import random

import pytest
from sqlalchemy import insert, select

from syncd.model.change import Phase
from syncd.model.reason import Cause
from syncd.plan.guard import Hold
from syncd.plan.licence_sieves import stop_licences, stop_moves, stop_swaps, stop_uncoupled
from syncd.plan.selection import PlannedRow, Selection, Stop, choose
from syncd.plan.sieves import (
    stop_excess,
    stop_kept_places,
    stop_quiet,
    stop_unadopted,
)
from syncd.store.db.database import reading
from syncd.store.schema.tables import changes
from tests.fakes.world import open_world

pytestmark = pytest.mark.both_engines(every=True)

_KINDS = (
    ("create", "user"), ("update", "user"), ("adopt", "user"), ("delete", "user"), ("delete", "group"),
    ("unlink", "membership"), ("unlink", "ownership"), ("link", "membership"), ("revoke", "licence"),
    ("grant", "licence"), ("create", "substitution"), ("delete", "substitution"), ("update", "group"),
)  # fmt: skip
_CAUSES = (Cause.NONE, Cause.RENAMED, Cause.STANDS_IN, Cause.COMPLETES_CREATION, Cause.ACCOUNT_DELETED, Cause.MOVED)
_STATUSES = ("planned", "planned", "planned", "held", "deferred", "dropped", "done")
STOPS: tuple[Stop, ...] = (
    *stop_unadopted([Hold("adopt", 1, "1")]),
    *(
        stop
        for action in ("update", "unlink", "delete", "revoke", "adopt", "create")
        for stop in stop_excess([Hold(action, 1, "1")])
    ),
    *stop_kept_places({1, 2}, {3}),
    *stop_quiet(),
    *stop_uncoupled(),
    *stop_moves([1, 5]),
    *stop_swaps(),
    *stop_licences(),
)


def make_rows(chance: random.Random) -> list[PlannedRow]:
    """Return a plan in which everything may be beside anything."""
    rows = []
    for seq in range(40):
        action, kind = chance.choice(_KINDS)
        rows.append(
            PlannedRow(
                seq=seq,
                action=action,  # type: ignore[arg-type]  # drawn
                object=kind,  # type: ignore[arg-type]  # drawn
                phase=chance.choice((Phase.REVOKES, Phase.GRANTS)),
                record=chance.randrange(4),
                member=chance.choice((None, 0, 1, 2, 3)),
                type=chance.choice(("User", "PowerUser")),
                source=chance.choice((None, 1, 2)),
                cause=chance.choice(_CAUSES),
                status=chance.choice(_STATUSES),  # type: ignore[arg-type]  # drawn
                fresh=chance.random() < 0.5,
            )
        )
    return rows


@pytest.mark.parametrize("seed", range(6))
def test_the_store_stops_what_the_rules_mean(store_url: str, seed: int) -> None:
    """Every selection of every sieve, on plans in which all that may stand beside each other does."""
    world = open_world(store_url)
    rows = make_rows(random.Random(seed))
    by_hand = (
        Selection(records=frozenset({1}), fresh=True),
        Selection(seqs=frozenset({3, 4}), but_seqs=frozenset({4})),
    )
    try:
        for run, stop in enumerate((*STOPS, Stop("held", STOPS[0].reason, by_hand)), 1):
            with world.database.transaction() as connection:
                connection.execute(
                    insert(changes),
                    [
                        {
                            "run_id": run, "seq": row.seq, "phase": int(row.phase), "action": row.action,
                            "object": row.object, "record_key": row.record, "target_key": row.member,
                            "target": row.type, "source_key": row.source, "before": None if row.fresh else "{}",
                            "cause": row.cause.value, "reason": "", "status": row.status, "error": "",
                        }
                        for row in rows
                    ],
                )  # fmt: skip
            for selection in stop.selections:
                alone = Stop("started", stop.reason, (selection,))
                expected = {row.seq for row in choose((selection,), rows)}
                assert world.store.stops.stop(run, [alone]) == len(expected), selection
                with reading(world.database) as connection:
                    found = select(changes.c.seq).where(changes.c.run_id == run, changes.c.status == "started")
                    assert set(connection.scalars(found)) == expected, selection
                with world.database.transaction() as connection:
                    for row in rows:
                        restored = changes.update().where(changes.c.run_id == run, changes.c.seq == row.seq)
                        connection.execute(restored.values(status=row.status))
    finally:
        world.database.close()
