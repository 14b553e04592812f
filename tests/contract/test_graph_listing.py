"""A full read by lists against the imitation tenant, through the whole pull into the store.

Whatever happens while the lists are read, the directory ends as a round of delta would leave it, and nothing that the
tenant still has is removed.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import stamina

from syncd.clock import Clock
from syncd.errors import Interrupted, SyncdError, Unavailable
from syncd.graph.budget import ResourceBudget
from syncd.graph.source import GraphSource
from syncd.model.listing import IdPage, ListAnswer, ListPage, ListRequest
from syncd.model.source import Checkpoint, Stream
from syncd.sandbox.wire.faults import Fault, FaultKind
from syncd.store.db.database import Database, open_database
from syncd.store.directory.checkpoints import load_checkpoint
from syncd.store.store import Store
from syncd.sync.pull.lists import Listing
from tests.fakes.source import FakeSource
from tests.fakes.tenant import READING, ROOT, Tenant, make_error
from tests.property.test_tenant_machine import call_in_turn, load, make_id
from tests.stores import template

USERS = [make_id("a", number) for number in range(7)]
GROUPS = [make_id("b", number) for number in range(3)]


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    shutil.copy(template(), tmp_path / "store.db")
    opened = open_database(f"sqlite:///{tmp_path / 'store.db'}")
    opened.call = call_in_turn
    yield opened
    opened.close()


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Database]:
    shutil.copy(template(), tmp_path / "other.db")
    opened = open_database(f"sqlite:///{tmp_path / 'other.db'}")
    opened.call = call_in_turn
    yield opened
    opened.close()


@pytest.fixture(autouse=True)
async def _impatient() -> AsyncIterator[None]:
    with stamina.set_testing(True, attempts=6, cap=True):
        yield


def make_tenant(**knobs: Any) -> Tenant:
    """Return a tenant of seven people, of whom the first is everybody's manager, and three groups in each other."""
    tenant = Tenant()
    for name, value in knobs.items():
        setattr(tenant.knobs, name, value)
    directory = tenant.directory
    for number, user_id in enumerate(USERS):
        directory.hire(f"P{number}", f"p{number}@x.example", user_id=user_id, manager=USERS[0] if number else None)
    machines = [directory.add_object("device", "PC"), directory.add_object("servicePrincipal", "App")]
    for number, group_id in enumerate(GROUPS):
        inside = [*USERS[number:], *GROUPS[:number], *machines]
        directory.create_group({"displayName": f"G{number}"}, group_id=group_id, members=inside)
    return tenant


def paths(tenant: Tenant) -> list[str]:
    """Return the paths that were asked for, each with what its link carries."""
    found = []
    for entry in tenant.ledger.entries:
        path, _, query = entry.target.removeprefix("/v1.0").partition("?")
        kind = next((name for name in ("latest", "deltatoken", "skiptoken", "$top") if name in query), "")
        found.append(f"{path} {kind}".strip())
    return found


def once(tenant: Tenant, pattern: str, then: Callable[[], None], *, skip: int = 0) -> None:
    """Let something happen just before a request whose target contains the pattern is answered."""
    left = skip

    def look(target: str) -> None:
        nonlocal left
        if pattern in target:
            left -= 1
            if left == -1:
                tenant.before = None
                then()

    tenant.before = look


def memberships(database: Database) -> set[tuple[str, str]]:
    """Return the memberships that count, of users who are there in groups that are there."""
    found = load(database)
    return {link for link in found.links if link[0] in found.groups and link[1] in found.users}


def truth(tenant: Tenant) -> set[tuple[str, str]]:
    """Return those of the tenant, of who is there."""
    directory = tenant.directory
    return {
        (group.id, member)
        for group in directory.active_groups()
        for member in group.members
        if directory.get(member).kind == "user" and directory.get(member).state == "active"
    }


# ---- what is asked


