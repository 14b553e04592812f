"""What the rules make of one person or group."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from syncd.plan.cel.expressions import Expression
from syncd.plan.desired import (
    SourceGroup,
    SourceUser,
    decide_group,
    decide_user,
    find_bps_id_problem,
    resolve_collision,
)
from syncd.plan.rules import FieldRule, Rules, fold_all
from tests.fakes.rules import make_rules, make_scope

ANN: dict[str, Any] = {
    "id": "1",
    "userPrincipalName": "ann@x.com",
    "displayName": "Ann",
    "mail": "ann.a@x.com",
    "userType": "Member",
    "accountEnabled": True,
}


def decide(
    rules: Rules | None = None, state: str = "active", in_groups: bool = True, **attributes: Any
) -> tuple[str, str]:
    """Return state and BPS id of Ann with some attributes changed (None: not set)."""
    merged = {name: value for name, value in {**ANN, **attributes}.items() if value is not None}
    decided = decide_user(SourceUser(key=1, state=state, attributes=merged, in_groups=in_groups), rules or make_rules())
    return decided.state, decided.bps_id


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({}, ("wanted", "ann@x.com")),
        ({"accountEnabled": None}, ("wanted", "ann@x.com")),
        ({"accountEnabled": False}, ("disabled", "ann@x.com")),
        ({"userType": "Guest"}, ("out_of_scope", "ann@x.com")),
        ({"userType": None, "userPrincipalName": "a_b.c#EXT#@x.com"}, ("out_of_scope", "a_b.c#EXT#@x.com")),
        ({"userPrincipalName": "a_b.c#EXT#@x.com"}, ("wanted", "ann.a@x.com")),
        ({"userPrincipalName": "a+b@x.com"}, ("skipped", "a+b@x.com")),
        ({"userPrincipalName": "no-domain"}, ("skipped", "no-domain")),
        ({"userPrincipalName": "0123456789abcdef0123456789ABCDEFann@x.com"}, ("skipped", ...)),
        ({"displayName": None}, ("skipped", "ann@x.com")),
        ({"mail": None}, ("wanted", "ann@x.com")),
    ],
)
def test_each_kind_of_person_is_decided(attributes: dict[str, Any], expected: tuple[str, Any]) -> None:
    """Disabled, guest, external member, unusable names: the state and the BPS id."""
    state, bps_id = decide(**attributes)
    assert state == expected[0]
    assert expected[1] is ... or bps_id == expected[1]


def test_a_guest_by_mail_takes_the_mail_address() -> None:
    """scope.guests = "mail"."""
    rules = make_rules(scope=make_scope(guests="mail"))
    assert decide(rules, userType="Guest") == ("wanted", "ann.a@x.com")
    assert decide(rules, userType="Guest", mail=None)[0] == "skipped"


def test_a_deleted_or_disabled_person_is_never_judged_by_scope_first() -> None:
    """Who is disabled and out of scope is treated by the policy for the disabled."""
    rules = make_rules(scope=make_scope(users=Expression("user.accountEnabled")))
    assert decide(rules, accountEnabled=False)[0] == "disabled"
    assert decide(rules, state="soft_deleted")[0] == "deleted"
    assert decide(rules)[0] == "wanted"
    assert decide(state="parked")[0] == "skipped"
    assert decide(in_groups=False)[0] == "out_of_scope"


def test_an_expression_that_fails_skips_and_never_removes() -> None:
    """A person for whom the scope cannot be evaluated is skipped with the reason, not judged out of scope."""
    rules = make_rules(scope=make_scope(users=Expression('user.department.startsWith("S")')))
    decided = decide_user(SourceUser(key=1, state="active", attributes=ANN), rules)
    assert decided.state == "skipped"
    assert "user.department" in decided.reason.text
    assert decide(rules, department="Sales")[0] == "wanted"
    assert decide(rules, department="HR")[0] == "out_of_scope"


def test_the_protect_list_wins_over_everything() -> None:
    """A protected person is protected, disabled or not, whatever the case of the id."""
    rules = make_rules(scope=make_scope(protect=fold_all(["ANN@x.com"])))
    assert decide(rules)[0] == "protected"
    assert decide(rules, accountEnabled=False)[0] == "protected"


def test_the_first_attribute_that_is_set_and_the_first_of_a_list_are_taken() -> None:
    """Mapping by a list of attributes, list values and nested attributes."""
    rules = make_rules()
    fields = {
        **rules.mapping.user_fields,
        "phone": FieldRule(("mobilePhone", "businessPhones")),
        "job_title": FieldRule(("onPremisesExtensionAttributes.extensionAttribute1",)),
    }
    rules = replace(rules, mapping=replace(rules.mapping, user_fields=fields))
    nested = {"extensionAttribute1": "Clerk"}
    user = {**ANN, "businessPhones": ["1", "2"], "mobilePhone": " ", "onPremisesExtensionAttributes": nested}
    decided = decide_user(SourceUser(key=1, state="active", attributes=user), rules)
    assert (decided.fields["phone"], decided.fields["job_title"]) == ("1", "Clerk")


def test_groups_are_decided_in_the_same_manner() -> None:
    """Mapped by expression, mail falls back to the id, scope.groups chooses, deleted groups are leavers."""
    rules = make_rules()
    mapping = replace(rules.mapping, group_bps_id=FieldRule(expression=Expression('group.id + "@g.example"')))
    scope = make_scope(groups=Expression('!group.displayName.startsWith("tmp")'))
    rules = replace(rules, mapping=mapping, scope=scope)
    decided = decide_group(SourceGroup(1, "active", {"id": "77", "displayName": "Sales"}), rules)
    assert (decided.state, decided.bps_id, decided.fields["email"]) == ("wanted", "77@g.example", "77@g.example")
    temporary = decide_group(SourceGroup(1, "active", {"id": "77", "displayName": "tmp1"}), rules)
    assert temporary.state == "out_of_scope"
    assert decide_group(SourceGroup(1, "deleted", {}), rules).state == "deleted"


@pytest.mark.parametrize("letter", list('\\%&*+/=?{}|<>();:,[]"#'))
def test_every_forbidden_character_is_named(letter: str) -> None:
    """The reason names the character, so that the administrator can find it."""
    problem = find_bps_id_problem(f"a{letter}b@x.com")
    assert problem is not None
    assert letter in problem


def test_a_collision_has_at_most_one_winner() -> None:
    """The one who holds the record; without a holder nobody; with two holders (a broken inventory) nobody."""
    assert resolve_collision([(1, False), (2, True)]) == 2
    assert resolve_collision([(1, False), (2, False)]) is None
    assert resolve_collision([(1, True), (2, True)]) is None
