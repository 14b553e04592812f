"""Mapping rules and expressions: what is which, and what delta queries cannot follow."""

from __future__ import annotations

from pathlib import Path

import pytest

from syncd.config import AttributeRule, ExpressionRule, Settings, load_settings
from syncd.config.base import CheckExpression
from syncd.errors import ConfigError
from syncd.plan.cel.expressions import find_problem

EXTENSION = "extension_0123456789abcdef0123456789abcdef_costCentre"


def load(env: dict[str, str], check: CheckExpression = find_problem) -> Settings:
    """Load settings from variables alone."""
    return load_settings(None, env, cwd=Path("/nonexistent"), check_expression=check, need=frozenset())


def problem_of(env: dict[str, str]) -> str:
    """Return the only problem."""
    with pytest.raises(ConfigError) as caught:
        load(env)
    (problem,) = caught.value.problems
    return problem


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mail", AttributeRule(("mail",))),
        (
            EXTENSION,
            AttributeRule((EXTENSION,)),
        ),
        (
            "onPremisesExtensionAttributes.extensionAttribute1",
            AttributeRule(("onPremisesExtensionAttributes.extensionAttribute1",)),
        ),
        ("user.mail", ExpressionRule("user.mail")),
        ('user.mail + ".x"', ExpressionRule('user.mail + ".x"')),
        ('"fixed, text"', ExpressionRule('"fixed, text"')),
        ("mail,mail,otherMails", AttributeRule(("mail", "otherMails"))),
        ("[]", AttributeRule(())),
        ("JobTitle", AttributeRule(("jobTitle",))),
        ('["MAIL", "mail", "otherMAILS"]', AttributeRule(("mail", "otherMails"))),
        (
            "onpremisesextensionattributes.EXTENSIONATTRIBUTE1",
            AttributeRule(("onPremisesExtensionAttributes.extensionAttribute1",)),
        ),
        ("employeeorgdata.costcenter", AttributeRule(("employeeOrgData.costCenter",))),
        ("brandNew", AttributeRule(("brandNew",))),
    ],
)
def test_a_mapping_value_is_an_attribute_a_list_or_an_expression(
    text: str, expected: AttributeRule | ExpressionRule
) -> None:
    """Whatever is no plain attribute path is an expression."""
    assert load({"SYNCD_MAPPING__USER__JOB_TITLE": text}).mapping.user.job_title == expected


@pytest.mark.parametrize(
    ("key", "text", "hint"),
    [
        ("USER__JOB_TITLE", "signInActivity", "uses signInActivity, whose changes Microsoft Graph does not report"),
        ("USER__JOB_TITLE", '["jobTitle", "aboutMe"]', "uses aboutMe"),
        ("USER__JOB_TITLE", "signInActivity.lastSignInDateTime", "uses signInActivity"),
        ("USER__JOB_TITLE", 'user.mailboxSettings.timeZone + "x"', "uses mailboxSettings"),
        ("GROUP__EMAIL", "isArchived", "uses isArchived"),
        ("USER__JOB_TITLE", "manager", "is a relation and no attribute"),
        ("USER__JOB_TITLE", "onPremisesExtensionAttributes", "names no extension attribute"),
        ("USER__JOB_TITLE", "onPremisesExtensionAttributes.extensionAttribute16", "names no extension attribute"),
        ("USER__JOB_TITLE", "SignInActivity", "uses SignInActivity"),
        ("USER__JOB_TITLE", 'user["signInActivity"].x', "uses signInActivity"),
        ("USER__JOB_TITLE", "user . aboutMe", "uses aboutMe"),
        ("USER__JOB_TITLE", "user.manager", "is a relation and no attribute"),
        ("USER__JOB_TITLE", "user.onPremisesExtensionAttributes.extensionAttribute0", "names no extension attribute"),
        ("USER__JOB_TITLE", "extension_0123456789abcdef_costCentre", "write extension_APPID_NAME"),
        ("USER__JOB_TITLE", "contoso_costCentre", "schema extensions are not reported"),
        ("USER__JOB_TITLE", "group.displayName", "looks at group, but decides about users"),
        ("GROUP__NAME", "user.displayName", "looks at user, but decides about groups"),
        ("USER__JOB_TITLE", "string(user)", "looks at user as a whole"),
        ("USER__JOB_TITLE", '["user.mail + 1"]', "has an entry that is no attribute name"),
        ("USER__JOB_TITLE", "[1]", "is no mapping rule"),
        ("USER__JOB_TITLE", "jobTitel", "uses jobTitel, which Microsoft Graph v1.0 does not know"),
        ("USER__JOB_TITLE", "jobTitel", "did you mean jobTitle?"),
        ("USER__JOB_TITLE", '["jobTitel", "aboutMe", "sponsors"]', "aboutMe, whose changes Microsoft Graph does not"),
        ("USER__JOB_TITLE", '["jobTitel", "aboutMe", "sponsors"]', "sponsors, which is a relation"),
        ("USER__JOB_TITLE", "employeeOrgData", "write employeeOrgData.costCenter or employeeOrgData.division"),
        ("USER__JOB_TITLE", "identities", "write a CEL expression: user.identities[0].issuer"),
        ("USER__JOB_TITLE", "customSecurityAttributes", "user.customSecurityAttributes.SET.NAME"),
        ("USER__JOB_TITLE", "mail.address", "looks at address in mail, which is a text"),
        ("USER__JOB_TITLE", "User.mail", "did you mean user?"),
        ("USER__JOB_TITLE", "usr.jobTitle", "uses usr, which is no property with jobTitle in it"),
        ("USER__JOB_TITLE", "usr.jobTitle", "did you mean jobTitle?"),
        ("USER__JOB_TITLE", "users.JOBTITLE", "did you mean jobTitle?"),
        ("USER__JOB_TITLE", "person.jobTitle", "did you mean jobTitle?"),
        ("USER__JOB_TITLE", '["usr.mobilePhone"]', "did you mean mobilePhone?"),
        ("USER__JOB_TITLE", "usr.costCentre", "did you mean user.costCentre?"),
        ("GROUP__NAME", "grp.mailNickname", "did you mean mailNickname?"),
        ("USER__JOB_TITLE", "securityEnabled", "which groups have and users have not"),
        ("GROUP__EMAIL", "team", "is a relation and no attribute"),
        ("USER__JOB_TITLE", "user.jobTitle.upper()", "did you mean upperAscii()?"),
        ("USER__BPS_ID", "[]", "is empty"),
        ("GROUP__NAME", "[]", "is empty"),
    ],
)
def test_a_mapping_that_could_not_be_followed_is_refused(key: str, text: str, hint: str) -> None:
    """A change that delta never reports would leave the portal wrong for ever."""
    problem = problem_of({f"SYNCD_MAPPING__{key}": text})

    assert f"mapping.{key.lower().replace('__', '.')}: " in problem
    assert hint in problem


