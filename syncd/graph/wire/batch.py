"""Direct reads by ``$batch``: which objects still exist. Pure: builds the request and reads the answer.

JSON batching ("Combine multiple HTTP requests using JSON batching"): at most 20 requests, answers in any order, each
with its own status and its own Retry-After.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import msgspec

from syncd.clock import Clock
from syncd.errors import NotFound, ProtocolError, RemoteError, TransientError
from syncd.graph.wire.parse import parse_object
from syncd.graph.wire.refusals import Purpose, read_error, says_missing, to_error
from syncd.http import Response, make_error
from syncd.model.source import Stream

BATCH_LIMIT = 20


@dataclass(frozen=True, slots=True)
class BatchAnswer:
    """Which ids exist, and which must be asked for again after ``retry_after`` seconds (None: not told)."""

    found: frozenset[str]
    pending: tuple[str, ...]
    retry_after: float | None


def encode_batch(stream: Stream, ids: Sequence[str]) -> bytes:
    """Return the body that asks for the bare existence of up to 20 users or groups."""
    requests = [
        {"id": str(number), "method": "GET", "url": f"/{stream}/{quote(object_id, safe='')}?$select=id"}
        for number, object_id in enumerate(ids)
    ]
    return msgspec.json.encode({"requests": requests})


def parse_batch(response: Response, ids: Sequence[str], *, purpose: Purpose, clock: Clock) -> BatchAnswer:
    """Read the answer to ``encode_batch(…, ids)``; an id without an answer is pending.

    Only 404 with Graph's own code for a missing object means that it does not exist. Any other refusal raises.
    """
    answers = parse_object(response).get("responses")
    if not isinstance(answers, list):
        raise ProtocolError("Microsoft Graph answered a batch without responses", status=response.status)
    by_number = {str(answer.get("id")): answer for answer in answers if isinstance(answer, dict)}
    found: set[str] = set()
    pending: list[str] = []
    waits: list[float] = []
    for number, object_id in enumerate(ids):
        part = _read_part(by_number.get(str(number)), response)
        if part is None:
            pending.append(object_id)
        elif part.status == 200:
            _check_same(part, object_id)
            found.add(object_id)
        else:
            error = _read_refusal(part, purpose, clock)
            if isinstance(error, TransientError):
                pending.append(object_id)
                waits += [] if error.retry_after is None else [error.retry_after]
            elif not (isinstance(error, NotFound) and says_missing(error)):
                raise error
    return BatchAnswer(frozenset(found), tuple(pending), max(waits, default=None))


def _read_part(answer: Mapping[str, Any] | None, whole: Response) -> Response | None:
    """Return one answer of the batch as if it had come alone; header names in any case."""
    if answer is None:
        return None
    status, headers = answer.get("status"), answer.get("headers")
    if not isinstance(status, int):
        raise ProtocolError("Microsoft Graph answered a part of a batch without a status")
    stated = headers if isinstance(headers, dict) else {}
    named = {str(name).title(): str(value) for name, value in stated.items()}
    return Response(status, named, msgspec.json.encode(answer.get("body")), confidential=whole.confidential)


def _check_same(part: Response, object_id: str) -> None:
    found = parse_object(part).get("id")
    if not isinstance(found, str) or found.strip().lower() != object_id.strip().lower():
        raise ProtocolError("Microsoft Graph answered a part of a batch with another object than asked for", status=200)


def _read_refusal(part: Response, purpose: Purpose, clock: Clock) -> RemoteError:
    told = read_error(part)
    error = to_error(purpose, clock, part, told) or make_error("Microsoft Graph", part, told, clock)
    error.own = told.own
    return error
