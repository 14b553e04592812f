"""Where the portal sends an anonymous browser, and whether that is the sign-in that it should be. For ``syncd check``.

A GET of the portal's address without credentials and cookies. Redirects are followed on the portal itself only, and
bounded; whoever else is named is not asked. How a portal begins a sign-in no document of WEBCON's tells: it may
redirect, or show a page whose script does so. Known is what its guide wants to be registered in Entra ID, a redirect
URI that ends in ``/signin-aad``. So only a redirect to Microsoft's authorize endpoint is judged; of anything else is
said what came.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from yarl import URL

from syncd.bps.answers import NAME
from syncd.bps.options import BpsOptions
from syncd.bps.probe import Check
from syncd.clock import Clock
from syncd.errors import RemoteError
from syncd.http import HttpClient, HttpOptions, Response, is_web_page
from syncd.logs.quotes import quote

ROW: Final = "portal sign-in"
CALLBACK: Final = "/signin-aad"
"""The path behind the portal's address at which Microsoft hands people back (WEBCON's guide for Entra ID)."""

_REDIRECTS: Final = 5
_SECONDS: Final = 30.0
_BYTES: Final = 1 << 20
_BROWSER: Final = {
    "Accept": "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8",
    "User-Agent": "Mozilla/5.0 (compatible; syncd)",
}
_AUTHORIZE: Final = re.compile(r"/([^/]+)/oauth2/(?:v2\.0/)?authorize/?", re.IGNORECASE)
_GUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_PLAIN: Final = re.compile(r"[!-~]{1,300}")
_SHOWN: Final = 300
_ANY_TENANT: Final = frozenset({"common", "organizations"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What the settings say of the sign-in.

    ``authority``: the configured host root of the token service. ``login_hosts``: hosts of Microsoft's sign-in with the
    cloud of each.
    """

    tenant_id: str
    authority: str
    login_hosts: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Doubt:
    """Something about a sign-in that is wrong (``sure``), or that cannot be compared."""

    sure: bool
    words: str
    remedy: str


class _End(Exception):
    """The way ends on the portal itself: what it showed, and what that may mean."""

    def __init__(self, words: str, remedy: str = "") -> None:
        super().__init__(words)
        self.remedy = remedy


async def probe_sign_in(options: BpsOptions, expected: Expected, clock: Clock) -> Check:
    """Return one finding: ok, or a warning or unknown with what to look at; no run needs it, so that nothing fails."""
    door = HttpClient(
        NAME,
        HttpOptions(
            address_setting=f"bps.portal_url, {options.proxy_setting} and the network",
            ca_setting="bps.ca_file",
            proxy_setting=options.proxy_setting,
            ca_file=options.ca_file,
            proxy_url=options.proxy_url,
            connect_timeout=10.0,
            answer_timeout=10.0,
            size_limit=_BYTES,
            headers=_BROWSER,
        ),
        clock,
    )
    look = _say_where_to_look(options.portal_url, expected.tenant_id)
    try:
        async with asyncio.timeout(_SECONDS), door:
            address = await _follow(door, URL(f"{options.portal_url.rstrip('/')}/"), expected)
    except _End as end:
        return Check(ROW, "unknown", detail=str(end), remedy=end.remedy or look)
    except TimeoutError:
        return Check(ROW, "unknown", detail=f"the portal did not come to an end in {_SECONDS:.0f} s", remedy=look)
    except RemoteError as error:
        return Check(ROW, "unknown", detail=str(error), remedy=look)
    return judge_sign_in(address, options.portal_url, expected)


