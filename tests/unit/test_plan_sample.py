"""A sample of a company: the same each time, with the groups that matter and every way upwards."""

from __future__ import annotations

from syncd.plan.sample import choose_first, choose_groups, find_above

OBJECTS = [(key, f"object {key}") for key in range(100)]


def test_the_choice_is_the_same_whatever_the_order() -> None:
    """No more than asked for, and nothing but the ids decides."""
    chosen = choose_first(OBJECTS, 10)
    assert len(chosen) == 10
    assert choose_first(reversed(OBJECTS), 10) == chosen
    assert choose_first(OBJECTS[:5], 10) == frozenset(range(5))


def test_named_groups_bring_those_below_and_every_group_those_above() -> None:
    """A circle of groups comes to an end."""
    nested = [(1, 2), (2, 3), (3, 1), (50, 1), (7, 8), (9, 7)]
    assert choose_groups(OBJECTS, 0, always=[1], nested=nested) == {1, 2, 3, 50}
    (one,) = choose_first(OBJECTS, 1)
    assert choose_groups(OBJECTS, 1, always=[], nested=[(98, one), (99, 98)]) == {one, 98, 99}


def test_the_nearest_chosen_manager_is_found_upwards() -> None:
    """Nobody, where nobody above is chosen or the way goes in a circle."""
    managers = {1: 2, 2: 3, 3: 4, 5: 6, 6: 5}
    assert find_above(1, managers, {4}) == 4
    assert find_above(2, managers, {2, 4}) == 2
    assert find_above(5, managers, {4}) is None
    assert find_above(None, managers, {4}) is None
