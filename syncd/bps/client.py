"""One authorised request to the portal's data API v6.0, the only version that all supported portals have (2024 R1 on).

Records are always addressed in the query form (``/admin/user?bpsId=``), percent-encoded to the last character: BPS ids
contain ``@``, old ones a backslash.
"""

from __future__ import annotations

import contextlib
import re
import uuid
from collections.abc import Mapping
from typing import Any, Literal, get_args
from urllib.parse import quote

import msgspec
from yarl import URL

from syncd.bps.answers import (
    NAME,
    BareNotFound,
    Noun,
    is_written,
    make_api_missing,
    make_classify,
    make_not_json,
    read_error,
)
from syncd.bps.auth import TokenSource
from syncd.errors import AuthFailed, Forbidden, Intercepted, NotFound, ProtocolError, Rejected, RemoteError, Unavailable
from syncd.http import HttpClient, Response, RetryPolicy, is_web_page

API = "/api/data/v6.0"
_PLAIN = re.compile(r"[A-Za-z0-9._~@-]+")
"""What a query leaves as it is, and the at-sign."""

_SINGLE = ("/admin/substitutions/", "/db/", "/admin/db/")

Repeatable = Literal["always", "refused", "never"]
"""Whether a request may be sent again by itself: whatever happened to it; only where the portal turned it away; or not
at all."""

_POLICIES: Mapping[Repeatable, RetryPolicy] = {
    "always": RetryPolicy(),
    "refused": RetryPolicy(repeatable=False),
    "never": RetryPolicy(attempts=1, repeatable=False),
}


class BpsClient:
    """Sends requests with the current token, and once more with a fresh one when the portal answers 401."""

    def __init__(self, portal_url: str, *, door: HttpClient, tokens: TokenSource) -> None:
        self.door = door
        self.tokens = tokens
        self._root = str(URL(portal_url.rstrip("/"))) + API
        self._wordy: set[tuple[str, Noun]] = set()
        self._classifiers = {
            (noun, write, single): make_classify(noun, write=write, single=single)
            for noun in get_args(Noun)
            for write in (False, True)
            for single in (False, True)
        }

    async def send(
        self, method: str, path: str, *, noun: Noun, body: object | None = None, repeatable: Repeatable = "always"
    ) -> Response:
        """Send ``body`` as JSON and return the 2xx answer.

        ``repeatable`` "refused": an unclear answer (time-out, broken connection, 500, 502, 504) is raised, not retried.
        "never": so is every other one that may pass, and Unavailable stands for an old token that was refused.
        NotFound always means the record that the request names; a portal without the API is Rejected.
        """
        encoded = None if body is None else msgspec.json.encode(body)
        try:
            return await self._send_authorised(method, path, noun=noun, body=encoded, retry=_POLICIES[repeatable])
        except BareNotFound as error:
            await self._confirm_api(error, noun)
            raise

    async def read(self, path: str, *, noun: Noun) -> Response:
        """Send a GET and return its answer."""
        return await self.send("GET", path, noun=noun)

    async def _send_authorised(
        self, method: str, path: str, *, noun: Noun, body: bytes | None, retry: RetryPolicy
    ) -> Response:
        url = URL(self._root + path, encoded=True)
        classify = self._classifiers[noun, method != "GET", "bpsId=" in path or path.startswith(_SINGLE)]
        known = self.tokens.peek()
        token = known or await self.tokens.fetch_token()
        fresh, once = False, retry is _POLICIES["never"]
        while True:
            try:
                response = await self.door.send(
                    method,
                    url,
                    headers=token.headers if body is None else token.json_headers,
                    body=body,
                    kind=(noun, 0 if body is None else len(body).bit_length() // 2),
                    retry=retry,
                    read_error=read_error,
                    classify=classify,
                )
            except AuthFailed as error:
                self.tokens.invalidate(token)
                if once and known is not None:
                    raise Unavailable(f"{error}; the next attempt takes a fresh one", status=401, sent=False) from error
                if (fresh or once) and not error.own:
                    raise Intercepted(
                        f"{error}; these are no words of the portal's API: something before it wants a sign-in of its "
                        "own, which syncd does not do; let it pass requests to the API",
                        status=error.status,
                    ) from error
                if fresh or once:
                    raise AuthFailed(
                        f"{error}; it refused a token that it had just given: check that the API application of "
                        "bps.client_id is active and in application context",
                        status=error.status,
                        code=error.code,
                    ) from error
                token, fresh = await self.tokens.fetch_token(), True
            except RemoteError as error:
                error.repeated = error.repeated or fresh
                raise
            else:
                if response.body and (is_web_page(response) or (method != "GET" and not is_written(response))):
                    raise make_not_json(response)
                self._check_habit(method, noun, response)
                return response

    def _check_habit(self, method: str, noun: Noun, response: Response) -> None:
        """Doubt an empty answer to a write to which this portal answers with words otherwise."""
        if method == "GET":
            return
        if response.body.strip():
            self._wordy.add((method, noun))
        elif (method, noun) in self._wordy:
            raise make_not_json(response)

    async def greet(self) -> None:
        """Ask for something that always exists. Raises what any request would, Rejected where there is no API.

        Forbidden is no objection: the application may do more elsewhere. A copy of the portal may lack ``/me``, and a
        gateway before it may refuse that; the list of users is what nobody can do without.
        """
        try:
            await self._send_authorised("GET", "/me", noun="me", body=None, retry=_POLICIES["always"])
        except Forbidden:
            return
        except (Rejected, Intercepted) as error:
            if error.status != 404 and not (isinstance(error, Intercepted) and (error.status or 0) >= 400):
                raise
            with contextlib.suppress(Forbidden):
                await self._send_authorised(
                    "GET", "/admin/users?size=1&page=0", noun="users", body=None, retry=_POLICIES["always"]
                )

    async def _confirm_api(self, error: BareNotFound, noun: Noun) -> None:
        """Return where a 404 that is not in the API's words means a missing record, as for one that cannot exist.

        Raises Rejected where there is no API at all, and Intercepted where the API has words of its own for a record
        that is missing: then something before it speaks of this one, and nobody knows what the portal has.
        """
        try:
            await self.greet()
        except Intercepted:
            raise
        except (Rejected, ProtocolError) as missing:
            raise make_api_missing(str(error)) from missing
        group = noun == "groups"
        nobody = make_path("/admin/group" if group else "/admin/user", make_nobody())
        try:
            await self._send_authorised(
                "GET", nobody, noun="groups" if group else "users", body=None, retry=_POLICIES["always"]
            )
        except BareNotFound:
            return
        except NotFound as missing:
            raise Intercepted(
                f"{error}; these are no words of the {NAME}, which has others for a record that it does not have: a "
                "gateway or a firewall before it refused this record",
                status=error.status,
            ) from missing
        except RemoteError:
            return


def make_nobody() -> str:
    """Return a BPS id that no record has."""
    return f"syncd-probe-{uuid.uuid4()}@invalid.example"


def make_path(route: str, bps_id: str) -> str:
    """Return the query form of a route to one record."""
    plain = _PLAIN.fullmatch(bps_id)  # as nearly all are, and quoting takes long
    return f"{route}?bpsId={bps_id.replace('@', '%40') if plain else quote(bps_id, safe='')}"


def parse_json(response: Response) -> Any:
    """Return the answer's JSON value; ProtocolError when it has none."""
    try:
        return msgspec.json.decode(response.body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise make_not_json(response) from error