def judge_sign_in(address: URL, portal_url: str, expected: Expected) -> Check:
    """Return what an address outside of the portal means, to which it sends people who have not signed in. Pure."""
    look = _say_where_to_look(portal_url, expected.tenant_id)
    host = address.host or ""
    if not _is_microsoft(address, expected):
        detail = f"the portal sends people to {_show(host)}, which is no sign-in of Microsoft's that syncd knows"
        remedy = f"if Entra ID signs people in behind it, look there for the redirect URI; {look}"
        return Check(ROW, "unknown", detail=detail, remedy=remedy)
    found = _AUTHORIZE.fullmatch(address.path)
    client, redirect = address.query.get("client_id", ""), address.query.get("redirect_uri", "")
    if found is None or not client or not redirect:
        what = "by another protocol than OpenID Connect" if found is None else "without a client id or redirect URI"
        return Check(ROW, "unknown", detail=f"the portal sends people to {_show(host)}, {what}", remedy=look)
    tenant = found[1]
    doubts = [
        doubt
        for doubt in (
            _compare_cloud(host, expected),
            _compare_tenant(tenant, expected.tenant_id),
            _compare_redirect(redirect, f"{portal_url.rstrip('/')}{CALLBACK}"),
        )
        if doubt is not None
    ]
    shown = f"client id {_show(client)}, tenant {_show(tenant)}, redirect URI {_show(redirect)}"
    detail = "; ".join((f"Microsoft's sign-in with {shown}", *(doubt.words for doubt in doubts)))
    remedy = "; ".join(doubt.remedy for doubt in doubts if doubt.remedy)
    if any(doubt.sure for doubt in doubts):
        return Check(ROW, "warning", detail=detail, remedy=remedy)
    return Check(ROW, "unknown" if remedy else "ok", detail=detail, remedy=remedy)


# ---- the way there --------------------------------------------------------------------------------------------------


async def _follow(door: HttpClient, start: URL, expected: Expected) -> URL:
    """Return the first address outside of the portal; _End where there is none."""
    here = start
    for _ in range(_REDIRECTS + 1):
        answer = await door.ask("GET", here)
        if not 300 <= answer.status < 400:
            raise _judge_page(answer, expected)
        there = _read_location(here, answer.headers.get("Location", ""))
        if _origin(there) == _origin(here) or _is_upgrade(here, there):
            if there == here:
                raise _End("the portal redirects to the very address that was asked", _SAY_FORWARDED)
            here = there
            continue
        if there.host == here.host and there.scheme == "http" and here.scheme == "https":
            raise _End("the portal redirects from https to http", _SAY_FORWARDED)
        return there
    raise _End(f"the portal redirects more than {_REDIRECTS} times without leaving its own address")


_SAY_FORWARDED: Final = (
    "the reverse proxy before the portal has to hand on how it was asked (the headers Host and X-Forwarded-Proto)"
)


def _read_location(here: URL, location: str) -> URL:
    """Return where a redirect leads, without a name and password, which would be sent; _End for what is no address."""
    try:
        there = here.join(URL(location.strip())).with_fragment(None)
        if location.strip() and there.scheme in ("http", "https") and there.host:
            return there.with_user(None)
    except ValueError:
        pass
    raise _End("the portal redirects to something that is no address")


def _is_upgrade(here: URL, there: URL) -> bool:
    """Tell whether a redirect leads from the portal's http to its https, each at its usual port."""
    secure = (here.scheme, there.scheme) == ("http", "https")
    return secure and here.host == there.host and here.is_default_port() and there.is_default_port()


def _judge_page(answer: Response, expected: Expected) -> _End:
    asked = answer.headers.get("WWW-Authenticate", "").partition(" ")[0].strip(",")
    if answer.status == 401 and asked.casefold() in ("negotiate", "ntlm", "kerberos"):
        return _End(f"the portal asks for a Windows sign-in ({_show(asked)})", "choose Entra ID as its login provider")
    if not 200 <= answer.status < 300:
        return _End(f"the portal answered an anonymous browser with {answer.status}")
    body = answer.body.decode("utf-8", "replace").casefold()
    named = sorted(host for host in (*expected.login_hosts, _name_host(URL(expected.authority))) if host in body)
    if not is_web_page(answer):
        return _End("the portal answered an anonymous browser, but with no page")
    more = f" that names {named[0]}: a script or a form of it may begin Microsoft's sign-in" if named else ""
    return _End(f"the portal shows a page{more or ', and no redirect says who signs people in'}")


# ---- what is compared -----------------------------------------------------------------------------------------------


