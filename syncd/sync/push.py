"""Push: directory to target. Decide, plan, guard, and then (if it may write) apply."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import structlog

from syncd.clock import Clock, LateClock
from syncd.errors import PortalRestored, UnsafePlan
from syncd.model.run import Approval, Removals, Subject
from syncd.plan.moment import Moment, hangs_on_time, tell_doubt
from syncd.plan.restored import Restored, say_restored
from syncd.plan.rules import Rules
from syncd.sync.apply.apply import Apply, ApplyOptions
from syncd.sync.apply.result import PushResult, add_outcomes
from syncd.sync.apply.waves import Waving
from syncd.sync.passage import pass_moment, pass_pauses
from syncd.sync.planning.approval import keep_approved
from syncd.sync.planning.kept_by_hand import list_ours
from syncd.sync.planning.planner import Planner
from syncd.sync.planning.proposal import Means, Proposal
from syncd.sync.portal.copies import recognise_copy
from syncd.sync.portal.licences import Licensing
from syncd.sync.portal.looks import Looks
from syncd.sync.portal.privileges import Privileging
from syncd.sync.portal.protection import Protecting
from syncd.sync.portal.read import read_concerned, read_doubtful, read_members, read_records, read_subject
from syncd.sync.portal.restored import Suspicion, judge_portal, refuse_restored
from syncd.sync.ports.progress import Progress
from syncd.sync.ports.sides import Portal
from syncd.sync.preconditions import check_target
from syncd.sync.timekeeper import Timekeeper

if TYPE_CHECKING:
    from syncd.store.store import Store


class Push:
    """Reconciles the portal with the directory, once."""

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
        self._malformed: dict[str, int] = {}
        self._log = structlog.get_logger("syncd.push")

    async def check(self) -> None:
        """Raise what a push would raise because the portal is another one, is not there, or refuses us."""
        await check_target(self._portal, self._store)
        await self._portal.check()

    async def run(
        self,
        run_id: int,
        *,
        read_portal: bool,
        removals: Removals,
        write: bool,
        retry_failed: bool,
        time: Timekeeper,
        phase: Callable[[str], None],
        approval: Approval | None = None,
        shown: Callable[[int], None] | None = None,
        subject: Subject | None = None,
    ) -> PushResult:
        """Make the plan of a run and apply it when ``write`` says so.

        ``read_portal`` False: never ask the portal while planning ("plan none"). ``removals``: what may be taken
        away. ``time`` judges our clock. ``phase`` is told what begins; ``shown`` is called in the store's thread when
        the plan is complete and nothing is written yet. ``subject``: only what a pull of this object touched is
        looked at, even when a push over everybody is due; that one stays due.
        """
        store, rules = self._store, self._rules
        fingerprint = rules.fingerprint()
        await check_target(self._portal, self._store)
        copied = await recognise_copy(store, rules, run_id=run_id, now=self._clock.now())
        due = await store.plans.is_full_push_due(fingerprint)
        if due:
            await store.plans.require_full_push()
        full = due and subject is None
        if subject is None:
            await store.one_object.recall_touches()
        if subject is not None or approval is not None:
            await refuse_restored(store)  # the whole portal is not read, which could find it right again
        doubtful = True
        if full and read_portal:
            phase("read portal")
            self._malformed |= await read_records(self._portal, store, self._progress, now=self._clock.now())
            await store.outcomes.claim_started(now=self._clock.now())
        elif read_portal:
            doubtful = await read_doubtful(self._portal, store, now=self._clock.now())
        licensing = self._make_licensing()
        if full and read_portal and await licensing.are_ours():
            await licensing.read()
        looks = Looks(portal=self._portal, store=store, clock=self._clock)
        privileging = Privileging(looks, rules, now=self._clock.now(), stopping=self._stopping)
        ask = read_portal and subject is None
        await privileging.prepare(ask=ask, read=full and read_portal, write=write, retry=retry_failed)
        if approval is not None:
            phase("read portal")
            users, groups = await store.decisions.load_concerned(approval)
            await read_concerned(
                self._portal,
                store,
                progress=self._progress,
                users=users,
                groups=groups,
                now=self._clock.now(),
                concurrency=self._options.concurrency,
                stopping=self._stopping,
            )
            await store.outcomes.claim_started(now=self._clock.now())
            if not full and await licensing.are_ours():
                await licensing.read()
            if not full and (places := await store.privileges.load_places_of(approval.run_id)):
                await privileging.read(places)
        phase("plan")
        ours = await licensing.are_ours()
        moment = await time.judge()
        restored: Restored | None = None
        planner = Planner(
            store,
            rules,
            run_id,
            moment=moment,
            removals=removals,
            write=write,
            single=subject is not None,
            licences=ours,
            approval=approval,
            doubtful=doubtful,
            privileges=privileging.wanted if privileging.ours else None,
            stopping=self._stopping,
        )
        await store.in_thread(planner.decide, full=due)
        if subject is not None:
            phase("read portal")
            planner.records = await read_subject(self._portal, store, subject, now=self._clock.now())
            phase("plan")
        if full and read_portal:
            phase("read portal members")
            malformed = await read_members(
                self._portal,
                store,
                self._progress,
                now=self._clock.now(),
                concurrency=self._options.concurrency,
                stopping=self._stopping,
                protect=rules.scope.protect,
            )
            if malformed:
                before = self._malformed.get("portal_groups_malformed", 0)
                self._malformed["portal_groups_malformed"] = before + malformed
            restored = await judge_portal(store, licences=licensing.known, now=self._clock.now())
            phase("plan")
        judged = approval is None
        if restored is not None and not judged:
            raise PortalRestored(say_restored(restored))
        await store.in_thread(planner.plan_records, full=full, judged=judged)
        deletions_read = read_portal and planner.deletes and await licensing.read_of_deleted(run_id)
        planned = await store.in_thread(
            planner.plan_places, deletions_read=deletions_read, judged=judged, restored=restored
        )
        if full and read_portal and write and rules.policy.drift == "adopt" and restored is None:
            await store.drift.accept_drift(list_ours(rules))
            await store.licences.accept_taken_licences()
            await store.privileges.accept_taken()
        refused = ""
        if approval is not None:
            refused = await store.in_thread(
                keep_approved, store, run_id, planned.changes, approval=approval, removals=removals
            )
        moment = await self._judge_anew(run_id, time, moment, write=write)
        await store.in_thread(
            pass_moment,
            store,
            run_id,
            moment=moment,
            grace=bool(rules.policy.grace),
            decided=approval is not None,
            retry_failed=retry_failed,
            write=write,
        )
        waves, in_waves = self._make_waves(run_id), judged and subject is None and restored is None
        planned.holds += await waves.hold_new() if in_waves else []
        if write and rules.policy.mode != "plan_only":
            await self._spare_tied(run_id)
        changing = (ours or deletions_read) and await store.licences.has_licence_changes(run_id)
        licences = bool(rules.licences) or changing
        notes = planner.news
        notes += await licensing.settle(run_id, ask=read_portal) if licences or licensing.refused else []
        notes += [*copied, *privileging.notes]
        if planned.changes:
            await store.plans.complete_plan(run_id)
        if shown is not None:
            await store.in_thread(shown, run_id)
        for hold in planned.holds:
            self._log.warning("plan.held", action=hold.action, count=hold.count, reason=hold.reason)
        if write and rules.policy.mode != "plan_only":
            phase("apply")
            read = full and read_portal
            send = partial(
                self._apply, run_id, moment, looks, licences=licences, retry_failed=retry_failed, doubting=not read
            )
            planned.holds += await waves.send(fingerprint, send, may=in_waves, check=read and restored is None)
            notes += waves.notes
            if restored is None:
                whole, single = planned.full and read and removals != "none", subject is not None
                await store.plans.finish_push(
                    run_id, rules=fingerprint, full=whole, now=self._clock.now(), single=single
                )
        elif not write and in_waves:
            await waves.go(fingerprint, wait=False)
        notes = [*tell_doubt(moment), *planned.notes, *notes]
        result = PushResult(
            full=planned.full,
            holds=planned.holds,
            notes=list(dict.fromkeys(notes)),
            refused=refused,
            malformed=self._malformed,
        )
        await add_outcomes(result, store, run_id)
        if restored is not None:
            result.restored = say_restored(restored, written=result.outcomes.get("done", 0))
        return result

    async def carry_out(
        self,
        run_id: int,
        proposal: Proposal,
        *,
        write: bool,
        time: Timekeeper,
        phase: Callable[[str], None],
        shown: Callable[[int], None] | None = None,
    ) -> PushResult:
        """Make a proposal's plan the plan of a run, and apply it when ``write`` says so.

        ``shown`` is called in the store's thread when the plan is complete and nothing is written yet.
        """
        store, rules = self._store, self._rules
        if write and proposal.writes and rules.policy.mode == "plan_only":
            raise UnsafePlan('policy.mode = "plan_only": nothing is written to the portal')
        await check_target(self._portal, self._store)
        copied = await recognise_copy(store, rules, run_id=run_id, now=self._clock.now())
        if write and proposal.writes:
            await self._portal.check()
            if proposal.kind != "replay":
                await refuse_restored(store)
        moment = await time.judge()
        means = Means(
            portal=self._portal,
            store=store,
            looks=Looks(portal=self._portal, store=store, clock=self._clock),
            rules=rules,
            moment=moment,
            concurrency=self._options.concurrency,
            progress=self._progress,
            stopping=self._stopping,
        )
        await read_doubtful(self._portal, store, now=self._clock.now())
        holds = await proposal.propose(run_id, means, phase)
        await store.in_thread(pass_pauses, store, run_id, moment)
        if write:
            await self._spare_tied(run_id)
        licences = bool(rules.licences) or await store.licences.has_licence_changes(run_id)
        licensing = self._make_licensing()
        notes = await licensing.settle(run_id, ask=True) if licences else []
        if shown is not None:
            await store.in_thread(shown, run_id)
        for hold in holds:
            self._log.warning("plan.held", action=hold.action, count=hold.count, reason=hold.reason)
        if write:
            phase("apply")
            notes += await self._apply(
                run_id, moment, means.looks, licences=licences, doubting=proposal.kind != "replay"
            )
            await store.plan_files.finish_proposal(run_id)
            if proposal.kind == "replay" and await store.past.load_found() is not None:
                await store.past.settle(now=moment.now)
        notes = [*tell_doubt(moment), *notes, *copied]
        result = PushResult(holds=holds, notes=notes, refused="; ".join(means.refused), malformed=self._malformed)
        return await add_outcomes(result, store, run_id)

    def _make_licensing(self) -> Licensing:
        types = [rule.type for rule in self._rules.licences]
        return Licensing(self._portal, self._store, ruled=bool(types), now=self._clock.now(), types=types)

    def _make_waves(self, run_id: int) -> Waving:
        return Waving(
            self._portal,
            self._store,
            run_id,
            rules=self._rules,
            clock=self._clock,
            options=self._options,
            progress=self._progress,
            stopping=self._stopping,
        )

    async def _spare_tied(self, run_id: int) -> None:
        spared = self._rules.scope.protect
        await Protecting(self._portal, self._store, clock=self._clock, protect=spared).defer_deletions(run_id)

    async def _judge_anew(self, run_id: int, time: Timekeeper, moment: Moment, *, write: bool) -> Moment:
        """Return the moment by what both sides state, before anything is sent that hangs on time."""
        grace = self._rules.policy.grace
        counts = await self._store.in_thread(self._store.plans.count_changes, run_id)
        if write and any(hangs_on_time(action, kind, grace=grace) for action, kind in counts):
            await self._portal.check()
        return await time.judge(moment)

    async def _apply(
        self, run_id: int, moment: Moment, looks: Looks, *, licences: bool, doubting: bool, retry_failed: bool = True
    ) -> list[str]:
        """Send what is planned; return what is to be told of it beside the outcomes.

        ``doubting``: the portal was not read as a whole: an unexpected answer may tell that it went back in time.
        """
        planned = await self._store.plans.count_planned(run_id)
        self._progress("changes planned", sum(planned.values()))
        apply = Apply(
            self._portal,
            self._store,
            looks=looks,
            rules=self._rules,
            clock=LateClock(self._clock, moment.latest - moment.now) if moment.doubt else self._clock,
            options=self._options,
            progress=self._progress,
            stopping=self._stopping,
            suspicion=Suspicion(self._portal, self._store) if doubting else None,
        )
        await apply.run(run_id, planned, licences=licences, retry_failed=retry_failed)
        return apply.notes
