"""Which changes only return to a state that our own outcomes of the last days hold: the tenant was set back.

A tenant that is set back is set back as a whole: to one moment, everywhere. A single group that loses its newcomers is
one that somebody took apart, and stays under the guard.

==========  ==================================================================  =======================================
planned     returns when                                                        and never when
==========  ==================================================================  =======================================
unlink      its membership ended, and all that was ever done about this place   the account or the group was made or
            is one link, since that moment, because the tenant said so          adopted within these days; the group is
                                                                                emptied, or loses others in numbers
revoke      no rule covers its person, all that was ever done about this        the account was; its person leaves no
            licence is one grant by rule, since that moment, and its person     group in this way
            leaves a group that returns
update      each value is as it was at that moment, and is now as we wrote it   the record was
            last, since then
==========  ==================================================================  =======================================

They return only together: of two groups at least, or with the values of two records at least, and when most of what
came since that moment returns. Deletions, adoptions, and what goes because somebody is disabled, deleted or out of the
scope, never do: there the state of before was another one. Whoever was put back into a group was in it before: that
taking out is no return either.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from syncd.model.change import Action, ObjectKind
from syncd.model.kinds import RECORD_KINDS
from syncd.model.reason import Cause

RETURN_WITHIN = timedelta(days=3)
"""A tenant keeps one backup a day; a run over everything may come a day later."""

_MOST = 0.75
"""So much of what came since, and of those who leave a group, must return: some things no backup holds."""
_PLACES = 2
"""Of so many groups memberships must return, or of so many records values."""

Place = tuple[ObjectKind, int, int]
"""What is changed: the kind of object, its record, and the member or the type of licence (0: the record itself)."""
Values = Mapping[str, str | None]

_UNDOES: Mapping[tuple[Action, Cause], tuple[Action, Cause]] = {
    ("unlink", Cause.LEFT): ("link", Cause.NONE),
    ("revoke", Cause.NO_RULE): ("grant", Cause.RULE_GIVES),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A change that is planned, or that was done or begun, at its place in the plan of a run."""

    run_id: int
    seq: int
    action: Action
    place: Place
    cause: Cause
    before: Values = field(default_factory=dict)
    after: Values = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lately:
    """What the last days did.

    ``past``: what was done at the places of the plan, in its order. ``fresh``: records that were made or adopted within
    these days. ``older``: places at which something was done before them. ``came``: by run, how many memberships and
    records, but those of fresh ones, are as it made them. ``filled``: how many people are in each group, by kind of
    place and record.
    """

    past: Sequence[Step]
    fresh: Collection[int] = ()
    older: Collection[Place] = ()
    came: Mapping[int, int] = field(default_factory=dict)
    filled: Mapping[tuple[ObjectKind, int], int] = field(default_factory=dict)


def tell_returns(returned: Mapping[int, int]) -> list[str]:
    """Return what a run says of changes that return, by the run before which it was so; nothing when there are none."""
    if not returned:
        return []
    runs = ", ".join(str(run_id) for run_id in sorted(returned))
    number = sum(returned.values())
    what = f"{number} change{'s return' if number != 1 else ' returns'} to the state before run {runs}"
    return [f"{what}: the tenant seems to be set back, and the guard does not count what our own outcomes hold"]


def find_returns(planned: Sequence[Step], lately: Lately) -> dict[int, int]:
    """Return the places in the plan of what returns, with the run before which all of it was as it is to be again."""
    done: dict[Place, list[Step]] = {}
    for step in lately.past:
        done.setdefault(step.place, []).append(step)
    known = [step for step in planned if step.place in done and not {*step.place[1:]} & {*lately.fresh}]
    for moment in sorted({step.run_id for step in lately.past}):
        found = [step for step in known if _is_return(step, done[step.place], lately.older, moment)]
        found = _keep_set_back(found, planned, lately.filled)
        if _is_whole(found, sum(number for run_id, number in lately.came.items() if run_id >= moment)):
            return {step.seq: moment for step in found}
    return {}


def _is_return(step: Step, steps: Sequence[Step], older: Collection[Place], moment: int) -> bool:
    """Return whether this makes of its place what it was before the run ``moment``."""
    if step.action == "update":
        return step.cause is Cause.NONE and step.place[0] in RECORD_KINDS and _has_values(step, steps, moment)
    if len(steps) != 1 or step.place in older or steps[0].run_id < moment:
        return False
    return (steps[0].action, steps[0].cause) == _UNDOES.get((step.action, step.cause))


def _has_values(step: Step, steps: Sequence[Step], moment: int) -> bool:
    """Return whether each value is what it was before that run, and what is there now is what we wrote since."""
    since = [each for each in steps if each.run_id >= moment]
    for name, value in step.after.items():
        wrote = [each for each in since if name in each.after]
        if not wrote or any(each.action != "update" or each.cause is not Cause.NONE for each in wrote):
            return False
        if wrote[0].before.get(name) != value or wrote[-1].after[name] != step.before.get(name):
            return False
    return bool(step.after)


def _keep_set_back(
    found: Sequence[Step], planned: Sequence[Step], filled: Mapping[tuple[ObjectKind, int], int]
) -> list[Step]:
    """Leave out groups that are emptied, or that lose others than newcomers in numbers, and what follows from that."""
    leaving = Counter(step.place[:2] for step in planned if step.action == "unlink")
    left = Counter(step.place[:2] for step in planned if (step.action, step.cause) == ("unlink", Cause.LEFT))
    returning = Counter(step.place[:2] for step in found if step.action == "unlink")
    set_back = {
        group
        for group, number in returning.items()
        if number >= _MOST * left[group] and leaving[group] < filled.get(group, 0)
    }
    people = {step.place[2] for step in found if step.action == "unlink" and step.place[:2] in set_back}
    return [
        step
        for step in found
        if step.action == "update"
        or (step.place[:2] in set_back if step.action == "unlink" else step.place[1] in people)
    ]


def _is_whole(found: Sequence[Step], came: int) -> bool:
    """Return whether so much returns that the whole tenant must be set back; ``came``: so much has come since."""
    groups = {step.place[1] for step in found if step.action == "unlink"}
    number = sum(step.action != "revoke" for step in found)
    records = {step.place for step in found if step.action == "update"}
    return (len(groups) >= _PLACES or len(records) >= _PLACES) and number >= _MOST * came
