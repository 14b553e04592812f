"""Bodies of Graph's answers to values. Pure: no request, no clock, no log.

One malformed entry never costs the rest of its page: it becomes a BadObject with the reason. Only a body that is no
page at all is an error: Unavailable for something that is not complete JSON (a proxy's HTML, a body cut short),
ProtocolError for JSON of another shape.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, NoReturn

import msgspec

from syncd.errors import ProtocolError, Unavailable
from syncd.graph.wire.entries import (
    BadEntries,
    BadEntry,
    describe,
    read_group,
    read_id,
    read_member,
    read_user,
    refuse_unstorable,
)
from syncd.graph.wire.refusals import read_error
from syncd.http import Response, excerpt, say
from syncd.logs.quotes import quote
from syncd.model.source import BadObject, GroupItem, Item, Link, ManagerSet, Page, Stream, UserItem

_decode = msgspec.json.Decoder().decode
_decode_parts = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_entries = msgspec.json.Decoder(list[msgspec.Raw]).decode

_LARGE_BYTES = 1 << 20
"""Pages beyond that are read entry by entry, so that what cannot be understood is never held as a whole."""
_ODD_BYTES = 4 << 20
"""Larger pages are not read in a way that costs many times their size, and are not copied."""
_PART_BYTES = 64 << 10
"""What is beside the entries of a large page and longer than that is not read: links and counts are short."""
MOST_ENTRIES = 20_000
"""So many entries a page has at most of which something is kept; Graph sends a thousand."""
_MANY_VALUES = 500_000
"""Beyond that even the places of the entries are not held all at once."""
_MOST_OF_ENTRY = 200_000
"""An entry with more values than that is malformed. A group's entry on a page of delta has some hundred links."""
_KINDS: Mapping[bytes, Any] = {b"{": {}, b'"': "", b"n": None, b"t": True, b"f": False}
"""A value of the kind that begins so; anything else is a number."""
_MARKS = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[][{},]', re.DOTALL)
"""What tells the entries of a list apart: brackets and commas; and texts, in which these mean nothing."""


def parse_object(response: Response) -> dict[str, Any]:
    """Read a body as one JSON object that is no error envelope.

    Raises Unavailable for anything but complete JSON, ProtocolError for JSON that is no object or carries ``error``
    (Graph is reported to send both with status 200).
    """
    return parse_checked(response)[0]


def parse_page(response: Response, stream: Stream, *, selected: Collection[str]) -> Page:
    """Read one page of a delta stream; ``selected`` names the properties that are kept.

    Raises as parse_object does, and ProtocolError when ``value`` is no list or when not exactly one link is there
    (delta query overview: a page carries a next link or a delta link, never both).
    """
    body, suspicious = parse_checked(response)
    entries = read_list(body)
    next_link = read_link(body, "@odata.nextLink")
    delta_link = read_link(body, "@odata.deltaLink")
    if (next_link is None) == (delta_link is None):
        which = "neither a next link nor a delta link" if next_link is None else "both a next link and a delta link"
        raise ProtocolError(f"Microsoft Graph sent a page of {stream} with {which}", status=response.status)
    read: Callable[[Any, frozenset[str], list[BadObject]], Item] = read_user if stream == "users" else read_group
    wanted = frozenset(selected)
    items: list[Item] = []
    bad = BadEntries()
    for entry in entries:
        try:
            if suspicious:
                refuse_unstorable(entry)
            items.append(read(entry, wanted, bad.noted))
        except BadEntry as error:
            bad.add(entry, str(error))
        refuse_endless(len(items) + len(bad.noted))
    return Page(items=tuple(items), bad=bad.gather(), next_link=next_link, delta_link=delta_link)


def parse_user(response: Response, *, selected: Collection[str]) -> UserItem:
    """Read one user with expanded manager; everything selected is stated, also what the answer leaves out (None).

    Raises ProtocolError when the object cannot be read: a direct read must not be half true.
    """
    entry = parse_object(response)
    try:
        refuse_unstorable(entry)
        item = read_user(entry, frozenset(selected), [])
        manager = entry.get("manager")
        manager_id = None if manager is None else read_id(manager)
    except BadEntry as error:
        raise ProtocolError(f"Microsoft Graph sent an unreadable user: {error}", status=response.status) from error
    return UserItem(
        id=item.id, attributes=dict.fromkeys(selected) | dict(item.attributes), manager=ManagerSet(manager_id)
    )


def parse_group(response: Response, *, selected: Collection[str]) -> GroupItem:
    """Read one group without members; what is selected and missing is None. Raises as parse_user does."""
    entry = parse_object(response)
    try:
        refuse_unstorable(entry)
        item = read_group(entry, frozenset(selected), [])
    except BadEntry as error:
        raise ProtocolError(f"Microsoft Graph sent an unreadable group: {error}", status=response.status) from error
    return GroupItem(id=item.id, attributes=dict.fromkeys(selected) | dict(item.attributes))


def parse_members(response: Response) -> tuple[tuple[Link, ...], str | None]:
    """Read one page of a member list and its next link.

    An entry that cannot be read is a link to nobody (an empty id): it may stand for anybody whom the list lacks.
    """
    body = parse_object(response)
    links: list[Link] = []
    for entry in read_list(body):
        links.append(_read_member_or_nobody(entry))
        refuse_endless(len(links))
    return tuple(links), read_link(body, "@odata.nextLink")


