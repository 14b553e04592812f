"""The imitation delta: a baseline is the truth, every operation becomes an increment, tokens die as Graph's do."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from syncd.sandbox.server import SandboxOptions
from tests.contract.sandbox_client import Client, Mirror, MovableClock, open_client

USERS = "/users/delta?$select=displayName,userPrincipalName,mail,jobTitle,accountEnabled,manager"
GROUPS = "/groups/delta?$select=displayName,mail,members"


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


@pytest.fixture
async def client(tmp_path: Path, clock: MovableClock) -> AsyncIterator[Client]:
    async with open_client(SandboxOptions(users=60, groups=20, memberships=300), tmp_path, clock=clock) as opened:
        yield opened


def assert_mirrors(users: Mirror, groups: Mirror, client: Client) -> None:
    """Compare what was read with the tenant: objects, links and managers."""
    directory = client.sandbox.directory
    assert users.objects.keys() == {user.id for user in directory.active_users()}
    assert groups.objects.keys() == {group.id for group in directory.active_groups()}
    for group in directory.active_groups():
        assert groups.links[group.id] == set(group.members), group.properties["displayName"]
    for user in directory.active_users():
        assert users.managers.get(user.id) == user.manager
        for name, value in users.objects[user.id].items():
            assert value == (user.id if name == "id" else user.properties[name])


async def test_baseline_is_the_truth(client: Client) -> None:
    """Following all links of an initial round gives exactly the tenant's users, groups, links and managers."""
    users, _ = await client.round(USERS)
    groups, _ = await client.round(GROUPS)
    assert_mirrors(users, groups, client)


async def test_round_without_changes_is_one_empty_page_with_a_delta_link(client: Client) -> None:
    """Nothing changed: one request, no entry, a new delta link."""
    _, link = await client.round(USERS)
    mirror, again = await client.round(link)
    assert (len(mirror.pages), mirror.pages[0]["value"], again != link) == (1, [], True)


async def test_every_operation_becomes_an_increment(client: Client) -> None:
    """After any operation a round from the delta link brings the mirror up to the truth again."""
    directory = client.sandbox.directory
    users, user_link = await client.round(USERS)
    groups, group_link = await client.round(GROUPS)
    first, second, third, fourth = [user.id for user in directory.active_users()][20:24]
    one, two = (group.id for group in list(directory.active_groups())[:2])
    hired = directory.hire("Nowa Osoba", "nowa.osoba@nordwind.example", manager=first)
    made = directory.create_group({"displayName": "New"}, members=[hired, two], owners=[first])
    for operate in (
        lambda: directory.rename(first, display_name="Other Name", upn="other.name@nordwind.example"),
        lambda: directory.move(second, department="IT", manager=third, leave_groups=[one], join_groups=[two]),
        lambda: directory.set_manager(second, None),
        lambda: directory.disable(third),
        lambda: directory.set_attributes(third, jobTitle=None),
        lambda: directory.soft_delete(fourth),
        lambda: directory.restore(fourth),
        lambda: directory.hard_delete(third),
        lambda: directory.add_member(made, made),
        lambda: directory.remove_member(made, two),
        lambda: directory.empty_group(one),
        lambda: directory.delete_group(two),
        lambda: directory.restore(two),
        lambda: directory.swap_names(first, second),
        lambda: directory.invite_guest("new@partner.example", display_name="New Guest"),
        lambda: directory.hard_delete(made),
    ):
        operate()
        _, user_link = await client.round(user_link, users)
        _, group_link = await client.round(group_link, groups)
        assert_mirrors(users, groups, client)


async def test_unselected_and_untracked_changes_are_silent(client: Client) -> None:
    """A change of a property that is not selected does not appear."""
    _, link = await client.round(USERS)
    user = next(client.sandbox.directory.active_users())
    client.sandbox.directory.set_attributes(user.id, department="Elsewhere")
    mirror, _ = await client.round(link)
    assert mirror.pages[0]["value"] == []


