"""What the portal says when it does not simply obey: error bodies, web pages, and one sentence for each situation.

The error body of the data API is ``{"type", "description", "errorGuid"}`` (developer.webcon.com, "API errors");
2026 R1 renames the guid to a correlation id in its logs, so its name is read leniently. The sentences name the side,
the setting and the way out; decisions are made on status and ``type``, never on the description.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final, Literal

import msgspec

from syncd.errors import Forbidden, NotFound, ProtocolError, Rejected, RemoteError
from syncd.http import Response, excerpt
from syncd.model.target import NO_RIGHTS

NAME: Final = "WEBCON BPS portal"
"""How every message names this side."""

Noun = Literal["users", "groups", "licenses", "substitutions", "me"]
"""Which part of the API a request belongs to; decides the scope that it needs."""

_CODES = ("type", "error", "code")
_MESSAGES = ("description", "error_description", "message", "detail", "title")
_GUIDS = ("errorGuid", "guid", "correlationId", "correlationID")
_UNREADABLE = re.compile(r"<(script|style)\b.*?</\1\s*>", re.IGNORECASE | re.DOTALL)
_TAG = re.compile(r"<[^>]*>")


class BareNotFound(NotFound):
    """A 404 without the API's error body: the record is missing, or the whole API is."""


def is_web_page(response: Response) -> bool:
    """Tell whether the answer is a page for people (a sign-in page, maintenance, a web server's own error page)."""
    return response.body.lstrip()[:1] == b"<" or response.headers.get("Content-Type", "").startswith("text/html")


def read_error(response: Response) -> tuple[str, str]:
    """Return (code, message) of an error answer; accepts any body."""
    if is_web_page(response):
        text = _TAG.sub(" ", _UNREADABLE.sub(" ", response.body[:20_000].decode("utf-8", "replace")))
        return "", f"a web page: {excerpt(text.encode())}"
    body = _read_object(response.body)
    if not body:
        return "", excerpt(response.body)
    code, message, guid = (_first_text(body, names) for names in (_CODES, _MESSAGES, _GUIDS))
    return code, excerpt(message.encode()) + (f" (portal log: {guid})" if guid else "")


def make_classify(noun: Noun, *, write: bool, single: bool) -> Callable[[Response, str, str], RemoteError | None]:
    """Return what tells a refusal of one part of the API by name; ``single``: requests name one record."""
    scope = f"Admin.{noun.capitalize()}.{'ReadWrite' if write else 'Read'}"

    def classify(response: Response, code: str, message: str) -> RemoteError | None:
        status = response.status
        said = f"{NAME} answered {status}" + (f" {code}" if code else "") + (f": {message}" if message else "")
        if status == 403 and code == NO_RIGHTS:
            return Forbidden(
                f"{said}; the account behind the API application of bps.client_id may not do this to that record: give "
                "it the rights in the portal, or name the BPS id in scope.protect",
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
        if status == 404:
            if not single:
                return make_api_missing(said)
            return None if _is_api_error(response) else BareNotFound(said, status=status, code=code)
        if status == 405 and code == "UnsupportedInstallationType":
            return Rejected(
                f"{said}; this kind of installation has no BPS {noun} to manage (they exist on standalone and WEBCON "
                "cloud portals, not on SharePoint-based ones): leave them out with the scope settings",
                status=status,
                code=code,
            )
        if status == 405 and write and single and "impersonat" not in message:
            return Rejected(
                f"{said}; it is a record that the API does not let us change: "
                f"one of the portal's own directory synchronisation, of an API "
                "application, or a built-in one. Switch that synchronisation off, or name the BPS id in scope.protect",
                status=status,
                code=code,
                foreign_record=True,
            )
        if 300 <= status < 400:
            return make_redirected(response)
        return None

    return classify


def make_api_missing(said: str) -> Rejected:
    """Name the situation in which the data API itself is not where we look for it."""
    return Rejected(
        f"{said}; there is no REST API v6.0 at that address: check that bps.portal_url carries the portal's path "
        "(such as https://bps.example.com/WEBCONBPS) and that the portal is WEBCON BPS 2024 R1 or newer",
        status=404,
    )


def make_redirected(response: Response) -> ProtocolError:
    """Name the situation in which the portal, or something before it, sends us elsewhere."""
    location = response.headers.get("Location", "an unnamed place")
    return ProtocolError(
        f"{NAME} answered {response.status}, a redirect to {location}, and redirects are not followed: "
        "set bps.portal_url to the portal's final https address",
        status=response.status,
        location=location,
    )


def make_not_json(response: Response) -> ProtocolError:
    """Name the situation in which a success carries something that is no answer of the API."""
    page = read_error(response)[1] if is_web_page(response) else excerpt(response.body)
    return ProtocolError(
        f"{NAME} answered {response.status} with something that is no answer of its API ({page}): check "
        "bps.portal_url, and whether a sign-in page or a maintenance page stands before the portal",
        status=response.status,
    )


def _is_api_error(response: Response) -> bool:
    """Tell whether the body has the API's own error shape."""
    body = _read_object(response.body)
    return "description" in body or any(name in body for name in _GUIDS)


def _read_object(body: bytes) -> dict[str, Any]:
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {}
    return value if isinstance(value, dict) else {}


def _first_text(body: dict[str, Any], names: tuple[str, ...]) -> str:
    for name in names:
        value = body.get(name)
        if isinstance(value, str) and value.strip():
            return value.strip()
    return ""