def _read_member_or_nobody(entry: Any) -> Link:
    try:
        return read_member(entry)
    except BadEntry:
        return Link("", "unknown")


def parse_group_list(response: Response) -> tuple[tuple[GroupItem, ...], str | None]:
    """Read one page of a list of groups with name and visibility, and its next link; what is unreadable is left out."""
    body = parse_object(response)
    groups: list[GroupItem] = []
    for entry in read_list(body):
        with contextlib.suppress(BadEntry):
            groups.append(read_group(entry, frozenset(("displayName", "visibility")), []))
        refuse_endless(len(groups))
    return tuple(groups), read_link(body, "@odata.nextLink")


def parse_count(response: Response) -> int:
    """Read a ``$count`` answer: plain text, perhaps with a byte order mark. Raises Unavailable for anything else."""
    text = response.body.decode("utf-8-sig", "replace").strip()
    if not (text.isascii() and text.isdigit() and len(text) < 12):
        raise Unavailable(
            f"Microsoft Graph answered a count with something else: {quote(excerpt(response, 80))}",
            status=response.status,
        )
    return int(text)


def parse_checked(response: Response) -> tuple[dict[str, Any], bool]:
    """Return the object, and whether its entries must be searched for text that cannot be stored."""
    body, suspicious = _parse_json(response)
    if not isinstance(body, dict):
        raise ProtocolError(
            f"Microsoft Graph answered with {describe(body)} where an object belongs", status=response.status
        )
    if body.get("error") is not None:
        told = read_error(response)
        raise ProtocolError(
            f"Microsoft Graph answered {response.status} with an error inside{say(told)}",
            status=response.status,
            code=told.code,
        )
    return body, suspicious


def _parse_json(response: Response) -> tuple[Any, bool]:
    try:
        if len(response.body) > _LARGE_BYTES:
            parts = _decode_parts(response.body)
            return {name: part if _is_put_off(name, part) else _decode(part) for name, part in parts.items()}, True
        return _decode(response.body), b"\\u0000" in response.body
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        if len(response.body) > _ODD_BYTES:
            raise _make_incomplete(response) from None
    try:  # the standard library also reads lone surrogates, which then cost one entry instead of the page
        return json.loads(response.body, parse_constant=_refuse_constant), True
    except (ValueError, RecursionError) as error:
        raise _make_incomplete(response) from error


def _is_put_off(name: str, part: msgspec.Raw) -> bool:
    return name == "value" or memoryview(part).nbytes > _PART_BYTES


def _make_incomplete(response: Response) -> Unavailable:
    return Unavailable(
        f"Microsoft Graph answered {response.status} with something that is not complete JSON "
        f"({len(response.body)} bytes, beginning {quote(excerpt(response, 60))})",
        status=response.status,
    )


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def read_list(body: Mapping[str, Any]) -> Iterable[Any]:
    """Return the entries of a page; those of a large one are decoded as they are asked for."""
    entries = body.get("value")
    if isinstance(entries, msgspec.Raw):
        try:
            return map(_decode_entry, _split(memoryview(entries)))
        except msgspec.ValidationError:
            entries = _KINDS.get(bytes(memoryview(entries)[:1]), 0)
    if not isinstance(entries, list):
        raise ProtocolError(f"Microsoft Graph sent a page whose value is {describe(entries)} instead of a list")
    return entries


def _split(entries: memoryview) -> Iterable[msgspec.Raw | bytes]:
    """Return the entries of a list; ValidationError for anything else. What is given is complete JSON."""
    is_list = bytes(entries[:1]) == b"["
    if is_list and (entries.nbytes > _ODD_BYTES or bytes(entries).count(b",") >= _MANY_VALUES):
        return _walk(entries)
    return _decode_entries(entries)


def _walk(entries: memoryview) -> Iterator[bytes]:
    depth, start = 0, 1
    for mark in _MARKS.finditer(entries):
        at = mark.start()
        match bytes(entries[at : at + 1]):
            case b"[" | b"{":
                depth += 1
            case b"]" | b"}":
                depth -= 1
                if not depth and (start > 1 or bytes(entries[start:at]).strip()):
                    yield bytes(entries[start:at])
            case b"," if depth == 1:
                yield bytes(entries[start:at])
                start = mark.end()


def _decode_entry(entry: msgspec.Raw | bytes) -> Any:
    """Return one entry; null for what nobody can decode, or is far too large, which is malformed as an entry."""
    if len(text := bytes(entry)) > _MOST_OF_ENTRY and text.count(b",") > _MOST_OF_ENTRY:
        return None
    try:
        return _decode(entry)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return None


def refuse_endless(number: int) -> None:
    """Raise ProtocolError for a page with more entries than Graph ever sends."""
    if number > MOST_ENTRIES:
        raise ProtocolError(f"Microsoft Graph sent a page with more than {MOST_ENTRIES} entries")


def read_link(body: Mapping[str, Any], name: str) -> str | None:
    link = body.get(name)
    if link is None or link == "":
        return None
    if not isinstance(link, str):
        raise ProtocolError(f"Microsoft Graph sent {describe(link)} as {name}")
    return link