async def test_cleared_values_are_null_and_never_set_ones_are_absent(client: Client) -> None:
    """Absent means never set, null means cleared, in both modes; minimal mode names only what changed."""
    directory = client.sandbox.directory
    user_id = directory.create_user({"userPrincipalName": "x@nordwind.example", "jobTitle": "Clerk"})
    mirror, link = await client.round(USERS)
    assert mirror.objects[user_id] == {
        "id": user_id,
        "userPrincipalName": "x@nordwind.example",
        "jobTitle": "Clerk",
    }
    directory.set_attributes(user_id, jobTitle=None)
    page = (await client.graph(link)).json
    assert page["value"] == [{"id": user_id, "userPrincipalName": "x@nordwind.example", "jobTitle": None}]
    reply = await client.graph(link, headers={"Prefer": "return=minimal"})
    assert reply.json["value"] == [{"id": user_id, "jobTitle": None}]
    assert reply.headers["Preference-Applied"] == "return=minimal"


async def test_removals_carry_their_reason(client: Client) -> None:
    """A restorable deletion is "changed", a final one "deleted"; a restored object is there as if new."""
    directory = client.sandbox.directory
    soft, hard = [user.id for user in directory.active_users()][10:12]
    _, link = await client.round(USERS)
    directory.soft_delete(soft)
    directory.hard_delete(hard)
    mirror, link = await client.round(link)
    assert (mirror.removed[soft], mirror.removed[hard]) == ("changed", "deleted")
    directory.restore(soft)
    mirror, link = await client.round(link)
    assert mirror.objects[soft]["userPrincipalName"] == directory.get(soft).properties["userPrincipalName"]
    directory.soft_delete(soft)
    directory.hard_delete(soft)
    mirror, _ = await client.round(link)
    assert mirror.removed == {soft: "deleted"}


async def test_restorable_users_keep_their_links_and_purged_ones_lose_them(client: Client) -> None:
    """A soft deletion says nothing in the groups stream; the links end with the final deletion."""
    directory = client.sandbox.directory
    group = next(g for g in directory.active_groups() if any(directory.get(m).kind == "user" for m in g.members))
    user_id = next(m for m in group.members if directory.get(m).kind == "user")
    groups, link = await client.round(GROUPS)
    directory.soft_delete(user_id)
    silent, link = await client.round(link, groups)
    assert user_id in silent.links[group.id]
    directory.restore(user_id)
    assert (await client.round(link))[0].pages[0]["value"] == []
    directory.hard_delete(user_id)
    groups, _ = await client.round(link, groups)
    assert user_id not in groups.links[group.id]


async def test_pages_hold_200_objects_and_500_links(tmp_path: Path) -> None:
    """A big group is named again on the following pages until its links are drained."""
    options = SandboxOptions(users=1300, groups=20, memberships=4000, big_groups=1, big_group_size=1300)
    async with open_client(options, tmp_path) as client:
        users, _ = await client.round(USERS)
        assert [len(page["value"]) for page in users.pages] == [200] * 6 + [100]
        groups, _ = await client.round(GROUPS)
        assert all(sum(len(e.get("members@delta", ())) for e in page["value"]) <= 500 for page in groups.pages)
        big = next(client.sandbox.directory.active_groups())
        pieces = [e for page in groups.pages for e in page["value"] if e["id"] == big.id]
        assert len(pieces) == 3
        assert len({piece["displayName"] for piece in pieces}) == 1
        assert groups.links[big.id] == set(big.members)


async def test_changes_inside_a_round_are_never_lost(client: Client) -> None:
    """What changes between two pages arrives in this round or in the next one."""
    knobs, directory = client.sandbox.tenant_knobs, client.sandbox.directory
    knobs.page_objects, knobs.page_links = 7, 11
    groups = Mirror()
    link, page = GROUPS, {}
    members = [user.id for user in directory.active_users()][30:]
    for number in range(1000):
        page = (await client.graph(link)).json
        groups.merge(page)
        if "@odata.deltaLink" in page:
            break
        link = page["@odata.nextLink"]
        victim = list(directory.active_groups())[number % 20]
        for member in list(victim.members)[:2]:
            directory.remove_member(victim.id, member)
        directory.add_member(victim.id, members[number % len(members)])
    await client.round(page["@odata.deltaLink"], groups)
    for group in directory.active_groups():
        assert groups.links[group.id] == set(group.members)


