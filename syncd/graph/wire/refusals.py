"""What a refusal of Microsoft Graph means. Pure.

Losing a delta link costs a full pull. So only a request that carried a link may find it dead, and only by the signs
that are documented or were seen (delta query overview, "Synchronization reset" and "Token duration"; recorded answers
of ``users/delta``); being refused, throttled or unreachable says nothing about a link.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, replace
from http import HTTPStatus
from typing import Any

import msgspec

from syncd.clock import Clock
from syncd.errors import (
    BadQuery,
    Forbidden,
    Intercepted,
    NotFound,
    NotOffered,
    Rejected,
    RemoteError,
    ResyncRequired,
    Throttled,
    Unavailable,
)
from syncd.graph.auth.challenge import read_challenge
from syncd.http import Response, Told, parse_retry_after, read_json_object, read_page, say
from syncd.http.answer import make_told, wants_bearer

_MISSING = "request_resourcenotfound"
_EXPIRED_PAGE = "directory_expiredpagetoken"
_UNSUPPORTED = "request_unsupportedquery"

_DEAD_ANYWHERE = frozenset({"syncstatenotfound", "resyncrequired"})
_DEAD_WITH_400 = frozenset({_UNSUPPORTED, _EXPIRED_PAGE, "badrequest", "request_badrequest"})
_BARE = frozenset({404, 410, 424})
"""Statuses that Graph was seen to send, or is documented with, without words of its own."""
_GATEWAYS = frozenset({403, 406, 413, 415})
"""With these a gateway refuses a method, a kind of body or its size; where there is another way it is taken."""
_WORD = re.compile(r"[A-Za-z][\w.-]*")
_PHRASES = frozenset(
    re.sub(r"\W", "", HTTPStatus(status).phrase).lower()
    for status in (401, 402, 403, 405, 406, 407, 409, 413, 414, 415, 418, 431, 451)
)
"""What a gateway calls its own refusals: the words of the status. Graph's codes say more, or bear its marks."""
_TELLS_NOTHING = frozenset({401, 403, 408, 423, 424, 425, 429})


@dataclass(frozen=True, slots=True)
class Purpose:
    """What a request is for, so that a refusal can be told in the operator's terms.

    ``goal`` completes "Microsoft Graph did not let us …"; ``permission`` is the least application permission for it;
    ``carries_link`` says that the request follows a link of Graph's instead of a query of ours. ``selects``: the
    properties of mapping and scope that the query names. ``dispensable`` says that there is another way to the goal, or
    a life without it: an address that is not known is then NotOffered at once. ``own``: the properties among those that
    are read which need a permission of their own, with that permission.
    """

    goal: str
    permission: str
    _: KW_ONLY
    carries_link: bool = False
    selects: tuple[str, ...] = ()
    dispensable: bool = False
    own: tuple[tuple[str, str], ...] = ()

    @property
    def lacking(self) -> str:
        """Return what a refusal says about permissions: the one for the goal, and those of single properties."""
        more = "".join(f", or {permission}, which {name} needs" for name, permission in self.own)
        return f"the application probably lacks the application permission {self.permission}{more}"


def read_error(response: Response) -> Told:
    """Return what the error envelope says; a body without one is none of Graph's words, and is quoted as what it is."""
    body = read_json_object(response.body)
    envelope = body.get("error")
    if isinstance(envelope, dict) and _is_graphs(response, envelope):
        message = envelope.get("message")
        return make_told(response, code=envelope["code"], words=message if isinstance(message, str) else "")
    if _has_page(response):
        return Told(own=True)
    told = read_page(response)
    return replace(told, own=True) if wants_bearer(response) else told


def _is_graphs(response: Response, envelope: Mapping[str, Any]) -> bool:
    """Tell whether an envelope is Graph's, and not one that a gateway has put its own status into.

    Graph's codes are words, and its answers name the request ("Microsoft Graph error responses and resource types").
    """
    code, inner = envelope.get("code"), envelope.get("innerError")
    if not isinstance(code, str):
        return False
    marks = any(response.headers.get(name) for name in ("request-id", "x-ms-ags-diagnostic"))
    if marks or (isinstance(inner, dict) and "request-id" in inner):
        return True
    return _WORD.fullmatch(code.strip()) is not None and re.sub(r"[\W_]", "", code).lower() not in _PHRASES


def says_missing(error: NotFound) -> bool:
    """Whether Graph says that the object does not exist; any other 404 proves nothing about it."""
    return error.code.lower() == _MISSING


def says_page_expired(error: Rejected) -> bool:
    """Whether the link of a list (it lives for minutes) came too late, so that the list must be read again."""
    return error.code.lower() == _EXPIRED_PAGE


