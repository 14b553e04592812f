"""How a creation ends, whatever happens to its answer."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from syncd.bps.portal import BpsPortal
from syncd.errors import Conflict, Rejected, RemoteError, Unavailable
from syncd.model.target import Account, Creation
from tests.contract.bps.conftest import ANN, TEAM, G
from tests.contract.fake_portal import FakePortal, Fault

pytestmark = pytest.mark.looptime


def _plain_create(portal: BpsPortal, *, sent_before: bool = False) -> Coroutine[Any, Any, Creation]:
    return portal.create_account(ANN, sent_before=sent_before)


def _group_create(portal: BpsPortal, *, sent_before: bool = False) -> Coroutine[Any, Any, Creation]:
    return portal.create_group(TEAM, sent_before=sent_before)


both_kinds = pytest.mark.parametrize(
    ("create", "post"), [(_plain_create, "POST .*users"), (_group_create, "POST .*groups")], ids=["user", "group"]
)


async def test_only_values_that_are_set_are_sent(fake: FakePortal, portal: BpsPortal) -> None:
    """A creation carries the keys that have a value, and a group starts without people."""
    assert (
        await portal.create_account(Account(bps_id="b@c.example", name="B", email="b@c.example", manager=ANN.bps_id))
        is Creation.CREATED
    )
    assert fake.seen[-1].body == {
        "bpsId": "b@c.example",
        "name": "B",
        "email": "b@c.example",
        "managerBpsId": ANN.bps_id,
    }
    assert await portal.create_group(TEAM) is Creation.CREATED
    assert fake.seen[-1].body == {"bpsId": G, "name": "Team", "email": G, "members": [], "owners": []}


@both_kinds
@pytest.mark.parametrize("answer", [500, 502, 504, "reset"])
@pytest.mark.parametrize("effect", [True, False])
async def test_a_lost_answer_is_settled_by_a_reading(
    fake: FakePortal, portal: BpsPortal, create: Any, post: str, answer: Any, effect: bool
) -> None:
    """An unclear creation that took effect is SETTLED without a second one; one that did not is sent again."""
    fake.faults = [Fault(post, answer, effect=effect)]
    assert await create(portal) is (Creation.SETTLED if effect else Creation.CREATED)
    assert len(fake.calls(post)) == (1 if effect else 2)
    assert len(fake.users) + len(fake.groups) == 1


async def test_a_lost_answer_of_an_invisible_record_is_settled_when_it_is_shown(
    fake: FakePortal, portal: BpsPortal
) -> None:
    """Not shown yet, sent again, refused as a duplicate: it is known by its values some seconds later."""
    fake.synchronizes_at_once = fake.pending_visible = False
    fake.faults = [Fault("POST .*users", 504, effect=True)]
    creation = asyncio.create_task(_plain_create(portal))
    await asyncio.sleep(5)
    assert not creation.done()
    fake.synchronize()
    assert await creation is Creation.SETTLED
    assert len(fake.calls("POST .*users")) == 2


@both_kinds
async def test_a_duplicate_that_nobody_shows_is_not_taken_for_ours(
    fake: FakePortal, portal: BpsPortal, create: Any, post: str
) -> None:
    """After a lost answer an invisible duplicate may be a deactivated user: it is looked for again, and not owned."""
    fake.hidden = {ANN.bps_id, G}
    fake.faults = [Fault(post, 504)]
    with pytest.raises(Conflict, match="whose answer was lost") as raised:
        await create(portal)
    assert raised.value.sent


@both_kinds
async def test_a_portal_that_never_answers_clearly_ends_the_attempts(
    fake: FakePortal, portal: BpsPortal, create: Any, post: str
) -> None:
    """The number of times one creation is sent is bounded, with growing pauses."""
    fake.faults = [Fault(post, 500, times=99)]
    with pytest.raises(Unavailable, match="InternalError"):
        await create(portal)
    first, second, third = (seen.at for seen in fake.calls(post))
    assert 0.5 <= second - first <= 1.2
    assert 1.0 <= third - second <= 2.2


@both_kinds
@pytest.mark.parametrize("duplicate", [405, 409])
async def test_a_record_that_was_there_before_is_never_ours_by_creation(
    fake: FakePortal, portal: BpsPortal, create: Any, post: str, duplicate: int
) -> None:
    """A clear refusal of the first attempt means somebody else's record, even with the very same values."""
    fake.group_duplicate_status = duplicate
    fake.add_user(ANN.bps_id, name="Ann", phoneNumber="1", jobTitle="Clerk")
    fake.add_group(G, name="Team")
    assert await create(portal) is Creation.EXISTS


@both_kinds
@pytest.mark.parametrize("answer", [401, 423, 429, 503])
@pytest.mark.parametrize("body", ["", "<html>Maintenance</html>"])
async def test_a_refusal_that_took_effect_all_the_same_is_settled_by_a_reading(
    fake: FakePortal, portal: BpsPortal, create: Any, post: str, answer: int, body: str
) -> None:
    """Whatever stands before the portal may say it is busy after the portal did its work: the record is still ours."""
    fake.faults = [Fault(post, answer, effect=True, body=body)]
    assert await create(portal) is Creation.SETTLED
    assert len(fake.users) + len(fake.groups) == 1


