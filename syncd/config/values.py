"""The small values that settings are written in: durations, times of day, limits, addresses to listen on.

Each ``parse_`` function takes what the file or the environment says and raises ``Refused`` with the way out.
"""

from __future__ import annotations

import re
import zoneinfo
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from itertools import pairwise
from typing import Literal
from zoneinfo import ZoneInfo

from syncd.config.problem import Refused, suggest

LONGEST = timedelta(days=3650)

_UNIT_WORDS = {
    "d": ("d", "day", "days"),
    "h": ("h", "hr", "hrs", "hour", "hours"),
    "m": ("m", "min", "mins", "minute", "minutes"),
    "s": ("s", "sec", "secs", "second", "seconds"),
}
"""Words for the units of a duration, the longest unit first."""

_DURATION = re.compile(r"(?:(\d{1,9})d)?\s*(?:(\d{1,9})h)?\s*(?:(\d{1,9})m)?\s*(?:(\d{1,9})s)?", re.ASCII)
_QUIET = re.compile(r"([01]\d|2[0-3]):([0-5]\d)\s*-\s*([01]\d|2[0-4]):([0-5]\d)", re.ASCII)


@dataclass(frozen=True, slots=True)
class QuietHours:
    """A daily span of local time, end excluded; it crosses midnight when the end comes before the start."""

    start: time
    end: time

    def covers(self, local: time) -> bool:
        """Say whether that local time of day lies in the span."""
        moment = local.replace(tzinfo=None)
        if self.start < self.end:
            return self.start <= moment < self.end
        return moment >= self.start or moment < self.end

    def __str__(self) -> str:
        return f"{self.start:%H:%M}-{self.end:%H:%M}"