async def test_checkpoints_come_first_and_changes_last(database: Database) -> None:
    """Both streams are asked where they stand before any list is read, and what changed since is read after all."""
    tenant = make_tenant()
    result = await tenant.pull(database, full=True)
    assert result.complete
    asked = paths(tenant)
    assert sorted(asked[:2]) == ["/groups/delta latest", "/users/delta latest"]
    assert sorted(asked[2:4]) == ["/groups $top", "/users $top"]
    assert asked[4] == "/$batch"
    assert sorted(asked[5:7]) == ["/groups/delta deltatoken", "/users/delta deltatoken"]
    assert all("$count" in path for path in asked[7:])
    tenant.ledger.clear()
    await tenant.pull(database)
    assert sorted(paths(tenant)) == ["/groups/delta deltatoken", "/users/delta deltatoken"]


async def test_the_way_back_is_stored_before_the_first_list_is_read(database: Database) -> None:
    """A link to what changes from now on is in the store when the first page of a list is asked for."""
    tenant = make_tenant()
    found: list[Checkpoint | None] = []
    once(tenant, "/users?", lambda: found.append(load_checkpoint(database, "users")))
    await tenant.pull(database, full=True)
    (stored,) = found
    assert stored is not None
    assert stored.listing
    assert stored.next_link is not None
    assert stored.next_link.startswith(f"{ROOT}/v1.0/users/delta?$deltatoken=")


async def test_lists_and_delta_give_the_same_directory(database: Database, other: Database) -> None:
    """To the last row: nested groups, devices, empty collections, deleted people and hidden groups included."""
    tenant = make_tenant(hidden_membership="forbidden")
    tenant.roles = READING - {"Member.Read.Hidden"}
    directory = tenant.directory
    directory.set_attributes(USERS[1], businessPhones=["1", "2"])
    directory.set_attributes(USERS[2], businessPhones=["1"])
    directory.set_attributes(USERS[2], businessPhones=[])
    directory.soft_delete(USERS[3])
    directory.create_group({"displayName": "H", "visibility": "HiddenMembership"}, members=[USERS[4]])
    phones = {"user_attributes": ("businessPhones",)}
    await tenant.pull(database, full=True, source=tenant.open_source(**phones))
    latest = make_error("BadRequest")
    tenant.faults.add(Fault("status", "graph", path="latest", status=400, body=latest, count=-1))
    result = await tenant.pull(other, full=True, source=tenant.open_source(**phones))
    assert result.counts["lists_refused"] == 1
    assert load(database).describe() == load(other).describe()


# ---- owners


def own(tenant: Tenant) -> GraphSource:
    """Give each group owners: a person of its own, the first of all, and a service principal; return a reader."""
    directory = tenant.directory
    app = directory.add_object("servicePrincipal", "Robot")
    for number, group_id in enumerate(GROUPS):
        for owner in (USERS[0], USERS[number + 1], app):
            directory.add_owner(group_id, owner)
    return tenant.open_source(owners=True)


def ownerships(database: Database) -> set[tuple[str, str]]:
    """Return the stored ownerships that count."""
    found = load(database)
    return {link for link in found.ownerships if link[0] in found.groups and link[1] in found.users}


def true_ownerships(tenant: Tenant) -> set[tuple[str, str]]:
    """Return those of the tenant, of people who are there."""
    directory = tenant.directory
    return {
        (group.id, owner)
        for group in directory.active_groups()
        for owner in group.owners
        if directory.get(owner).kind == "user" and directory.get(owner).state == "active"
    }


@pytest.mark.parametrize("omitted", [True, False])
async def test_owners_are_read_beside_the_members_as_delta_would_tell_them(
    database: Database, other: Database, omitted: bool
) -> None:
    """By the same batches, page by page, to the last row; service principals are kept neither way."""
    tenant = make_tenant(list_page_objects=1, members_omit_service_principals=omitted)
    own(tenant)
    tenant.directory.soft_delete(USERS[3])
    result = await tenant.pull(database, full=True, source=tenant.open_source(owners=True))
    assert result.complete
    assert "lists_refused" not in result.counts
    assert "/groups/delta" not in paths(tenant)
    assert load(database).ownerships == true_ownerships(tenant)
    latest = make_error("BadRequest")
    tenant.faults.add(Fault("status", "graph", path="latest", status=400, body=latest, count=-1))
    result = await tenant.pull(other, full=True, source=tenant.open_source(owners=True))
    assert result.counts["lists_refused"] == 1
    assert load(database).describe() == load(other).describe()


