"""What the other side states of the time, in the Date headers of its good answers.

An answer with an age comes from a cache and says when it was made; an answer that is no good one may come from a
gateway. Neither tells the other side's time.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from syncd.clock import Clock
from syncd.plan.moment import StatedTimes


def read_date(headers: Mapping[str, str]) -> datetime | None:
    """Return the time that an answer states for its own, as aware UTC; None when it states none that can be read."""
    if headers.get("Age", "0").strip() != "0":
        return None
    try:
        stated = parsedate_to_datetime(headers.get("Date", ""))
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return stated.replace(tzinfo=UTC) if stated.tzinfo is None else stated.astimezone(UTC)


class Times:
    """Gathers what one side states."""

    def __init__(self, clock: Clock) -> None:
        self.stated: StatedTimes | None = None
        self._clock = clock
        self._last = ""

    def note(self, headers: Mapping[str, str]) -> None:
        """Take a good answer's word, if it gives one; several within one second are one."""
        text = headers.get("Date", "")
        if text == self._last:
            return
        date = read_date(headers)
        if date is None:
            return
        self._last, known = text, self.stated
        distance = date.timestamp() - self._clock.monotonic()
        self.stated = StatedTimes(
            min(distance, known.earliest if known else distance), max(distance, known.latest if known else distance)
        )
