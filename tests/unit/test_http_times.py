"""What the other side states of the time: only its own good word, and every word of a run counts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from syncd.http import read_date
from syncd.http.times import Times
from tests.contract.sandbox_client import MovableClock

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
TEXT = "Mon, 02 Mar 2026 09:00:00 GMT"


@pytest.mark.parametrize(
    "headers", [{"Date": TEXT}, {"Date": TEXT, "Age": "0"}, {"Date": "02 Mar 2026 10:00:00 +0100"}]
)
def test_a_date_is_read(headers: dict[str, str]) -> None:
    """In any form that a mail or a web server writes it."""
    assert read_date(headers) == NOW


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Date": ""},
        {"Date": "yesterday"},
        {"Date": "Mon, 99 Foo 99999 25:61:61 GMT"},
        {"Date": "Mon, 02 Mar 99999999999 09:00:00 GMT"},
        {"Date": TEXT, "Age": "86400"},
        {"Date": TEXT, "Age": "soon"},
    ],
)
def test_what_states_no_time_is_silence(headers: dict[str, str]) -> None:
    """No header, nonsense, and what a cache hands on."""
    assert read_date(headers) is None


def test_the_worst_of_a_run_stays() -> None:
    """One node of several whose clock is off is not outvoted by later answers of the others."""
    clock = MovableClock()
    times = Times(clock)
    assert times.stated is None
    for ahead in (0, -7200, 0, 30, 30):
        clock.elapsed += 60
        times.note({"Date": format_datetime(clock.now() + timedelta(seconds=ahead), usegmt=True)})
    times.note({})
    assert times.stated is not None
    earliest, latest = times.stated.read(clock.monotonic())
    assert (earliest - clock.now(), latest - clock.now()) == (timedelta(hours=-2), timedelta(seconds=30))
