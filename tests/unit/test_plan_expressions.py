"""CEL expressions: every way to look at an attribute, what a missing value reads as, and what they may not look at."""

from __future__ import annotations

from typing import Any

import pytest

from syncd.plan.cel.expressions import Expression, ExpressionFailed, find_problem

EXTENSION = "extension_0123456789abcdef0123456789abcdef_costCentre"
ANN: dict[str, Any] = {
    "id": "1",
    "displayName": "Ann",
    "mail": None,
    "businessPhones": ["1", "2"],
    "otherMails": [],
    "onPremisesExtensionAttributes": {"extensionAttribute1": "clerk", "extensionAttribute2": None},
    "identities": [{"issuer": "a"}, {}],
    EXTENSION: "C1",
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("user.displayName", "Ann"),
        ('user["displayName"]', "Ann"),
        ("user [ 'displayName' ]", "Ann"),
        ("user . displayName", "Ann"),
        ("user.\n  displayName // the name", "Ann"),
        (f"user.{EXTENSION}", "C1"),
        (f'user["{EXTENSION}"]', "C1"),
        ("user.onPremisesExtensionAttributes.extensionAttribute1", "clerk"),
        ('user.onPremisesExtensionAttributes["extensionAttribute1"]', "clerk"),
        ('user["onPremisesExtensionAttributes"].extensionAttribute1', "clerk"),
        ("user.onPremisesExtensionAttributes.extensionAttribute2", None),
        ("user.onPremisesExtensionAttributes.extensionAttribute3", None),
        ("user.employeeOrgData.costCenter", None),
        ("user.businessPhones[0]", "1"),
        ('user.businessPhones.exists(p, p == "2")', True),
        ('user.otherMails.exists(p, p == "2")', False),
        ('user.proxyAddresses.exists(p, p.startsWith("smtp:"))', False),
        (f'user.{EXTENSION.replace("cost", "list")}.exists(p, p == "2")', False),
        ('"2" in user.businessPhones', True),
        ('"2" in user.imAddresses', False),
        ("size(user.otherMails) + user.proxyAddresses.size()", 0),
        ('user.identities.exists(i, has(i.issuer) && i.issuer == "a")', True),
        ("[user.mail, user.displayName].filter(v, v != null)[0]", "Ann"),
        ("user.mail == null ? user.displayName : user.mail", "Ann"),
        ("user.accountEnabled", True),
        ('"user.signInActivity" + user.displayName', "user.signInActivityAnn"),
        ('r"user.aboutMe\\" + user.displayName', "user.aboutMe\\Ann"),
        ('"""user.aboutMe "x" """ + user.displayName', 'user.aboutMe "x" Ann'),
    ],
)
def test_every_form_of_access_reads_the_same_attribute(text: str, expected: object) -> None:
    """By field, by index, inside of another one, in lists; what has no value is null, or an empty list."""
    assert find_problem(text, "user") is None
    assert Expression(text).evaluate("user", ANN) == expected


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ('user["city"] == "user.notThis" && user . mail != ""', {"city", "mail"}),
        ("user.onPremisesExtensionAttributes.extensionAttribute1", {"onPremisesExtensionAttributes"}),
        (f'has(user["{EXTENSION}"]) && user.mail.lowerAscii() == ""', {EXTENSION, "mail"}),
        ("user.otherMails.map(m, m.size())", {"otherMails"}),
        ("user.displayName // user.mail", {"displayName"}),
        ("[1].exists(user_id, user_id == 1) && user.city == ''", {"city"}),
    ],
)
def test_what_is_looked_at_is_what_is_asked_of_graph(text: str, names: set[str]) -> None:
    """An attribute that is not found here is not selected, and would read as null for everybody."""
    assert Expression(text).attributes["user"] == names


@pytest.mark.parametrize(
    "values", [{}, {"department": None, "otherMails": None}, {"department": None, "otherMails": []}]
)
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("has(user.department)", False),
        ('has(user["department"])', False),
        ("has(user.otherMails)", False),
        ("user.department == null", True),
        ('user.department == "Sales"', False),
        ('has(user.department) && user.department.startsWith("S") || user.jobTitle == "Clerk"', False),
        ("has(user.onPremisesExtensionAttributes)", False),
        ("has(user.onPremisesExtensionAttributes.extensionAttribute1)", False),
    ],
)
def test_absent_and_null_are_the_same(text: str, expected: bool, values: dict[str, Any]) -> None:
    """Delta leaves out what was never set, a direct read says null: a rule must not tell the two apart."""
    assert Expression(text).test("user", values) is expected


def test_has_is_true_for_a_value() -> None:
    """Also inside of another attribute, and for an object of which anything is set."""
    assert Expression("has(user.businessPhones) && has(user.onPremisesExtensionAttributes)").test("user", ANN)
    assert Expression("has(user.onPremisesExtensionAttributes.extensionAttribute1)").test("user", ANN)
    assert not Expression("has(user.onPremisesExtensionAttributes.extensionAttribute2)").test("user", ANN)
    assert Expression("has(group.mail)").test("group", {"mail": "a@x"})


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ('user.department.startsWith("S")', "no value in department"),
        ("user.otherMails[0]", r"no value in otherMails.*has\(\)"),
        ("user.businessPhones[7]", "out of bounds"),
        ("user.displayName + 1", "string"),
        ("timestamp(user.displayName)", "timestamp"),
        ("1 / 0", "zero"),
        ("user.displayName.nothing()", "nothing"),
        ('{"a": user.displayName}["b"]', "no attribute"),
        ("user.displayName.matches('(')", "regex"),
        ("9223372036854775807 + int(user.id)", "overflow"),
    ],
)
def test_an_object_that_does_not_fit_fails_alone(text: str, hint: str) -> None:
    """Whatever goes wrong is told for this object, with what it lacks, and never ends the run."""
    with pytest.raises(ExpressionFailed, match=f"(?i){hint}"):
        Expression(text).evaluate("user", ANN)


def test_a_condition_must_be_true_or_false() -> None:
    """A name is no condition."""
    with pytest.raises(ExpressionFailed, match="neither true nor false"):
        Expression("user.displayName").test("user", ANN)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("user. &&", "no usable CEL expression"),
        ("person.x == 1", "unknown name person"),
        ("string(user)", "looks at user as a whole"),
        ("user[user.displayName]", "looks at user as a whole"),
        ('"mail" in user', r"ask for a value by has\(user.mail\)"),
        ("user.map(k, k)", "looks at user as a whole"),
        ("user.signInActivity.lastSignInDateTime", "does not report"),
        ('has(user["signInActivity"])', "does not report"),
        ("user.a == group.b", "looks at group"),
        ("user.extension_12_x == null", "no directory extension"),
    ],
)
def test_an_expression_that_could_not_be_followed_is_refused(text: str, hint: str) -> None:
    """Syntax, unknown names, everything at once, untracked attributes in any form, and the other kind of object."""
    problem = find_problem(text, "user")
    assert problem is not None
    assert hint.replace("\\", "") in problem[0]


def test_names_that_macros_bind_are_no_attributes() -> None:
    """A bound name may be anything."""
    assert find_problem('["a"].exists(name, name == user.department)', "user") is None
