"""Whatever goes wrong with any write, before it took effect or after: no duplicate, no lost write, nothing foreign.

Each kind of trouble strikes every kind of write once, in the runs of a company that joins, is renamed and leaves.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable

import pytest

from syncd.sandbox.faults import Fault
from syncd.sandbox.wire import Answer
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
