"""Undo: the reverse of a run as a plan of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, groupby
from typing import TYPE_CHECKING, Literal

from syncd.errors import Forbidden, Interrupted, UnsafePlan
from syncd.model.change import REMOVALS, Change, OutcomeStatus, Phase
from syncd.model.kinds import RECORD_KINDS
from syncd.model.licence import number_type
from syncd.model.reason import Cause
from syncd.plan.guard import Hold
from syncd.plan.undo.undo import reverse
from syncd.plan.undo.values import Done, Reverse
from syncd.plan.words import TIED, say
from syncd.sync.passage import drop_plan, pass_complete
from syncd.sync.planning.privileges import number_privileges
from syncd.sync.planning.proposal import Means

if TYPE_CHECKING:
    from syncd.store.store import Store

_DONE: tuple[OutcomeStatus, ...] = ("done",)
_UNKNOWN = "it is not known whether this was done: look at the portal"
_LATER = "it is not known whether this run did it: a later run did it, too"
_UNREADABLE = "the portal does not let us read licences: grant Admin.Licenses.ReadWrite to the API application"
_NOBODY = "the substitute of before has no account any more, or nobody goes by it"

Placed = tuple[Change, int, int | None]

_Reversed = tuple[Reverse, Change, int, int | None]
"""A change with its reverse, and the keys of its record and of its member, its substitute or its type of licence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Undo:
    """The reverse of everything that a run did, as far as it still stands.

    ``delete_created``: delete what the run created; otherwise those records stay as they are.
    """

    run_id: int
    delete_created: bool = False
    kind: Literal["undo"] = "undo"
    writes: Literal[True] = True

    async def propose(self, run_id: int, means: Means, phase: Callable[[str], None]) -> list[Hold]:
        """Read the records concerned anew, and plan over them; what is left alone is in the plan, with the reason."""
        store = means.store
        phase("read portal")
        users, groups = await store.plan_files.load_concerned_ids(self.run_id, _DONE)
        readable = True
        try:
            changed = await store.licences.has_licence_changes(self.run_id)
            places = await store.privileges.load_places_of(self.run_id)
            await means.read(users, groups, licences=True if changed else None, places=places)
        except Forbidden:
            readable = False
            await means.read(users, groups, licences=False)
        phase("plan")
        return await store.in_thread(self._plan, run_id, means, licences=readable)

    def _plan(self, run_id: int, means: Means, *, licences: bool) -> list[Hold]:
        store, seq = means.store, 0
        seats: list[Placed] = []
        for found in self._iterate_reversed(means, licences=licences):
            made = [
                (each, record, _find_target(each, done=done, target=target, means=means))
                for result, done, record, target in found
                for each in result.changes
            ]
            made = _note_wanted(store, made)
            left = [
                (done, record, target, say(Cause.LEFT_ALONE, why=result.left))
                for result, done, record, target in found
                if result.left
            ]
            seats += [placed for placed in made if placed[0].object == "licence"]
            seq = store.plans.add_changes.blocking(
                run_id, seq, [placed for placed in made if placed[0].object != "licence"]
            )
            seq = store.plans.add_left(run_id, seq, left)
            if means.stopping():
                raise Interrupted("asked to stop while planning")
        store.plans.add_changes.blocking(run_id, seq, join_swaps(seats))
        return judge_proposal(run_id, means)

    def _iterate_reversed(self, means: Means, *, licences: bool) -> Iterator[list[_Reversed]]:
        store, leaving = means.store, set[int]()
        found_later = store.undo.load_settled_later(self.run_id, again=False)
        for standing in chain(store.undo.iterate_standing(self.run_id, "done"), [found_later]):
            found: list[_Reversed] = []
            for done, record, target in standing:
                if done.change.object in ("licence", "privilege") and record in leaving:
                    continue  # it goes with its account or its group
                result = self._reverse(done, means, record=record, licences=licences)
                if done.change.object in RECORD_KINDS and any(each.action == "delete" for each in result.changes):
                    leaving.add(record)
                found.append((result, done.change, record, target))
            yield found
        for reason, unclear in (
            (_UNKNOWN, store.undo.iterate_standing(self.run_id, "started")),
            (_LATER, [store.undo.load_settled_later(self.run_id, again=True)]),
        ):
            for standing in unclear:
                yield [(Reverse(left=reason), done.change, record, target) for done, record, target in standing]

    def _reverse(self, done: Done, means: Means, *, record: int, licences: bool) -> Reverse:
        rules = means.rules
        if done.change.object == "licence" and not licences:
            return Reverse(left=_UNREADABLE)
        result = reverse(
            done, rules.policy, protect=rules.scope.protect, delete_created=self.delete_created, now=means.now
        )
        arranged = [each for each in result.changes if each.object == "substitution" and each.after]
        if any(not _can_stand_in(each, record, means) for each in arranged):
            return Reverse(left=_NOBODY)
        what = done.change.object
        deletes = any(each.action == "delete" for each in result.changes)
        if deletes and what in RECORD_KINDS and means.store.inventory.find_tied(what, {record}, rules.scope.protect):
            return Reverse(left=TIED[what])
        return result


