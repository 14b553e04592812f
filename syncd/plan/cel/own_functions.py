"""Functions that syncd does itself, because the CEL library does them otherwise than the specification, or not. Pure.

``size`` counts characters (the library counts bytes). ``first``, ``last`` and everything about optionals give the value
or null: the library's optional equals nothing, so that a comparison with one would be false for everybody. Parts of
dates take a time zone. Conversions that the library lacks are used only where its own have failed. The library calls
these functions under names of their own, since its natives cannot be replaced.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from syncd.plan.cel.library import cel

_READERS: dict[str, Callable[[datetime], int]] = {
    "getDate": lambda when: when.day,
    "getDayOfMonth": lambda when: when.day - 1,
    "getDayOfWeek": lambda when: when.isoweekday() % 7,
    "getDayOfYear": lambda when: when.timetuple().tm_yday - 1,
    "getFullYear": lambda when: when.year,
    "getHours": lambda when: when.hour,
    "getMilliseconds": lambda when: when.microsecond // 1000,
    "getMinutes": lambda when: when.minute,
    "getMonth": lambda when: when.month - 1,
    "getSeconds": lambda when: when.second,
}

OWN = {
    "size": "_size",
    "first": "_first",
    "last": "_last",
    "optional.of": "_of",
    "optional.none": "_none",
    "optional.ofNonZeroValue": "_ofNonZeroValue",
    "hasValue": "_hasValue",
    "value": "_value",
    "or": "_or",
    "orValue": "_orValue",
}
"""Functions that syncd does itself, with the names under which the library calls them."""

ZONED = {name: f"_{name}" for name in _READERS}
"""What stands in for the library's function when a time zone is given."""

WIDENED = {"int": "_int", "string": "_string", "timestamp": "_timestamp"}
"""Conversions of the specification that the library lacks: used only where its own have failed."""


@functools.lru_cache(maxsize=64)
def find_zone(name: str) -> tzinfo:
    """Return a time zone by its IANA name or its distance (``+02:00``); raises ValueError."""
    distance = name.lstrip("+-")
    if len(name) - len(distance) <= 1 and distance.replace(":", "", 1).isdecimal():
        hours, _, minutes = distance.partition(":")
        if len(minutes) == 2 and len(hours) <= 2 and int(minutes) < 60 and int(hours) < 24:
            away = timedelta(hours=int(hours), minutes=int(minutes))
            return timezone(-away if name.startswith("-") else away)
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError(f"'{name}'") from error


def _size(value: Any) -> int:
    if isinstance(value, str | bytes | list | dict):
        return len(value)
    raise TypeError("size() is of a text, a list, a map or bytes")


def _first(values: Any) -> Any:
    return values[0] if values else None


def _last(values: Any) -> Any:
    return values[-1] if values else None


def _value(value: Any) -> Any:
    if value is None:
        raise ValueError("value() of nothing")
    return value


def _get(read: Callable[[datetime], int], when: Any, zone: Any) -> int:
    if isinstance(when, datetime) and isinstance(zone, str):
        return read(when.astimezone(find_zone(zone)))
    raise TypeError("a time zone goes with a timestamp")


@functools.cache
def _compile_native(name: str) -> Any:
    return cel.compile(f"{name}(x)")


def _convert(name: str, value: Any) -> Any:
    return _compile_native(name).execute({"x": value})


def _string(value: Any) -> Any:
    return ("true" if value else "false") if isinstance(value, bool) else _convert("string", value)


def _int(value: Any) -> Any:
    return int(value.timestamp() // 1) if isinstance(value, datetime) else _convert("int", value)


def _timestamp(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool):
        return datetime.fromtimestamp(value, UTC)
    return _convert("timestamp", value)


IMPLEMENTATIONS: dict[str, Callable[..., Any]] = {
    "_size": _size,
    "_first": _first,
    "_last": _last,
    "_of": lambda value: value,
    "_none": lambda: None,
    "_ofNonZeroValue": lambda value: value or None,
    "_hasValue": lambda value: value is not None,
    "_value": _value,
    "_or": lambda value, other: other if value is None else value,
    "_orValue": lambda value, other: other if value is None else value,
    "_string": _string,
    "_int": _int,
    "_timestamp": _timestamp,
    **{ZONED[name]: functools.partial(_get, read) for name, read in _READERS.items()},
}
"""What the library calls under the names of ``OWN``, ``ZONED`` and ``WIDENED``."""
