"""Substitutions over the API: whose tasks go to whom, and until when.

What the API document and WEBCON's own importer say: ``POST`` answers with the number, pages start at 1 (the document)
or at 0 (the importer), a list may answer 404 when there is nothing in it, a task delegation for all applications needs
neither processes nor a business entity. What nobody says is how exactly times are kept, and in which zone: two times
count as the same when they are less than a day and a half apart, and what is ours is told by its people as well.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import quote

import msgspec

from syncd.bps.answers import NAME, make_not_json
from syncd.bps.client import BpsClient
from syncd.bps.records import T
from syncd.clock import Clock
from syncd.errors import UNCLEAR, NotFound, NotOffered, ProtocolError, Rejected, RemoteError
from syncd.http import Response
from syncd.model.substitution import Substitution
from syncd.model.target import fold

_PATH: Final = "/admin/substitutions"
_PAGE = 100
_MAX_PAGES = 200
_ATTEMPTS = 6
_BACKOFF, _PATIENCE = 0.5, 180.0
"""Seconds: before the second attempt of a creation (doubled for each further one), and the longest wait asked for."""
_ALIKE = timedelta(hours=36)


class WirePerson(msgspec.Struct, rename="camel"):
    """Basic.User of the API document, as far as we use it."""

    bps_id: str | None = None


class WireSubstitution(msgspec.Struct, rename="camel"):
    """SubstitutionsCollectionItem of the API document, as far as we use it."""

    id: int
    original_person: WirePerson | None = None
    substitute_person: WirePerson | None = None
    start_date: str | None = None
    end_date: str | None = None


class _SubstitutionsPage(msgspec.Struct):
    substitutions: list[WireSubstitution] | None = None


class Substitutions:
    """Reads and writes substitutions."""

    def __init__(self, client: BpsClient, clock: Clock) -> None:
        self._client = client
        self._clock = clock

    async def find(self, known: Substitution) -> Substitution | None:
        """Return what the portal has of one that we made: by number, without one by its people and its end.

        A number that belongs to another original person by now is not ours: None, as for one that is gone.
        """
        if known.number is None:
            return await self._search(known)
        try:
            response = await self._client.read(f"{_PATH}/{known.number}", noun="substitutions")
        except NotFound:
            return None
        there = _parse(response, WireSubstitution)
        return _make(there, known) if _name(there.original_person) == fold(known.original) else None

    async def create(self, wanted: Substitution) -> int | None:
        """Create one and return its number, None when neither the answer nor a look at the list tells it.

        An unclear answer is settled by that look; where it shows nothing the error is raised, and nothing sent again.
        A portal that turns us away is looked at as well before the next attempt: it may have done it all the same.
        NotOffered where there are no substitutions at all.
        """
        for attempt in range(_ATTEMPTS):
            try:
                response = await self._client.send(
                    "POST", _PATH, noun="substitutions", body=_encode(wanted), repeatable="never"
                )
            except Rejected as error:
                if error.status not in (404, 501):
                    raise
                raise NotOffered(
                    f"{NAME} offers no substitutions ({error.status})", status=error.status, code=error.code
                ) from error
            except UNCLEAR as error:
                found = await self._search(wanted)
                if found is not None:
                    return found.number
                if error.sent or attempt == _ATTEMPTS - 1 or (error.retry_after or 0) > _PATIENCE:
                    raise
                await self._clock.sleep(error.retry_after or _BACKOFF * 2**attempt)
            else:
                number = _read_number(response)
                if number is not None:
                    return number
                found = await self._search(wanted)
                return found.number if found else None
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def update(self, wanted: Substitution) -> None:
        """Set everything anew: whether an absent property stays as it was is not documented."""
        await self._client.send("PATCH", f"{_PATH}/{wanted.number}", noun="substitutions", body=_encode(wanted))

    async def delete(self, number: int) -> None:
        """Delete one; one that is gone already is a success."""
        try:
            await self._client.send("DELETE", f"{_PATH}/{number}", noun="substitutions")
        except NotFound:
            return

    async def _search(self, known: Substitution) -> Substitution | None:
        """Return the newest one of these two people with this end."""
        found: WireSubstitution | None = None
        async for there in self._list(known.original):
            ours = (
                _name(there.original_person) == fold(known.original)
                and _name(there.substitute_person) == fold(known.substitute)
                and _is_same_time(there.end_date, known.ends_at)
            )
            if ours and (found is None or there.id > found.id):
                found = there
        return None if found is None else _make(found, known)

    async def _list(self, original: str) -> AsyncIterator[WireSubstitution]:
        """Yield all of one person, whichever page is the first."""
        met: set[int] = set()
        for number in range(_MAX_PAGES):
            query = f"{_PATH}?originalPerson={quote(original, safe='')}&page={number}&size={_PAGE}"
            try:
                page = _parse(await self._client.read(query, noun="substitutions"), _SubstitutionsPage)
            except RemoteError as error:
                if error.status not in ((400, 404) if number == 0 else (404,)):
                    raise
                page = _SubstitutionsPage()
            fresh = [item for item in page.substitutions or () if item.id not in met]
            if not fresh and number > 0:
                return
            met.update(item.id for item in fresh)
            for item in fresh:
                yield item
        raise ProtocolError(f"{NAME} sends more and more substitutions of one person: {len(met)} so far")


def _encode(wanted: Substitution) -> dict[str, Any]:
    return {
        "originalPerson": {"bpsId": wanted.original, "typedInValue": True},
        "substitutePerson": {"bpsId": wanted.substitute},
        "startDate": _encode_time(wanted.starts_at),
        "endDate": _encode_time(wanted.ends_at),
        "type": "TaskDelegation",
        "activeApplications": {"allApplications": True},
    }


def _encode_time(instant: datetime) -> str:
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _make(there: WireSubstitution, known: Substitution) -> Substitution:
    """Make the model's value; times that agree with what we know are taken as we know them."""
    starts, ends = _parse_time(there.start_date), _parse_time(there.end_date)
    person = there.substitute_person.bps_id if there.substitute_person else None
    same = fold(person or "") == fold(known.substitute)
    return Substitution(
        original=known.original,
        substitute=known.substitute if same else person or "",
        starts_at=starts or known.starts_at,
        ends_at=known.ends_at if _is_same_time(there.end_date, known.ends_at) else ends or known.ends_at,
        number=there.id,
    )


def _is_same_time(text: str | None, known: datetime) -> bool:
    found = _parse_time(text)
    return found is not None and abs(found - known) < _ALIKE


def _parse_time(text: str | None) -> datetime | None:
    """Read a time of the portal; one without a zone is taken for UTC, which is near enough here."""
    try:
        found = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return found.replace(tzinfo=found.tzinfo or UTC).astimezone(UTC)


def _name(person: WirePerson | None) -> str:
    return fold(person.bps_id or "") if person else ""


def _read_number(response: Response) -> int | None:
    """Return the number that a creation was answered with: bare, as text, or as the id of an object."""
    try:
        value = msgspec.json.decode(response.body) if response.body else None
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    if isinstance(value, dict):
        value = value.get("id")
    if isinstance(value, str) and value.isdecimal():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _parse(response: Response, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(response.body, type=kind)
    except msgspec.ValidationError as error:
        raise ProtocolError(f"{NAME} sent a malformed substitution: {error}", status=response.status) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise make_not_json(response) from error
