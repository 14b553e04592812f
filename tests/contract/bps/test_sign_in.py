"""Where the portal sends an anonymous browser: Microsoft's sign-in is compared, and nothing else is guessed at."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlencode

import pytest
from aiohttp import web
from yarl import URL

from syncd.bootstrap.checks import Check, check_sign_in
from syncd.bps import probe
from syncd.bps.sign_in import Expected, judge_sign_in, probe_sign_in
from syncd.clock import Clock
from syncd.config import load_settings
from syncd.config.addresses import CLOUDS, LOGIN_HOSTS
from syncd.sandbox.server import Sandbox, SandboxOptions
from syncd.sandbox.wire.knobs import PortalKnobs
from tests.fakes.rules import make_bps_options

TENANT = "11111111-2222-4333-8444-555555555555"
PORTAL = "https://bps.example.com/WEBCONBPS"
EXPECTED = Expected(tenant_id=TENANT, authority=CLOUDS["global"][0], login_hosts=LOGIN_HOSTS)
RIGHT = f"{PORTAL}/signin-aad"
LOGIN = "https://login.microsoftonline.com"


def address(*, host: str = LOGIN, tenant: str = TENANT, redirect: str = RIGHT, route: str = "oauth2/v2.0") -> URL:
    """Return where a portal may send people."""
    query = urlencode({"client_id": "the-client", "redirect_uri": redirect, "nonce": "n0nce", "state": "st4te"})
    return URL(f"{host}/{tenant}/{route}/authorize?{query}")


@pytest.mark.parametrize(
    ("where", "status", "said"),
    [
        (address(), "ok", f"client id the-client, tenant {TENANT}, redirect URI {RIGHT}"),
        (address(route="oauth2"), "ok", RIGHT),
        (address(host="https://login.windows.net"), "ok", RIGHT),
        (address(host="https://LOGIN.microsoftonline.com:443", tenant=TENANT.upper()), "ok", RIGHT),
        (address(redirect="https://BPS.example.com:443/WEBCONBPS/signin-aad"), "ok", ""),
        (address(redirect="https://bps.example.com/webconbps/signin-aad"), "ok", "in case only, which Entra ID minds"),
        (address(redirect=f"{PORTAL}/signin-oidc"), "warning", f"it should be {RIGHT}"),
        (address(redirect="https://bps.example.com/signin-aad"), "warning", f"it should be {RIGHT}"),
        (address(redirect=f"{RIGHT}/"), "warning", f"it should be {RIGHT}"),
        (address(redirect=RIGHT.replace("https", "http")), "warning", "X-Forwarded-Proto"),
        (address(redirect="https://inside:8443/WEBCONBPS/signin-aad"), "warning", "calls itself https://inside:8443"),
        (address(redirect="signin-aad"), "warning", "is no address"),
        (address(tenant="99999999-2222-4333-8444-555555555555"), "warning", "not graph.tenant_id"),
        (address(tenant="consumers"), "warning", "not graph.tenant_id"),
        (address(tenant="common"), "unknown", "people of any tenant may sign in"),
        (address(tenant="Organizations"), "unknown", "people of any tenant may sign in"),
        (address(tenant="example.com"), "unknown", "one is an id and the other a domain"),
        (address(tenant="common", redirect=f"{PORTAL}/x"), "warning", "people of any tenant may sign in"),
        (address(host="https://login.microsoftonline.us"), "warning", "the cloud usgov"),
        (address(redirect=""), "unknown", "without a client id or redirect URI"),
        (URL(f"{LOGIN}/{TENANT}/saml2?SAMLRequest=x"), "unknown", "another protocol"),
        (address(host="http://login.microsoftonline.com"), "unknown", "no sign-in of Microsoft's"),
        (address(host="https://login.microsoftonline.com.evil.example"), "unknown", "no sign-in of Microsoft's"),
        (address(host="https://accounts.example.org"), "unknown", "sends people to accounts.example.org"),
    ],
)
def test_only_microsofts_sign_in_is_judged(where: URL, status: str, said: str) -> None:
    """Hosts without case, the path with it; a tenant by its id; what cannot be compared is unknown, with a way out."""
    found = judge_sign_in(where, PORTAL, EXPECTED)
    assert (found.status, said in f"{found.detail} {found.remedy}") == (status, True), found
    assert bool(found.remedy) is (status != "ok")
    assert not any(secret in f"{found}" for secret in ("n0nce", "st4te"))


def test_a_domain_in_the_settings_is_compared_too() -> None:
    """graph.tenant_id may be one."""
    expected = Expected(tenant_id="example.com", authority=LOGIN, login_hosts=LOGIN_HOSTS)
    statuses = [
        judge_sign_in(address(tenant=tenant), PORTAL, expected).status
        for tenant in ("Example.com", "example.onmicrosoft.com", TENANT)
    ]
    assert statuses == ["ok", "unknown", "unknown"]


# ---- the way there --------------------------------------------------------------------------------------------------

Answering = Callable[[web.Request, str], web.Response]


@asynccontextmanager
async def serve(answering: Answering) -> AsyncIterator[tuple[str, list[web.Request]]]:
    """Serve a portal on loopback; yield its address, and what it is asked."""
    seen: list[web.Request] = []

    async def handle(request: web.Request) -> web.Response:
        seen.append(request)
        return answering(request, url)

    application = web.Application()
    application.router.add_route("*", "/{tail:.*}", handle)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield f"{url}/bps", seen
    finally:
        await runner.cleanup()


def redirect(where: str, status: int = 302) -> web.Response:
    return web.Response(status=status, headers={"Location": where})


async def look(portal: str) -> probe.Check:
    return await probe_sign_in(make_bps_options(portal_url=portal), EXPECTED, Clock())


async def test_own_redirects_are_followed_without_anything_that_tells_who_asks() -> None:
    """By GET, without token, cookie and a name in the address; Microsoft itself is not asked."""
    steps = {"/bps/": "/bps/one", "/bps/one": "two", "/bps/two": "//user:word@HOST/bps/three#here"}

    def answer(request: web.Request, url: str) -> web.Response:
        if request.path not in steps:
            return redirect(str(address(redirect=f"{url}/bps/signin-aad")), 307)
        found = redirect(steps[request.path].replace("HOST", url.removeprefix("http://")))
        found.set_cookie("who", "me")
        return found

    async with serve(answer) as (portal, seen):
        assert (await look(portal)).status == "ok"
    assert [request.path for request in seen] == ["/bps/", "/bps/one", "/bps/two", "/bps/three"]
    assert {request.method for request in seen} == {"GET"}
    assert not any({"Authorization", "Cookie"} & set(request.headers) for request in seen)


PAGE = f"<html><script>location = '{LOGIN}/x/oauth2/authorize'</script></html>"


@pytest.mark.parametrize(
    ("answer", "said", "asked"),
    [
        (lambda request, url: redirect(str(request.url)), "X-Forwarded-Proto", 1),
        (lambda request, url: redirect(f"{request.path}x"), "more than 5 times", 6),
        (lambda request, url: redirect(""), "no address", 1),
        (lambda request, url: redirect("http://[bad"), "no address", 1),
        (lambda request, url: redirect("javascript:alert(1)"), "no address", 1),
        (lambda request, url: redirect("http://127.0.0.1:1/"), "no sign-in of Microsoft's", 1),
        (lambda request, url: web.Response(text="<html>Welcome</html>", content_type="text/html"), "shows a page,", 1),
        (lambda request, url: web.Response(text=PAGE, content_type="text/html"), "that names login.microsoftonline", 1),
        (lambda request, url: web.Response(text="{}", content_type="application/json"), "with no page", 1),
        (lambda request, url: web.Response(body=b"x" * (2 << 20)), "larger than", 1),
        (lambda request, url: web.Response(status=503), "with 503", 1),
        (lambda request, url: web.Response(status=401, headers={"WWW-Authenticate": "NTLM"}), "a Windows sign-in", 1),
    ],
)
async def test_whatever_else_comes_is_unknown_with_what_to_look_at(answer: Answering, said: str, asked: int) -> None:
    """Bounded in number and size; one question each, no other host, and never a failure."""
    async with serve(answer) as (portal, seen):
        found = await look(portal)
    assert (found.check, found.status, len(seen)) == ("portal sign-in", "unknown", asked)
    assert said in f"{found.detail} {found.remedy}"
    assert found.remedy


async def test_a_portal_that_is_not_there_fails_nothing() -> None:
    """Other rows say so."""
    assert (await look("https://127.0.0.1:9")).status == "unknown"


# ---- the sandbox ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("page", "status", "said"),
    [
        ("entra", "ok", "/signin-aad"),
        ("other redirect", "warning", "/signin-oidc"),
        ("other tenant", "warning", "that tenant is not graph.tenant_id"),
        ("other provider", "unknown", "login.provider.example"),
        ("page", "unknown", "the portal shows a page"),
    ],
)
async def test_the_sandbox_sends_people_where_its_knob_says(tmp_path: Path, page: str, status: str, said: str) -> None:
    """With the settings that it writes; the imitated sign-in is not asked."""
    knobs = PortalKnobs(front_page=page)  # type: ignore[arg-type]
    options = SandboxOptions(users=1, groups=1, memberships=0, portal_knobs=knobs)
    async with Sandbox(options, tmp_path / "sandbox") as sandbox:
        file = tmp_path / "syncd.toml"
        file.write_text(sandbox.config_toml(store_url=f"sqlite:///{tmp_path}/s.db", health_listen="127.0.0.1:0"))
        found = await check_sign_in(load_settings(file, {}), Clock(), [])
        assert (found.check, found.status, said in found.detail) == ("portal sign-in", status, True), found
        assert {entry.side for entry in sandbox.ledger.entries} == {"portal"}
        skipped = await check_sign_in(
            load_settings(file, {}), Clock(), [Check("portal reachable", "failed", detail="no")]
        )
        assert (skipped.status, skipped.remedy) == ("unknown", "")
