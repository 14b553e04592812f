"""Who gets a seat when they are short, and how processes are told apart."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from syncd.model.licence import LICENCE_TYPES, format_process, subtract_processes
from syncd.plan.licences import Claim, allot

kinds = st.sampled_from(LICENCE_TYPES[:3])


def test_the_first_claims_are_served_and_the_shortage_has_the_numbers() -> None:
    """Three claims, two seats."""
    found = allot([Claim(1, "User"), Claim(2, "User"), Claim(3, "User")], {"User": 2})
    assert sorted(found.without) == [3]
    assert found.shortages[0].reason == "User: 3 seats needed, 2 are free"


def test_a_type_of_unknown_size_is_not_limited() -> None:
    """The portal has the last word on it."""
    assert allot([Claim(1, "User")], {}).without == {}


def test_who_goes_without_frees_nothing_for_others() -> None:
    """The second would take the seat that the first gives up, but the first gets none of the other type."""
    found = allot([Claim(1, "PowerUser", ("User",)), Claim(2, "User")], {"PowerUser": 0, "User": 0})
    assert sorted(found.without) == [1, 2]


def test_a_swap_is_served_by_freeing_first() -> None:
    """Neither type has a free seat, and nobody goes without."""
    found = allot([Claim(1, "PowerUser", ("User",)), Claim(2, "User", ("PowerUser",))], {"PowerUser": 0, "User": 0})
    assert found.without == {}
    assert found.early == {"PowerUser", "User"}


@given(st.lists(st.tuples(kinds, st.lists(kinds, max_size=1))), st.dictionaries(kinds, st.integers(-2, 5)))
def test_seats_are_never_overdrawn(claims: list[tuple[str, list[str]]], free: dict[str, int]) -> None:
    """Whatever the claims: what is served fits into what is free and freed by those who are served."""
    made = [Claim(seq, kind, tuple(gone for gone in gives if gone != kind)) for seq, (kind, gives) in enumerate(claims)]
    found = allot(made, free)
    served = [claim for claim in made if claim.seq not in found.without]
    for kind, number in free.items():
        freed = sum(claim.gives.count(kind) for claim in served)
        assert sum(claim.type == kind for claim in served) <= max(number, 0) + freed
    assert all(claim.type in free for claim in made if claim.seq in found.without)


def test_a_process_is_the_same_by_id_or_by_guid() -> None:
    """The portal shows both, a rule names one; the database counts."""
    both = format_process(1, 7, "AB-1")
    assert subtract_processes(both, format_process(1, 7, None)) == ""
    assert subtract_processes(both, format_process(1, None, "ab-1")) == ""
    assert subtract_processes(both, format_process(2, 7, "ab-1")) == both
