"""People's sign-in with the tenant: authorization code with PKCE through msal, and an id token that is checked here.

msal decodes the id token without checking it ("MSAL does not validate the ID token", its release 1.38). Signature,
issuer, audience, nonce, tenant and times are compared here, against what the tenant's own configuration says now.
What the groups claim does not tell (Microsoft identity platform, "Groups overage claim"), Graph is asked with the
token of the person: ``POST /me/getMemberObjects``.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
from yarl import URL

from syncd.clock import Clock
from syncd.errors import ProtocolError, RemoteError, SyncdError, Unavailable
from syncd.graph.auth.bridge import Bridge
from syncd.http import HttpClient, HttpOptions, Response, is_json_object, read_json_object, read_page
from syncd.http.answer import make_intercepted
from syncd.http.token_errors import read_token_refusal

SIDE = "the sign-in of the tenant"
ALGORITHM = "RS256"
LEEWAY = timedelta(minutes=2)
_GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_NUMBER = re.compile(r"AADSTS(\d{4,9})")
_ANSWER_BYTES = 4 << 20
_PAGES = 20
_HINTS = {
    "7000215": "{secret} is not that of the application web.client_id",
    "7000222": "the secret of the application web.client_id has ended: make a new one, see {secret}",
    "7000218": "{secret} is missing, or the application is registered as a public client",
    "700016": "web.client_id is not an application of this tenant",
    "50011": "the address of web.external_url with /signed-in is no redirect URI of the application web.client_id",
    "50105": "the application web.client_id wants people to be assigned to it, and this one is not",
    "65001": "nobody has consented to User.Read of the application web.client_id",
}


class SignInRefused(SyncdError):
    """A sign-in did not come to a good end. The message is for the log: it names nobody and holds no token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignInOptions:
    """One application that people sign in to. ``authority_url`` and ``graph_url`` are https host roots."""

    tenant_id: str
    client_id: str
    read_secret: Callable[[], str] = field(repr=False)
    redirect_uri: str
    authority_url: str
    graph_url: str
    ca_file: Path | None
    proxy_url: str | None = field(repr=False)
    credential_setting: str = "web.client_secret"
    proxy_setting: str = "graph.proxy_url"


@dataclass(frozen=True, slots=True)
class SignInBegun:
    """Where the browser goes; ``state`` comes back with it, and ``flow`` (JSON) is what the end needs."""

    address: str
    state: str
    flow: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedIn:
    """Who came back. ``groups``: ids of the groups, nested ones too; None when the id token does not tell."""

    id: str
    login: str
    groups: frozenset[str] | None
    token: str = field(repr=False)


async def begin(options: SignInOptions, clock: Clock) -> SignInBegun:
    """Begin a sign-in: only the tenant's configuration is asked for. Raises RemoteErrors and SignInRefused."""
    async with _open(options, clock) as http:
        bridge = Bridge(http, _check)
        try:
            flow = await asyncio.to_thread(_begin, options, bridge)
        finally:
            bridge.close()
    address, state = flow.get("auth_uri"), flow.get("state")
    if not isinstance(address, str) or not isinstance(state, str) or URL(address).scheme != "https":
        raise ProtocolError(f"{SIDE} has no https address; check graph.authority_url")
    return SignInBegun(address, state, msgspec.json.encode(flow).decode())


async def complete(options: SignInOptions, clock: Clock, *, flow: str, answer: Mapping[str, str]) -> SignedIn:
    """Redeem the code that came back, and return whose it is. Raises RemoteErrors and SignInRefused."""
    begun: dict[str, Any] = msgspec.json.decode(flow)
    nonce = str(begun.get("nonce", ""))
    async with _open(options, clock) as http:
        bridge = Bridge(http, _check)
        try:
            told = await asyncio.to_thread(_redeem, options, bridge, begun, dict(answer))
        finally:
            bridge.close()
        if "error" in told:
            raise SignInRefused(_explain(told, options.credential_setting))
        id_token, token = told.get("id_token"), told.get("access_token")
        if not isinstance(id_token, str) or not isinstance(token, str) or not token.isascii():
            raise ProtocolError(f"{SIDE} answered without an id token or without an access token")
        configuration = await _fetch(http, _make_configuration_url(options))
        keys = await _fetch(http, _expect_https(configuration, "jwks_uri"))
    claims = check_id_token(
        id_token,
        keys,
        issuer=str(configuration.get("issuer", "")),
        client_id=options.client_id,
        tenant_id=options.tenant_id,
        nonce=nonce,
        now=clock.now().timestamp(),
    )
    groups = claims.get("groups")
    return SignedIn(
        id=str(claims["oid"]).lower(),
        login=str(claims.get("preferred_username") or claims["oid"])[:256],
        groups=frozenset(str(each).lower() for each in groups) if isinstance(groups, list) else None,
        token=token,
    )