async def test_latest_opens_a_delta_link_without_content(client: Client) -> None:
    """``$deltatoken=latest`` gives an empty page, and later only what changed since."""
    mirror, link = await client.round(f"{USERS}&$deltatoken=latest")
    assert mirror.objects == {}
    hired = client.sandbox.directory.hire("A B", "a.b@nordwind.example")
    mirror, _ = await client.round(link)
    assert mirror.objects.keys() == {hired}


async def test_an_old_delta_link_replays(client: Client) -> None:
    """A link used twice reports the same changes twice, and the ledger notes the older link."""
    _, old = await client.round(USERS)
    hired = client.sandbox.directory.hire("A B", "a.b@nordwind.example")
    await client.round(old)
    mirror, _ = await client.round(old)
    assert mirror.objects.keys() == {hired}
    assert client.sandbox.ledger.notes["older delta link used again"] == 1
    assert not client.sandbox.ledger.violations, "whoever died before the newer one was stored may use the old one"


async def test_whoever_goes_back_to_an_older_delta_link_breaks_a_rule(client: Client) -> None:
    """A newer one that was used had been stored; another reader of the same tenant is another matter."""
    _, first = await client.round(USERS)
    _, other = await client.round(USERS)
    _, second = await client.round(first)
    await client.round(second)
    await client.round(second)
    await client.round(other)
    assert not client.sandbox.ledger.violations
    await client.round(first)
    assert [violation.rule for violation in client.sandbox.ledger.violations] == ["older-link"]


@pytest.mark.parametrize("path", ["/users/delta()", "/users/microsoft.graph.delta", "/users/microsoft.graph.delta()"])
async def test_other_spellings_of_delta(client: Client, path: str) -> None:
    """All names of the function and the encoded dollar sign are understood; ``$top`` and ``$expand`` are ignored."""
    reply = await client.graph(f"{path}?%24select=id&$top=1&$expand=manager&$orderby=id")
    assert len(reply.json["value"]) == 60


async def test_filter_by_id(client: Client) -> None:
    """A round may be limited to at most fifty ids."""
    wanted = [user.id for user in client.sandbox.directory.active_users()][:51]
    two = "%20or%20".join(f"id%20eq%20%27{user_id}%27" for user_id in wanted[:2])
    mirror, _ = await client.round(f"/users/delta?$select=displayName&$filter={two}")
    assert mirror.objects.keys() == set(wanted[:2])
    many = "%20or%20".join(f"id%20eq%20%27{user_id}%27" for user_id in wanted)
    assert (await client.graph(f"/users/delta?$filter={many}")).status == 400


@pytest.mark.parametrize(
    ("suffix", "rule"),
    [
        ("&$select=id", "select-on-skiptoken"),
        ("&$deltatoken=x", None),
    ],
)
async def test_next_links_take_no_further_options(client: Client, suffix: str, rule: str | None) -> None:
    """``$select`` or a second token on a nextLink is refused."""
    client.sandbox.tenant_knobs.page_objects = 10
    link = (await client.graph(USERS)).json["@odata.nextLink"]
    assert (await client.graph(link + suffix)).status == 400
    assert [violation.rule for violation in client.sandbox.ledger.violations] == ([rule] if rule else [])


async def test_links_must_come_back_byte_for_byte(client: Client) -> None:
    """A link that was decoded and encoded again, or whose token was changed, is refused and written down."""
    client.sandbox.tenant_knobs.page_objects = 10
    link = (await client.graph(USERS)).json["@odata.nextLink"]
    assert all(text in link for text in ("%2B", "%2F", "%27", "%24", "%3D"))
    for spoiled in (link.replace("%27", "'"), link.replace("%2F", "/"), link.replace("$skip", "%24skip"), link[:-9]):
        assert (await client.graph(spoiled)).code == "Request_BadRequest"
    rules = [violation.rule for violation in client.sandbox.ledger.violations]
    assert rules == ["altered-link", "altered-link", "altered-link", "unknown-token"]
    assert (await client.graph(link)).status == 200


