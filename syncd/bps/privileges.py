"""Privileges: the places of a portal, who has something there, and giving or taking one privilege of one group.

How a change ends, by the API document and what it leaves open:

=====================  ===========================  ==================================================================
the portal answers     and a reading then shows     the answer
=====================  ===========================  ==================================================================
200                    (not read)                   done
409                    the group, or not            conflict: it was there (or gone) already, or the portal refuses it
unclear                that it is gone              done, for something taken
unclear                anything else                sent again, a bounded number of times; then unclear
409 after unclear      the group, or not            conflict, and ``unsure``: the attempt before may have done it
404                    no such place, or nothing    NotFound: there is no such place, by what it says
404                    that it is gone              done, for something taken
404                    anything else                Rejected: the place is there
404, 403, 429 … after  (not read)                   unclear: the attempt before may have done it
unclear
=====================  ===========================  ==================================================================

A reading tells who has something at a place, and neither the level nor the company. So it never shows that something
was given: another rule's, or a hand, may have put the group there meanwhile. It shows that something was taken only
where the group has nothing there any more. What it named after an unclear attempt is told with the answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from syncd.bps.answers import NAME
from syncd.bps.client import BpsClient, parse_json
from syncd.clock import Clock
from syncd.errors import (
    UNCLEAR,
    AuthFailed,
    Conflict,
    Forbidden,
    Intercepted,
    NotFound,
    ProtocolError,
    Rejected,
    RemoteError,
)
from syncd.model.privilege import Holders, Listed, ListKind, Place, Privilege, PrivilegeAnswer
from syncd.model.target import NO_SCOPE, fold

_ATTEMPTS = 3
_BACKOFF = 0.5
"""Seconds before the second attempt of a change; doubled for each further one."""

_LISTS: Mapping[ListKind, str] = {
    "application": "applications",
    "process": "processes",
    "workflow": "workflows",
    "form_type": "associatedFormTypes",
    "company": "businessEntities",
}
"""The property of an answer that holds the entries of a list."""

_ABOVE: Mapping[ListKind, str] = {"process": "applications", "workflow": "processes", "form_type": "workflows"}


class Privileges:
    """Reads places and their privileges, and changes these."""

    def __init__(self, client: BpsClient, clock: Clock) -> None:
        self._client = client
        self._clock = clock

    async def list_places(self, database: int, kind: ListKind, within: str = "") -> tuple[Listed, ...]:
        """Read one list of a content database; ``within``: the place above (of applications and companies none)."""
        if kind == "company":
            found = await self._client.read(f"/admin/db/{database}/businessentities", noun="companies")
        else:
            above = "" if kind == "application" else f"{_ABOVE[kind]}/{quote(within, safe='')}/"
            found = await self._client.read(f"/db/{database}/{above}{_LISTS[kind]}", noun="privileges")
        return _parse_list(parse_json(found), _LISTS[kind])

    async def find_place(self, database: int, kind: ListKind, reference: str) -> Listed | None:
        """Read an application or a process by its id or guid; None when the portal has none (404)."""
        name = _LISTS[kind]
        try:
            found = parse_json(
                await self._client.read(f"/db/{database}/{name}/{quote(reference, safe='')}", noun="privileges")
            )
        except NotFound:
            return None
        entry = _parse_entry(found)
        if entry is None:
            raise ProtocolError(f"{NAME} sent a malformed {kind}")
        return entry

    async def fetch_holders(self, place: Place) -> Holders | None:
        """Read who has any privilege at a place; None when there is no such place (404)."""
        try:
            found = parse_json(await self._client.read(_path(place), noun="privileges"))
        except NotFound:
            return None
        entries = _expect_list(found, "privileges")
        ids = [entry.get("bpsId") if isinstance(entry, dict) else None for entry in entries]
        named = [bps_id.strip() for bps_id in ids if isinstance(bps_id, str) and bps_id.strip()]
        return Holders(tuple(dict.fromkeys(named)), complete=len(named) == len(entries))

    async def change(self, bps_id: str, privilege: Privilege, *, remove: bool, listed: bool) -> PrivilegeAnswer:
        """Give or take one privilege; NotFound when the place is gone.

        ``listed``: a reading has named the group there for this one, so that one without it shows that it is gone.
        """
        place, body = privilege.place, dict[str, object](bpsId=bps_id, level=privilege.level)
        if privilege.company:
            company: dict[str, object] = {"guid": privilege.company}
            body["company"] = {"id": int(privilege.company)} if privilege.company.isdecimal() else company
        path, unsure, named = f"{_path(place)}/{'remove' if remove else 'add'}", False, None
        for attempt in range(_ATTEMPTS):
            try:
                await self._client.send("POST", path, noun="privileges", body=body, repeatable="refused")
            except Conflict as error:
                there = await self._look(place, bps_id)
                return PrivilegeAnswer("conflict", there, unsure or error.repeated, reason=str(error))
            except AuthFailed:
                raise
            except UNCLEAR as error:
                if not error.sent and not unsure:
                    raise
                unsure, there = True, await self._look(place, bps_id)
                if remove and listed and there is False:
                    return PrivilegeAnswer("done", there, unsure)
                named = named or there
                refused = isinstance(error, Intercepted) and (error.status or 0) >= 400
                if refused or attempt == _ATTEMPTS - 1:
                    return PrivilegeAnswer("unclear", there, unsure, reason=str(error))
            except RemoteError as error:
                if unsure or error.repeated:
                    refused = isinstance(error, Forbidden) and error.code == NO_SCOPE
                    return PrivilegeAnswer("unclear", named, unsure=True, reason=str(error), refused=refused)
                if not isinstance(error, NotFound):
                    raise
                there = await self._find(place, bps_id, error)
                if remove and listed and there is False:
                    return PrivilegeAnswer("done", there)
                raise Rejected(f"{error}, and shows the place all the same", status=404, code=error.code) from error
            else:
                return PrivilegeAnswer("done", named, unsure)
            await self._clock.sleep(_BACKOFF * 2**attempt)
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def _look(self, place: Place, bps_id: str) -> bool | None:
        """Return whether a reading names somebody; None when it cannot be had, or may lack somebody."""
        try:
            holders = await self.fetch_holders(place)
        except RemoteError:
            return None
        return None if holders is None else _names(holders, bps_id)

    async def _find(self, place: Place, bps_id: str, missing: NotFound) -> bool | None:
        """Return the same of a place that is there, which a write said is not; else raise what it said."""
        try:
            holders = await self.fetch_holders(place)
        except RemoteError:
            raise missing from None
        if holders is None:
            raise missing
        return _names(holders, bps_id)


def _names(holders: Holders, bps_id: str) -> bool | None:
    there = fold(bps_id) in {fold(each) for each in holders.bps_ids}
    return there if there or holders.complete else None


def _path(place: Place) -> str:
    route = f"/db/{place.database}/"
    if place.kind == "form_type":
        route += f"workflows/{quote(place.workflow, safe='')}/associatedFormTypes/{quote(place.key, safe='')}"
    else:
        route += f"{_LISTS[place.kind]}/{quote(place.key, safe='')}"
    return f"{route}/admin/privileges"


def _parse_list(answer: Any, name: str) -> tuple[Listed, ...]:
    """Read a list; an entry that names neither id nor guid is nothing that anybody could mean."""
    parsed = (_parse_entry(entry) for entry in _expect_list(answer, name))
    return tuple(entry for entry in parsed if entry is not None)


def _parse_entry(entry: Any) -> Listed | None:
    if not isinstance(entry, dict):
        return None
    number, guid, name, code = (entry.get(key) for key in ("id", "guid", "name", "code"))
    number = number if isinstance(number, int) and not isinstance(number, bool) and number > 0 else None
    guid, name, code = (value.strip() if isinstance(value, str) else "" for value in (guid, name, code))
    return Listed(number=number, guid=guid.casefold(), name=name, code=code) if number is not None or guid else None


def _expect_list(answer: Any, name: str) -> Sequence[Any]:
    if not isinstance(answer, dict) or name not in answer:
        raise ProtocolError(f"{NAME} sent no list of {name}")
    found = answer[name]
    if found is not None and not isinstance(found, list):
        raise ProtocolError(f"{NAME} sent no list of {name}")
    return found or []
