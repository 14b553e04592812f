"""Values of kinds that do not go together: refused before a run, since a rule would be wrong for everybody."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from syncd.bootstrap.settings import read_settings
from syncd.errors import ConfigError
from syncd.model.kinds import RecordKind
from syncd.plan.cel.expressions import find_problem

ROOT = Path(__file__).resolve().parents[2]

WRONG: list[tuple[str, str, str]] = [
    # flags
    (
        'user.accountEnabled == "true"',
        "user.accountEnabled, which is true or false, with a text",
        "user.accountEnabled == true",
    ),
    (
        "'False' != user.accountenabled",
        "user.accountEnabled, which is true or false, with a text",
        "user.accountEnabled != false",
    ),
    ("user.accountEnabled == 1", "which is true or false, with a number", "compare it with true or false"),
    (
        "group.securityEnabled == 'yes'",
        "group.securityEnabled, which is true or false",
        "compare it with true or false",
    ),
    ("user.accountEnabled in ['true']", "looks for user.accountEnabled, which is true or false", ""),
    ("user.accountEnabled.startsWith('t')", "calls startsWith() on user.accountEnabled", "string(user.accountEnabled)"),
    # lists
    (
        'group.groupTypes == "Unified"',
        "group.groupTypes, which is a list of texts, with a text",
        '"Unified" in group.groupTypes',
    ),
    ('group.groupTypes != "Unified"', "group.groupTypes, which is a list of texts", '!("Unified" in group.groupTypes)'),
    ('"Unified" == group["groupTypes"]', "group.groupTypes, which is a list of texts", '"Unified" in group.groupTypes'),
    ("group.groupTypes == 1", "which is a list of texts, with a number", "size(group.groupTypes) == 1"),
    ("user.otherMails > 0", "which is a list of texts, with a number", "size(user.otherMails) > 0"),
    ("0 < user.otherMails", "which is a list of texts, with a number", "size(user.otherMails) > 0"),
    (
        'user.identities == "a"',
        "user.identities, which is a list of objects, with a text",
        "user.identities.exists(e, e.issuer",
    ),
    (
        '"a" in user.identities',
        'looks for "a", which is a text, in user.identities',
        "user.identities.exists(e, e.issuer",
    ),
    (
        'group.groupTypes in ["Unified"]',
        "looks for group.groupTypes, which is a list",
        'group.groupTypes.exists(e, e in ["Unified"])',
    ),
    ("group.groupTypes < ['b']", "compares group.groupTypes by <, and a list of texts has no order", ""),
    ("group.groupTypes == [1]", "group.groupTypes, which is a list of texts, with a list of numbers", ""),
    ("3 in group.groupTypes", "looks for 3, which is a number, in group.groupTypes", ""),
    (
        "group.groupTypes.startsWith('U')",
        "calls startsWith() on group.groupTypes, which is a list of texts",
        "group.groupTypes.exists(e, e.startsWith(",
    ),
    ("group.groupTypes.contains(3)", "looks for 3, which is a number, in group.groupTypes", ""),
    ("lowerAscii(user.otherMails) == ''", "calls lowerAscii() on user.otherMails", "user.otherMails.first()"),
    ("group.groupTypes.exists(t, t == 3)", "compares t, which is a text, with a number", 't == "3"'),
    ("user.otherMails[0] == 3", "compares user.otherMails[0], which is a text, with a number", ""),
    ("user.otherMails.first() == true", "compares user.otherMails.first(), which is a text, with true or false", ""),
    ("user.otherMails.filter(m, m.size()) == []", "uses m.size(), which is a number, as a condition", "m.size() > 0"),
    (
        "user.businessPhones.map(p, p.size()).exists(n, n == '3')",
        "compares n, which is a number, with a text",
        "n == 3",
    ),
    (
        "user.authorizationInfo.certificateUserIds == 'a'",
        "user.authorizationInfo.certificateUserIds, which is a list",
        "'a' in ",
    ),
    ("sets.contains(user.otherMails, 'a')", "calls sets.contains() with 'a', which is a text", ""),
    # texts
    ("user.department == 3", "user.department, which is a text, with a number", 'user.department == "3"'),
    ("user.employeeId < 1000", "user.employeeId, which is a text, with a number", 'user.employeeId < "1000"'),
    ("1000 > user.employeeId", "user.employeeId, which is a text, with a number", 'user.employeeId < "1000"'),
    (
        "user.employeeOrgData.costCenter == -3",
        "user.employeeOrgData.costCenter, which is a text, with a number",
        '"-3"',
    ),
    ("user.userType == true", "user.userType, which is a text, with true or false", 'user.userType == "true"'),
    (
        "user.department == ['IT']",
        "user.department, which is a text, with a list of texts",
        "user.department in ['IT']",
    ),
    (
        "user.department != ['IT']",
        "user.department, which is a text, with a list of texts",
        "!(user.department in ['IT'])",
    ),
    ("user.department in [1, 2]", "looks for user.department, which is a text, in a list with a number", "as texts"),
    (
        "user.department in 'IT,HR'",
        "looks for user.department in 'IT,HR', which is a text",
        "'IT,HR'.contains(user.department)",
    ),
    ("'x' in user.department", "looks for 'x' in user.department, which is a text", "user.department.contains('x')"),
    ("user.department in true", "which is true or false and no list", "name a list"),
    ("user.department.startsWith(3)", "calls startsWith() with 3, which is a number", 'write "3"'),
    ("user.department.matches(user.otherMails)", "calls matches() with user.otherMails, which is a list", ""),
    ("user.department.contains(3)", "calls contains() with 3, which is a number", 'write "3"'),
    ("user.department.substring('1') == ''", "calls substring() with '1', which is a text", "it takes a number"),
    ("user.department + 3 == ''", "joins user.department, which is a text, and 3, which is a number", "string(3)"),
    ("user.department - 'x' == ''", "subtracts user.department", ""),
    ("user.department * 2 == 4", "reckons by * with user.department, which is a text", ""),
    ("[user.mail, user.displayName].exists(v, v == 3)", "compares v, which is a text, with a number", ""),
    ("(user.mail) == (3)", "user.mail, which is a text, with a number", ""),
    # numbers and what functions give
    (
        "size(user.displayName) == '3'",
        "size(user.displayName), which is a number, with a text",
        "size(user.displayName) == 3",
    ),
    ("size(user.accountEnabled) == 1", "calls size() on user.accountEnabled", ""),
    ("user.mail.startsWith('a') == 'true'", "which is true or false, with a text", "user.mail.startsWith('a') == true"),
    (
        "user.mail.split('@') == 'a'",
        "user.mail.split('@'), which is a list of texts, with a text",
        "'a' in user.mail.split('@')",
    ),
    ("1 == '1'", "compares", ""),
    # times
    (
        "user.createdDateTime < now",
        "compares user.createdDateTime, which is a text, with a time",
        "timestamp(user.createdDateTime)",
    ),
    (
        "user.createdDateTime < (now - duration('72h'))",
        "user.createdDateTime, which is a text, with a time",
        "timestamp(user.createdDateTime)",
    ),
    (
        "user.createdDateTime + duration('72h') < now",
        "reckons with user.createdDateTime",
        "timestamp(user.createdDateTime)",
    ),
    (
        "now - user.createdDateTime > duration('72h')",
        "reckons with user.createdDateTime",
        "timestamp(user.createdDateTime)",
    ),
    ("now > '2026-01-01T00:00:00Z'", "compares now, which is a time, with a text", "timestamp('2026-01-01T00:00:00Z')"),
    ("now.getFullYear() == '2026'", "now.getFullYear(), which is a number, with a text", "now.getFullYear() == 2026"),
    (
        "user.employeeHireDate.getFullYear() == 2026",
        "calls getFullYear() on user.employeeHireDate",
        "timestamp(user.employeeHireDate)",
    ),
    ("now - timestamp(user.employeeHireDate) > 3", "which is a duration, with a number", ""),
    ("user.mail > null", "user.mail by > with null, and null has no order", "== null"),
    # conditions
    ("user.department && true", "uses user.department, which is a text, as a condition", 'user.department == "…"'),
    (
        "!group.groupTypes",
        "uses group.groupTypes, which is a list of texts, as a condition",
        "size(group.groupTypes) > 0",
    ),
    ("user.department ? true : false", "uses user.department, which is a text, as a condition", ""),
    ("(user.mail == null ? user.displayName : user.mail) == 3", "which is a text, with a number", ""),
    ("(user.mail == null ? null : user.mail) == true", "which is a text, with true or false", ""),
    ("user.department", "uses user.department, which is a text, as a condition", ""),
    (
        "size(user.otherMails)",
        "uses size(user.otherMails), which is a number, as a condition",
        "size(user.otherMails) > 0",
    ),
]

RIGHT_CONDITIONS = """
user.department in ["IT", 3]
user.accountEnabled in ["yes", true]
user.accountEnabled
!user.accountEnabled
user.accountEnabled == true && user.userType == "Member"
user.accountEnabled != false || user.accountEnabled == null
user.department == null || user.department != "3"
user.otherMails != null && user.otherMails.exists(m, m == "a")
"Unified" in group.groupTypes
!("Unified" in group.groupTypes) && group.securityEnabled
group.groupTypes == ["Unified"] || group.groupTypes == []
[] == group.groupTypes
group.groupTypes.contains("Unified")
group.groupTypes.exists(t, t in ["Unified", "DynamicMembership"])
size(group.groupTypes) == 0 && group.groupTypes.size() < 1
user.department in ["IT", "HR", null]
user.department in [user.companyName, user.extension_0123456789abcdef0123456789abcdef_unit]
user.extension_0123456789abcdef0123456789abcdef_level == 3
user.extension_0123456789abcdef0123456789abcdef_level == "3"
user.extension_0123456789abcdef0123456789abcdef_flags.exists(f, f == true)
3 in user.extension_0123456789abcdef0123456789abcdef_levels
user.customSecurityAttributes.Engineering.Level == 5
user.customSecurityAttributes.Engineering.Certified == true
user.customSecurityAttributes.Engineering.Projects.exists(p, p == "Baker")
dyn(user.department) == 3
user.onPremisesExtensionAttributes.extensionAttribute1 == "3"
user.onPremisesExtensionAttributes == null
user.identities.exists(i, i.signInType == "federated" && i.issuer != null)
user.assignedLicenses.exists(l, l.skuId == "a" && "b" in l.disabledPlans)
user.assignedPlans.exists(p, timestamp(p.assignedDateTime) < now)
user.identities[0].issuer == "x"
user.identities.filter(i, i.issuer == "x").size() > 0
user.businessPhones.map(p, p.size()).exists(n, n > 3)
user.businessPhones.map(p, p.startsWith("+"), p.substring(1))[0] == "48"
user.businessPhones[0].startsWith("+48") && size(user.businessPhones[0]) >= 9
user.businessPhones.first() == "1" || user.businessPhones.last() == null
user.mail.lowerAscii().endsWith("@example.com")
user.mail.split("@")[1] in ["a.example", "b.example"]
user.displayName.matches("^A.*") && user.displayName.contains("n")
user.displayName < "M" && "A" <= user.displayName
user.createdDateTime > "2024-01-01T00:00:00Z"
user.createdDateTime < string(now)
timestamp(user.createdDateTime) > timestamp("2024-01-01T00:00:00Z")
now - timestamp(user.employeeHireDate) > duration("72h")
timestamp(user.employeeHireDate) - duration("72h") <= now
duration("1h") + duration("2h") < now - timestamp(user.createdDateTime)
now.getFullYear() == 2026 && now.getHours("Europe/Warsaw") in [7, 8]
timestamp(user.employeeHireDate).getMonth() == 2
int(user.employeeId) > 1000 && int(user.employeeId) % 2 == 0
double(user.employeeId) * 1.5 > 3
size(user.displayName) > 1.5 && 1u == 1
-size(user.displayName) < -(3)
string(user.accountEnabled) == "true"
bool("true") == user.accountEnabled
(user.mail == null ? user.userPrincipalName : user.mail).endsWith("x")
(user.mail == null ? 0 : size(user.mail)) > 3
(has(user.mail) ? user.mail : null) == null
user.mail != null ? user.mail == "a" : user.accountEnabled
has(user.department) && has(user.employeeOrgData.costCenter)
type(user.otherMails) == list && type(user.mail) == type("")
type(user.mail) != null_type
{"IT": "a", "HR": "b"}[user.department] == "a"
user.department in {"IT": 1, "HR": 2}
{"a": 1} == {"a": 1}
[1, "a"].exists(x, x == user.department)
["a", "b"].exists(x, x == user.department)
[[1], [2]].exists(x, x == [1])
sets.intersects(user.otherMails, ["a"]) && sets.contains(["a"], user.otherMails)
math.greatest(size(user.mail), 3) == 3 && math.abs(-1) == 1
optional.of(user.department).orValue("none") == "none"
user.otherMails.first().orValue("none") != "none"
(user.otherMails + user.proxyAddresses).exists(a, a == "x")
user.otherMails.distinct().sort().reverse()[0] == "a"
user.otherMails.join(",") == "a,b" && user.displayName.join() == "x"
user.displayName.first() == "A" && user.displayName.reverse() == "nnA"
lists.range(3).exists(n, n == 2)
lists.range(size(user.otherMails)).all(n, user.otherMails[n] != "")
b"a" == b"a" && bytes(user.mail) == b"x"
r"a\\d" == user.mail
true ? true : false
1 < 2 == true
user.mail.size() == user.displayName.size()
"a" + "b" == user.mail && user.mail + user.displayName != ""
user.officeLocation.charAt(0) == "1" && user.officeLocation.indexOf("x") != -1
user.officeLocation.replace(" ", "", 1).trim() == "1"
max([1, 2]) == 2 && [1, 2].sum() == 3
[user.identities, user.identities].flatten().exists(i, i.issuer == "a")
user.newerThanTheTable == 3
user.newerThanTheTable.exists(x, x > 3)
user.licenseAssignments == "x"
""".strip().splitlines()
RIGHT_VALUES = """
user.displayName
size(user.displayName)
user.accountEnabled
user.businessPhones
user.accountEnabled ? "yes" : 3
user.department == "IT" ? "IT" : user.jobTitle
string(timestamp(user.employeeHireDate))
user.identities[0].issuer
user.customSecurityAttributes.Engineering
[user.givenName, user.surname].filter(n, n != null).join(" ")
group.id + "@groups.example.com"
""".strip().splitlines()


def entity_of(text: str) -> RecordKind:
    """Return which of the two an expression looks at."""
    return "group" if "group." in text or "group[" in text else "user"


@pytest.mark.parametrize(("text", "problem", "remedy"), WRONG, ids=[text for text, _, _ in WRONG])
def test_kinds_that_do_not_go_together_are_refused_with_the_way_out(text: str, problem: str, remedy: str) -> None:
    """The property, what it is, with what it stands, and what to write."""
    found = find_problem(text, entity_of(text), "condition")
    assert found is not None
    assert problem in found[0]
    assert remedy in f"{found[0]} {found[1]}"


@pytest.mark.parametrize("text", RIGHT_CONDITIONS)
def test_a_right_condition_is_taken(text: str) -> None:
    """Nothing is refused on a guess."""
    assert find_problem(text, entity_of(text), "condition") is None


@pytest.mark.parametrize("text", RIGHT_VALUES)
def test_a_right_value_is_taken(text: str) -> None:
    """A field takes a text, a number, a flag, the first one of a list, and what is not known beforehand."""
    assert find_problem(text, entity_of(text), "value") is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("now", "gives a time"),
        ("now - timestamp(user.createdDateTime)", "gives a duration"),
        ("bytes(user.mail)", "gives bytes"),
        ("{'a': user.mail}", "gives an object"),
    ],
)
def test_a_value_that_no_field_can_take_is_refused(text: str, problem: str) -> None:
    """It would skip everybody."""
    found = find_problem(text, "user")
    assert found is not None
    assert problem in found[0]


@pytest.mark.parametrize("text", [text for text, _, _ in WRONG])
def test_each_way_out_is_a_right_expression(text: str) -> None:
    """Whatever "write …" spells out goes through the same check."""
    found = find_problem(text, entity_of(text), "condition")
    assert found is not None
    written = re.search(r"write (.+)$", found[1])
    if written is not None and re.search(r"…| or |^the values|\b[mnvt]\b", written[1]) is None:
        again = find_problem(written[1], entity_of(text), "value")
        assert again is None or again[0].startswith("gives a time")


def list_documented() -> Iterator[tuple[str, str, str]]:
    """Return every rule that documentation, examples and imitations show, with its place and key."""
    pattern = re.compile(r"""((?:scope\.)?(?:users|groups)|(?:user|group)\.\w+) = '([^'\n]+)'|SYNCD_\w+='([^'\n]+)'""")
    for path in sorted([*ROOT.glob("docs/**/*.md"), *ROOT.glob("deploy/**/*.toml"), ROOT / "README.md"]):
        for match in pattern.finditer(path.read_text(encoding="utf-8")):
            text = (match[2] or match[3]).replace('\\"', '"')
            if re.search(r"\b(user|group)[.\[]", text):
                yield str(path.relative_to(ROOT)), match[1] or match[0].partition("=")[0], text


NO_RULES = ("user.foo", "user.department")
"""Rules that a page shows since they are refused."""
DOCUMENTED = [each for each in list_documented() if not each[2].startswith(NO_RULES[0]) and each[2] != NO_RULES[1]]


@pytest.mark.parametrize(("place", "key", "text"), DOCUMENTED)
def test_every_rule_that_is_shown_is_taken(place: str, key: str, text: str) -> None:
    """In documentation and examples, for what the key is for."""
    condition = key in ("users", "groups") or "SCOPE" in key
    assert find_problem(text, entity_of(text), "condition" if condition else "value") is None, place


TABLE = (ROOT / "docs/reference/rules.md").read_text(encoding="utf-8").partition("### Kinds that do not go together")[2]
SHOWN = re.findall(r"^\| (`.+) \| .+? \| (`.+) \|$", TABLE.partition("###")[0], re.MULTILINE)


@pytest.mark.parametrize(("refused", "instead"), SHOWN)
def test_the_table_of_the_documentation_is_as_told(refused: str, instead: str) -> None:
    """What it calls refused is, and what it writes instead is not."""
    for text in re.findall(r"`([^`…]+)`", refused):
        rule = text.removeprefix("users = '").removesuffix("'")
        assert find_problem(rule, entity_of(rule), "condition") is not None
    for text in re.findall(r"`([^`]+)`", instead):
        assert find_problem(text, entity_of(text), "condition") is None


@pytest.mark.parametrize(
    "text", ['user in ["a"]', "user in [user.mail]", 'group in ["a"]', '["a"] == [user]', "[user] == [1]"]
)
def test_a_user_or_group_as_a_whole_is_left_to_the_sentence_about_that(text: str, tmp_path: Path) -> None:
    """The configuration is refused because of that, and nothing else is said of it."""
    entity = "group" if "group" in text else "user"
    file = tmp_path / "syncd.toml"
    file.write_text(f"[scope]\n{entity}s = '{text}'\n")
    with pytest.raises(ConfigError, match=f"looks at {entity} as a whole"):
        read_settings(file, {}, need=frozenset())


def test_rules_are_shown_at_all() -> None:
    """The search above finds them."""
    assert len(DOCUMENTED) > 15
    assert len(SHOWN) == 8


def test_the_refusal_names_key_expression_property_kind_and_way_out(tmp_path: Path) -> None:
    """As it stands in the terminal, all of it at once."""
    file = tmp_path / "syncd.toml"
    file.write_text(
        """[scope]
users = 'user.accountEnabled == "true"'
groups = 'group.groupTypes == "Unified"'
[mapping]
user.job_title = 'user.department == 3 ? "a" : "b"'
"""
    )
    with pytest.raises(ConfigError) as refused:
        read_settings(file, {}, need=frozenset())
    told = "\n".join(refused.value.problems)
    for part in (
        "scope.users: compares user.accountEnabled, which is true or false, with a text",
        """(value 'user.accountEnabled == "true"'); write user.accountEnabled == true""",
        """scope.groups: compares group.groupTypes, which is a list of texts, with a text""",
        """write "Unified" in group.groupTypes""",
        "mapping.user.job_title: compares user.department, which is a text, with a number",
    ):
        assert part in told
