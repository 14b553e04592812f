"""The run history is bounded, and says what it lets go."""

from __future__ import annotations

import pytest
import structlog

from syncd.store import runlog
from tests.fakes.world import open_world


async def test_what_is_too_old_to_keep_is_counted_in_the_log(store_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Plans that were only looked at go first, then the oldest runs; the line of the run tells how many."""
    monkeypatch.setattr(runlog, "PLANS_KEPT", 1)
    monkeypatch.setattr(runlog, "RUNS_KEPT", 3)
    world = open_world(store_url)
    world.source.put_user("ann", userPrincipalName="ann@x.com", displayName="Ann", mail="ann@x.com")
    await world.sync("full")
    with structlog.testing.capture_logs() as logs:
        for write in (False, False, True, True):
            await world.sync(write=write)
    finished = [log for log in logs if log["event"] == "run.finished"]
    pruned = [(log.get("pruned_plans"), log.get("pruned_runs")) for log in finished]
    assert pruned == [(None, None), (1, None), (None, None), (None, 1)]
    assert [record.id for record in runlog.RunLog(world.database).load_runs(10)] == [5, 4, 3]
    world.database.close()
