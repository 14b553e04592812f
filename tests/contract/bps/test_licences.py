"""The adapter's licence requests against the imitation portal, under each setting of what nobody knows."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from syncd.bps.licence_records import parse_holders, parse_seats
from syncd.bps.portal import BpsPortal
from syncd.bps.probe import Check, probe_portal
from syncd.errors import Forbidden, Rejected
from syncd.model.licence import LicenceList, Seats, Step
from syncd.sandbox.server import SandboxOptions
from syncd.sandbox.wire.knobs import turn_knobs
from tests.contract.openapi import Judge
from tests.contract.sandbox_client import Client, MovableClock, open_client
from tests.fakes.rules import make_bps_options

PEOPLE = [f"u{number}@nordwind.example" for number in range(8)]


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    """A portal with eight people who are synchronised, and an application account."""
    options = SandboxOptions(users=0, groups=0, memberships=0, portal_delay=0.0)
    async with open_client(options, tmp_path, clock=MovableClock()) as opened:
        for bps_id in PEOPLE:
            await opened.portal("POST", "/admin/users", {"bpsId": bps_id, "name": bps_id, "email": bps_id})
        opened.sandbox.portal_service.store.settle()
        opened.sandbox.portal_service.observer = judge = Judge(licence_types=("Lite", "Core", "Premium", "Premium CAL"))
        yield opened
        assert judge.broken == []


@pytest.fixture
async def portal(client: Client) -> AsyncIterator[BpsPortal]:
    """The adapter."""
    sandbox = client.sandbox
    options = make_bps_options(
        portal_url=sandbox.portal_url,
        client_id=sandbox.portal_client_id,
        secret=lambda: sandbox.portal_client_secret,
        ca_file=sandbox.ca_file,
    )
    async with BpsPortal(options, MovableClock()) as opened:
        yield opened


def turn(client: Client, **knobs: Any) -> None:
    """Set switches of the portal."""
    turn_knobs(client.sandbox.portal_knobs, knobs)


def calls(client: Client) -> list[str]:
    """Return the requests so far."""
    judge = client.sandbox.portal_service.observer
    assert isinstance(judge, Judge)
    return [seen.replace("/admin/licenses/", "") for seen in judge.seen]


def grants(people: Sequence[str], kind: str = "User") -> list[Step]:
    """Return one grant for each person."""
    return [Step(bps_id=bps_id, type=kind) for bps_id in people]


async def held(portal: BpsPortal) -> dict[str, list[str]]:
    """Return who holds what."""
    found = await portal.fetch_licences()
    assert isinstance(found, LicenceList)
    assert found.complete
    return {holder.bps_id: [licence.type for licence in holder.licences] for holder in found.holders}


async def test_many_people_are_one_request(client: Client, portal: BpsPortal) -> None:
    """Granting and revoking together, whatever the number."""
    assert {result.verdict for result in await portal.change_licences(grants(PEOPLE))} == {"done"}
    steps = [
        Step(bps_id=PEOPLE[0], type="User", remove=True),
        Step(bps_id=PEOPLE[0], type="PowerUser"),
        Step(bps_id=PEOPLE[1], type="User", remove=True),
    ]
    assert {result.verdict for result in await portal.change_licences(steps)} == {"done"}
    assert calls(client) == ["POST assign 200", "POST assign 200"]
    assert await held(portal) == {PEOPLE[0]: ["PowerUser"], **{bps_id: ["User"] for bps_id in PEOPLE[2:]}}


@pytest.mark.parametrize("all_or_nothing", [True, False])
@pytest.mark.parametrize("repeated", ["ok", "conflict"])
@pytest.mark.parametrize("status", [402, 409])
async def test_a_refused_batch_is_narrowed_down_to_those_whom_it_concerns(
    client: Client, portal: BpsPortal, *, all_or_nothing: bool, repeated: str, status: int
) -> None:
    """An unknown account waits, the last ones go without a seat, and everybody else gets it."""
    turn(client, licence_all_or_nothing=all_or_nothing, licence_repeated=repeated, no_seat_status=status, seats=5)
    people = [*PEOPLE[:2], "nobody@nordwind.example", *PEOPLE[2:]]
    results = await portal.change_licences(grants(people))
    verdicts = {bps_id: result.verdict for bps_id, result in zip(people, results, strict=True)}
    assert verdicts.pop("nobody@nordwind.example") == "pending"
    assert sorted(verdicts.values()) == ["done"] * 5 + ["short"] * 3
    assert await held(portal) == {bps_id: ["User"] for bps_id, verdict in verdicts.items() if verdict == "done"}


async def test_an_account_that_is_no_user_fails_with_the_portals_reason(client: Client, portal: BpsPortal) -> None:
    """Nothing else is wrong with the request."""
    application = client.sandbox.portal_service.application.bps_id
    results = await portal.change_licences([*grants(PEOPLE[:1]), Step(bps_id=application, type="User")])
    assert [result.verdict for result in results] == ["done", "failed"]
    assert "409" in results[1].reason


@pytest.mark.parametrize("repeated", ["ok", "conflict"])
async def test_what_is_already_as_wanted_is_done(client: Client, portal: BpsPortal, *, repeated: str) -> None:
    """A repeated request, after an answer that was lost, say."""
    turn(client, licence_repeated=repeated)
    await portal.change_licences(grants(PEOPLE[:2]))
    assert {result.verdict for result in await portal.change_licences(grants(PEOPLE[:2]))} == {"done"}
    taken = [Step(bps_id=bps_id, type="User", remove=True) for bps_id in PEOPLE[:3]]
    for _ in range(2):
        assert {result.verdict for result in await portal.change_licences(taken)} == {"done"}
    assert await held(portal) == {}


async def test_a_licence_of_somebody_unknown_is_taken_already(portal: BpsPortal) -> None:
    """Nobody can hold what the portal does not know."""
    result = await portal.change_licences([Step(bps_id="nobody@nordwind.example", type="User", remove=True)])
    assert result[0].verdict == "done"


@pytest.mark.parametrize("removes_first", [True, False])
@pytest.mark.parametrize("exclusive", [True, False])
@pytest.mark.parametrize("repeated", ["ok", "conflict"])
async def test_the_type_changes_however_the_portal_sees_it(
    client: Client, portal: BpsPortal, *, removes_first: bool, exclusive: bool, repeated: str
) -> None:
    """Whether types exclude one another, and in which order a request is carried out."""
    turn(client, licence_removes_first=removes_first, licence_exclusive=exclusive, licence_repeated=repeated)
    await portal.change_licences(grants(PEOPLE[:1]))
    steps = [Step(bps_id=PEOPLE[0], type="User", remove=True), Step(bps_id=PEOPLE[0], type="PowerUser")]
    assert [result.verdict for result in await portal.change_licences(steps)] == ["done", "done"]
    assert await held(portal) == {PEOPLE[0]: ["PowerUser"]}


@pytest.mark.parametrize("processes", ["add", "replace"])
async def test_settings_travel_both_ways(client: Client, portal: BpsPortal, *, processes: str) -> None:
    """Designer desk flags and the processes of a single solution licence are read as they were written."""
    turn(client, licence_processes=processes)
    desk = {"project_creation": "true", "project_publishing": "false"}
    guid = "0a1b2c3d-0000-0000-0000-00000000000a"
    await portal.change_licences(
        [
            Step(bps_id=PEOPLE[0], type="DesignerDeskUser", settings=desk),
            Step(bps_id=PEOPLE[1], type="SingleSolutionUser", settings={"processes": f"1/7/ 2//{guid}"}),
        ]
    )
    await portal.change_licences(
        [Step(bps_id=PEOPLE[1], type="SingleSolutionUser", settings={"processes": f"1/7/ 1/8/ 2//{guid}"})]
    )
    await portal.change_licences(
        [Step(bps_id=PEOPLE[1], type="SingleSolutionUser", settings={"processes": "1/7/"}, remove=True)]
    )
    found = await portal.fetch_licences()
    assert found is not None
    by_id = {holder.bps_id: holder.licences[0].settings for holder in found.holders}
    assert by_id == {PEOPLE[0]: desk, PEOPLE[1]: {"processes": f"1/8/ 2//{guid}"}}
    await portal.change_licences([Step(bps_id=PEOPLE[1], type="SingleSolutionUser", remove=True)])
    assert PEOPLE[1] not in await held(portal)


async def test_licences_of_deleted_accounts_and_hidden_settings_can_be_read(client: Client, portal: BpsPortal) -> None:
    """A seat outlives its account, and settings that are not shown are not taken for empty ones."""
    turn(client, licence_settings_shown=False)
    desk = {"project_creation": "true", "project_publishing": "true"}
    await portal.change_licences([Step(bps_id=PEOPLE[0], type="DesignerDeskUser", settings=desk)])
    await portal.delete_account(PEOPLE[0])
    found = await portal.fetch_licences()
    assert found is not None
    assert found.holders[0].licences[0].settings is None
    seats = await portal.fetch_seats()
    assert seats is not None
    assert {kind.type: (kind.total, kind.assigned) for kind in seats}["DesignerDeskUser"] == (100, 1)
    turn(client, removed_holders_listed=False)
    assert await held(portal) == {}


async def test_perpetual_licensing_is_told_from_a_missing_scope(client: Client, portal: BpsPortal) -> None:
    """The one is no error when reading; the other names the scope."""
    turn(client, perpetual_licences=True)
    assert await portal.fetch_licences() is None
    assert await portal.fetch_seats() is None
    with pytest.raises(Rejected) as refused:
        await portal.change_licences(grants(PEOPLE[:1]))
    assert refused.value.code == "UnsupportedLicensingType"
    turn(client, perpetual_licences=False)
    client.sandbox.portal_service.application.scopes.discard("Admin.Licenses.ReadWrite")
    portal.tokens.invalidate(await portal.tokens.fetch_token())
    with pytest.raises(Forbidden, match=r"Admin\.Licenses\.Read"):
        await portal.fetch_licences()


async def test_a_type_that_the_portal_does_not_offer_costs_few_requests(client: Client, portal: BpsPortal) -> None:
    """One person is explained with what is offered instead, and nobody else is tried for that type."""
    turn(client, licence_types="Lite, Core, Premium")
    results = await portal.change_licences(grants(PEOPLE, "Premium CAL"))
    assert {(each.verdict, each.reason) for each in results} == {
        ("short", "the portal offers no licences of type Premium CAL (it offers Core, Lite, Premium)")
    }
    assert len(calls(client)) <= 4 + 2
    assert {each.verdict for each in await portal.change_licences(grants(PEOPLE, "Premium"))} == {"done"}
    assert list((await held(portal)).values()) == [["Premium"]] * len(PEOPLE)


async def test_unknown_numbers_and_unlimited_types_are_read(portal: BpsPortal, client: Client) -> None:
    """A number beyond the document's list is a type as well, and one without a limit is offered."""
    found = parse_holders({"assignedLicenses": [{"bpsId": "a@x.com", "licenses": [{"type": 1}, {"type": 17}]}]})
    assert found.complete
    assert [each.type for each in found.holders[0].licences] == ["17", "PowerUser"]
    seats = parse_seats({"licenses": [{"license": 9, "total": -1, "assigned": 3}, {"license": "Lite", "total": None}]})
    assert seats == (Seats("9", None, 3), Seats("Lite", None, 0))
    assert not any(each.used_up for each in seats)


