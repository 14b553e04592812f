"""Something before the portal answers in its place: it accuses nobody, and what it refuses is told as its doing."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from syncd.bps.portal import BpsPortal
from syncd.bps.probe import probe_portal
from syncd.errors import AuthFailed, Forbidden, Intercepted, NotFound, ProtocolError, Rejected, RemoteError, Unavailable
from syncd.model.target import Creation
from tests.contract.bps.conftest import ANN, TEAM, G, Opener, read_all, user_id
from tests.contract.fake_portal import FakePortal, Fault

pytestmark = pytest.mark.looptime

PAGE = "<html><head><title>Access denied</title></head><body><h1>Request blocked</h1></body></html>"
JSONS = ('{"message":"Forbidden"}', '{"error":"blocked","ray":"1"}', "denied", "")


def gateway(pattern: str, status: int, body: str = PAGE, *, effect: bool = False) -> Fault:
    return Fault(pattern, status, body=body or " ", times=999, effect=effect)


@pytest.mark.parametrize("body", [PAGE, *JSONS])
@pytest.mark.parametrize("status", [400, 402, 403, 405, 406, 409, 411, 413, 415, 421, 451, 501])
async def test_a_refusal_that_is_not_the_portals_own_word_accuses_no_scope_record_or_maker(
    fake: FakePortal, portal: BpsPortal, status: int, body: str
) -> None:
    """Whatever the status: a page, JSON of another shape, a bare text, or nothing at all."""
    fake.add_user(ANN.bps_id)
    fake.faults = [gateway("PATCH", status, body)]
    with pytest.raises(Intercepted) as raised:
        await portal.update_account(ANN.bps_id, {"name": "Ann"})
    error = raised.value
    assert (error.status, error.own, error.foreign_record) == (status, False, False)
    for word in ("scope", "another maker", "directory synchronisation", "API application"):
        assert word not in str(error)
    assert "gateway" in str(error) or "something before the portal" in str(error)


async def test_a_method_that_is_not_let_through_is_named_with_the_way_out(fake: FakePortal, portal: BpsPortal) -> None:
    """As the WebDAV module of a web server does with PATCH and DELETE."""
    fake.faults = [gateway("PATCH|DELETE", 405)]
    fake.add_user(ANN.bps_id)
    with pytest.raises(Intercepted, match=r"something before the portal does not let PATCH through .*WebDAV"):
        await portal.update_account(ANN.bps_id, {"name": "Ann"})
    with pytest.raises(Intercepted, match="something before the portal does not let DELETE through"):
        await portal.delete_account(ANN.bps_id)


async def test_the_portals_own_refusals_accuse_as_before(fake: FakePortal, portal: BpsPortal) -> None:
    """In the shape of its API they are believed: a scope, a record of another maker, another 403."""
    fake.add_user(ANN.bps_id)
    own = json.dumps({"type": "InvalidScope", "description": "d", "errorGuid": "1"})
    fake.faults = [gateway("PATCH", 403, own)]
    with pytest.raises(Forbidden, match=r"lacks the scope Admin\.Users\.ReadWrite"):
        await portal.update_account(ANN.bps_id, {"name": "Ann"})
    fake.faults = [gateway("PATCH", 403, own.replace("InvalidScope", "NotToday"))]
    with pytest.raises(Forbidden, match=r"NotToday.*whether it is active and has the scope") as raised:
        await portal.update_account(ANN.bps_id, {"name": "Ann"})
    assert raised.value.own
    fake.faults = [gateway("PATCH", 405, own.replace("InvalidScope", "UnsupportedOperation"))]
    with pytest.raises(Rejected, match="does not let us change") as refused:
        await portal.update_account(ANN.bps_id, {"name": "Ann"})
    assert refused.value.foreign_record


@pytest.mark.parametrize("effect", [False, True])
async def test_a_creation_that_a_gateway_answers_is_settled_by_a_look(
    fake: FakePortal, portal: BpsPortal, *, effect: bool
) -> None:
    """Whether the request was passed on is not known: what is there is ours, and what is not may be there yet."""
    fake.faults = [gateway("POST /api/data/v6.0/admin/users", 403, effect=effect)]
    if effect:
        assert await portal.create_account(ANN) is Creation.SETTLED
    else:
        with pytest.raises(Intercepted) as raised:
            await portal.create_account(ANN)
        assert raised.value.sent


async def test_a_member_whom_a_gateway_minds_is_found_and_the_others_come_in(fake: FakePortal, opener: Opener) -> None:
    """The batch is narrowed down as one that the portal itself refuses."""
    ids = [user_id(number) for number in range(40)]
    for bps_id in ids:
        fake.add_user(bps_id)
    fake.add_group(G)
    fake.faults = [replace(gateway("members/add", 403), holding="user017")]
    async with opener(members_per_request=40) as portal:
        result = await portal.add_members(G, ids)
    assert [bps_id for bps_id, _ in result.failed] == [user_id(17)]
    assert "a web page of a gateway" in result.failed[0][1]
    assert len(fake.groups[G].members) == 39


async def test_a_group_that_a_gateway_refuses_altogether_is_given_up_soon(fake: FakePortal, opener: Opener) -> None:
    """Not each of its members is tried."""
    ids = [user_id(number) for number in range(200)]
    for bps_id in ids:
        fake.add_user(bps_id)
    fake.add_group(G)
    fake.faults = [gateway("members/add", 403)]
    async with opener(members_per_request=200) as portal:
        with pytest.raises(Intercepted):
            await portal.add_members(G, ids)
    assert len(fake.calls("members/add")) == 12


async def test_a_call_that_is_broken_off_names_those_who_are_done(fake: FakePortal, opener: Opener) -> None:
    """The first batch is taken, the second meets another answer for good: its people are not known to be there."""
    ids = [user_id(number) for number in range(40)]
    for bps_id in ids:
        fake.add_user(bps_id)
    fake.add_group(G)
    own = json.dumps({"type": "InvalidScope", "description": "d", "errorGuid": "1"})
    fake.faults = [replace(gateway("members/add", 403, own), holding="user025")]
    async with opener(members_per_request=20) as portal:
        with pytest.raises(Forbidden) as raised:
            await portal.add_members(G, ids)
    assert raised.value.done == {*ids[:20]}
    assert len(fake.groups[G].members) == 20


async def test_a_body_that_is_too_big_for_a_gateway_goes_through_in_parts(fake: FakePortal, opener: Opener) -> None:
    """413 says nothing about any of them."""
    ids = [user_id(number) for number in range(64)]
    for bps_id in ids:
        fake.add_user(bps_id)
    fake.add_group(G)
    fake.faults = [replace(gateway("members/add", 413), above=900)]
    async with opener(members_per_request=64) as portal:
        result = await portal.add_members(G, ids)
    assert len(result.done) == 64
    assert len(fake.groups[G].members) == 64


@pytest.mark.parametrize("body", [PAGE, ""])
async def test_a_page_for_one_record_is_no_missing_record(fake: FakePortal, portal: BpsPortal, body: str) -> None:
    """Where the API has words of its own for what it does not have, a 404 without them is a gateway's."""
    fake.add_user(ANN.bps_id)
    fake.faults = [gateway(f"bpsId={ANN.bps_id.replace('@', '%40')}", 404, body)]
    with pytest.raises(Intercepted, match="gateway or a firewall"):
        await portal.fetch_account(ANN.bps_id)
    with pytest.raises(Intercepted):
        await portal.delete_account(ANN.bps_id)
    fake.faults = []
    assert await portal.fetch_account("nobody@corp.example") is None


