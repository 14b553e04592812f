"""What a day took away in slices is judged like a lump."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd.plan.daily import NO_DAY, Day, Done, describe_allowances, list_allowances, make_day, say_times
from syncd.plan.guard import find_populations_to_know, hold_excess
from tests.fakes.rules import make_limits

LIMITS = make_limits()
MOST = make_limits(max_daily_removals=50, max_daily_removal_percent=None)


def unlinked(run: int, number: int, *, approved: bool = False) -> Done:
    """Return that a run took so many memberships away."""
    return Done(run, approved, "unlink", "membership", number)


def linked(run: int, number: int) -> Done:
    """Return that a run linked so many."""
    return Done(run, False, "link", "membership", number)


def day_of(*done: Done, owned: int) -> Day:
    """Return the day that ends with so many memberships of ours."""
    return make_day(done, {"membership": owned}, min_population=LIMITS.min_population)


def held(number: int, day: Day) -> bool:
    """Return whether taking away so many more memberships is held, under the default limits."""
    return bool(hold_excess({("unlink", "membership"): number}, {"membership": 10**6}, LIMITS, day))


@pytest.mark.parametrize(
    ("done", "owned", "population"),
    [
        ((), 200, 200),
        ((unlinked(1, 19), unlinked(2, 18)), 163, 200),
        ((linked(1, 340),), 400, 60),  # hired during the day: they hide nobody's leaving
        ((linked(1, 340), unlinked(2, 10)), 390, 60),
        ((linked(1, 200), unlinked(2, 19), unlinked(3, 18)), 163, 200),  # a new store: before the first removal
        ((linked(1, 15), unlinked(2, 5), linked(3, 190), unlinked(4, 20)), 180, 200),  # too few to count at first
        ((unlinked(1, 100, approved=True),), 100, 100),  # what a person approved is on neither side
        ((unlinked(1, 10), unlinked(2, 100, approved=True)), 90, 100),
        ((linked(1, 200), unlinked(2, 40, approved=True), unlinked(3, 10)), 150, 160),
    ],
)
def test_the_population_is_that_of_the_start_of_the_day(done: tuple[Done, ...], owned: int, population: int) -> None:
    """Or, in a store that had too few, that before the first removal that counts."""
    assert day_of(*done, owned=owned).populations == {"membership": population}


def test_slices_are_held_when_their_sum_is_beyond_the_share() -> None:
    """Beyond is more than: the fortieth of two hundred goes through, the forty-first does not, nor does its slice."""
    day = day_of(unlinked(1, 19), unlinked(2, 18), owned=163)
    assert not held(3, day)
    assert held(4, day)
    (hold,) = hold_excess({("unlink", "membership"): 16}, {"membership": 163}, LIMITS, day)
    assert (hold.action, hold.count) == ("unlink", 16)
    assert hold.reason == (
        "unlink of 16 after 37 of 200 owned memberships in the last 24 hours, guard.max_daily_removal_percent allows "
        "20 %"
    )


def test_what_a_person_approved_blocks_nobody_and_hides_nothing() -> None:
    """After forty of sixty left with approval, four of the twenty that are left may leave unasked, and no fifth."""
    day = day_of(unlinked(1, 40, approved=True), unlinked(2, 1), owned=99)
    assert not held(3, day)
    assert day.removed == {("unlink", "membership"): 1}
    assert day.populations["membership"] == 100
    assert held(20, day)


def test_a_number_for_the_day_counts_all_objects_together() -> None:
    """As the number for a run does; 0 allows none, and false switches it off."""
    day = Day(removed={("unlink", "membership"): 40, ("unlink", "ownership"): 5})
    counts = {("unlink", "membership"): 5}
    assert not hold_excess(counts, {}, MOST, day)  # type: ignore[arg-type]
    (hold,) = hold_excess({("unlink", "membership"): 6}, {}, MOST, day)
    assert hold.reason == "6 times unlink after 45 in the last 24 hours, guard.max_daily_removals allows 50"
    assert not hold_excess({("delete", "user"): 50}, {}, MOST, day)
    none = make_limits(max_daily_removals=0, max_daily_removal_percent=None)
    assert hold_excess({("revoke", "licence"): 1}, {}, none, NO_DAY)
    assert hold_excess({("revoke", "licence"): 1}, {"licence": 5}, make_limits(max_daily_removal_percent=0), NO_DAY)
    off = make_limits(max_daily_removal_percent=None, max_removal_percent=None)
    assert not hold_excess({("unlink", "membership"): 199}, {"membership": 200}, off, day_of(owned=200))


def test_few_are_no_share() -> None:
    """Counted only above guard.min_population, as in a run."""
    assert not held(20, day_of(owned=20))


def test_the_allowance_names_the_tighter_limit() -> None:
    """What went unasked, and how much may, for people and machines."""
    day = day_of(unlinked(1, 19), owned=181)
    (found,) = list_allowances([("unlink", "membership")], day, LIMITS)
    assert (found.used, found.allowed) == (19, 40)
    (found,) = list_allowances([("unlink", "membership")], day, make_limits(max_daily_removals=25))
    assert found.allowed == 25
    assert describe_allowances([found]) == ["in the last 24 hours: unlink of 19 memberships unasked, 25 are allowed"]


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30), st.booleans()), max_size=12), st.integers(0, 400))
def test_counting_only_as_far_as_needed_changes_no_verdict(runs: list[tuple[int, int, bool]], owned: int) -> None:
    """Nor does the order in which a store is asked: a population that is cut off is one that exceeds nothing."""
    done = [
        each
        for run, (more, less, approved) in enumerate(runs)
        for each in (linked(run, more), unlinked(run, less, approved=approved))
        if each.number
    ]
    counts = {("unlink", "membership"): 7}
    enough = find_populations_to_know(counts, LIMITS, done)["membership"]  # type: ignore[arg-type]
    verdicts = []
    for number in (owned, min(owned, enough)):
        day = make_day(done, {"membership": number}, min_population=LIMITS.min_population)
        verdicts.append(bool(hold_excess(counts, {"membership": number}, LIMITS, day)))  # type: ignore[arg-type]
    assert verdicts[0] == verdicts[1]


def test_what_is_revoked_is_named() -> None:
    """Licences and privileges share the word and nothing else; so many of each are told."""
    assert say_times("revoke", {"privilege": 2}) == "2 times revoke privilege"
    assert say_times("revoke", {"privilege": 2, "licence": 3, "user": 0}) == (
        "3 times revoke licence and 2 times revoke privilege"
    )
