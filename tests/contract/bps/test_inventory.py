"""How the adapter reads what the portal has."""

from __future__ import annotations

import pytest
from aiohttp import web

from syncd.bps.portal import BpsPortal
from syncd.errors import (
    ProtocolError,
)
from syncd.model.target import Account, PortalGroup, PortalMember
from tests.contract.bps.conftest import G, Opener, read_all, user_id
from tests.contract.fake_portal import FakePortal

pytestmark = pytest.mark.looptime


async def test_all_pages_are_read_also_when_the_portal_caps_them(fake: FakePortal, opener: Opener) -> None:
    """Only an empty page is the end: a portal that gives fewer records than asked for is read completely."""
    fake.page_cap = 7
    for number in range(30):
        fake.add_user(user_id(number))
    async with opener(page_size=1000) as portal:
        assert [account.bps_id for account in await read_all(portal)] == [user_id(number) for number in range(30)]
    assert [seen.path for seen in fake.calls("GET .*users")][-1].endswith("/admin/users?size=1000&page=5")


async def test_pages_that_shift_bring_a_record_twice_at_worst(fake: FakePortal, opener: Opener) -> None:
    """A record that appears in front while reading shifts the pages; the reading goes on, and nothing is lost."""
    for number in range(10, 21):
        fake.add_user(user_id(number))
    ids: list[str] = []
    async with opener(page_size=5) as portal:
        async for page in portal.fetch_accounts():
            ids += [account.bps_id for account in page]
            if len(ids) == 5:
                first = dict(fake.users)
                fake.users.clear()
                fake.add_user(user_id(1))
                fake.users.update(first)
    assert set(ids) == {user_id(number) for number in range(10, 21)}
    assert len(ids) == 12


@pytest.mark.parametrize("wrap", [1, 3])
async def test_a_portal_that_ignores_the_page_number_is_found_out(fake: FakePortal, opener: Opener, wrap: int) -> None:
    """The same pages again and again are an error, neither an endless loop nor an end."""
    fake.pages_wrap_after = wrap
    for number in range(20):
        fake.add_user(user_id(number))
    async with opener(page_size=4) as portal:
        with pytest.raises(ProtocolError, match="again and again"):
            await read_all(portal)
    assert len(fake.calls("GET .*users")) == wrap + 3


async def test_malformed_records_are_counted_and_skipped(fake: FakePortal, portal: BpsPortal) -> None:
    """A record without an id or of the wrong shape costs only itself."""
    fake.add_user("a@b.example")
    fake.raw_users = [
        None,
        {},
        {"bpsId": ""},
        {"bpsId": None},
        {"bpsId": "x@y.example", "name": 7},
        {"bpsId": "c@d.example"},
    ]
    assert [account.bps_id for account in await read_all(portal)] == ["a@b.example", "c@d.example"]
    malformed = portal.find_malformed("user")
    assert malformed.count == 5
    assert "bpsId" in malformed.first[1].reason
    assert [record.bps_id for record in malformed.first] == ["", "", "", "", "x@y.example"]
    fake.raw_users = []
    await read_all(portal)
    assert portal.find_malformed("user").count == 0


async def test_text_that_no_database_keeps_costs_one_record_and_not_the_reading(
    fake: FakePortal, portal: BpsPortal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NUL and half a surrogate pair, which a column that is too short leaves of a picture, are malformed."""
    record = '{"bpsId": "%s", "name": "%s"}'
    odd = (("a@b.example", "A"), ("b@b.example", "B\\u0000"), ("a\\u0000@b.example", "C"), ("d@b.example", "\\ud83d"))
    pages = ('{"users": [' + ", ".join(record % pair for pair in odd) + "]}", '{"users": []}')
    answers = [web.Response(text=text, content_type="application/json") for text in pages]
    monkeypatch.setattr(fake, "_act", lambda *_: answers.pop(0))
    assert [account.bps_id for account in await read_all(portal)] == ["a@b.example"]
    assert portal.find_malformed("user").count == 3


@pytest.mark.parametrize("body", ["{}", "[]", "7", '{"users": 7}', '{"groups": []}', "", "no json"])
async def test_an_answer_without_a_list_is_no_empty_list(
    fake: FakePortal, portal: BpsPortal, body: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the portal's own empty list ends a reading; anything else must not pass for an empty portal."""
    monkeypatch.setattr(fake, "_act", lambda *_: web.Response(text=body, content_type="application/json"))
    with pytest.raises(ProtocolError):
        await read_all(portal)


async def test_empty_and_missing_values_are_both_none(fake: FakePortal, portal: BpsPortal) -> None:
    """An account has no empty strings; its status is the portal's."""
    fake.add_user("a@b.example", name="A", email="", phoneNumber=None, jobTitle="", status="WaitingForSynchronization")
    assert await portal.fetch_account("a@b.example") == Account(
        bps_id="a@b.example", name="A", status="WaitingForSynchronization"
    )


async def test_a_group_is_read_with_its_people(fake: FakePortal, portal: BpsPortal) -> None:
    """Members and owners come with their account type; the list of groups comes without them."""
    fake.add_group(G, "a@b.example", owners=("c@d.example",))
    detail = await portal.fetch_group(G)
    assert detail is not None
    assert detail.members == (PortalMember("a@b.example", "User"),)
    assert detail.owners == (PortalMember("c@d.example", "User"),)
    assert [group async for page in portal.fetch_groups() for group in page] == [PortalGroup(bps_id=G, name=G, email=G)]
    assert await portal.fetch_group("other@groups.example") is None


async def test_a_group_with_an_unreadable_member_is_an_error(
    fake: FakePortal, portal: BpsPortal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A member list with a hole must not pass for a complete one."""
    broken = {"bpsId": G, "members": [{"name": "x"}], "owners": []}
    monkeypatch.setattr(fake, "_show_group", lambda _: web.json_response(broken))
    fake.add_group(G)
    with pytest.raises(ProtocolError, match="malformed group"):
        await portal.fetch_group(G)
