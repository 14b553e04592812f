"""What the portal says when it does not simply obey, and whether it is the portal that speaks.

The error body of the data API is ``{"type", "description", "errorGuid"}`` (developer.webcon.com, "API errors");
2026 R1 renames the guid to a correlation id in its logs, so its name is read leniently. The token endpoint answers
in the way of OAuth (``syncd.http.token_errors``), or with ``{"message"}`` (WEBCON's own Power BI connector reads both),
which gateways do as well. The web framework under the portal has a
shape of its own for a body that it cannot read (RFC 9457 with a ``traceId``). Whatever else comes, with any status, is
of something before the portal. The sentences name the side, the setting and the way out; decisions are made on status
and ``type``, never on the description.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

import msgspec

from syncd.errors import Forbidden, Intercepted, NotFound, PermanentError, ProtocolError, Rejected, RemoteError
from syncd.http import Response, Told, read_json_object, read_page, say
from syncd.http.answer import make_intercepted, make_redirected, make_told, wants_bearer
from syncd.http.token_errors import read_token_refusal
from syncd.model.target import NO_RIGHTS, NO_SCOPE

NAME: Final = "WEBCON BPS portal"
"""How every message names this side."""

SIDE: Final = "the portal"
"""How a message names it that is about something before it."""

UNTOUCHABLE: Final = "it is a record that the API does not let us change"

REDIRECTED: Final = "set bps.portal_url to the portal's final https address"

Noun = Literal["users", "groups", "licenses", "substitutions", "privileges", "companies", "me"]
"""Which part of the API a request belongs to; decides the scope that it needs."""

_FAMILIES: Mapping[str, str] = {"privileges": "App.Metadata", "companies": "Admin.BusinessEntities"}

_CODES = ("type", "error", "code")
_MESSAGES = ("description", "error_description", "message", "detail", "title")
_GUIDS = ("errorGuid", "guid", "correlationId", "correlationID")
_TOKEN_WORDS = ("AuthenticationFailed", "InvalidScope")
"""Types of the API's errors that say at the token endpoint what they say elsewhere."""
_FRAMEWORK_STATUSES = frozenset({400, 415})


class BareNotFound(NotFound):
    """A 404 that is not in the API's own words: the record is missing, or the whole API, or something else says so."""


def read_error(response: Response) -> Told:
    """Return what an answer of the data API says; accepts any body."""
    body = read_json_object(response.body)
    own = _is_api_error(body) or _is_framework_error(response.status, body) or wants_bearer(response)
    return _read_told(response, body, own=own)


def read_token_error(response: Response) -> Told:
    """Return what an answer of the token endpoint says; accepts any body."""
    body = read_json_object(response.body)
    own = _is_api_error(body) or read_token_refusal(body) is not None or body.get("error") in _TOKEN_WORDS
    return _read_told(response, body, own=own)


def make_token_doubt(response: Response) -> Intercepted | None:
    """Return what a refusal of a token means whose words may be the portal's or a gateway's; None for other answers.

    WEBCON's own client reads ``message`` and ``error``, and no document says what stands there.
    """
    body = read_json_object(response.body)
    if response.status in (405, 413) or not any(isinstance(body.get(name), str) for name in ("error", "message")):
        return None
    return Intercepted(
        f"{NAME}, or a gateway before it, refused to give a token ({response.status}{say(read_page(response))}), in "
        "words that either may use: the log of what stands before it says why; if that has nothing, the portal itself "
        "refused: look at its API application (Administration > Integrations > API)",
        status=response.status,
    )


def name_scope(noun: Noun, *, write: bool) -> str:
    """Return the scope that requests of one part of the API need."""
    return f"{_FAMILIES.get(noun, f'Admin.{noun.capitalize()}')}.{'ReadWrite' if write else 'Read'}"


