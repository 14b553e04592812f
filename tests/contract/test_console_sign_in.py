"""Signing in to the console with the tenant: who is let in, as what, and everything that must not be believed."""

from __future__ import annotations

import re
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from urllib.parse import parse_qsl, quote, urlsplit

import aiohttp
import pytest

from syncd.config import Settings, load_settings
from syncd.sandbox.login import people as login_people
from syncd.sandbox.server import Sandbox, SandboxOptions
from syncd.sandbox.tenant.objects import Node
from syncd.sandbox.wire.faults import Fault
from syncd.web.console.cookies import SESSION, SIGN_IN
from tests.fakes.console import Answer, Browser, ConsoleStage, open_console
from tests.fakes.daemon import LogWatch, watching_logs
from tests.fakes.world import World

Claims = dict[str, object]


@dataclass
class Tenant:
    """The imitation tenant with the console beside it."""

    box: Sandbox
    stage: ConsoleStage
    http: aiohttp.ClientSession

    @property
    def people(self) -> list[Node]:
        """Return those who can sign in."""
        return [user for user in self.box.directory.users if user.properties.get("accountEnabled") is not False]

    def login(self, number: int) -> str:
        """Return the login of one of the people."""
        return str(self.people[number].properties["userPrincipalName"])

    def id(self, number: int) -> str:
        """Return the object id of one of the people."""
        return self.people[number].id

    async def choose(self, place: str, login: str, **more: str) -> Answer:
        """Sign in on the tenant's page, which the browser was sent to."""
        async with self.http.get(place) as page:
            assert page.status == 200, await page.text()
        async with self.http.post(place, data={"login": login, **more}, allow_redirects=False) as answer:
            return Answer(answer.status, dict(answer.headers), await answer.read(), {})

    async def begin(self, browser: Browser, back: str = "/users") -> str:
        """Begin a sign-in; return the tenant's page."""
        begun = await browser.get(f"/sign-in/entra?back={quote(back)}")
        assert begun.status == 303, begun.text
        return begun.place

    async def come_back(self, browser: Browser, place: str, login: str) -> str:
        """Sign in on the tenant's page; return the path by which the browser comes back."""
        sent = await self.choose(place, login)
        assert sent.status == 302, sent.text
        parts = urlsplit(sent.place)
        assert f"{parts.scheme}://{parts.netloc}" == self.stage.settings.web.external_url
        return f"{parts.path}?{parts.query}"

    async def sign_in(self, browser: Browser, login: str, back: str = "/users") -> Answer:
        """Sign in as somebody."""
        return await browser.get(await self.come_back(browser, await self.begin(browser, back), login))


@pytest.fixture
async def tenant(world: World, tmp_path: Path) -> AsyncIterator[Tenant]:
    """A tenant of a dozen people: the first one approves, the second one looks, the others are nobody."""
    async with Sandbox(SandboxOptions(users=12, groups=4, memberships=20), tmp_path, clock=world.clock) as box:
        file = tmp_path / "own.toml"
        file.write_text(box.config_toml(store_url="sqlite:///x.db", health_listen="", web_port=8443))
        settings: Settings = load_settings(file, {})
        people = [user for user in box.directory.users if user.properties.get("accountEnabled") is not False]
        web = settings.web.model_copy(update={"approvers": (people[0].id,), "viewers": (people[1].id,)})
        settings = settings.model_copy(update={"web": web})
        trust = ssl.create_default_context(cafile=str(box.ca_file))
        async with (
            open_console(world, base=settings) as stage,
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust)) as http,
        ):
            yield Tenant(box, stage, http)


