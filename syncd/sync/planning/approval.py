"""Approvals: what of a held plan is carried out as it was shown, and what is refused because a side has changed.

The news of the tenant is read before, and so are the portal's records concerned. What is refused stands in the plan of
the approval, with the reason; what was begun by an approval that was killed, and had been done by then, is settled.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from syncd.errors import UnsafePlan
from syncd.model.change import Change
from syncd.model.reason import Cause, Reason
from syncd.model.run import Approval, Removals, RunKind
from syncd.plan.approval import Approved, say_approval_refused, say_refused, say_set_back_refused
from syncd.plan.guard import Hold
from syncd.plan.selection import Selection, Stop
from syncd.plan.sieves import stop_unapproved
from syncd.plan.undo.undo import still_stands
from syncd.plan.words import say
from syncd.sync.passage import drop_plan
from syncd.sync.planning.planner import Planner
from syncd.sync.planning.proposal import Means

if TYPE_CHECKING:
    from syncd.store.store import Store

Refused = tuple[Change, int, int | None, Reason]


def keep_approved(store: Store, run_id: int, start: int, *, approval: Approval, removals: Removals) -> str:
    """Leave in a fresh plan of ``start`` changes what was released and stands; return what to tell of the rest.

    UnsafePlan when nothing of it stands. To be called in the store's thread.
    """
    found = store.stops.compare_with_shown(run_id, approval)
    store.stops.stop(run_id, stop_unapproved(found))
    store.decisions.note_released(run_id, approval.run_id, found.standing)
    settled, refused = _weigh(store, approval.run_id, found, removals)
    return _settle(store, run_id, approval, start=start, settled=settled, refused=refused, released=found.released)


def _weigh(store: Store, held_by: int, found: Approved, removals: Removals) -> tuple[list[int], list[Refused]]:
    """Return the places of what had been done already, and what is refused."""
    begun = store.decisions.load_begun(held_by)
    settled, refused = list[int](), list[Refused]()
    held = store.plans.load_places(held_by, sorted(found.altered | found.gone))
    for done, record, target in store.undo.load_standing(held):
        altered = done.seq in found.altered
        if not altered and done.seq in begun and not still_stands(done):
            settled.append(done.seq)
        else:
            refused.append((done.change, record, target, say_refused(done, altered=altered, removals=removals)))
    return settled, refused


def _settle(
    store: Store,
    run_id: int,
    approval: Approval,
    *,
    start: int,
    settled: Collection[int],
    refused: Sequence[Refused],
    released: int,
) -> str:
    if settled:
        over = Selection(seqs=frozenset(settled), statuses=("held",))
        store.stops.stop(approval.run_id, (Stop("dropped", say(Cause.SETTLED_LATER), (over,)),))
    if not refused:
        return ""
    told = say_approval_refused(
        approval.run_id, [(change, reason) for change, _, _, reason in refused], released=released
    )
    if len(refused) + len(settled) == released:
        drop_plan(store, run_id, say(Cause.NOT_APPLIED, why="nothing of what was approved stands any more"))
        store.plans.add_left(run_id, start, refused)
        raise UnsafePlan(f"{told}; nothing was applied, look at 'syncd held' after the next run")
    store.plans.add_left(run_id, start, refused)
    return told


@dataclass(frozen=True, slots=True)
class Release:
    """What a person released of a plan that set something back: what stands as it was shown is applied."""

    approval: Approval
    kind: RunKind
    writes: Literal[True] = True

    async def propose(self, run_id: int, means: Means, phase: Callable[[str], None]) -> list[Hold]:
        """Read the records concerned anew, and take the released changes over; UnsafePlan when none of them stands."""
        store, approval = means.store, self.approval
        phase("read portal")
        users, groups = await store.decisions.load_concerned(approval)
        changed = await store.licences.has_licence_changes(approval.run_id)
        places = await store.privileges.load_places_of(approval.run_id)
        await means.read(users, groups, licences=True if changed else None, places=places)
        phase("plan")
        due = await store.plans.is_full_push_due(means.rules.fingerprint())
        planner = Planner(
            store, means.rules, run_id, moment=means.moment, removals="all", write=False, stopping=means.stopping
        )
        await store.in_thread(planner.decide, full=due)
        told = await store.in_thread(self._take_over, run_id, means)
        means.refused.extend([told] if told else [])
        return []

    def _take_over(self, run_id: int, means: Means) -> str:
        store, approval = means.store, self.approval
        released = store.undo.load_released(approval)
        begun = store.decisions.load_begun(approval.run_id)
        removals = {(done.change.object, record, target) for done, record, target in released}
        wanted = store.pairs.find_wanted(removals)
        kept, refused, settled = list[tuple[Change, int, int | None]](), list[Refused](), list[int]()
        places = list[int]()
        for done, record, target in released:
            place = (done.change.object, record, target)
            reason = say_set_back_refused(done, means.rules, wanted=place in wanted)
            if done.seq in begun and not still_stands(done):
                settled.append(done.seq)
            elif reason is None:
                kept.append((done.change, record, target))
                places.append(done.seq)
            else:
                refused.append((done.change, record, target, reason))
        start = store.plans.add_changes.blocking(run_id, 0, kept)
        store.decisions.note_released(run_id, approval.run_id, dict(enumerate(places)))
        return _settle(store, run_id, approval, start=start, settled=settled, refused=refused, released=len(released))
