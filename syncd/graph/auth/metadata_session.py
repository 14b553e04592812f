"""The HTTP session that msal uses for a managed identity: to a service of the platform beside us, never by a proxy.

Imported only together with msal, in its thread. Which service it is (instance metadata, App Service, Azure Arc) and
where, msal reads from the environment that Azure gives to the process; that is the one place where it is right to.
"""

from __future__ import annotations

from typing import Any

import msgspec
import requests

from syncd.clock import Clock
from syncd.errors import AuthFailed, ProtocolError, Rejected, RemoteError, Throttled, Timeout, Unavailable
from syncd.graph.auth.login_errors import SIDE
from syncd.graph.auth.login_session import TlsAdapter, find_cause
from syncd.graph.credentials import ManagedIdentity
from syncd.graph.options import GraphOptions
from syncd.http import Response, excerpt, make_ssl_context, parse_retry_after

_CONNECT_SECONDS = 4.0
_ANSWER_SECONDS = 30.0
_UPDATE_SECONDS = 35.0
"""410 says that the metadata service is being renewed and back within 70 seconds (managed identities on a VM, "Error
handling"); two such waits are enough, and four attempts are made."""

_ELSEWHERE = "graph.managed_identity works on Azure (and Azure Arc) only: use a certificate or a secret elsewhere"


class MetadataSession(requests.Session):
    """Speaks to the platform's token service; every failure is one of our errors, before msal can cache or log it."""

    def __init__(self, options: GraphOptions, clock: Clock) -> None:
        super().__init__()
        self._graph_options = options
        self._clock = clock
        self.trust_env = False
        self.mount("https://", TlsAdapter(make_ssl_context(options.ca_file)))

    def request(self, method: Any, url: Any, *args: Any, **kwargs: Any) -> requests.Response:
        """Send one request and return its 200 answer with a JSON body, or Azure Arc's challenge."""
        kwargs |= {"timeout": (_CONNECT_SECONDS, _ANSWER_SECONDS), "allow_redirects": False}
        told = f"{SIDE}: the managed identity service at {str(url).partition('?')[0]}"
        try:
            answer = super().request(method, url, *args, **kwargs)
        except requests.exceptions.Timeout as error:
            raise Timeout(f"{told} did not answer in time; {_ELSEWHERE}") from error
        except requests.exceptions.SSLError as error:
            raise Rejected(f"{told}: its certificate is not trusted; check graph.ca_file", sent=False) from error
        except requests.exceptions.RequestException as error:
            raise Unavailable(f"{told} cannot be reached: {find_cause(error)}; {_ELSEWHERE}") from error
        if answer.status_code == 401 and "basic realm=" in answer.headers.get("WWW-Authenticate", "").lower():
            return answer
        self._check(told, Response(answer.status_code, answer.headers, answer.content))
        return answer

    def _check(self, told: str, response: Response) -> None:
        body = _read_object(response.body)
        status = response.status
        if status == 200 and body is not None:
            return
        if status == 200:
            raise Unavailable(f"{told} answered with no JSON object")
        raise self._explain(
            f"{told} answered {status}: {_read_sentence(body) or excerpt(response.body, 120)}", response
        )

    def _explain(self, told: str, response: Response) -> RemoteError:
        """404, 410, 429 and 5xx pass (managed identities on a VM, "Error handling"); the rest is for the operator."""
        status = response.status
        wait = parse_retry_after(response.headers.get("Retry-After"), self._clock)
        if status == 429:
            return Throttled(told, status=status, retry_after=wait)
        if status == 410:
            return Unavailable(told, status=status, retry_after=_UPDATE_SECONDS if wait is None else wait)
        if status == 404 or status >= 500:
            return Unavailable(told, status=status, retry_after=wait)
        if 300 <= status < 400:
            return ProtocolError(f"{told}; a redirect is not followed", status=status)
        credential = self._graph_options.credential
        named = credential.client_id if isinstance(credential, ManagedIdentity) else None
        remedy = (
            f"assign the identity {named!r} to this machine or service, and take its client ID"
            if named
            else "switch on the system-assigned identity (Identity, System assigned), or name a client ID"
        )
        return AuthFailed(f"{told}; check graph.managed_identity: {remedy}", status=status)


def _read_object(body: bytes) -> dict[str, Any] | None:
    try:
        found = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _read_sentence(body: dict[str, Any] | None) -> str:
    """Return what was said: ``error_description`` by the metadata service, ``message`` by App Service."""
    for name in ("error_description", "message"):
        text = (body or {}).get(name)
        if isinstance(text, str) and text:
            return excerpt(text.encode("utf-8", "replace"), 250)
    return ""