async def test_a_gateway_that_has_pages_for_every_404_hides_no_missing_record(
    fake: FakePortal, portal: BpsPortal
) -> None:
    """It answers the same for a record that cannot exist."""
    fake.faults = [gateway(r"GET .*/admin/user\?", 404)]
    assert await portal.fetch_account("nobody@corp.example") is None


async def test_a_gateway_that_refuses_the_greeting_only_is_passed_by(fake: FakePortal, portal: BpsPortal) -> None:
    """The list of users is what nobody can do without."""
    fake.faults = [gateway("GET /api/data/v6.0/me", 403)]
    await portal.check()
    fake.faults = [gateway("GET /api/data/v6.0/(me|admin/users)", 403)]
    with pytest.raises(Intercepted):
        await portal.check()


async def test_a_sign_in_before_the_portal_is_no_refused_token(fake: FakePortal, portal: BpsPortal) -> None:
    """A page with 401 is tried with a fresh token once, and then told as what it is."""
    fake.faults = [gateway("GET /api/data", 401)]
    with pytest.raises(Intercepted, match="wants a sign-in of its own"):
        await portal.fetch_account(ANN.bps_id)
    assert len(fake.calls("GET /api/data")) == 2
    fake.faults = [Fault("GET /api/data", 401, body=" ", times=99, headers={"WWW-Authenticate": "Bearer"})]
    with pytest.raises(RemoteError, match=r"bps\.client_id"):
        await portal.fetch_account(ANN.bps_id)


async def test_a_page_in_place_of_a_token_accuses_no_secret(fake: FakePortal, portal: BpsPortal) -> None:
    """The registration may be right."""
    fake.faults = [gateway("token", 403)]
    with pytest.raises(Intercepted, match="a gateway or a firewall before the portal refused") as raised:
        await portal.check()
    assert "bps.client_secret" not in str(raised.value)


async def test_a_record_that_is_still_there_after_a_404_is_not_taken_for_deleted(
    fake: FakePortal, portal: BpsPortal
) -> None:
    """A portal that lists a record and answers 404 to its deletion has not deleted it."""
    fake.add_user(ANN.bps_id)
    fake.add_group(TEAM.bps_id)
    own = json.dumps({"type": "ResourceNotFound", "description": "User does not exist", "errorGuid": "1"})
    fake.faults = [gateway("DELETE", 404, own)]
    for delete in (portal.delete_account(ANN.bps_id), portal.delete_group(TEAM.bps_id)):
        with pytest.raises(Rejected, match="shows the record all the same") as raised:
            await delete
        assert raised.value.foreign_record
    await portal.delete_account("nobody@corp.example")


