"""What the check finds out about a tenant: permissions tried, missing and needless ones, hidden groups, clock."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import stamina

from syncd.graph.checks.probe import probe
from syncd.graph.permissions import Claims, find_missing, find_needless, read_claims
from syncd.sandbox.wire.faults import Fault
from tests.fakes.tenant import READING, Tenant, make_error

LEAST = frozenset({"User.Read.All", "GroupMember.Read.All"})


def make_tenant(**changes: Any) -> Tenant:
    """Return a tenant with one person in one group."""
    tenant = Tenant(**changes)
    tenant.directory.hire("Ann", "ann@nordwind.example", user_id="a")
    tenant.directory.create_group({"displayName": "Sales"}, group_id="g", members=["a"])
    return tenant


def hide(tenant: Tenant, group_id: str, *members: str) -> None:
    """Found a group that hides its members."""
    properties = {"displayName": f"Secret {group_id}", "visibility": "HiddenMembership"}
    tenant.directory.create_group(properties, group_id=group_id, members=members)


async def find(tenant: Tenant, **options: Any) -> dict[str, tuple[str, str]]:
    """Return the findings: status and what is said."""
    with stamina.set_testing(True, attempts=2):
        found = await probe(tenant.open_client(**options), tenant.clock)
    return {one.check: (one.status, f"{one.detail}|{one.remedy}") for one in found}


async def test_a_healthy_tenant_is_all_ok() -> None:
    """Everything is tried by reading, and nothing of people is fetched."""
    tenant = make_tenant(roles=LEAST)
    found = await find(tenant, user_attributes=("department",))
    names = "token roles needless users groups properties counts members hidden links units clock"
    assert {check: status for check, (status, _) in found.items()} == {f"graph.{n}": "ok" for n in names.split()}
    proofs = "mail,onPremisesImmutableId,onPremisesSecurityIdentifier"
    selected = f"accountEnabled,department,displayName,employeeId,{proofs},userPrincipalName,userType,manager"
    assert tenant.ledger.entries[0].target == f"/v1.0/users/delta?$deltatoken=latest&$select=id,{selected}"
    assert {entry.method for entry in tenant.ledger.entries} == {"GET"}
    assert "1 users and 1 groups" in found["graph.counts"][1]


@pytest.mark.parametrize(
    ("kept", "missing", "failed"),
    [
        ({"User.Read.All"}, "GroupMember.Read.All", {"graph.roles", "graph.groups", "graph.counts", "graph.members"}),
        ({"GroupMember.Read.All"}, "User.Read.All", {"graph.roles", "graph.users", "graph.counts"}),
    ],
)
async def test_a_missing_permission_is_found_by_trying(kept: set[str], missing: str, failed: set[str]) -> None:
    """The refused read fails with the permission's name, the token's roles agree, the others are still tried."""
    found = await find(make_tenant(roles=frozenset(kept)))
    assert {check for check, (status, _) in found.items() if status == "failed"} == failed
    for check in failed - {"graph.counts"}:
        assert missing in found[check][1]


@pytest.mark.parametrize(
    ("roles", "needless"),
    [
        (READING, ()),
        ({"Directory.Read.All"}, ()),
        ({*LEAST, "User.Export.All"}, ("User.Export.All",)),
        ({*LEAST, "Mail.Read"}, ("Mail.Read",)),
        ({*LEAST, "Directory.Read.All", "Group.Read.All"}, ("Directory.Read.All", "Group.Read.All")),
        ({"User.Read.All", "Group.Read.All"}, ()),
        ({"Directory.ReadWrite.All"}, ("Directory.ReadWrite.All",)),
        ({*LEAST, "GroupMember.ReadWrite.All"}, ("GroupMember.ReadWrite.All",)),
    ],
)
async def test_needless_permissions_are_named(roles: set[str], needless: tuple[str, ...]) -> None:
    """syncd never writes to the tenant, and nothing more than reading people and memberships is wanted."""
    assert find_needless(roles, sorted(LEAST)) == needless
    status, said = (await find(make_tenant(roles=frozenset(roles))))["graph.needless"]
    assert status == ("warning" if needless else "ok")
    assert all(role in said for role in needless)


async def test_delegated_scopes_are_warned_about() -> None:
    """A token with both kinds of permissions allows what both allow, which nobody wants."""
    found = await find(make_tenant(scopes="User.Read Mail.Send"))
    assert found["graph.needless"][0] == "warning"
    assert "Mail.Send" in found["graph.needless"][1]


async def test_a_token_may_be_opaque() -> None:
    """What cannot be looked into is unknown; the trials tell all the same."""
    found = await find(make_tenant(opaque=True))
    assert (found["graph.roles"][0], found["graph.needless"][0]) == ("unknown", "unknown")
    assert found["graph.users"][0] == found["graph.members"][0] == "ok"
    assert read_claims("a.%%%.c") is None
    assert read_claims("opaque") is None
    assert find_missing(["Directory.Read.All"], sorted(LEAST)) == ()


async def test_a_role_that_is_not_listed_but_works_is_a_warning() -> None:
    """A working request beats the text of the token."""
    tenant = make_tenant()
    issue = tenant.book.issue
    tenant.book.issue = lambda grant, claims: issue(grant, {**claims, "roles": ["User.Read.All"]})
    assert (await find(tenant))["graph.roles"][0] == "warning"


async def test_a_property_with_a_permission_of_its_own_is_counted() -> None:
    """Who maps the leave date needs the permission for it."""
    found = await find(make_tenant(roles=LEAST), user_attributes=("employeeLeaveDateTime",))
    assert "User-LifeCycleInfo.Read.All" in found["graph.roles"][1]


async def test_a_property_that_cannot_be_tracked_is_told_from_a_missing_permission() -> None:
    """The stream is readable; the property in the mapping is what each run would fail with."""
    found = await find(make_tenant(), user_attributes=("displyName",), group_attributes=("isArchived",))
    assert found["graph.users"][0] == found["graph.groups"][0] == "ok"
    assert found["graph.properties"][0] == "failed"
    assert "displyName" in found["graph.properties"][1]
    assert "isArchived" in found["graph.properties"][1]


@pytest.mark.parametrize("way", ["empty", "forbidden"])
@pytest.mark.parametrize(
    ("roles", "opaque", "expected"),
    [(READING, False, "ok"), (LEAST, False, "warning"), (LEAST, True, "doubtful"), (READING, True, "ok")],
)
async def test_groups_whose_members_are_hidden_from_us_are_named(
    way: str, roles: frozenset[str], opaque: bool, expected: str
) -> None:
    """By name and id, whether Graph refuses the list or shows it empty; an opaque token leaves an empty one open."""
    tenant = make_tenant(roles=roles, opaque=opaque)
    tenant.knobs.hidden_membership = way  # type: ignore[assignment]
    hide(tenant, "h1", "a")
    status, said = (await find(tenant))["graph.hidden"]
    assert status == {"doubtful": "unknown" if way == "empty" else "warning"}.get(expected, expected)
    if status != "ok":
        assert "Secret h1 (h1)" in said
        assert "Member.Read.Hidden" in said


async def test_an_empty_hidden_group_is_no_worry_with_the_permission() -> None:
    """Nobody in it, and we may see that."""
    tenant = make_tenant()
    hide(tenant, "h1")
    assert (await find(tenant))["graph.hidden"][0] == "ok"


async def test_many_groups_are_listed_page_by_page() -> None:
    """A hidden one far behind is found; not all are named."""
    tenant = make_tenant(roles=LEAST)
    for number in range(1005):
        tenant.directory.create_group({"displayName": "x"}, group_id=f"x{number}")
    for number in range(30):
        hide(tenant, f"h{number:02}", "a")
    status, said = (await find(tenant))["graph.hidden"]
    assert status == "warning"
    assert "30 groups hide their members, of which 20 were tried" in said
    assert "Secret h04 (h04) and 15 more" in said


async def test_of_many_hidden_groups_that_can_be_read_it_is_said_how_many_were_tried() -> None:
    """Twenty requests are enough for a check, and nothing is said of the others."""
    tenant = make_tenant(roles=LEAST | {"Member.Read.Hidden"})
    for number in range(30):
        hide(tenant, f"h{number:02}", "a")
    status, said = (await find(tenant))["graph.hidden"]
    assert (status, said) == ("ok", "30 groups hide their members; 20 of them were tried, and these can be read|")


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("syncStateNotFound", "400 syncStateNotFound: such an answer leads to one full pull"),
        ("Request_BadRequest", "400 Request_BadRequest, which may mean the query as well"),
        ("Request_BrandNew", "400 Request_BrandNew, which may mean the query as well"),
    ],
)
async def test_how_a_link_that_is_none_is_refused_is_found_out(code: str, said: str) -> None:
    """No text of Microsoft's says it, and a run does right with any of them."""
    tenant = make_tenant()
    tenant.knobs.corrupt_token_code = code
    found = (await find(tenant))["graph.links"]
    assert found[0] == "ok"
    assert said in found[1]