async def test_check_lists_the_types_that_are_offered(client: Client, portal: BpsPortal) -> None:
    """With their seats; and a rule for another type is warned of, with those to choose from."""

    async def look(*types: str) -> Check:
        rows = await probe_portal(portal, licences=True, types=types)
        return next(row for row in rows if row.check == "portal licence types")

    assert "PowerUser (0 of 100 assigned)" in (await look("User")).detail
    turn(client, licence_types="Lite, Premium")
    assert (await look("Lite")).status == "ok"
    wrong = await look("Lite", "User")
    assert wrong.status == "warning"
    assert "no licences of type User (it offers Lite, Premium)" in wrong.detail
    assert "licences.type" in wrong.remedy


async def test_check_tries_licences_only_where_there_are_rules(client: Client, portal: BpsPortal) -> None:
    """Reading and writing are told apart, perpetual licensing is a warning, and nothing is changed."""

    async def found(*, licences: bool) -> dict[str, str]:
        checks = await probe_portal(portal, licences=licences)
        return {check.check: check.status for check in checks if "licenses" in check.check}

    assert await found(licences=False) == {}
    assert await found(licences=True) == {"portal licenses read": "ok", "portal licenses write": "ok"}
    turn(client, licence_repeated="conflict")
    assert await found(licences=True) == {"portal licenses read": "ok", "portal licenses write": "ok"}
    turn(client, perpetual_licences=True)
    assert await found(licences=True) == {"portal licenses read": "warning"}
    turn(client, perpetual_licences=False)
    scopes = client.sandbox.portal_service.application.scopes
    scopes.remove("Admin.Licenses.ReadWrite")
    scopes.add("Admin.Licenses.Read")
    portal.tokens.invalidate(await portal.tokens.fetch_token())
    assert await found(licences=True) == {"portal licenses read": "ok", "portal licenses write": "failed"}
    scopes.remove("Admin.Licenses.Read")
    portal.tokens.invalidate(await portal.tokens.fetch_token())
    assert await found(licences=True) == {"portal licenses read": "failed", "portal licenses write": "failed"}
    assert client.sandbox.portal_service.licences.holders == {}