async def fetch_groups(options: SignInOptions, clock: Clock, token: str) -> frozenset[str]:
    """Return the ids of all groups that the owner of a token is in, nested ones too. Raises RemoteErrors."""
    found: set[str] = set()
    root = URL(options.graph_url)
    url = root / "v1.0" / "me" / "getMemberObjects"
    async with _open(options, clock) as http:
        body: bytes | None = msgspec.json.encode({"securityEnabledOnly": False})
        for _ in range(_PAGES):
            headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
            response = await http.ask("POST" if body else "GET", url, headers=headers, body=body, secrets=[token])
            if response.status != 200:
                raise Unavailable(f"Microsoft Graph did not tell the groups of who signs in (status {response.status})")
            page = read_json_object(response.body)
            values = page.get("value")
            if not isinstance(values, list):
                raise ProtocolError("Microsoft Graph answered without the groups of who signs in")
            found.update(str(each).lower() for each in values)
            link = page.get("@odata.nextLink")
            if not isinstance(link, str):
                return frozenset(found)
            url, body = URL(link, encoded=True), None
            if url.scheme != "https" or url.host != root.host or url.port != root.port:
                raise ProtocolError("Microsoft Graph sent a link to another host; it is not followed")
    raise ProtocolError("Microsoft Graph has more groups of one person than can be read at a sign-in")


def check_id_token(
    id_token: str,
    keys: Mapping[str, object],
    *,
    issuer: str,
    client_id: str,
    tenant_id: str,
    nonce: str,
    now: float,
) -> Mapping[str, Any]:
    """Return the claims of an id token of ours; raises SignInRefused for anything else.

    ``issuer`` and ``keys`` (a JWK set) are those of the tenant's own configuration, ``nonce`` that of the flow, which
    the token has as its hash. Times in seconds since 1970.
    """
    import jwt

    try:
        head = jwt.get_unverified_header(id_token)
        if head.get("alg") != ALGORITHM:
            raise SignInRefused(f"the id token is not signed by {ALGORITHM}")
        key = next(
            (
                each
                for each in jwt.PyJWKSet.from_dict(dict(keys)).keys
                if each.key_id and each.key_id == head.get("kid")
            ),
            None,
        )
        if key is None or key.public_key_use not in (None, "sig"):
            raise SignInRefused("the id token is signed with a key that is none of the tenant's")
        claims: dict[str, Any] = jwt.decode(
            id_token,
            key,
            algorithms=[ALGORITHM],
            audience=client_id,
            issuer=issuer,
            options={
                "require": ["aud", "exp", "iat", "iss", "nonce", "oid", "tid"],
                "verify_exp": False,  # with the clock of the program, below
                "verify_iat": False,
                "verify_nbf": False,
            },
        )
    except (jwt.PyJWTError, ValueError, TypeError, KeyError) as error:
        raise SignInRefused(f"the id token is not valid ({type(error).__name__})") from None
    _check_times(claims, now)
    wanted = hashlib.sha256(nonce.encode()).hexdigest()
    if not nonce or not hmac.compare_digest(str(claims["nonce"]).encode(), wanted.encode()):
        raise SignInRefused("the id token is of another sign-in (nonce)")
    tenant = str(claims["tid"]).lower()
    if not _GUID.fullmatch(tenant) or tenant not in issuer.lower():
        raise SignInRefused("the id token is of another tenant than its issuer")
    if _GUID.fullmatch(tenant_id.lower()) and tenant != tenant_id.lower():
        raise SignInRefused("the id token is of another tenant")
    if not _GUID.fullmatch(str(claims["oid"]).lower()):
        raise SignInRefused("the id token names no object of the tenant")
    return claims


def _check_times(claims: Mapping[str, Any], now: float) -> None:
    times = {name: claims[name] for name in ("exp", "iat", "nbf") if name in claims}
    if not all(isinstance(each, int | float) and not isinstance(each, bool) for each in times.values()):
        raise SignInRefused("the id token has times that are none")
    ends, begins = float(times["exp"]), max(float(times["iat"]), float(times.get("nbf", 0)))
    if now > ends + LEEWAY.total_seconds():
        raise SignInRefused("the id token has expired; is the clock of this machine right?")
    if now < begins - LEEWAY.total_seconds():
        raise SignInRefused("the id token is not valid yet; is the clock of this machine right?")


# ---- msal, in its thread ---------------------------------------------------------------------------------------------


