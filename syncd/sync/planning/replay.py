"""Replay: what a portal has lost that went back in time, as a plan of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from syncd.errors import Interrupted
from syncd.model.change import Change, LinkKind
from syncd.model.kinds import RECORD_KINDS
from syncd.model.reason import Cause, Reason
from syncd.plan.guard import Hold
from syncd.plan.replay import repeat
from syncd.plan.restored import Restored
from syncd.plan.undo.values import Done
from syncd.plan.words import say
from syncd.sync.planning.planner import Planner
from syncd.sync.planning.proposal import Means
from syncd.sync.planning.undo import join_swaps, judge_proposal
from syncd.sync.portal.licences import Licensing
from syncd.sync.portal.read import read_members, read_records
from syncd.sync.portal.restored import judge_portal

if TYPE_CHECKING:
    from syncd.store.plans.past import Lost

_LINKS: tuple[LinkKind, ...] = ("membership", "ownership")

Placed = tuple[Change, int, int | None]
Left = tuple[Change, int, int | None, Reason]


@dataclass(slots=True)
class Replay:
    """What the portal has lost since it went back in time, once more; nothing, when it did not. Not reused.

    ``found``: what the reading has found, once there was one.
    """

    kind: Literal["replay"] = "replay"
    writes: Literal[True] = True
    found: Restored | None = None
    _anew: set[int] = field(default_factory=set)
    """The records that the plan makes anew."""

    async def propose(self, run_id: int, means: Means, phase: Callable[[str], None]) -> list[Hold]:
        """Read the whole portal, and plan what it has lost; what is left alone is in the plan, with the reason."""
        store = means.store
        phase("read portal")
        await read_records(means.portal, store, means.progress, now=means.now)
        await store.outcomes.claim_started(now=means.now)
        licensing = Licensing(means.portal, store, ruled=bool(means.rules.licences), now=means.now)
        licences = await licensing.are_ours()
        if licences:
            await licensing.read()
        phase("plan")
        due = await store.plans.is_full_push_due(means.rules.fingerprint())
        planner = Planner(
            store, means.rules, run_id, moment=means.moment, removals="all", write=False, stopping=means.stopping
        )
        await store.in_thread(planner.decide, full=due)
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
        phase("plan")
        self.found = await judge_portal(store, licences=licences, now=means.now)
        if self.found is None:
            return []
        return await store.in_thread(self._plan, run_id, means, self.found, licences=licences)

    def _plan(self, run_id: int, means: Means, found: Restored, *, licences: bool) -> list[Hold]:
        store, seq = means.store, 0
        seats: list[Placed] = []
        for lost in store.past.iterate_lost(found.since, licences=licences):
            made, left = self._repeat(means, lost)
            seats += [placed for placed in made if placed[0].object == "licence"]
            rest = [placed for placed in made if placed[0].object != "licence"]
            seq = store.plans.add_changes.blocking(run_id, seq, rest)
            seq = store.plans.add_left(run_id, seq, left)
            if means.stopping():
                raise Interrupted("asked to stop while planning")
        store.plans.add_changes.blocking(run_id, seq, join_swaps(seats))
        return judge_proposal(run_id, means)

    def _repeat(self, means: Means, lost: list[Lost]) -> tuple[list[Placed], list[Left]]:
        store, rules = means.store, means.rules
        names = {(planned.run_id, planned.seq): fields for (planned, _, _), fields in lost}
        made, left = list[Placed](), list[Left]()
        chunk = [placed for placed, _ in lost]
        runs = {placed[0].seq: placed[0].run_id for placed in chunk}
        standing = store.undo.load_standing(chunk, self._anew)
        wanted = store.pairs.find_wanted({(done.change.object, record, target) for done, record, target in standing})
        gone = store.past.load_vanished_fields({record for done, record, _ in standing if done.record is None})
        for done, record, target in _keep_reachable(standing, self._anew):
            result = repeat(
                done,
                rules.policy,
                protect=rules.scope.protect,
                wanted=(done.change.object, record, target) in wanted,
                names=names[runs[done.seq], done.seq],
                fields=gone.get(record),
            )
            made += [(change, record, target) for change in result.changes]
            if result.left:
                left.append((done.change, record, target, say(Cause.LEFT_ALONE, why=result.left)))
            if any(change.action == "create" for change in result.changes):
                self._anew.add(record)
        return made, left


def _keep_reachable(
    standing: list[tuple[Done, int, int | None]], anew: set[int]
) -> Iterator[tuple[Done, int, int | None]]:
    """Yield what can be done at all: a place needs its group and its member, there or made anew by this plan."""
    for done, record, target in standing:
        if done.change.object in _LINKS:
            group = (done.record is not None and done.record.origin is not None) or record in anew
            if not (group and done.member_there):
                continue
        elif done.change.object not in RECORD_KINDS and done.record is None and record not in anew:
            continue
        yield done, record, target
