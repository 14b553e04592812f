"""Access tokens for Microsoft Graph: the only module that knows msal.

msal is synchronous, does network work in its constructor, answers errors again from a cache of its own and cannot be
made to renew a token. So it runs in a thread, one call at a time, while our own client sends its requests. Every new
token comes from a fresh application object, made from files that are read anew; the token itself is kept here, until
five minutes before it expires.
"""

from __future__ import annotations

import asyncio
import base64
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, assert_never
from urllib.parse import quote

import msgspec

from syncd.clock import Clock
from syncd.config.bounded import read_bounded
from syncd.errors import AuthFailed, ProtocolError, RemoteError, TransientError
from syncd.graph.auth.authority import check_authority, open_authority
from syncd.graph.auth.bridge import Bridge
from syncd.graph.auth.certificate import load_certificate
from syncd.graph.auth.login_errors import SIDE, explain_refusal
from syncd.graph.auth.platform import add_elsewhere, check_platform, open_platform
from syncd.graph.credentials import ClientCertificate, ClientSecret, FederatedToken, ManagedIdentity
from syncd.graph.options import GraphOptions
from syncd.graph.retry import is_transient, repeat_while
from syncd.http import Response
from syncd.http.confidential import MOST_TOKEN_CHARACTERS

_MARGIN_SECONDS = 300.0
_RENEWAL_SECONDS = 900.0
_TOKEN_BYTES_LIMIT = 64 << 10
_TOKEN_LETTERS = frozenset(string.ascii_letters + string.digits + "-_.")


@dataclass(frozen=True, slots=True)
class _Token:
    text: str = field(repr=False)
    good_until: float
    claims: str = ""


