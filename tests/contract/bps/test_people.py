"""How the adapter adds and removes members and owners."""

from __future__ import annotations

import pytest

from syncd.bps.portal import BpsPortal
from syncd.errors import (
    NotFound,
    Unavailable,
)
from tests.contract.bps.conftest import G, Opener, user_id
from tests.contract.fake_portal import FakePortal, Fault, Group

pytestmark = pytest.mark.looptime


def fill(fake: FakePortal, count: int) -> list[str]:
    ids = [user_id(number) for number in range(count)]
    for bps_id in ids:
        fake.add_user(bps_id)
    fake.add_group(G)
    return ids


def people(fake: FakePortal) -> Group:
    return fake.groups[G]


async def test_members_are_added_in_batches(fake: FakePortal, opener: Opener) -> None:
    """Everybody fits into as few requests as the setting allows; repeating it does no harm."""
    ids = fill(fake, 25)
    async with opener(members_per_request=10) as portal:
        for _ in range(2):
            result = await portal.add_members(G, ids)
            assert result.done == tuple(ids)
    assert [len(seen.body["members"]) for seen in fake.calls("members/add")] == [10, 10, 5] * 2
    assert set(people(fake).members) == set(ids)


async def test_one_unknown_member_is_found_by_splitting(fake: FakePortal, opener: Opener) -> None:
    """All others go through, the unknown one is pending, and it costs far fewer requests than people."""
    ids = fill(fake, 300)
    del fake.users[ids[123]]
    async with opener(members_per_request=300) as portal:
        result = await portal.add_members(G, ids)
    assert result.pending == (ids[123],)
    assert result.done == tuple(bps_id for bps_id in ids if bps_id != ids[123])
    assert result.failed == ()
    assert set(people(fake).members) == set(result.done)
    assert len(fake.calls("members/add")) == 14
    assert len(fake.calls("GET .*user")) <= 8


@pytest.mark.parametrize("visible", [True, False])
async def test_accounts_that_are_being_synchronised_are_pending(
    fake: FakePortal, portal: BpsPortal, visible: bool
) -> None:
    """Whether or not the portal shows them yet, they are not failed."""
    fake.pending_visible = visible
    ids = fill(fake, 20)
    for bps_id in ids[5:]:
        fake.users[bps_id]["status"] = "WaitingForSynchronization"
    result = await portal.add_members(G, ids)
    assert (result.done, result.pending, result.failed) == (tuple(ids[:5]), tuple(ids[5:]), ())


async def test_a_member_that_the_portal_minds_is_failed_with_its_reason(fake: FakePortal, portal: BpsPortal) -> None:
    """An account that is there and ready but refused alone carries the portal's words."""
    ids = fill(fake, 12)
    fake.users[ids[3]]["_application"] = True
    result = await portal.add_members(G, ids)
    ((failed, reason),) = result.failed
    assert failed == ids[3]
    assert "Only account of type User or AdGroup" in reason
    assert len(result.done) == 11


async def test_a_group_that_is_being_synchronised_makes_everybody_pending(fake: FakePortal, portal: BpsPortal) -> None:
    """Nothing is split when the group itself is what is not ready."""
    ids = fill(fake, 50)
    people(fake).record["status"] = "WaitingForSynchronization"
    result = await portal.add_members(G, ids)
    assert result.pending == tuple(ids)
    assert len(fake.calls("members/add")) == 1


async def test_a_group_that_is_gone_is_not_found_for_adding_and_done_for_removing(
    fake: FakePortal, portal: BpsPortal
) -> None:
    """Nobody can be added to it; nobody needs to be removed from it."""
    with pytest.raises(NotFound):
        await portal.add_members(G, [user_id(0)])
    assert (await portal.remove_members(G, [user_id(0)])).done == (user_id(0),)
    assert (await portal.remove_owners(G, [user_id(0)])).done == (user_id(0),)


@pytest.mark.parametrize("refuses", [True, False])
async def test_removing_somebody_who_is_no_member_is_done(fake: FakePortal, portal: BpsPortal, refuses: bool) -> None:
    """Whether the portal minds or not, all of them are out afterwards."""
    fake.refuses_non_member_removal = refuses
    ids = fill(fake, 40)
    await portal.add_members(G, ids[:20])
    result = await portal.remove_members(G, ids[10:])
    assert result.done == tuple(ids[10:])
    assert set(people(fake).members) == set(ids[:10])


async def test_a_removal_that_the_portal_refuses_is_failed(fake: FakePortal, portal: BpsPortal) -> None:
    """Somebody who is still a member after the last reading is reported with the portal's reason."""
    ids = fill(fake, 3)
    await portal.add_members(G, ids)
    fake.faults = [Fault("members/remove", 400, times=99, code="InvalidInput")]
    result = await portal.remove_members(G, ids)
    assert [failed for failed, _ in result.failed] == ids
    assert "InvalidInput" in result.failed[0][1]


async def test_a_refused_removal_that_happened_all_the_same_is_done(fake: FakePortal, portal: BpsPortal) -> None:
    """The last reading decides: who is no member any more was not failed."""
    ids = fill(fake, 3)
    await portal.add_members(G, ids)
    fake.faults = [Fault("members/remove", 400), Fault("members/remove", 400, effect=True, times=99)]
    assert (await portal.remove_members(G, ids)).done == tuple(ids)


async def test_owners_are_added_and_removed_like_members(fake: FakePortal, portal: BpsPortal) -> None:
    """The same promises hold for owners, on their own routes."""
    ids = fill(fake, 10)
    del fake.users[ids[4]]
    assert (await portal.add_owners(G, ids)).pending == (ids[4],)
    assert (await portal.remove_owners(G, ids[:2])).done == tuple(ids[:2])
    assert set(people(fake).owners) == {*ids[2:4], *ids[5:]}
    assert not people(fake).members


@pytest.mark.parametrize("effect", [True, False])
async def test_a_lost_answer_to_a_batch_is_repeated(fake: FakePortal, portal: BpsPortal, effect: bool) -> None:
    """Adding and removing may be repeated without harm, so they are."""
    fake.refuses_non_member_removal = True
    ids = fill(fake, 4)
    fake.faults = [Fault("members/add", "reset", effect=effect), Fault("members/remove", 504, effect=effect)]
    assert (await portal.add_members(G, ids)).done == tuple(ids)
    assert (await portal.remove_members(G, ids)).done == tuple(ids)
    assert not people(fake).members


async def test_ids_are_the_same_without_case(fake: FakePortal, portal: BpsPortal) -> None:
    """An id that comes twice in different case is sent once; a member in other case counts as member."""
    ids = fill(fake, 1)
    assert (await portal.add_members(G, [ids[0], ids[0].upper()])).done == (ids[0],)
    assert len(fake.calls("members/add")[0].body["members"]) == 1


async def test_trouble_with_the_portal_is_no_refusal_of_a_member(fake: FakePortal, portal: BpsPortal) -> None:
    """A missing scope or a portal that is down ends the call instead of failing people one by one."""
    ids = fill(fake, 20)
    fake.faults = [Fault("members/add", 503, times=99)]
    with pytest.raises(Unavailable):
        await portal.add_members(G, ids)
