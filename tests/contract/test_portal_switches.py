"""A whole life in a portal, on every kind of portal that the facts leave possible, judged by WEBCON's own document.

People join, get managers, licences and places in groups, change, are renamed, leave and are deleted. Each time the
portal is another in one respect (a switch of the imitation, for each fact that is not known), and in the end it must
hold the same.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from syncd.model.target import PortalGroup
from syncd.store.reports.status import Report
from tests.contract.office import DAY, Office
from tests.contract.openapi import load_contract
from tests.fakes.wired import Asked

SWITCHES: tuple[dict[str, Any], ...] = (
    {},
    {"pending_visible": False},
    {"pending_visible": False, "sync_delay_min": 30.0, "sync_delay_max": 90.0},
    {"sync_delay_min": 0.0, "sync_delay_max": 0.0},
    {"builtin_visible": True},
    {"applications_visible": False},
    {"duplicate_group_status": 409},
    {"remove_non_member": "conflict"},
    {"unknown_property": "ignore"},
    {"unknown_manager": "conflict"},
    {"unknown_manager": "accept"},
    {"clearing": "empty"},
    {"clearing": "null"},
    {"case_matters": True},
    {"deletion_clears_places": False},
    {"max_page_size": 1},
    {"tombstone": 60.0},
    {"token_names_lifetime": False},
    {"token_lifetime": 5},
    {"installation": "saas"},
    {"version": "2024R1"},
    {"version": "2025R1"},
    {"version": "2025R2"},
    {"substitution_answer": "nothing"},
    {"substitution_first_page": 1},
    {"no_seat_status": 402},
    {"licence_all_or_nothing": False},
    {"licence_removes_first": False},
    {"licence_repeated": "conflict"},
    {"licence_exclusive": True},
    {"licence_processes": "replace"},
    {"licence_settings_shown": False},
    {"licence_pending": "accept"},
    {"removed_holders_listed": False},
)


@pytest.mark.parametrize("office", SWITCHES, indirect=True, ids=lambda knobs: ",".join(map(str, knobs)) or "default")
async def test_a_whole_life_ends_alike_on_every_kind_of_portal(office: Office) -> None:
    """Joining, changing, clearing, renaming, leaving and being deleted: the same end whatever the portal is like."""
    assert (await office.sync("full")).status == "succeeded"
    accounts = office.wire.store.accounts
    strangers = {key: dict(accounts[key].values) for key in ("stranger@portal", "synced@portal")}
    assert office.members("g@grp") == {"ann@x.com", "ben@x.com", "cleo@x.com"}
    assert office.members("g@grp", "owners") == {"ann@x.com"}
    assert accounts["ben@x.com"].values["managerBpsId"] == "ann@x.com"
    assert office.held() == {
        **{f"{name}@x.com": {"PowerUser"} for name in ("ann", "ben", "cleo")},
        "dora@x.com": {"User"},
    }
    source = office.source
    source.put_user("ben", mobilePhone=None, jobTitle=None, manager="")
    source.put_user("cleo", displayName="Cleopatra", userPrincipalName="cleo.new@x.com", mail="cleo.new@x.com")
    source.put_user("dora", userPrincipalName="Dora@X.com")
    source.put_user("ann", accountEnabled=False)
    assert (await office.sync()).status == "succeeded"
    assert not (await office.sync("full")).counts.get("done")
    assert [accounts["ben@x.com"].values[name] for name in ("phoneNumber", "jobTitle", "managerBpsId")] == [None] * 3
    assert office.members("g@grp") == {"ben@x.com", "cleo.new@x.com"}
    assert office.members("g@grp", "owners") == set()
    assert office.held() == {"ben@x.com": {"PowerUser"}, "cleo.new@x.com": {"PowerUser"}, "dora@x.com": {"User"}}
    assert len([key for key in accounts if key.casefold() == "dora@x.com"]) == 1
    assert {"ann@x.com", "cleo@x.com"} <= accounts.keys()
    office.take_asked()
    office.clock.elapsed += 4 * DAY
    source.remove_group("i")
    assert (await office.sync()).status == "succeeded"
    assert Asked("delete", "user", "ann@x.com") in office.take_asked()
    assert "ann@x.com" not in accounts
    assert "cleo@x.com" in accounts, "who was renamed is not deleted where deleted_users says revoke"
    office.clock.elapsed += 4 * DAY
    assert (await office.sync()).status == "succeeded"
    assert Asked("delete", "group", "i@grp") in office.take_asked()
    assert "i@grp" not in office.wire.store.groups
    source.put_user("ann", accountEnabled=True)  # back: the account is made anew, with everything
    assert (await office.sync()).status == "succeeded"
    last = await office.sync("full")
    assert (last.status, last.counts.get("done")) == ("succeeded", None)
    assert office.members("g@grp") == {"ann@x.com", "ben@x.com", "cleo.new@x.com"}
    assert office.held()["ann@x.com"] == {"PowerUser"}
    assert {key: dict(accounts[key].values) for key in strangers} == strangers


@pytest.mark.parametrize("office", [{"clearing": "ignored"}, {"clearing": "refused"}], indirect=True)
async def test_a_value_that_the_portal_never_clears_fails_alone_and_by_name(office: Office) -> None:
    """Everything else of that person and of the others is written, and the reason says what to do."""
    await office.sync("full")
    office.source.put_user("ben", mobilePhone=None, jobTitle="Chief")
    office.source.put_user("dora", jobTitle="Clerk")
    assert (await office.sync()).status == "partial"
    accounts = office.wire.store.accounts
    assert (accounts["ben@x.com"].values["phoneNumber"], accounts["ben@x.com"].values["jobTitle"]) == ("1", "Chief")
    assert accounts["dora@x.com"].values["jobTitle"] == "Clerk"
    line = next(
        line for line in Report(office.database, office.rules.policy).iterate("user") if line.source_id == "ben"
    )
    assert line.state == "failing"


@pytest.mark.parametrize("office", [{"installation": "sharepoint"}], indirect=True)
async def test_an_installation_without_groups_still_gets_its_people(office: Office) -> None:
    """Accounts, managers and licences are written once the groups are left out, as the message says."""
    run = await office.sync("full")
    assert run.status == "failed"
    assert "SharePoint" in run.error
    assert office.take_asked() == []


@pytest.mark.parametrize("office", [{"max_length": 10}], indirect=True)
async def test_a_value_that_is_too_long_for_the_portal_fails_one_person_only(office: Office) -> None:
    """There is no documented limit; where there is one, that account fails with the portal's words."""
    office.hire("eve", group="g", jobTitle="Chief of everything")
    run = await office.sync("full")
    assert run.status == "partial"
    assert "eve@x.com" not in office.wire.store.accounts
    assert "ben@x.com" in office.members("g@grp")
    office.source.put_user("eve", jobTitle="Chief")
    assert (await office.sync()).status == "succeeded"
    assert "eve@x.com" in office.members("g@grp")


