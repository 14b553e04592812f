"""Whatever the knobs of the tenant say, a careful consumer ends up with the truth."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from syncd.errors import ConfigError
from syncd.sandbox.server import SandboxOptions
from syncd.sandbox.tenant.events import live
from syncd.sandbox.wire.knobs import PortalKnobs, TenantKnobs, turn_knobs
from tests.contract.sandbox_client import Client, Mirror, MovableClock, open_client
from tests.contract.test_sandbox_delta import GROUPS, USERS, assert_mirrors


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


@pytest.fixture
async def client(tmp_path: Path, clock: MovableClock) -> AsyncIterator[Client]:
    async with open_client(SandboxOptions(users=60, groups=20, memberships=300), tmp_path, clock=clock) as opened:
        yield opened


@pytest.mark.parametrize(
    "changes",
    [
        {"shuffle": True, "duplicates": 0.5},
        {"replay_previous_round": True},
        {"initial_removed_objects": True, "initial_removed_links": True},
        {"empty_page_every": 2},
        {"repeat_relationships": True},
        {"manager_removed_last": True},
        {"manager_names_old": False},
        {"restore_reports_links": True},
        {"page_objects": 1, "page_links": 1},
        {"page_objects": 3, "page_links": 7, "shuffle": True, "duplicates": 1.0, "replay_previous_round": True},
    ],
    ids=lambda changes: ",".join(changes),
)
async def test_any_behaviour_leads_to_the_truth(client: Client, changes: dict[str, object]) -> None:
    """Forty random changes in four rounds, read under the knobs, give the tenant's state."""
    directory = client.sandbox.directory
    live(directory, random.Random(5), 20)
    turn_knobs(client.sandbox.tenant_knobs, {"page_objects": 9, "page_links": 25, **changes})
    users, user_link = await client.round(USERS)
    groups, group_link = await client.round(GROUPS)
    for number in range(4):
        live(directory, random.Random(number), 10)
        _, user_link = await client.round(user_link, users)
        _, group_link = await client.round(group_link, groups)
    for group in directory.active_groups():
        assert groups.links[group.id] == set(group.members)
    assert_mirrors(users, groups, client)


async def test_lost_links_never_come_through_delta(client: Client) -> None:
    """While the knob is on, memberships change unseen; the group's list and a fresh start show them."""
    directory = client.sandbox.directory
    group, user = next(directory.active_groups()), next(directory.active_users())
    directory.remove_member(group.id, user.id)
    groups, link = await client.round(GROUPS)
    turn_knobs(client.sandbox.tenant_knobs, {"lose_links": True})
    directory.add_member(group.id, user.id)
    turn_knobs(client.sandbox.tenant_knobs, {"lose_links": False})
    await client.round(link, groups)
    assert user.id not in groups.links[group.id]
    listed = (await client.graph(f"/groups/{group.id}/members?$select=id&$top=999")).json["value"]
    assert user.id in {entry["id"] for entry in listed}
    fresh, _ = await client.round(GROUPS)
    assert user.id in fresh.links[group.id]


async def test_duplicates_and_removals_show_up_in_the_initial_round(client: Client) -> None:
    """The knobs do what they say: objects twice, deleted objects and former members as removed."""
    directory = client.sandbox.directory
    gone = next(directory.active_users()).id
    group = next(g for g in directory.active_groups() if gone not in g.members)
    directory.add_member(group.id, gone)
    directory.remove_member(group.id, gone)
    directory.soft_delete(gone)
    turn_knobs(
        client.sandbox.tenant_knobs,
        {"duplicates": 1.0, "shuffle": True, "initial_removed_objects": True, "initial_removed_links": True},
    )
    users, _ = await client.round(USERS)
    groups, _ = await client.round(GROUPS)
    entries = [entry for page in users.pages for entry in page["value"]]
    assert len(entries) == 2 * 60
    assert users.removed == {gone: "changed"}
    links = [link for page in groups.pages for e in page["value"] for link in e.get("members@delta", [])]
    assert {link["id"] for link in links if "@removed" in link} == {gone}


@pytest.mark.parametrize(("every", "empty"), [(1, 6), (2, 3)])
async def test_empty_pages_have_a_next_link(client: Client, every: int, empty: int) -> None:
    """A page without entries is not the end of the round; where each one may be empty, one with entries follows it."""
    turn_knobs(client.sandbox.tenant_knobs, {"page_objects": 10, "empty_page_every": every})
    users, _ = await client.round(USERS)
    assert [len(page["value"]) == 0 for page in users.pages[:-1]].count(True) >= empty
    assert len(users.objects) == 60


