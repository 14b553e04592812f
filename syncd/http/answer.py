"""An answer, what it says, and whose words these are: the other side's own, or those of something in between.

Each adapter reads the error bodies of its side into `Told`; only what has the shape of that side's API is its own word.
A gateway, a firewall, a proxy or a web server before the API answers with pages and texts of its own, with any status.
They may say that something is wrong; they know nothing of scopes, records and who made them. `make_error` is where the
two are told apart.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any, Final

import msgspec
from yarl import URL

from syncd.clock import Clock
from syncd.errors import (
    AuthFailed,
    Conflict,
    Forbidden,
    Intercepted,
    NotFound,
    ProtocolError,
    Rejected,
    RemoteError,
    Throttled,
    Timeout,
    Unavailable,
)
from syncd.http.confidential import NOTHING, Confidential
from syncd.logs.quotes import quote

_CODE = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_UNREADABLE = re.compile(r"<(script|style|head)\b.*?</\1\s*>", re.IGNORECASE | re.DOTALL)
_TITLE = re.compile(r"<title[^>]*>(.*?)</title", re.IGNORECASE | re.DOTALL)
_TAG = re.compile(r"<[^>]*>")
_PAGE_READ: Final = 20_000


class Response(msgspec.Struct, frozen=True):
    """One complete answer; ``body`` is decompressed.

    ``method`` and ``url`` are those of the request; ``confidential`` is what was sent and must not be repeated.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    method: str = ""
    url: str = ""
    confidential: Confidential = NOTHING


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What an error answer says: the API's code, its words, and where its side logged it.

    ``own``: the body has the shape in which that side's API answers. ``page``: it is a web page.
    """

    code: str = ""
    words: str = ""
    reference: str = ""
    own: bool = False
    page: bool = False


def make_told(response: Response, *, code: str = "", words: str = "", number: str = "", log: str = "") -> Told:
    """Return what the API itself says, without what was sent in confidence. What is no code counts as words.

    ``number`` is what the answer has in the log of its side, and ``log`` the name of that log.
    """
    mask = response.confidential.mask
    code, words, number = mask(code.strip()), mask(words.strip()), mask(number.strip())
    if not _CODE.fullmatch(code):
        words, code = f"{code} {words}".strip(), ""
    reference = f"{log}: {number}" if _CODE.fullmatch(number) else ""
    return Told(code=code, words=_shorten(words, 300), reference=reference, own=True)


def read_page(response: Response) -> Told:
    """Return what a body says that is none of the API: the text of a web page, or its beginning."""
    if not is_web_page(response):
        return Told(words=excerpt(response))
    markup = response.body[:_PAGE_READ].decode("utf-8", "replace")
    title = _TITLE.search(markup)
    shown = _TAG.sub(" ", _UNREADABLE.sub(" ", markup))
    words = " ".join(shown.split()) or (_TAG.sub(" ", title[1]) if title else "")
    return Told(words=_shorten(response.confidential.mask(words), 200), page=True)


def wants_bearer(response: Response) -> bool:
    """Tell whether a 401 asks for a token, as an API does, and not for a sign-in to something before it."""
    asked = response.headers.get("WWW-Authenticate", "").strip().lower()
    return response.status == 401 and asked.startswith("bearer")


def is_web_page(response: Response) -> bool:
    """Tell whether the answer is a page for people (a sign-in page, maintenance, a web server's own error page)."""
    stated = response.headers.get("Content-Type", "").strip().lower()
    return response.body.lstrip()[:1] == b"<" or stated.startswith(("text/html", "application/xhtml"))


def read_json_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object of a body, an empty one for any other body."""
    try:
        value = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def is_json_object(body: bytes) -> bool:
    """Tell whether a body is one JSON object."""
    return bool(read_json_object(body)) or b"".join(body.split()) == b"{}"


def say(told: Told) -> str:
    """Return what was said, to stand after a status: code, quoted words and reference, as far as they are there."""
    words = " ".join(part for part in ("a web page" if told.page else "", quote(told.words)) if part)
    said = (f" {told.code}" if told.code else "") + (f": {words}" if words else "")
    return said + (f" ({told.reference})" if told.reference else "")


def excerpt(response: Response, limit: int = 200) -> str:
    """Return the beginning of a body as one printable line, for an error message."""
    return _shorten(response.confidential.mask(response.body[: limit * 8].decode("utf-8", "replace")), limit)


def _shorten(text: str, limit: int) -> str:
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1] + "\N{HORIZONTAL ELLIPSIS}"


def make_error(name: str, response: Response, told: Told, clock: Clock) -> RemoteError:
    """Map an answer that is no success to an error of our taxonomy (the status table).

    A permanent refusal that is not the side's own word is Intercepted, whatever its status; only 401 is AuthFailed for
    anybody, since a fresh token is tried first.
    """
    status, code = response.status, told.code
    said = f"{name} answered {status}{say(told)}"
    wait = parse_retry_after(response.headers.get("Retry-After"), clock)
    location = response.headers.get("Location", "")
    if status in (425, 429) or (status == 503 and wait is not None):
        return Throttled(said, status=status, code=code, retry_after=wait, sent=False)
    if status in (423, 503):
        return Unavailable(said, status=status, code=code, retry_after=wait, sent=False)
    if status == 408:
        return Timeout(said, status=status, code=code, retry_after=wait)
    if status >= 500 and status != 501:
        return Unavailable(said, status=status, code=code, retry_after=wait)
    if 300 <= status < 400:
        return make_redirected(name, response, "set the address to where it leads")
    if status == 401:
        return AuthFailed(said, status=status, code=code, location=location)
    if not told.own:
        return make_intercepted(name, response, told)
    kind = {403: Forbidden, 404: NotFound, 409: Conflict}.get(status, Rejected)
    return kind(said, status=status, code=code, retry_after=wait, location=location)


def make_intercepted(side: str, response: Response, told: Told) -> Intercepted:
    """Say that something before a side answered in its place, and what would let the request through."""
    status, method = response.status, response.method or "this request"
    said = f"({status}{say(told)})"
    if status in (405, 501):
        iis = " (on IIS: remove the module and the handler of WebDAV)" if method in ("PATCH", "DELETE") else ""
        text = (
            f"something before {side} does not let {method} through {said}: let the gateway or the web server there "
            f"pass it{iis}"
        )
    elif status == 413:
        text = f"something before {side} takes no request of this size {said}: raise the limit that it sets for bodies"
    else:
        what = "a web page of a gateway" if told.page else "a gateway"
        text = (
            f"{what} or a firewall before {side} refused this request {said}; these are no words of its API: the log "
            "of what stands before it says why"
        )
    return Intercepted(text, status=status, code=told.code)


def make_redirected(name: str, response: Response, remedy: str) -> ProtocolError:
    """Name the situation in which a side, or something before it, sends us elsewhere; redirects are not followed."""
    status, asked = response.status, _parse_url(response.url)
    target = _parse_url(response.headers.get("Location", ""))
    if asked is not None and target is not None:
        target = asked.join(target)
        if _is_same_place(asked, target):
            return Intercepted(
                f"{name} answered {status}, a redirect to the very address that was asked: it believes to be called by "
                f"{target.scheme}. The reverse proxy before it has to say how it was called (X-Forwarded-Proto: https)",
                status=status,
            )
    where = "an address that cannot be read"
    if target is not None and target.host:
        where = f"{target.scheme}://{target.host}" + ("" if target.is_default_port() else f":{target.port}")
    return ProtocolError(
        f"{name} answered {status}, a redirect to {where}, and redirects are not followed: {remedy}", status=status
    )


def _parse_url(text: str) -> URL | None:
    try:
        url = URL(text, encoded=True)
        return (url.with_user(None) if url.host else url) if text else None
    except (ValueError, TypeError):
        return None


def _is_same_place(asked: URL, target: URL) -> bool:
    """Tell whether a redirect leads back to where it came from, perhaps by http instead of https."""
    if asked.host != target.host or asked.raw_path_qs != target.raw_path_qs:
        return False
    downgraded = asked.scheme == "https" and target.scheme == "http"
    return downgraded or (asked.scheme == target.scheme and asked.port == target.port)


def parse_retry_after(value: str | None, clock: Clock) -> float | None:
    """Read a Retry-After header: seconds (also fractional) or an HTTP date; None for absent, empty or unreadable.

    Fractional and empty values are seen on Graph's wire (reports of its own SDKs' users).
    """
    if value is None or not value.strip():
        return None
    text = value.strip()
    try:
        seconds = float(text)
    except ValueError:
        try:
            moment = parsedate_to_datetime(text)
        except ValueError:
            return None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        seconds = (moment - clock.now()).total_seconds()
    if seconds != seconds or seconds == float("inf"):
        return None
    return max(0.0, seconds)
