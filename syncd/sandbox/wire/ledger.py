"""The ledger: what the clients of the sandbox asked for, what it cost, and which rules they broke.

Counters are always kept; single requests only in mode "full", and never more than ``capacity`` of them. Cheap enough
to stand in the way of a benchmark: a few dictionary writes per request.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Literal, Protocol

from syncd.clock import Clock

LedgerMode = Literal["counters", "full"]


class _Answer(Protocol):
    @property
    def status(self) -> int: ...
    @property
    def route(self) -> str: ...
    @property
    def resource_units(self) -> int: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def parts(self) -> Sequence[tuple[str, str, _Answer]]: ...


@dataclass(frozen=True, slots=True)
class Entry:
    """One request: ``at`` is monotonic seconds, ``target`` the raw path with query, status 0 an answer never sent."""

    at: float
    side: str
    method: str
    target: str
    status: int


@dataclass(frozen=True, slots=True)
class Violation:
    """A rule that a client broke.

    early-retry, altered-link, unknown-token, select-on-skiptoken, foreign-token; older-link: a delta link from before
    one that was used already.
    """

    rule: str
    side: str
    detail: str


class Ledger:
    """What happened on the wire of one sandbox."""

    def __init__(self, clock: Clock, *, mode: LedgerMode = "full", capacity: int = 100_000) -> None:
        self._clock = clock
        self.mode: LedgerMode = mode
        self.entries: deque[Entry] = deque(maxlen=capacity)
        self.routes: Counter[tuple[str, str]] = Counter()
        self.statuses: Counter[tuple[str, int]] = Counter()
        self.resource_units = 0
        self.violations: deque[Violation] = deque(maxlen=1000)
        self.notes: Counter[str] = Counter()
        self.max_in_flight: Counter[str] = Counter()
        self._in_flight: Counter[str] = Counter()
        self._not_before: dict[tuple[str, str, str, int], float] = {}

    def begin(self, side: str, method: str, target: str, *, body: bytes = b"") -> float:
        """Note that a request arrived and return the time; an early retry of a throttled request is a violation.

        The same request has the same body: two batches at a time, or two creations, are no repetition.
        """
        now = self._clock.monotonic()
        self._in_flight[side] += 1
        self.max_in_flight[side] = max(self.max_in_flight[side], self._in_flight[side])
        if self._not_before:
            self._check_early(side, method, target, body)
        return now

    def _check_early(self, side: str, method: str, target: str, body: bytes) -> None:
        now = self._clock.monotonic()
        due = self._not_before.pop((side, method, target, hash(body)), None)
        if due is not None and now < due - 0.005:
            self.violate("early-retry", side=side, detail=f"{method} {target}: {due - now:.3f} s too early")

    def _note_wait(self, side: str, method: str, target: str, body: bytes, answer: _Answer) -> None:
        if answer.status >= 400 and len(self._not_before) < 10_000:
            wait = _read_wait(answer.headers, self._clock)
            if wait is not None:
                self._not_before[side, method, target, hash(body)] = self._clock.monotonic() + wait

    def begin_part(self, method: str, target: str) -> None:
        """Note one request of a batch: it has to wait as one that comes alone."""
        if self._not_before:
            self._check_early("batch", method, target, b"")

    def end(self, side: str, method: str, target: str, *, answer: _Answer, started: float, body: bytes = b"") -> None:
        """Note how a request that ``begin`` announced was answered; status 0: nobody has seen the answer."""
        self._in_flight[side] -= 1
        self.routes[side, answer.route] += 1
        self.statuses[side, answer.status] += 1
        self.resource_units += answer.resource_units
        if self.mode == "full":
            self.entries.append(Entry(started, side, method, target, answer.status))
        self._note_wait(side, method, target, body, answer)
        for part_method, part_target, part in answer.parts:
            self._note_wait("batch", part_method, part_target, b"", part)

    def violate(self, rule: str, *, side: str, detail: str) -> None:
        """Write down a broken rule."""
        self.violations.append(Violation(rule, side, detail))

    def requests(self, side: str | None = None) -> int:
        """Return how many requests were answered, on one side or altogether."""
        return sum(count for (its, _), count in self.statuses.items() if side in (None, its))

    def clear(self) -> None:
        """Forget everything but the requests in flight."""
        self.entries.clear()
        self.routes.clear()
        self.statuses.clear()
        self.violations.clear()
        self.notes.clear()
        self.max_in_flight.clear()
        self._not_before.clear()
        self.resource_units = 0

    def summary(self) -> dict[str, object]:
        """Return the counters as a JSON-ready document."""
        return {
            "requests": {f"{side} {route}": count for (side, route), count in sorted(self.routes.items())},
            "statuses": {f"{side} {status}": count for (side, status), count in sorted(self.statuses.items())},
            "resource_units": self.resource_units,
            "max_in_flight": dict(self.max_in_flight),
            "violations": [{"rule": v.rule, "side": v.side, "detail": v.detail} for v in self.violations],
            "notes": dict(self.notes),
        }


def _read_wait(headers: Mapping[str, str], clock: Clock) -> float | None:
    """Return the seconds that a client was told to wait: in any case of the header's name, as a number or a date."""
    told = next((value.strip() for name, value in headers.items() if name.lower() == "retry-after"), "")
    if not told:
        return None
    try:
        return float(told)
    except ValueError:
        pass
    try:
        return (parsedate_to_datetime(told) - clock.now()).total_seconds()
    except ValueError:
        return None
