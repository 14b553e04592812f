"""How the adapter gets, keeps and renews its token."""

from __future__ import annotations

import asyncio

import pytest

from syncd.bps.portal import BpsPortal
from syncd.errors import (
    AuthFailed,
    ProtocolError,
)
from tests.contract.bps.conftest import Opener, user_id
from tests.contract.fake_portal import FakePortal, Fault

pytestmark = pytest.mark.looptime


async def test_many_requests_share_one_token(fake: FakePortal, portal: BpsPortal) -> None:
    """A token is asked for once, also by requests that start together, and its secret survives form-encoding."""
    await asyncio.gather(*(portal.fetch_account(user_id(n)) for n in range(20)))
    assert fake.token_requests == 1


@pytest.mark.parametrize(
    ("expires_in", "after", "expected"), [(None, 9e5, 1), (600, 500, 1), ("600", 560, 2), (600, 601, 2)]
)
async def test_a_token_is_used_until_shortly_before_its_end(
    fake: FakePortal, portal: BpsPortal, expires_in: float | str | None, after: float, expected: int
) -> None:
    """``expires_in`` may be a number, a numeric string or missing; without it only a 401 ends a token."""
    fake.expires_in = expires_in
    await portal.fetch_account("a@b.example")
    await asyncio.sleep(after)
    await portal.fetch_account("a@b.example")
    assert fake.token_requests == expected


async def test_a_missing_token_type_means_bearer(fake: FakePortal, portal: BpsPortal) -> None:
    """The token type is used as given, and Bearer where none is given."""
    fake.token_type = None
    fake.add_user("a@b.example")
    assert await portal.fetch_account("a@b.example") is not None


async def test_a_token_that_no_header_takes_is_refused(fake: FakePortal, portal: BpsPortal) -> None:
    """Whatever gives out such a one is no portal."""
    fake.token_type = "x" * 100_000
    with pytest.raises(ProtocolError, match=r"answered 200 with a token of 100,\d+ characters"):
        await portal.fetch_account("a@b.example")


async def test_a_401_in_the_middle_costs_one_fresh_token_for_all(fake: FakePortal, portal: BpsPortal) -> None:
    """When the portal forgets the token, all concurrent requests go through with one new token."""
    fake.add_user("a@b.example")
    await portal.fetch_account("a@b.example")
    fake.tokens.clear()
    found = await asyncio.gather(*(portal.fetch_account("a@b.example") for _ in range(10)))
    assert all(found)
    assert fake.token_requests == 2


async def test_a_fresh_token_that_is_refused_is_the_end(fake: FakePortal, portal: BpsPortal) -> None:
    """A second 401 is reported with the setting to look at, not repeated for ever."""
    fake.faults = [Fault("GET /api/data", 401, times=99, code="InvalidAuthenticationToken")]
    with pytest.raises(AuthFailed, match=r"WEBCON BPS portal.*bps\.client_id"):
        await portal.fetch_account("a@b.example")
    assert len(fake.calls("GET /api/data")) == 2


@pytest.mark.parametrize("status", [400, 401, 403])
async def test_a_wrong_secret_is_one_sentence_without_the_secret(fake: FakePortal, opener: Opener, status: int) -> None:
    """It names the side, the settings, what was said and the way out, and never the secret, even when echoed."""
    fake.bad_secret_status = status
    async with opener(secret=lambda: "wr+ong") as portal:
        with pytest.raises(AuthFailed, match=r"WEBCON BPS portal.*invalid_client.*bps\.client_secret") as caught:
            await portal.fetch_account("a@b.example")
    assert "wr+ong" not in str(caught.value)
    assert fake.token_requests == 1


async def test_a_changed_secret_is_read_again(fake: FakePortal, opener: Opener) -> None:
    """The secret is asked for at every token request, so that a rotated secret file needs no restart."""
    secrets = ["s+e/c=r&t", "new"]
    async with opener(secret=lambda: secrets.pop(0)) as portal:
        await portal.fetch_account("a@b.example")
        fake.tokens.clear()
        fake.secret = "new"
        await portal.fetch_account("a@b.example")
    assert fake.token_requests == 2


@pytest.mark.parametrize(
    "fault", [Fault("token", 404, body="<html><h1>404 - IIS</h1></html>"), Fault("token", 404), Fault("token", 405)]
)
async def test_a_portal_url_without_its_path_is_named(fake: FakePortal, portal: BpsPortal, fault: Fault) -> None:
    """No token endpoint at that address: the sentence names bps.portal_url."""
    fake.faults = [fault]
    with pytest.raises(AuthFailed, match=r"bps\.portal_url"):
        await portal.fetch_account("a@b.example")


@pytest.mark.parametrize("pattern", ["token", "GET /api/data"])
async def test_a_sign_in_page_instead_of_an_answer_is_named(fake: FakePortal, portal: BpsPortal, pattern: str) -> None:
    """A page for people with status 200 is no answer of the API, and is quoted without its markup."""
    fake.faults = [Fault(pattern, 200, body="<html><style>x{}</style><title>Sign in</title></html>")]
    with pytest.raises(ProtocolError, match=r"a web page “Sign in”.*bps\.portal_url"):
        await portal.fetch_account("a@b.example")


@pytest.mark.parametrize("pattern", ["token", "GET /api/data"])
async def test_a_redirect_names_its_target_and_the_setting(fake: FakePortal, portal: BpsPortal, pattern: str) -> None:
    """Redirects (http to https, say) are not followed; the operator learns where they lead."""
    fake.faults = [Fault(pattern, 302, headers={"Location": "https://elsewhere.example"})]
    with pytest.raises(ProtocolError, match=r"elsewhere\.example.*bps\.portal_url"):
        await portal.fetch_account("a@b.example")
