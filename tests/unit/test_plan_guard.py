"""The brake and its numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd.plan.daily import Day
from syncd.plan.guard import find_populations_to_know, hold_excess
from tests.fakes.rules import make_limits

LIMITS = make_limits()


@pytest.mark.parametrize(
    ("action", "kind", "count", "population", "held"),
    [
        ("delete", "user", 100, 1000, False),  # exactly 10 %: "beyond" is more than
        ("delete", "user", 101, 1000, True),
        ("delete", "user", 20, 20, False),  # counted only above min_population
        ("delete", "user", 21, 21, True),
        ("unlink", "membership", 500, 1_000_000, False),
        ("unlink", "membership", 501, 1_000_000, True),  # max_removals
        ("update", "user", 600, 1000, False),
        ("update", "user", 601, 1000, True),
        ("adopt", "user", 1, 1000, True),
        ("create", "user", 9999, 10, False),  # a first push, and a small pilot
        ("create", "user", 1000, 1000, False),  # exactly as many again
        ("create", "user", 1001, 1000, True),
        ("create", "substitution", 1001, 1000, False),
        ("link", "membership", 9999, 10, False),
    ],
)
def test_the_default_limits(action: str, kind: str, count: int, population: int, held: bool) -> None:
    """Percentages above the minimum population, absolute numbers always, links never."""
    holds = hold_excess({(action, kind): count}, {kind: population}, LIMITS)  # type: ignore[dict-item]
    assert bool(holds) is held
    assert all("guard." in hold.reason for hold in holds)


def test_a_limit_of_zero_allows_none_and_a_limit_off_allows_all() -> None:
    """0 is the strictest setting, also for a small population; None is what false in the settings becomes."""
    counts = {("delete", "user"): 1}
    assert hold_excess(counts, {"user": 5}, make_limits(max_removals=0))  # type: ignore[arg-type]
    assert hold_excess(counts, {"user": 5}, make_limits(max_removal_percent=0))  # type: ignore[arg-type]
    off = make_limits(max_removals=None, max_removal_percent=None)
    assert not hold_excess({("delete", "user"): 10**6}, {"user": 10**6}, off)


def test_losing_every_group_is_not_hidden_by_many_users() -> None:
    """Shares are taken per kind of object, and the whole action is withheld."""
    counts = {("delete", "user"): 1, ("delete", "group"): 50}
    holds = hold_excess(counts, {"user": 10_000, "group": 100}, LIMITS)  # type: ignore[arg-type]
    assert [(hold.action, hold.count) for hold in holds] == [("delete", 51)]


@given(st.integers(1, 10**6), st.integers(1, 10**6))
def test_more_removals_never_pass_where_fewer_are_held(few: int, population: int) -> None:
    """The guard is monotonous."""
    if hold_excess({("delete", "user"): few}, {"user": population}, LIMITS):
        assert hold_excess({("delete", "user"): few + 1}, {"user": population}, LIMITS)


COUNTS = st.dictionaries(
    st.tuples(st.sampled_from(["delete", "unlink", "update", "adopt", "create"]), st.sampled_from(["user", "group"])),
    st.integers(0, 500),
)
PERCENTS = st.one_of(st.none(), st.floats(0, 100))


@given(COUNTS, st.integers(0, 5000), st.integers(0, 5000), PERCENTS, PERCENTS)
def test_counting_no_further_than_needed_judges_alike(
    counts: dict[tuple[str, str], int], users: int, groups: int, removal: float | None, update: float | None
) -> None:
    """What is ours is counted up to a number that the planned changes give, to the same judgement and words."""
    limits = make_limits(max_removals=None, max_removal_percent=removal, max_update_percent=update)
    enough = find_populations_to_know(counts, limits)  # type: ignore[arg-type]
    whole = {"user": users, "group": groups}
    counted = {kind: min(whole[kind], number) for kind, number in enough.items()}
    assert hold_excess(counts, counted, limits) == hold_excess(counts, whole, limits)  # type: ignore[arg-type]


def test_a_few_changes_ask_for_a_few_records() -> None:
    """A percentage of ten needs no more than ten records for each change, and additions need none.

    For the allowance of the day that people are told some more are counted, and never all of a large portal.
    """
    counts = {("unlink", "membership"): 3, ("update", "user"): 6, ("link", "membership"): 10**6}
    run_alone = make_limits(max_daily_removal_percent=None)
    assert find_populations_to_know(counts, run_alone) == {"membership": 31, "user": 11}  # type: ignore[arg-type]
    assert find_populations_to_know(counts, LIMITS) == {"membership": 100_000, "user": 11}  # type: ignore[arg-type]


@pytest.mark.parametrize(("action", "setting"), [
    ("delete", "max_removal_percent"), ("update", "max_update_percent"), ("create", "max_creation_percent"),
])  # fmt: skip
def test_a_share_beyond_the_limit_is_named_with_its_numbers(action: str, setting: str) -> None:
    """The reason has the count, the share, the owned records and the key that decides."""
    limits = make_limits(max_removals=None, max_daily_removal_percent=None, **{setting: 25})
    (hold,) = hold_excess({(action, "group"): 150}, {"group": 400}, limits)  # type: ignore[dict-item]
    assert hold.reason == f"{action} of 150 of 400 owned groups (37.5 %), guard.{setting} allows 25 %"
    assert hold_excess({(action, "group"): 100}, {"group": 400}, limits) == ()  # type: ignore[dict-item]
    assert hold_excess({(action, "group"): 150}, {}, limits) == ()  # type: ignore[dict-item]


def test_as_many_adoptions_as_allowed_go_through() -> None:
    """Beyond is more than; with the limit off all of them do, and nothing else is an adoption."""
    adoptions = {("adopt", "user"): 2, ("adopt", "group"): 1}
    for allowed in (3, None):
        assert hold_excess(adoptions, {}, make_limits(max_adoptions=allowed)) == ()  # type: ignore[arg-type]
    (hold,) = hold_excess(adoptions, {"user": 1}, make_limits(max_adoptions=2))  # type: ignore[arg-type]
    assert (hold.action, hold.count, hold.reason) == ("adopt", 3, "3 adoptions, guard.max_adoptions allows 2")


def test_adoptions_into_a_store_that_owns_nothing_remind_of_a_lost_one() -> None:
    """An empty store before a portal in use: perhaps the old one should be restored instead."""
    adoptions = {("adopt", "user"): 3}
    assert find_populations_to_know(adoptions, make_limits()) == {"user": 1}  # type: ignore[arg-type]
    (hold,) = hold_excess(adoptions, {"user": 0}, make_limits(max_adoptions=2))  # type: ignore[arg-type]
    assert hold.reason.endswith("no record that is ours: if another one was lost, restore that one instead")


def test_created_groups_are_judged_beside_what_is_no_record() -> None:
    """A substitution is none, and hides no group that comes after it in the alphabet."""
    counts = {("create", "substitution"): 5, ("create", "user"): 300, ("create", "group"): 1}
    (hold,) = hold_excess(counts, {"user": 100, "group": 100}, LIMITS)  # type: ignore[arg-type]
    assert (hold.action, "300 of 100 owned users" in hold.reason) == ("create", True)
    (hold,) = hold_excess({("create", "group"): 101}, {"group": 100}, LIMITS)
    assert hold.count == 101


def test_so_many_owned_records_are_counted_that_one_more_would_change_nothing() -> None:
    """One more than the changes are of at the limit; everything where none is allowed."""
    limits = make_limits(max_removal_percent=10, max_update_percent=0, max_daily_removal_percent=None)
    asked = find_populations_to_know({("delete", "user"): 70, ("unlink", "user"): 3, ("update", "group"): 1}, limits)
    assert asked == {"user": 701, "group": 10**15 + 1}


def test_substitutions_of_leavers_are_told_apart_from_memberships() -> None:
    """In each sentence and in the number: who unlinks 708 reads 708, whatever goes with them."""
    planned = {("unlink", "membership"): 708, ("unlink", "user"): 62}
    most = make_limits(max_removals=500, max_removal_percent=None)
    (hold,) = hold_excess(planned, {}, most)  # type: ignore[arg-type]
    assert (hold.count, hold.reason) == (
        708, "708 times unlink and 62 substitutions of leavers, guard.max_removals allows 500 in a run",
    )  # fmt: skip
    daily = make_limits(max_removals=None, max_removal_percent=None, max_daily_removals=700)
    day = Day(removed={("unlink", "membership"): 40, ("unlink", "user"): 7})
    (hold,) = hold_excess(planned, {}, daily, day)  # type: ignore[arg-type]
    assert hold.reason == (
        "708 times unlink and 62 substitutions of leavers after 40 in the last 24 hours, guard.max_daily_removals "
        "allows 700"
    )
    (hold,) = hold_excess({("unlink", "user"): 1}, {}, make_limits(max_removals=0))
    assert (hold.count, hold.reason.partition(",")[0]) == (1, "1 substitution of leavers")
    (hold,) = hold_excess({("unlink", "user"): 30}, {"user": 100}, make_limits())
    assert hold.reason.startswith("substitutions for 30 of 100 owned users (30.0 %)")
