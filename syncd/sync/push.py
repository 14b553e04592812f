"""Push: directory to target. Decide, plan, guard, and then (if it may write) apply."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from syncd.clock import Clock
from syncd.errors import ConfigError, UnsafePlan
from syncd.model.run import Approval
from syncd.plan.guard import Hold
from syncd.plan.rules import Rules
from syncd.sync.apply import Apply, ApplyOptions
from syncd.sync.planning import Planned, Planner
from syncd.sync.portal_reading import read_members, read_records
from syncd.sync.ports import Portal
from syncd.sync.pull import Progress
from syncd.sync.stores import PushStore


@dataclass(slots=True)
class PushResult:
    """What a push did. ``outcomes``: number of changes per status; ``planned``: per action."""

    full: bool = False
    holds: list[Hold] = field(default_factory=list)
    planned: dict[str, int] = field(default_factory=dict)
    outcomes: dict[str, int] = field(default_factory=dict)


class Push:
    """Reconciles the portal with the directory, once."""

    def __init__(
        self,
        portal: Portal,
        store: PushStore,
        rules: Rules,
        clock: Clock,
        options: ApplyOptions,
        progress: Progress,
        stopping: Callable[[], bool],
    ) -> None:
        self._portal = portal
        self._store = store
        self._rules = rules
        self._clock = clock
        self._options = options
        self._progress = progress
        self._stopping = stopping
        self._log = structlog.get_logger("syncd.push")

    async def run(
        self,
        run_id: int,
        *,
        read_portal: bool,
        removals: bool,
        write: bool,
        retry_failed: bool,
        quiet: bool,
        phase: Callable[[str], None],
        approval: Approval | None = None,
    ) -> PushResult:
        """Make the plan of a run and apply it when ``write`` says so.

        ``read_portal`` False: never ask the portal while planning ("plan none"). ``removals`` False: the source was
        incomplete. ``quiet``: quiet hours, removals are put off to the next run. ``phase`` is told what begins.
        """
        store, rules = self._store, self._rules
        fingerprint = rules.fingerprint()
        await self._check_target()
        full = await store.call(store.is_full_push_due, fingerprint)
        if full:
            await store.call(store.require_full_push)
        if full and read_portal:
            phase("read portal")
            await read_records(self._portal, store, self._progress, now=self._clock.now())
            await store.call(store.claim_started, now=self._clock.now())
        if approval is not None:
            phase("read portal")
            await self._read_concerned(approval)
        phase("plan")
        planner = Planner(
            store, rules, run_id, now=self._clock.now(), removals=removals, write=write, stopping=self._stopping
        )
        await store.call(planner.decide, full=full)
        if full and read_portal:
            phase("read portal members")
            await read_members(
                self._portal,
                store,
                self._progress,
                now=self._clock.now(),
                concurrency=self._options.concurrency,
                stopping=self._stopping,
            )
            phase("plan")
        planned = await store.call(planner.plan, full=full, judged=approval is None)
        if approval is not None:
            await self._keep_approved(run_id, approval)
        if quiet and approval is None:
            await store.call(store.drop_removals, run_id, "quiet hours: removals are put off (guard.quiet_hours)")
        if not retry_failed:
            await store.call(store.defer_failing, run_id, now=self._clock.now())
        for hold in planned.holds:
            self._log.warning("plan.held", action=hold.action, count=hold.count, reason=hold.reason)
        if write and rules.policy.mode != "plan_only":
            phase("apply")
            self._progress("changes planned", planned.changes)
            apply = Apply(self._portal, store, self._clock, self._options, self._progress, self._stopping)
            await apply.run(run_id, retry_failed=retry_failed)
            looked_everywhere = planned.full and full and removals and read_portal
            await store.call(store.finish_push, run_id, rules=fingerprint, full=looked_everywhere)
        return await self._sum_up(run_id, planned)

    async def _check_target(self) -> None:
        other = await self._store.call(self._store.bind_target, self._portal.address)
        if other is not None:
            problem = (
                f"bps.portal_url: the store belongs to the portal at {other}, not to {self._portal.address}; what is "
                "ours in the one need not be ours in the other. Set the old address again, or take a new store "
                "(store.url), in which everything that this portal already has waits for adoption"
            )
            raise ConfigError([problem])

    async def _read_concerned(self, approval: Approval) -> None:
        """Read anew the records of the portal that released changes write to, so that the plan meets their truth."""
        store = self._store
        users, groups = await store.call(store.load_concerned, approval)
        for bps_id in users:
            account = await self._portal.fetch_account(bps_id)
            await store.call(store.store_account, bps_id, account, now=self._clock.now())
        for bps_id in groups:
            detail = await self._portal.fetch_group(bps_id)
            await store.call(store.store_group_detail, bps_id, detail, now=self._clock.now())

    async def _keep_approved(self, run_id: int, approval: Approval) -> None:
        released, standing = await self._store.call(self._store.select_approved, run_id, approval)
        if standing < released:
            raise UnsafePlan(
                f"{released - standing} of {released} approved changes of run {approval.run_id} are no longer as they "
                "were shown: one of the sides has changed; nothing was applied, look at 'syncd held' after the next run"
            )

    async def _sum_up(self, run_id: int, planned: Planned) -> PushResult:
        result = PushResult(planned.full, list(planned.holds))
        for (action, _kind, status), number in sorted(
            (await self._store.call(self._store.count_outcomes, run_id)).items()
        ):
            result.planned[action] = result.planned.get(action, 0) + number
            result.outcomes[status] = result.outcomes.get(status, 0) + number
        return result
