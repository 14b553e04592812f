"""Whether this machine's clock may be believed: the table in the header of `syncd.plan.moment`, row by row."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from syncd.plan.moment import ClockReading, StatedTimes, hangs_on_time, judge_clock, tell_doubt

NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
STEADY = 500.0
GRAPH, PORTAL = "Microsoft Graph", "the portal"


def read(ahead: timedelta = timedelta(), *, boot: str = "b", uptime: float = 9000.0) -> ClockReading:
    """Return our clock, which is so much ahead of the true time."""
    return ClockReading(now=NOW + ahead, steady=STEADY, boot=boot, uptime=uptime)


def state(ahead: timedelta = timedelta(), *, earlier: timedelta = timedelta()) -> StatedTimes:
    """Return what a side whose clock is so much ahead stated: once ``earlier``, and rightly otherwise."""
    latest = (NOW + ahead).timestamp() - STEADY
    return StatedTimes(latest - earlier.total_seconds(), latest)


@pytest.mark.parametrize(
    ("ours", "graph", "portal", "believed"),
    [
        (0, state(), state(), True),
        (9, state(), state(), True),
        (-9, state(), state(), True),
        (11, state(), state(), False),
        (-11, state(), state(), False),
        (40 * 1440, state(), state(), False),
        (40 * 1440, state(), None, False),
        (40 * 1440, None, state(), False),
        (0, state(), state(timedelta(minutes=11)), False),
        (0, state(timedelta(hours=-1)), state(), False),
        (0, state(), None, True),
        (0, None, state(), True),
        (0, state(timedelta(minutes=-8)), state(timedelta(minutes=8)), True),
        (0, state(earlier=timedelta(days=1)), state(), False),
    ],
)
def test_one_side_that_differs_is_enough(
    ours: int, graph: StatedTimes | None, portal: StatedTimes | None, believed: bool
) -> None:
    """More than ten minutes from any time that any side states, in either direction, is a doubt."""
    moment = judge_clock(read(timedelta(minutes=ours)), {GRAPH: graph, PORTAL: portal}, None)
    assert (not moment.doubt) == believed, moment.doubt
    assert bool(tell_doubt(moment)) != believed
    assert moment.latest >= moment.now
    assert believed or moment.latest >= (moment.stated or moment.now)


def test_the_worst_difference_is_named() -> None:
    """The sentence says how far off it is, in which direction, and by whose clock."""
    moment = judge_clock(read(timedelta(days=40)), {GRAPH: state(), PORTAL: state(timedelta(hours=-5))}, None)
    assert moment.doubt == "this machine's clock is 40 days ahead of the portal's"
    behind = judge_clock(read(timedelta(hours=-3)), {GRAPH: state()}, None)
    assert behind.doubt == "this machine's clock is 3 hours behind Microsoft Graph's"
    assert behind.latest == NOW


@pytest.mark.parametrize(
    ("now", "confirmed", "asked", "believed"),
    [
        (read(), read(timedelta(), uptime=9000.0), True, True),
        (read(), read(timedelta(hours=-2), uptime=9000.0 - 7200), True, True),
        (read(), read(timedelta(hours=-2), uptime=9000.0 - 60), True, False),
        (read(), read(timedelta(hours=2), uptime=9000.0 - 60), False, False),
        (read(), read(timedelta(days=-40), uptime=9000.0 - 60), False, False),
        (read(), read(timedelta(days=-40), boot="another"), True, False),
        (read(), read(timedelta(days=-40), boot="another"), False, True),
        (read(), read(timedelta(days=40), boot="another"), False, False),
        (read(boot=""), read(boot=""), True, False),
        (read(), None, True, False),
        (read(), None, False, True),
    ],
)
def test_where_no_side_states_the_time_the_machine_counts(
    now: ClockReading, confirmed: ClockReading | None, asked: bool, believed: bool
) -> None:
    """A jump since the clock was last confirmed is seen; sides that are silent for the first time confirm nothing."""
    moment = judge_clock(now, {GRAPH: None, PORTAL: None} if asked else {}, confirmed)
    assert (not moment.doubt) == believed, moment.doubt


def test_a_side_that_states_the_time_beats_the_count_of_the_machine() -> None:
    """A clock that was wrong and was set right jumps as well; the sides confirm it."""
    jumped = read(timedelta(days=-40), uptime=9000.0 - 60)
    assert not judge_clock(read(), {GRAPH: state()}, jumped).doubt


def test_what_follows_while_the_clock_is_not_believed() -> None:
    """Nothing expires, and rules over the present are asked for a moment at which nobody's day has come meanwhile."""
    right = judge_clock(read(), {GRAPH: state()}, None)
    wrong = judge_clock(read(timedelta(days=40)), {GRAPH: state()}, None)
    yesterday = NOW - timedelta(days=1)
    assert right.expiring == NOW
    assert wrong.expiring < NOW - timedelta(days=3650)
    assert right.choose_rule_time(yesterday) == NOW
    assert wrong.choose_rule_time(yesterday) == yesterday
    assert wrong.choose_rule_time(None) == NOW


def test_what_hangs_on_time() -> None:
    """Deletions where there is a grace, and substitutions; memberships and licences go at once in any case."""
    month = timedelta(days=30)
    assert hangs_on_time("delete", "user", grace=month)
    assert hangs_on_time("delete", "group", grace=month)
    assert hangs_on_time("create", "substitution", grace=timedelta())
    assert not hangs_on_time("delete", "user", grace=timedelta())
    assert not hangs_on_time("unlink", "membership", grace=month)
    assert not hangs_on_time("revoke", "licence", grace=month)