@pytest.mark.parametrize("at", ["/users?", "/groups?", "$batch", "/groups/delta"])
async def test_an_owner_who_is_deleted_during_the_read_returns_as_an_owner(database: Database, at: str) -> None:
    """No list of owners shows who is deleted, and a return is told without what that person owns: it is asked."""
    tenant = make_tenant()
    source = own(tenant)
    once(tenant, at, lambda: tenant.directory.soft_delete(USERS[0]))
    await tenant.pull(database, full=True, source=source)
    tenant.directory.restore(USERS[0])
    await tenant.pull(database, source=source)
    assert ownerships(database) == true_ownerships(tenant)
    assert len(ownerships(database)) == 6


async def test_an_owner_who_was_deleted_all_the_time_returns_as_an_owner(database: Database) -> None:
    """Of whom the full read has seen nothing at all."""
    tenant = make_tenant()
    source = own(tenant)
    tenant.directory.soft_delete(USERS[0])
    await tenant.pull(database, full=True, source=source)
    tenant.directory.restore(USERS[0])
    result = await tenant.pull(database, source=source)
    assert ownerships(database) == true_ownerships(tenant)
    assert result.counts["ties_found"] == 1 + 3 + 6  # memberships, ownerships, reports


async def test_an_owner_who_left_unnoticed_is_found_by_the_sweep(database: Database) -> None:
    """A full read by lists replaces what delta lost, with the second reading of the owners as a witness."""
    tenant = make_tenant()
    source = own(tenant)
    await tenant.pull(database, full=True, source=source)
    tenant.directory.group(GROUPS[0]).owners.pop(USERS[0])  # and no event tells it
    await tenant.pull(database, source=source)
    assert (GROUPS[0], USERS[0]) in ownerships(database)
    tenant.ledger.clear()
    result = await tenant.pull(database, full=True, source=source)
    assert result.counts["links_removed"] == 1
    assert [path for path in paths(tenant) if "owners" in path] == [f"/groups/{GROUPS[0]}/owners $top"]
    assert ownerships(database) == true_ownerships(tenant)


@pytest.mark.parametrize("path", ["owners", "ownedObjects"])
@pytest.mark.parametrize(("status", "code"), [(403, "Authorization_RequestDenied"), (400, "BadRequest"), (501, "")])
async def test_a_tenant_that_does_not_list_owners_is_read_by_delta(
    database: Database, path: str, status: int, code: str
) -> None:
    """Those of a group, or what somebody owns: where either is refused, only delta tells the ownerships to come."""
    tenant = make_tenant()
    source = own(tenant)
    tenant.directory.soft_delete(USERS[0])
    tenant.faults.add(Fault("status", "batch", path=path, status=status, body=make_error(code), count=-1))
    result = await tenant.pull(database, full=True, source=source)
    assert result.complete
    assert result.counts["lists_refused"] == 1
    tenant.directory.restore(USERS[0])
    await tenant.pull(database, source=source)
    assert ownerships(database) == true_ownerships(tenant)


async def test_without_the_setting_nobody_asks_for_owners(database: Database) -> None:
    """Neither of groups nor of people."""
    tenant = make_tenant()
    own(tenant)
    asked: list[bytes] = []
    answer = tenant.service.answer

    def listen(request: Any) -> Any:
        asked.append(request.body)
        return answer(request)

    tenant.service.answer = listen
    await tenant.pull(database, full=True)
    tenant.directory.hire("New", "new@x.example")
    await tenant.pull(database)
    assert not any(b"own" in body for body in asked)
    assert load(database).ownerships == set()


