"""Whether this machine's clock may be believed, by what the two sides state of the time.

===============================  =============================  =====================================================
the sides that were asked        the machine's own count        the clock is
===============================  =============================  =====================================================
one or both state a time         (does not matter)              believed when no time is off by more than the limit
none states one                  is known since it was last     believed when it has not jumped by more than the
                                 confirmed, in this start       limit since then
none states one                  is not known                   not believed
none was asked                   is not known                   believed, unless it is before it was last confirmed
===============================  =============================  =====================================================

While it is not believed, nothing that hangs on time is done: no account or group is deleted after a grace, no
substitution is made or ends, nothing that is held expires, quiet hours count as begun where there are any, and rules
over ``now`` are asked for the moment for which they were asked last. A time that a side stated once in a run counts to
its end: of several that differ the worst does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from syncd.model.change import Action, ObjectKind
from syncd.model.kinds import RECORD_KINDS

LIMIT = timedelta(minutes=10)
"""A clock may differ by so much from a side's, or jump by so much unseen."""
WAITS = f"beyond {LIMIT.total_seconds() / 60:.0f} minutes runs put off all that hangs on time"
"""What `check` says beside a clock that is off."""
_NEVER = datetime(1990, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockReading:
    """Our clock at one instant. ``steady``: seconds that never jump, of this process; ``uptime``: of the machine since
    the start that ``boot`` names, which is empty where the system does not tell.
    """

    now: datetime
    steady: float
    boot: str = ""
    uptime: float = 0.0


@dataclass(frozen=True, slots=True)
class StatedTimes:
    """What one side stated of the time, each as a distance: its Unix time, less our steady seconds when it came."""

    earliest: float
    latest: float

    def read(self, steady: float) -> tuple[datetime, datetime]:
        """Return which times this makes at a moment of our steady seconds, the earliest and the latest."""
        return datetime.fromtimestamp(self.earliest + steady, UTC), datetime.fromtimestamp(self.latest + steady, UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """The time of a run. ``doubt`` says why our clock is not believed; empty when it is.

    ``latest``: from when a grace counts: by our clock, or while that is not believed by the latest that anybody states,
    so that it never ends early. ``earliest``: the same the other way, for what counts back from now.
    ``stated``: the latest that a side states. ``quiet``: removals are put off, since it is or may be quiet hours.
    """

    now: datetime
    latest: datetime
    earliest: datetime
    stated: datetime | None = None
    doubt: str = ""
    quiet: bool = False

    @property
    def expiring(self) -> datetime:
        """As of when what is held expires: never, as long as the clock is not believed."""
        return _NEVER if self.doubt else self.now

    @property
    def quiet_reason(self) -> str:
        """Why removals are put off."""
        return f"{self.doubt}, and these may be quiet hours" if self.doubt else "these are quiet hours"

    def choose_rule_time(self, asked: datetime | None) -> datetime:
        """Return for which moment rules over ``now`` are asked; ``asked``: the one for which they were asked last."""
        return (asked or self.stated or self.now) if self.doubt else self.now


def tell_doubt(moment: Moment) -> list[str]:
    """Return what a run says of a clock that is not believed; nothing of any other."""
    waits = "deletions after the grace, substitutions and what else hangs on time wait until it is right"
    return [f"{moment.doubt}: {waits}"] if moment.doubt else []


def hangs_on_time(action: Action, kind: ObjectKind, *, grace: timedelta) -> bool:
    """Return whether a change is planned because a time has come."""
    return kind == "substitution" or (action == "delete" and kind in RECORD_KINDS and grace > timedelta())


def judge_clock(
    reading: ClockReading, stated: Mapping[str, StatedTimes | None], confirmed: ClockReading | None
) -> Moment:
    """Return the moment of a run.

    ``stated``: what each side that was asked states, None when it states nothing. ``confirmed``: our clock when a side
    last confirmed it, in whichever process; ``steady`` of it does not count.
    """
    now = reading.now
    times = {side: each.read(reading.steady) for side, each in sorted(stated.items()) if each is not None}
    told = [time for both in times.values() for time in both]
    doubt = _compare(now, times) if times else _look_back(reading, confirmed, asked=bool(stated))
    known = [now, *told, *([confirmed.now] if confirmed else [])] if doubt else [now]
    return Moment(
        now=now,
        latest=max([now, *told]) if doubt else now,
        earliest=min(known),
        stated=max(told, default=None),
        doubt=doubt,
    )


def _compare(now: datetime, times: Mapping[str, Iterable[datetime]]) -> str:
    worst, side = max(
        (abs(now - time), f"{_tell(now - time)} {side}'s") for side, both in times.items() for time in both
    )
    return f"this machine's clock is {side}" if worst > LIMIT else ""


def _look_back(reading: ClockReading, confirmed: ClockReading | None, *, asked: bool) -> str:
    if confirmed is not None and reading.boot and reading.boot == confirmed.boot:
        jump = reading.now - confirmed.now - timedelta(seconds=reading.uptime - confirmed.uptime)
        if abs(jump) > LIMIT:
            return f"this machine's clock is {_tell(jump)} where it should be since {confirmed.now:%Y-%m-%d %H:%M} UTC"
        return ""
    if asked:
        return "no side states the time, and nothing else confirms this machine's clock"
    if confirmed is not None and confirmed.now - reading.now > LIMIT:
        return f"this machine's clock is before {confirmed.now:%Y-%m-%d %H:%M} UTC, when it was last right"
    return ""


def _tell(off: timedelta) -> str:
    seconds = abs(off).total_seconds()
    for unit, size in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit} {'ahead of' if off > timedelta() else 'behind'}"
    return f"{seconds:.0f} seconds {'ahead of' if off > timedelta() else 'behind'}"
