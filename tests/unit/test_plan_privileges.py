"""What the rules give a group against what the own record says, and what an answer of the portal comes to."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from syncd.model.privilege import Listed, Place, Privilege, PrivilegeAnswer, read_privilege
from syncd.model.reason import Cause
from syncd.plan.group_names import name_choice
from syncd.plan.membership import GroupView
from syncd.plan.privileges import (
    Allowed,
    GrantState,
    HeldPrivilege,
    WantedPrivilege,
    choose_listed,
    decide_privileges,
    find_repeated,
    find_settled,
    settle_grant,
    settle_revoke,
)
from tests.fakes.rules import make_policy, make_rules, make_scope

PLACE = Place(database=1, kind="application", key="guid", name="Invoices")
READ = Privilege(place=PLACE, level="ReadOnly")
WRITE = Privilege(place=PLACE, level="Administrator")
GROUP = GroupView(key=7, bps_id="g@grp", source_key=3, state="wanted", exists=True, owned=True)


def want(*privileges: Privilege) -> tuple[WantedPrivilege, ...]:
    """Return what rules give."""
    return tuple(
        WantedPrivilege(rule=number, group=3, name="Group g", privilege=each) for number, each in enumerate(privileges)
    )


def hold(state: GrantState, privilege: Privilege = READ, **changes: Any) -> HeldPrivilege:
    """Return an entry of the own record."""
    return HeldPrivilege(privilege=privilege, state=state, **changes)


def decide(view: Allowed, *, held: bool = False, **policy: Any) -> list[str]:
    """Return the changes in words."""
    rules = make_rules(policy=make_policy(**policy))
    changes = decide_privileges(view, rules, adoption_held=(7,) if held else ())
    return [f"{each.action} {(each.after or each.before)['level']} {each.reason.cause.value}" for each in changes]


def make(*, wanted: tuple[WantedPrivilege, ...] = (), held: tuple[HeldPrivilege, ...] = (), **group: Any) -> Allowed:
    """Return a group with its place readable."""
    return Allowed(group=replace(GROUP, **group), wanted=wanted, held=held, readable=frozenset({PLACE.token}))


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (None, ["grant ReadOnly privilege_given"]),
        ("left", ["grant ReadOnly privilege_given"]),
        ("sent", ["grant ReadOnly privilege_unsettled"]),
        ("granted", []),
        ("unsure", []),
        ("taken", ["grant ReadOnly taken_by_hand"]),
        ("let go", []),
    ],
)
def test_what_a_rule_gives_is_given_unless_it_is_there(state: GrantState | None, expected: list[str]) -> None:
    """As the table of the module says; under another policy what was taken stays away."""
    view = make(wanted=want(READ), held=() if state is None else (hold(state),))
    assert decide(view) == expected
    if state == "taken":
        assert decide(view, drift="report") == []


@pytest.mark.parametrize(
    ("held", "expected"),
    [
        (hold("granted"), ["revoke ReadOnly privilege_over"]),
        (hold("sent"), []),
        (hold("unsure"), []),
        (hold("granted", beside=True), []),
        (hold("left"), []),
        (hold("taken"), []),
    ],
)
def test_what_no_rule_gives_any_more_is_taken_unless_that_is_a_guess(held: HeldPrivilege, expected: list[str]) -> None:
    """Nothing that may be there by hand is taken, nor what the portal has refused to take."""
    assert decide(make(held=(held,))) == expected
    assert decide(make(held=(held,)), mode="upsert_only") == []


def test_another_level_at_the_same_place_takes_the_place_of_the_one_before() -> None:
    """The new one is given first, and the reason of the other says what it waits for."""
    view = make(wanted=want(WRITE), held=(hold("granted"),))
    assert decide(view) == ["grant Administrator privilege_given", "revoke ReadOnly privilege_swapped"]


@pytest.mark.parametrize(
    ("state", "covered", "expected"),
    [
        ("renamed", True, ["revoke ReadOnly group_renamed"]),
        ("renamed", False, ["revoke ReadOnly privilege_over"]),
        ("deleted", True, ["revoke ReadOnly group_leaves"]),
        ("out_of_scope", False, ["revoke ReadOnly group_leaves"]),
        ("skipped", True, []),
        ("skipped", False, ["revoke ReadOnly privilege_over"]),
        ("blocked", True, []),
    ],
)
def test_a_group_that_goes_loses_it_and_one_that_cannot_be_written_keeps_it(
    state: str, covered: bool, expected: list[str]
) -> None:
    """A frozen group loses only what no rule gives it any more; under ``keep`` nobody who leaves loses anything."""
    view = make(wanted=want(READ) if covered else (), held=(hold("granted"),), state=state)
    assert decide(view) == expected
    if state in ("deleted", "out_of_scope"):
        assert decide(view, deleted_groups="keep") == []


def test_hands_are_kept_off_what_is_protected_foreign_or_no_group() -> None:
    """And a group that waits for its adoption waits with everything."""
    view = make(wanted=want(READ), held=(hold("granted", WRITE),))
    rules = make_rules(scope=make_scope(protect=frozenset({"g@grp"})))
    assert decide_privileges(view, rules, adoption_held=()) == []
    assert decide(replace(view, group=replace(GROUP, taken=True))) == []
    foreign = replace(view, group=replace(GROUP, owned=False))
    assert decide(foreign, adopt="never") == []
    (change,) = decide_privileges(foreign, make_rules(), adoption_held=(7,))
    assert change.held.cause is Cause.ADOPTION_HELD


def test_nothing_is_done_at_a_place_that_nobody_could_read() -> None:
    """Neither given nor taken: whether something by hand is there is not known."""
    view = replace(make(wanted=want(READ), held=(hold("granted", WRITE),)), readable=frozenset())
    assert decide(view) == []


def test_what_somebody_took_is_forgotten_with_its_rule() -> None:
    """As long as a rule gives it, it is remembered."""
    view = make(wanted=want(READ), held=(hold("taken"), hold("let go", WRITE)))
    assert find_settled(view) == [WRITE.token]


@pytest.mark.parametrize(
    ("answer", "before", "expected"),
    [
        (PrivilegeAnswer("done"), "", ("granted", "done", False)),
        (PrivilegeAnswer("done"), "beside", ("granted", "done", True)),
        (PrivilegeAnswer("done", listed=False, unsure=True), "", ("granted", "done", False)),
        (PrivilegeAnswer("done", listed=True, unsure=True), "", ("granted", "done", True)),
        (PrivilegeAnswer("done", listed=True, unsure=True), "listed", ("granted", "done", False)),
        (PrivilegeAnswer("unclear", listed=None, unsure=True), "", ("sent", "failed", False)),
        (PrivilegeAnswer("unclear", listed=True, unsure=True), "", ("sent", "failed", True)),
        (PrivilegeAnswer("unclear", listed=False, unsure=True), "", ("sent", "failed", False)),
        (PrivilegeAnswer("conflict", listed=True, unsure=True), "", ("unsure", "dropped", True)),
        (PrivilegeAnswer("conflict", listed=True, unsure=True), "listed", ("unsure", "dropped", False)),
        (PrivilegeAnswer("conflict", listed=None, unsure=True), "", ("unsure", "dropped", False)),
        (PrivilegeAnswer("conflict", listed=None), "sent", ("unsure", "dropped", False)),
        (PrivilegeAnswer("conflict", listed=False), "", (None, "failed", False)),
        (PrivilegeAnswer("conflict", listed=False, unsure=True), "sent", ("sent", "failed", False)),
        (PrivilegeAnswer("conflict", listed=True), "listed", ("unsure", "dropped", True)),
        (PrivilegeAnswer("conflict", listed=None), "", ("unsure", "dropped", True)),
    ],
)
def test_an_answer_to_a_grant_is_judged_by_what_can_be_known(
    answer: PrivilegeAnswer, before: str, expected: tuple[Any, ...]
) -> None:
    """A reading shows no privilege by itself: what may be by hand is not surely ours."""
    settled = settle_grant(
        answer, sent_before=before == "sent", beside=before == "beside", listed=before in ("listed", "beside")
    )
    assert (settled.state, settled.outcome, settled.beside) == expected


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (PrivilegeAnswer("done"), (None, "done")),
        (PrivilegeAnswer("conflict", listed=False), (None, "done")),
        (PrivilegeAnswer("conflict", listed=False, unsure=True), (None, "done")),
        (PrivilegeAnswer("conflict", listed=True, unsure=True), ("left", "dropped")),
        (PrivilegeAnswer("conflict", listed=True), ("left", "dropped")),
        (PrivilegeAnswer("conflict", listed=None), ("left", "dropped")),
        (PrivilegeAnswer("unclear", listed=True), ("granted", "failed")),
    ],
)
def test_an_answer_to_a_revoke_is_judged_by_what_can_be_known(
    answer: PrivilegeAnswer, expected: tuple[Any, ...]
) -> None:
    """What the portal will not take, and names still, is told and not fought over."""
    settled = settle_revoke(answer)
    assert (settled.state, settled.outcome) == expected


def test_a_place_is_chosen_by_number_guid_or_name() -> None:
    """A number or guid wins over a name; nothing and too many are told with what there is."""
    one, two = (Listed(number=number, guid=f"guid-{number}", name=name) for number, name in ((4, "Four"), (5, "4")))
    assert choose_listed([one, two], "4", "application") == one
    assert choose_listed([one, two], "GUID-5", "application") == two
    assert choose_listed([one, two], "four", "application") == one
    assert choose_listed([one, replace(two, name="Four")], "Four", "process") == (
        "2 processes are named 'Four' (guid-4, guid-5); name the one by its guid"
    )
    assert choose_listed([one, two], "x", "form_type") == "there is no form type 'x'; there are 4, Four"
    assert "name it by its guid" in str(choose_listed([], "x", "workflow"))
    many = [Listed(number=number, guid="", name=f"P{number:02}") for number in range(1, 31)]
    assert str(choose_listed(many, "x", "process")).endswith(
        "none of 30 is like it; the first are P01, P02, P03, P04, P05"
    )
    assert "of 30 the nearest are P17" in str(choose_listed(many, "P170", "process"))


def test_the_same_given_twice_is_found() -> None:
    """Also when one rule names the place by its name and the other by its guid."""
    assert find_repeated(want(READ, WRITE, replace(READ, place=replace(PLACE, name="other")))) == {2: 0}


def test_a_privilege_comes_back_from_the_values_of_a_change() -> None:
    """With workflow, company and names."""
    place = Place(database=2, kind="form_type", key="f", workflow="w", name="Form")
    one = Privilege(place=place, level="Start", company="c", company_name="PL01")
    assert read_privilege(one.values()) == one
    assert str(read_privilege(one.values())) == "Start: form type Form (database 2) for PL01"


def test_a_name_that_no_group_bears_is_answered_with_what_there_is() -> None:
    """Few groups are all named; of many those with names like it, whatever the case."""
    assert name_choice("x", []) == "there are none"
    assert name_choice("x", ["b", "A", ""]) == "there are A, b"
    many = [f"Team {number:03}" for number in range(30)]
    assert name_choice("Aprovers", ["Approvers A", "APPROVERS", *many]).startswith("of 32 the nearest are APPROVERS,")
    assert (
        name_choice("qqq", many)
        == "none of 30 is like it; the first are Team 000, Team 001, Team 002, Team 003, Team 004"
    )


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ({}, {}, True),
        ({"company": "12"}, {"company": "guid"}, True),
        ({"company": "12"}, {"company": "13"}, False),
        ({"company": "a"}, {"company": "b"}, False),
        ({"company": "12"}, {"company": ""}, False),
        ({"company": "12", "level": "Start"}, {"company": "guid"}, False),
        ({"workflow": "7"}, {"workflow": "guid"}, True),
        ({"key": "7"}, {"key": "guid"}, True),
        ({"key": "7"}, {"key": "guid", "database": 2}, False),
        ({"key": ""}, {"key": "guid", "level": "Start"}, True),
        ({"key": ""}, {"key": "guid", "kind": "application"}, False),
    ],
)
def test_two_privileges_may_be_one_where_a_number_stands_for_a_guid(
    one: dict[str, Any], other: dict[str, Any], *, expected: bool
) -> None:
    """Or where nobody has looked up the place of one of them; never where two guids, numbers or levels differ."""
    made = [
        Privilege(
            place=Place(
                database=each.get("database", 1),
                kind=each.get("kind", "process"),
                key=each.get("key", "p"),
                workflow=each.get("workflow", "w"),
            ),
            level=each.get("level", "Modify"),
            company=each.get("company", "c"),
        )
        for each in (one, other)
    ]
    assert made[0].may_be(made[1]) is made[1].may_be(made[0]) is expected