# ---- what changes meanwhile


async def test_a_group_that_is_deleted_before_its_members_are_read_is_gone(database: Database) -> None:
    """Its list answers 404, which is no trouble; delta says what became of it."""
    tenant = make_tenant()
    once(tenant, "$batch", lambda: tenant.directory.delete_group(GROUPS[1]))
    result = await tenant.pull(database, full=True)
    assert result.complete
    assert load(database).groups.keys() == {GROUPS[0], GROUPS[2]}
    tenant.directory.restore(GROUPS[1])
    await tenant.pull(database)
    assert memberships(database) == truth(tenant)


async def test_a_group_that_was_gone_just_then_keeps_its_members(database: Database) -> None:
    """Deleted before its members are read and restored before the changes are: they are read once more."""
    tenant = make_tenant()
    tenant.directory.delete_group(GROUPS[1])

    def restore() -> None:
        tenant.directory.restore(GROUPS[1])

    once(tenant, "deltatoken=", restore)
    await tenant.pull(database, full=True)
    assert memberships(database) == truth(tenant)


@pytest.mark.parametrize("at", ["/users?", "/groups?", "$batch", "/groups/delta"])
async def test_who_is_deleted_during_the_read_returns_with_everything(database: Database, at: str) -> None:
    """Lists show nothing of a deleted user, and a return is told without memberships and reports: they are read."""
    tenant = make_tenant()
    once(tenant, at, lambda: tenant.directory.soft_delete(USERS[0]))
    await tenant.pull(database, full=True)
    assert USERS[0] not in load(database).users
    tenant.directory.restore(USERS[0])
    await tenant.pull(database)
    assert memberships(database) == truth(tenant)
    assert {manager for _, manager in load(database).users.values()} == {None, USERS[0]}


@pytest.mark.parametrize("at", ["/users?", "$batch", "users/delta?$deltatoken=", "groups/delta?$deltatoken="])
async def test_who_returns_during_the_read_returns_with_everything(database: Database, at: str) -> None:
    """Also when the members were read before the return and the users after it."""
    tenant = make_tenant()
    tenant.directory.soft_delete(USERS[0])
    once(tenant, at, lambda: tenant.directory.restore(USERS[0]), skip=1 if "delta?" in at else 0)
    await tenant.pull(database, full=True)
    await tenant.pull(database)
    assert memberships(database) == truth(tenant)
    assert {manager for _, manager in load(database).users.values()} == {None, USERS[0]}


@pytest.mark.parametrize("times", [1, 2])
async def test_a_manager_who_is_deleted_stays_the_manager_of_others(database: Database, times: int) -> None:
    """A list shows nobody in place of a deleted manager, which is not the same as having none."""
    tenant = make_tenant()
    await tenant.pull(database, full=True)
    tenant.directory.soft_delete(USERS[0])
    for _ in range(times):
        await tenant.pull(database, full=True)
    assert {manager for _, manager in load(database).users.values()} == {USERS[0]}


@pytest.mark.parametrize("at", ["", "/users?", "$batch"])
async def test_a_manager_who_is_taken_away_goes(database: Database, at: str) -> None:
    """Who is there and is not shown as the manager is none, whether that was so before the read or came about in it."""
    tenant = make_tenant()
    await tenant.pull(database, full=True)

    def change() -> None:
        tenant.directory.set_manager(USERS[1], None)
        tenant.directory.set_manager(USERS[2], USERS[3])

    if at:
        once(tenant, at, change)
    else:
        change()
    await tenant.pull(database, full=True)
    found = {user: manager for user, (_, manager) in load(database).users.items()}
    assert (found[USERS[1]], found[USERS[2]], found[USERS[4]]) == (None, USERS[3], USERS[0])


