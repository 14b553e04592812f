"""Whatever goes wrong with any write, before it took effect or after: no duplicate, no lost write, nothing foreign.

Each kind of trouble strikes every kind of write once, in the runs of a company that joins, is renamed and leaves.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest

from syncd.sandbox.wire.faults import Fault
from syncd.sandbox.wire.http import Answer
from syncd.store.reports.status import Report
from tests.contract.office import DAY, Office

MAINTENANCE = b"<!DOCTYPE html><html><body><h1>Service Unavailable</h1></body></html>"
WRITES = (
    ("POST", r"/admin/users$"),
    ("PATCH", r"/admin/user\?"),
    ("DELETE", r"/admin/user\?"),
    ("POST", r"/admin/groups$"),
    ("PATCH", r"/admin/group\?"),
    ("DELETE", r"/admin/group\?"),
    ("POST", r"/admin/group/members/add"),
    ("POST", r"/admin/group/members/remove"),
    ("POST", r"/admin/group/owners/add"),
    ("POST", r"/admin/group/owners/remove"),
    ("POST", r"/admin/licenses/assign"),
    ("POST", r"/admin/substitutions$"),
    ("DELETE", r"/admin/substitutions/"),
)
TROUBLES = {
    "an expired token": Answer(401, b'{"type":"InvalidAuthenticationToken","description":"expired"}'),
    "locked": Answer(423, b'{"type":"ResourceIsLocked","description":"locked"}'),
    "throttled": Answer(429, b"", headers={"Retry-After": "7"}),
    "broken": Answer(500, b'{"type":"InternalError","description":"broken"}'),
    "a bad gateway": Answer(502, MAINTENANCE, "text/html"),
    "maintenance": Answer(503, MAINTENANCE, "text/html"),
    "maintenance with an end": Answer(503, MAINTENANCE, "text/html", {"Retry-After": "3"}),
    "a slow gateway": Answer(504, MAINTENANCE, "text/html"),
    "a page in place of the answer": Answer(200, MAINTENANCE, "text/html"),
    "a redirect": Answer(302, b"", headers={"Location": "https://login.example/maintenance"}),
    "a page of the web server": Answer(404, MAINTENANCE, "text/html"),
    "a lost connection": Answer(0),
}


def strike_before(office: Office, answer: Answer) -> None:
    """Let each kind of write fail once, without effect."""
    for method, path in WRITES:
        office.wire.faults.add(
            Fault(
                "status" if answer.status else "reset",
                method=method,
                path=path,
                status=answer.status,
                body=answer.body,
                content_type=answer.content_type,
                headers=answer.headers,
            )
        )


def strike_after(office: Office, answer: Answer) -> None:
    """Let each kind of write take effect once, and nobody hear of it."""
    if not answer.status:
        for method, path in WRITES:
            office.wire.faults.add(Fault("lose", method=method, path=path))
        return
    left = set(WRITES)

    def spoil(method: str, target: str, given: Answer) -> Answer:
        for write in sorted(left):
            if write[0] == method and re.search(write[1], target) and given.status == 200:
                left.discard(write)
                return answer
        return given

    office.wire.spoil = spoil


SHY = {"pending_visible": False, "remove_non_member": "conflict", "licence_repeated": "conflict"}
"""A portal that minds what is done already, and shows nothing before it is synchronised."""


@pytest.mark.parametrize(
    ("office", "trouble"),
    [*(({}, trouble) for trouble in TROUBLES), (SHY, "maintenance"), (SHY, "a lost connection")],
    indirect=["office"],
)
@pytest.mark.parametrize("strike", [strike_before, strike_after], ids=["before", "after"])
async def test_no_write_is_lost_or_done_twice(
    office: Office, strike: Callable[[Office, Answer], None], trouble: str
) -> None:
    """In the end everything is there once, ours is ours, and a further run plans nothing."""
    source, store = office.source, office.wire.store
    made: list[tuple[str, str, str]] = []
    strike(office, TROUBLES[trouble])
    await _settle(office, made)
    assert office.members("g@grp") == {"ann@x.com", "ben@x.com", "cleo@x.com"}
    assert office.members("g@grp", "owners") == {"ann@x.com"}
    assert store.accounts["ben@x.com"].values["managerBpsId"] == "ann@x.com"
    source.put_user("cleo", userPrincipalName="cleo.new@x.com", mail="cleo.new@x.com")
    source.put_user("dora", displayName="Dorothea", jobTitle="Clerk")
    source.put_group("h", displayName="Group h", mailNickname="h@grp", mail="h@x.com")
    source.put_user("ann", accountEnabled=False)
    source.remove_group("i")
    await _settle(office, made)
    assert office.members("g@grp") == {"ben@x.com", "cleo.new@x.com"}
    assert office.held() == {"ben@x.com": {"PowerUser"}, "cleo.new@x.com": {"PowerUser"}, "dora@x.com": {"User"}}
    assert len(office.wire.service.substitutions.entries) == 1
    assert store.accounts["dora@x.com"].values["jobTitle"] == "Clerk"
    source.put_user("cleo", userPrincipalName="cleo@x.com", mail="cleo@x.com")
    office.clock.elapsed += 4 * DAY
    await _settle(office, made)
    assert "ann@x.com" not in store.accounts
    assert "i@grp" not in store.groups
    twice = [what for what, number in Counter(made).items() if number > 1 and what[1] != "substitution"]
    assert twice == []


async def _settle(office: Office, made: list[tuple[str, str, str]]) -> None:
    """Run until nothing is left to do, a few times at most, and note what was created."""
    for _ in range(4):
        office.clock.elapsed += 600.0
        run = await office.sync("full")
        assert run.status != "held", f"something of ours was taken for a stranger's: {run.error}"
        asked = office.take_asked()
        made += [each[:3] for each in asked if each.action == "create"]
        if not asked:
            break
    assert (run.status, run.counts.get("planned")) == ("succeeded", None), run.error
    assert asked == []


@pytest.mark.parametrize("office", [{}], indirect=True)
@pytest.mark.parametrize(
    ("status", "body"),
    [
        (423, b'{"type":"ResourceIsLocked","description":"locked"}'),
        (500, b'{"type":"InternalError","description":"broken"}'),
        (403, b'{"type":"InsufficientAccountPermissions","description":"no rights"}'),
    ],
)
async def test_a_group_that_the_portal_cannot_work_on_hinders_no_other(
    office: Office, status: int, body: bytes
) -> None:
    """However many requests it takes: the rest of the plan is carried out, in every run, and it comes when it can."""
    await office.sync("full")
    office.per_request = 2
    office.rules = replace(office.rules, licences=())
    source = office.source
    source.put_group("a", displayName="Group a", mailNickname="a@grp")
    source.put_group("z", displayName="Group z", mailNickname="z@grp")
    for number in range(40):
        office.hire(f"m{number:02}", group="a")
    office.hire("zed", group="z")
    source.unlink("g", "cleo")
    locked = Fault("status", method="POST", path=r"members/add\?bpsId=a", status=status, count=-1, body=body)
    office.wire.faults.add(locked)
    run = await office.sync()
    assert run.status == "partial", run.error
    assert office.members("a@grp") == set()
    assert office.members("z@grp") == {"zed@x.com"}
    assert office.members("g@grp") == {"ann@x.com", "ben@x.com"}
    office.clock.elapsed += DAY
    office.source.put_user("ben", jobTitle="Chief")
    assert (await office.sync()).status == "partial"
    assert office.wire.store.accounts["ben@x.com"].values["jobTitle"] == "Chief"
    office.wire.faults.clear()
    assert (await office.sync()).status == "succeeded"
    assert len(office.members("a@grp")) == 40


@pytest.mark.parametrize("office", [{}], indirect=True)
async def test_an_account_that_may_not_be_changed_hinders_no_other(office: Office) -> None:
    """A 403 about the rights of the account fails that one by name; one about the scope ends the run."""
    await office.sync("full")
    office.source.put_user("ben", jobTitle="Chief")
    office.source.put_user("dora", jobTitle="Clerk")
    refused = b'{"type":"InsufficientAccountPermissions","description":"no rights"}'
    office.wire.faults.add(
        Fault("status", method="PATCH", path=r"/admin/user\?bpsId=ben", status=403, count=-1, body=refused)
    )
    run = await office.sync()
    assert run.status == "partial", run.error
    assert office.wire.store.accounts["dora@x.com"].values["jobTitle"] == "Clerk"
    lines = {line.source_id: line for line in Report(office.database, office.rules.policy).iterate("user")}
    assert lines["ben"].state == "failing"
    assert "the rights in the portal" in lines["ben"].reason
    office.wire.faults.clear()
    office.source.put_user("dora", jobTitle="Boss")
    scope = b'{"type":"InvalidScope","description":"no scope"}'
    office.wire.faults.add(Fault("status", method="PATCH", path=r"/admin/user\?", status=403, count=-1, body=scope))
    run = await office.sync()
    assert run.status == "failed"
    assert "Admin.Users.ReadWrite" in run.error


@pytest.mark.parametrize("office", [{}], indirect=True)
@pytest.mark.parametrize("trouble", ["a page in place of the answer", "a redirect"])
async def test_a_page_in_place_of_every_answer_ends_the_run(office: Office, trouble: str) -> None:
    """The portal is down, though it answers 200; nothing that was sent is taken for a stranger's afterwards."""
    answer = TROUBLES[trouble]
    for number in range(40):
        office.hire(f"m{number:02}", group="g")
    office.wire.faults.add(
        Fault("status", method="POST", path="", status=answer.status, count=-1, body=answer.body,
              content_type=answer.content_type, headers=answer.headers)
    )  # fmt: skip
    run = await office.sync("full")
    assert run.status == "failed", run.error
    assert sum(number for (_, route), number in office.wire.ledger.routes.items() if route.startswith("POST")) < 60
    office.wire.faults.clear()
    office.clock.elapsed += 600.0
    assert (await office.sync("full")).status == "succeeded"
    assert len(office.members("g@grp")) == 43
