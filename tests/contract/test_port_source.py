"""What every source behind the port does: the fake of the use cases' tests, and the adapter over the imitation tenant.

What the fake lets a pull believe is true only as far as this suite finds it in both.
"""

from __future__ import annotations

from typing import Protocol

import pytest

from syncd.model.listing import ListRequest, Relation
from syncd.model.source import GroupItem, ManagerSet, Page, Stream, UserItem
from syncd.sync.ports.sides import Source
from tests.fakes.source import FakeSource
from tests.fakes.tenant import Tenant

ANN, BEN, CLEO, DORA = (f"00000000-0000-4000-8000-00000000000{number}" for number in range(1, 5))
ALL, SALES = (f"00000000-0000-4000-9000-00000000000{number}" for number in range(1, 3))
NOBODY = "00000000-0000-4000-8000-0000000000ff"


class Events(Protocol):
    """What happens in a tenant."""

    def hire(self, user_id: str, name: str, *, manager: str | None = None) -> None:
        """Let somebody begin."""

    def rename(self, user_id: str, name: str) -> None:
        """Give another display name."""

    def leave(self, user_id: str) -> None:
        """Delete somebody softly."""

    def group(self, group_id: str, name: str) -> None:
        """Make a group."""

    def disband(self, group_id: str) -> None:
        """Delete a group softly."""

    def link(self, group_id: str, member_id: str, kind: str = "user") -> None:
        """Add a member."""

    def unlink(self, group_id: str, member_id: str) -> None:
        """Take a member out."""

    def own(self, group_id: str, owner_id: str) -> None:
        """Add an owner."""


class FakeEvents:
    """In the fake."""

    def __init__(self, source: FakeSource) -> None:
        self.link, self.unlink, self.own = source.link, source.unlink, source.own
        self._source = source

    def hire(self, user_id: str, name: str, *, manager: str | None = None) -> None:
        login = f"{name.lower()}@x.com"
        self._source.put_user(user_id, userPrincipalName=login, displayName=name, mail=login, manager=manager)

    def rename(self, user_id: str, name: str) -> None:
        self._source.put_user(user_id, displayName=name)

    def leave(self, user_id: str) -> None:
        self._source.remove_user(user_id)

    def group(self, group_id: str, name: str) -> None:
        self._source.put_group(group_id, displayName=name)

    def disband(self, group_id: str) -> None:
        self._source.remove_group(group_id)


class TenantEvents:
    """In the imitation."""

    def __init__(self, tenant: Tenant) -> None:
        self._directory = tenant.directory

    def hire(self, user_id: str, name: str, *, manager: str | None = None) -> None:
        self._directory.hire(name, f"{name.lower()}@x.com", user_id=user_id, manager=manager)

    def rename(self, user_id: str, name: str) -> None:
        self._directory.set_attributes(user_id, displayName=name)

    def leave(self, user_id: str) -> None:
        self._directory.soft_delete(user_id)

    def group(self, group_id: str, name: str) -> None:
        self._directory.create_group({"displayName": name}, group_id=group_id)

    def disband(self, group_id: str) -> None:
        self._directory.soft_delete(group_id)

    def link(self, group_id: str, member_id: str, kind: str = "user") -> None:
        self._directory.add_member(group_id, member_id)

    def unlink(self, group_id: str, member_id: str) -> None:
        self._directory.remove_member(group_id, member_id)

    def own(self, group_id: str, owner_id: str) -> None:
        self._directory.add_owner(group_id, owner_id)


@pytest.fixture(params=["fake", "adapter"])
def sides(request: pytest.FixtureRequest) -> tuple[Source, Events]:
    """A tenant: Ann is Ben's and Cleo's manager; All holds Ann and Sales, Sales holds Ben and is owned by Ann."""
    source: Source
    events: Events
    if request.param == "fake":
        source = fake = FakeSource(tracks_owners=True)
        events = FakeEvents(fake)
    else:
        tenant = Tenant()
        events = TenantEvents(tenant)
        source = tenant.open_source(
            user_attributes=("userPrincipalName", "displayName", "mail"),
            group_attributes=("displayName",),
            owners=True,
        )
    events.hire(ANN, "Ann")
    events.hire(BEN, "Ben", manager=ANN)
    events.hire(CLEO, "Cleo", manager=ANN)
    events.group(ALL, "All")
    events.group(SALES, "Sales")
    events.link(ALL, ANN)
    events.link(ALL, SALES, "group")
    events.link(SALES, BEN)
    events.own(SALES, ANN)
    return source, events


