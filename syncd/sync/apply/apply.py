"""Apply a plan: send its changes in order, a few at a time, and record what became of each.

The plan is complete in the store before anything is sent. A creation is marked as started before it is sent, so that a
killed run knows afterwards that a record it finds may be its own. One failed object never stops the rest; a refused
credential, a missing scope or a portal that is down does.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from syncd.clock import Clock
from syncd.errors import Interrupted, RemoteError, StoreError, SyncdError
from syncd.model.change import (
    NEEDING_SUCCESSORS,
    NEEDING_SYNCHRONIZED,
    LinkBatch,
    LinkKind,
    LinkOutcome,
    Outcome,
    Phase,
    Placed,
)
from syncd.model.reason import Reason
from syncd.model.target import MembersResult
from syncd.plan.rules import Rules
from syncd.sync.apply.circuit import Circuit, Kind
from syncd.sync.apply.failure_log import FailureLog
from syncd.sync.apply.links import iterate_links, send_links, sort_out
from syncd.sync.apply.privileges import Granting
from syncd.sync.apply.readiness import Patience, Readiness
from syncd.sync.apply.recorder import Recorder
from syncd.sync.apply.records import RecordWrites
from syncd.sync.apply.settle import find_done, find_linked
from syncd.sync.apply.substitutions import Substituting
from syncd.sync.apply.work_queue import Call, WorkQueue, load_ahead
from syncd.sync.passage import pass_unready_grants
from syncd.sync.portal.licences import fit_together, judge_failure, read_reason, send_licences
from syncd.sync.portal.looks import Looks
from syncd.sync.portal.restored import Suspicion
from syncd.sync.ports.progress import Progress
from syncd.sync.ports.sides import Portal
from syncd.tasks import task_group

if TYPE_CHECKING:
    from syncd.store.store import Store

_BATCH = 1024
_TOGETHER = (Phase.HANDOVER_ENDS, Phase.UNLINKS, Phase.DISOWNS, Phase.REVOKES, Phase.GRANTS)
_CHANGING = frozenset({"update", "adopt", "handover"})
_LEVELS = 60
"""So many levels of managers are created one after the other; whoever is further down gets the manager afterwards."""

LoadLevel = Callable[..., Coroutine[Any, Any, list[Placed]]]

_LINKS: Mapping[Phase, LinkKind] = {Phase.LINKS: "membership", Phase.OWNERS: "ownership"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyOptions:
    """How to apply: requests in flight, members per call, and how long (seconds) to wait for WEBCON's own copying."""

    concurrency: int
    members_per_request: int
    sync_wait: float