async def test_a_token_of_the_other_stream_is_refused(client: Client) -> None:
    """A users link does not open the groups stream."""
    _, link = await client.round(USERS)
    assert (await client.graph(link.replace("/users/", "/groups/"))).status == 400


@pytest.mark.parametrize(
    ("form", "status", "code"),
    [
        ("unsupported_query", 400, "Request_UnsupportedQuery"),
        ("sync_state_not_found", 400, "syncStateNotFound"),
        ("gone", 410, "resyncRequired"),
    ],
)
async def test_delta_links_expire_after_seven_days(
    client: Client, clock: MovableClock, form: str, status: int, code: str
) -> None:
    """An old link is answered in each of the three forms that were seen; each round gives a fresh one."""
    client.sandbox.tenant_knobs.expiry_form = form  # type: ignore[assignment]  # parametrised literals
    _, link = await client.round(USERS)
    clock.elapsed += 6 * 86_400
    client.tokens.clear()
    _, link = await client.round(link)
    clock.elapsed += 6 * 86_400
    client.tokens.clear()
    _, link = await client.round(link)
    clock.elapsed += 7 * 86_400 + 1
    client.tokens.clear()
    reply = await client.graph(link)
    assert (reply.status, reply.code) == (status, code)


async def test_reset_answers_gone_with_a_fresh_start(client: Client) -> None:
    """A reset is 410 with a Location whose empty token begins an initial round."""
    _, link = await client.round(USERS)
    client.sandbox.graph.engine.reset_checkpoints()
    reply = await client.graph(link)
    assert reply.status == 410
    assert "$deltatoken=&" in reply.headers["Location"]
    mirror, link = await client.round(reply.headers["Location"])
    assert len(mirror.objects) == 60
    assert (await client.graph(link)).status == 200


async def test_forced_expiry_hits_all_links_so_far(client: Client) -> None:
    """Links handed out before the expiry are dead, later ones live."""
    _, link = await client.round(USERS)
    client.sandbox.graph.engine.expire_checkpoints()
    assert (await client.graph(link)).code == "Request_UnsupportedQuery"
    _, link = await client.round(USERS)
    assert (await client.graph(link)).status == 200


async def test_untracked_and_unknown_properties_are_refused(client: Client) -> None:
    """``$select`` of a property that delta cannot track, or that does not exist, is a bad request."""
    reply = await client.graph("/users/delta?$select=id,signInActivity")
    assert (reply.status, reply.code) == (400, "BadRequest")
    assert "signInActivity" in reply.json["error"]["message"]
    assert (await client.graph("/users/delta?$select=id,favouriteColour")).status == 400


async def test_hidden_memberships_need_their_own_permission(client: Client) -> None:
    """Without Member.Read.Hidden the members of such a group are not reported."""
    directory = client.sandbox.directory
    user = next(directory.active_users())
    group_id = directory.create_group({"displayName": "H", "visibility": "HiddenMembership"}, members=[user.id])
    mirror, link = await client.round(GROUPS)
    assert mirror.links[group_id] == {user.id}
    client.sandbox.registration.roles.discard("Member.Read.Hidden")
    client.tokens.clear()
    mirror, _ = await client.round(GROUPS)
    assert mirror.links[group_id] == set()
    directory.remove_member(group_id, user.id)
    assert all("members@delta" not in e for e in (await client.graph(link)).json["value"])


async def test_owners_are_tracked_when_selected(client: Client) -> None:
    """``$select=owners`` reports ownerships like members, in the initial round and later."""
    directory = client.sandbox.directory
    one, two = [user.id for user in directory.active_users()][:2]
    group_id = directory.create_group({"displayName": "Owned"}, owners=[one])
    mirror, link = await client.round("/groups/delta?$select=displayName,owners,members")
    entry = next(e for page in mirror.pages for e in page["value"] if e["id"] == group_id)
    assert [owner["id"] for owner in entry["owners@delta"]] == [one]
    directory.add_owner(group_id, two)
    directory.remove_owner(group_id, one)
    entry = (await client.graph(link)).json["value"][0]
    assert [(o["id"], "@removed" in o) for o in entry["owners@delta"]] == [(two, False), (one, True)]
