"""Which changes only return to a state that our own outcomes of the last days hold: the tenant was set back.

==========  ==================================================================  =======================================
planned     returns when                                                        and never when
==========  ==================================================================  =======================================
unlink      its membership ended, and all that was ever done about this place   the account or the group was made or
            is one link, within the last days, because the tenant said so       adopted within these days
revoke      no rule covers its person, and all that was ever done about this    the account was
            licence is one grant by rule, within the last days
update      each value is what our newest update of it within the last days     the record was
            replaced, and what that one wrote is what it replaces now
==========  ==================================================================  =======================================

Deletions, adoptions, and what goes because somebody is disabled, deleted or out of the scope, never do: there the state
of before was another one. Whoever was put back into a group was in it before: that taking out is no return either.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from syncd.model.change import Action, ObjectKind
from syncd.model.kinds import RECORD_KINDS
from syncd.model.reason import Cause

RETURN_WITHIN = timedelta(days=3)
"""A tenant keeps one backup a day; a run over everything may come a day later."""

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


def tell_returns(returned: Mapping[int, int]) -> list[str]:
    """Return what a run says of changes that return, by the run before which it was so; nothing when there are none."""
    if not returned:
        return []
    runs = ", ".join(str(run_id) for run_id in sorted(returned))
    number = sum(returned.values())
    what = f"{number} change{'s return' if number != 1 else ' returns'} to the state before run {runs}"
    return [f"{what}: the tenant seems to be set back, and the guard does not count what our own outcomes hold"]


def find_returns(
    planned: Iterable[Step], past: Iterable[Step], *, fresh: Collection[int], older: Collection[Place]
) -> dict[int, int]:
    """Return the places in the plan of what returns, with the run before which it was as it is to be again.

    ``past``: what the last days did at these places, in its order. ``fresh``: records that were made or adopted within
    these days. ``older``: places at which something was done before them.
    """
    done: dict[Place, list[Step]] = {}
    for step in past:
        done.setdefault(step.place, []).append(step)
    found: dict[int, int] = {}
    for step in planned:
        _, record, other = step.place
        steps = done.get(step.place, [])
        if not steps or record in fresh or other in fresh:
            continue
        before = _find_values(step, steps) if step.action == "update" else _find_undone(step, steps)
        if before and not (step.action != "update" and step.place in older):
            found[step.seq] = before
    return found


def _find_undone(step: Step, steps: list[Step]) -> int:
    """Return the run that did what this undoes, 0 when anything else was done there."""
    undone = _UNDOES.get((step.action, step.cause))
    return steps[0].run_id if len(steps) == 1 and (steps[0].action, steps[0].cause) == undone else 0


def _find_values(step: Step, steps: list[Step]) -> int:
    """Return the first run whose values this takes back, 0 when one of them is none of these."""
    if step.cause is not Cause.NONE or step.place[0] not in RECORD_KINDS:
        return 0
    runs: list[int] = []
    for name, value in step.after.items():
        newest = next((each for each in reversed(steps) if name in each.after), None)
        if newest is None or newest.action != "update" or newest.cause is not Cause.NONE:
            return 0
        if newest.before.get(name) != value or newest.after[name] != step.before.get(name):
            return 0
        runs.append(newest.run_id)
    return min(runs, default=0)
