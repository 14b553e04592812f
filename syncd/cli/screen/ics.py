"""A calendar of dates by RFC 5545: escaped texts, folded lines, and ids by which a later file replaces this one.

Three rules make such a file, so that no library is carried for them; a test reads what is written here with one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from syncd.plan.report.due import Due

_LONGEST = 75
"""Octets of a line, its end left out (RFC 5545, 3.1)."""


def encode_calendar(entries: Iterable[Due], *, now: datetime) -> Iterator[bytes]:
    """Yield the lines of a calendar with one event for each date."""
    for text in ("BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//syncd//due//EN", "CALSCALE:GREGORIAN", "METHOD:PUBLISH"):
        yield from _fold(text)
    for entry in entries:
        told = f"{entry.what}: {entry.bps_id}" if entry.bps_id else f"{entry.what}: {entry.key}"
        for text in (
            "BEGIN:VEVENT",
            f"UID:{_make_id(entry)}",
            f"DTSTAMP:{_format(now)}",
            f"DTSTART:{_format(entry.at)}",
            "DURATION:PT0S",
            f"SUMMARY:{_escape(told)}",
            f"DESCRIPTION:{_escape(entry.detail)}",
            f"CATEGORIES:{_escape(entry.what)}",
            "TRANSP:TRANSPARENT",
            "END:VEVENT",
        ):
            yield from _fold(text)
    yield from _fold("END:VCALENDAR")


def _make_id(entry: Due) -> str:
    """Return what stays the same when the date moves: a calendar that is read again moves the event."""
    mark = hashlib.sha256(f"{entry.what} {entry.key or entry.bps_id}".encode()).hexdigest()[:32]
    return f"{mark}@syncd"


def _format(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y%m%dT%H%M%SZ}"


def _escape(text: str) -> str:
    """Return a value of the type TEXT (RFC 5545, 3.3.11)."""
    for mark in ("\\", ";", ","):
        text = text.replace(mark, f"\\{mark}")
    lines = "\\n".join(text.splitlines())
    return "".join(character for character in lines if character >= " " and character != "\x7f")


def _fold(text: str) -> Iterator[bytes]:
    """Yield a content line in pieces of at most 75 octets, none of which breaks a character."""
    piece = b""
    for character in text:
        encoded = character.encode("utf-8", "replace")
        if len(piece) + len(encoded) > _LONGEST:
            yield piece + b"\r\n"
            piece = b" "
        piece += encoded
    yield piece + b"\r\n"
