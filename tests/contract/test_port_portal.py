"""What every portal behind the port does: the fake of the use cases' tests, and the adapter over the imitation portal.

What the fake lets a use case believe is true only as far as this suite finds it in both.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from syncd.errors import NotFound, RemoteError
from syncd.model.licence import Step
from syncd.model.substitution import Substitution
from syncd.model.target import Account, Creation, PortalGroup
from syncd.sandbox.wire.knobs import PortalKnobs
from syncd.sync.ports.sides import Portal
from tests.contract.sandbox_client import MovableClock
from tests.fakes.portal import FakePortal
from tests.fakes.wired import Wire

ANN = Account(bps_id="ann@x.com", name="Ann", email="a@x.com", phone="1", job_title="Clerk")
BEN = Account(bps_id="Ben@x.com", name="Ben", email="b@x.com", manager="ann@x.com")
TEAM = PortalGroup(bps_id="team@grp", name="Team", email="team@grp")
SEATS = {"User": 1, "PowerUser": 5}


@pytest.fixture(params=["fake", "adapter"])
def portal(request: pytest.FixtureRequest) -> Portal:
    """A portal without people, in which whatever is written is there at once."""
    if request.param == "fake":
        return FakePortal(totals=dict(SEATS))
    wire = Wire(MovableClock(), PortalKnobs(sync_delay_min=0, sync_delay_max=0, applications_visible=False))
    wire.service.licences.totals.update(SEATS)
    return wire.open()


async def list_accounts(portal: Portal) -> dict[str, Account]:
    """Return all accounts by BPS id."""
    return {account.bps_id: account async for page in portal.fetch_accounts() for account in page}


async def list_places(portal: Portal, group: str) -> tuple[set[str], set[str]]:
    """Return who is a member and who an owner."""
    detail = await portal.fetch_group(group)
    assert detail is not None
    return {member.bps_id for member in detail.members}, {owner.bps_id for owner in detail.owners}


async def test_what_was_created_is_listed_and_found_in_any_case(portal: Portal) -> None:
    """With its values, and the spelling of the BPS id that was sent."""
    await portal.check()
    assert await portal.create_account(ANN) is Creation.CREATED
    assert await portal.create_account(BEN) is Creation.CREATED
    assert await list_accounts(portal) == {"ann@x.com": ANN, "Ben@x.com": BEN}
    assert await portal.fetch_account("ANN@X.COM") == ANN
    assert await portal.fetch_account("nobody@x.com") is None
    assert portal.find_malformed("user").count == 0


async def test_an_id_that_is_taken_is_never_taken_over(portal: Portal) -> None:
    """Whoever asks again is told so, and nothing changes; what we sent before is recognised by its values."""
    await portal.create_account(ANN)
    rival = Account(bps_id="Ann@x.com", name="Another", email="o@x.com")
    assert await portal.create_account(rival) is Creation.EXISTS
    assert await portal.create_account(rival, sent_before=True) is Creation.EXISTS
    assert await portal.create_account(ANN, sent_before=True) is Creation.SETTLED
    assert await portal.fetch_account(ANN.bps_id) == ANN
    await portal.create_group(TEAM)
    assert await portal.create_group(PortalGroup(bps_id="Team@grp", name="Other", email="o@grp")) is Creation.EXISTS


async def test_only_the_named_fields_change_and_none_clears(portal: Portal) -> None:
    """Of accounts and of groups."""
    await portal.create_account(ANN)
    await portal.create_account(BEN)
    await portal.update_account("ann@x.com", {"name": "Anna", "phone": None})
    await portal.update_account("Ben@x.com", {"manager": None})
    assert await portal.fetch_account("ann@x.com") == Account(
        bps_id="ann@x.com", name="Anna", email="a@x.com", job_title="Clerk"
    )
    ben = await portal.fetch_account("Ben@x.com")
    assert ben is not None
    assert ben.manager is None
    await portal.create_group(TEAM)
    await portal.update_group("team@grp", {"name": "Crew"})
    assert [group async for page in portal.fetch_groups() for group in page] == [
        PortalGroup(bps_id="team@grp", name="Crew", email="team@grp")
    ]


async def test_what_is_not_there_cannot_be_changed_and_is_deleted_already(portal: Portal) -> None:
    """A change is refused by name, a deletion has what it wants."""
    with pytest.raises(NotFound):
        await portal.update_account("ann@x.com", {"name": "Anna"})
    with pytest.raises(NotFound):
        await portal.update_group("team@grp", {"name": "Crew"})
    for change in (portal.add_members, portal.add_owners):
        with pytest.raises(NotFound):
            await change("team@grp", ["ann@x.com"])
    await portal.delete_account("ann@x.com")
    await portal.delete_group("team@grp")
    assert await portal.fetch_group("team@grp") is None


async def test_a_manager_must_be_there(portal: Portal) -> None:
    """In a creation and in an update."""
    with pytest.raises(RemoteError):
        await portal.create_account(BEN)
    await portal.create_account(ANN)
    with pytest.raises(RemoteError):
        await portal.update_account("ann@x.com", {"manager": "nobody@x.com"})
    assert await portal.fetch_account("ann@x.com") == ANN


async def test_people_come_into_groups_and_out_again(portal: Portal) -> None:
    """Who is not there waits and keeps nobody out; who is no member is out already."""
    await portal.create_account(ANN)
    await portal.create_account(BEN)
    await portal.create_group(TEAM)
    added = await portal.add_members("team@grp", ["ann@x.com", "nobody@x.com", "Ben@x.com"])
    assert (set(added.done), added.pending, added.failed) == ({"ann@x.com", "Ben@x.com"}, ("nobody@x.com",), ())
    assert (await portal.add_owners("team@grp", ["ann@x.com"])).done == ("ann@x.com",)
    assert await list_places(portal, "TEAM@grp") == ({"ann@x.com", "Ben@x.com"}, {"ann@x.com"})
    taken = await portal.remove_members("team@grp", ["ann@x.com", "nobody@x.com"])
    assert set(taken.done) == {"ann@x.com", "nobody@x.com"}
    assert await list_places(portal, "team@grp") == ({"Ben@x.com"}, {"ann@x.com"})
    await portal.remove_owners("team@grp", ["ann@x.com"])
    assert await list_places(portal, "team@grp") == ({"Ben@x.com"}, set())


async def test_a_deleted_account_is_in_no_group(portal: Portal) -> None:
    """Deleting takes it out of all of them."""
    await portal.create_account(ANN)
    await portal.create_account(BEN)
    await portal.create_group(TEAM)
    await portal.add_members("team@grp", ["ann@x.com", "Ben@x.com"])
    await portal.delete_account("Ben@x.com")
    assert await list_accounts(portal) == {"ann@x.com": ANN}
    assert await list_places(portal, "team@grp") == ({"ann@x.com"}, set())


async def test_licences_are_given_while_there_are_seats(portal: Portal) -> None:
    """One result per step, in their order: done, short of seats, or without an account."""
    await portal.create_account(ANN)
    await portal.create_account(BEN)
    first = await portal.change_licences([Step(bps_id="ann@x.com", type="User")])
    wanted = (("Ben@x.com", "User"), ("ann@x.com", "PowerUser"), ("nobody@x.com", "PowerUser"))
    given = await portal.change_licences([Step(bps_id=who, type=kind) for who, kind in wanted])
    assert [result.verdict for result in (*first, *given)] == ["done", "short", "done", "pending"]
    held = await portal.fetch_licences()
    assert held is not None
    assert sum(licence.type == "User" for holder in held.holders for licence in holder.licences) == 1
    seats = await portal.fetch_seats()
    assert seats is not None
    assert {one.type: (one.total, one.assigned) for one in seats if one.type in SEATS} == {
        "User": (1, 1),
        "PowerUser": (5, 1),
    }


async def test_a_seat_that_is_taken_from_one_is_there_for_another(portal: Portal) -> None:
    """In one request, whatever the order of the steps."""
    await portal.create_account(ANN)
    await portal.create_account(BEN)
    await portal.change_licences([Step(bps_id="ann@x.com", type="User")])
    moved = await portal.change_licences(
        [Step(bps_id="Ben@x.com", type="User"), Step(bps_id="ann@x.com", type="User", remove=True)]
    )
    assert [result.verdict for result in moved] == ["done", "done"]
    held = await portal.fetch_licences()
    assert held is not None
    assert {holder.bps_id.casefold() for holder in held.holders if holder.licences} == {"ben@x.com"}


async def test_a_substitution_is_made_found_changed_and_ended(portal: Portal) -> None:
    """By its number, or by its people and its end; one that is gone is nothing."""
    await portal.create_account(ANN)
    await portal.create_account(BEN)
    starts = datetime(2026, 3, 2, tzinfo=UTC)
    wanted = Substitution(
        original="ann@x.com", substitute="Ben@x.com", starts_at=starts, ends_at=starts + timedelta(days=30)
    )
    number = await portal.create_substitution(wanted)
    assert number is not None
    found = await portal.find_substitution(wanted)
    assert found is not None
    assert found.number == number
    longer = Substitution(
        original="ann@x.com",
        substitute="Ben@x.com",
        starts_at=starts,
        ends_at=starts + timedelta(days=60),
        number=number,
    )
    await portal.update_substitution(longer)
    assert await portal.find_substitution(longer) == longer
    assert await portal.find_substitution(wanted) is None
    for _ in range(2):
        await portal.delete_substitution(number)
        assert await portal.find_substitution(longer) is None
    with pytest.raises(NotFound):
        await portal.update_substitution(longer)


async def test_nobody_stands_in_for_oneself_or_for_nobody(portal: Portal) -> None:
    """Two different accounts are needed that are there."""
    await portal.create_account(ANN)
    starts = datetime(2026, 3, 2, tzinfo=UTC)
    for original, substitute in (("ann@x.com", "ann@x.com"), ("ann@x.com", "nobody@x.com")):
        with pytest.raises(RemoteError):
            await portal.create_substitution(
                Substitution(
                    original=original, substitute=substitute, starts_at=starts, ends_at=starts + timedelta(days=1)
                )
            )
