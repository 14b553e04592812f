"""What `syncd privileges` says of a privilege is what the next run does about it."""

from __future__ import annotations

from typing import Any

import pytest

from syncd.cli.screen.changes import describe_values
from syncd.model.reason import Cause
from syncd.plan.privileges import Allowed, decide_privileges
from syncd.plan.report.privileges import DETAILS, NOT_OURS, list_lines
from syncd.plan.words import say
from tests.fakes.rules import make_policy, make_rules, make_scope
from tests.unit.test_plan_privileges import PLACE, READ, hold, make, want

SCOPE = say(Cause.PRIVILEGES_REFUSED).text
STAYS = "no rule gives it any more, and it stays: scope.protect, policy.deleted_groups or policy.mode says so"
GIVES = make(wanted=want(READ))
RULES_OF_THE_PAST = make(held=(hold("granted"),))
LEAVES = make(held=(hold("granted"),), wanted=want(READ), state="deleted")


def tell(
    view: Allowed, *, refused: bool = False, place: str = "read", protect: str = "", failing: Any = None, **policy: Any
) -> str:
    """Return state and detail of the only line."""
    rules = make_rules(policy=make_policy(**policy), scope=make_scope(protect=frozenset({protect} - {""})))
    places = {PLACE.token: (place, "403")} if place else {}
    (line,) = list_lines(view, rules, places=places, named=(), titles={}, refused=refused, failing=failing)
    return f"{line.state}: {line.detail}"


@pytest.mark.parametrize(
    ("view", "options", "expected"),
    [
        (GIVES, {}, "missing: the next run gives it"),
        (GIVES, {"refused": True}, f"waiting: {SCOPE}"),
        (GIVES, {"place": ""}, "waiting: the place was not read yet"),
        (GIVES, {"place": "gone"}, f"gone: {DETAILS['gone']}"),
        (GIVES, {"protect": "g@grp"}, "waiting: on the protect list (scope.protect)"),
        (GIVES, {"mode": "plan_only"}, 'waiting: nothing is written (policy.mode = "plan_only")'),
        (GIVES, {"mode": "create_only"}, "waiting: groups that are there get nothing more than what failed"),
        (make(wanted=want(READ), exists=False), {}, "waiting: the group is not in the portal yet"),
        (make(wanted=want(READ), owned=False), {"adopt": "never"}, "waiting: the portal's record is not ours"),
        (make(wanted=want(READ), held=(hold("granted"),)), {"refused": True}, "given: given by us"),
        (make(wanted=want(READ), held=(hold("taken"),)), {"drift": "revert"}, "taken: somebody took it; the next run"),
        (make(wanted=want(READ), held=(hold("taken"),)), {"drift": "report"}, "taken: somebody took it; it stays away"),
        (RULES_OF_THE_PAST, {}, "leaving: no rule gives it any more: the next run takes it"),
        (RULES_OF_THE_PAST, {"refused": True}, f"leaving: {SCOPE}"),
        (RULES_OF_THE_PAST, {"place": "gone"}, f"gone: {DETAILS['gone']}"),
        (RULES_OF_THE_PAST, {"mode": "upsert_only"}, f"kept: {STAYS}"),
        (RULES_OF_THE_PAST, {"protect": "g@grp"}, f"kept: {STAYS}"),
        (make(held=(hold("granted"),), owned=False), {}, f"kept: {NOT_OURS}"),
        (make(held=(hold("left"),)), {}, f"kept: {DETAILS['kept']}"),
        (make(held=(hold("granted", beside=True),)), {}, f"kept: {DETAILS['kept']}"),
        (LEAVES, {"deleted_groups": "delete"}, "leaving: no rule gives it any more"),
        (LEAVES, {"deleted_groups": "keep"}, f"kept: {STAYS}"),
    ],
)
def test_each_state_tells_what_follows(view: Allowed, options: dict[str, Any], expected: str) -> None:
    """Nothing is promised that the planner does not plan, or that the portal does not let us do."""
    assert tell(view, **options).startswith(expected)


def test_what_failed_says_why() -> None:
    """Nothing is promised of a change that the portal refuses; what waits for it says so."""
    lines = {
        name: tell(view, failing={token: "not an administrator"}, drift="revert")
        for name, view, token in (
            ("missing", GIVES, READ.token),
            ("taken", make(wanted=want(READ), held=(hold("taken"),)), READ.token),
            ("leaving", RULES_OF_THE_PAST, READ.token),
            ("given", make(wanted=want(READ), held=(hold("granted"),)), READ.token),
            ("other", GIVES, "another"),
        )
    }
    failed = "the last attempt failed, and it is tried again: not an administrator"
    assert lines == {
        "missing": f"missing: {failed}",
        "taken": f"taken: somebody took it; the next run gives it again (policy.drift); {failed}",
        "leaving": f"leaving: {failed}",
        "given": f"given: {DETAILS['given']}",
        "other": f"missing: {DETAILS['missing']}",
    }
    assert tell(GIVES, failing={READ.token: "not an administrator"}, refused=True) == f"waiting: {SCOPE}"


def test_the_values_of_a_privilege_are_for_the_store_alone() -> None:
    """A person reads the level and the place in the target of the change."""
    for view in (GIVES, RULES_OF_THE_PAST):
        (change,) = decide_privileges(view, make_rules(), adoption_held=())
        assert change.target == str(READ)
        assert describe_values(change) == ""


def test_what_is_not_taken_because_its_place_is_unknown_says_so() -> None:
    """A place that was never read: nothing is revoked there."""
    view = Allowed(group=RULES_OF_THE_PAST.group, held=RULES_OF_THE_PAST.held)
    assert tell(view, place="refused").endswith("and it is not taken: the place could not be read: 403")
    assert tell(view, place="").endswith("and it is not taken: the place was not read yet")
