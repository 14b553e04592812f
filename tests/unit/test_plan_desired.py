"""What the rules make of one person or group."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
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


def map_job_title(expression: str, **attributes: Any) -> tuple[str, str | None]:
    """Return Ann's state with the reason, and what an expression makes of her job title."""
    rules = make_rules()
    fields = {**rules.mapping.user_fields, "job_title": FieldRule(expression=Expression(expression))}
    decided = decide_user(
        SourceUser(key=1, state="active", attributes={**ANN, **attributes}), with_fields(rules, fields)
    )
    return f"{decided.state} {decided.reason}".strip(), decided.fields.get("job_title")


def with_fields(rules: Rules, fields: dict[str, FieldRule]) -> Rules:
    """Return rules with another mapping of people."""
    return replace(rules, mapping=replace(rules.mapping, user_fields=fields))


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ("user.businessPhones.first()", "12"),
        ("user.businessPhones.last()", "34"),
        ("user.otherMails.first()", None),
        ("optional.of(user.displayName)", "Ann"),
        ("user.businessPhones", "12"),
        ('user.businessPhones.filter(p, p.startsWith("3"))', "34"),
        ("size(user.displayName)", "3"),
        ("user.accountEnabled", "true"),
        ("1.5", "1.5"),
        ('"  "', None),
        ("null", None),
        ("string(duration('90s'))", "1m30s"),
        ("string(bytes(user.displayName))", "Ann"),
    ],
)
def test_what_a_mapping_gives_is_written_as_a_text(expression: str, text: str | None) -> None:
    """Texts, numbers, flags, what an optional holds, and of a list the first element."""
    assert map_job_title(expression, businessPhones=["12", "34"]) == ("wanted", text)


@pytest.mark.parametrize(
    ("expression", "what"),
    [
        ("bytes(user.displayName)", "gives bytes, which are no text: write string(…)"),
        ("duration('90s')", "gives a duration, which is no text: write string(…)"),
        ("timestamp('2026-01-01T00:00:00Z')", "gives a time, which is no text"),
        ("{'a': user.displayName}", "gives a map, which is no text"),
        ("[{'a': user.displayName}]", "gives a map, which is no text"),
        ("[[user.displayName]]", "gives a list of lists"),
        ("1.0 / 0.0", "gives a number without an end"),
        ("user.employeeOrgData", "gives a map, which is no text"),
    ],
)
def test_what_is_no_text_is_never_written(expression: str, what: str) -> None:
    """The person is skipped with what it is and the way out; nothing of the library's own words reaches the portal."""
    state, text = map_job_title(expression, employeeOrgData={"division": "A"})
    assert state.startswith("skipped")
    assert what in state
    assert text is None


def test_a_directory_extension_is_found_in_any_letter_case() -> None:
    """Two rules may spell it differently; it is asked for, and stored, once."""
    extension = "extension_0123456789abcdef0123456789abcdef_Cost"
    rules = make_rules()
    fields = {**rules.mapping.user_fields, "job_title": FieldRule(("mobilePhone", extension.lower()))}
    decided = decide_user(
        SourceUser(key=1, state="active", attributes={**ANN, extension: "C1"}), with_fields(rules, fields)
    )
    assert decided.fields["job_title"] == "C1"


def test_a_rule_over_now_decides_by_the_time_of_the_run() -> None:
    """Somebody is wanted from the moment on that the rule names."""
    rules = make_rules(scope=make_scope(users=Expression("timestamp(user.employeeHireDate) <= now")))
    person = SourceUser(key=1, state="active", attributes={**ANN, "employeeHireDate": "2026-03-01T00:00:00Z"})
    states = [decide_user(person, rules, now=datetime(2026, month, 1, tzinfo=UTC)).state for month in (2, 3)]
    assert states == ["out_of_scope", "wanted"]
    assert rules.uses_now
    assert not make_rules().uses_now
