"""Laws 1 and 3 over the wire: after any history of changes and faults, once faults stop, the portal is right."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import stamina
import structlog

from syncd.bootstrap.runs import make_runs
from syncd.bootstrap.settings import read_settings
from syncd.bootstrap.sides import open_sides
from syncd.bootstrap.store import open_store
from syncd.clock import Clock
from syncd.model.run import PullKind, RunRecord, RunRequest
from syncd.sandbox.server import Sandbox, SandboxOptions
from syncd.sandbox.tenant.events import happen, live
from syncd.sandbox.wire.faults import Fault
from syncd.store.store import Store
from tests.contract.openapi import Judge
from tests.e2e.truth import Truth

_ROUNDS = 15


class _EagerClock(Clock):
    """The real clock, moved on by every sleep, which takes no time of its own but lets others work."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def now(self) -> datetime:
        """Return the moved present."""
        return super().now() + timedelta(seconds=self.ahead)

    def monotonic(self) -> float:
        """Return the moved monotonic time."""
        return super().monotonic() + self.ahead

    async def sleep(self, seconds: float) -> None:
        """Move on, after one turn of the loop."""
        self.ahead += max(0.0, seconds)
        await super().sleep(0)


@pytest.fixture(autouse=True)
def _impatient() -> Iterator[None]:
    """Let retries follow at once; what Retry-After asks for is still waited for, by the clock above."""
    structlog.reset_defaults()
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    with stamina.set_testing(True, attempts=6, cap=True):
        yield
    structlog.reset_defaults()


def _plan_faults(sandbox: Sandbox, chance: random.Random) -> None:
    """Plan some faults on both sides: each strikes a few requests, somewhere in the coming run."""
    sandbox.faults.clear()
    kinds: tuple[dict[str, Any], ...] = (
        {"kind": "status", "status": 429, "headers": {"Retry-After": "7"}},
        {"kind": "html", "status": 503},
        {"kind": "html", "status": 503, "headers": {"Retry-After": "3"}},
        {"kind": "status", "status": 500},
        {"kind": "reset"},
        {"kind": "lose"},
        {"kind": "truncate"},
        {"kind": "status", "status": 401},
    )
    for side in ("graph", "portal", "portal"):
        for fault in chance.sample(kinds, 3):
            planned = Fault(**fault, side=side, count=chance.choice((1, 2, 3, 8)), skip=chance.randrange(40))
            sandbox.faults.add(planned)
    if chance.random() < 0.3:
        sandbox.book.revoke_all()
    if chance.random() < 0.2:
        chance.choice((sandbox.graph.engine.expire_checkpoints, sandbox.graph.engine.reset_checkpoints))()


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
async def test_after_any_history_and_any_faults_the_portal_is_right(tmp_path: Path, seed: int) -> None:
    """Laws 1 and 3: whatever was done to it, the owned part is the truth, the rest untouched, and nothing is left."""
    chance = random.Random(f"walk-{seed}")
    clock, judge = _EagerClock(), Judge()
    options = SandboxOptions(users=120, groups=40, memberships=500, seed=seed, portal_delay=1.0)
    options.tenant_knobs.page_objects, options.tenant_knobs.page_links = 25, 60
    options.tenant_knobs.gzip = seed % 2 == 0
    async with Sandbox(options, tmp_path, clock=clock) as sandbox:
        sandbox.portal_service.observer = judge
        truth = Truth(sandbox.directory, sandbox.portal, owners=seed == 2)
        text = sandbox.config_toml(store_url=f"sqlite:///{tmp_path / 'store.db'}", health_listen="127.0.0.1:1")
        # A company this small would trip the guard by a few leavers; what the guard does is tested elsewhere.
        text += "[guard]\nmax_removal_percent = false\nmax_daily_removal_percent = false\nmax_update_percent = false\n"
        text += "[mapping]\ngroup.owners = true\n" if truth.owners else ""
        config = tmp_path / "syncd.toml"
        await asyncio.to_thread(config.write_text, text, "utf-8")
        settings = read_settings(config, {})
        database = open_store(settings, create=True)
        plans = Store(database).plans
        ends: list[str] = []

        async def sync(kind: PullKind, *, retry_failed: bool) -> RunRecord:
            async with open_sides(
                settings, database, clock, progress=lambda name, number: None, stopping=lambda: False
            ) as sides:
                request = RunRequest(pull=kind, trigger="cli", retry_failed=retry_failed)
                record = await make_runs(settings, database, clock).execute(request, sides)
            truth.look()
            assert truth.find_touched_foreigners() == []
            assert _list_deletions(sandbox) == [], "nobody asked for a deletion"
            return record

        try:
            for _ in range(_ROUNDS):
                for _ in range(chance.randrange(1, 4)):
                    live(sandbox.directory, chance, chance.randrange(1, 8))
                    happen(sandbox.directory, chance, "reown", count=chance.randrange(3) if truth.owners else 0)
                    truth.look()
                _plan_faults(sandbox, chance)
                kind: PullKind = "full" if chance.random() < 0.25 else "delta"
                record = await sync(kind, retry_failed=chance.random() < 0.7)
                ends.append(record.status)
                clock.ahead += 60.0
            struck = [status for (_, status), _ in sandbox.ledger.statuses.items()]
            assert {401, 429, 503, 0} <= set(struck), "the faults were to strike"

            sandbox.faults.clear()
            for _ in range(3):  # what was put off while faults lasted is made up for, at the latest in the second
                record = await sync("full", retry_failed=True)
                assert record.status == "succeeded", record.error
            assert truth.find_differences() == []
            assert sum(plans.count_outcomes.blocking(record.id).values()) == 0, "a further full run plans nothing"
            assert list(sandbox.ledger.violations) == []
            assert judge.broken == []
            assert len(set(ends)) > 1, "some runs were to go wrong"
        finally:
            database.close()


def _list_deletions(sandbox: Sandbox) -> list[str]:
    """Return the deletions of accounts and groups. A substitution of ours ends when its substitute has left, too."""
    paths = [entry.target for entry in sandbox.ledger.entries if entry.method == "DELETE"]
    return [path for path in paths if "/substitutions/" not in path]
