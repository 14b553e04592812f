"""A managed identity's token service: one of the platform beside us, never reached by a proxy.

Which service it is (instance metadata, App Service, Azure Arc) and where, msal reads from the environment that Azure
gives to the process; that is the one place where it is right to.
"""

from __future__ import annotations

from syncd.clock import Clock
from syncd.errors import AuthFailed, RemoteError, Throttled, Unavailable
from syncd.graph.auth.login_errors import SIDE
from syncd.graph.credentials import ManagedIdentity
from syncd.graph.options import GraphOptions
from syncd.http import (
    HttpClient,
    HttpOptions,
    Response,
    Shared,
    Told,
    is_json_object,
    parse_retry_after,
    read_json_object,
    read_page,
    say,
)
from syncd.http.answer import make_intercepted, make_redirected, make_told
from syncd.http.token_errors import read_token_refusal

_CONNECT_SECONDS = 4.0
_ANSWER_SECONDS = 30.0
_ANSWER_BYTES = 1 << 20
_UPDATE_SECONDS = 35.0
"""410 says that the metadata service is being renewed and back within 70 seconds (managed identities on a VM, "Error
handling"); two such waits are enough, and four attempts are made."""

_ELSEWHERE = "graph.managed_identity works on Azure (and Azure Arc) only: use a certificate or a secret elsewhere"
_NAME = f"{SIDE}: the managed identity service"


def open_platform(options: GraphOptions, clock: Clock) -> HttpClient:
    """Return the client for the platform's service, to be opened."""
    limits = HttpOptions(
        address_setting=f"where syncd runs: {_ELSEWHERE}",
        ca_setting="graph.ca_file",
        ca_file=options.ca_file,
        concurrency=1,
        connect_timeout=_CONNECT_SECONDS,
        answer_timeout=_ANSWER_SECONDS,
        size_limit=_ANSWER_BYTES,
        shared=Shared(sent=options.shared.sent),
    )
    return HttpClient(_NAME, limits, clock)


def add_elsewhere(error: RemoteError) -> RemoteError:
    """Return an error that came without an answer with what it usually means: there is no such service here."""
    if error.status is not None or _ELSEWHERE in str(error):
        return error
    return type(error)(f"{error}; {_ELSEWHERE}", sent=error.sent)


def check_platform(response: Response, *, options: GraphOptions, clock: Clock) -> None:
    """Raise what any answer means but 200 with a JSON object, or Azure Arc's challenge."""
    status = response.status
    if status == 401 and "basic realm=" in response.headers.get("WWW-Authenticate", "").lower():
        return
    if status == 200 and is_json_object(response.body):
        return
    if status == 200:
        raise Unavailable(f"{_NAME} answered with no JSON object")
    if 300 <= status < 400:
        raise make_redirected(_NAME, response, "look at what stands between syncd and the platform")
    raise _explain(_read_told(response), response, options=options, clock=clock)


def _explain(told: Told, response: Response, *, options: GraphOptions, clock: Clock) -> RemoteError:
    """404, 410, 429 and 5xx pass (managed identities on a VM, "Error handling"); the rest is for the operator."""
    status = response.status
    said = f"{_NAME} answered {status}{say(told)}"
    wait = parse_retry_after(response.headers.get("Retry-After"), clock)
    if status == 429:
        return Throttled(said, status=status, retry_after=wait)
    if status == 410:
        return Unavailable(said, status=status, retry_after=_UPDATE_SECONDS if wait is None else wait)
    if status == 404 or status >= 500:
        return Unavailable(said, status=status, retry_after=wait)
    if not told.own:
        return make_intercepted(_NAME, response, told)
    credential = options.credential
    named = credential.client_id if isinstance(credential, ManagedIdentity) else None
    remedy = (
        f"assign the identity '{named}' to this machine or service, and take its client ID"
        if named
        else "switch on the system-assigned identity (Identity, System assigned), or name a client ID"
    )
    return AuthFailed(f"{said}; check graph.managed_identity: {remedy}", status=status)


def _read_told(response: Response) -> Told:
    """Return what was said: in the way of OAuth by the metadata service, with ``statusCode`` by App Service."""
    body = read_json_object(response.body)
    described, message = body.get("error_description"), body.get("message")
    if isinstance(body.get("error"), str) and isinstance(described, str) and described:
        return make_told(response, words=described)
    if (refusal := read_token_refusal(body)) is not None:
        return make_told(response, words=refusal.word)
    if body.get("statusCode") == response.status and isinstance(message, str) and message:
        return make_told(response, words=message)
    return read_page(response)
