"""What a day took away unasked, and of how many: the brake against a mass removal in slices. Pure.

What a person approved counts on neither side. It is no part of the sum, so that it does not block the ordinary leavers
of the day; and who is gone by it is no part of the population, so that more slices do not hide behind it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import groupby
from typing import NamedTuple

from syncd.model.change import REMOVALS, Action, ObjectKind
from syncd.model.numbers import tell_number
from syncd.plan.rules import GuardLimits

DAY = timedelta(hours=24)
Kind = tuple[Action, ObjectKind]


class Done(NamedTuple):
    """How many changes of one kind a run has done, or may have; ``approved``: because a person said so.

    The substitutions of leavers are told as ``unlink`` of users: they belong to the unlinking.
    """

    run_id: int
    approved: bool
    action: Action
    object: ObjectKind
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """The last 24 hours. ``removed``: what went unasked, by kind; ``populations``: of how many owned records."""

    removed: Mapping[Kind, int] = field(default_factory=dict)
    populations: Mapping[ObjectKind, int] = field(default_factory=dict)


NO_DAY = Day()
_COUNTED = 100_000
"""So many records are counted at most where judging needs no more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """How much of one kind may go in 24 hours, and how much went; ``allowed`` None: there is no limit."""

    action: Action
    object: ObjectKind
    used: int
    allowed: int | None


def sum_removed(done: Iterable[Done]) -> dict[Kind, int]:
    """Return what went unasked, by kind."""
    found = Counter[Kind]()
    for each in done:
        if each.action in REMOVALS and not each.approved:
            found[each.action, each.object] += each.number
    return dict(found)


def make_day(done: Iterable[Done], owned: Mapping[ObjectKind, int], *, min_population: int) -> Day:
    """Return the day that ends now, with ``owned`` records. ``done`` is in the order of runs.

    Its population is that of its start. Where that was too small to count, as in a new store, it is that before the
    first run that removed something when there was enough to count.
    """
    done = list(done)
    populations = {
        kind: _find_population([each for each in done if each.object == kind], number, min_population)
        for kind, number in owned.items()
    }
    return Day(removed=sum_removed(done), populations=populations)


def _find_population(done: list[Done], owned: int, least: int) -> int:
    runs = [_sum_run(list(rows)) for _, rows in groupby(done, key=lambda each: each.run_id)]
    there = owned - sum(added - unasked - approved for added, unasked, approved in runs)
    base = there if there > least else None
    for added, unasked, approved in runs:
        if base is None and unasked and there > least:
            base = there
        if base is not None:
            base -= approved
        there += added - unasked - approved
    return owned if base is None else max(base, 0)


def _sum_run(rows: list[Done]) -> tuple[int, int, int]:
    """Return how many a run added, removed unasked, and removed because a person approved it."""
    added = unasked = approved = 0
    for each in rows:
        if each.action not in REMOVALS:
            added += each.number
        elif each.action == "unlink" and each.object == "user":
            continue  # a leaver's tasks are passed on: the account is there as before
        elif each.approved:
            approved += each.number
        else:
            unasked += each.number
    return added, unasked, approved


def count_leavers(action: Action, kinds: Mapping[ObjectKind, int]) -> int:
    """Return how many of what counts as unlinking are no memberships, but substitutions that go with them."""
    return kinds.get("user", 0) if action == "unlink" else 0


def say_times(action: Action, kinds: Mapping[ObjectKind, int]) -> str:
    """Return how many removals there are in words, the substitutions that go with them apart.

    What is revoked is named: licences and privileges have nothing in common but the word.
    """
    if action == "revoke":
        return " and ".join(f"{number} times revoke {kind}" for kind, number in sorted(kinds.items()) if number)
    leavers, total = count_leavers(action, kinds), sum(kinds.values())
    apart = f"{leavers} substitution{'s' if leavers != 1 else ''} of leavers"
    if leavers == total and leavers:
        return apart
    return f"{total - leavers} times {action}{f' and {apart}' if leavers else ''}"


def name_removal(action: Action, kind: ObjectKind) -> str:
    """Return what is done to records of a kind, before their number: a leaver's tasks that go on are no unlinking."""
    return "substitutions for" if action == "unlink" and kind == "user" else f"{action} of"


def find_daily_breach(action: Action, kinds: Mapping[ObjectKind, int], day: Day, limits: GuardLimits) -> str:
    """Return why planned removals (by object) are too many after those of the day, empty when they are not."""
    removed = {kind: number for (act, kind), number in day.removed.items() if act == action}
    before, planned, most = sum(removed.values()), sum(kinds.values()), limits.max_daily_removals
    if planned and most is not None and planned + before > most:
        earlier = before - count_leavers(action, removed)
        return (
            f"{say_times(action, kinds)} after {earlier} in the last 24 hours, guard.max_daily_removals allows {most}"
        )
    percent = limits.max_daily_removal_percent
    for kind, number in kinds.items() if percent is not None else ():
        used, allowed = day.removed.get((action, kind), 0), find_allowed(kind, day, limits)
        if number and allowed is not None and number + used > allowed:
            what = f"{name_removal(action, kind)} {number} after {used} of {day.populations.get(kind, 0)} owned {kind}s"
            return f"{what} in the last 24 hours, guard.max_daily_removal_percent allows {percent:g} %"
    return ""


def find_allowed(kind: ObjectKind, day: Day, limits: GuardLimits) -> int | None:
    """Return how many records of a kind the share lets go in a day, None when it does not count."""
    percent, population = limits.max_daily_removal_percent, day.populations.get(kind, 0)
    if percent == 0:
        return 0
    return math.floor(percent * population / 100) if percent and population > limits.min_population else None


def list_allowances(kinds: Iterable[Kind], day: Day, limits: GuardLimits) -> list[Allowance]:
    """Return the allowance of the day for some kinds of removal: the tighter one of share and number."""
    found = []
    for action, kind in sorted(kinds):
        most = [n for n in (find_allowed(kind, day, limits), limits.max_daily_removals) if n is not None]
        used = day.removed.get((action, kind), 0)
        found.append(Allowance(action=action, object=kind, used=used, allowed=min(most, default=None)))
    return found


def describe_allowances(allowances: Iterable[Allowance]) -> list[str]:
    """Return a line for each kind of removal of which the day saw any: how many went unasked, and how many may."""
    return [
        f"in the last 24 hours: {each.action} of {tell_number(each.used, each.object)} unasked"
        + ("" if each.allowed is None else f", {each.allowed:,} are allowed")
        for each in allowances
        if each.used
    ]


def find_enough(kinds: Mapping[Kind, int], done: Iterable[Done], limits: GuardLimits) -> dict[ObjectKind, int]:
    """Return up to how many owned records have to be counted for the day's share to be known.

    Some more are counted than judging needs, so that people are told the true allowance of all but the largest portals.
    """
    percent = limits.max_daily_removal_percent
    if not percent:
        return {}
    done = list(done)
    removed, enough = sum_removed(done), dict[ObjectKind, int]()
    for (action, kind), number in kinds.items():
        if action in REMOVALS and number:
            added = sum(each.number for each in done if each.object == kind and each.action not in REMOVALS)
            wanted = (number + removed.get((action, kind), 0)) * 100 / percent + added
            enough[kind] = max(enough.get(kind, 0), math.floor(wanted) + 1, _COUNTED + added)
    return enough
