"""The portal's records on the wire, and as values of the model. Raw JSON goes no further than here.

Whole pages are read by typed decoding; only a page with an odd record is looked at record by record, so that one
malformed record is skipped and counted and nothing else is lost.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import msgspec

from syncd.bps.answers import NAME, make_not_json
from syncd.errors import ProtocolError
from syncd.http import Response
from syncd.model.target import Account, Fields, GroupDetail, MalformedRecord, PortalGroup, PortalMember, Status

T = TypeVar("T")

WIRE_NAMES: Mapping[str, str] = {
    "name": "name",
    "email": "email",
    "phone": "phoneNumber",
    "job_title": "jobTitle",
    "manager": "managerBpsId",
}
"""Our field names and the portal's."""

_FIRST = 20
_ODD_BYTES = 4 << 20
"""A page of a thousand records is smaller; a larger one is not read in a way that costs many times its size."""
_MOST_RECORDS = 100_000
"""So many records a page has at most; a thousand are asked for."""
_HALF_A_PAIR = re.compile("[\ud800-\udfff]")


class WireUser(msgspec.Struct, rename="camel"):
    """UserData of the API document."""

    bps_id: str
    name: str | None = None
    email: str | None = None
    phone_number: str | None = None
    job_title: str | None = None
    manager_bps_id: str | None = None
    status: str | int | None = None


class WireGroup(msgspec.Struct, rename="camel"):
    """GroupData of the API document."""

    bps_id: str
    name: str | None = None
    email: str | None = None
    status: str | int | None = None


class WireMember(msgspec.Struct, rename="camel"):
    """DetailedGroupUser of the API document, as far as we use it."""

    bps_id: str
    type: str | None = None


class WireGroupDetail(WireGroup, rename="camel"):
    """DetailedGroupData of the API document."""

    members: list[WireMember] | None = None
    owners: list[WireMember] | None = None


class _UsersPage(msgspec.Struct):
    users: list[WireUser] | None


class _GroupsPage(msgspec.Struct):
    groups: list[WireGroup] | None


class _LoosePage(msgspec.Struct):
    users: list[msgspec.Raw] | None = None
    groups: list[msgspec.Raw] | None = None


@dataclass(slots=True)
class BadRecords:
    """Malformed records of one reading: how many, and of the first of them the BPS id and what was wrong."""

    count: int = 0
    first: list[MalformedRecord] = field(default_factory=list)

    def note(self, record: object, reason: str) -> None:
        """Count one more; only the first twenty are kept. ``record`` is what the portal sent."""
        self.count += 1
        if len(self.first) < _FIRST:
            self.first.append(MalformedRecord(_guess_id(record), reason))


@dataclass(frozen=True, slots=True)
class WirePage(Generic[T]):
    """One page: how many records the portal sent, and those of them that could be read."""

    sent: int
    records: tuple[T, ...]


def parse_users(response: Response, bad: BadRecords) -> WirePage[Account]:
    """Read a page of users; ProtocolError when the answer has no list of users."""
    try:
        page = msgspec.json.decode(response.body, type=_UsersPage).users
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _parse_loosely(response, "users", make=lambda raw: make_account(msgspec.convert(raw, WireUser)), bad=bad)
    return _collect(page or (), make_account, bad=bad)


def parse_groups(response: Response, bad: BadRecords) -> WirePage[PortalGroup]:
    """Read a page of groups; ProtocolError when the answer has no list of groups."""
    try:
        page = msgspec.json.decode(response.body, type=_GroupsPage).groups
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _parse_loosely(response, "groups", make=lambda raw: make_group(msgspec.convert(raw, WireGroup)), bad=bad)
    return _collect(page or (), make_group, bad=bad)


def parse_user(response: Response) -> Account:
    """Read one user; ProtocolError when the answer is none."""
    try:
        return make_account(msgspec.json.decode(response.body, type=WireUser))
    except msgspec.ValidationError as error:
        raise ProtocolError(f"{NAME} sent a malformed user: {error}", status=response.status) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise make_not_json(response) from error


def parse_group(response: Response) -> GroupDetail:
    """Read one group with its people; ProtocolError when the answer is none.

    A malformed member makes the whole answer malformed: a member list with a hole must never be taken for complete.
    """
    try:
        wire = msgspec.json.decode(response.body, type=WireGroupDetail)
        return GroupDetail(make_group(wire), _make_members(wire.members), _make_members(wire.owners))
    except msgspec.ValidationError as error:
        raise ProtocolError(f"{NAME} sent a malformed group: {error}", status=response.status) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise make_not_json(response) from error


