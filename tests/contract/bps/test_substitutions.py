"""Substitutions over the wire, under each behaviour that nobody has documented."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from syncd.bps.portal import BpsPortal
from syncd.errors import Conflict, Forbidden, NotFound, NotOffered, RemoteError
from syncd.model.substitution import Substitution
from tests.contract.bps.conftest import Opener
from tests.contract.fake_portal import FakePortal, Fault

pytestmark = pytest.mark.looptime

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
WANTED = Substitution(
    original="ann@corp.example", substitute="bob@corp.example", starts_at=START, ends_at=START + timedelta(days=30)
)


@pytest.fixture(autouse=True)
def people(fake: FakePortal) -> None:
    """Three people and the scope."""
    fake.scopes.add("Admin.Substitutions.ReadWrite")
    for name in ("ann", "bob", "eve"):
        fake.add_user(f"{name}@corp.example")


async def test_a_substitution_is_a_task_delegation_in_all_applications(fake: FakePortal, portal: BpsPortal) -> None:
    """One request, when the portal answers with the number."""
    number = await portal.create_substitution(WANTED)
    (sent,) = fake.calls("substitutions")
    assert sent.body == {
        "originalPerson": {"bpsId": "ann@corp.example", "typedInValue": True},
        "substitutePerson": {"bpsId": "bob@corp.example"},
        "startDate": "2026-03-01T12:00:00Z",
        "endDate": "2026-03-31T12:00:00Z",
        "type": "TaskDelegation",
        "activeApplications": {"allApplications": True},
    }
    assert await portal.find_substitution(replace(WANTED, number=number)) == replace(WANTED, number=number)


@pytest.mark.parametrize("status", [404, 501])
async def test_a_portal_without_substitutions_says_so(fake: FakePortal, portal: BpsPortal, status: int) -> None:
    """It is no failure of that person: there is nothing to be asked for."""
    fake.faults.append(Fault("POST /api/data/v6.0/admin/substitutions", status, times=9))
    with pytest.raises(NotOffered, match=f"offers no substitutions .{status}"):
        await portal.create_substitution(WANTED)
    assert len(fake.calls("substitutions")) == 1


@pytest.mark.parametrize(
    ("number_form", "first_page", "empty_list", "time_form"),
    [
        ("text", 0, 200, "as sent"),
        ("object", 1, 404, "local"),
        ("none", 0, 404, "days"),
        ("none", 1, 200, "local"),
        ("none", 1, 404, "as sent"),
    ],
)
async def test_it_is_found_again_whatever_the_portal_is_like(
    fake: FakePortal, portal: BpsPortal, number_form: str, first_page: int, empty_list: int, time_form: str
) -> None:
    """Number told or not, pages from 0 or 1, empty lists as 404, times without a zone or cut to days."""
    fake.number_form, fake.first_page, fake.empty_list, fake.time_form = number_form, first_page, empty_list, time_form
    assert await portal.find_substitution(WANTED) is None
    number = await portal.create_substitution(WANTED)
    assert number == 1
    for known in (WANTED, replace(WANTED, number=number)):
        found = await portal.find_substitution(known)
        assert found is not None
        assert (found.number, found.substitute, found.ends_at) == (1, WANTED.substitute, WANTED.ends_at)


async def test_a_strangers_substitution_is_never_taken_for_ours(fake: FakePortal, portal: BpsPortal) -> None:
    """Neither one of other people, nor one with another end, nor a number that belongs to somebody else."""
    await portal.create_substitution(replace(WANTED, substitute="eve@corp.example"))
    await portal.create_substitution(replace(WANTED, ends_at=WANTED.ends_at + timedelta(days=9)))
    await portal.create_substitution(replace(WANTED, original="eve@corp.example"))
    assert await portal.find_substitution(WANTED) is None
    assert await portal.find_substitution(replace(WANTED, number=3)) is None
    assert await portal.find_substitution(replace(WANTED, number=9)) is None


async def test_many_substitutions_of_one_person_are_read_to_the_end(fake: FakePortal, portal: BpsPortal) -> None:
    """The list is paged."""
    for day in range(250):
        await portal.create_substitution(replace(WANTED, ends_at=WANTED.ends_at + timedelta(days=2 * (250 - day))))
    await portal.create_substitution(WANTED)
    found = await portal.find_substitution(WANTED)
    assert found is not None
    assert found.number == 251


async def test_changing_and_ending(fake: FakePortal, portal: BpsPortal) -> None:
    """A change names everything; ending twice is no error, changing what is gone is."""
    number = await portal.create_substitution(WANTED)
    changed = replace(WANTED, substitute="eve@corp.example", number=number)
    await portal.update_substitution(changed)
    assert await portal.find_substitution(changed) == changed
    assert number is not None
    await portal.delete_substitution(number)
    await portal.delete_substitution(number)
    assert await portal.find_substitution(changed) is None
    with pytest.raises(NotFound):
        await portal.update_substitution(changed)


@pytest.mark.parametrize("effect", [True, False])
async def test_a_lost_answer_is_settled_by_a_look(fake: FakePortal, portal: BpsPortal, *, effect: bool) -> None:
    """What is there is taken; what is not there is an error, and is not sent a second time."""
    fake.faults.append(Fault("POST .*substitutions", 500, effect=effect))
    if effect:
        assert await portal.create_substitution(WANTED) == 1
    else:
        with pytest.raises(RemoteError):
            await portal.create_substitution(WANTED)
    assert len(fake.calls("POST .*substitutions")) == 1
    assert len(fake.substitutions) == effect


@pytest.mark.parametrize("answer", [401, 423, 429, 503])
@pytest.mark.parametrize("effect", [True, False])
async def test_a_busy_portal_gets_no_second_substitution(
    fake: FakePortal, portal: BpsPortal, *, answer: int, effect: bool
) -> None:
    """It may have done its work before it was called busy: a look comes before the second attempt."""
    await portal.check()  # there is a token already
    fake.faults.append(Fault("POST .*substitutions", answer, effect=effect))
    assert await portal.create_substitution(WANTED) == 1
    assert len(fake.calls("POST .*substitutions")) == (1 if effect else 2)
    assert len(fake.substitutions) == 1


async def test_a_refusal_keeps_its_reason(fake: FakePortal, opener: Opener) -> None:
    """An unknown substitute is a conflict; without the scope the message names it."""
    async with opener() as portal:
        with pytest.raises(Conflict):
            await portal.create_substitution(replace(WANTED, substitute="nobody@corp.example"))
        fake.scopes.remove("Admin.Substitutions.ReadWrite")
        with pytest.raises(Forbidden, match=r"Admin\.Substitutions\.ReadWrite"):
            await portal.create_substitution(WANTED)