def _is_microsoft(address: URL, expected: Expected) -> bool:
    if address.scheme != "https":
        return False
    configured = _origin(address) == _origin(URL(expected.authority))
    return configured or (address.host in expected.login_hosts and address.is_default_port())


def _compare_cloud(host: str, expected: Expected) -> _Doubt | None:
    hosts = expected.login_hosts
    theirs, ours = hosts.get(host), hosts.get(URL(expected.authority).host or "")
    if theirs is None or ours is None or theirs == ours:
        return None
    return _Doubt(
        sure=True,
        words=f"{host} is the sign-in of the cloud {theirs}, and syncd reads the cloud {ours}",
        remedy="compare graph.cloud with the login provider in the portal's configuration",
    )


def _compare_tenant(tenant: str, wanted: str) -> _Doubt | None:
    named, ours = tenant.casefold(), wanted.casefold()
    if named == ours:
        return None
    if named in _ANY_TENANT:
        words = f"the tenant is '{named}', so that people of any tenant may sign in: nothing to compare with"
        return _Doubt(sure=False, words=words, remedy=f"name the tenant {wanted} in the portal's login provider")
    if named != "consumers" and bool(_GUID.fullmatch(named)) != bool(_GUID.fullmatch(ours)):
        words = "of the two tenants one is an id and the other a domain: whether they are the same is not known here"
        remedy = f"compare {_show(tenant)} with {wanted} in Entra ID (Overview: tenant id, primary domain)"
        return _Doubt(sure=False, words=words, remedy=remedy)
    if named == "consumers" or _GUID.fullmatch(named):
        words = f"that tenant is not graph.tenant_id ({wanted}): people sign in elsewhere than syncd reads"
        remedy = "correct the tenant in the portal's login provider, or graph.tenant_id"
        return _Doubt(sure=True, words=words, remedy=remedy)
    words = f"the two domains differ ({wanted}), and may be of one tenant"
    return _Doubt(sure=False, words=words, remedy="compare both in Entra ID (Custom domain names)")


def _compare_redirect(redirect: str, wanted: str) -> _Doubt | None:
    """Compare as far as it matters: hosts have no case; of a path Entra ID minds the case, and the portal may not."""
    register = "in Entra ID, the application must have exactly the redirect URI that the portal sends"
    try:
        theirs, ours = URL(redirect), URL(wanted)
        named = str(theirs.origin())
    except ValueError:
        return _Doubt(sure=True, words="that redirect URI is no address", remedy=f"it should be {wanted}")
    if _origin(theirs) != _origin(ours):
        if (theirs.host, theirs.scheme, ours.scheme) == (ours.host, "http", "https"):
            return _Doubt(sure=True, words=f"it should be {wanted}", remedy=_SAY_FORWARDED)
        words = f"the portal calls itself {_show(named)}, and bps.portal_url says {ours.origin()}"
        remedy = f"set bps.portal_url to the address that people open, or let the portal know its own; {register}"
        return _Doubt(sure=True, words=words, remedy=remedy)
    if theirs.path == ours.path and not theirs.query_string and not theirs.fragment:
        return None
    if theirs.path.casefold() == ours.path.casefold() and not theirs.query_string and not theirs.fragment:
        words = f"it differs from {wanted} in case only, which Entra ID minds: it must be registered as it is sent"
        return _Doubt(sure=False, words=words, remedy="")
    return _Doubt(sure=True, words=f"it should be {wanted}", remedy=f"correct it in the portal's settings; {register}")


def _say_where_to_look(portal_url: str, tenant_id: str) -> str:
    return (
        f"open {portal_url} in a private window: the address of Microsoft's page should name the tenant {tenant_id} "
        f"and redirect_uri={portal_url.rstrip('/')}{CALLBACK}"
    )


def _origin(address: URL) -> tuple[str, str | None, int | None]:
    return address.scheme, address.host, address.port


def _name_host(address: URL) -> str:
    return address.raw_authority.casefold()


def _show(text: str) -> str:
    """Return a foreign word as it is, or quoted where it is none."""
    return text if _PLAIN.fullmatch(text) else quote(text[:_SHOWN])