@pytest.mark.parametrize("office", [{"tombstone": 30 * DAY}], indirect=True)
async def test_an_id_that_cannot_be_used_again_at_once_is_waited_for(office: Office) -> None:
    """Who returns after the deletion fails by name until the portal lets the id go; nobody else is concerned."""
    await office.sync("full")
    office.source.put_user("ann", accountEnabled=False)
    await office.sync()
    office.clock.elapsed += 4 * DAY
    await office.sync()
    assert "ann@x.com" not in office.wire.store.accounts
    office.source.put_user("ann", accountEnabled=True)
    office.source.put_user("dora", jobTitle="Clerk")
    assert (await office.sync()).status == "partial"
    assert office.wire.store.accounts["dora@x.com"].values["jobTitle"] == "Clerk"
    office.clock.elapsed += 31 * DAY
    assert (await office.sync()).status == "succeeded"
    assert "ann@x.com" in office.members("g@grp")


@pytest.mark.parametrize("office", [{"deletion_clears_places": False}], indirect=True)
async def test_the_place_of_a_kept_leaver_outlives_the_account(office: Office) -> None:
    """Somebody removes the account by hand, and the portal leaves it in its groups: nobody had put it in by hand."""
    office.rules = replace(office.rules, policy=replace(office.rules.policy, disabled_users="keep"))
    await office.sync("full")
    office.source.put_user("ben", accountEnabled=False)
    await office.sync()
    office.wire.store.delete_user("ben@x.com")
    office.wire.store.groups["g@grp"].members["stranger@portal"] = None
    office.take_asked()
    assert (await office.sync("full")).status == "succeeded"
    assert office.take_asked() == [Asked("unlink", "membership", "g@grp", "stranger@portal")]
    assert "ben@x.com" in office.members("g@grp")
    assert not (await office.sync("full")).counts.get("done")
    office.rules = replace(office.rules, policy=replace(office.rules.policy, disabled_users="revoke"))
    await office.sync("full")
    assert Asked("unlink", "membership", "g@grp", "ben@x.com") in office.take_asked()


