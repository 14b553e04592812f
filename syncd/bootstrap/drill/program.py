"""syncd as a drill operates it: one run after the other, on a store file of its own, through the same composition."""

from __future__ import annotations

import asyncio
import itertools
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from syncd.bootstrap.drill.clocks import WrongClock
from syncd.bootstrap.drill.settings import make_rollout_settings, with_protected, with_tenant
from syncd.bootstrap.runs import make_runs
from syncd.bootstrap.sides import open_sides
from syncd.bootstrap.store import open_store
from syncd.config import Settings
from syncd.model.change import Action
from syncd.model.run import Approval, RunRecord, RunRequest
from syncd.sandbox.drill.play import Ended, Kind
from syncd.sandbox.wire.faults import Faults
from syncd.store.db.backup import back_up
from syncd.store.db.database import Compiled
from syncd.store.store import Store
from syncd.sync.planning.proposal import Proposal
from syncd.sync.planning.replay import Replay

if TYPE_CHECKING:
    from syncd.store.db.database import Database

_ACTIONS: tuple[str, ...] = get_args(Action)


class DrilledProgram:
    """What `syncd.sandbox.drill.play.Program` asks for. Each run opens the store and both sides, as a command does."""

    def __init__(
        self,
        settings: Settings,
        clock: WrongClock,
        *,
        store: Path,
        faults: Faults,
        compiled: Compiled | None = None,
    ) -> None:
        """``settings`` are those of a drill, whose store is the file ``store``; ``faults`` those of the sandbox.

        ``compiled``: the statements that another program has compiled.
        """
        self.settings = settings
        self._own = self._rules = settings
        self._clock = clock
        self.store = store
        self._faults = faults
        self.compiled = compiled or Compiled()
        self._kept = itertools.count(1)

    async def run(self, kind: Kind, *, insist: bool = False) -> Ended:
        """Carry out one run, as ``syncd sync`` does."""
        return await self._execute(RunRequest(pull=kind, trigger="cli", retry_failed=insist))

    async def approve(self, run: int) -> Ended:
        """Approve what a run held, as ``syncd approve`` does."""
        approval = Approval(run_id=run)
        return await self._execute(RunRequest(pull="none", trigger="approval", retry_failed=True, approval=approval))

    async def replay(self) -> Ended:
        """Write again what the portal has lost, as ``syncd replay --apply`` does."""
        return await self._execute(RunRequest(pull="none", trigger="cli", retry_failed=True), Replay())

    async def run_killed(self, kind: Kind, *, after: int) -> bool:
        """Begin a run and end it at so many requests as ``kill -9`` does: only what was committed by then is left.

        The store of that moment takes the place of the one in which the broken run still writes its end.
        """
        database = open_store(self.settings, create=False, compiled=self.compiled)
        left = self.store.with_name("left.db")
        left.unlink(missing_ok=True)
        task = asyncio.create_task(self._carry_out(RunRequest(pull=kind, trigger="cli"), database), name="killed run")
        count = itertools.count(1)

        def watch(_side: str, _method: str, _target: str) -> None:
            if next(count) == after:
                back_up(database, left)
                task.cancel()

        self._faults.watch = watch
        try:
            await asyncio.wait([task])
        finally:
            self._faults.watch = None
            database.close()
        if not left.exists():
            task.result()
            return False
        self._replace_store(left)
        return True

    def keep(self) -> Path:
        """Return a copy of the store."""
        kept = self.store.with_name(f"kept-{next(self._kept)}.db")
        shutil.copyfile(self.store, kept)
        return kept

    def put_back(self, kept: object) -> None:
        """Let the store be what it was."""
        self._replace_store(Path(str(kept)))

    def forget(self) -> None:
        """Remove the store."""
        for name in (self.store.name, f"{self.store.name}-wal", f"{self.store.name}-shm"):
            self.store.with_name(name).unlink(missing_ok=True)

    def set_clock(self, *, ahead: float) -> None:
        """Let our clock be wrong."""
        self._clock.ahead = ahead

    def take_for(self, tenant_id: str) -> None:
        """Configure another tenant."""
        self.settings = with_tenant(self._rules, tenant_id)

    def protect(self, bps_ids: Collection[str]) -> None:
        """Put these accounts on the protect list, until the rules are set back."""
        self.settings = self._rules = with_protected(self._own, bps_ids)

    def roll_out(self, *, new_rules: bool) -> None:
        """Let what comes be a rollout."""
        self.settings = self._rules = make_rollout_settings(self._own, new_rules=new_rules)

    def count_first_wave(self, people: int) -> int | None:
        """Return how many people the first wave has; None where everything goes at once."""
        waves, least = self.settings.policy.waves, self.settings.guard.min_population
        return -(-people * waves[0] // 100) if waves and people >= max(least, 2) else None

    def set_rules_back(self) -> None:
        """Configure again what is drilled."""
        self.settings = self._rules = self._own

    def _replace_store(self, other: Path) -> None:
        self.forget()
        shutil.copyfile(other, self.store)

    async def _execute(self, request: RunRequest, proposal: Proposal | None = None) -> Ended:
        database = open_store(self.settings, create=True, compiled=self.compiled)
        try:
            record = await self._carry_out(request, database, proposal)
        finally:
            database.close()
        planned = sum(record.counts.get(action, 0) for action in _ACTIONS)
        return Ended(
            run=record.id, status=record.status, error=record.error, planned=planned, held=record.counts.get("held", 0)
        )

    async def _carry_out(self, request: RunRequest, database: Database, proposal: Proposal | None = None) -> RunRecord:
        await Store(database).runs.interrupt_open()
        runs = make_runs(self.settings, database, self._clock)
        async with open_sides(
            self.settings, database, self._clock, progress=lambda _name, _number: None, stopping=lambda: False
        ) as sides:
            return await runs.execute(request, sides, proposal=proposal)
