"""Runs: open the record, pull, push, close the record whatever happens, and say it in one canonical log line."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import structlog

from syncd.clock import Clock
from syncd.errors import (
    BadQuery,
    ConfigError,
    Interrupted,
    RemoteError,
    StoreError,
    SyncdError,
    UnknownObject,
    UnsafePlan,
)
from syncd.model.run import REVERSALS, Approval, PullKind, Retention, RunKind, RunRecord, RunRequest, RunStatus
from syncd.sync.apply.result import PushResult
from syncd.sync.planning.approval import Release
from syncd.sync.planning.proposal import Proposal
from syncd.sync.ports.sides import TrafficMeter
from syncd.sync.pull.pull import Pull
from syncd.sync.pull.result import PullResult
from syncd.sync.push import Push
from syncd.sync.timekeeper import QuietHours, Timekeeper

if TYPE_CHECKING:
    from syncd.store.store import Store


_PRUNING_STEPS = 60
"""So many transactions follow a run at most that only let something go; each takes a fraction of a second."""


@dataclass(frozen=True, slots=True)
class Sides:
    """The opened adapters and use cases of one run."""

    pull: Pull
    push: Push
    meters: Mapping[str, TrafficMeter]


class Runs:
    """Executes requests one after the other; whoever calls it holds the store's lock."""

    def __init__(self, store: Store, clock: Clock, is_quiet: QuietHours, *, retention: Retention | None = None) -> None:
        """``retention`` None: nothing is let go."""
        self._store = store
        self._retention = retention
        self._clock = clock
        self._is_quiet = is_quiet
        self._log = structlog.get_logger("syncd.run")

    async def execute(
        self,
        request: RunRequest,
        sides: Sides,
        *,
        proposal: Proposal | None = None,
        shown: Callable[[int], None] | None = None,
    ) -> RunRecord:
        """Carry out a request and return its closed record.

        ``proposal``: carry out this plan instead of comparing the two sides; nothing is pulled then. ``shown`` is
        called in the store's thread when the plan of the run is complete and nothing is written yet.

        Raises only when the store cannot even record it; and UnknownObject, without a record, when nothing bears the
        name of the one object that was asked for.
        """
        started = self._clock.now()
        first = request.pull == "delta" and not await self._store.directory.has_checkpoints()
        pull_kind = "full" if first else request.pull
        if request.approval is not None:
            proposal = await self._find_release(request.approval)
        kind: RunKind = "full" if pull_kind == "full" else "delta"
        if not request.write:
            kind = "plan"
        elif proposal is not None:
            kind = proposal.kind
        elif request.only is not None:
            kind = request.only.kind
        run_id = await self._store.runs.open(kind, request.trigger, now=started)
        run = _Running(run_id, kind, self._clock)
        before = _read_traffic(sides)
        with structlog.contextvars.bound_contextvars(run=run_id):
            self._log.info("run.started", kind=kind, trigger=request.trigger)
            status: RunStatus = "failed"
            try:
                if request.approval is None:
                    await sides.pull.check_tenant()
                else:
                    run.begin("pull")
                    run.pulled = await _read_news(sides.pull)
                if pull_kind == "full":
                    run.begin("read portal")
                    await sides.push.check()  # before the whole tenant is read for nothing
                if pull_kind != "none":
                    run.begin("pull")
                    run.pulled = await sides.pull.run(pull_kind)
                elif request.only is not None:
                    run.begin("pull")
                    run.pulled = await sides.pull.run_single(request.only)
                elif proposal is None and not request.write:
                    await sides.pull.refuse_unread()
                run.pushed = await self._push(run, request, sides, pull_kind, proposal=proposal, shown=shown)
                status = run.status()
            except (Interrupted, asyncio.CancelledError) as error:
                status, run.error = "interrupted", str(error) or "asked to stop"
                raise_again = isinstance(error, asyncio.CancelledError)
                await self._close(run, request, status, started, sides, before)
                if raise_again:
                    raise
                return run.record(request, status, started)
            except UnknownObject:
                await self._store.runs.discard(run_id)
                self._log.info("run.discarded", kind=kind, trigger=request.trigger)
                raise
            except SyncdError as error:
                run.misconfigured = isinstance(error, ConfigError | BadQuery)
                run.error = "; ".join(error.problems) if isinstance(error, ConfigError) else str(error)
            except BaseException as error:
                run.error = f"unexpected {type(error).__name__}: {error}"
                await self._close(run, request, status, started, sides, before)
                raise
            await self._close(run, request, status, started, sides, before)
            return run.record(request, status, started)

    async def _find_release(self, approval: Approval) -> Proposal | None:
        """Return what carries out an approval that a comparison of both sides would not come to again."""
        held = await self._store.runs.load_run(approval.run_id)
        return Release(approval, held.kind) if held is not None and held.kind in REVERSALS else None

    async def _push(
        self,
        run: _Running,
        request: RunRequest,
        sides: Sides,
        pull_kind: PullKind,
        *,
        proposal: Proposal | None,
        shown: Callable[[int], None] | None,
    ) -> PushResult:
        time = run.time = Timekeeper(
            self._store, self._clock, meters=sides.meters, is_quiet=self._is_quiet, approval=request.approval
        )
        if proposal is not None:
            return await sides.push.carry_out(
                run.id, proposal, write=request.write, time=time, phase=run.begin, shown=shown
            )
        if run.pulled is not None:
            removals = run.pulled.removals
        else:  # an approval has looked at each of its removals by itself
            removals = "all" if request.approval else await self._store.full_reads.load_removals()
        return await sides.push.run(
            run.id,
            read_portal=pull_kind != "none",
            removals=removals,
            write=request.write,
            retry_failed=request.retry_failed,
            time=time,
            phase=run.begin,
            approval=request.approval,
            shown=shown,
            subject=None if run.pulled is None else run.pulled.subject,
        )

    async def _close(
        self,
        run: _Running,
        request: RunRequest,
        status: RunStatus,
        started: datetime,
        sides: Sides,
        before: Mapping[str, int],
    ) -> None:
        run.begin("")
        run.finished = self._clock.now()
        run.traffic = {name: value - before.get(name, 0) for name, value in _read_traffic(sides).items()}
        record = run.record(request, status, started)
        pruned: Mapping[str, int] = {}
        chain = ""
        try:
            chain = await self._store.runs.close(
                run.id,
                status,
                counts=record.counts,
                phases=record.phases,
                error=run.error,
                now=run.finished,
                proof=record.proof,
            )
        except StoreError as error:
            self._log.error("run.unrecorded", error=str(error))  # the next start marks it interrupted
        else:
            pruned = await self._prune(run, status)
            with suppress(StoreError):  # the run is recorded: what is wrong with the store comes up with the next one
                await self._store.retention.trim_log()
        emit = self._log.info if status in ("succeeded", "interrupted") else self._log.warning
        emit(
            "run.finished",
            kind=run.kind,
            trigger=request.trigger,
            status=status,
            seconds=round((run.finished - started).total_seconds(), 3),
            phases={name: round(seconds, 3) for name, seconds in record.phases.items()},
            error=run.error or None,
            chain=chain or None,
            **{f"pruned_{what}": number for what, number in pruned.items() if number},
            **record.counts,
        )

    async def _prune(self, run: _Running, status: RunStatus) -> Mapping[str, int]:
        """Let go what was kept long enough, in small steps; what is too much for once goes after the next runs.

        How long hangs on the time: nothing goes after a run in which our clock was not judged, or not believed.
        """
        found: dict[str, int] = {}
        if self._retention is None or status == "interrupted" or run.time is None or not run.time.believed:
            return found
        try:
            for _ in range(_PRUNING_STEPS):
                step = await self._store.retention.prune_step(self._retention, now=self._clock.now())
                for what in ("runs", "plans", "history"):
                    found[what] = found.get(what, 0) + getattr(step, what)
                if not step.more:
                    break
        except StoreError as error:
            self._log.warning("runs.unpruned", error=str(error))
        return found