async def read_round(source: Source, stream: Stream, link: str | None) -> tuple[list[Page], str]:
    """Return the pages of a round, and the link at its end."""
    pages = [await source.fetch_page(stream, link)]
    while pages[-1].next_link is not None:
        pages.append(await source.fetch_page(stream, pages[-1].next_link))
    assert pages[-1].delta_link is not None
    assert not any(page.bad for page in pages)
    return pages, pages[-1].delta_link


async def read_people(source: Source, link: str | None) -> tuple[dict[str, UserItem], str]:
    """Return the last word of a round on each user."""
    pages, after = await read_round(source, "users", link)
    return {item.id: item for page in pages for item in page.items if isinstance(item, UserItem)}, after


async def read_places(source: Source, link: str | None) -> tuple[dict[str, dict[str, bool]], dict[str, set[str]], str]:
    """Return of a round by group: who is a member or no longer, and the owners."""
    pages, after = await read_round(source, "groups", link)
    members: dict[str, dict[str, bool]] = {}
    owners: dict[str, set[str]] = {}
    for page in pages:
        for item in page.items:
            assert isinstance(item, GroupItem)
            members.setdefault(item.id, {}).update({each.member_id: not each.removed for each in item.links})
            owners.setdefault(item.id, set()).update(each.member_id for each in item.owners)
    return members, owners, after


async def test_a_baseline_shows_everybody_with_everything(sides: tuple[Source, Events]) -> None:
    """Users with values and manager, groups with members of any type and owners, however the pages are cut."""
    source, _ = sides
    people, _ = await read_people(source, None)
    assert set(people) == {ANN, BEN, CLEO}
    assert people[BEN].attributes["displayName"] == "Ben"
    assert {key: person.manager and person.manager.manager_id for key, person in people.items() if key != ANN} == {
        BEN: ANN,
        CLEO: ANN,
    }
    members, owners, _ = await read_places(source, None)
    assert members == {ALL: {ANN: True, SALES: True}, SALES: {BEN: True}}
    assert owners[SALES] == {ANN}


async def test_a_delta_tells_what_happened_since(sides: tuple[Source, Events]) -> None:
    """A new name, a deletion, who came and who went; and then nothing."""
    source, events = sides
    _, users = await read_people(source, None)
    _, _, groups = await read_places(source, None)
    events.rename(BEN, "Benjamin")
    events.leave(CLEO)
    events.unlink(SALES, BEN)
    events.link(ALL, BEN)
    people, users = await read_people(source, users)
    assert people[BEN].attributes["displayName"] == "Benjamin"
    assert people[BEN].removed is None
    assert people[CLEO].removed == "changed"
    assert ANN not in people
    members, _, groups = await read_places(source, groups)
    assert members[ALL][BEN]
    assert not members[SALES][BEN]
    assert (await read_people(source, users))[0] == {}
    assert (await read_places(source, groups))[0] == {}


async def test_a_link_without_a_baseline_tells_what_comes(sides: tuple[Source, Events]) -> None:
    """From that moment on, and nothing of before."""
    source, events = sides
    latest = await source.fetch_latest("users")
    events.hire(DORA, "Dora", manager=BEN)
    people, _ = await read_people(source, latest)
    assert set(people) == {DORA}
    assert people[DORA].manager == ManagerSet(BEN)


