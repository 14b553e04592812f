"""What msal takes for its HTTP client: it works in msal's thread, and the requests are sent by ours in the event loop.

So tokens are asked for within the same bounds of time and size as everything else, by the same rules for certificates
and proxies, without what was sent in any message, and end when the program ends. msal's own session has no time limit,
lets environment variables replace the trusted authorities, follows redirects with the secret, writes unreadable token
answers to the log, and hides what the token endpoint said.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from yarl import URL

from syncd.errors import Unavailable
from syncd.http import HttpClient, Response

_OPEN_FIELDS = frozenset(
    {"claims", "client_assertion_type", "client_id", "client_info", "grant_type", "resource", "scope"}
)
_OPEN_HEADERS = frozenset({"accept", "content-type", "metadata", "user-agent", "client-request-id"})
"""Fields and headers that may be repeated; all others of a request for a token are kept confidential."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer as msal reads it (``msal.oauth2cli.http.Response``)."""

    status_code: int
    text: str
    headers: Mapping[str, str]

    def raise_for_status(self) -> None:
        """Do nothing: what is no success was raised before msal could see it."""


class Bridge:
    """Sends msal's requests. ``check`` raises what an answer means that msal shall not see, by method and answer."""

    def __init__(self, http: HttpClient, check: Callable[[str, Response], None]) -> None:
        self._http = http
        self._check = check
        self._loop = asyncio.get_running_loop()
        self._under_way: set[concurrent.futures.Future[Response]] = set()
        self._closed = False

    def get(self, url: str, **request: Mapping[str, str | bytes] | None) -> Answer:
        """Send a GET; called in msal's thread."""
        return self._send("GET", url, request)

    def post(self, url: str, **request: Mapping[str, str | bytes] | None) -> Answer:
        """Send a form; called in msal's thread."""
        return self._send("POST", url, request)

    def close(self) -> None:
        """End what is under way, and send nothing any more; called in the event loop."""
        self._closed = True
        for future in set(self._under_way):
            future.cancel()

    def _send(self, method: str, url: str, request: Mapping[str, Mapping[str, str | bytes] | None]) -> Answer:
        if self._closed:
            raise Unavailable("the sign-in was broken off", sent=False)
        params, data, headers = (_read_texts(request.get(name)) for name in ("params", "data", "headers"))
        secrets = [value for name, value in data.items() if name not in _OPEN_FIELDS]
        secrets += [value.partition(" ")[2] or value for name, value in headers.items() if not _is_open(name)]
        if data:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        target = URL(f"{url}?{urlencode(params)}" if params else url, encoded=True)
        body = urlencode(data).encode() if data else None
        asked = self._http.ask(method, target, headers=headers, body=body, secrets=secrets)
        future = asyncio.run_coroutine_threadsafe(asked, self._loop)
        self._under_way.add(future)
        try:
            response = future.result()
        finally:
            self._under_way.discard(future)
        self._check(method, response)
        return Answer(response.status, response.body.decode("utf-8", "replace"), response.headers)


def _read_texts(pairs: Mapping[str, str | bytes] | None) -> dict[str, str]:
    """Return names and values as texts (an assertion comes as bytes), without those that have none."""
    given = (pairs or {}).items()
    return {
        name: value.decode() if isinstance(value, bytes) else str(value) for name, value in given if value is not None
    }


def _is_open(header: str) -> bool:
    name = header.lower()
    return name in _OPEN_HEADERS or name.startswith(("x-client-", "x-ms-"))
