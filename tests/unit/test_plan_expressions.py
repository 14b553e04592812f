"""CEL expressions: every way to look at an attribute, what a missing value reads as, and what they may not look at."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from syncd.model.kinds import RecordKind
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


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("user.businessPhones.first()", "1"),
        ("user.otherMails.last()", None),
        ("optional.of(user.displayName)", "Ann"),
        ('user.businessPhones.first() == "1" ? "in" : "out"', "in"),
        ('"1" == user.businessPhones.first() && optional.of("x") != "y"', True),
        ('user.otherMails.first() == null && user.otherMails.first().orValue("d") == "d"', True),
        ("user.identities.first().issuer", "a"),
        ("user.identities.last().issuer == null", True),
        ('user.otherMails.first().or(user.businessPhones.last()).orValue("none")', "2"),
        ('first(user.businessPhones) + last(["x"])', "1x"),
    ],
)
def test_an_optional_is_its_value_or_null(text: str, expected: object) -> None:
    """Whatever would give an optional can be compared, and written, as the value that it holds."""
    assert find_problem(text, "user") is None
    assert Expression(text).evaluate("user", ANN) == expected


@pytest.mark.parametrize(
    ("text", "name", "expected"),
    [
        ("size(user.displayName)", "Łódź", 4),
        ("user.displayName.size() <= 4", "Łódź", True),
        ('user.displayName.split(" ").map(w, w.size())', "Żółć gęślą", [4, 5]),
        ("user.displayName.substring(0, size(user.displayName) - 1)", "Łódź", "Łód"),
        ('size(bytes(user.displayName)) - size("ż")', "ż", 1),
        ('size({"ż": 1}) + size([user.displayName])', "ż", 2),
    ],
)
def test_size_counts_characters(text: str, name: str, expected: object) -> None:
    """As every other function of texts does; of bytes it counts bytes."""
    assert Expression(text).evaluate("user", {"displayName": name}) == expected


@pytest.mark.parametrize(
    ("text", "problem", "way_out"),
    [
        ("user.displayName.lower()", "calls lower(), which does not exist", "did you mean lowerAscii()?"),
        ('user.displayName.startswith("A")', "calls startswith()", "did you mean startsWith()?"),
        ('user.mail != null || user.displayName.beginsWith("A")', "calls beginsWith()", ""),
        ('math.greates(1, 2) == 2 || user.mail == ""', "calls math.greates()", "did you mean math.greatest()?"),
        ('strtsWith(user.mail, "a")', "calls strtsWith()", "did you mean startsWith()?"),
        ('matches(user.mail, "a")', "calls matches() in a form that it does not have", "write x.matches(…)"),
        ("user.mail.string() == ''", "calls string() in a form", "write string(…)"),
        ("user.mail.substring() == ''", "calls substring() with 0 values", "it takes 1 to 2"),
        ("user.mail.trim(1) == ''", "calls trim() with 1 values", "it takes 0"),
        ("string(user.mail, 2) == ''", "calls string() with 2 values", "it takes 1"),
        ('now.getHours("Europe/Warschau") > 8', "time zone that does not exist: 'Europe/Warschau'", "Europe/Warsaw"),
        ("optional.some(user.mail) == ''", "calls optional.some()", ""),
        ("user.otherMails.exist(m, m == '')", "calls exist()", "did you mean exists()?"),
        ('now - duration("72 h") > now', 'calls duration() with "72 h", which is no duration', '"72h"'),
        ("duration('3 days') > now - now", "calls duration() with '3 days', which is no duration", "h, m and s"),
        ('timestamp("2026-02-30T00:00:00Z") < now', "which is no time", "2027-05-01T00:00:00Z"),
        ('timestamp("2026-02-03") < now', 'calls timestamp() with "2026-02-03"', "2027-05-01T00:00:00Z"),
        ('user.mail.matches("[a-z")', 'matches() with "[a-z", which is no regular expression', "correct the pattern"),
        ('user.mail.matches(r"(?<=a)b")', 'matches() with r"(?<=a)b"', "correct the pattern"),
        ('int("12a") == user.mail.size()', 'calls int() with "12a", which is no whole number', "the number itself"),
        ("user.otherMails.exists(m, m.matches('*'))", "calls matches() with '*'", "correct the pattern"),
    ],
)
def test_a_call_that_nothing_can_carry_out_is_refused(text: str, problem: str, way_out: str) -> None:
    """A misspelt function, a form that it has not, too few or too many values: before a run, not for each person."""
    found = find_problem(text, "user")
    assert found is not None
    assert problem in found[0]
    assert way_out in found[1]


def test_texts_that_a_function_can_read_are_taken() -> None:
    """In any spelling that the library reads, and whatever comes from the person."""
    for text in (
        'timestamp(user.createdDateTime) < now - duration("1h30m")',
        "user.mail.matches(r'^[a-z]+@x\\.com$') && user.department.matches(user.companyName)",
        'double("1e3") > 2.0 && timestamp("2026-05-01T00:00:00+02:00") < now',
    ):
        assert find_problem(text, "user") is None, text


def test_every_problem_of_an_expression_is_told_at_once() -> None:
    """Names, calls and properties together, each with its way out."""
    found = find_problem('user.departmnt.lower() == "x" && user.aboutMe == "y" && user.sponsors.size() > 0', "user")
    assert found is not None
    assert "calls lower(), which does not exist (did you mean lowerAscii()?)" in found[0]
    assert "uses departmnt, which Microsoft Graph v1.0 does not know (did you mean department?)" in found[0]
    for problem in ("aboutMe", "sponsors"):
        assert problem in found[0]


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ('User.mail == ""', "did you mean user?"),
        ('department == "IT"', "did you mean user.department?"),
        ("usr.mail == null", "did you mean user?"),
        ("mth.abs(1) == 1", "unknown name mth"),
        ("user.otherMails.exists(user, user == '')", "must not give to something else"),
        ("user.otherMails.exists(now, now == '')", "must not give to something else"),
        (".user.mail == ''", "unknown name .user.mail"),
    ],
)
def test_a_name_that_nothing_bears_is_refused_with_the_one_that_was_meant(text: str, hint: str) -> None:
    """Variables, forgotten ones, and names that a macro would hide."""
    found = find_problem(text, "user")
    assert found is not None
    assert hint in found[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("type(user.displayName) == string", True),
        ("type(user.mail) == null_type && type(user.businessPhones) == list", True),
        ("math.greatest(size(user.displayName), 2)", 3),
        ('base64.encode(bytes("a")) + strings.quote("b")', 'YQ=="b"'),
        ("lists.range(2).map(n, string(n)).join()", "01"),
        ("sets.contains(user.businessPhones, ['1'])", True),
    ],
)
def test_what_the_library_has_is_allowed(text: str, expected: object) -> None:
    """Names of types, and functions under the names of their libraries."""
    assert find_problem(text, "user") is None
    assert Expression(text).evaluate("user", ANN) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("user.identities.exists(i, i.issuerAssignedId == 'b')", False),
        ("user.identities.all(i, i.issuer == null || i.issuer == 'a')", True),
        ("user.identities.map(i, i.issuer)", ["a", None]),
        ("user.identities.filter(i, i.issuer == null).size()", 1),
        ("user.identities.exists_one(i, i.issuer == 'a')", True),
        ("user.identities[1].issuer", None),
        ("user.identities.exists(i, has(i.issuer) && i.issuer == 'a')", True),
        ("user.identities.filter(i, has(i.issuer)).size()", 1),
        ("user.assignedLicenses.exists(l, l.disabledPlans.exists(p, p == 'd'))", True),
        ("user.assignedLicenses.exists(l, 'd' in l.disabledPlans && l.skuId == null)", True),
        ("user.assignedLicenses.map(l, size(l.disabledPlans))", [0, 1]),
        ("[user.identities, user.identities].flatten().map(i, i.issuer)", ["a", None, "a", None]),
        ("user.customSecurityAttributes.Sets.exists(s, s.name == null)", True),
    ],
)
def test_what_an_element_of_a_list_does_not_have_is_null(text: str, expected: object) -> None:
    """As a property of the person is, whether it is left out or null; a list of an element is empty."""
    person = ANN | {
        "identities": [{"issuer": "a", "issuerAssignedId": None}, {}],
        "assignedLicenses": [{"skuId": "s"}, {"disabledPlans": ["d"]}],
        "customSecurityAttributes": {"Sets": [{}]},
    }
    assert find_problem(text, "user") is None
    assert Expression(text).evaluate("user", person) == expected


@pytest.mark.parametrize("order", [["", "abc", None], [None, "abc", ""], ["abc", None, ""]])
def test_an_element_that_fails_does_not_keep_another_one_from_deciding(order: list[str | None]) -> None:
    """Whatever the order of the elements, of nested lists too; without a decision the failure is told."""
    person = {"identities": [{"issuer": issuer} for issuer in order], "businessPhones": ["a", "x"]}

    def test(text: str) -> bool:
        return Expression(text).test("user", person)

    assert test("user.identities.exists(i, i.issuer.startsWith('a'))")
    assert not test("user.identities.all(i, i.issuer.startsWith('a'))")
    assert test("user.businessPhones.exists(p, user.identities.exists(i, i.issuer.startsWith(p)))")
    assert not test("user.identities.all(i, user.businessPhones.exists(p, i.issuer.startsWith(p)))")
    assert test("user.identities.exists(i, i.issuer.startsWith('b')) || user.businessPhones[0] == 'a'")
    with pytest.raises(ExpressionFailed):
        test("user.identities.exists(i, i.issuer.startsWith('b'))")
    with pytest.raises(ExpressionFailed):
        test("user.identities.exists(i, i.issuer)")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("user.Department", "Sales"),
        ('user["DEPARTMENT"]', "Sales"),
        ("user.Department != 'Interns' && user.department == 'Sales'", True),
        ("has(user.DEPARTMENT)", True),
        ("user.ID", "1"),
        ("user.onpremisesextensionattributes.EXTENSIONATTRIBUTE1", "clerk"),
        (f"user.{EXTENSION.upper().replace('EXTENSION', 'extension')}", "C1"),
        (f"has(user.{EXTENSION.lower()})", True),
        ("user.AccountEnabled", True),
        ("user.Identities.exists(i, i.Issuer == 'a')", True),
        ("user.customSecurityAttributes.engineering.Level", "5"),
        ("user.OtherMails.size()", 0),
    ],
)
def test_names_count_in_any_letter_case(text: str, expected: object) -> None:
    """As Graph takes them: an attribute is never null for everybody because of how it is written."""
    person = ANN | {"department": "Sales", "customSecurityAttributes": {"Engineering": {"level": "5"}}}
    assert find_problem(text, "user") is None
    assert Expression(text).evaluate("user", person) == expected


def test_an_attribute_is_asked_for_as_graph_spells_it() -> None:
    """A name that the schema does not know stays as it was written."""
    found = Expression(f"user.Department == user['MAIL'] && user.{EXTENSION} == user.brandNew").attributes["user"]
    assert found == {"department", "mail", EXTENSION, "brandNew"}


@pytest.mark.parametrize(
    ("text", "entity", "problem", "way_out"),
    [
        ("user.departmnt == ''", "user", "uses departmnt, which Microsoft Graph v1.0 does not know", "department?"),
        ("user.costCentre == ''", "user", "", ""),
        ("user.costCenter == ''", "user", "uses costCenter", "did you mean employeeOrgData.costCenter?"),
        ("user.securityEnabled", "user", "which groups have and users have not", "use an attribute of user"),
        ("group.jobTitle == ''", "group", "which users have and groups have not", "use an attribute of group"),
        ("user.employeeOrgData.costcentre == ''", "user", "looks at costcentre in employeeOrgData", "costCenter?"),
        ("user.identities.exists(i, i.isuer == '')", "user", "looks at isuer in identities", "did you mean issuer?"),
        ("user.identities[0].isuer == ''", "user", "looks at isuer in identities", "did you mean issuer?"),
        ("user.identities.issuer == ''", "user", "in identities, which is a list", "user.identities.exists("),
        ("user.mail.address == ''", "user", "looks at address in mail, which is a text", "use mail itself"),
        ("user.mail.exists(m, m == '')", "user", "in mail, which is a text", "use mail itself"),
        ("user.proxyAddresses.exists(p, p.value == '')", "user", "in proxyAddresses, which is a text", ""),
        ("user['@odata.type'] == ''", "user", "uses @odata.type, which is an annotation", "scope.agents"),
        ("user.licenseDetails.exists(l, true)", "user", "licenseDetails, which is a relation", ""),
        ("group.team == null", "group", "team, which is a relation", ""),
        ("group.hasMembersWithLicenseErrors", "group", "which Microsoft Graph never returns", ""),
        ("user.createdDateTime < now", "user", "compares user.createdDateTime, which is a text", "timestamp(user.cre"),
        ('user.createdDateTime == timestamp("2026-01-01T00:00:00Z")', "user", "with a time", "timestamp(user.created"),
        ('now - duration("9h") > user.createdDateTime', "user", "with a time", "write timestamp(user.createdDateTime)"),
    ],
)
def test_a_property_that_reads_null_for_everybody_is_refused(
    text: str, entity: RecordKind, problem: str, way_out: str
) -> None:
    """Misspelt ones, those of the other kind, relations, what is not in there; what is like nothing, Graph judges."""
    found = find_problem(text, entity)
    if not problem:
        assert found is None
        return
    assert found is not None
    assert problem in found[0]
    assert way_out in found[1]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("group.infoCatalogs.size() == 0 && size(group.infoCatalogs) == 0", True),
        ("'a' in group.infoCatalogs", False),
        ("group.resourceBehaviorOptions.join(',')", ""),
        (f"size(group.{EXTENSION}) == 0", True),
        (f"'a' in group.{EXTENSION} || group['{EXTENSION}'].exists(v, v == 'a')", False),
        (f"group.{EXTENSION} == []", True),
        (f"group.{EXTENSION} + ['a']", ["a"]),
        (f"group.{EXTENSION}.first() == null", True),
        (f"group.{EXTENSION} == null", True),
        ("group.assignedLabels.map(l, l.displayName)", []),
    ],
)
@pytest.mark.parametrize("values", [{}, {"infoCatalogs": None, EXTENSION: None}])
def test_a_list_without_a_value_is_empty(text: str, expected: object, values: dict[str, Any]) -> None:
    """By the schema; of a property that it does not know, where the expression uses it as a list."""
    assert find_problem(text, "group") is None
    assert Expression(text).evaluate("group", values) == expected


def test_a_list_inside_of_an_object_is_empty_too() -> None:
    """Whether the object is there or not."""
    expression = Expression("size(user.authorizationInfo.certificateUserIds)")
    values: list[dict[str, Any]] = [{}, {"authorizationInfo": None}, {"authorizationInfo": {}}]
    assert [expression.evaluate("user", each) for each in values] == [0, 0, 0]
    assert expression.evaluate("user", {"authorizationInfo": {"certificateUserIds": ["a"]}}) == 1


def test_the_length_of_a_text_that_is_not_there_is_no_number() -> None:
    """Of a property that is a text nothing is concluded: the person is left alone, and the attribute named."""
    with pytest.raises(ExpressionFailed, match="no value in department"):
        Expression("size(user.department) < 3").test("user", {})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("timestamp(user.employeeHireDate) <= now", True),
        ("now - timestamp(user.employeeHireDate) > duration('72h')", False),
        ("now.getFullYear()", 2026),
        ("now.getHours('Europe/Warsaw')", 1),
        ("now.getDate('-08:00')", 28),
        ("now.getDayOfWeek('UTC')", 0),
        ("now.getDayOfYear('Asia/Kolkata')", 59),
        ("string(now)", "2026-03-01T00:30:00+00:00"),
    ],
)
def test_now_is_the_time_of_the_run(text: str, expected: object) -> None:
    """In UTC, and in a time zone where one is named."""
    expression = Expression(text)
    now = datetime(2026, 3, 1, 0, 30, tzinfo=UTC)
    assert expression.uses_now
    assert find_problem(text, "user") is None
    assert expression.evaluate("user", {"employeeHireDate": "2026-02-27T00:00:00Z"}, now=now) == expected


def test_now_cannot_be_forgotten() -> None:
    """Whoever evaluates a rule over now without a time made a mistake; other rules need none."""
    with pytest.raises(ValueError, match="no time was given"):
        Expression("now > timestamp(user.createdDateTime)").evaluate("user", {})
    assert not Expression("user.mail == 'now'").uses_now
