"""What only returns to a state of the last days: the table in the header of `syncd.plan.returns`, row by row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from syncd.model.change import Action, ObjectKind
from syncd.model.reason import Cause
from syncd.plan.returns import Lately, Place, Step, find_returns, tell_returns

GROUP, OTHER_GROUP, ANN, TYPE = 1, 7, 2, -1
MEMBERSHIP: Place = ("membership", GROUP, ANN)
LICENCE: Place = ("licence", ANN, TYPE)
RECORD: Place = ("user", ANN, 0)
FILLED: Mapping[tuple[ObjectKind, int], int] = {("membership", GROUP): 40, ("membership", OTHER_GROUP): 40}


def step(action: Action, place: Place, cause: Cause = Cause.NONE, *, run: int = 5, seq: int = 0, **values: Any) -> Step:
    """Return a change of a run."""
    return Step(run_id=run, seq=seq or run * 10, action=action, place=place, cause=cause, **values)


def write(run: int, *, record: int = ANN, seq: int = 0, **values: tuple[str | None, str | None]) -> Step:
    """Return an update that replaced the first value of each field by the second."""
    before: Mapping[str, str | None] = {name: both[0] for name, both in values.items()}
    after = {name: both[1] for name, both in values.items()}
    return step("update", ("user", record, 0), run=run, seq=seq, before=before, after=after)


def leave(group: int, person: int, seq: int) -> Step:
    """Return a planned end of a membership."""
    return step("unlink", ("membership", group, person), Cause.LEFT, run=9, seq=seq)


def came(group: int, person: int, run: int = 5) -> Step:
    """Return what began that membership."""
    return step("link", ("membership", group, person), run=run)


LEAVING = leave(GROUP, ANN, 90)
LINKED = came(GROUP, ANN)
REVOKED = step("revoke", LICENCE, Cause.NO_RULE, run=9)
GRANTED = step("grant", LICENCE, Cause.RULE_GIVES)
BESIDE = {
    100 + n: (leave(OTHER_GROUP, person, 100 + n), came(OTHER_GROUP, person)) for n, person in enumerate((ANN, 8))
}
VALUES = {110 + n: (write(9, record=n, seq=110 + n, x=("b", "a")), write(3, record=n, x=("a", "b"))) for n in (8, 9)}


def judge(planned: Step, *past: Step, **more: Any) -> dict[int, int]:
    """Return what becomes of one change while memberships of another group and values of two records return."""
    rest = (BESIDE | VALUES).values()
    lately = Lately(past=[*past, *(done for _, done in rest)], **{"filled": FILLED, **more})
    found = find_returns([planned, *(undone for undone, _ in rest)], lately)
    return {seq: run for seq, run in found.items() if seq == planned.seq}


@pytest.mark.parametrize(
    ("planned", "past"),
    [(LEAVING, LINKED), (REVOKED, GRANTED), (write(9, name=("new", "old")), write(5, name=("old", "new")))],
)
def test_what_our_own_outcome_did_is_undone(planned: Step, past: Step) -> None:
    """One change of the last days, and its exact reverse: as it was before the earliest run that is undone."""
    assert judge(planned, past) == {90: 3}
    assert judge(planned) == {}


@pytest.mark.parametrize(("planned", "past"), [(LEAVING, LINKED), (REVOKED, GRANTED)])
def test_a_place_with_a_longer_story_stays_under_the_guard(planned: Step, past: Step) -> None:
    """Who was taken out and put back was there before: now it is no state of the last days that returns."""
    undone: Action = "unlink" if planned is LEAVING else "revoke"
    earlier = step(undone, past.place, planned.cause, run=4)
    assert judge(planned, past, older={past.place}) == {}
    assert judge(planned, earlier, past) == {}


@pytest.mark.parametrize("fresh", [GROUP, ANN])
@pytest.mark.parametrize(("planned", "past"), [(LEAVING, LINKED), (REVOKED, GRANTED)])
def test_the_first_filling_of_a_new_record_is_no_state_of_before(planned: Step, past: Step, fresh: int) -> None:
    """A first load, a scope that is widened, people who have just begun: all of that stays under the guard."""
    expected = {90: 3} if fresh == GROUP and planned is REVOKED else {}
    assert judge(planned, past, fresh={fresh}) == expected


@pytest.mark.parametrize(
    "cause",
    [Cause.DISABLED, Cause.DELETED, Cause.OUT_OF_SCOPE, Cause.PUT_IN_BY_HAND, Cause.GROUP_LEAVES, Cause.RENAMED],
)
def test_who_leaves_for_another_reason_is_counted(cause: Cause) -> None:
    """The state of before was an account in use, or no account."""
    assert judge(step("unlink", MEMBERSHIP, cause, run=9), LINKED) == {}


@pytest.mark.parametrize("cause", [Cause.REMOVED_BY_HAND, Cause.RENAMED, Cause.UNDONE])
def test_who_was_put_back_is_counted(cause: Cause) -> None:
    """Our link only repaired what somebody else did; the person was in the group all the time."""
    assert judge(LEAVING, step("link", MEMBERSHIP, cause)) == {}


@pytest.mark.parametrize("action", ["delete", "adopt", "create", "link", "grant"])
def test_deletions_and_adoptions_never_return(action: Action) -> None:
    """Whatever was done before."""
    assert judge(step(action, RECORD, run=9), step("create", RECORD), step("update", RECORD)) == {}


@pytest.mark.parametrize(
    ("past", "found"),
    [
        ([write(3, name=("old", "new")), write(4, title=("t", "u"))], {}),
        ([write(3, name=("old", "new"), title=("s", "t"))], {90: 3}),
        ([write(3, name=("old", "new")), write(4, title=("s", "t"))], {90: 3}),
        ([write(3, name=("old", "mid"), title=("s", "t")), write(4, name=("mid", "new"))], {90: 3}),
        ([write(2, name=("other", "old"), title=("s", "t")), write(3, name=("old", "new"))], {}),
        ([write(3, name=("old", "other"), title=("s", "t"))], {}),
        ([write(3, name=("other", "mid"), title=("s", "t")), write(4, name=("mid", "new"))], {}),
    ],
)
def test_every_value_must_be_as_it_was_at_that_moment(past: list[Step], found: dict[int, int]) -> None:
    """One value that nobody replaced since, or that was another one then, keeps the whole update under the guard."""
    assert judge(write(9, name=("new", "old"), title=("t", "s")), *past) == found


# ---- the whole tenant, or a group alone -----------------------------------------------------------------------------


def find(pairs: Sequence[tuple[Step, Step]], *, others: Sequence[Step] = (), **more: Any) -> set[int]:
    """Return the places of what returns: pairs of a planned change and what it undoes, and other planned changes."""
    lately = Lately(past=[done for _, done in pairs], **{"filled": FILLED, **more})
    return set(find_returns([*(undone for undone, _ in pairs), *others], lately))


def fill(group: int, *, first: int, number: int = 6, run: int = 5) -> list[tuple[Step, Step]]:
    """Return how people who came into a group leave it."""
    return [(leave(group, 100 + n, first + n), came(group, 100 + n, run)) for n in range(number)]


def test_a_group_alone_is_no_tenant_that_is_set_back() -> None:
    """Somebody takes its newcomers out of one group: that is counted. Of two groups at once, it is a set-back."""
    one, two = fill(GROUP, first=200), fill(OTHER_GROUP, first=300)
    assert find(one) == set()
    assert find([*one, VALUES[118]]) == set()
    assert find([*one, *two]) == {*range(200, 206), *range(300, 306)}
    assert find([*one, *VALUES.values()]) == {*range(200, 206), 118, 119}
    assert find(list(VALUES.values())) == {118, 119}


@pytest.mark.parametrize("kind", ["emptied", "by others as well"])
def test_an_emptied_group_never_returns(kind: str) -> None:
    """Not even where the rest of the tenant is set back: in the end nobody would be in it."""
    one, two = fill(GROUP, first=200), fill(OTHER_GROUP, first=300)
    rest = [*two, *VALUES.values()]
    others = [step("unlink", ("membership", GROUP, 50), Cause.DISABLED, run=9, seq=400)] if kind != "emptied" else []
    filled = {**FILLED, ("membership", GROUP): 6 + len(others)}
    assert find([*one, *rest], others=others, filled=filled) == {*range(300, 306), 118, 119}


def test_a_group_that_loses_many_of_long_standing_too_is_no_return() -> None:
    """Up to a quarter may leave besides; more of them, and somebody is taking the group apart."""
    rest = [*fill(OTHER_GROUP, first=300), *VALUES.values()]
    for number, returns in ((2, True), (3, False)):
        others = [leave(GROUP, 50 + n, 400 + n) for n in range(number)]
        found = find([*fill(GROUP, first=200), *rest], others=others)
        assert (200 in found, 400 in found, 300 in found) == (returns, False, True)


def test_a_licence_returns_only_with_a_membership_of_its_person() -> None:
    """Whose group is emptied keeps the licence as well, until somebody says so."""
    rest = [*fill(OTHER_GROUP, first=300), *VALUES.values()]
    one = [(LEAVING, LINKED), (REVOKED, GRANTED)]
    assert 90 in find([(REVOKED, GRANTED), (leave(GROUP, ANN, 200), LINKED), *rest])
    assert find([*one, *rest], filled={**FILLED, ("membership", GROUP): 1}) == {*range(300, 306), 118, 119}
    assert 90 not in find([(REVOKED, GRANTED), *rest])


@pytest.mark.parametrize(("number", "returns"), [(18, True), (19, False)])
def test_most_of_what_came_since_that_moment_must_return(number: int, returns: bool) -> None:
    """Fourteen changes are taken back: of eighteen it is the tenant, of nineteen it is only these."""
    pairs = [*fill(GROUP, first=200), *fill(OTHER_GROUP, first=300), *VALUES.values()]
    assert bool(find(pairs, came={5: number - 2, 3: 2})) == returns


def test_what_came_before_the_moment_need_not_return() -> None:
    """The earliest moment is taken since when most returns; what is older and goes as well stays under the guard."""
    old = leave(GROUP, 50, 400), came(GROUP, 50, 2)
    found = find([old, *fill(GROUP, first=200), *fill(OTHER_GROUP, first=300)], came={2: 30, 5: 12})
    assert found == {*range(200, 206), *range(300, 306)}


def test_the_run_says_it_once() -> None:
    """With the number and the runs."""
    assert tell_returns({}) == []
    assert tell_returns({5: 3})[0].startswith("3 changes return to the state before run 5")