def says_dead(error: RemoteError) -> bool:
    """Whether Graph says in so many words that a delta link is dead; a bare bad request only may mean it."""
    if isinstance(error, Intercepted):
        return False
    code = error.code.lower()
    return error.status == 410 or code in _DEAD_ANYWHERE or code in (_UNSUPPORTED, _EXPIRED_PAGE)


def says_unknown(error: RemoteError) -> bool:
    """Whether the address itself was refused, and not what was asked there."""
    return _is_unknown(error.status, error.code.lower(), str(error))


def to_error(purpose: Purpose, clock: Clock, response: Response, told: Told) -> RemoteError | None:
    """Name the error more precisely than the status alone would; None leaves it to the status table of the client."""
    status, code, bare = response.status, told.code, told.code.lower()
    if challenge := read_challenge(response, told):
        return challenge
    said = f"{status}{say(told)}"
    if status == 400 and _has_page(response):
        return Unavailable(f"Microsoft Graph answered 400 with a page inside ({purpose.goal})", status=400, code=code)
    if purpose.dispensable and _is_unknown(status, bare, told.words):
        return NotOffered(f"Microsoft Graph offers no way to {purpose.goal} ({said})", status=status, code=code)
    if not told.own and (status not in _BARE or (told.page and status == 410)):
        blocked = purpose.dispensable and status in _GATEWAYS
        return _make_blocked(purpose, said, status) if blocked else None
    if status == 404 and bare != _MISSING:
        if bare in ("", "unknownerror"):
            return Unavailable(f"Microsoft Graph did not know the address for a moment: {said}", status=404, code=code)
        if bare not in _DEAD_ANYWHERE:
            return NotFound(f"Microsoft Graph did not let us {purpose.goal}: {said}", status=404, code=code)
    if status == 424:
        # A throttled batch as a whole (throttling guidance, "Throttling and batching").
        wait = parse_retry_after(response.headers.get("Retry-After"), clock)
        return Throttled(
            f"Microsoft Graph failed the whole batch: {said}", status=424, code=code, retry_after=wait, sent=False
        )
    if status == 403:
        return Forbidden(
            f"Microsoft Graph did not let us {purpose.goal} ({said}); {purpose.lacking}: grant it in Microsoft Entra "
            "ID with admin consent and wait some minutes",
            status=403,
            code=code,
        )
    if purpose.carries_link and _is_dead(status, bare, told.words):
        return ResyncRequired(
            f"Microsoft Graph no longer accepts the stored link to {purpose.goal} ({said}); everything is read again",
            status=status,
            code=code,
            location=response.headers.get("Location", ""),
        )
    if status in (400, 501) and purpose.carries_link:
        return Rejected(f"Microsoft Graph refused the stored link to {purpose.goal} ({said})", status=status, code=code)
    if status in (400, 501):
        refused = f"Microsoft Graph refused the query to {purpose.goal} ({said})"
        if not purpose.selects:
            return Rejected(refused, status=status, code=code)
        named = [name for name in purpose.selects if re.search(rf"\b{re.escape(name)}\b", told.words, re.IGNORECASE)]
        # In words of ours: those of the side are left out of logs.
        what = f"it names {' and '.join(named)}: take that" if named else "if it names a property, take it"
        remedy = f"{what} out of the mapping and the scope"
        return BadQuery(f"{refused}; {remedy}", status=status, code=code, said=told.words)
    return None


def _make_blocked(purpose: Purpose, said: str, status: int) -> NotOffered:
    return NotOffered(f"something before Microsoft Graph does not let us {purpose.goal} ({said})", status=status)


def _is_unknown(status: int | None, code: str, message: str) -> bool:
    """Whether the address itself is refused: no route, no such method, or a path that OData cannot resolve."""
    if status == 404:
        return code != _MISSING and code not in _DEAD_ANYWHERE
    return status in (405, 501) or (status == 400 and "for the segment" in message.lower())


def _is_dead(status: int, code: str, message: str) -> bool:
    if status in _TELLS_NOTHING or not 400 <= status < 500:
        return False
    if status == 410 or code in _DEAD_ANYWHERE:
        return True
    # The answer for an initial round that took too long is known by its sentence only, not by its code.
    return status == 400 and (code in _DEAD_WITH_400 or "steady state" in message.lower())


def _has_page(response: Response) -> bool:
    """Whether the body is a proper page although the status says otherwise (seen with 400 on delta requests)."""
    try:
        body = msgspec.json.decode(response.body)
    except (ValueError, RecursionError):
        return False
    return isinstance(body, dict) and isinstance(body.get("value"), list) and body.get("error") is None