@pytest.mark.both_engines
async def test_an_approver_and_a_viewer_are_known_by_their_own_ids(tenant: Tenant) -> None:
    """The way leads back to the page that was asked for; name and role are shown."""
    for number, role in ((0, "approver"), (1, "viewer")):
        browser = Browser(tenant.stage)
        first = await browser.get("/users?state=held")
        assert first.place == "/sign-in?back=/users?state%3Dheld"
        assert "/sign-in/entra?back=%2Fusers%3Fstate%3Dheld" in (await browser.get(first.place)).text
        done = await tenant.sign_in(browser, tenant.login(number), "/users?state=held")
        assert (done.status, done.place) == (303, "/users?state=held")
        assert SIGN_IN not in browser.cookies
        page = await browser.get("/users")
        assert f"{tenant.login(number)} · {role}" in page.text


async def test_somebody_else_is_not_let_in(tenant: Tenant) -> None:
    """The page says whom to ask; the log has the object id and no name; there is no session."""
    browser = Browser(tenant.stage)
    with watching_logs() as log:
        answer = await tenant.sign_in(browser, tenant.login(5))
        told = log.of("console.sign_in_refused")
        assert [each["person_id"] for each in told] == [tenant.id(5)]
        assert tenant.login(5) not in repr(log.events)
    assert answer.status == 403
    assert "web.approvers" in answer.text
    assert SESSION not in browser.cookies


@pytest.mark.parametrize("claim", ["absent", "listed", "overage"])
async def test_members_of_nested_groups_count(tenant: Tenant, claim: str) -> None:
    """By the token where it lists the groups; else Graph is asked with the person's own token."""
    box = tenant.box
    inner, outer = (
        box.directory.create_group({"displayName": "Inner"}),
        box.directory.create_group({"displayName": "Outer"}),
    )
    box.directory.add_member(outer, inner)
    box.directory.add_member(inner, tenant.id(6))
    tenant.stage.configure(viewers=(), approvers=(outer,))
    box.people.registration.groups_claim = claim  # type: ignore[assignment]
    before = box.ledger.requests()
    browser = Browser(tenant.stage)
    assert (await tenant.sign_in(browser, tenant.login(6))).status == 303
    assert "· approver" in (await browser.get("/")).text
    asked = [entry for entry in box.ledger.entries if "getMemberObjects" in entry.target]
    assert len(asked) == (0 if claim == "listed" else 1)
    assert box.ledger.requests() > before
    other = Browser(tenant.stage)
    assert (await tenant.sign_in(other, tenant.login(7))).status == 403


async def test_a_person_who_declines_or_is_unknown_gets_no_further(tenant: Tenant) -> None:
    """The tenant says so on its own page, or sends the browser back with an error."""
    browser = Browser(tenant.stage)
    place = await tenant.begin(browser)
    unknown = await tenant.choose(place, "nobody@nowhere.example")
    assert (unknown.status, "AADSTS50034" in unknown.text) == (200, True)
    declined = await tenant.choose(place, "", cancel="1")
    parts = urlsplit(declined.place)
    with watching_logs() as log:
        answer = await browser.get(f"{parts.path}?{parts.query}")
        assert "access_denied" in log.of("console.sign_in_failed")[0]["reason"]
    assert answer.status == 400
    assert SESSION not in browser.cookies


async def test_a_state_counts_once_and_in_its_own_browser(tenant: Tenant) -> None:
    """Replayed, foreign, unknown, missing or old: each is refused, and the tenant is not even asked."""
    browser, stranger = Browser(tenant.stage), Browser(tenant.stage)
    place = await tenant.begin(browser)
    way = await tenant.come_back(browser, place, tenant.login(0))
    asked = tenant.box.ledger.requests()
    assert (await stranger.get(way)).status == 400, "no cookie"
    await tenant.begin(stranger)
    assert (await stranger.get(way)).status == 400, "the cookie of another sign-in"
    after = tenant.box.ledger.requests()
    assert (await browser.get(way)).status == 400, "used up by the stranger's attempt"
    for wrong in ("", "?code=x", f"?state={'x' * 5000}&code=x", "?state=&code=x"):
        assert (await browser.get(f"/signed-in{wrong}")).status == 400, wrong
    assert tenant.box.ledger.requests() == after
    assert after > asked
    for each in (browser, stranger):
        assert SESSION not in each.cookies
    way = await tenant.come_back(browser, await tenant.begin(browser), tenant.login(0))
    tampered = re.sub(r"state=[^&]*", "state=another", way)
    assert (await browser.get(tampered)).status == 400
    assert (await browser.get(way)).status == 303
    assert (await browser.get(way)).status == 400, "replayed"


