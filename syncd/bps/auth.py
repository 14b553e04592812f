"""The portal's access token: fetched once for everybody, kept until it ends or is refused.

``POST {portal}/api/oauth2/token`` with a form (client credentials). No scope is sent: the token then carries every
scope that was granted. ``expires_in`` is not documented and may be missing; then only a 401 ends a token.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from urllib.parse import urlencode

import msgspec
from multidict import CIMultiDict
from yarl import URL

from syncd.bps.answers import NAME, REDIRECTED, SIDE, make_not_json, make_token_doubt, read_token_error
from syncd.bps.options import BpsOptions
from syncd.clock import Clock
from syncd.errors import AuthFailed, ProtocolError, RemoteError
from syncd.http import HttpClient, Response, Told, is_web_page, say
from syncd.http.answer import make_intercepted, make_redirected
from syncd.http.confidential import MOST_TOKEN_CHARACTERS

_MARGIN = 60.0
"""Seconds before its end in which a token is not used any more, at most a tenth of its life."""


class _TokenAnswer(msgspec.Struct):
    access_token: str
    token_type: str | None = None
    expires_in: float | str | None = None


@dataclass(frozen=True, slots=True)
class Token:
    """A token as request headers (without and with a JSON body), and the monotonic second at which it is given up.

    The headers are as the HTTP library takes them without making them anew for each request.
    """

    headers: CIMultiDict[str]
    json_headers: CIMultiDict[str]
    ends: float


class TokenSource:
    """Hands out the current token; only one request for a new one is under way at any time."""

    def __init__(self, options: BpsOptions, *, door: HttpClient, clock: Clock) -> None:
        self._options = options
        self._http = door
        self._clock = clock
        self._url = URL(options.portal_url.rstrip("/") + "/api/oauth2/token")
        self._token: Token | None = None
        self._lock = asyncio.Lock()

    def peek(self) -> Token | None:
        """Return the current token without asking anybody; None when there is none or it has ended."""
        token = self._token
        return token if token is not None and self._clock.monotonic() < token.ends else None

    def invalidate(self, token: Token) -> None:
        """Forget this token; a newer one, fetched by somebody else in the meantime, stays."""
        if self._token is token:
            self._token = None

    async def fetch_token(self) -> Token:
        """Return the current token, or fetch one; AuthFailed when the portal refuses our registration."""
        async with self._lock:
            token = self.peek()
            if token is None:
                token = self._token = await self._request_token()
            return token

    async def _request_token(self) -> Token:
        secret = self._options.secret()
        form = {"grant_type": "client_credentials", "client_id": self._options.client_id, "client_secret": secret}

        def classify(response: Response, told: Told) -> RemoteError | None:
            status = response.status
            if 300 <= status < 400:
                return make_redirected(NAME, response, REDIRECTED)
            if status == 404 or (told.own and status in (400, 401, 403, 405)):
                return _make_refusal(status, told, self._options.credential_setting)
            if told.own or status in (408, 423, 425, 429) or (status >= 500 and status != 501):
                return None
            return make_token_doubt(response) or make_intercepted(SIDE, response, told)

        response = await self._http.send(
            "POST",
            self._url,
            headers={"Content-Type": "application/x-www-form-urlencoded"},
            body=urlencode(form).encode(),
            secrets=(secret,),
            read_error=read_token_error,
            classify=classify,
        )
        if is_web_page(response):
            raise make_not_json(response)
        try:
            answer = msgspec.json.decode(response.body, type=_TokenAnswer)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ProtocolError(f"{NAME} answered {response.status} without a token", status=response.status) from error
        value = f"{(answer.token_type or '').strip() or 'Bearer'} {answer.access_token}"
        if not answer.access_token or not (value.isascii() and value.isprintable()):
            raise ProtocolError(f"{NAME} answered {response.status} with an unusable token", status=response.status)
        if len(value) > MOST_TOKEN_CHARACTERS:
            raise ProtocolError(f"{NAME} answered {response.status} with a token of {len(value):,} characters")
        return Token(
            CIMultiDict(Authorization=value),
            CIMultiDict({"Authorization": value, "Content-Type": "application/json"}),
            self._clock.monotonic() + _read_lifetime(answer.expires_in),
        )


def _make_refusal(status: int, told: Told, secret: str) -> AuthFailed:
    """Say which setting made the token endpoint refuse us."""
    if status in (404, 405):
        cure = (
            "there is no token endpoint: check bps.portal_url, which must carry the portal's path, and whether a "
            "gateway before the portal knows the way to /api"
        )
    else:
        cure = (
            f"check bps.client_id and {secret} against the API application in the portal "
            "(Administration > Integrations > API): is it active, in application context, the secret not removed?"
        )
    return AuthFailed(f"{NAME} refused to give a token ({status}{say(told)}); {cure}", status=status, code=told.code)


def _read_lifetime(value: float | str | None) -> float:
    """Return the usable life in seconds; without a usable number it is endless, and a 401 ends it."""
    try:
        seconds = float(value) if value is not None else 0.0
    except ValueError:
        seconds = 0.0
    return seconds - min(_MARGIN, seconds / 10) if seconds > 0 else float("inf")