async def _read_news(pull: Pull) -> PullResult:
    """Read what is new in the tenant before anything of an approval is done; UnsafePlan when it cannot be asked."""
    try:
        await pull.check_tenant()
        return await pull.run("delta")
    except RemoteError as error:
        raise UnsafePlan(f"nothing was approved, because the tenant could not be asked what is new: {error}") from error


def _read_traffic(sides: Sides) -> dict[str, int]:
    """Return what went through each side's door so far; the doors may outlive a run."""
    return {
        f"{side}_{name}": value for side, meter in sides.meters.items() for name, value in meter.read_traffic().items()
    }


class _Running:
    """What is known of a run while it goes on."""

    def __init__(self, run_id: int, kind: RunKind, clock: Clock) -> None:
        self.id = run_id
        self.kind = kind
        self.error = ""
        self.misconfigured = False
        self.finished: datetime | None = None
        self.pulled: PullResult | None = None
        self.pushed: PushResult | None = None
        self.time: Timekeeper | None = None
        self.traffic: dict[str, int] = {}
        self._clock = clock
        self._phases: dict[str, float] = {}
        self._phase = ""
        self._since = clock.monotonic()

    def begin(self, phase: str) -> None:
        """Note that a phase begins, and how long the one before it took."""
        now = self._clock.monotonic()
        if self._phase:
            self._phases[self._phase] = self._phases.get(self._phase, 0.0) + now - self._since
        self._phase, self._since = phase, now

    def status(self) -> RunStatus:
        """Return how the run ended: an unproven read or failed changes are partial, and beat what is held."""
        reasons: list[str] = []
        pulled, pushed = self.pulled, self.pushed
        if pushed is not None and pushed.restored:
            self.error = pushed.restored
            return "failed"
        if pulled is not None:
            reasons += [f"{stream}: {reason}" for stream, reason in sorted(pulled.unproven.items())]
            reasons += pulled.doubts
        if pushed is not None:
            reasons += dict.fromkeys(hold.reason if hold.before else f"held: {hold.reason}" for hold in pushed.holds)
            reasons += [*([pushed.refused] if pushed.refused else []), *pushed.notes]
        self.error = "; ".join(reasons)
        unproven = pulled is not None and (
            pulled.doubts or any(stream not in pulled.emptied for stream in pulled.unproven)
        )
        undone = pushed is not None and (
            pushed.outcomes.get("failed") or pushed.outcomes.get("started") or pushed.refused
        )
        if unproven or undone:
            return "partial"
        held = pushed is not None and (pushed.holds or pushed.outcomes.get("held"))
        if held or (pulled is not None and pulled.emptied):
            return "held"
        return "succeeded"

    def record(self, request: RunRequest, status: RunStatus, started: datetime) -> RunRecord:
        """Return the record as it stands."""
        counts: dict[str, int] = {}
        if self.pulled is not None:
            counts.update(self.pulled.counts)
            counts.update({f"{stream}_emptied": 1 for stream in self.pulled.emptied})
        if self.pushed is not None:
            counts.update(self.pushed.planned)
            counts.update(self.pushed.outcomes)
            counts.update(self.pushed.malformed)
        counts.update(self.traffic)
        return RunRecord(
            id=self.id,
            kind=self.kind,
            trigger=request.trigger,
            status=status,
            started_at=started,
            finished_at=self.finished,
            counts=counts,
            phases=dict(self._phases),
            error=self.error,
            proof={} if self.pulled is None else self.pulled.proof,
            misconfigured=self.misconfigured,
        )
