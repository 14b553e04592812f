"""What the text of a field is, made of whatever a rule gives. Pure, and the only place that knows it."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import Any


class NoText(ValueError):
    """A value that is no text, number or flag; the message says what it is, and the way out."""


def as_text(value: Any) -> str | None:
    """Return a value as the text of a field; nothing, and what is blank, is None.

    Of a list the first element is taken. Raises NoText for anything else than a text, a number or a flag.
    """
    if isinstance(value, list):
        value = value[0] if value else None
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value)):
        return str(value).strip() or None
    raise NoText(_describe(value))


def _describe(value: Any) -> str:
    match value:
        case float():
            return "a number without an end; check what is divided"
        case bytes():
            return "bytes, which are no text: write string(…)"
        case datetime():
            return "a time, which is no text: write string(…)"
        case timedelta():
            return "a duration, which is no text: write string(…)"
        case list():
            return "a list of lists; take a value out of it"
        case dict():
            return "a map, which is no text: take a value out of it"
        case _:
            return f"{type(value).__name__}, which is no text"