async def test_a_manager_who_is_given_back_during_the_read_stays(database: Database) -> None:
    """Changes since the beginning count more than the list that was read before."""
    tenant = make_tenant()
    await tenant.pull(database, full=True)
    tenant.directory.set_manager(USERS[1], None)
    once(tenant, "$batch", lambda: tenant.directory.set_manager(USERS[1], USERS[0]))
    await tenant.pull(database, full=True)
    assert load(database).users[USERS[1]][1] == USERS[0]


async def test_a_nested_group_returns_to_the_groups_that_it_is_in(database: Database) -> None:
    """A deleted group is in no list of members either."""
    tenant = make_tenant()
    tenant.directory.delete_group(GROUPS[0])
    await tenant.pull(database, full=True)
    tenant.directory.restore(GROUPS[0])
    await tenant.pull(database)
    assert (GROUPS[1], GROUPS[0]) in load(database).links
    assert memberships(database) == truth(tenant)


async def test_memberships_that_change_after_they_were_read_are_told_by_delta(database: Database) -> None:
    """Whoever joins or leaves behind the list's back is in the changes since the beginning."""
    tenant = make_tenant()

    def change() -> None:
        tenant.directory.remove_member(GROUPS[0], USERS[2])
        tenant.directory.add_member(GROUPS[2], USERS[0])
        tenant.directory.rename(USERS[1], display_name="New", upn="new@x.example")

    once(tenant, "deltatoken=", change)
    await tenant.pull(database, full=True)
    assert memberships(database) == truth(tenant)
    assert load(database).users[USERS[1]] == (
        load(database).users[USERS[1]][0] | {"displayName": "New", "userPrincipalName": "new@x.example"},
        USERS[0],
    )


@pytest.mark.parametrize("skip", range(4))
async def test_nobody_is_missed_when_pages_shift(database: Database, skip: int) -> None:
    """While users are listed the first of them are deleted one by one, so that each page begins too far behind."""
    tenant = make_tenant(list_page_objects=2, page_drift=True)
    once(tenant, "/users?", lambda: tenant.directory.soft_delete(USERS[1]), skip=skip)
    await tenant.pull(database, full=True)
    assert load(database).users.keys() == {*USERS[:1], *USERS[2:]}


@pytest.mark.parametrize("skip", range(1, 4))
async def test_no_member_is_missed_when_pages_shift(database: Database, skip: int) -> None:
    """A list of members of more than one page is read twice."""
    tenant = make_tenant(list_page_objects=2, page_drift=True)
    once(tenant, "$batch", lambda: tenant.directory.remove_member(GROUPS[0], USERS[0]), skip=skip)
    await tenant.pull(database, full=True)
    assert memberships(database) == truth(tenant)


@pytest.mark.parametrize("kind", ["delay", "drip"])
@pytest.mark.parametrize("path", [r"/users\?", r"/groups\?", "batch", "/users/delta", "/groups/delta"])
async def test_what_changes_while_an_answer_is_on_its_way_is_not_lost(
    database: Database, kind: FaultKind, path: str
) -> None:
    """Before it is given or after, while others overtake it: the changes since the beginning count more."""
    tenant = make_tenant()
    source = own(tenant)
    directory = tenant.directory
    tenant.faults.add(Fault(kind, "graph", method=".*", path=path, skip=path.endswith("delta"), seconds=2.0))

    def change() -> None:
        if directory.get(USERS[1]).state == "active":
            directory.soft_delete(USERS[1])
            directory.remove_member(GROUPS[0], USERS[2])
            directory.remove_owner(GROUPS[0], USERS[0])
            directory.add_owner(GROUPS[2], USERS[4])
            directory.hire("Late", "late@x.example", user_id=make_id("a", 20), manager=USERS[3])

    tenant.slow = change
    result = await tenant.pull(database, full=True, source=source)
    assert "lists_refused" not in result.counts
    await tenant.pull(database, source=source)
    assert tenant.clock.now().second >= 2
    assert load(database).users.keys() == {*USERS, make_id("a", 20)} - {USERS[1]}
    assert memberships(database) == truth(tenant)
    assert ownerships(database) == true_ownerships(tenant)


