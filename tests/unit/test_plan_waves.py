"""The rule of waves: which plans, how many people, and what a difference is."""

from __future__ import annotations

from typing import Any

import pytest

from syncd.plan.rules import WaveRules
from syncd.plan.waves import Difference, Sent, compare_sent, cut_waves, goes_in_waves, say_wave_held
from tests.fakes.rules import make_limits

LIMITS = make_limits(min_population=20)
RULES = WaveRules(percents=(1, 10, 100), max_failures=0)


def make_sent(**changes: Any) -> Sent:
    """Return an update that the portal shows as it was written."""
    kept: dict[str, Any] = {"seq": 1, "action": "update", "object": "user", "name": "id", "there": True, "ready": True}
    return Sent(**{**kept, "after": {"phone": "1"}, "shown": {"phone": "1", "name": "n"}, **changes})


@pytest.mark.parametrize(
    ("rules", "changed", "people", "goes"),
    [
        (RULES, True, 20, True),
        (RULES, True, 19, False),
        (RULES, False, 1000, False),
        (WaveRules(percents=(), max_failures=0), True, 1000, False),
    ],
)
def test_first_plans_and_new_rules_go_in_waves(rules: WaveRules, changed: bool, people: int, goes: bool) -> None:
    """When there are enough people to spare."""
    assert goes_in_waves(rules, LIMITS, changed=changed, people=people) is goes


@pytest.mark.parametrize(
    ("people", "percents", "ends"),
    [
        (1000, (1, 10, 100), (10, 100, 1000)),
        (30, (1, 10, 100), (1, 3, 30)),
        (20, (1, 2, 100), (1, 20)),
        (1, (1, 10, 100), (1,)),
        (0, (1, 100), ()),
    ],
)
def test_every_wave_has_somebody(people: int, percents: tuple[int, ...], ends: tuple[int, ...]) -> None:
    """A share is rounded up; a wave without anybody new is none."""
    assert cut_waves(people, percents) == ends


@pytest.mark.parametrize(
    ("sent", "found"),
    [
        (make_sent(), None),
        (make_sent(shown={"phone": " 1 "}), None),
        (make_sent(after={"name": "ANN"}, shown={"name": "ann"}), None),
        (make_sent(after={"phone": None}, shown={"phone": None}), None),
        (make_sent(shown={"phone": "2"}), "phone of id"),
        (make_sent(shown={"phone": None}), "phone of id"),
        (make_sent(shown={"phone": "2"}, ready=False), None),
        (make_sent(there=False, shown={}), "record of id missing"),
        (make_sent(action="delete", there=True), "record of id still there"),
        (make_sent(action="delete", there=False, shown={}), None),
        (make_sent(action="link", object="membership", there=False, after={}), "membership of id missing"),
        (make_sent(action="unlink", object="ownership", there=True, after={}), "ownership of id still there"),
        (make_sent(action="grant", object="licence", there=False, after={}), "licence of id missing"),
        (make_sent(action="revoke", object="licence", there=False, after={}), None),
    ],
)
def test_what_is_a_difference(sent: Sent, found: str | None) -> None:
    """Values beyond case and outer blanks, and what is there or not; nothing of what the portal still copies."""
    differences, copied = compare_sent([sent])
    assert (list(map(str, differences)), copied) == ([] if found is None else [found], int(not sent.ready))


def test_what_is_copied_and_shown_already_need_not_be_waited_for() -> None:
    """Whatever the portal calls it: it shows what was written."""
    assert compare_sent([make_sent(ready=False)]) == ((), 0)


def test_the_sentence_names_wave_numbers_and_ids() -> None:
    """A few differences by name, the rest as a number; failures beyond the limit; nothing when all is well."""
    assert say_wave_held(1, 3, differences=(), failed=2, allowed=2) == ""
    assert say_wave_held(1, 3, differences=(), failed=2, allowed=None) == ""
    found = [Difference(seq=1, name=f"id{n}", field="phone") for n in range(7)]
    told = say_wave_held(2, 3, differences=found, failed=1, allowed=0)
    assert told == (
        "wave 2 of 3: 7 things are not in the portal as written (phone of id0, phone of id1, phone of id2, "
        "phone of id3, phone of id4 and 2 more); 1 change failed (guard.max_wave_failures allows 0); the rest waits"
    )
