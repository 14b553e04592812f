"""What a refusal of the token endpoint means, as one sentence with the setting and the way out. Pure.

Microsoft warns that numbers and texts of AADSTS errors may change ("Microsoft Entra authentication and authorization
error codes"), so an unknown number falls back on the OAuth ``error`` word, and an unknown word on the general advice.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import assert_never

from syncd.clock import Clock
from syncd.errors import AuthFailed, Intercepted, RemoteError, Throttled, Unavailable
from syncd.graph.credentials import ClientCertificate, ClientSecret, Credential, FederatedToken, ManagedIdentity
from syncd.graph.options import GraphOptions
from syncd.http import Response, Told, parse_retry_after, read_json_object, read_page, say
from syncd.http.answer import make_intercepted, make_told
from syncd.http.token_errors import read_token_refusal

SIDE = "Microsoft Entra ID"


@dataclass(frozen=True, slots=True)
class _Advice:
    setting: str
    remedy: str


_NEW_SECRET = _Advice(
    "graph.client_secret",
    "create a new client secret (App registrations, Certificates & secrets) and store its Value, not its Secret ID",
)
_EXPIRED_SECRET = _Advice(
    "graph.client_secret", "it has expired: create a new client secret (App registrations, Certificates & secrets)"
)
_CLIENT = _Advice(
    "graph.client_id", "take the Application (client) ID from App registrations, and check that it is in this tenant"
)
_CONSENT = _Advice(
    "graph.client_id",
    "the application is not set up in this tenant: grant it admin consent (Enterprise applications)",
)
_DISABLED = _Advice("graph.client_id", "the application is disabled: enable it under Enterprise applications")
_TENANT = _Advice(
    "graph.tenant_id", "take the Directory (tenant) ID from the Overview page, and check that graph.cloud is its cloud"
)
_CLOUD = _Advice("graph.cloud", "the tenant lives in another cloud: set graph.cloud, or authority_url and base_url")
_SCOPE = _Advice("graph.base_url", "it must be the Graph root of the same cloud as graph.authority_url")
_CERTIFICATE = _Advice(
    "graph.certificate_file",
    "upload its certificate, unexpired, to the application (App registrations, Certificates & secrets)",
)
_SUBJECT = _Advice(
    "graph.certificate_file",
    "its subject or issuer is not among the trusted ones: register this very certificate with the application",
)
_FEDERATION = _Advice(
    "graph.federated_token_file",
    "issuer, subject and audience of the federated credential (App registrations, Certificates & secrets) must be "
    "those of the token",
)
_FEDERATION_KIND = _Advice(
    "graph.federated_token_file",
    "a token that Entra issued for a person cannot stand for the application: mount an app-only one",
)
_IDENTITY = _Advice("graph.managed_identity", "assign this identity to the machine or service that syncd runs in")
_STALE = _Advice(
    "the clock of this machine", "set it by NTP; with graph.federated_token_file, see that the platform renews the file"
)
_BLOCKED = _Advice(
    "graph.client_id",
    "a Conditional Access policy for workload identities blocks the application: exempt it, or add the address that "
    "this machine has outside to a location that the policy trusts",
)

_BY_NUMBER = {
    7000215: _NEW_SECRET,
    7000222: _EXPIRED_SECRET,
    700016: _CLIENT,
    7000229: _CONSENT,
    7000112: _DISABLED,
    90002: _TENANT,
    900023: _TENANT,
    90038: _CLOUD,
    900382: _CLOUD,
    900432: _CLOUD,
    500011: _SCOPE,
    70011: _SCOPE,
    700027: _CERTIFICATE,
    700030: _SUBJECT,
    700024: _STALE,
    70021: _FEDERATION,
    700211: _FEDERATION,
    700212: _FEDERATION,
    700213: _FEDERATION,
    700229: _FEDERATION_KIND,
    53003: _BLOCKED,
}
_BY_WORD = {
    "unauthorized_client": _CLIENT,
    "invalid_tenant": _TENANT,
    "invalid_scope": _SCOPE,
    "invalid_resource": _SCOPE,
}
_PASSING = frozenset({90033, 90006, 90012, 90024, 50033})
_TENANT_THROTTLED = 90055
_PASSING_WORDS = frozenset({"temporarily_unavailable", "server_error"})


def explain_refusal(response: Response, *, options: GraphOptions, clock: Clock) -> RemoteError:
    """Map an error answer of the token endpoint: Throttled or Unavailable for what passes, otherwise AuthFailed.

    Intercepted where it is not the endpoint that speaks: a gateway's page or JSON says nothing about credentials.
    """
    word, numbers, told = _read_refusal(response)
    status, side = response.status, f"{SIDE} ({options.authority_url})"
    said = f"{side} answered {status}{say(told)}"
    wait = parse_retry_after(response.headers.get("Retry-After"), clock)
    code = f"AADSTS{numbers[0]}" if numbers else word
    if status == 429 or _TENANT_THROTTLED in numbers:
        return Throttled(said, status=status, code=code, retry_after=wait)
    if status >= 500 or not _PASSING.isdisjoint(numbers) or word in _PASSING_WORDS:
        return Unavailable(said, status=status, code=code, retry_after=wait)
    if not told.own:
        error: RemoteError = make_intercepted(side, response, told)
    else:
        advice = next((_BY_NUMBER[number] for number in numbers if number in _BY_NUMBER), None)
        advice = advice or _advise_by_word(word, options.credential)
        setting = _name_setting(advice, options.credential)
        error = AuthFailed(f"{said}; check {setting}: {advice.remedy}", status=status, code=code)
    error.own = told.own
    return error


def _name_setting(advice: _Advice, credential: Credential) -> str:
    """Return the setting to look at; a secret goes by the key by which it was set."""
    secret = advice in (_NEW_SECRET, _EXPIRED_SECRET) and isinstance(credential, ClientSecret)
    return credential.setting if secret and isinstance(credential, ClientSecret) else advice.setting


def _advise_by_word(word: str, credential: Credential) -> _Advice:
    """Return what to look at when the number is unknown: the word, or the credential that was shown."""
    if word in _BY_WORD:
        return _BY_WORD[word]
    match credential:
        case ClientSecret():
            advice, key = _NEW_SECRET, credential.setting
        case ClientCertificate():
            advice, key = _CERTIFICATE, "graph.certificate_file"
        case FederatedToken():
            advice, key = _FEDERATION, "graph.federated_token_file"
        case ManagedIdentity():
            return _IDENTITY
        case _:
            assert_never(credential)
    if word == "invalid_client":
        return advice
    return _Advice(f"graph.tenant_id, graph.client_id and {key}", "compare them with the app registration")


def explain_no_tenant(response: Response, *, options: GraphOptions, clock: Clock) -> RemoteError:
    """Map an error answer of the tenant's OpenID configuration, which is asked for before any token."""
    refusal = explain_refusal(response, options=options, clock=clock)
    if isinstance(refusal, Intercepted):
        return Intercepted(
            f"{refusal}; or nobody there speaks for the tenant: check graph.authority_url", status=response.status
        )
    if not isinstance(refusal, AuthFailed):
        return refusal
    _, _, told = _read_refusal(response)
    return AuthFailed(
        f"{SIDE} does not know the tenant '{options.tenant_id}' at {options.authority_url} "
        f"({response.status}{say(told)}); check graph.tenant_id: {_TENANT.remedy}; "
        "or graph.authority_url, if you set one",
        status=response.status,
        code=refusal.code,
    )


def _read_refusal(response: Response) -> tuple[str, tuple[int, ...], Told]:
    """Return the OAuth error word, the AADSTS numbers, and the first sentence of what was said, after its number."""
    refusal = read_token_refusal(read_json_object(response.body))
    if refusal is None:
        return "", (), read_page(response)
    sentence = re.split(r"(?<=[a-z0-9'\")])\.\s|\s*(?:Trace ID:|\r|\n)", refusal.description, maxsplit=1)[0]
    code = f"AADSTS{refusal.numbers[0]}" if refusal.numbers else refusal.word
    words = sentence.removeprefix(code).lstrip(": ")
    return refusal.word, refusal.numbers, make_told(response, code=code, words=words)
