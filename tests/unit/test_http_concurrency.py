"""How many requests a side bears: found out by the time that its answers take, on an imitation in virtual time."""

from __future__ import annotations

import asyncio
import heapq
import math
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from syncd.clock import Clock
from syncd.errors import Timeout
from syncd.http.concurrency import MOST_REQUESTS, Admission, ConcurrencyLimit

SERVICE = 0.02


def _as_ever(_now: float) -> float:
    return 1.0


@dataclass(slots=True)
class Portal:
    """A fixed number of workers, first come first served; its own users ask for something now and then.

    ``noise`` spreads the time of service, ``slower`` multiplies it at a moment, ``refused`` says when it answers 429.
    """

    workers: int
    noise: float = 0.0
    service: float = SERVICE
    kinds: int = 1
    slower: Callable[[float], float] = _as_ever
    refused: Callable[[float], bool] = lambda _now: False
    limits: list[tuple[float, int]] = field(default_factory=list)
    users: list[tuple[float, float]] = field(default_factory=list)

    def push(self, number: int, *, limit: ConcurrencyLimit | None = None, fixed: int = 1) -> float:
        """Send so many requests and return the seconds until the last answer."""
        chance = random.Random(7)
        now, sent, done, under_way, busy, order = 0.0, 0, 0, 0, 0, 0
        waiting: deque[tuple[bool, int, float]] = deque()
        events: list[tuple[float, int, tuple[bool, int, float] | None]] = []

        def serve(ours: bool, kind: int, begun: float) -> None:
            nonlocal busy, order
            busy, order = busy + 1, order + 1
            noise = math.exp(chance.gauss(0, self.noise) - self.noise**2 / 2) if self.noise else 1.0
            taken = self.service * (1 + kind) * self.slower(now) * noise
            heapq.heappush(events, (now + taken, order, (ours, kind, begun)))

        def ask(ours: bool, kind: int) -> None:
            if busy < self.workers:
                serve(ours, kind, now)
            else:
                waiting.append((ours, kind, now))

        def send() -> None:
            nonlocal sent, under_way
            while sent < number and under_way < (limit.limit if limit else fixed):
                sent, under_way = sent + 1, under_way + 1
                ask(True, chance.randrange(self.kinds))
            if limit and sent < number:
                limit.note_waiting()

        rate = 0.05 * self.workers / self.service
        heapq.heappush(events, (chance.expovariate(rate), 0, None))
        send()
        while done < number:
            now, _, answered = heapq.heappop(events)
            if answered is None:
                ask(False, 0)
                order += 1
                heapq.heappush(events, (now + chance.expovariate(rate), order, None))
                continue
            busy -= 1
            if waiting:
                serve(*waiting.popleft())
            ours, kind, begun = answered
            if not ours:
                self.users.append((now, now - begun))
                continue
            done, under_way = done + 1, under_way - 1
            if limit and self.refused(now):
                limit.note_refusal(begun=begun, ended=now)
                self.limits.append((now, limit.limit))
            elif limit:
                limit.note_answer(kind, begun=begun, ended=now)
                self.limits.append((now, limit.limit))
            send()
        return now

    def find_limit(self, at: float) -> int:
        """Return the limit at that second."""
        return [limit for when, limit in self.limits if when <= at][-1]

    def find_mean_wait(self, since: float = 3.0) -> float:
        """Return how long the portal's own users waited on the mean, as a multiple of the time of service."""
        found = [taken for when, taken in self.users if when > since]
        return sum(found) / len(found) / self.service


@pytest.mark.parametrize("noise", [0.0, 0.4])
@pytest.mark.parametrize("workers", [1, 2, 4, 8, 16, 32])
def test_as_much_is_asked_as_the_side_bears(workers: int, noise: float) -> None:
    """Hardly slower than the best fixed number of requests, and the portal's own users wait at most twice as long."""
    number = workers * 1000
    best = min(Portal(workers, noise).push(number, fixed=fixed) for fixed in (workers, workers + 2, 2 * workers))
    portal = Portal(workers, noise)

    taken = portal.push(number, limit=ConcurrencyLimit(MOST_REQUESTS))

    assert taken <= 1.15 * best
    assert portal.find_mean_wait() <= 2.0


@pytest.mark.parametrize("factor", [3, 10, 100])
def test_it_gives_way_within_ten_seconds_and_comes_back(factor: int) -> None:
    """When the portal slows down for everybody, little is asked of it; when it is itself again, as much as before."""
    portal = Portal(8, 0.3, slower=lambda now: factor if 15 < now < 45 else 1.0)

    portal.push(9000, limit=ConcurrencyLimit(MOST_REQUESTS))

    assert portal.find_limit(14) >= 8
    assert portal.find_limit(25) <= 2
    assert portal.find_limit(portal.limits[-1][0]) >= 7
    assert portal.limits[-1][0] < 80


def test_it_gives_way_within_ten_seconds_to_a_portal_that_throttles() -> None:
    """While every answer is 429, one request at a time is sent; afterwards as many as before."""
    portal = Portal(8, 0.3, refused=lambda now: 15 < now < 45)
    limit = ConcurrencyLimit(MOST_REQUESTS)
    portal.push(9000, limit=limit)

    assert portal.find_limit(14) >= 8
    assert portal.find_limit(25) == 1
    assert portal.find_limit(portal.limits[-1][0]) >= 7
    assert portal.limits[-1][0] < 80