def _begin(options: SignInOptions, bridge: Bridge) -> dict[str, Any]:
    """Return msal's flow, with an answer by address.

    msal recommends a form of the tenant's page for the answer, and warns of anything else; but the cookie that ties an
    answer to its browser (SameSite=Lax) does not come with a form of another site. A code in an address is worth
    nothing without the verifier, that cookie, and the state, each of which counts once.
    """
    application = _make_application(options, bridge)
    flow: dict[str, Any] = _guard(
        lambda: application.initiate_auth_code_flow(
            _list_scopes(options), redirect_uri=options.redirect_uri, response_mode="form_post"
        )
    )
    address = str(flow.get("auth_uri", ""))
    return {**flow, "auth_uri": address.replace("response_mode=form_post", "response_mode=query")}


def _redeem(options: SignInOptions, bridge: Bridge, flow: dict[str, Any], answer: dict[str, str]) -> Mapping[str, Any]:
    application = _make_application(options, bridge)
    told: Mapping[str, Any] = _guard(lambda: application.acquire_token_by_auth_code_flow(flow, answer))
    return told or {}


def _make_application(options: SignInOptions, bridge: Bridge) -> Any:
    import msal

    return _guard(
        lambda: msal.ConfidentialClientApplication(
            options.client_id,
            client_credential=options.read_secret(),
            authority=_make_authority(options),
            http_client=bridge,
            instance_discovery=False,
            exclude_scopes=["offline_access"],
        )
    )


def _guard(work: Callable[[], Any]) -> Any:
    """Run a step of msal: of what it raises only the kind is told, as its messages repeat what came back."""
    try:
        return work()
    except RemoteError:
        raise
    except (ValueError, RuntimeError, KeyError, TypeError, AttributeError) as error:
        raise SignInRefused(f"what came back does not belong to this sign-in ({type(error).__name__})") from None


def _list_scopes(options: SignInOptions) -> Sequence[str]:
    return [f"{options.graph_url.rstrip('/')}/User.Read"]


# ---- the tenant's host ----------------------------------------------------------------------------------------------


def _make_authority(options: SignInOptions) -> str:
    return f"{options.authority_url.rstrip('/')}/{quote(options.tenant_id, safe='')}"


def _make_configuration_url(options: SignInOptions) -> URL:
    return URL(f"{_make_authority(options)}/v2.0/.well-known/openid-configuration")


def _open(options: SignInOptions, clock: Clock) -> AbstractAsyncContextManager[HttpClient]:
    limits = HttpOptions(
        address_setting=f"graph.authority_url (if you set one), {options.proxy_setting}, and the network from here",
        ca_setting="graph.ca_file",
        proxy_setting=options.proxy_setting,
        ca_file=options.ca_file,
        proxy_url=options.proxy_url,
        concurrency=2,
        connect_timeout=10.0,
        answer_timeout=20.0,
        size_limit=_ANSWER_BYTES,
    )
    return HttpClient(SIDE, limits, clock)


def _check(method: str, response: Response) -> None:
    """Raise what msal shall not see: all but JSON objects; refusals of the token endpoint it tells itself."""
    fine = response.status == 200 or (method == "POST" and response.status in (400, 401, 403))
    if fine and response.status != 200 and is_json_object(response.body):
        if read_token_refusal(read_json_object(response.body)) is None:
            raise make_intercepted(SIDE, response, read_page(response))
        return
    if not fine or not is_json_object(response.body):
        raise Unavailable(f"{SIDE} answered with status {response.status} in a way that cannot be understood")


async def _fetch(http: HttpClient, url: URL) -> Mapping[str, Any]:
    response = await http.ask("GET", url)
    found = read_json_object(response.body) if response.status == 200 else {}
    if not found:
        raise Unavailable(f"{SIDE} did not tell its configuration (status {response.status})")
    return found


def _expect_https(configuration: Mapping[str, Any], name: str) -> URL:
    address = configuration.get(name)
    try:
        url = URL(address if isinstance(address, str) else "")
    except ValueError:
        url = URL("")
    if url.scheme != "https":
        raise ProtocolError(f"{SIDE} has no https address of {name}")
    return url


def _explain(told: Mapping[str, Any], secret: str) -> str:
    """Return why the tenant refused: its words may name somebody, so that only kind and number are told."""
    kind = re.sub(r"[^a-z_]", "", str(told.get("error", "")))[:60]
    number = _NUMBER.search(str(told.get("error_description", "")))
    hint = f": {_HINTS[number[1]].format(secret=secret)}" if number and number[1] in _HINTS else ""
    return f"the tenant refused the sign-in ({kind}{f', {number[0]}' if number else ''}){hint}"