# ---- refusals, faults, kills


@pytest.mark.parametrize(
    ("path", "status"),
    [("latest", 400), (r"/users\?", 501), (r"/groups\?", 400), (r"\$batch", 400), (r"/users\?", 503), ("latest", 403)],
)
async def test_a_tenant_that_refuses_lists_is_read_by_delta(database: Database, path: str, status: int) -> None:
    """Whatever cannot be read by lists, a full round of delta reads."""
    tenant = make_tenant()
    tenant.faults.add(Fault("status", "graph", path=path, status=status, body=make_error("Refused"), count=-1))
    result = await tenant.pull(database, full=True)
    assert result.complete
    assert result.counts["lists_refused"] == 1
    assert memberships(database) == truth(tenant)


@pytest.mark.parametrize("refused", range(1, 8))
async def test_a_read_that_is_killed_is_begun_anew(database: Database, refused: int) -> None:
    """At whatever request: nothing is removed by it, and the next run ends as if it had not been."""
    tenant = make_tenant()
    await tenant.pull(database, full=True)
    tenant.directory.hire("Late", "late@x.example", user_id=make_id("a", 20))
    before, left = load(database), refused

    def die(target: str) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            reading.cancel()

    tenant.before = die
    reading = asyncio.ensure_future(tenant.pull(database, full=True))
    with pytest.raises(asyncio.CancelledError):
        await reading
    tenant.before = None
    assert load(database).active >= before.active
    assert load(database).links >= before.links
    tenant.directory.soft_delete(USERS[6])
    begun = refused > 2  # before that nothing was begun
    result = await tenant.pull(database, full=not begun)
    assert result.complete
    assert result.full
    assert memberships(database) == truth(tenant)
    assert load(database).users.keys() == {*USERS[:6], make_id("a", 20)}


async def test_a_stopped_read_ends_at_once_and_is_begun_anew(database: Database) -> None:
    """It is no failure, and what was read stays."""
    tenant = make_tenant()
    with pytest.raises(Interrupted):
        await tenant.pull(database, full=True, stopping=lambda: True)
    result = await tenant.pull(database)
    assert result.complete
    assert result.full
    assert memberships(database) == truth(tenant)


@pytest.mark.parametrize(
    "fault",
    [
        {"side": "batch", "status": 429, "headers": {"Retry-After": "9"}},
        {"side": "batch", "status": 429, "headers": {"retry-after": "2.5"}},
        {"side": "batch", "status": 503},
        {"side": "batch", "status": 401, "body": make_error("InvalidAuthenticationToken")},
        {"side": "graph", "method": "POST", "status": 424, "headers": {"Retry-After": "4"}},
        {"side": "graph", "method": "POST", "status": 429, "headers": {"Retry-After": "4"}},
        {"side": "graph", "method": "POST", "status": 503},
    ],
    ids=lambda fault: f"{fault['side']} {fault['status']}",
)
async def test_what_a_batch_leaves_unanswered_is_asked_again_in_time(database: Database, fault: dict[str, Any]) -> None:
    """Each answer's own Retry-After is waited for, and nothing of what was answered is lost or asked twice."""
    tenant = make_tenant()
    tenant.faults.add(Fault("status", count=1, **fault))
    result = await tenant.pull(database, full=True)
    assert result.complete
    assert "lists_refused" not in result.counts
    assert memberships(database) == truth(tenant)
    assert not tenant.ledger.violations


async def test_an_answer_that_is_missing_from_a_batch_is_asked_for_again(database: Database) -> None:
    """A batch is done when each of its requests is answered."""
    tenant = make_tenant()

    def drop(page: Any) -> None:
        del page["responses"][0]

    tenant.faults.add(Fault("alter", "graph", method="POST", change=drop))
    result = await tenant.pull(database, full=True)
    assert result.complete
    assert "lists_refused" not in result.counts
    assert memberships(database) == truth(tenant)


