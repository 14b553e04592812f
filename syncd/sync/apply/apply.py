"""Apply a plan: send its changes in order, a few at a time, and record what became of each.

The plan is complete in the store before anything is sent. A creation is marked as started before it is sent, so that a
killed run knows afterwards that a record it finds may be its own. One failed object never stops the rest; a refused
credential, a missing scope or a portal that is down does.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from syncd.clock import Clock
from syncd.errors import UNCLEAR, Conflict, Forbidden, Interrupted, NotFound, RemoteError, StoreError, SyncdError
from syncd.model.change import (
    NEEDING_SYNCHRONIZED,
    LinkBatch,
    LinkKind,
    LinkOutcome,
    Outcome,
    Phase,
    Placed,
    PlannedChange,
)
from syncd.model.licence import LicenceHolder
from syncd.model.reason import Cause, Reason
from syncd.model.target import Account, Creation, GroupDetail, MembersResult, PortalGroup, fold
from syncd.plan.rules import Rules
from syncd.plan.words import say
from syncd.sync.apply.circuit import Circuit, Kind
from syncd.sync.apply.failure_log import FailureLog
from syncd.sync.apply.links import iterate_links, send_links, sort_out
from syncd.sync.apply.readiness import Readiness
from syncd.sync.apply.recorder import Recorder
from syncd.sync.apply.settle import find_done, find_linked
from syncd.sync.apply.substitutions import Substituting
from syncd.sync.apply.work_queue import Call, WorkQueue, load_ahead
from syncd.sync.passage import pass_unready_grants
from syncd.sync.portal.licences import fit_together, is_remembered, judge_failure, read_reason, send_licences
from syncd.sync.portal.protection import Protecting
from syncd.sync.ports.progress import Progress
from syncd.sync.ports.sides import Portal
from syncd.tasks import task_group

if TYPE_CHECKING:
    from syncd.store.store import Store

_BATCH = 1024
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
        self._circuit = Circuit(portal)
        self._fatal: SyncdError | None = None
        self._licences = False
        self._sent_before: set[int] = set()
        self._unready: set[int] = set()
        self._substituting = Substituting(portal=portal, store=store, clock=clock)
        self._readiness = Readiness(portal, store, clock=clock, stopping=stopping)
        self._protecting = Protecting(portal, store, clock=clock, protect=rules.scope.protect)

    @property
    def notes(self) -> list[str]:
        """What concerns more than one record, as sentences for the run."""
        return self._circuit.notes

    async def run(
        self, run_id: int, planned: Collection[Phase], *, licences: bool = False, retry_failed: bool = False
    ) -> None:
        """Send everything that is planned; raises what stops a run as a whole, after recording what was done.

        ``planned``: the phases in which something is. ``licences``: they are looked after, so that no account is
        deleted which still has one.
        """
        self._licences = licences
        self._substituting.retry = retry_failed
        failures = FailureLog(self._store, run_id)
        try:
            await self._run_phases(run_id, frozenset(planned), failures)
        finally:
            failures.close()

    async def _run_phases(self, run_id: int, planned: frozenset[Phase], failures: FailureLog) -> None:
        for phase in Phase:
            if phase in (Phase.MANAGERS, Phase.LINKS) and planned & NEEDING_SYNCHRONIZED:
                await self._readiness.wait(run_id, within=self._options.sync_wait)
            if phase is Phase.LINKS and planned & _LINKS.keys():
                await self._store.outcomes.defer_unready_links(run_id)
            if phase is Phase.REVOKES and self._licences:
                await self._store.in_thread(pass_unready_grants, self._store, run_id)
            if phase in planned:
                await self._run_phase(run_id, phase, failures)

    # ---- one phase --------------------------------------------------------------------------------------------------

    async def _run_phase(self, run_id: int, phase: Phase, failures: FailureLog) -> None:
        """Keep ``concurrency`` requests in flight; load and record beside them."""
        calls = WorkQueue()
        recorder = Recorder(self._store, self._clock, run_id=run_id, give_up=self._give_up)
        unsent: list[Call] = []
        try:
            async with task_group() as group:
                group.create_task(self._load(run_id, phase, calls), name="load changes")
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

    async def _load(self, run_id: int, phase: Phase, calls: WorkQueue) -> None:
        links, size = _LINKS.get(phase), self._options.members_per_request
        planned = iterate_links(self._store, run_id, links, size) if links else self._iterate_calls(run_id, phase)
        async with aclosing(planned):
            async for call in planned:
                if self._is_over():
                    break
                await calls.put(call)
        await calls.end()

    async def _iterate_calls(self, run_id: int, phase: Phase) -> AsyncGenerator[Call, None]:
        together = phase in (Phase.UNLINKS, Phase.DISOWNS, Phase.REVOKES, Phase.GRANTS)
        size = self._options.members_per_request if together else 1
        gathered: list[Placed] = []

        async def load(after: int) -> list[Placed]:
            return await self._store.plans.load_batch(run_id, phase, after=after, limit=_BATCH)

        async with aclosing(load_ahead(load, _find_end)) as batches:
            async for batch in batches:
                await self._prepare(run_id, phase, batch)
                for placed in batch:
                    if gathered and not fit_together(gathered, placed, size):
                        yield Call(gathered)
                        gathered = []
                    gathered.append(placed)
        if gathered:
            yield Call(gathered)

    async def _prepare(self, run_id: int, phase: Phase, batch: Sequence[Placed]) -> None:
        """Remember what is about to be sent, and find out what is needed to send it."""
        marked = [placed for placed in batch if is_remembered(placed[0].change)]
        if marked:
            records = [record for planned, record, _ in marked if planned.change.action == "create"]
            self._sent_before |= await self._store.outcomes.load_started_before(run_id, records)
            await self._store.outcomes.mark(run_id, [placed[0].seq for placed in marked], "started")
        if phase is Phase.MANAGERS:
            needed = [_find_needed(placed) for placed in batch]
            ready = await self._store.plans.load_ready(set().union(*needed))
            for (planned, _, _), accounts in zip(batch, needed, strict=True):
                if not (accounts <= ready.keys() and ready[fold(planned.change.bps_id)]):
                    self._unready.add(planned.seq)

    async def _work(self, calls: WorkQueue, recorder: Recorder, unsent: list[Call], failures: FailureLog) -> None:
        while (call := await calls.get()) is not None:
            if isinstance(call, LinkBatch):
                if not self._is_over():
                    recorder.add_links(await self._link(call, failures))
                    self._progress("changes applied", len(call.seqs))
            elif self._is_over():
                unsent.append(call)
            else:
                recorder.add(await self._send(call, failures))
                self._progress("changes applied", len(call.placed))

    # ---- one call ---------------------------------------------------------------------------------------------------

    async def _send(self, call: Call, failures: FailureLog) -> list[tuple[Placed, Outcome]]:
        first = call.placed[0][0]
        kind = (first.change.action, first.change.object)
        try:
            if broken := self._circuit.find_broken(first.change.bps_id, kind):
                outcomes = [Outcome(planned.seq, "failed", Reason(text=broken)) for planned, _, _ in call.placed]
            elif first.change.action == "unlink":
                outcomes = await self._unlink(call.placed)
            elif first.change.object == "substitution":
                outcomes = [await self._substituting.send(call.placed[0])]
            elif first.change.object == "licence":
                outcomes = await send_licences(
                    self._portal, self._store, call.placed, forgiving=not self._rules.licences
                )
            else:
                outcomes = [await self._send_record(call.placed[0])]
            if not broken:
                self._circuit.close(kind)
        except RemoteError as error:
            await self._weigh(first.change.bps_id, kind, error)
            done = set[int]()
            if self._fatal is None:
                done = await find_done(self._portal, self._store, call.placed, error, now=self._clock.now())
            outcomes = [
                Outcome(planned.seq, "done") if planned.seq in done else judge_failure(planned, error)
                for planned, _, _ in call.placed
            ]
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
                outcomes = await send_links(links, self._portal, self._store, self._clock)
                self._circuit.close(kind)
        except RemoteError as error:
            await self._weigh(links.bps_id, kind, error)
            there = set[str]()
            if self._fatal is None:
                there = await find_linked(self._portal, links.bps_id, links.kind, links.members, error)
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

    async def _send_record(self, placed: Placed) -> Outcome:
        planned, record, _ = placed
        change = planned.change
        if change.action == "create":
            return await self._create(planned, record)
        if change.action == "delete":
            return await self._delete(planned, record)
        if planned.seq in self._unready:
            return _defer(planned, "the account or its manager's is not ready in the portal yet")
        if not change.after:
            return Outcome(planned.seq, "done")  # ownership alone changes hands: nothing to write
        write = self._portal.update_account if change.object == "user" else self._portal.update_group
        try:
            await write(change.bps_id, change.after)
        except (NotFound, Conflict) as error:
            return await self._explain_update(planned, error)
        return Outcome(planned.seq, "done")

    async def _explain_update(self, planned: PlannedChange, error: RemoteError) -> Outcome:
        """Look at a record whose update was refused: is it gone, not ready, or is the update wrong?"""
        bps_id = planned.change.bps_id
        if planned.change.object == "user":
            account = await self._portal.fetch_account(bps_id)
            if account is None and not isinstance(error, NotFound):
                return Outcome(planned.seq, "failed", read_reason(error))
            await self._store.inventory.store_account(bps_id, account, now=self._clock.now())
            there, status = account is not None, account.status if account else ""
        else:
            detail = await self._portal.fetch_group(bps_id)
            await self._store.inventory.store_group_detail(bps_id, detail, now=self._clock.now())
            there, status = detail is not None, detail.group.status if detail else ""
        if not there:
            return _defer(planned, "the portal does not list this record yet; retried in the next run")
        if status == "WaitingForSynchronization":
            return _defer(planned, "WEBCON still synchronises the record")
        return Outcome(planned.seq, "failed", read_reason(error))

    async def _create(self, planned: PlannedChange, record: int) -> Outcome:
        change = planned.change
        after = change.after
        sent_before = record in self._sent_before
        if change.object == "user":
            fields = {name: value for name, value in after.items() if value is not None}
            account = Account(bps_id=change.bps_id, **fields)  # type: ignore[arg-type]  # an account's fields, by name
            result = await self._portal.create_account(account, sent_before=sent_before)
        else:
            group = PortalGroup(bps_id=change.bps_id, name=after.get("name"), email=after.get("email"))
            result = await self._portal.create_group(group, sent_before=sent_before)
        if result is not Creation.EXISTS:
            return Outcome(planned.seq, "done")
        if change.object == "user":
            found = await self._portal.fetch_account(change.bps_id)
            await self._store.inventory.store_account(change.bps_id, found, now=self._clock.now())
        else:
            detail: GroupDetail | None = await self._portal.fetch_group(change.bps_id)
            await self._store.inventory.store_group_detail(change.bps_id, detail, now=self._clock.now())
        if sent_before:
            claimed = await self._store.outcomes.claim_started(now=self._clock.now(), only=record)
            if claimed:
                return _defer(planned, "an earlier run had created it: the next run updates it")
        return _defer(planned, "the portal has had a record with this BPS id before: the next run plans its adoption")

    async def _delete(self, planned: PlannedChange, record: int) -> Outcome:
        change = planned.change
        if tied := await self._protecting.find_reason(change):
            return Outcome(planned.seq, "deferred", say(Cause.TIED, what=tied))
        if change.object == "user":
            if not await self._has_arrived(planned, record):
                return _defer(planned, "the renamed person's new account is not there yet")
            if waits := await self._find_what_would_stay(planned, record):
                return _defer(planned, waits)
            await self._portal.delete_account(change.bps_id)
        else:
            await self._portal.delete_group(change.bps_id)
        return Outcome(planned.seq, "done")

    async def _find_what_would_stay(self, planned: PlannedChange, record: int) -> str:
        """Return why an account cannot go yet: what hangs on it would stay behind; the portal is asked for it anew."""
        change = planned.change
        try:
            holder = await self._fetch_holder(change.bps_id)
            if await self._substituting.is_arranged(record, change.bps_id):
                return "the substitution of its tasks has not ended yet"
        except UNCLEAR as error:
            await self._weigh(change.bps_id, (change.action, change.object), error)
            return f"what hangs on it could not be read again: {error}"
        if holder is not None:
            await self._store.licences.store_holders([holder], now=self._clock.now())
        if (holder is not None or self._licences) and await self._store.licences.has_licences(record):
            return "its licences are not revoked yet, and would keep their seats"
        return ""

    async def _fetch_holder(self, bps_id: str) -> LicenceHolder | None:
        try:
            return await self._portal.fetch_holder(bps_id)
        except Forbidden:
            if self._rules.licences:
                raise
            return None  # whoever has no rules need not give us the scope

    async def _has_arrived(self, planned: PlannedChange, record: int) -> bool:
        """Return whether an old account may go: it was not left by a rename, or the new one is there."""
        if planned.change.reason.cause is not Cause.RENAMED or planned.change.source_key is None:
            return True
        return await self._store.outcomes.has_current_account(planned.change.source_key, record)

    async def _unlink(self, placed: Sequence[Placed]) -> list[Outcome]:
        change, group = placed[0][0].change, placed[0][1]
        if not await self._store.outcomes.is_owned_group(group):
            return [_defer(planned, "its group is not ours (yet)") for planned, _, _ in placed]
        if change.reason.cause is Cause.GROUP_RENAMED and not await self._store.outcomes.has_group_successor(group):
            waits = "the renamed group's new record is not there yet"
            return [_defer(planned, waits) for planned, _, _ in placed]
        late: set[int] = set()
        for planned, _, target in placed:
            if planned.change.reason.cause is not Cause.RENAMED or target is None:
                continue
            if not await self._store.outcomes.has_successor(target):
                late.add(planned.seq)
        ids = [planned.change.target for planned, _, _ in placed if planned.seq not in late]
        result = MembersResult()
        if ids:
            owners = change.object == "ownership"
            write = self._portal.remove_owners if owners else self._portal.remove_members
            try:
                result = await write(change.bps_id, ids)
            except NotFound:
                await self._store.inventory.store_group_detail(change.bps_id, None, now=self._clock.now())
                gone = "the portal does not list this group yet; retried in the next run"
                return [_defer(planned, gone) for planned, _, _ in placed]
        pending, failed = set(result.pending), dict(result.failed)
        outcomes = []
        for planned, _, _ in placed:
            member = planned.change.target
            if planned.seq in late:
                waits = "the renamed person's new account is not there yet"
                outcomes.append(_defer(planned, waits))
            elif member in failed:
                outcomes.append(Outcome(planned.seq, "failed", Reason(text=failed[member])))
            elif member in pending:
                outcomes.append(_defer(planned, "WEBCON still synchronises the group"))
            else:
                outcomes.append(Outcome(planned.seq, "done"))
        return outcomes


def _defer(planned: PlannedChange, what: str) -> Outcome:
    return Outcome(planned.seq, "deferred", say(Cause.NOT_READY, what=what))


def _find_end(batch: list[Placed]) -> int | None:
    return batch[-1][0].seq if len(batch) == _BATCH else None


def _find_needed(placed: Placed) -> set[str]:
    """Return the (folded) accounts that must be there before a manager can be set: the person's and the manager's."""
    change = placed[0].change
    return {fold(bps_id) for bps_id in (change.bps_id, change.after.get("manager")) if bps_id}