async def test_one_object_is_found_by_its_id_or_its_name(sides: tuple[Source, Events]) -> None:
    """In any case; who is deleted or never was is nobody."""
    source, events = sides
    user = await source.find_user("BEN@x.com")
    assert user is not None
    assert (user.id, user.manager) == (BEN, ManagerSet(ANN))
    assert (await source.fetch_user(BEN)) == user
    group = await source.fetch_group(SALES)
    assert group is not None
    assert (group.attributes["displayName"], group.links) == ("Sales", ())
    assert await source.find_groups("Sales") == await source.find_groups(SALES) == {SALES}
    assert await source.find_groups("Nothing") == frozenset()
    events.leave(CLEO)
    events.disband(ALL)
    gone: list[object] = [await source.fetch_user(CLEO), await source.find_user("cleo@x.com")]
    gone += [await source.fetch_group(ALL), await source.fetch_members(ALL), await source.fetch_user(NOBODY)]
    assert gone == [None] * 5
    assert await source.is_deleted("users", BEN) is not True


async def test_a_direct_look_finds_only_who_is_there(sides: tuple[Source, Events]) -> None:
    """Among users and among groups."""
    source, events = sides
    events.leave(CLEO)
    events.disband(ALL)
    assert await source.fetch_existing("users", [ANN, CLEO, NOBODY]) == {ANN}
    assert await source.fetch_existing("groups", [ALL, SALES, NOBODY]) == {SALES}


async def test_members_owners_and_groups_of_a_person_agree(sides: tuple[Source, Events]) -> None:
    """Seen from the group, from the person, and in their numbers."""
    source, events = sides
    members = await source.fetch_members(ALL)
    owners = await source.fetch_owners(SALES)
    assert members is not None
    assert owners is not None
    assert {(each.member_id, each.kind) for each in members} == {(ANN, "user"), (SALES, "group")}
    assert {each.member_id for each in owners} == {ANN}
    assert await source.fetch_groups_of(ANN) == frozenset({ALL})
    assert await source.fetch_groups_of(ANN, role="owners") == frozenset({SALES})
    assert await source.fetch_groups_of(NOBODY) is None
    assert await source.fetch_member_count(ALL) == 2
    assert await source.fetch_member_count(NOBODY) is None
    assert await source.fetch_count("users") == 3
    assert await source.fetch_count("groups") == 2
    events.leave(ANN)
    members = await source.fetch_members(ALL)
    assert members is not None
    assert {each.member_id for each in members} == {SALES}
    assert await source.fetch_count("users") == 2


async def test_lists_show_who_exists_now(sides: tuple[Source, Events]) -> None:
    """All users with their managers, and bare ids, page by page."""
    source, events = sides
    events.leave(CLEO)
    listed: dict[str, str | None] = {}
    link: str | None = None
    while True:
        page = await source.fetch_list("users", link)
        listed |= {each.id: each.manager_id for each in page.objects}
        if (link := page.next_link) is None:
            break
    assert listed == {ANN: None, BEN: ANN}
    ids: set[str] = set()
    while True:
        short = await source.fetch_ids("groups", link)
        ids |= set(short.ids)
        if (link := short.next_link) is None:
            break
    assert ids == {ALL, SALES}


@pytest.mark.parametrize(
    ("owner", "relation", "expected"),
    [
        (ALL, "members", {ANN, SALES}),
        (SALES, "owners", {ANN}),
        (BEN, "memberOf", {SALES}),
        (ANN, "ownedObjects", {SALES}),
        (ANN, "directReports", {BEN, CLEO}),
        (NOBODY, "members", None),
    ],
)
async def test_many_lists_are_answered_in_the_order_of_the_questions(
    sides: tuple[Source, Events], owner: str, relation: Relation, expected: set[str] | None
) -> None:
    """Beside a list of nobody's, which is missing and spoils no other."""
    source, _ = sides
    asked = ListRequest(
        owner_id=owner, relation=relation, owner_is_user=relation in ("memberOf", "ownedObjects", "directReports")
    )
    nothing = ListRequest(owner_id=NOBODY)
    first, second = await source.fetch_lists([asked, nothing])
    assert (first.request, second.request) == (asked, nothing)
    assert second.state == "missing"
    assert (first.state, set(first.ids)) == (("missing", set()) if expected is None else ("read", expected))