@pytest.mark.parametrize("office", [{"perpetual_licences": True}], indirect=True)
async def test_perpetual_licensing_hinders_no_deletion(office: Office) -> None:
    """Nobody can revoke there; the account is deleted when its grace has ended all the same."""
    await office.sync("full")
    office.source.put_user("ann", accountEnabled=False)
    await office.sync()
    office.clock.elapsed += 4 * DAY
    assert (await office.sync()).status == "succeeded"
    assert "ann@x.com" not in office.wire.store.accounts


# ---- the document ---------------------------------------------------------------------------------------------------


async def test_every_deletion_and_change_fits_webcons_document(office: Office) -> None:
    """Also those that the other judged history never sends: users, groups, owners and substitutions that end."""
    load_contract()
    await test_a_whole_life_ends_alike_on_every_kind_of_portal(office)
    assert office.judge.judged > 50
    assert office.judge.broken == []


# ---- the number of calls --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("office", [{"sync_delay_min": 0.0, "sync_delay_max": 0.0}], indirect=True)
async def test_a_first_push_and_a_delta_use_the_fewest_calls_there_can_be(office: Office) -> None:
    """One per account, per manager that cannot go with it, per group, per batch; a delta run none besides."""
    office.per_request = 10
    office.rules = replace(office.rules, licences=())
    office.source.page_size = 1000
    for number in range(60):
        office.hire(f"p{number}", group="g")
        office.source.put_user(f"p{number}", manager="ann" if number else "p1")
    office.wire.ledger.clear()
    assert (await office.sync("full")).status == "succeeded"
    calls = _count_writes(office)
    people, managed, groups = 64, 62, 3
    batches = -(-63 // 10) + 1 + 1 + 1  # members of g, of h and of i, owners of g
    minimum = people + managed + groups + batches
    assert sum(calls.values()) <= minimum * 1.05, calls
    assert calls["POST users"] == people
    office.wire.ledger.clear()
    office.source.put_user("ben", jobTitle="Chief")
    office.hire("eve", group="h")
    office.source.unlink("g", "cleo")
    assert (await office.sync()).status == "succeeded"
    requests = {route: number for (side, route), number in office.wire.ledger.routes.items() if route != "token"}
    assert _count_writes(office) == {
        "PATCH users/{bpsId}": 1,
        "POST users": 1,
        "POST groups/{bpsId}/members/add": 1,
        "POST groups/{bpsId}/members/remove": 1,
    }
    reads = sum(number for route, number in requests.items() if route.startswith("GET"))
    assert reads <= 1, requests  # the new account must be synchronised before it can be a member


@pytest.mark.parametrize("office", [{"sync_delay_min": 0.0, "sync_delay_max": 0.0}], indirect=True)
async def test_nesting_owners_and_licences_cost_the_fewest_calls_as_well(office: Office) -> None:
    """A company with all of them from nothing, then whatever can happen on one day, in one delta run."""
    office.per_request = 10
    source = office.source
    source.page_size = 1000
    source.put_group("k", displayName="Group k", mailNickname="k@grp")
    source.link("k", "g", "group")
    source.link("k", "h", "group")
    for number in range(40):
        office.hire(f"p{number}", group="g")
        source.put_user(f"p{number}", manager="ann")
    source.own("k", "ann")
    source.own("k", "ben")
    office.wire.ledger.clear()
    assert (await office.sync("full")).status == "succeeded"
    calls = _count_writes(office)
    people, groups = 44, 4
    members = -(-43 // 10) + 1 + 1 + -(-44 // 10)  # of g, h, i, and k with everybody in g and h
    owners = 1 + 1  # of g and k
    assert calls.pop("POST users") == people
    assert calls.pop("POST groups") == groups
    assert calls.pop("POST groups/{bpsId}/members/add") == members
    assert calls.pop("POST groups/{bpsId}/owners/add") == owners
    assert calls == {"POST licenses/assign": -(-44 // 10)}
    assert {account for account, types in office.held().items() if types} == {
        f"{name}@x.com" for name in ("ann", "ben", "cleo", "dora", *(f"p{number}" for number in range(40)))
    }
    office.wire.ledger.clear()
    office.hire("eve", group="h")  # a hire: an account, a licence, places in h and k
    source.put_user("eve", manager="ann")
    source.put_user("cleo", accountEnabled=False)  # a leaver: out of g and k, the licence back
    source.put_user("ben", displayName="Benjamin", jobTitle="Chief")  # two fields of one person
    source.put_user("p1", manager="ben")  # a move under another manager
    source.unlink("g", "p2")  # and one from group to group, with the same rank in k
    source.link("h", "p2")
    source.put_group("i", displayName="Group I")  # a group with a new name
    source.disown("k", "ben")
    assert (await office.sync()).status == "succeeded"
    assert _count_writes(office) == {
        "POST users": 1,
        "PATCH users/{bpsId}": 2,
        "PATCH groups/{bpsId}": 1,
        "POST groups/{bpsId}/members/add": 2,
        "POST groups/{bpsId}/members/remove": 2,
        "POST groups/{bpsId}/owners/remove": 1,
        "POST licenses/assign": 2,  # what frees seats first: cleo's, then those who are to have User
    }
    office.wire.ledger.clear()
    assert not (await office.sync("full")).counts.get("done")
    assert _count_writes(office) == {}


def _count_writes(office: Office) -> dict[str, int]:
    routes = office.wire.ledger.routes.items()
    return {route: number for (_, route), number in routes if route != "token" and not route.startswith("GET")}


@pytest.mark.parametrize("per_request", [200, 1000])
async def test_a_group_of_fifty_thousand_is_filled_and_emptied_in_batches(office: Office, per_request: int) -> None:
    """As many calls as batches, each of the configured size, and nobody is forgotten."""
    wire = office.wire
    wire.knobs.sync_delay_min = wire.knobs.sync_delay_max = 0.0
    office.wire.observer = None  # half a million entries need not be compared one by one
    ids = [f"m{number}@x.com" for number in range(50_000)]
    for bps_id in ids:
        wire.add_account(bps_id)
    portal = wire.open(members_per_request=per_request)
    await portal.create_group(PortalGroup(bps_id="big@grp", name="Big", email="big@grp"))
    wire.ledger.clear()
    assert len((await portal.add_members("big@grp", ids)).done) == 50_000
    assert len(office.members("big@grp")) == 50_000
    assert len((await portal.remove_members("big@grp", ids)).done) == 50_000
    assert office.members("big@grp") == set()
    assert sum(_count_writes(office).values()) == 2 * 50_000 // per_request
