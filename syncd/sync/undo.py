"""Undo: the reverse of a run as a plan of its own, and the release of what a guard withheld of such a plan."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from syncd.errors import Interrupted, UnsafePlan
from syncd.model.change import Change, OutcomeStatus
from syncd.model.run import Approval, RunKind
from syncd.plan.guard import REMOVALS, Hold, judge
from syncd.plan.undo import Reverse, reverse, still_stands
from syncd.sync.proposals import Means

_DONE: tuple[OutcomeStatus, ...] = ("done",)
_UNKNOWN = "it is not known whether this was done: look at the portal"


@dataclass(frozen=True, slots=True)
class Undo:
    """The reverse of everything that a run did, as far as it still stands.

    ``delete_created``: delete what the run created; otherwise those records stay as they are.
    """

    run_id: int
    delete_created: bool = False
    kind: Literal["undo"] = "undo"

    async def propose(self, run_id: int, means: Means, phase: Callable[[str], None]) -> list[Hold]:
        """Read the records concerned anew, and plan over them; what is left alone is in the plan, with the reason."""
        phase("read portal")
        users, groups = await means.store.call(means.store.load_concerned_ids, self.run_id, _DONE)
        await means.read(users, groups)
        phase("plan")
        return await means.store.call(self._plan, run_id, means)

    def _plan(self, run_id: int, means: Means) -> list[Hold]:
        store, seq = means.store, 0
        for found in self._iterate_reversed(means):
            made = [(each, record, target) for result, _, record, target in found for each in result.changes]
            left = [(done, record, target, result.left) for result, done, record, target in found if result.left]
            seq = store.add_changes(run_id, seq, made)
            seq = store.add_left(run_id, seq, left)
            if means.stopping():
                raise Interrupted("asked to stop while planning")
        return judge_proposal(run_id, means)

    def _iterate_reversed(self, means: Means) -> Iterator[list[tuple[Reverse, Change, int, int | None]]]:
        rules = means.rules
        for standing in means.store.iterate_standing(self.run_id, "done"):
            yield [
                (
                    reverse(done, rules.policy, protect=rules.scope.protect, delete_created=self.delete_created),
                    done.change,
                    record,
                    target,
                )
                for done, record, target in standing
            ]
        for standing in means.store.iterate_standing(self.run_id, "started"):
            yield [(Reverse(left=_UNKNOWN), done.change, record, target) for done, record, target in standing]


@dataclass(frozen=True, slots=True)
class Release:
    """What a person released of a plan that set something back: applied as it was shown, or refused."""

    approval: Approval
    kind: RunKind

    async def propose(self, run_id: int, means: Means, phase: Callable[[str], None]) -> list[Hold]:
        """Read the records concerned anew, and take the released changes over; UnsafePlan when one has changed."""
        store, approval = means.store, self.approval
        phase("read portal")
        await means.read(*await store.call(store.load_concerned, approval))
        phase("plan")
        released = await store.call(store.load_released, approval)
        overtaken = sum(not still_stands(done) for done, _, _ in released)
        if overtaken:
            raise UnsafePlan(
                f"{overtaken} of {len(released)} approved changes of run {approval.run_id} are no longer as they were "
                "shown: the portal has changed; nothing was applied, undo it again to see how things stand"
            )
        changes = [(done.change, record, target) for done, record, target in released]
        await store.call(store.add_changes, run_id, 0, changes)
        await store.call(store.settle_released, approval, run_id)
        return []


def judge_proposal(run_id: int, means: Means) -> list[Hold]:
    """Let the guard look at a complete plan, and withhold what is beyond a limit; quiet hours refuse its removals."""
    store = means.store
    counts = store.count_changes(run_id)
    removals = sum(number for (action, _), number in counts.items() if action in REMOVALS)
    if removals and means.quiet:
        store.drop_plan(run_id, "quiet hours")
        raise UnsafePlan(f"{removals} removals, and these are quiet hours (guard.quiet_hours); nothing was done")
    holds = list(judge(counts, store.count_owned(), means.rules.limits))
    for hold in holds:
        store.hold(run_id, hold.action, hold.reason)
    return holds
