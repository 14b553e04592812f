"""The brake: which kinds of a complete plan are too many to go through unasked."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from syncd.model.change import REMOVALS, Action, ObjectKind
from syncd.plan.daily import (
    NO_DAY,
    Day,
    Done,
    Kind,
    count_leavers,
    find_daily_breach,
    find_enough,
    name_removal,
    say_times,
)
from syncd.plan.rules import GuardLimits

_ALL = 10**15
"""More records than any portal has."""


_NEW_STORE = "; this store knows of no record that is ours: if another one was lost, restore that one instead"
"""A store that is empty, before a portal that is in use."""


@dataclass(frozen=True, slots=True)
class Hold:
    """One kind of change that is withheld, with the numbers and the way out. ``before``: since an earlier run."""

    action: Action
    count: int
    reason: str
    before: bool = False


def hold_excess(
    counts: Mapping[Kind, int], populations: Mapping[ObjectKind, int], limits: GuardLimits, day: Day = NO_DAY
) -> tuple[Hold, ...]:
    """Return which kinds are beyond a limit ("beyond" is more than); the whole kind is withheld then.

    ``counts``: planned changes per (action, object). ``populations``: owned records per object, at least as far as
    `find_populations_to_know` says. Percentages are
    compared per object, so that losing every group is not hidden by a large number of users, and only above
    ``min_population``. Removals also count together with those of the ``day``.
    """
    holds: list[Hold] = []
    for action in (*REMOVALS, "update", "adopt", "create"):
        kinds = {kind: number for (act, kind), number in sorted(counts.items()) if act == action and number}
        total = sum(kinds.values())
        reason = _find_breach(action, kinds, total, populations, limits)
        if not reason and action in REMOVALS:
            reason = find_daily_breach(action, kinds, day, limits)
        if total and reason:
            holds.append(Hold(action, total - count_leavers(action, kinds) or total, reason))
    return tuple(holds)


def find_populations_to_know(
    counts: Mapping[Kind, int], limits: GuardLimits, done: Iterable[Done] = ()
) -> dict[ObjectKind, int]:
    """Return per object how many owned records have to be counted to judge by: with so many no percentage is exceeded.

    So that judging a few changes does not count everything that is ours. ``done``: what the last 24 hours did.
    """
    enough = find_enough(counts, done, limits)
    for (action, kind), number in counts.items():
        _, percent = _find_percent(action, limits)
        if action == "adopt" and number:
            enough[kind] = max(enough.get(kind, 0), 1)  # whether any is ours
        if number and percent is not None:
            wanted = number * 100 / percent if percent else _ALL  # none is allowed: the reason names the whole number
            enough[kind] = max(enough.get(kind, 0), math.floor(min(wanted, _ALL)) + 1)
    return enough


def _find_percent(action: Action, limits: GuardLimits) -> tuple[str, float | None]:
    """Return the setting that limits a kind of change by a share of the owned records, and its value."""
    if action in REMOVALS:
        return "guard.max_removal_percent", limits.max_removal_percent
    if action == "update":
        return "guard.max_update_percent", limits.max_update_percent
    if action == "create":
        return "guard.max_creation_percent", limits.max_creation_percent
    return "", None


def _find_breach(
    action: Action,
    kinds: Mapping[ObjectKind, int],
    total: int,
    populations: Mapping[ObjectKind, int],
    limits: GuardLimits,
) -> str:
    if action == "adopt":
        if limits.max_adoptions is not None and total > limits.max_adoptions:
            new = "" if any(populations.get(kind) for kind in kinds) else _NEW_STORE
            return f"{total} adoptions, guard.max_adoptions allows {limits.max_adoptions}{new}"
        return ""
    removal = action in REMOVALS
    if removal and limits.max_removals is not None and total > limits.max_removals:
        return f"{say_times(action, kinds)}, guard.max_removals allows {limits.max_removals} in a run"
    name, percent = _find_percent(action, limits)
    if percent is None:
        return ""
    for kind, number in kinds.items():
        if action == "create" and kind not in ("user", "group"):
            continue  # a substitution is no record
        population = populations.get(kind, 0)
        if population > limits.min_population and number * 100 > percent * population:
            share = number * 100 / population
            what = f"{name_removal(action, kind)} {number} of {population} owned {kind}s"
            return f"{what} ({share:.1f} %), {name} allows {percent:g} %"
        if percent == 0 and number:
            return f"{name_removal(action, kind)} {number} {kind}s, {name} allows none"
    return ""