def make_account(wire: WireUser) -> Account:
    """Make the model's value; msgspec.ValidationError without a BPS id, or for text that no database keeps."""
    _refuse_unstorable(wire.bps_id, wire.name, wire.email, wire.phone_number, wire.job_title, wire.manager_bps_id)
    return Account(
        bps_id=_require_id(wire.bps_id),
        name=wire.name or None,
        email=wire.email or None,
        phone=wire.phone_number or None,
        job_title=wire.job_title or None,
        manager=wire.manager_bps_id or None,
        status=_make_status(wire.status),
    )


def make_group(wire: WireGroup) -> PortalGroup:
    """Make the model's value; msgspec.ValidationError without a BPS id, or for text that no database keeps."""
    _refuse_unstorable(wire.bps_id, wire.name, wire.email)
    return PortalGroup(
        bps_id=_require_id(wire.bps_id),
        name=wire.name or None,
        email=wire.email or None,
        status=_make_status(wire.status),
    )


def encode_fields(fields: Fields) -> dict[str, str | None]:
    """Return the given fields under the portal's names."""
    return {WIRE_NAMES[name]: value for name, value in fields.items()}


def encode_account(account: Account) -> dict[str, str]:
    """Return NewUserData with those keys that have a value: an absent key cannot be misread."""
    values = {"bpsId": account.bps_id}
    for name, wire_name in WIRE_NAMES.items():
        value = getattr(account, name)
        if value is not None:
            values[wire_name] = value
    return values


def _guess_id(record: object) -> str:
    if isinstance(record, msgspec.Raw):
        with suppress(msgspec.ValidationError):
            record = _decode(record)
    found = record.get("bpsId") if isinstance(record, dict) else getattr(record, "bps_id", None)
    return found if isinstance(found, str) else ""


def _make_members(wire: Sequence[WireMember] | None) -> tuple[PortalMember, ...]:
    _refuse_unstorable(*(member.bps_id for member in wire or ()))
    return tuple(PortalMember(_require_id(member.bps_id), member.type or "User") for member in wire or ())


def _make_status(value: str | int | None) -> Status:
    """Only the portal's own word for it means waiting; the number is its place in the document's list of values."""
    waiting = value == 1 or (isinstance(value, str) and value.casefold() == "waitingforsynchronization")
    return "WaitingForSynchronization" if waiting else "Synchronized"


def _refuse_unstorable(*values: str | None) -> None:
    if any(value and ("\0" in value or (not value.isascii() and _HALF_A_PAIR.search(value))) for value in values):
        raise msgspec.ValidationError("Object has text that cannot be stored (NUL or half a surrogate pair)")


def _require_id(bps_id: str) -> str:
    if not bps_id.strip():
        raise msgspec.ValidationError("Object has an empty field `bpsId`")
    return bps_id


def _parse_loosely(response: Response, key: str, *, make: Callable[[Any], T], bad: BadRecords) -> WirePage[T]:
    """Read a page record by record, so that one that cannot be read costs neither the others nor much memory."""
    records: Sequence[Any] | None
    try:
        records = getattr(msgspec.json.decode(response.body, type=_LoosePage), key)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        records = _load_records(response, key, error)
    if records is None:
        raise ProtocolError(f"{NAME} sent a page without a list of {key}", status=response.status)
    return _collect(records, lambda raw: make(_decode(raw)), bad=bad)


def _load_records(response: Response, key: str, error: Exception) -> Sequence[Any] | None:
    """Return the records of a page in which some text is half a surrogate pair: the standard library reads it."""
    if len(response.body) > _ODD_BYTES:
        raise make_not_json(response) from error
    try:
        page = json.loads(response.body)
    except (ValueError, RecursionError) as failure:
        raise make_not_json(response) from failure
    records = page.get(key) if isinstance(page, dict) else None
    return records if isinstance(records, list) else None


def _decode(raw: Any) -> Any:
    if not isinstance(raw, msgspec.Raw):
        return raw
    try:
        return json.loads(bytes(raw))
    except (ValueError, RecursionError) as error:
        raise msgspec.ValidationError("it is no JSON that can be read") from error


def _collect(raw: Sequence[Any], make: Callable[[Any], T], *, bad: BadRecords) -> WirePage[T]:
    records = []
    for item in raw:
        try:
            records.append(make(item))
        except msgspec.ValidationError as error:
            bad.note(item, str(error))
        if len(records) > _MOST_RECORDS:
            raise ProtocolError(f"{NAME} sent a page with more than {_MOST_RECORDS} records")
    return WirePage(len(raw), tuple(records))