async def test_changes_become_visible_after_a_delay(client: Client, clock: MovableClock) -> None:
    """A change is invisible to delta until the delay has passed, and not lost by rounds before that."""
    client.sandbox.tenant_knobs.visibility_delay = 60.0
    _, link = await client.round(USERS)
    hired = client.sandbox.directory.hire("A B", "a.b@nordwind.example")
    clock.elapsed += 30
    mirror, link = await client.round(link)
    assert mirror.objects == {}
    clock.elapsed += 31
    mirror, _ = await client.round(link)
    assert mirror.objects.keys() == {hired}


@pytest.mark.parametrize(("lag", "reported"), [(0.0, True), (1200.0, True), (None, False)])
async def test_links_of_purged_users_are_reported_late_or_never(
    client: Client, clock: MovableClock, lag: float | None, reported: bool
) -> None:
    """The users stream tells a final deletion at once, the groups stream when it likes."""
    client.sandbox.tenant_knobs.purge_links_after = lag
    directory = client.sandbox.directory
    group = list(directory.active_groups())[5]
    user_id = next(m for m in group.members if directory.get(m).kind == "user")
    groups, link = await client.round(GROUPS)
    directory.hard_delete(user_id)
    if lag:
        early, link = await client.round(link)
        assert early.pages[0]["value"] == []
        clock.elapsed += lag
    groups, _ = await client.round(link, groups)
    assert (user_id not in groups.links[group.id]) is reported


async def test_a_round_can_repeat_its_token_or_never_end(client: Client) -> None:
    """With the knobs a quiet round returns the same link, and an endless one always a nextLink."""
    _, link = await client.round(USERS)
    client.sandbox.tenant_knobs.same_delta_token = True
    assert (await client.round(link))[1] == link
    client.sandbox.tenant_knobs.endless_rounds = True
    page = (await client.graph(link)).json
    for _ in range(5):
        page = (await client.graph(page["@odata.nextLink"])).json
        assert page["value"] == []


async def test_an_unfinished_initial_round_dies_after_thirty_days(client: Client, clock: MovableClock) -> None:
    """A stored nextLink of an initial round is refused when it is used too late."""
    turn_knobs(client.sandbox.tenant_knobs, {"page_objects": 10, "expiry_form": "never"})
    link = (await client.graph(USERS)).json["@odata.nextLink"]
    clock.elapsed += 31 * 86_400
    client.tokens.clear()
    assert "30 days" in (await client.graph(link)).json["error"]["message"]


async def test_manager_changes_name_the_old_manager_as_removed(client: Client) -> None:
    """A changed manager is an array with the ended link, before or behind the new one."""
    directory = client.sandbox.directory
    user = next(user for user in directory.active_users() if user.manager)
    old, new = user.manager, next(u.id for u in directory.active_users() if u.id not in (user.id, user.manager))
    _, link = await client.round(USERS)
    directory.set_manager(user.id, new)
    entry = (await client.graph(link)).json["value"][0]
    assert [(e["id"], "@removed" in e) for e in entry["manager@delta"]] == [(old, True), (new, False)]
    client.sandbox.tenant_knobs.manager_removed_last = True
    entry = (await client.graph(link)).json["value"][0]
    assert [e["id"] for e in entry["manager@delta"]] == [new, old]


def test_knobs_refuse_unknown_names_and_wrong_types() -> None:
    """A mistyped knob changes nothing and is named."""
    for knobs, changes in (
        (TenantKnobs(), {"page_object": 5, "shuffle": True}),
        (TenantKnobs(), {"shuffle": 1}),
        (PortalKnobs(), {"max_length": "long"}),
        (TenantKnobs(), {"expiry_form": "some day", "shuffle": True}),
        (TenantKnobs(), {"purge_links_after": "never"}),
        (TenantKnobs(), {"page_objects": -1}),
        (TenantKnobs(), {"page_objects": 5.5}),
        (PortalKnobs(), {"no_seat_status": True}),
    ):
        before = repr(knobs)
        with pytest.raises(ConfigError):
            turn_knobs(knobs, changes)
        assert repr(knobs) == before


async def test_mirror_of_the_tests_keeps_absent_values(client: Client) -> None:
    """An incremental entry without a property leaves the mirror's value as it was."""
    mirror = Mirror()
    mirror.merge({"value": [{"id": "1", "jobTitle": "A"}]})
    mirror.merge({"value": [{"id": "1", "mail": None}]})
    assert mirror.objects["1"] == {"id": "1", "jobTitle": "A", "mail": None}