async def test_a_foreign_link_in_a_batch_is_not_followed(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """The token goes to our Graph root only: the page is asked for again, and in the end delta is read instead."""
    tenant = make_tenant(list_page_objects=2)

    def lead_astray(page: Any) -> None:
        page["@odata.nextLink"] = "https://graph.attacker.example/v1.0/groups/x/members?$skiptoken=1"

    fault = Fault("alter", "batch", path="members", change=lead_astray, count=-1)
    tenant.faults.add(fault)
    bodies: list[bytes] = []
    answer = tenant.service.answer

    def listen(request: Any) -> Any:
        bodies.append(request.body)
        return answer(request)

    monkeypatch.setattr(tenant.service, "answer", listen)
    await tenant.pull(database, full=True)
    assert memberships(database) == truth(tenant)
    assert fault.hits
    assert not any(b"attacker" in body or b"groups/x/" in body for body in bodies)
    assert not any("attacker" in entry.target or "groups/x/" in entry.target for entry in tenant.ledger.entries)


@pytest.mark.parametrize("side", ["graph", "batch"])
async def test_a_page_link_that_came_too_late_begins_the_list_anew(database: Database, side: str) -> None:
    """Links of lists live for minutes."""
    tenant = make_tenant(list_page_objects=2)
    body = make_error("Directory_ExpiredPageToken")
    path = r"/users\?.*skiptoken" if side == "graph" else "skiptoken"
    tenant.faults.add(Fault("status", side, path=path, status=400, body=body))
    result = await tenant.pull(database, full=True)
    assert result.complete
    assert "lists_refused" not in result.counts
    assert memberships(database) == truth(tenant)


async def test_links_of_lists_are_sent_as_they_came(database: Database) -> None:
    """The tenant counts every altered link."""
    tenant = make_tenant(list_page_objects=1)
    result = await tenant.pull(database, full=True)
    assert result.complete
    assert "lists_refused" not in result.counts
    assert not tenant.ledger.violations
    assert memberships(database) == truth(tenant)


async def test_a_bad_entry_costs_neither_its_page_nor_itself(database: Database) -> None:
    """One malformed user is counted and skipped, and is not removed by the sweep."""
    tenant = make_tenant()
    await tenant.pull(database, full=True)

    def spoil(page: Any) -> None:
        page["value"][2]["accountEnabled"] = "perhaps"

    tenant.faults.add(Fault("alter", "graph", path=r"/users\?", change=spoil))
    result = await tenant.pull(database, full=True)
    assert result.counts["users_malformed"] == 1
    assert load(database).users.keys() == set(USERS)


# ---- the budget


async def test_a_large_tenant_is_read_without_being_refused_once(database: Database) -> None:
    """Prices are counted and waited for: the bucket never runs over, and little of what flows into it is wasted."""
    limit = 3500
    tenant = make_tenant(resource_units_per_10s=limit)
    for number in range(4000):
        tenant.directory.create_group({"displayName": f"N{number}"})
    started = tenant.clock.monotonic()
    result = await tenant.pull(database, full=True)
    spent, seconds = tenant.ledger.resource_units, tenant.clock.monotonic() - started
    assert result.complete
    assert result.counts["groups_read"] == 4003
    assert spent > 8000
    assert tenant.ledger.statuses["graph", 429] == 0
    assert seconds < 1.3 * (spent - limit) * 10 / limit  # the bucket is full at the start


async def test_every_request_is_reckoned_at_the_price_that_the_tenant_takes(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lists and batches, delta, counts, single objects and what a run over one object asks: to the last unit."""
    tenant = make_tenant(list_page_objects=2)
    source = own(tenant)
    reckoned: list[int] = []
    take = ResourceBudget.take

    async def note(budget: ResourceBudget, units: int, *, patience: float = 180.0) -> None:
        reckoned.append(units)
        await take(budget, units, patience=patience)

    monkeypatch.setattr(ResourceBudget, "take", note)
    await tenant.pull(database, full=True, source=source)
    tenant.directory.soft_delete(USERS[0])
    tenant.directory.delete_group(GROUPS[0])
    await tenant.pull(database, full=True, source=source)
    tenant.directory.restore(USERS[0])
    await tenant.pull(database, source=source)
    tenant.directory.soft_delete(USERS[0])
    await source.fetch_count("users")
    await source.fetch_member_count(GROUPS[1])
    await source.fetch_member_count(GROUPS[1], kind="user")
    await source.fetch_members(GROUPS[1])
    await source.fetch_owners(GROUPS[1])
    await source.fetch_groups_of(USERS[1])
    await source.fetch_groups_of(USERS[1], role="owners")
    await source.fetch_user(USERS[1])
    await source.find_groups("Nobody")
    await source.is_deleted("users", USERS[0])
    await source.is_deleted("users", USERS[1])
    await source.fetch_existing("users", USERS)
    await source.fetch_members(GROUPS[0])
    await source.fetch_groups_of(USERS[0])
    await source.fetch_user(USERS[0])
    await source.find_user("nobody@x.example")
    assert sum(reckoned) == tenant.ledger.resource_units
    assert tenant.ledger.statuses["graph", 429] == 0


async def test_a_smaller_bucket_than_expected_is_found_out_and_obeyed(database: Database) -> None:
    """Refusals make us slower, each Retry-After is kept, and everything is read in the end."""
    tenant = make_tenant(resource_units_per_10s=100)
    for number in range(120):
        tenant.directory.create_group({"displayName": f"N{number}"})
    result = await tenant.pull(database, full=True)
    assert result.complete
    assert result.counts["groups_read"] == 123
    assert memberships(database) == truth(tenant)
    assert not tenant.ledger.violations


# ---- one loop, no waiting for each other


class _Failing(FakeSource):
    """Ends one stream's list in its own way, while all other answers never come."""

    how: Callable[[], None] = staticmethod(lambda: None)
    stream: Stream = "users"

    async def fetch_list(self, stream: Stream, link: str | None) -> ListPage:
        await asyncio.sleep(0)
        if stream == self.stream:
            self.how()
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    async def fetch_ids(self, stream: Stream, link: str | None) -> IdPage:
        raise AssertionError("unreachable")

    async def fetch_lists(self, requests: Any) -> tuple[ListAnswer, ...]:
        raise AssertionError(f"unreachable: {ListRequest}")


@pytest.mark.parametrize("stream", ["users", "groups"])
@pytest.mark.parametrize("error", [Unavailable("gone", status=503), asyncio.CancelledError()])
async def test_a_request_that_ends_alone_ends_the_whole_reading(
    database: Database, error: BaseException, stream: Stream
) -> None:
    """Whether it fails or is cancelled by itself, nothing is left waiting for it."""

    def end() -> None:
        raise error

    source = _Failing()
    source.how, source.stream = end, stream
    store = Store(database)
    listing = Listing(
        source,
        store,
        Checkpoint(stream="groups", fingerprint="f"),
        Clock(),
        note_stored=lambda chunk, counts: None,
        stopping=lambda: False,
    )
    with pytest.raises(SyncdError):
        async with asyncio.timeout(5):
            await listing.run()
    assert len(asyncio.all_tasks()) == 1


async def test_the_second_reading_of_a_list_follows_the_first_one(database: Database) -> None:
    """At two pages' distance, of the people and of a long group, so that a far tenant is not waited for twice."""
    tenant = make_tenant(list_page_objects=1)
    result = await tenant.pull(database, full=True)
    assert result.complete
    asked = [entry.target for entry in tenant.ledger.entries if entry.target.startswith("/v1.0/users?")]
    kinds = "".join("1" if "displayName" in target else "2" for target in asked)
    assert (kinds.count("1"), kinds.count("2")) == (7, 7)
    assert kinds.startswith("11")
    assert "2" in kinds[: kinds.rindex("1")]