async def test_a_link_that_cannot_be_tried_is_unknown() -> None:
    """Being refused as a whole, or answered in spite of it, says nothing about links."""
    tenant = make_tenant()
    tenant.faults.add(Fault("status", path="follows-no-link", status=503, count=-1))
    assert (await find(tenant))["graph.links"][0] == "unknown"
    tenant.faults.clear()
    body = b'{"value": [], "@odata.deltaLink": "https://graph/"}'
    tenant.faults.add(Fault("status", path="follows-no-link", status=200, body=body, count=-1))
    assert (await find(tenant))["graph.links"][0] == "unknown"


async def test_whether_prices_are_told_is_found_out() -> None:
    """By the very requests that read changes."""
    tenant = make_tenant()
    assert "tells what a request costs" in (await find(tenant))["graph.units"][1]
    answer = b'{"value": [], "@odata.deltaLink": "https://graph.microsoft.com/v1.0/users/delta?$deltatoken=x"}'
    tenant.faults.add(Fault("status", path="deltatoken=latest", status=200, body=answer, count=-1))
    assert "does not tell" in (await find(tenant))["graph.units"][1]


async def test_a_wrong_clock_is_warned_about() -> None:
    """The Date header of Graph tells how far this machine is off."""
    found = await find(make_tenant(ahead=timedelta(seconds=-300)))
    assert found["graph.clock"][0] == "warning"
    assert "300 s ahead of" in found["graph.clock"][1]


async def test_without_counts_a_full_read_has_no_proof() -> None:
    """That is worth a word before the first night."""
    tenant = make_tenant()
    body = make_error("Request_BadRequest", "$count is not currently supported.")
    tenant.faults.add(Fault("status", path=r"count", status=400, body=body, count=-1))
    status, said = (await find(tenant))["graph.counts"]
    assert status == "failed"
    assert "removes nobody" in said


async def test_being_throttled_is_no_finding() -> None:
    """What could not be tried is unknown, not failed."""
    tenant = make_tenant()
    tenant.faults.add(Fault("status", path="groups/delta", status=429, headers={"Retry-After": "3600"}, count=-1))
    assert (await find(tenant))["graph.groups"][0] == "unknown"


def test_claims_are_read_with_care() -> None:
    """Whatever is in a token, reading it raises nothing."""
    assert read_claims("e30.e30.x") == Claims(frozenset(), frozenset())
    assert read_claims("a.eyJyb2xlcyI6MX0.x") is None
    assert read_claims("a.W10.x") is None