class TokenSource:
    """Hands out one token to all who ask; whoever finds it refused says so with ``invalidate`` or ``renew``."""

    def __init__(self, options: GraphOptions, clock: Clock) -> None:
        self._options = options
        self._clock = clock
        self._lock = asyncio.Lock()
        self._token: _Token | None = None
        self._no_renewal_before = float("-inf")

    async def fetch(self, claims: str = "") -> str:
        """Return a token that is good for some minutes, asking for a new one when there is none.

        ``claims`` (JSON) are what Graph asks a token to hold; one that was given without them does not do.
        Raises AuthFailed with the setting that is wrong; Throttled, Unavailable or Timeout after some retries.
        """
        async with self._lock:
            known = self._token
            if known is None or self._clock.monotonic() >= known.good_until or (claims and known.claims != claims):
                self._token = known = await self._acquire(claims)
            return known.text

    def invalidate(self, token: str) -> None:
        """Forget this token; a newer one, which another request has fetched meanwhile, stays."""
        if self._token is not None and self._token.text == token:
            self._token = None

    async def renew(self, token: str) -> str | None:
        """Return another token than this one, which lacked a permission; None when there is none to be had.

        A permission that was granted later is only in a new token. One is asked for at most every fifteen minutes, so
        that refusals in a row do not become logins in a row; the old one stays until a new one is there.
        """
        async with self._lock:
            if self._token is not None and self._token.text == token:
                now = self._clock.monotonic()
                if now < self._no_renewal_before:
                    return None
                self._no_renewal_before = now + _RENEWAL_SECONDS
                try:
                    self._token = await self._acquire()
                except TransientError:
                    return None
        fresh = await self.fetch()
        return fresh if fresh != token else None

    async def _acquire(self, claims: str = "") -> _Token:
        async for attempt in repeat_while(is_transient):
            with attempt:
                asked_at = self._clock.monotonic()
                return self._read_answer(await self._ask(claims), asked_at, claims)
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def _ask(self, claims: str) -> Mapping[str, Any]:
        """Run msal in a thread, over connections of its own that end with it. Raises RemoteErrors."""
        options, clock, credential = self._options, self._clock, self._options.credential
        managed = isinstance(credential, ManagedIdentity)

        def check(method: str, response: Response) -> None:
            if managed:
                check_platform(response, options=options, clock=clock)
            else:
                check_authority(method, response, options=options, clock=clock)

        async with open_platform(options, clock) if managed else open_authority(options, clock) as http:
            bridge = Bridge(http, check)
            try:
                answer = await asyncio.to_thread(self._run_msal, bridge, claims)
            except RemoteError as error:
                if not managed:
                    raise
                raise add_elsewhere(error) from None
            finally:
                bridge.close()
            if "error" in answer:
                told = Response(200, {}, msgspec.json.encode(answer), confidential=http.confidential)
                raise explain_refusal(told, options=options, clock=clock)
            return answer

    def _run_msal(self, bridge: Bridge, claims: str) -> Mapping[str, Any]:
        """Return msal's answer; blocks. Its exceptions are of every kind; those of our client pass through it."""
        resource, credential = self._options.base_url.rstrip("/"), self._options.credential
        try:
            if isinstance(credential, ManagedIdentity):
                return ask_platform(credential, resource, bridge=bridge, claims=claims)
            return ask_authority(
                credential, f"{resource}/.default", options=self._options, bridge=bridge, claims=claims
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            managed = isinstance(credential, ManagedIdentity)
            setting = "graph.managed_identity" if managed else "graph.authority_url and graph.tenant_id"
            raise ProtocolError(
                f"{self._side()} answered in a way that cannot be understood ({type(error).__name__}); check {setting}"
            ) from None

    def _side(self) -> str:
        managed = isinstance(self._options.credential, ManagedIdentity)
        return f"{SIDE} ({'managed identity' if managed else self._options.authority_url})"

    def _read_answer(self, answer: Mapping[str, Any], asked_at: float, claims: str) -> _Token:
        token, lifetime = answer.get("access_token"), answer.get("expires_in", 3600)
        if not isinstance(token, str) or not token or not token.isascii() or not token.isprintable():
            raise ProtocolError(f"{self._side()} answered without an access token")
        if len(token) > MOST_TOKEN_CHARACTERS:
            raise ProtocolError(f"{self._side()} answered with an access token of {len(token):,} characters")
        seconds = float(lifetime) if isinstance(lifetime, int | float) else 3600.0
        return _Token(token, asked_at + max(seconds / 2, seconds - _MARGIN_SECONDS), claims)


def ask_authority(
    credential: ClientSecret | ClientCertificate | FederatedToken,
    scope: str,
    *,
    options: GraphOptions,
    bridge: Bridge,
    claims: str,
) -> Mapping[str, Any]:
    """Return the token endpoint's answer to a client secret or a client assertion; blocks. Raises RemoteErrors.

    Instance discovery is off for every authority: it would ask a host that nobody configured.
    """
    import msal

    match credential:
        case ClientSecret():
            proof: str | dict[str, Any] = _read_secret(credential)
        case FederatedToken():
            token = _read_federated_token(credential)
            proof = {"client_assertion": lambda: token}
        case ClientCertificate():
            sign = _make_signer(credential, options.client_id)
            proof = {"client_assertion": lambda: sign(application.authority.token_endpoint)}
        case _:
            assert_never(credential)
    application: Any = msal.ConfidentialClientApplication(
        options.client_id,
        client_credential=proof,
        authority=f"{options.authority_url.rstrip('/')}/{quote(options.tenant_id, safe='')}",
        http_client=bridge,
        instance_discovery=False,
    )
    return application.acquire_token_for_client([scope], claims_challenge=claims or None) or {}


def ask_platform(credential: ManagedIdentity, resource: str, *, bridge: Bridge, claims: str) -> Mapping[str, Any]:
    """Return the answer of the platform's token service for a managed identity; blocks. Raises RemoteErrors.

    Service Fabric is refused: for its own TLS rules msal would leave our session, and it ignores the client id.
    """
    import msal
    from msal.managed_identity import SERVICE_FABRIC, get_managed_identity_source

    if get_managed_identity_source() is SERVICE_FABRIC:
        raise AuthFailed("graph.managed_identity does not work on Service Fabric; use graph.certificate_file instead")
    identity = (
        msal.SystemAssignedManagedIdentity()
        if credential.client_id is None
        else msal.UserAssignedManagedIdentity(client_id=credential.client_id)
    )
    try:
        client = msal.ManagedIdentityClient(identity, http_client=bridge)
        return client.acquire_token_for_client(resource=resource, claims_challenge=claims or None) or {}
    except OSError as error:  # Azure Arc proves that we are on the machine by a file that not everybody may read
        raise AuthFailed(
            f"the key file of Azure Arc cannot be read ({error.strerror}); for graph.managed_identity the user "
            "that runs syncd must be in the group himds"
        ) from error


def _read_secret(credential: ClientSecret) -> str:
    try:
        secret = credential.reveal()
    except OSError as error:
        raise AuthFailed(f"the client secret cannot be read ({error.strerror}); check {credential.setting}") from error
    if not secret:
        raise AuthFailed(f"the client secret is empty; check {credential.setting}")
    return secret


def _read_federated_token(credential: FederatedToken) -> str:
    try:
        content = read_bounded(credential.path, _TOKEN_BYTES_LIMIT)
    except OSError as error:
        raise AuthFailed(
            f"the federated token cannot be read ({error.strerror}); check graph.federated_token_file, "
            "and that the platform mounts it (workload identity)"
        ) from error
    text = content.decode("ascii", "replace").strip()
    if len(content) > _TOKEN_BYTES_LIMIT or text.count(".") != 2 or not set(text) <= _TOKEN_LETTERS:
        raise AuthFailed("graph.federated_token_file holds no token (a JWT); name the file that the platform mounts")
    return text


def _make_signer(credential: ClientCertificate, client_id: str) -> Callable[[str], bytes]:
    """Return what signs an assertion for an audience: PS256, ``x5t#S256``, and ``x5c`` with the whole chain.

    The chain is what lets a tenant trust subject and issuer instead of one certificate; from a PEM or PFX file msal
    itself would send the first certificate only.
    """
    from msal.oauth2cli import JwtAssertionCreator

    certificate = load_certificate(credential)
    chain = [base64.b64encode(one).decode() for one in certificate.chain]
    creator = JwtAssertionCreator(
        certificate.key, "PS256", sha256_thumbprint=certificate.thumbprint.hex(), headers={"x5c": chain}
    )

    def sign(audience: str) -> bytes:
        assertion: bytes = creator.create_normal_assertion(audience, client_id)
        return assertion

    return sign
