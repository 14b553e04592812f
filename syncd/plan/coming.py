"""Which answers of rules over ``now`` will be others on a day that is known already. Pure.

An answer is asked at the instants of which anything is known: the times among the attributes that the rules look at,
the times that stand in the rules themselves, and both put forward and back by each duration in them. Between two
instants with different answers the change is looked for to the second. A rule that goes by the hour or by the weekday
may change its answer in between and back again; such changes are not foretold.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, TypeVar

from syncd.model.kinds import RecordKind
from syncd.plan.cel.expressions import Expression

T = TypeVar("T")

_SECOND = timedelta(seconds=1)
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d", re.ASCII)
_TIMESTAMP = re.compile(r"""timestamp\s*\(\s*r?(["'])(?P<text>[^"']{1,64})\1""")
_DURATION = re.compile(r"""duration\s*\(\s*r?(["'])-?(?P<text>[^"']{1,64})\1""")
_PART = re.compile(r"(\d+(?:\.\d+)?)(h|ms|m|s|us|ns)")
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
_DEPTH = 4


def list_instants(
    expressions: Iterable[Expression], variable: RecordKind, attributes: Mapping[str, Any]
) -> frozenset[datetime]:
    """Return the instants at which these rules may begin to say something else of an object."""
    found: set[datetime] = set()
    for expression in expressions:
        stated, offsets = _read_literals(expression.text)
        times = {*stated}
        for name in expression.attributes[variable]:
            times.update(_iterate_times(attributes.get(name), _DEPTH))
        found |= times
        for time in times:
            for offset in offsets:
                for moved in (-offset, offset):
                    try:
                        found.add(time + moved)
                    except OverflowError:
                        continue
    return frozenset(found)


def find_turns(
    ask: Callable[[datetime], T], instants: Iterable[datetime], *, now: datetime, until: datetime
) -> Iterator[tuple[datetime, datetime]]:
    """Yield each (last moment of an answer, first moment of another one) between ``now`` and ``until``, in order.

    The two are a second apart at most.
    """
    points = {now, until}
    for instant in instants:
        if now - _SECOND < instant < until:
            points.update(each for each in (instant - _SECOND, instant, instant + _SECOND) if now < each < until)
    before, answer = now, ask(now)
    for point in sorted(points - {now}):
        found = ask(point)
        if found != answer:
            yield _narrow(ask, answer, before=before, after=point)
        before, answer = point, found


def _narrow(ask: Callable[[datetime], T], answer: T, *, before: datetime, after: datetime) -> tuple[datetime, datetime]:
    """Return the last moment of an answer and the first of another one, a second apart at most."""
    while after - before > _SECOND:
        middle = before + (after - before) / 2
        if ask(middle) == answer:
            before = middle
        else:
            after = middle
    return before, after


@lru_cache(maxsize=64)
def _read_literals(text: str) -> tuple[frozenset[datetime], frozenset[timedelta]]:
    """Return the times and durations that a rule names."""
    times = {time for found in _TIMESTAMP.finditer(text) for time in _iterate_times(found["text"], 1)}
    offsets = {
        timedelta(seconds=sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(found["text"])))
        for found in _DURATION.finditer(text)
    }
    return frozenset(times), frozenset(offsets)


def _iterate_times(value: Any, depth: int) -> Iterator[datetime]:
    """Yield the times that a value is or holds."""
    match value:
        case str() if _TIME.match(value):
            try:
                time = datetime.fromisoformat(value)
            except ValueError:
                return
            yield time if time.tzinfo is not None else time.replace(tzinfo=UTC)
        case Mapping() if depth:
            for each in value.values():
                yield from _iterate_times(each, depth - 1)
        case list() | tuple() if depth:
            for each in value:
                yield from _iterate_times(each, depth - 1)