def make_classify(noun: Noun, *, write: bool, single: bool) -> Callable[[Response, Told], RemoteError | None]:
    """Return what tells a refusal of one part of the API by name; ``single``: requests name one record."""
    scope = name_scope(noun, write=write)
    records = noun not in _FAMILIES

    def classify(response: Response, told: Told) -> RemoteError | None:
        status, code = response.status, told.code
        said = f"{NAME} answered {status}{say(told)}"
        if 300 <= status < 400:
            return make_redirected(NAME, response, REDIRECTED)
        if status == 404 and not single:
            return make_api_missing(said)
        if status == 404 and not told.own:
            return BareNotFound(said, status=status, code=code)
        if not told.own:
            return None if _may_pass(status) else make_intercepted(SIDE, response, told)
        if status == 403 and code == NO_RIGHTS:
            rights = "to that record: give it the rights in the portal, or name the BPS id in scope.protect"
            if not records:
                rights = "there: make it an administrator of that application in the portal"
            return Forbidden(
                f"{said}; the account behind the API application of bps.client_id may not do this {rights}",
                status=status,
                code=code,
            )
        if status == 403 and code != NO_SCOPE:
            return Forbidden(
                f"{said}; the API application of bps.client_id may not do this: look there (Administration > "
                f"Integrations > API) whether it is active and has the scope {scope}",
                status=status,
                code=code,
            )
        if status == 403:
            lacking = "has no access" if noun == "me" else f"lacks the scope {scope}"
            return Forbidden(
                f"{said}; the API application of bps.client_id {lacking}: "
                "grant it in the portal under Administration > Integrations > API (application context)",
                status=status,
                code=code,
            )
        if status == 405 and code == "UnsupportedInstallationType":
            return Rejected(
                f"{said}; this kind of installation has no BPS {noun} to manage (they exist on standalone and WEBCON "
                "cloud portals, not on SharePoint-based ones): leave them out with the scope settings",
                status=status,
                code=code,
            )
        if status == 405 and records and write and single and "impersonat" not in told.words:
            return Rejected(
                f"{said}; {UNTOUCHABLE}: one of the portal's own directory synchronisation, of an API "
                "application, or a built-in one. Switch that synchronisation off, or name the BPS id in scope.protect",
                status=status,
                code=code,
                foreign_record=True,
            )
        return None

    return classify


def is_divisible(error: RemoteError, statuses: frozenset[int]) -> bool:
    """Tell whether a refused request may pass in parts: by the portal's statuses, or as a gateway minds its content.

    A gateway that refuses a method, or a sign-in, refuses all parts.
    """
    if isinstance(error, Intercepted):
        return 400 <= (error.status or 0) < 500 and error.status not in (401, 405)
    return isinstance(error, PermanentError) and error.status in statuses


def is_written(response: Response) -> bool:
    """Tell whether a success is one of a write: it says nothing, or one JSON text or number.

    An object is that of a creation, with its number; any other (an error, a gateway's own) is no word about the write.
    """
    if not response.body.strip():
        return True
    try:
        value = msgspec.json.decode(response.body)
    except (ValueError, RecursionError):
        return False
    return isinstance(value, str | int | None) or (isinstance(value, dict) and "id" in value)


def make_api_missing(said: str) -> Rejected:
    """Name the situation in which the data API itself is not where we look for it."""
    return Rejected(
        f"{said}; there is no REST API v6.0 at that address: check that bps.portal_url carries the portal's path "
        "(such as https://bps.example.com/WEBCONBPS) and that the portal is WEBCON BPS 2024 R1 or newer",
        status=404,
    )


def make_not_json(response: Response) -> ProtocolError:
    """Name the situation in which a success carries something that is no answer of the API."""
    return Intercepted(
        f"{NAME} answered {response.status} with something that is no answer of its API{say(read_page(response))}; "
        "check bps.portal_url, and whether a sign-in page or a maintenance page stands before the portal",
        status=response.status,
    )


def _may_pass(status: int) -> bool:
    """Tell a status that may pass by itself, or that a fresh token cures, whoever answers with it."""
    return status in (401, 408, 423, 425, 429) or (status >= 500 and status != 501)


def _read_told(response: Response, body: Mapping[str, Any], *, own: bool) -> Told:
    if not own:
        return read_page(response)
    code, words, guid = (_first_text(body, names) for names in (_CODES, _MESSAGES, _GUIDS))
    return make_told(response, code=code, words=words, number=guid, log="portal log")


def _is_api_error(body: Mapping[str, Any]) -> bool:
    """Tell whether the body has the API's own error shape, or two of its three properties."""
    parts = ("type" in body, "description" in body, any(name in body for name in _GUIDS))
    return sum(parts) >= 2


def _is_framework_error(status: int, body: Mapping[str, Any]) -> bool:
    """Tell whether the portal's web framework says that it cannot read a request; for other refusals it has no say."""
    return status in _FRAMEWORK_STATUSES and {"title", "status", "traceId"} <= body.keys()


def _first_text(body: Mapping[str, Any], names: tuple[str, ...]) -> str:
    for name in names:
        value = body.get(name)
        if isinstance(value, str) and value.strip():
            return value.strip()
    return ""
