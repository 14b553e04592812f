"""Bodies of Graph's lists to values, read in columns: a first load is a hundred thousand objects. Pure.

The usual shape is decoded by types; a page that has anything else in it is read entry by entry, as delta pages are, so
that one malformed entry never costs the others.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any, cast

import msgspec

from syncd.errors import ProtocolError
from syncd.graph.options import ENTITIES
from syncd.graph.wire.entries import (
    BadEntries,
    BadEntry,
    read_group,
    read_id,
    read_member,
    read_user,
    refuse_unstorable,
)
from syncd.graph.wire.parse import parse_checked, read_link, read_list, refuse_endless
from syncd.http import Response
from syncd.http.confidential import Confidential
from syncd.model.attributes import COLLECTIONS
from syncd.model.graph_properties import PROPERTIES
from syncd.model.listing import UNLISTED_KINDS, IdPage, Listed, ListPage
from syncd.model.source import KIND, BadObject, Stream, is_person

_TYPE = "#microsoft.graph."
_UNLISTED = frozenset(f"{_TYPE}{kind}" for kind in UNLISTED_KINDS)
_MOST_OBJECTS = 60_000
"""Pages with more objects, those within entries among them, are read entry by entry."""
_SUBTYPES = frozenset({"agentUser"})
"""Subtypes of user that are common enough to be read by types."""
_TYPES: Mapping[str, Any] = {
    KIND: str | None,
    "accountEnabled": bool | None,
    "displayName": str | None,
    "mail": str | None,
    "userPrincipalName": str | None,
    "userType": str | None,
}


class _Reference(msgspec.Struct, gc=False):
    id: str
    type: str = msgspec.field(default="", name="@odata.type")


class _References(msgspec.Struct):
    value: list[_Reference]
    next_link: str | None = msgspec.field(default=None, name="@odata.nextLink")
    error: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class _Head(msgspec.Struct):
    id: str
    name: str | None = msgspec.field(default=None, name="displayName")
    upn: str | None = msgspec.field(default=None, name="userPrincipalName")
    manager: _Reference | None = None
    type: str = msgspec.field(default="", name="@odata.type")
    removed: msgspec.Raw | msgspec.UnsetType = msgspec.field(default=msgspec.UNSET, name="@removed")


class _Heads(msgspec.Struct):
    value: list[_Head]
    next_link: str | None = msgspec.field(default=None, name="@odata.nextLink")
    error: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


_read_references = msgspec.json.Decoder(_References).decode
_read_heads = msgspec.json.Decoder(_Heads).decode


class ListParser:
    """Reads pages of one stream's list; ``selected`` names the properties that are kept."""

    def __init__(self, stream: Stream, selected: Collection[str]) -> None:
        self._stream = stream
        self._selected = frozenset(selected)
        names = sorted({*self._selected, KIND} if stream == "users" else self._selected)
        known = PROPERTIES[ENTITIES[stream]]
        self._own = [f'"{name}"'.encode() for name in names if name not in known and name != KIND]
        # Whatever has no value, or no element, is left out when such an object is encoded, as it is in the directory.
        collections = COLLECTIONS[ENTITIES[stream]]
        fields: list[Any] = [
            (f"p{n}", list[Any], msgspec.field(default_factory=list))
            if name in collections
            else (f"p{n}", _TYPES.get(name, Any), None)
            for n, name in enumerate(names)
        ]
        renamed = {f"p{n}": name for n, name in enumerate(names)}
        self._kind_field = f"p{names.index(KIND)}" if stream == "users" else ""
        attributes = msgspec.defstruct("Attributes", fields, omit_defaults=True, rename=renamed)
        page = msgspec.defstruct("AttributesPage", [("value", list[attributes])])  # type: ignore[valid-type]
        self._read_attributes = msgspec.json.Decoder(page).decode

    def parse(self, response: Response) -> ListPage:
        """Read one page; raises Unavailable and ProtocolError as pages of delta do."""
        return self._parse_typed(response.body) or self._parse_loosely(response)

    def _parse_typed(self, body: bytes) -> ListPage | None:
        if b"\\u0000" in body or self._is_spelled_otherwise(body) or _is_endless(body):
            return None
        try:
            heads, attributes = _read_heads(body), cast(Any, self._read_attributes(body)).value
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return None
        if heads.error is not msgspec.UNSET:
            return None
        ids = [head.id for head in heads.value]
        managers = [head.manager.id for head in heads.value if head.manager is not None]
        if any(head.removed is not msgspec.UNSET for head in heads.value):
            return None
        for head, values in zip(heads.value, attributes, strict=True):
            if head.type and not self._keep_type(head.type, values):
                return None
        if not (_are_plain(ids) and _are_plain(managers)):
            return None
        objects = tuple(
            Listed(
                id=head.id,
                name=head.name,
                upn=head.upn,
                attributes=values,
                manager_id=None if head.manager is None else head.manager.id,
            )
            for head, values in zip(heads.value, attributes, strict=True)
        )
        return ListPage(objects, (), heads.next_link or None)

    def _is_spelled_otherwise(self, body: bytes) -> bool:
        """Whether the page has a property of the tenant's own in another letter case than it was asked for."""
        missing = [name for name in self._own if name not in body]
        folded = body.lower() if missing else b""
        return any(name.lower() in folded for name in missing)

    def _keep_type(self, stated: str, values: Any) -> bool:
        """Leave the bare name of a subtype among the values, as entries of delta have it; False: it needs a look."""
        kind = stated.removeprefix(_TYPE)
        if self._stream == "groups":
            return kind == "group"
        if kind == "user":
            setattr(values, self._kind_field, None)
        elif kind in _SUBTYPES:
            setattr(values, self._kind_field, kind)
        else:
            return False
        return True

    def _parse_loosely(self, response: Response) -> ListPage:
        body, _ = parse_checked(response)
        objects: list[Listed] = []
        bad = BadEntries()
        for entry in read_list(body):
            try:
                refuse_unstorable(entry)
                objects.append(self._read_entry(entry, bad.noted))
            except BadEntry as error:
                bad.add(entry, str(error))
            refuse_endless(len(objects) + len(bad.noted))
        return ListPage(tuple(objects), bad.gather(), read_link(body, "@odata.nextLink"))

    def _read_entry(self, entry: Any, bad: list[BadObject]) -> Listed:
        read = read_user if self._stream == "users" else read_group
        item = read(entry, self._selected, bad)
        if item.removed is not None:
            raise BadEntry("it is marked as removed, in a list of what exists")
        manager = entry.get("manager") if self._stream == "users" else None
        stated = {name: value for name, value in sorted(item.attributes.items()) if value is not None}
        name, upn = stated.get("displayName"), stated.get("userPrincipalName")
        return Listed(
            id=item.id,
            name=name if isinstance(name, str) else None,
            upn=upn if isinstance(upn, str) else None,
            attributes=stated,
            manager_id=None if manager is None else read_id(manager),
        )