async def test_a_sign_in_that_takes_too_long_is_over(world: World, tenant: Tenant) -> None:
    """After ten minutes it is begun anew."""
    browser = Browser(tenant.stage)
    way = await tenant.come_back(browser, await tenant.begin(browser), tenant.login(0))
    world.clock.ahead += timedelta(minutes=10, seconds=1)
    assert (await browser.get(way)).status == 400


def set_claim(name: str, value: object) -> Callable[[Claims, Claims], None]:
    """Return what sets a claim of the id token; None takes it away."""

    def alter(_head: Claims, claims: Claims) -> None:
        claims[name] = value
        if value is None:
            del claims[name]

    return alter


def set_head(name: str, value: object) -> Callable[[Claims, Claims], None]:
    """Return what sets a field of the id token's head."""

    def alter(head: Claims, _claims: Claims) -> None:
        head[name] = value

    return alter


def shift(name: str, seconds: int) -> Callable[[Claims, Claims], None]:
    """Return what moves a time of the id token."""

    def alter(_head: Claims, claims: Claims) -> None:
        claims[name] = int(str(claims[name])) + seconds

    return alter


@pytest.mark.parametrize(
    ("alter", "said"),
    [
        (set_claim("aud", "another-application"), "InvalidAudienceError"),
        (set_claim("aud", None), "MissingRequiredClaimError"),
        (set_claim("iss", "https://evil.example/v2.0"), "InvalidIssuerError"),
        (set_claim("nonce", "0" * 64), "RuntimeError"),
        (set_claim("nonce", None), "RuntimeError"),
        (set_claim("tid", "11111111-2222-3333-4444-555555555555"), "another tenant"),
        (set_claim("tid", ""), "another tenant"),
        (set_claim("oid", None), "MissingRequiredClaimError"),
        (set_claim("oid", "ann@x.example"), "no object"),
        (set_claim("exp", None), "MissingRequiredClaimError"),
        (set_claim("exp", "tomorrow"), "times that are none"),
        (shift("exp", -3600 - 121), "expired"),
        (shift("iat", 121), "not valid yet"),
        (shift("nbf", 121), "not valid yet"),
        (set_head("alg", "none"), "not signed by RS256"),
        (set_head("alg", "HS256"), "not signed by RS256"),
        (set_head("alg", "RS512"), "not signed by RS256"),
        (set_head("kid", "another"), "none of the tenant's"),
        (set_head("kid", None), "kid"),
    ],
)
async def test_an_id_token_that_does_not_fit_is_not_believed(
    tenant: Tenant, alter: Callable[[Claims, Claims], None], said: str
) -> None:
    """Whatever is wrong with it, nobody is signed in, and the log says why without the token."""
    tenant.box.people.alter = alter
    browser = Browser(tenant.stage)
    with watching_logs() as log:
        answer = await tenant.sign_in(browser, tenant.login(0))
        reason = log.of("console.sign_in_failed")[0]["reason"]
    assert answer.status == 400
    assert SESSION not in browser.cookies
    assert said in reason or said == "kid", reason
    assert "eyJ" not in reason
    tenant.box.people.alter = lambda _head, _claims: None
    assert (await tenant.sign_in(browser, tenant.login(0))).status == 303