async def test_the_check_says_that_something_stands_before_the_portal(fake: FakePortal, opener: Opener) -> None:
    """It asks for no scope where none is missing."""
    fake.faults = [gateway("PATCH", 403), gateway("GET .*/admin/groups", 403)]
    async with opener() as portal:
        rows = {row.check: row for row in await probe_portal(portal)}
    for name in ("portal users write", "portal groups read"):
        assert rows[name].status in ("failed", "unknown")
        assert "gateway" in rows[name].detail
        assert "grant" not in rows[name].remedy


@pytest.mark.parametrize("status", [502, 504])
async def test_a_gateways_page_for_trouble_is_waited_out(fake: FakePortal, portal: BpsPortal, status: int) -> None:
    """502 and 504 pass, whoever answers so."""
    fake.add_user(ANN.bps_id)
    fake.faults = [replace(gateway("GET .*users", status), times=2)]
    assert len(await read_all(portal)) == 1
    fake.faults = [gateway("GET .*users", status)]
    with pytest.raises(Unavailable, match=f"{status}: a web page “Request blocked”"):
        await read_all(portal)


async def test_what_a_portal_repeats_of_the_request_is_masked(fake: FakePortal, portal: BpsPortal) -> None:
    """The token of this request, that of an earlier one, and the secret: in code, words and page."""
    fake.add_user(ANN.bps_id)
    await portal.fetch_account(ANN.bps_id)
    (token,) = fake.tokens
    for body in (
        json.dumps({"type": f"X{token}", "description": f"you sent {token}", "errorGuid": token}),
        f"<html><body>you sent Bearer {token} and s+e/c=r&amp;t</body></html>",
        f"Authorization: {token[:20]}… s%2Be%2Fc%3Dr%26t",
    ):
        for status in (200, 302, 400, 403, 500):
            fake.faults = [Fault("PATCH", status, body=body, times=99, headers={"Location": f"https://x/?t={token}"})]
            with pytest.raises((ProtocolError, RemoteError, NotFound)) as raised:
                await portal.update_account(ANN.bps_id, {"name": "Ann"})
            told = f"{raised.value!r} {raised.value.code} {raised.value.location}"
            assert token[:12] not in told
            assert "s+e/c=r&t" not in told.replace("&amp;", "&")
            assert "s%2Be%2Fc" not in told


# --- the token endpoint

TOKEN = "POST /api/oauth2/token"
ACCUSED = ("secret", "client_id", "scope", "is it active")


@pytest.mark.parametrize("body", [PAGE, *JSONS, '{"error":{"code":403}}', '{"message":"No API key","statusCode":401}'])
@pytest.mark.parametrize("status", [400, 401, 402, 403, 405, 406, 413, 451, 501])
async def test_what_stands_before_the_token_endpoint_accuses_no_registration(
    fake: FakePortal, portal: BpsPortal, status: int, body: str
) -> None:
    """Only OAuth's words and the API's own error shape are the portal's; 405 is a method that is not let through."""
    fake.faults = [gateway(TOKEN, status, body)]
    with pytest.raises(Intercepted) as raised:
        await portal.check()
    assert (raised.value.status, raised.value.own) == (status, False)
    for word in ACCUSED:
        assert word not in str(raised.value)
    assert "before the portal" in str(raised.value) or "a gateway before it" in str(raised.value)
    if status == 405:
        assert "does not let POST through" in str(raised.value)
        assert "no token endpoint" not in str(raised.value)


async def test_words_that_portal_and_gateway_share_send_to_the_log_first(fake: FakePortal, portal: BpsPortal) -> None:
    """WEBCON's own client reads ``message``, and no document says what stands there: it is shown, and believed half."""
    fake.faults = [gateway(TOKEN, 401, '{"message":"Client is not active"}')]
    with pytest.raises(
        Intercepted, match=r"“.*Client is not active.*the log of what stands before it.* API application"
    ):
        await portal.check()


@pytest.mark.parametrize(
    "body",
    [
        '{"error":"invalid_client"}',
        '{"error":"invalid_request","message":"m"}',
        '{"error":"AuthenticationFailed"}',
        '{"type":"AuthenticationFailed","description":"d","errorGuid":"1"}',
    ],
)
async def test_the_token_endpoints_own_words_name_the_registration(
    fake: FakePortal, portal: BpsPortal, body: str
) -> None:
    """Codes of OAuth, and errors in the shape of the API."""
    fake.faults = [gateway(TOKEN, 401, body)]
    with pytest.raises(AuthFailed, match=r"check bps\.client_id and .* is it active") as raised:
        await portal.check()
    assert raised.value.own


async def test_an_address_without_token_endpoint_names_the_address(fake: FakePortal, portal: BpsPortal) -> None:
    """404 with whatever body: the path of the portal, or of a gateway that does not know the way."""
    for body in (PAGE, '{"message":"no Route matched with those values"}', ""):
        fake.faults = [gateway(TOKEN, 404, body)]
        with pytest.raises(AuthFailed, match=r"no token endpoint: check bps\.portal_url.*gateway") as raised:
            await portal.check()
        assert "client_id" not in str(raised.value)