def parse_ids(response: Response) -> IdPage:
    """Read one page of a list as bare ids; an entry without one is left out."""
    ids, next_link, _ = parse_references(response.body)
    return IdPage(tuple(ids), next_link)


def parse_references(
    body: bytes, *, only: str = "", owner: str = ""
) -> tuple[Sequence[str], str | None, tuple[BadObject, ...]]:
    """Read one page of related objects: ids in lower case, the next link, and what was unreadable.

    ``only`` keeps one type of object, with its subtypes; otherwise all but those whose memberships are not kept.
    ``owner`` is named with what is unreadable. Raises as `parse_checked` does.
    """
    try:
        page = None if _is_endless(body) else _read_references(body)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        page = None
    if page is not None and page.error is msgspec.UNSET:
        if only:
            ids = [reference.id for reference in page.value if _is_a(only, reference.type.removeprefix(_TYPE))]
        else:
            ids = [reference.id for reference in page.value if reference.type not in _UNLISTED]
        if _are_plain(ids):
            return ids, page.next_link or None, ()
    document, _ = parse_checked(Response(200, {}, body))
    found: list[str] = []
    bad: list[BadObject] = []
    for entry in read_list(document):
        try:
            link = read_member(entry)
        except BadEntry as error:
            bad.append(BadObject(owner, f"a list: {error}"))
            refuse_endless(len(bad))
            continue
        if _is_a(only, link.kind) if only else link.kind not in UNLISTED_KINDS:
            found.append(link.member_id)
            refuse_endless(len(found))
    return found, read_link(document, "@odata.nextLink"), tuple(bad)


def _is_endless(body: bytes) -> bool:
    """Tell whether a page has so many objects that it has to be read entry by entry."""
    return body.count(b"{") > _MOST_OBJECTS


def _is_a(only: str, kind: str) -> bool:
    """Return whether an object of a type counts as one of the wanted type; only of users there are subtypes."""
    return is_person(kind) if only == "user" else kind == only


def _are_plain(ids: Sequence[str]) -> bool:
    """Whether all of them are as ids of ours are: not empty, in lower case, without blanks."""
    together = "".join(ids)
    return together.isprintable() and together == together.lower() and " " not in together and all(ids)


class Part(msgspec.Struct):
    """One answer of a batch. ``body`` is left as it came."""

    id: str | int
    status: int
    headers: dict[str, Any] | None = None
    body: msgspec.Raw = msgspec.Raw(b"null")

    def as_response(self, confidential: Confidential) -> Response:
        """Return it as if it had come alone; header names in any case."""
        headers = {str(name).title(): str(value) for name, value in (self.headers or {}).items()}
        return Response(self.status, headers, bytes(self.body), confidential=confidential)


class _Batch(msgspec.Struct):
    responses: list[Part]


_read_batch = msgspec.json.Decoder(_Batch).decode


def parse_parts(response: Response) -> dict[str, Part]:
    """Read the answers of a batch by their ids. Raises Unavailable and ProtocolError."""
    try:
        return {str(part.id): part for part in _read_batch(response.body).responses}
    except msgspec.ValidationError as error:
        parse_checked(response)
        raise ProtocolError(f"Microsoft Graph answered a batch in an unknown shape: {error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError):
        body, _ = parse_checked(response)  # text that is no proper Unicode costs one answer, not the batch
        return {str(part.id): part for part in _read_batch(json.dumps(body).encode()).responses}


def encode_batch(urls: Sequence[str]) -> bytes:
    """Return the body of a batch of GET requests; each one's id is its place."""
    requests = [{"id": str(number), "method": "GET", "url": url} for number, url in enumerate(urls)]
    return msgspec.json.encode({"requests": requests})