async def test_a_signature_of_somebody_else_is_not_believed(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tenant publishes one key, and the token is signed by another under its name."""
    from cryptography.hazmat.primitives.asymmetric import rsa

    forger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    real = tenant.box.people.publish_keys()
    monkeypatch.setattr(tenant.box.people, "publish_keys", lambda: real)
    assert login_people.make_key() is not forger
    monkeypatch.setattr(login_people, "make_key", lambda: forger)
    browser = Browser(tenant.stage)
    with watching_logs() as log:
        assert (await tenant.sign_in(browser, tenant.login(0))).status == 400
        assert "InvalidSignatureError" in log.of("console.sign_in_failed")[0]["reason"]
    assert SESSION not in browser.cookies


async def test_what_the_tenant_refuses_is_told_with_the_key_to_look_at(tenant: Tenant) -> None:
    """A secret that has ended is the administrator's matter: the log names the setting."""
    browser = Browser(tenant.stage)
    tenant.box.people.registration.secrets = ["another"]
    with watching_logs() as log:
        assert (await tenant.sign_in(browser, tenant.login(0))).status == 400
        reason = log.of("console.sign_in_failed")[0]["reason"]
    assert "7000215" in reason
    assert "web.client_secret" in reason


async def test_an_unreachable_tenant_is_no_way_in(tenant: Tenant) -> None:
    """Neither at the beginning nor at the end of a sign-in; the page says to try again."""
    browser = Browser(tenant.stage)
    way = await tenant.come_back(browser, await tenant.begin(browser), tenant.login(0))
    tenant.box.faults.add(Fault("status", side="login", count=-1))
    assert (await browser.get(way)).status == 503
    assert (await browser.get("/sign-in/entra")).status == 503
    assert SESSION not in browser.cookies
    tenant.box.faults.clear()


async def test_json_of_a_gateway_is_no_refusal_of_the_tenants(tenant: Tenant) -> None:
    """The page says to try again, and the log that something in between answered; no application is accused."""
    browser = Browser(tenant.stage)
    way = await tenant.come_back(browser, await tenant.begin(browser), tenant.login(0))
    tenant.box.faults.add(
        Fault("status", side="login", method="POST", status=403, body=b'{"error":"Forbidden"}', count=-1)
    )
    with watching_logs() as watch:
        assert (await browser.get(way)).status == 503
    assert SESSION not in browser.cookies
    assert "before the sign-in of the tenant" in str(watch.events)
    tenant.box.faults.clear()


async def test_the_request_asks_for_as_little_as_can_be(tenant: Tenant) -> None:
    """A code with PKCE, no refresh token, and nothing but the person's own record."""
    place = await tenant.begin(Browser(tenant.stage))
    asked = dict(parse_qsl(urlsplit(place).query))
    assert asked["response_type"] == "code"
    assert asked["code_challenge_method"] == "S256"
    assert len(asked["nonce"]) == 64
    assert asked["redirect_uri"] == "http://localhost:8443/signed-in"
    assert set(asked["scope"].split()) == {"openid", "profile", f"{tenant.box.graph_url}/User.Read"}
    assert asked["client_id"] == tenant.box.console_client_id != tenant.box.client_id


async def test_nothing_of_a_sign_in_is_logged(tenant: Tenant) -> None:
    """Neither code nor token, state, nonce, secret or name."""
    browser = Browser(tenant.stage)
    with watching_logs() as log:
        place = await tenant.begin(browser)
        asked = dict(parse_qsl(urlsplit(place).query))
        way = await tenant.come_back(browser, place, tenant.login(0))
        code = dict(parse_qsl(urlsplit(way).query))["code"]
        await browser.get(way)
        _expect_absent(log, code, asked["state"], asked["nonce"], tenant.login(0), tenant.box.console_client_secret)
        assert log.of("console.signed_in")[0]["person_id"] == tenant.id(0)


def _expect_absent(log: LogWatch, *texts: str) -> None:
    for text in texts:
        assert text not in repr(log.events)