class Apply:
    """Carries out one run's plan. Not reused."""

    def __init__(
        self,
        portal: Portal,
        store: Store,
        *,
        looks: Looks,
        rules: Rules,
        clock: Clock,
        options: ApplyOptions,
        progress: Progress,
        stopping: Callable[[], bool],
        suspicion: Suspicion | None = None,
    ) -> None:
        """``suspicion``: looks at a few records after an unexpected answer, where the portal was not read."""
        self._portal = portal
        self._store = store
        self._suspicion = suspicion
        self._rules = rules
        self._clock = clock
        self._options = options
        self._progress = progress
        self._stopping = stopping
        self._circuit = Circuit(portal)
        self._fatal: SyncdError | None = None
        self._loaded = 0
        self._substituting = Substituting(portal=portal, store=store, clock=clock)
        self._granting = Granting(portal=portal, store=store, looks=looks, clock=clock)
        self._readiness = Readiness(portal, store, clock=clock, stopping=stopping)
        self._patience = Patience(clock, within=options.sync_wait, stopping=stopping)
        self._records = RecordWrites(
            portal,
            store,
            rules=rules,
            clock=clock,
            substituting=self._substituting,
            weigh=self._weigh,
            surprised=self._note_surprise,
        )

    @property
    def notes(self) -> list[str]:
        """What concerns more than one record, as sentences for the run."""
        return [*self._circuit.notes, *self._granting.notes]

    async def run(
        self, run_id: int, planned: Mapping[Phase, int], *, licences: bool = False, retry_failed: bool = False
    ) -> None:
        """Send everything that is planned; raises what stops a run as a whole, after recording what was done.

        ``planned``: how much, by phase. ``licences``: they are looked after, so that no account is
        deleted which still has one.
        """
        self._records.licences = licences
        self._substituting.retry = self._granting.retry = retry_failed
        failures = FailureLog(self._store, run_id)
        try:
            await self._run_phases(run_id, planned, failures)
        finally:
            failures.close()

    async def _run_phases(self, run_id: int, planned: Mapping[Phase, int], failures: FailureLog) -> None:
        phases = set(planned)
        for phase in Phase:
            if phase is Phase.MANAGERS and self._records.managers.parted:
                phases.add(phase)
            if (phase is Phase.LINKS and phases & (NEEDING_SYNCHRONIZED | NEEDING_SUCCESSORS)) or (
                phase is Phase.MANAGERS and phase in phases
            ):
                await self._readiness.wait(run_id, within=self._options.sync_wait)
            if phase is Phase.LINKS and phases & _LINKS.keys():
                await self._store.outcomes.defer_unready_links(run_id)
            if phase is Phase.REVOKES and self._records.licences:
                await self._store.in_thread(pass_unready_grants, self._store, run_id)
            if phase is Phase.USERS and phase in phases:
                await self._run_levels(run_id, planned[phase], failures)
            elif phase in phases:
                await self._run_phase(run_id, phase, failures)

    async def _run_levels(self, run_id: int, number: int, failures: FailureLog) -> None:
        """Create people level by level; those whose managers are in a circle, or were not created, come last."""
        for _ in range(_LEVELS):
            before = self._loaded
            await self._run_phase(run_id, Phase.USERS, failures, load=self._store.plans.load_level)
            if self._loaded >= number:
                return
            if self._loaded == before:
                break
            if self._records.managers.wants_synchronized:
                await self._readiness.look()
        await self._run_phase(run_id, Phase.USERS, failures)

    # ---- one phase --------------------------------------------------------------------------------------------------

    async def _run_phase(
        self, run_id: int, phase: Phase, failures: FailureLog, *, load: LoadLevel | None = None
    ) -> None:
        """Keep ``concurrency`` requests in flight; load and record beside them."""
        calls = WorkQueue()
        recorder = Recorder(self._store, self._clock, run_id=run_id, give_up=self._give_up)
        unsent: list[Call] = []
        try:
            async with task_group() as group:
                group.create_task(self._load(run_id, phase, calls, load), name="load changes")
                for number in range(self._options.concurrency):
                    group.create_task(self._work(calls, recorder, unsent, failures), name=f"apply {number}")
        finally:
            unsent += calls.take_rest()
            await asyncio.shield(self._finish(run_id, recorder, unsent))
        if self._fatal is not None:
            raise self._fatal
        if self._stopping():
            raise Interrupted("asked to stop while applying the plan")

    async def _finish(self, run_id: int, recorder: Recorder, unsent: Sequence[Call]) -> None:
        await recorder.close()
        seqs = [planned.seq for call in unsent for planned, _, _ in call.placed]
        if seqs and not isinstance(self._fatal, StoreError):
            await self._store.outcomes.mark(run_id, seqs, "planned")

    def _give_up(self, error: StoreError) -> None:
        self._fatal = error

    def _is_over(self) -> bool:
        return self._stopping() or self._fatal is not None

    async def _load(self, run_id: int, phase: Phase, calls: WorkQueue, load: LoadLevel | None) -> None:
        links, size = _LINKS.get(phase), self._options.members_per_request
        planned = iterate_links(self._store, run_id, links, size) if links else self._iterate_calls(run_id, phase, load)
        async with aclosing(planned):
            async for call in planned:
                if self._is_over():
                    break
                await calls.put(call)
        await calls.end()

    async def _iterate_calls(
        self, run_id: int, phase: Phase, load_level: LoadLevel | None
    ) -> AsyncGenerator[Call, None]:
        together = phase in _TOGETHER
        size = self._options.members_per_request if together else 1
        gathered: list[Placed] = []

        async def load(after: int) -> list[Placed]:
            if load_level is not None:
                return await load_level(run_id, after=after, limit=_BATCH)
            return await self._store.plans.load_batch(run_id, phase, after=after, limit=_BATCH)

        async with aclosing(load_ahead(load, _find_end)) as batches:
            async for batch in batches:
                await self._records.prepare(run_id, phase, batch)
                self._loaded += len(batch) if phase is Phase.USERS else 0
                for placed in batch:
                    if gathered and not fit_together(gathered, placed, size):
                        yield Call(gathered)
                        gathered = []
                    gathered.append(placed)
        if gathered:
            yield Call(gathered)

    async def _work(self, calls: WorkQueue, recorder: Recorder, unsent: list[Call], failures: FailureLog) -> None:
        while (call := await calls.get()) is not None:
            if isinstance(call, LinkBatch):
                if not self._is_over():
                    recorder.add_links(await self._link(call, failures))
                    await self._doubt()
                    self._progress("changes applied", len(call.seqs))
            elif self._is_over():
                unsent.append(call)
            else:
                recorder.add(await self._send(call, failures))
                await self._doubt()
                self._progress("changes applied", len(call.placed))

    def _note_surprise(self) -> None:
        if self._suspicion is not None:
            self._suspicion.note()

    async def _doubt(self) -> None:
        """Stop writing when the portal turns out to have gone back in time."""
        if self._suspicion is not None and not self._is_over():
            self._fatal = await self._suspicion.look() or self._fatal

    # ---- one call ---------------------------------------------------------------------------------------------------

    async def _send(self, call: Call, failures: FailureLog) -> list[tuple[Placed, Outcome]]:
        first = call.placed[0][0]
        kind = (first.change.action, first.change.object)
        try:
            if broken := self._circuit.find_broken(first.change.bps_id, kind):
                outcomes = [Outcome(planned.seq, "failed", Reason(text=broken)) for planned, _, _ in call.placed]
            elif first.change.action == "unlink":
                outcomes = await self._records.unlink(call.placed)
            elif first.change.object == "substitution":
                outcomes = [await self._substituting.send(call.placed[0])]
            elif first.change.object == "privilege":
                outcomes = [await self._granting.send(call.placed[0])]
            elif first.change.object == "licence":
                outcomes = await send_licences(
                    self._portal, self._store, call.placed, forgiving=not self._rules.licences
                )
            else:
                outcomes = [await self._records.send(call.placed[0])]
            if not broken:
                self._circuit.close(kind)
        except RemoteError as error:
            await self._weigh(first.change.bps_id, kind, error)
            now, goes_on = self._clock.now(), self._fatal is None
            done = await find_done(self._portal, self._store, call.placed, error, now=now, ask=goes_on)
            outcomes = [
                Outcome(planned.seq, "done") if planned.seq in done else judge_failure(planned, error)
                for planned, _, _ in call.placed
            ]
        if first.change.action in _CHANGING:
            self._patience.note(first.change.bps_id)
        for outcome in outcomes:
            if outcome.status in ("failed", "started"):
                await failures.note([outcome.seq], first.change.action, first.change.object, outcome.error)
        return list(zip(call.placed, outcomes, strict=True))

    async def _link(self, links: LinkBatch, failures: FailureLog) -> list[LinkOutcome]:
        kind: Kind = ("link", links.kind)
        try:
            if broken := self._circuit.find_broken(links.bps_id, kind):
                outcomes = [LinkOutcome(links, "failed", Reason(text=broken))]
            else:
                weigh = partial(self._weigh, links.bps_id, kind)
                outcomes = await send_links(links, self._portal, self._store, self._clock, self._patience, weigh=weigh)
                if any(outcome.status == "deferred" for outcome in outcomes):
                    self._note_surprise()  # all of them were ready by what is known
                self._circuit.close(kind)
        except RemoteError as error:
            await self._weigh(links.bps_id, kind, error)
            goes_on = self._fatal is None
            there = await find_linked(self._portal, links.bps_id, links.kind, links.members, error, ask=goes_on)
            outcomes = sort_out(
                links, MembersResult(failed=tuple((name, "") for name in links.members if name not in there))
            )
            outcomes = [
                replace(each, error=read_reason(error)) if each.status == "failed" else each for each in outcomes
            ]
        for outcome in outcomes:
            if outcome.status == "failed":
                await failures.note(outcome.links.seqs, "link", outcome.links.kind, outcome.error)
        return outcomes

    async def _weigh(self, bps_id: str, kind: Kind, error: RemoteError) -> None:
        """Let the error of one call end the run when it is that of all."""
        self._fatal = await self._circuit.weigh(bps_id, kind, error) or self._fatal


def _find_end(batch: list[Placed]) -> int | None:
    return batch[-1][0].seq if len(batch) == _BATCH else None
