"""The adapter's requests about privileges against the imitation portal, under each setting of what nobody knows."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from syncd.bps.portal import BpsPortal
from syncd.errors import Forbidden, NotFound, ProtocolError, RemoteError
from syncd.model.privilege import LEVELS, Holders, Place, Privilege
from syncd.sandbox.portal.places import Given
from syncd.sandbox.server import SandboxOptions
from syncd.sandbox.wire.faults import Fault
from syncd.sandbox.wire.knobs import turn_knobs
from tests.contract.openapi import Judge
from tests.contract.sandbox_client import Client, MovableClock, open_client
from tests.fakes.rules import make_bps_options

TEAM = "team@groups.example"


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    """A portal with one group that is synchronised."""
    options = SandboxOptions(users=0, groups=0, memberships=0, portal_delay=0.0)
    async with open_client(options, tmp_path, clock=MovableClock()) as opened:
        await opened.portal("POST", "/admin/groups", {"bpsId": TEAM, "name": "Team", "email": TEAM})
        opened.sandbox.portal_service.store.settle()
        opened.sandbox.portal_service.observer = judge = Judge()
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


def pass_time(client: Client, seconds: float) -> None:
    """Let time pass in the portal."""
    clock = client.sandbox.portal.clock
    assert isinstance(clock, MovableClock)
    clock.elapsed += seconds


def find(client: Client, kind: str, name: str = "") -> str:
    """Return the guid of something in database 1."""
    database = client.sandbox.portal_service.privileges.databases[1]
    return next(item.guid for item in database.items(kind) if item.name == (name or item.name))  # type: ignore[arg-type]


def places(client: Client) -> list[Place]:
    """Return a place of each kind."""
    return [
        Place(database=1, kind="application", key=find(client, "application", "Invoices")),
        Place(database=1, kind="process", key=find(client, "process", "Suppliers")),
        Place(
            database=1,
            kind="form_type",
            key=find(client, "form type", "Correction"),
            workflow=find(client, "workflow", "Approval"),
        ),
    ]


def given(client: Client) -> dict[Given, str]:
    """Return what came by the API."""
    there = client.sandbox.portal_service.privileges.given
    return {given: origin for given, origin in there.items() if origin == "rest"}


async def test_every_level_of_every_place_is_given_shown_and_taken(client: Client, portal: BpsPortal) -> None:
    """Each level and, where it belongs, a company; the reading names the group, and nothing after it is taken."""
    company = find(client, "company")
    for place in places(client):
        for level in LEVELS[place.kind]:
            for whose in ("",) if place.kind == "application" else ("", company):
                one = Privilege(place=place, level=level, company=whose)
                assert (await portal.change_privilege(TEAM, one, remove=False, listed=False)).said == "done"
                holders = await portal.fetch_holders(place)
                assert holders == Holders((TEAM,))
                assert len(given(client)) == 1
                assert (await portal.change_privilege(TEAM, one, remove=True, listed=True)).said == "done"
        assert given(client) == {}


async def test_the_lists_lead_from_applications_to_form_types(client: Client, portal: BpsPortal) -> None:
    """Each list is read with ids, guids and names; a company has its short name; what is not there is told."""
    (invoices,) = [one for one in await portal.list_places(1, "application") if one.name == "Invoices"]
    (process,) = [one for one in await portal.list_places(1, "process", invoices.key) if one.name == "Cost invoices"]
    (workflow,) = await portal.list_places(1, "workflow", process.key)
    names = [one.name for one in await portal.list_places(1, "form_type", workflow.key)]
    assert names == ["Invoice", "Correction"]
    assert [one.code for one in await portal.list_places(1, "company")] == ["PL01", "DE01"]
    assert await portal.find_place(1, "process", str(process.number)) == process
    assert await portal.find_place(1, "application", "4711") is None
    with pytest.raises(RemoteError):
        await portal.list_places(77, "application")


async def test_a_place_that_is_gone_is_told(client: Client, portal: BpsPortal) -> None:
    """A reading of it is None, and a change says NotFound: nothing about the group is concluded."""
    nowhere = Place(database=1, kind="application", key="00000000-0000-0000-0000-000000000000")
    assert await portal.fetch_holders(nowhere) is None
    one = Privilege(place=nowhere, level="ReadOnly")
    with pytest.raises(NotFound):
        await portal.change_privilege(TEAM, one, remove=False, listed=False)
    client.sandbox.faults.add(Fault("html", side="portal", path="admin/privileges", status=404))
    with pytest.raises(ProtocolError):  # a gateway's 404 is no word of the portal
        await portal.fetch_holders(places(client)[0])


async def test_a_conflict_comes_with_what_a_reading_says(client: Client, portal: BpsPortal) -> None:
    """409 for what is there, for what is not, and for a group that nobody knows: the reading tells them apart."""
    turn(client, privilege_repeated="conflict", privilege_missing="conflict")
    one = Privilege(place=places(client)[0], level="ReadOnly")
    answer = await portal.change_privilege(TEAM, one, remove=True, listed=False)
    assert (answer.said, answer.listed, answer.unsure) == ("conflict", False, False)
    await portal.change_privilege(TEAM, one, remove=False, listed=False)
    answer = await portal.change_privilege(TEAM, one, remove=False, listed=True)
    assert (answer.said, answer.listed, answer.unsure) == ("conflict", True, False)
    answer = await portal.change_privilege("no@groups.example", one, remove=False, listed=False)
    assert (answer.said, answer.listed) == ("conflict", False)


@pytest.mark.parametrize("repeated", ["ok", "conflict"])
@pytest.mark.parametrize("kind", ["lose", "reset"])
@pytest.mark.parametrize("before", [False, True])
async def test_a_lost_answer_is_settled_by_a_reading_or_sent_again(
    client: Client, portal: BpsPortal, *, kind: Any, repeated: str, before: bool
) -> None:
    """Whether it took effect or not, one privilege is there in the end, and the answer says how sure that is.

    A reading that names the group is no proof of a grant; one that does not name it any more is proof of a revoke.
    """
    turn(client, privilege_repeated=repeated, privilege_missing=repeated)
    place = places(client)[0]
    if before:
        await portal.change_privilege(TEAM, Privilege(place=place, level="ReadOnly"), remove=False, listed=False)
    one = Privilege(place=place, level="Administrator")
    client.sandbox.faults.add(Fault(kind, side="portal", method="POST", path="privileges/add"))
    answer = await portal.change_privilege(TEAM, one, remove=False, listed=before)
    told = kind == "lose" and repeated == "conflict"
    assert answer.said == ("conflict" if told else "done")
    assert answer.unsure
    assert answer.listed is (before or kind == "lose")
    assert len(given(client)) == 1 + before
    client.sandbox.faults.add(Fault(kind, side="portal", method="POST", path="privileges/remove"))
    answer = await portal.change_privilege(TEAM, one, remove=True, listed=True)
    assert answer.said == ("conflict" if told and before else "done")
    assert len(given(client)) == int(before)


async def test_an_answer_that_stays_unclear_says_so(client: Client, portal: BpsPortal) -> None:
    """Three times no answer and no effect: unclear, and not there."""
    client.sandbox.faults.add(Fault("reset", side="portal", method="POST", path="privileges/add", count=-1))
    one = Privilege(place=places(client)[0], level="ReadOnly")
    answer = await portal.change_privilege(TEAM, one, remove=False, listed=False)
    assert (answer.said, answer.listed) == ("unclear", False)


async def test_a_missing_scope_is_named(client: Client, portal: BpsPortal) -> None:
    """Reading needs App.Metadata.Read, writing App.Metadata.ReadWrite, companies a scope of their own."""
    client.sandbox.portal_application.scopes = {"App.Metadata.Read"}
    client.sandbox.book.revoke_all()
    place = places(client)[0]
    assert await portal.fetch_holders(place) is not None
    with pytest.raises(Forbidden, match=r"lacks the scope App\.Metadata\.ReadWrite"):
        await portal.change_privilege(TEAM, Privilege(place=place, level="ReadOnly"), remove=False, listed=False)
    with pytest.raises(Forbidden, match=r"lacks the scope Admin\.BusinessEntities\.Read"):
        await portal.list_places(1, "company")
    client.sandbox.portal_application.scopes = {"Admin.Users.ReadWrite"}
    client.sandbox.book.revoke_all()
    with pytest.raises(Forbidden, match=r"lacks the scope App\.Metadata\.Read"):
        await portal.list_places(1, "application")


@pytest.mark.parametrize("body", ['{"privileges": 5}', "[]", '{"other": []}'])
async def test_a_reading_of_another_shape_is_refused(client: Client, portal: BpsPortal, body: str) -> None:
    """Nobody is taken for absent because of an answer that is none."""
    answer = Fault("status", side="portal", path="admin/privileges", status=200, body=body.encode())
    client.sandbox.faults.add(answer)
    client.sandbox.portal_service.observer = None
    with pytest.raises(ProtocolError):
        await portal.fetch_holders(places(client)[0])


async def test_entries_without_a_name_make_a_reading_incomplete(client: Client, portal: BpsPortal) -> None:
    """Of an entry that cannot be read nobody knows whose it is: who is missing says nothing."""
    body = b'{"privileges": [{"bpsId": null, "name": "x"}, {"bpsId": "a@x.example"}, {"bpsId": "a@x.example"}, 3]}'
    client.sandbox.faults.add(Fault("status", side="portal", path="admin/privileges", status=200, body=body))
    holders = await portal.fetch_holders(places(client)[0])
    assert holders == Holders(("a@x.example",), complete=False)


async def test_a_refusal_of_rights_names_the_place_and_not_the_record(client: Client, portal: BpsPortal) -> None:
    """Being no administrator of an application is told as that."""
    body = b'{"type": "InsufficientAccountPermissions", "description": "no", "errorGuid": "1"}'
    client.sandbox.faults.add(Fault("status", side="portal", path="privileges/add", status=403, body=body))
    one = Privilege(place=places(client)[0], level="ReadOnly")
    with pytest.raises(Forbidden, match="make it an administrator of that application"):
        await portal.change_privilege(TEAM, one, remove=False, listed=False)


# ---- what nobody knows -----------------------------------------------------------------------------------------------


async def test_a_change_may_take_effect_after_its_answer_was_lost(client: Client, portal: BpsPortal) -> None:
    """Nothing is there when the answer is lost, and later it is; what came first takes effect first."""
    turn(client, privilege_delay=30.0)
    place = places(client)[0]
    one = Privilege(place=place, level="ReadOnly")
    client.sandbox.faults.add(Fault("lose", side="portal", method="POST", path="privileges/add", count=-1))
    answer = await portal.change_privilege(TEAM, one, remove=False, listed=False)
    assert (answer.said, answer.listed) == ("unclear", False)
    assert given(client) == {}
    pass_time(client, 30.0)
    assert await portal.fetch_holders(place) == Holders((TEAM,))
    await portal.change_privilege(TEAM, one, remove=True, listed=False)
    pass_time(client, 29.0)
    assert await portal.fetch_holders(place) == Holders((TEAM,))
    pass_time(client, 1.0)
    assert await portal.fetch_holders(place) == Holders(())


async def test_a_reading_may_be_behind(client: Client, portal: BpsPortal) -> None:
    """It shows what was there so long ago, of what came and of what went."""
    turn(client, privileges_shown_after=60.0)
    place = places(client)[0]
    one = Privilege(place=place, level="ReadOnly")
    for remove in (False, True):
        before = await portal.fetch_holders(place)
        await portal.change_privilege(TEAM, one, remove=remove, listed=False)
        assert await portal.fetch_holders(place) == before
        pass_time(client, 59.0)
        assert await portal.fetch_holders(place) == before
        pass_time(client, 1.0)
        assert await portal.fetch_holders(place) == Holders(() if remove else (TEAM,))
    await portal.change_privilege(TEAM, one, remove=False, listed=False)
    pass_time(client, 60.0)  # and nobody asked meanwhile
    assert await portal.fetch_holders(place) == Holders((TEAM,))


@pytest.mark.parametrize("rights", ["administrator to write", "administrator"])
async def test_the_scope_alone_may_not_be_enough(client: Client, portal: BpsPortal, rights: str) -> None:
    """Only an administrator of the application may change something there, or even read it; below it as well."""
    turn(client, privilege_rights=rights)
    own = client.sandbox.portal_application.bps_id
    for place in places(client):
        one = Privilege(place=place, level="ReadOnly")
        if rights == "administrator":
            with pytest.raises(Forbidden, match="make it an administrator"):
                await portal.fetch_holders(place)
        with pytest.raises(Forbidden, match="make it an administrator"):
            await portal.change_privilege(TEAM, one, remove=False, listed=False)
        database = client.sandbox.portal.databases[1]
        application = next(item for item in database.applications if item.name == "Invoices")
        mine = Given((1, "application", "", application.guid), client.sandbox.portal.key(own), "Administrator")
        client.sandbox.portal.privileges[mine] = "local"
        assert (await portal.change_privilege(TEAM, one, remove=False, listed=False)).said == "done"
        holders = await portal.fetch_holders(place)
        assert holders is not None
        assert TEAM in holders.bps_ids
        del client.sandbox.portal.privileges[mine]


async def test_the_scope_for_changes_may_not_let_read(client: Client, portal: BpsPortal) -> None:
    """Then it takes both."""
    turn(client, privilege_write_scope_reads=False)
    place = places(client)[0]
    client.sandbox.portal_application.scopes.discard("App.Metadata.Read")
    client.sandbox.portal_application.scopes.add("App.Metadata.ReadWrite")
    with pytest.raises(Forbidden, match=r"App\.Metadata\.Read$|App\.Metadata\.Read\b(?!W)"):
        await portal.fetch_holders(place)
    answer = await portal.change_privilege(TEAM, Privilege(place=place, level="ReadOnly"), remove=False, listed=False)
    assert answer.said == "done"


async def test_groups_may_be_given_nothing(client: Client, portal: BpsPortal) -> None:
    """The portal does not know the group there, and says so as of any unknown one."""
    turn(client, privileges_for_groups=False)
    answer = await portal.change_privilege(
        TEAM, Privilege(place=places(client)[0], level="ReadOnly"), remove=False, listed=False
    )
    assert (answer.said, answer.listed) == ("conflict", False)