def test_a_property_of_tomorrow_is_left_to_graph() -> None:
    """What the table does not know may have parts; only what belongs to the whole person cannot be one of them."""
    for text in ("carbonFootprint.total", "newThing.displayName", "carbonFootprint"):
        assert load({"SYNCD_MAPPING__USER__JOB_TITLE": text}).mapping.user.job_title == AttributeRule((text,))


def test_an_attribute_name_within_a_text_is_no_use_of_it() -> None:
    """Only what the expression reads counts."""
    text = "user.jobTitle == 'user.signInActivity' ? 'a' : 'b'"

    assert load({"SYNCD_MAPPING__USER__JOB_TITLE": text}).mapping.user.job_title == ExpressionRule(text)


def test_expressions_are_compiled_by_whoever_can() -> None:
    """Scope and mapping expressions pass the given check; attribute names do not."""
    seen: list[str] = []

    def check(expression: str, entity: str, purpose: str) -> tuple[str, str] | None:
        seen.append(f"{entity} {purpose}: {expression}")
        return ("does not parse", "learn to write") if "&&&" in expression else None

    load({"SYNCD_SCOPE__GROUPS": "group.securityEnabled", "SYNCD_MAPPING__USER__PHONE": "user.mobilePhone"}, check)
    assert seen == ["group condition: group.securityEnabled", "user value: user.mobilePhone"]
    with pytest.raises(ConfigError, match=r"scope.users: does not parse \(value .*\); learn to write"):
        load({"SYNCD_SCOPE__USERS": "user.a &&& user.b"}, check)


def test_a_rule_of_several_lines_is_shown_when_it_is_refused() -> None:
    """It is no key: on one line, as far as it fits, with the way out."""
    problem = problem_of({"SYNCD_SCOPE__USERS": "user.accountEnabled\n  && user.employeeHireDate <= now"})
    assert "'user.accountEnabled && user.employeeHireDate <= now'" in problem
    assert "write timestamp(user.employeeHireDate)" in problem
    private = "-----BEGIN PRIVATE KEY-----\nuser.abc\n-----END PRIVATE KEY-----"
    assert "abc" not in problem_of({"SYNCD_SCOPE__USERS": private})


@pytest.mark.parametrize("name", ["Premium", "Premium CAL", "17", "PowerUser"])
def test_any_type_of_licence_is_taken(name: str) -> None:
    """Only the portal knows which it offers."""
    settings = load({"SYNCD_LICENCES": f'[{{"group": "G", "type": "{name}"}}]'})
    assert settings.licences[0].type == name


@pytest.mark.parametrize(("name", "hint"), [("poweruser", "did you mean PowerUser?"), (" ", "'syncd check' lists")])
def test_what_can_be_no_type_of_licence_is_refused(name: str, hint: str) -> None:
    """A type that we know in another letter case, and an empty one."""
    assert hint in problem_of({"SYNCD_LICENCES": f'[{{"group": "G", "type": "{name}"}}]'})
