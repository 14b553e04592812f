"""When something recurs: a five-field cron line, or an interval. Checked here; carried out by the daemon's scheduler.

The meaning is that of crontab(5), so that nobody is surprised: 0 and 7 are Sunday. Weekdays are kept by name because
schedulers number them differently. One deviation: day of month together with day of week is refused, because crontab
reads it as "or" and schedulers as "and".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta

from syncd.config.problem import Refused
from syncd.config.values import expect_text, format_duration, parse_positive_duration, suggest_duration

WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")

_LONGEST_MONTH = {month: 29 if month == 2 else 30 if month in {4, 6, 9, 11} else 31 for month in range(1, 13)}
_PART = re.compile(r"(?:(?P<all>\*)|(?P<first>\w+)(?:-(?P<last>\w+))?)(?:/(?P<step>\d{1,3}))?", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cron:
    """The five fields, each ``*`` or a sorted list: numbers, and for ``weekday`` names from ``mon`` to ``sun``."""

    minute: str
    hour: str
    day: str
    month: str
    weekday: str
    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Interval:
    """Again and again, that long after the last time; at least one second."""

    every: timedelta

    def __str__(self) -> str:
        return format_duration(self.every)


Cadence = Cron | Interval


def parse_cadence(value: object) -> Cadence:
    """Return a cron line when there are five fields, an interval otherwise."""
    text = expect_text(value)
    fields = text.split()
    meant = suggest_duration(text).removeprefix("".join(fields))
    if len(fields) == 5 and not meant:
        return _parse_cron(fields, text=" ".join(fields))
    if not meant and (len(fields) > 1 or text.startswith("@") or "*" in text):
        raise Refused("is no cron line of five fields", 'write it like "0 2 * * *", or an interval such as "24h"')
    try:
        return Interval(parse_positive_duration(text))
    except Refused as refusal:
        remedy = f"did you mean {meant}?" if meant else 'write it like "24h" or "0 2 * * *"'
        raise Refused("is neither an interval nor a cron line", remedy) from refusal


def _parse_cron(fields: list[str], *, text: str) -> Cron:
    minute = _expand(fields[0], "minute", low=0, high=59)
    hour = _expand(fields[1], "hour", low=0, high=23)
    day = _expand(fields[2], "day of month", low=1, high=31)
    month = _expand(fields[3], "month", low=1, high=12, names={name: i + 1 for i, name in enumerate(MONTHS)})
    weekday = _expand(fields[4], "day of week", low=0, high=7, names={name: i for i, name in enumerate(WEEKDAYS)})
    if day is not None and weekday is not None:
        raise Refused(
            "restricts day of month and day of week together", "restrict one of them and write * for the other"
        )
    if day is not None and min(day) > max(_LONGEST_MONTH[m] for m in month or _LONGEST_MONTH):
        raise Refused("names a day that never comes", "correct the day or the month")
    days = sorted({(number - 1) % 7 for number in weekday or ()})
    return Cron(
        minute=_join(minute),
        hour=_join(hour),
        day=_join(day),
        month=_join(month),
        weekday=",".join(WEEKDAYS[(number + 1) % 7] for number in days) or "*",
        text=text,
    )


def _join(numbers: tuple[int, ...] | None) -> str:
    return "*" if numbers is None else ",".join(str(number) for number in numbers)


def _expand(
    field: str, title: str, *, low: int, high: int, names: dict[str, int] | None = None
) -> tuple[int, ...] | None:
    """Return the numbers that a field stands for, None for every one of them."""
    if field == "*":
        return None
    numbers: set[int] = set()
    for part in field.split(","):
        found = _PART.fullmatch(part)
        if found is None:
            raise Refused(f"has a {title} field that cannot be read", "use *, 5, 1-5, */10, 0-30/10 or a list of these")
        step = int(found["step"] or 1)
        if found["all"]:
            first, last = low, (6 if high == 7 else high)
        else:
            first = _number(found["first"], title, low=low, high=high, names=names or {})
            last = first
            if found["last"]:
                last = _number(found["last"], title, low=low, high=high, names=names or {})
                last = 7 if high == 7 and last == 0 < first else last
            elif found["step"]:
                raise Refused(f"has a {title} field with a step but no range", "write */10 or 0-30/10")
        if last < first or step < 1 or (found["step"] and step > last - first):
            raise Refused(f"has an empty range in its {title} field", "write the smaller number first, the step within")
        numbers.update(range(first, last + 1, step))
    return tuple(sorted(numbers))


def _number(word: str, title: str, *, low: int, high: int, names: dict[str, int]) -> int:
    number = names.get(word.casefold(), int(word) if word.isdigit() and len(word) < 4 else -1)
    if not low <= number <= high:
        raise Refused(f"has a value outside {low} to {high} in its {title} field", "correct that field")
    return number