async def test_a_record_made_by_a_refused_attempt_is_waited_for_until_it_is_shown(
    fake: FakePortal, portal: BpsPortal
) -> None:
    """Where no record is shown before it is synchronised, some seconds of patience tell it from a stranger's."""
    fake.pending_visible = fake.synchronizes_at_once = False
    fake.faults = [Fault("POST .*users", 503, effect=True)]
    creation = asyncio.create_task(_plain_create(portal))
    await asyncio.sleep(5)
    assert not creation.done()
    fake.synchronize()
    assert await creation is Creation.SETTLED


@both_kinds
async def test_a_conflict_after_a_refusal_is_ours_only_with_the_record_to_show_for_it(
    fake: FakePortal, portal: BpsPortal, create: Any, post: str
) -> None:
    """Invisible to the end, it is what blocks the id for ever; with other values, it is somebody else's."""
    fake.faults = [Fault(post, 503), Fault(post, 409, times=9, code="ValidationError")]
    with pytest.raises(Conflict) as raised:
        await create(portal)
    assert not raised.value.sent
    fake.faults = [Fault(post, 503)]
    fake.add_user(ANN.bps_id, name="Anna")
    fake.add_group(G, name="Other")
    assert await create(portal) is Creation.EXISTS


@both_kinds
async def test_an_id_in_use_by_something_invisible_is_a_conflict_with_an_explanation(
    fake: FakePortal, portal: BpsPortal, create: Any, post: str
) -> None:
    """A deactivated user blocks the id and is not shown: the operator is told what to look for."""
    fake.hidden = {ANN.bps_id, G}
    with pytest.raises(Conflict, match="a deactivated user"):
        await create(portal)


@both_kinds
async def test_an_unclear_creation_that_meets_other_values_is_somebody_elses(
    fake: FakePortal, portal: BpsPortal, create: Any, post: str
) -> None:
    """After a lost answer, a record with other values than ours was there before us."""
    fake.add_user(ANN.bps_id, name="Another Ann")
    fake.add_group(G, name="Another team")
    fake.faults = [Fault(post, "reset")]
    assert await create(portal) is Creation.EXISTS


@both_kinds
async def test_a_creation_of_a_killed_run_is_looked_for_first(
    fake: FakePortal, portal: BpsPortal, create: Any, post: str
) -> None:
    """``sent_before``: our values are SETTLED and other values EXISTS without a second creation; nothing is created."""
    assert await create(portal, sent_before=True) is Creation.CREATED
    assert await create(portal, sent_before=True) is Creation.SETTLED
    for record in (*fake.users.values(), *(group.record for group in fake.groups.values())):
        record["name"] = "Changed"
    assert await create(portal, sent_before=True) is Creation.EXISTS
    assert len(fake.calls(post)) == 1


async def test_a_creation_of_a_killed_run_may_still_be_invisible(fake: FakePortal, portal: BpsPortal) -> None:
    """``sent_before`` and a duplicate that is not shown yet: the killed run's creation is waited for."""
    fake.synchronizes_at_once = fake.pending_visible = False
    await _plain_create(portal)
    again = asyncio.create_task(_plain_create(portal, sent_before=True))
    await asyncio.sleep(5)
    fake.synchronize()
    assert await again is Creation.SETTLED


async def test_a_refused_creation_is_not_sent_again(fake: FakePortal, portal: BpsPortal) -> None:
    """A 400 is the portal's verdict on the values."""
    with pytest.raises(Rejected, match="name and email are required"):
        await portal.create_account(Account(bps_id="a@b.example", name="A"))
    assert len(fake.calls("POST .*users")) == 1


@pytest.mark.parametrize("field", ["phoneNumber", "jobTitle", "managerBpsId", "email"])
async def test_every_field_tells_ours_from_somebody_elses(fake: FakePortal, portal: BpsPortal, field: str) -> None:
    """A record that differs from what was sent in a single field is not ours, also when we sent nothing for it."""
    fake.add_user(ANN.bps_id, **{"name": "Ann", "phoneNumber": "1", "jobTitle": "Clerk", field: "other"})
    assert await portal.create_account(ANN, sent_before=True) is Creation.EXISTS


async def test_case_and_blanks_do_not_make_a_record_somebody_elses(fake: FakePortal, portal: BpsPortal) -> None:
    """A portal may normalise what it was sent."""
    fake.add_user(ANN.bps_id, name="Ann ", email="ANN@corp.example", phoneNumber="1", jobTitle="Clerk")
    assert await portal.create_account(ANN, sent_before=True) is Creation.SETTLED


async def test_a_creation_that_was_turned_away_is_not_looked_for(fake: FakePortal, portal: BpsPortal) -> None:
    """A portal that says it did nothing is believed: no reading, no further creation."""
    fake.faults = [Fault("POST .*users", 503, times=99)]
    with pytest.raises(Unavailable):
        await portal.create_account(ANN)
    assert fake.calls("GET .*user") == []


@both_kinds
@pytest.mark.parametrize(
    ("answer", "may_be_there"), [(500, True), ("reset", True), (503, False), (400, False), (403, False)]
)
async def test_a_failed_creation_says_whether_the_record_may_be_there(
    fake: FakePortal, portal: BpsPortal, create: Any, post: str, answer: Any, may_be_there: bool
) -> None:
    """``sent`` of the error: an unclear answer that no reading could settle, or a refusal that had no effect."""
    fake.faults = [Fault(post, answer, times=99), Fault("GET .*", 503, times=99)]
    with pytest.raises(RemoteError) as raised:
        await create(portal)
    assert raised.value.sent is may_be_there
