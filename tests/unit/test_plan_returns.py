"""What only returns to a state of the last days: the table in the header of `syncd.plan.returns`, row by row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from syncd.model.change import Action, ObjectKind
from syncd.model.reason import Cause
from syncd.plan.returns import Place, Step, find_returns, tell_returns

GROUP, ANN, TYPE = 1, 2, -1
MEMBERSHIP: Place = ("membership", GROUP, ANN)
LICENCE: Place = ("licence", ANN, TYPE)
RECORD: Place = ("user", ANN, 0)


def step(action: Action, place: Place, cause: Cause = Cause.NONE, *, run: int = 5, **values: Any) -> Step:
    """Return a change of a run."""
    return Step(run_id=run, seq=run * 10, action=action, place=place, cause=cause, **values)


def write(run: int, **values: tuple[str | None, str | None]) -> Step:
    """Return an update that replaced the first value of each field by the second."""
    before: Mapping[str, str | None] = {name: both[0] for name, both in values.items()}
    return step("update", RECORD, run=run, before=before, after={name: both[1] for name, both in values.items()})


LEAVING = step("unlink", MEMBERSHIP, Cause.LEFT, run=9)
LINKED = step("link", MEMBERSHIP)
REVOKED = step("revoke", LICENCE, Cause.NO_RULE, run=9)
GRANTED = step("grant", LICENCE, Cause.RULE_GIVES)


@pytest.mark.parametrize(
    ("planned", "past"),
    [(LEAVING, LINKED), (REVOKED, GRANTED), (write(9, name=("new", "old")), write(5, name=("old", "new")))],
)
def test_what_our_own_outcome_did_is_undone(planned: Step, past: Step) -> None:
    """One change of the last days, and its exact reverse."""
    assert find_returns([planned], [past], fresh=(), older=()) == {90: 5}
    assert find_returns([planned], [], fresh=(), older=()) == {}


@pytest.mark.parametrize(("planned", "past"), [(LEAVING, LINKED), (REVOKED, GRANTED)])
def test_a_place_with_a_longer_story_stays_under_the_guard(planned: Step, past: Step) -> None:
    """Who was taken out and put back was there before: now it is no state of the last days that returns."""
    undone: Action = "unlink" if planned is LEAVING else "revoke"
    earlier = step(undone, past.place, planned.cause, run=4)
    assert find_returns([planned], [past], fresh=(), older={past.place}) == {}
    assert find_returns([planned], [earlier, past], fresh=(), older=()) == {}


@pytest.mark.parametrize("fresh", [GROUP, ANN])
@pytest.mark.parametrize(("planned", "past"), [(LEAVING, LINKED), (REVOKED, GRANTED)])
def test_the_first_filling_of_a_new_record_is_no_state_of_before(planned: Step, past: Step, fresh: int) -> None:
    """A first load, a scope that is widened, people who have just begun: all of that stays under the guard."""
    expected = {90: 5} if fresh == GROUP and planned is REVOKED else {}
    assert find_returns([planned], [past], fresh={fresh}, older=()) == expected


@pytest.mark.parametrize(
    "cause",
    [Cause.DISABLED, Cause.DELETED, Cause.OUT_OF_SCOPE, Cause.PUT_IN_BY_HAND, Cause.GROUP_LEAVES, Cause.RENAMED],
)
def test_who_leaves_for_another_reason_is_counted(cause: Cause) -> None:
    """The state of before was an account in use, or no account."""
    assert find_returns([step("unlink", MEMBERSHIP, cause, run=9)], [LINKED], fresh=(), older=()) == {}


@pytest.mark.parametrize("cause", [Cause.REMOVED_BY_HAND, Cause.RENAMED, Cause.UNDONE])
def test_who_was_put_back_is_counted(cause: Cause) -> None:
    """Our link only repaired what somebody else did; the person was in the group all the time."""
    assert find_returns([LEAVING], [step("link", MEMBERSHIP, cause)], fresh=(), older=()) == {}


@pytest.mark.parametrize("action", ["delete", "adopt", "create", "link", "grant"])
def test_deletions_and_adoptions_never_return(action: Action) -> None:
    """Whatever was done before."""
    kind: ObjectKind = "user"
    done = [step("create", (kind, ANN, 0)), step("update", (kind, ANN, 0))]
    assert find_returns([step(action, (kind, ANN, 0), run=9)], done, fresh=(), older=()) == {}


@pytest.mark.parametrize(
    ("past", "found"),
    [
        ([write(3, name=("old", "new")), write(4, title=("t", "u"))], {}),
        ([write(3, name=("old", "new"), title=("s", "t"))], {90: 3}),
        ([write(3, name=("old", "new")), write(4, title=("s", "t"))], {90: 3}),
        ([write(3, name=("old", "mid"), title=("s", "t")), write(4, name=("mid", "new"))], {}),
        ([write(3, name=("old", "other"), title=("s", "t"))], {}),
    ],
)
def test_every_value_must_be_what_the_newest_update_replaced(past: list[Step], found: dict[int, int]) -> None:
    """One value that nobody replaced lately, or that lies further back, keeps the whole update under the guard."""
    planned = write(9, name=("new", "old"), title=("t", "s"))
    assert find_returns([planned], past, fresh=(), older=()) == found


def test_the_run_says_it_once() -> None:
    """With the number and the runs."""
    assert tell_returns({}) == []
    assert tell_returns({7: 2, 5: 1})[0].startswith("3 changes return to the state before run 5, 7")
