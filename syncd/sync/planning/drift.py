"""Drift: read the portal now, tell what was changed by hand, and set it back or take it as it is when asked to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Literal

from syncd.errors import Interrupted, PortalRestored
from syncd.model.change import Change
from syncd.model.licence import number_type
from syncd.model.reason import Cause, Reason
from syncd.model.target import fold
from syncd.plan.drift import Drift, Ours, revert
from syncd.plan.guard import Hold
from syncd.plan.restored import say_restored
from syncd.plan.words import say
from syncd.sync.planning.kept_by_hand import list_ours
from syncd.sync.planning.privileges import number_privileges
from syncd.sync.planning.proposal import Means
from syncd.sync.planning.undo import judge_proposal
from syncd.sync.portal.licences import Licensing
from syncd.sync.portal.privileges import Privileging
from syncd.sync.portal.read import read_members, read_records
from syncd.sync.portal.restored import judge_portal

if TYPE_CHECKING:
    from syncd.store.store import Store

Placed = tuple[Change, int, int | None]
Told = Callable[[Iterator[list[Drift]]], None]


@dataclass(frozen=True, slots=True)
class DriftCheck:
    """What was changed by hand, told to ``told`` in the store's thread before anything is done about it.

    ``revert`` plans to write back what we last wrote; ``adopt`` takes everything as it is, until the source says
    something else about it.
    """

    answer: Literal["report", "revert", "adopt"]
    told: Told
    kind: Literal["drift"] = "drift"

    @property
    def writes(self) -> bool:
        """Return whether it means to write to the portal."""
        return self.answer == "revert"

    async def propose(self, run_id: int, means: Means, phase: Callable[[str], None]) -> list[Hold]:
        """Read the whole portal, tell, and plan over what is found when it is to be set back."""
        store = means.store
        phase("read portal")
        await read_records(means.portal, store, means.progress, now=means.now)
        await store.outcomes.claim_started(now=means.now)
        phase("read portal members")
        await read_members(
            means.portal,
            store,
            means.progress,
            now=means.now,
            concurrency=means.concurrency,
            stopping=means.stopping,
            protect=means.rules.scope.protect,
        )
        licensing = Licensing(means.portal, store, ruled=bool(means.rules.licences), now=means.now)
        if await licensing.are_ours():
            await licensing.read()
        if self.writes and (found := await judge_portal(store, licences=licensing.known, now=means.now)):
            raise PortalRestored(say_restored(found))
        privileging = Privileging(means.looks, means.rules, now=means.now, stopping=means.stopping)
        await privileging.prepare(ask=False, read=True, write=False)
        phase("plan")
        ours = list_ours(means.rules)
        await store.in_thread(self._tell, means, ours)
        if self.answer == "adopt":
            await store.drift.accept_drift(ours)
            await store.licences.accept_taken_licences()
            await store.privileges.accept_taken()
        if self.answer != "revert":
            return []
        return await store.in_thread(self._plan, run_id, means, ours)

    def _tell(self, means: Means, ours: Ours) -> None:
        self.told(_iterate(means, ours))

    def _plan(self, run_id: int, means: Means, ours: Ours) -> list[Hold]:
        store, rules, seq = means.store, means.rules, 0
        made_anew: set[int] = set()
        for drifts in _iterate(means, ours):
            if means.stopping():
                raise Interrupted("asked to stop while planning")
            keys = store.plan_files.load_principals({name for drift in drifts for name in _name_records(drift)})
            changes: list[Placed] = []
            left: list[tuple[Change, int, int | None, Reason]] = []
            for drift in drifts:
                result = revert(drift, rules.policy, protect=rules.scope.protect)
                changes += [_place(store, change, keys) for change in result.changes]
                if result.left:
                    left.append((*_place(store, drift.describe(), keys), say(Cause.LEFT_ALONE, why=result.left)))
            seq = store.plans.add_changes.blocking(run_id, seq, changes)
            seq = store.plans.add_left(run_id, seq, left)
            made_anew |= {record for change, record, _ in changes if change.action == "create"}
        store.plan_files.touch_records(made_anew)  # their memberships follow with the next run
        return judge_proposal(run_id, means)


def _iterate(means: Means, ours: Ours) -> Iterator[list[Drift]]:
    return iterate_known_drift(means.store, ours)


def iterate_known_drift(store: Store, ours: Ours) -> Iterator[list[Drift]]:
    """Yield what was changed by hand as far as the last reading of the portal tells."""
    taken = [store.privileges.list_taken()]
    return chain(store.drift.iterate_drift(ours), store.licences.iterate_taken_licences(), taken)


def _place(store: Store, change: Change, keys: Mapping[str, int]) -> Placed:
    if change.object == "privilege":
        return change, keys[fold(change.bps_id)], number_privileges(store, [change])[0]
    if change.object == "licence":
        return change, keys[fold(change.bps_id)], number_type(change.target)
    return change, keys[fold(change.bps_id)], keys[fold(change.target)] if change.target else None


def _name_records(drift: Drift) -> tuple[str, ...]:
    return (drift.bps_id, drift.member) if drift.member else (drift.bps_id,)