def test_a_slowness_that_stays_is_not_waited_out_for_ever() -> None:
    """What the portal takes alone is learnt anew, so that its workers are used again."""
    portal = Portal(8, 0.3, slower=lambda now: 4.0 if now > 10 else 1.0)

    portal.push(12000, limit=ConcurrencyLimit(MOST_REQUESTS))

    assert portal.find_limit(20) <= 2
    assert portal.find_limit(portal.limits[-1][0]) >= 7


def test_refusals_halve_the_limit_once_for_those_of_a_moment() -> None:
    """429 is obeyed at once; the requests that were under way then do not count a second time."""
    limit = ConcurrencyLimit(MOST_REQUESTS)
    portal = Portal(32)
    portal.push(3000, limit=limit)
    before, now = limit.limit, portal.limits[-1][0]
    assert before == MOST_REQUESTS

    for _ in range(before):
        limit.note_refusal(begun=now, ended=now + 1)
    assert limit.limit == before // 2
    for _ in range(10):
        limit.note_refusal(begun=now + 2, ended=now + 3)
        now += 2
    assert limit.limit == 1


def test_kinds_of_requests_that_take_longer_are_no_slowness() -> None:
    """Adding two hundred members takes longer than a change of one record: each is compared with its own kind."""
    fixed = Portal(8, 0.3, kinds=6).push(6000, fixed=10)
    portal = Portal(8, 0.3, kinds=6)

    assert portal.push(6000, limit=ConcurrencyLimit(MOST_REQUESTS)) <= 1.15 * fixed


@pytest.mark.parametrize("service", [0.0005, 0.2, 0.5])
def test_fast_and_slow_portals_are_used_as_well(service: float) -> None:
    """Answers within a millisecond tell nothing by their noise; answers of seconds are not waited for in vain."""
    number = 3000
    fixed = Portal(8, 0.3, service).push(number, fixed=10)

    assert Portal(8, 0.3, service).push(number, limit=ConcurrencyLimit(MOST_REQUESTS)) <= 1.15 * fixed


class _Fixed(ConcurrencyLimit):
    """Lets as many under way as a test says, and notes what it was told."""

    def __init__(self, number: int) -> None:
        super().__init__(MOST_REQUESTS)
        self.number = number
        self.told: list[str] = []

    @property
    def limit(self) -> int:
        return self.number

    def note_waiting(self) -> None:
        self.told.append("waiting")

    def note_answer(self, kind: object, *, begun: float, ended: float) -> None:
        self.told.append(f"answer to {kind}")

    def note_refusal(self, *, begun: float, ended: float) -> None:
        self.told.append("refusal")


async def test_requests_begin_in_their_order_and_as_places_are_free() -> None:
    """Who came first goes first; a higher limit lets several in at once, a lower one lets them finish."""
    limit = _Fixed(2)
    admission, begun, go = Admission(limit), list[int](), [asyncio.Event() for _ in range(6)]

    async def ask(number: int) -> None:
        async with admission.place("x", Clock()) as answered:
            begun.append(number)
            await go[number].wait()
            answered(200)

    tasks = [asyncio.create_task(ask(number)) for number in range(6)]
    await _turn()
    assert begun == [0, 1]
    limit.number = 1
    go[0].set()
    await _turn()
    assert begun == [0, 1]  # one is still under way, and one is all that may be
    limit.number = 4
    go[1].set()
    await _turn()
    assert begun == [0, 1, 2, 3, 4, 5]
    for event in go:
        event.set()
    await asyncio.gather(*tasks)


async def test_one_who_is_cancelled_takes_no_place() -> None:
    """Neither while waiting nor when its turn has just come."""
    limit = _Fixed(1)
    admission, go = Admission(limit), asyncio.Event()

    async def ask() -> None:
        async with admission.place("x", Clock()) as answered:
            await go.wait()
            answered(200)

    first, second, third = (asyncio.create_task(ask()) for _ in range(3))
    await _turn()
    second.cancel()
    go.set()
    await _turn()
    third.cancel()  # it may have its turn already
    await asyncio.gather(first, second, third, return_exceptions=True)
    async with asyncio.timeout(5), admission.place("x", Clock()) as answered:
        answered(200)


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (200, "answer to x"),
        (404, "answer to x"),
        (500, "answer to x"),
        (429, "refusal"),
        (503, "refusal"),
        (504, "refusal"),
    ],
)
async def test_each_answer_tells_something(status: int, told: str) -> None:
    """Any word of the side tells how long it took; one of too many requests tells to ask less."""
    limit = _Fixed(1)
    async with Admission(limit).place("x", Clock()) as answered:
        answered(status)
    assert limit.told == [told]


async def test_no_answer_is_a_refusal_and_a_cancelled_request_is_nothing() -> None:
    """A time-out says more than any status; what we broke off ourselves says nothing."""
    limit = _Fixed(1)
    admission = Admission(limit)
    with pytest.raises(Timeout):
        async with admission.place("x", Clock()):
            raise Timeout("no answer")
    assert limit.told == ["refusal"]
    with pytest.raises(asyncio.CancelledError):
        async with admission.place("x", Clock()):
            raise asyncio.CancelledError
    assert limit.told == ["refusal"]


async def _turn() -> None:
    for _ in range(10):
        await asyncio.sleep(0)