def _note_wanted(store: Store, placed: Sequence[Placed]) -> list[Placed]:
    """Say of removals that the tenant wants to be there what they take away, so that nobody approves it unawares."""
    undone = [each for each in placed if each[0].action in REMOVALS and each[0].reason.cause is Cause.UNDONE]
    wanted = store.pairs.find_wanted({(change.object, record, target) for change, record, target in undone})
    reason = say(Cause.UNDONE_STILL_WANTED)
    return [
        (replace(change, reason=reason), record, target)
        if (change.object, record, target) in wanted and change.action in REMOVALS
        else (change, record, target)
        for change, record, target in placed
    ]


def join_swaps(placed: Sequence[Placed]) -> list[Placed]:
    """Return changes of licences person by person, as they travel together: the old one goes only with the new one."""
    found: list[Placed] = []
    for _, group in groupby(sorted(placed, key=_order_licence), key=lambda each: each[1]):
        person = list(group)
        swapped = any(change.action == "grant" and not change.before for change, _, _ in person)
        for change, record, target in person:
            together = swapped and change.action == "revoke" and change.phase is Phase.REVOKES
            found.append((replace(change, phase=Phase.GRANTS) if together else change, record, target))
    return found


def _order_licence(placed: Placed) -> tuple[str, int, bool, str]:
    change, record, _ = placed
    return change.bps_id.casefold(), record, change.action == "grant", change.target


def _find_target(change: Change, *, done: Change, target: int | None, means: Means) -> int | None:
    """Return the key that stands for the target of a reverse: its own one, when it is another than that of the done."""
    if change.object == "licence":
        return number_type(change.target)
    if change.object == "privilege":
        return number_privileges(means.store, [change])[0]
    if change.object == "substitution" and change.target.casefold() != done.target.casefold():
        return means.store.plan_files.load_principals({change.target})[change.target.casefold()]
    return target


def _can_stand_in(change: Change, record: int, means: Means) -> bool:
    key = means.store.plan_files.load_principals({change.target})[change.target.casefold()]
    return means.store.substitutions.can_stand_in.blocking(record, key)


def judge_proposal(run_id: int, means: Means) -> list[Hold]:
    """Let the guard look at a complete plan, and withhold what is beyond a limit; quiet hours refuse its removals."""
    store = means.store
    counts = store.plans.count_changes(run_id)
    removals = sum(number for (action, _), number in counts.items() if action in REMOVALS)
    if removals and means.moment.quiet:
        drop_plan(store, run_id, say(Cause.QUIET_HOURS))
        raise UnsafePlan(
            f"{removals} removals, and {means.moment.quiet_reason} (guard.quiet_hours); nothing was done, ask again "
            "when they are over"
        )
    return pass_complete(store, run_id, means.rules.limits, decisions=False, moment=means.moment).holds
