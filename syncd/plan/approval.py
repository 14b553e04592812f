"""An approval beside a fresh plan: what stands as it was shown, and what is refused because a side has changed. Pure.

=======================================  ==============================================================================
the fresh plan has                       then
=======================================  ==============================================================================
the very same change, released           it is applied
the very same change, not released       it stays held
the same with other values, released     it is refused by name, and stays held with the new values (`_PLACE`)
nothing of it, released                  it is refused by name, unless this approval was begun before and had done it
what belongs to a handover, released     it is applied with the handover
any other change that was not shown      it is left to the next run
=======================================  ==============================================================================
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from syncd.model.change import REMOVALS, Action, Change
from syncd.model.reason import Cause, Reason
from syncd.model.run import Removals
from syncd.plan.licences import FOR_DELETION
from syncd.plan.rules import Rules
from syncd.plan.undo.undo import find_forbidden, still_stands
from syncd.plan.undo.values import Done
from syncd.plan.words import say

_NAMED = 5
"""So many of the refused changes are named in an error; all of them stand in the plan of the run."""

_MEANT = (Cause.UNDONE_STILL_WANTED, *FOR_DELETION)
"""Removals against the tenant that are meant; licences of an account that is deleted go, or stay, with the account."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldBefore:
    """A run that holds changes of one action, the run since which they are held, and the reason that was given."""

    run_id: int
    since: int
    action: Action
    reason: Reason


class Shown(NamedTuple):
    """A change that a run holds, at its place in that run's plan.

    ``exact`` tells it from every other change, ``place`` from all but those that do the same with other values.
    ``released`` says that the approval means it, ``held`` why it was held.
    """

    seq: int
    exact: tuple[object, ...]
    place: tuple[object, ...]
    released: bool
    held: HeldBefore


class Fresh(NamedTuple):
    """A change of the fresh plan, likewise. ``belongs``: it goes with a handover that was released."""

    seq: int
    exact: tuple[object, ...]
    place: tuple[object, ...]
    belongs: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Approved:
    """A fresh plan beside what was shown. ``standing``: places of the fresh plan, each with that of what was shown.

    ``unseen`` and ``unreleased`` (by why they stay held) are places of the fresh plan; ``altered``
    and ``gone`` are those places of the plan that was shown which were released and do not stand. ``released``: how
    many changes were released.
    """

    standing: Mapping[int, int] = field(default_factory=dict)
    unseen: frozenset[int]
    unreleased: Mapping[HeldBefore, frozenset[int]]
    altered: frozenset[int] = frozenset()
    gone: frozenset[int] = frozenset()
    released: int = 0


def compare_approved(shown: Iterable[Shown], fresh: Iterable[Fresh]) -> Approved:
    """Compare what a run holds, and a person released all or part of, with a fresh plan."""
    exact, places = dict[tuple[object, ...], Shown](), dict[tuple[object, ...], Shown]()
    for each in shown:
        exact[each.exact] = places[each.place] = each
    unseen, unreleased = set[int](), dict[HeldBefore, set[int]]()
    standing, altered = dict[int, int](), set[int]()
    for planned in fresh:
        same = exact.get(planned.exact)
        before = same or places.get(planned.place)
        if before is None and planned.belongs:
            continue
        if before is None:
            unseen.add(planned.seq)
        elif same is not None and before.released:
            standing[planned.seq] = before.seq
        else:
            unreleased.setdefault(before.held, set()).add(planned.seq)
            if before.released:
                altered.add(before.seq)
    released = {each.seq for each in exact.values() if each.released}
    stand = set(standing.values())
    return Approved(
        standing=standing,
        unseen=frozenset(unseen),
        unreleased={held: frozenset(seqs) for held, seqs in unreleased.items()},
        altered=frozenset(altered - stand),
        gone=frozenset(released - stand - altered),
        released=len(released),
    )


def say_refused(done: Done, *, altered: bool, removals: Removals) -> Reason:
    """Return why a released change is refused of which the fresh plan has nothing, or (``altered``) other values.

    ``removals``: what may be concluded from the tenant now.
    """
    if altered:
        return _say("it would be done with other values by now")
    if not still_stands(done):
        return _say("the portal has changed since it was shown")
    if done.change.action in REMOVALS and removals != "all":
        return _say("the tenant does not prove any more that it is so")
    return _say("the tenant, or a rule, says otherwise by now")


def say_set_back_refused(done: Done, rules: Rules, *, wanted: bool) -> Reason | None:
    """Return why a released change of a plan that sets something back is refused, None when it goes on.

    ``wanted``: the tenant wants to be there what the change takes away. Where it wanted so before, the person who
    approves was shown that (`Cause.UNDONE_STILL_WANTED`), and knows it.
    """
    change = done.change
    forbidden = find_forbidden(change, rules.policy, protect=rules.scope.protect)
    if forbidden:
        return _say(forbidden)
    if not still_stands(done):
        return _say("the portal has changed since it was shown")
    again = change.action == "revoke" and change.reason.cause is Cause.LOST_WITH_PORTAL  # of whom it is says nothing
    if wanted and change.action in REMOVALS and change.reason.cause not in _MEANT and not again:
        return _say("the tenant wants it there by now")
    return None


def say_approval_refused(run_id: int, refused: Sequence[tuple[Change, Reason]], *, released: int) -> str:
    """Return the sentence about the refused changes of run ``run_id``, of ``released`` that were approved."""
    named = "; ".join(
        f"{' '.join(part for part in (change.action, change.bps_id, change.target) if part)} ({reason})"
        for change, reason in refused[:_NAMED]
    )
    more = f"; and {len(refused) - _NAMED} more" if len(refused) > _NAMED else ""
    return (
        f"{len(refused)} of {released} approved changes of run {run_id} are no longer as they were shown, and were "
        f"refused: {named}{more}"
    )


def _say(what: str) -> Reason:
    return say(Cause.OVERTAKEN, what=what)
