"""A gateway or a firewall before the portal, in runs: what it minds fails alone, and it accuses nobody."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from syncd.http import MOST_REQUESTS
from syncd.sandbox.wire.faults import Fault
from syncd.store.inventory.foreign_sync import load_blocked
from syncd.store.reports.status import Report
from tests.contract.office import Office

PAGE = b"<html><head><title>Blocked</title></head><body>Request rejected, id 4711</body></html>"

pytestmark = pytest.mark.parametrize("office", [{}], indirect=True)


def mind(office: Office, **fault: object) -> Fault:
    """Let a gateway refuse some requests with a page, for ever."""
    values: dict[str, object] = {"status": 403, "body": PAGE, "content_type": "text/html", "count": -1}
    return office.wire.faults.add(Fault("status", **{**values, **fault}))  # type: ignore[arg-type]


def find_reasons(office: Office) -> dict[str, str]:
    """Return why people fail."""
    lines = Report(office.database, office.rules.policy).iterate("user")
    return {str(line.source_id): line.reason for line in lines if line.state == "failing"}


async def test_one_persons_values_fail_that_person_only(office: Office) -> None:
    """The firewall takes a job title for an attack; everybody else comes in, and the run goes to its end."""
    office.hire("eve", group="g", jobTitle="'; DROP TABLE users; --")
    for number in range(20):
        office.hire(f"m{number:02}", group="g")
    fault = mind(office, holding="DROP TABLE")
    run = await office.sync("full")
    assert run.status == "partial", run.error
    assert len(office.members("g@grp")) == 23
    reasons = find_reasons(office)
    assert set(reasons) == {"eve"}
    assert "a web page of a gateway" in reasons["eve"]
    assert "scope" not in f"{reasons} {run.error}"
    assert fault.hits > 0
    office.source.put_user("eve", jobTitle="Analyst")
    office.clock.elapsed += 600.0
    assert (await office.sync()).status == "succeeded"
    assert "eve@x.com" in office.members("g@grp")


async def test_a_department_that_a_firewall_minds_does_not_stop_the_others(office: Office) -> None:
    """Forty of them in a row: no sign that the portal is down, and no missing scope."""
    for number in range(40):
        office.hire(f"a{number:02}", group="g", jobTitle="SELECT analyst")
    office.hire("zoe", group="g")
    mind(office, holding="SELECT")
    run = await office.sync("full")
    assert run.status == "partial", run.error
    assert "zoe@x.com" in office.members("g@grp")
    assert {"ann@x.com", "ben@x.com", "cleo@x.com"} <= office.members("g@grp")


async def test_a_method_that_is_not_let_through_stops_nothing_else(office: Office) -> None:
    """PATCH and DELETE are refused with 405; memberships go on, nobody is accused, and the run says it once."""
    await office.sync("full")
    for number in range(100):
        office.hire(f"m{number:03}", group="h")
    await office.sync()
    for number in range(100):
        office.source.put_user(f"m{number:03}", jobTitle="Clerk")
    office.source.unlink("g", "cleo")
    office.source.link("g", "dora")
    office.source.put_user("dora", accountEnabled=False)
    office.clock.elapsed += 600.0
    mind(office, method="PATCH|DELETE", status=405)
    run = await office.sync()
    assert run.status == "partial", run.error
    assert "something before the portal does not let PATCH through" in run.error
    assert office.members("g@grp") == {"ann@x.com", "ben@x.com"}
    assert "dora@x.com" not in office.members("h@grp")
    refused = [entry for entry in office.wire.ledger.entries if (entry.method, entry.status) == ("PATCH", 405)]
    assert 32 <= len(refused) <= 32 + MOST_REQUESTS  # those that were under way, too
    assert run.error.count("does not let PATCH through") == 1
    assert load_blocked(office.database).describe() == ""
    assert "another maker" not in f"{find_reasons(office)} {run.error}"
    office.wire.faults.clear()
    office.clock.elapsed += 86_400.0
    assert (await office.sync()).status == "succeeded"


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "InvalidInput"),
        (403, "InsufficientAccountPermissions"),
        (404, "ResourceNotFound"),
        (405, "UnsupportedOperation"),
        (409, "ValidationError"),
        (423, "ResourceIsLocked"),
        (500, "InternalError"),
    ],
)
async def test_every_kind_of_refusal_of_adopted_records_is_a_sign_of_another_maker(
    office: Office, status: int, code: str
) -> None:
    """The portal lists them, and takes no change to them; what syncd made itself is none of it."""
    office.rules = replace(office.rules, limits=replace(office.rules.limits, max_adoptions=None))
    for name in ("hal", "ida"):
        office.wire.add_account(f"{name}@x.com", origin="local", name="Somebody else")
        office.hire(name, group="g")
    body = json.dumps({"type": code, "description": "Not possible", "errorGuid": "1"}).encode()
    mind(
        office,
        method="PATCH",
        path=r"bpsId=(hal|ida|ben)",
        status=status,
        body=body,
        content_type="application/json",
    )
    await office.sync("full")
    office.source.put_user("ben", jobTitle="Chief")
    assert load_blocked(office.database).describe() == "" or status == 405
    for _ in range(2):
        office.clock.elapsed += 86_400.0
        await office.sync("full")
    blocked = load_blocked(office.database)
    others = {"ben@x.com"} if status == 405 else set()
    assert set(blocked.examples) == {"hal@x.com", "ida@x.com"} | others
    said = blocked.describe()
    assert "of another maker (such as " in said
    assert code in said or status == 405
    office.wire.faults.clear()
    office.clock.elapsed += 86_400.0
    assert (await office.sync("full")).status == "succeeded"
    assert load_blocked(office.database).describe() == ""


@pytest.mark.parametrize("status", [403, 404, 405, 409])
async def test_what_a_gateway_says_of_adopted_records_is_no_sign(office: Office, status: int) -> None:
    """Its pages are nobody's word on who made a record."""
    office.rules = replace(office.rules, limits=replace(office.rules.limits, max_adoptions=None))
    office.wire.add_account("hal@x.com", origin="local", name="Somebody else")
    office.hire("hal", group="g")
    mind(office, method="PATCH", path="bpsId=hal", status=status)
    for _ in range(3):
        await office.sync("full")
        office.clock.elapsed += 86_400.0
    assert "hal" in find_reasons(office)
    assert load_blocked(office.database).describe() == ""
