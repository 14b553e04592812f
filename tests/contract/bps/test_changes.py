"""How the adapter changes, clears and deletes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from syncd.bps.portal import BpsPortal
from syncd.errors import NotFound, ProtocolError, Rejected
from tests.contract.bps.conftest import ANN, G, user_id
from tests.contract.fake_portal import FakePortal, Fault

pytestmark = pytest.mark.looptime


async def test_only_the_given_fields_are_patched(fake: FakePortal, portal: BpsPortal) -> None:
    """An update names the fields that differ and no others."""
    fake.add_user(ANN.bps_id, phoneNumber="1")
    fake.add_group(G)
    await portal.update_account(ANN.bps_id, {"name": "Ann B", "manager": "boss@corp.example"})
    assert fake.seen[-1].body == {"name": "Ann B", "managerBpsId": "boss@corp.example"}
    assert fake.users[ANN.bps_id]["phoneNumber"] == "1"
    await portal.update_group(G, {"name": "New"})
    assert fake.seen[-1].body == {"name": "New"}


async def test_nothing_to_set_is_no_request(fake: FakePortal, portal: BpsPortal) -> None:
    """An update without fields, a change without people: the portal is not bothered."""
    await portal.update_account(ANN.bps_id, {})
    await portal.update_group(G, {})
    await portal.add_members(G, [])
    assert fake.seen == []


async def test_updating_what_is_gone_is_not_found(portal: BpsPortal) -> None:
    """A record that disappeared is reported as such, also when a field was to be cleared."""
    with pytest.raises(NotFound):
        await portal.update_account(ANN.bps_id, {"name": "A"})
    with pytest.raises(NotFound):
        await portal.update_account(ANN.bps_id, {"phone": None})
    with pytest.raises(NotFound):
        await portal.update_group(G, {"name": "A"})


@pytest.mark.parametrize("answer", [500, 502, 504, "reset"])
async def test_unclear_changes_and_deletions_are_repeated(fake: FakePortal, portal: BpsPortal, answer: Any) -> None:
    """What may be done twice without harm is repeated, whether or not the first time took effect."""
    for effect in (True, False):
        fake.add_user(ANN.bps_id)
        fake.add_group(G)
        fake.faults = [Fault("(PATCH|DELETE) .*(user|group)", answer, effect=effect)]
        await portal.update_account(ANN.bps_id, {"name": "B"})
        assert fake.users[ANN.bps_id]["name"] == "B"
        fake.faults[0].times = 1
        await portal.delete_account(ANN.bps_id)
        fake.faults[0].times = 1
        await portal.delete_group(G)
        assert not fake.users
        assert not fake.groups


async def test_deleting_what_is_gone_is_a_success(portal: BpsPortal) -> None:
    """The wish was that it be gone."""
    await portal.delete_account(ANN.bps_id)
    await portal.delete_group(G)


@pytest.mark.parametrize(("clears_with", "refuses_empty", "learning"), [
    ("both", False, 1), ("empty", False, 1), ("null", False, 2), ("null", True, 2),
])  # fmt: skip
async def test_the_manner_of_clearing_is_learned_once(
    fake: FakePortal, portal: BpsPortal, clears_with: Any, refuses_empty: bool, learning: int
) -> None:
    """The first clearing tries what works and reads it back; later ones cost one request."""
    fake.clears_with, fake.refuses_empty = clears_with, refuses_empty
    for number in range(3):
        fake.add_user(user_id(number), phoneNumber="1")
    await portal.update_account(user_id(0), {"phone": None, "name": "A"})
    assert len(fake.calls("PATCH")) == 1 + learning
    assert len(fake.calls("GET .*user")) == (2 if refuses_empty or learning == 1 else 3)
    before = len(fake.seen)
    await portal.update_account(user_id(1), {"phone": None, "name": "B"})
    assert len(fake.seen) == before + 1
    assert not fake.users[user_id(0)]["phoneNumber"]
    assert not fake.users[user_id(1)]["phoneNumber"]


async def test_concurrent_first_clearings_learn_together(fake: FakePortal, portal: BpsPortal) -> None:
    """One of them learns, the others use what it learned."""
    fake.clears_with = "null"
    for number in range(5):
        fake.add_user(user_id(number), phoneNumber="1")
    await asyncio.gather(*(portal.update_account(user_id(number), {"phone": None}) for number in range(5)))
    assert len(fake.calls("PATCH")) == 6
    assert not any(user["phoneNumber"] for user in fake.users.values())


async def test_a_value_that_is_not_there_teaches_nothing(fake: FakePortal, portal: BpsPortal) -> None:
    """Clearing an empty field sends nothing, and so never mistakes a manner for working."""
    fake.clears_with = "null"
    fake.add_user(user_id(0))
    fake.add_user(user_id(1), phoneNumber="1")
    await portal.update_account(user_id(0), {"phone": None})
    assert fake.calls("PATCH") == []
    await portal.update_account(user_id(1), {"phone": None})
    assert not fake.users[user_id(1)]["phoneNumber"]


async def test_a_portal_that_cannot_clear_is_named_and_remembered(fake: FakePortal, portal: BpsPortal) -> None:
    """Neither manner works: one sentence, the other fields are written, and the next attempt asks nothing."""
    fake.clears_with = "none"
    fake.add_user(user_id(0), phoneNumber="1")
    for name in ("A", "B"):
        with pytest.raises(Rejected, match="does not clear phone"):
            await portal.update_account(user_id(0), {"phone": None, "name": name})
        assert fake.users[user_id(0)]["name"] == name
    assert len(fake.calls("PATCH")) == 4


async def test_clearing_waits_for_a_record_that_is_being_synchronised(fake: FakePortal, portal: BpsPortal) -> None:
    """An old value in a record that still waits proves nothing; the question stays open and is asked again later."""
    fake.clears_with = "none"
    fake.add_user(user_id(0), phoneNumber="1", status="WaitingForSynchronization")
    await portal.update_account(user_id(0), {"phone": None})
    fake.synchronize()
    fake.clears_with = "empty"
    await portal.update_account(user_id(0), {"phone": None})
    assert not fake.users[user_id(0)]["phoneNumber"]


async def test_a_required_field_is_never_cleared(fake: FakePortal, portal: BpsPortal) -> None:
    """Name and email cannot be taken away; nothing is sent."""
    for field in ("name", "email"):
        with pytest.raises(Rejected, match=f"without {field}"):
            await portal.update_account(ANN.bps_id, {field: None})
        with pytest.raises(Rejected, match=f"without {field}"):
            await portal.update_group(G, {field: None})
    assert fake.seen == []


async def test_a_page_for_people_is_no_confirmation(fake: FakePortal, portal: BpsPortal) -> None:
    """A sign-in page with status 200 does not count as a change or a deletion."""
    fake.add_user(ANN.bps_id)
    fake.faults = [Fault("(PATCH|DELETE)", 200, body="<html>Sign in</html>", times=2)]
    with pytest.raises(ProtocolError):
        await portal.update_account(ANN.bps_id, {"name": "B"})
    with pytest.raises(ProtocolError):
        await portal.delete_account(ANN.bps_id)