@dataclass(frozen=True, slots=True)
class Listen:
    """Where to listen; port 0 lets the system choose one."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def expect_text(value: object) -> str:
    """Return the text, stripped; anything else is refused."""
    if not isinstance(value, str):
        raise Refused("must be text", "write it in quotes")
    return value.strip()


def parse_duration(value: object) -> timedelta:
    """Return a sum of days, hours, minutes and seconds such as ``1d12h``; at most ten years."""
    text = expect_text(value)
    found = _DURATION.fullmatch(text)
    if not text or found is None:
        meant = suggest_duration(text)
        raise Refused("is no duration", f"did you mean {meant}?" if meant else "write it like 30s, 5m, 24h or 1d12h")
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    total = ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    if total > LONGEST.total_seconds():
        raise Refused("is longer than ten years", f"stay within {LONGEST.days}d")
    return timedelta(seconds=total)


def suggest_duration(text: str) -> str:
    """Return what somebody meant who wrote a duration in words ("1 hour 30 minutes"), "" for anything else."""
    words = re.findall(r"(\d{1,9})\s*([a-z]+)", text.casefold(), re.ASCII)
    spelled = re.fullmatch(r"(\d{1,9}\s*[a-z]+[\s,.]*(and\s+)?)+", text.strip().casefold(), re.ASCII)
    units = {name: unit for unit, names in _UNIT_WORDS.items() for name in names}
    counts = {units[word]: number for number, word in words if word in units}
    if not spelled or len(counts) != len(words):
        return ""
    return "".join(f"{int(counts[unit])}{unit}" for unit in _UNIT_WORDS if unit in counts)


def parse_positive_duration(value: object) -> timedelta:
    """Return a duration of at least one second."""
    duration = parse_duration(value)
    if not duration:
        raise Refused("is no time at all", "use at least 1s")
    return duration


def parse_retention(value: object) -> timedelta:
    """Return a duration of at least a week: so long held changes may be approved, and the guard looks back."""
    duration = parse_duration(value)
    if duration < timedelta(days=7):
        raise Refused("is shorter than 7d", "what is held can be approved for seven days: use at least 7d")
    return duration


def format_duration(duration: timedelta) -> str:
    """Return the shortest sum of units that ``parse_duration`` reads back; whole seconds."""
    minutes, seconds = divmod(int(duration.total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [f"{count}{unit}" for count, unit in ((days, "d"), (hours, "h"), (minutes, "m"), (seconds, "s")) if count]
    return "".join(parts) or "0s"


def parse_quiet_hours(value: object) -> QuietHours | None:
    """Return the span of ``HH:MM-HH:MM``, None for an empty text; ``24:00`` as an end is midnight."""
    text = expect_text(value)
    if not text:
        return None
    found = _QUIET.fullmatch(text)
    if found is None:
        raise Refused("is no span of time", "write it like 07:00-18:00")
    from_hour, from_minute, to_hour, to_minute = (int(part) for part in found.groups())
    if to_hour == 24 and to_minute:
        raise Refused("ends after midnight", "write the end as 00:00 to 24:00")
    span = QuietHours(time(from_hour, from_minute), time(to_hour % 24, to_minute))
    if span.start == span.end:
        raise Refused("begins where it ends", "leave it empty for no quiet hours, or name two different times")
    return span


def parse_timezone(value: object) -> ZoneInfo:
    """Return the IANA time zone of that name."""
    name = expect_text(value)
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        zones = {zone.casefold(): zone for zone in zoneinfo.available_timezones()}
        meant = zones.get(suggest(name, zones))
    raise Refused("is no known time zone", f"did you mean {meant}?" if meant else "use an IANA name such as UTC")


def parse_concurrency(value: object) -> int | Literal["auto"]:
    """Return how many requests may be under way: 1 to 64, or "auto"."""
    if isinstance(value, str) and value.strip().lower() == "auto":
        return "auto"
    if isinstance(value, bool) or not isinstance(value, int):
        raise Refused('is neither "auto" nor a whole number', 'use "auto", or a number from 1 to 64')
    if not 1 <= value <= 64:
        raise Refused(f"is {'less than 1' if value < 1 else 'more than 64'}", 'use 1 to 64, or "auto"')
    return value


def parse_limit(value: object) -> int | None:
    """Return a count from 0 on, None for ``false`` (the limit is off)."""
    if value is False:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise Refused("is no limit", "use a whole number from 0 on, or false to switch the limit off")
    return value


def format_limit(limit: int | None) -> int | bool:
    """Return what ``parse_limit`` reads back."""
    return False if limit is None else limit


def format_optional(value: QuietHours | Listen | None) -> str:
    """Return the text of the value, an empty one for None."""
    return "" if value is None else str(value)


def parse_percent(value: object) -> int | None:
    """Return a whole percentage from 0 to 100, None for ``false`` (the limit is off)."""
    percent = parse_limit(value)
    if percent is not None and percent > 100:
        raise Refused("is more than everything", "use 0 to 100, or false to switch the limit off")
    return percent


def parse_waves(value: object) -> tuple[int, ...]:
    """Return ascending percentages that end with 100, none for an empty list (everything goes at once)."""
    if not isinstance(value, list | tuple) or not all(type(entry) is int for entry in value):
        raise Refused("must be a list of whole percentages", "write it like [1, 10, 100]")
    waves = tuple(value)
    if any(not 1 <= entry <= 100 for entry in waves):
        raise Refused("has a percentage outside of 1 to 100", "write it like [1, 10, 100]")
    if any(later <= earlier for earlier, later in pairwise(waves)):
        raise Refused("is not ascending", "each wave names the share that is done by its end, like [1, 10, 100]")
    if waves and waves[-1] != 100:
        raise Refused("does not end with 100", f"add the last wave: {[*waves, 100]}")
    return waves


def parse_listen(value: object) -> Listen | None:
    """Return host and port of ``host:port`` (``[::1]:8080`` for IPv6), None for an empty text."""
    text = expect_text(value)
    if not text:
        return None
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        colon = ""
    if not colon or not host or re.search(r"[\s/@\[\]]", host):
        raise Refused("is no host:port", "write it like 127.0.0.1:8080, or 0.0.0.0:8080 for every interface")
    if not (port.isascii() and port.isdigit()) or int(port[:6]) > 65535:
        raise Refused("has no port from 0 to 65535", "write it like 127.0.0.1:8080")
    return Listen(host, int(port))


def parse_names(value: object) -> tuple[str, ...]:
    """Return a list of texts as a tuple, in order, without repeats; empty entries are refused."""
    if not isinstance(value, list | tuple) or not all(isinstance(entry, str) for entry in value):
        raise Refused("must be a list of texts", 'write it like ["one", "two"]')
    names = tuple(dict.fromkeys(entry.strip() for entry in value))
    if not all(names):
        raise Refused("has an empty entry", "remove it")
    return names


def parse_date(value: object) -> date:
    """Return a day: a date of TOML, or one in a text as ISO 8601 writes it (2027-05-01)."""
    remedy = "write the day like 2027-05-01"
    if isinstance(value, datetime):
        raise Refused("is a time of a day", remedy)
    if isinstance(value, date):
        return value
    text = expect_text(value)
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", text, re.ASCII):
        raise Refused("is no date", remedy)
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise Refused("is no day of the calendar", remedy) from None


def parse_identifier(value: object) -> str:
    """Return an identifier: printable ASCII without blanks (client ids of both sides)."""
    text = expect_text(value)
    if not re.fullmatch(r"[!-~]+", text):
        raise Refused("is no client id", "copy the Application (client) ID of the registered application")
    return text


def parse_tenant(value: object) -> str:
    """Return the tenant as a GUID or as one of its verified domains; ``common`` and the like have no directory."""
    text = expect_text(value).lower()
    guid = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
    domain = r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]"
    if not re.fullmatch(f"{guid}|{domain}", text):
        raise Refused("is neither a GUID nor a domain", "copy the Directory (tenant) ID from the Entra admin centre")
    return text
