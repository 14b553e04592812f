"""Access tokens for Microsoft Graph: the only module that knows msal.

msal is synchronous, does network work in its constructor, answers errors again from a cache of its own and cannot be
made to renew a token. So it runs in a thread, one call at a time, and every new token comes from a fresh application
object; the token itself is kept here, until five minutes before it expires.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote

import msgspec

from syncd.clock import Clock
from syncd.errors import AuthFailed, ProtocolError
from syncd.graph.login_errors import SIDE, explain_refusal
from syncd.graph.options import GraphOptions
from syncd.graph.patience import is_transient, repeat_while
from syncd.http import Response

if TYPE_CHECKING:
    from syncd.graph.login_session import LoginSession

_MARGIN_SECONDS = 300.0


class Application(Protocol):
    """What msal calls an application: something that can ask for a token."""

    def acquire_token_for_client(self, scopes: list[str]) -> Mapping[str, Any] | None:
        """Return the answer of the token endpoint, or a description of the error."""
        ...


MakeApplication = Callable[[GraphOptions, "LoginSession"], Application]
"""Builds an application with one kind of credential on our session. Runs in a thread and may raise RemoteErrors."""


@dataclass(frozen=True, slots=True)
class _Token:
    text: str = field(repr=False)
    good_until: float


class TokenSource:
    """Hands out one token to all who ask; whoever finds it refused says so with ``invalidate``."""

    def __init__(self, options: GraphOptions, clock: Clock, make_application: MakeApplication | None = None) -> None:
        self._options = options
        self._clock = clock
        self._make_application = make_application or make_secret_application
        self._lock = asyncio.Lock()
        self._token: _Token | None = None

    async def fetch(self) -> str:
        """Return a token that is good for some minutes, asking for a new one when there is none.

        Raises AuthFailed with the setting that is wrong; Throttled, Unavailable or Timeout after some retries.
        """
        async with self._lock:
            if self._token is None or self._clock.monotonic() >= self._token.good_until:
                self._token = await self._acquire()
            return self._token.text

    def invalidate(self, token: str) -> None:
        """Forget this token; a newer one, which another request has fetched meanwhile, stays."""
        if self._token is not None and self._token.text == token:
            self._token = None

    async def _acquire(self) -> _Token:
        async for attempt in repeat_while(is_transient):
            with attempt:
                asked_at = self._clock.monotonic()
                answer = await asyncio.to_thread(self._ask)
                return self._read_answer(answer, asked_at)
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _ask(self) -> Mapping[str, Any]:
        """Run msal, in a thread. Its exceptions are of every kind; those of our session pass through it."""
        from syncd.graph.login_session import LoginSession

        scope = f"{self._options.base_url.rstrip('/')}/.default"
        try:
            with LoginSession(self._options, self._clock) as session:
                application = self._make_application(self._options, session)
                return application.acquire_token_for_client([scope]) or {}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ProtocolError(
                f"{SIDE} ({self._options.authority_url}) answered in a way that cannot be understood "
                f"({type(error).__name__}); check graph.authority_url and graph.tenant_id"
            ) from error

    def _read_answer(self, answer: Mapping[str, Any], asked_at: float) -> _Token:
        token, lifetime = answer.get("access_token"), answer.get("expires_in", 3600)
        if "error" in answer:
            raise explain_refusal(
                Response(200, {}, msgspec.json.encode(answer)), options=self._options, clock=self._clock
            )
        if not isinstance(token, str) or not token or not token.isascii() or not token.isprintable():
            raise ProtocolError(f"{SIDE} ({self._options.authority_url}) answered without an access token")
        seconds = float(lifetime) if isinstance(lifetime, int | float) else 3600.0
        return _Token(token, asked_at + max(seconds / 2, seconds - _MARGIN_SECONDS))


def make_secret_application(options: GraphOptions, session: LoginSession) -> Application:
    """Build the application with its client secret, which is read anew.

    Instance discovery is off for every authority: it would ask a host that nobody configured.
    """
    import msal

    try:
        secret = options.secret()
    except OSError as error:
        raise AuthFailed(
            f"the client secret cannot be read ({error.strerror}); check graph.client_secret_file"
        ) from error
    if not secret:
        raise AuthFailed("the client secret is empty; check graph.client_secret or graph.client_secret_file")
    application: Application = msal.ConfidentialClientApplication(
        options.client_id,
        client_credential=secret,
        authority=f"{options.authority_url.rstrip('/')}/{quote(options.tenant_id, safe='')}",
        http_client=session,
        instance_discovery=False,
    )
    return application
