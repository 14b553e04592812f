"""``make bench``: measure syncd against what the machine can do at best, in one run, and say whether it is enough.

Each piece of work runs in a process of its own against a sandbox in another one; ``floor`` says what it is compared
with. Ratios are comparable between machines, seconds are not. Exit code 1 when something is beyond its limit.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.bench.against import WORKS, compare
from tests.bench.stage import Size, Stage, open_stage

_MEGABYTES, _MEGABYTES_TEN_TIMES = 160.0, 200.0
_PULL_RATIO, _PUSH_RATIO = 1.5, 1.3
_LATENCIES = (0.020, 0.100)
_SECONDS_OVER_FLOOR = 6.0
"""At the first of these latencies, over what the floor takes without any."""
_THROTTLES = (3500, 5000)
"""Resource units per ten seconds: the buckets of a small and of a middle tenant."""
_THROTTLED_RATIO = 1.3
_CHANGES, _CHANGES_RATIO = 1000, 1.2
_NEWS = {"retitle": 700, "regroup": 200, "move": 100}
"""What happens in ``news``: a thousand things."""
_FAR, _FAR_PUSH_RATIO = 1000, 1.3
_BEARING, _BEARING_RATIO, _USERS_RATIO = 2000, 1.15, 2.0
_WORKERS, _SERVICE_TIME = (1, 4, 8), 0.02
_SMALL = 5000
_QUICK = Size(3000, 300, 18_000, 0)


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value; ``limit`` None: told for information."""

    work: str
    what: str
    value: float
    limit: float | None = None

    @property
    def good(self) -> bool:
        """Return whether it is within its limit."""
        return self.limit is None or self.value <= self.limit


@dataclass(frozen=True, slots=True)
class Course:
    """How to measure. ``repeat``: how often what is compared by ratio is done; medians count.

    ``ratios`` False: what is compared with a floor is told, and has no limit: those are of a company of 50,000.
    """

    size: Size
    folder: Path
    repeat: int
    megabytes: float
    only: frozenset[str]
    ratios: bool = True

    def limit(self, ratio: float) -> float | None:
        """Return the limit of something compared with a floor, None where there is none."""
        return ratio if self.ratios else None

    def wants(self, *names: str) -> bool:
        """Return whether any of these pieces of work is asked for."""
        return not self.only or bool(self.only & set(names))


def measure_pull(stage: Stage, course: Course) -> Iterator[Figure]:
    """A full pull into an empty store, against the floors; leaves the pulled store."""
    floor, serial, ours = list[_Pulled](), list[_Pulled](), list[_Pulled]()
    for _ in range(course.repeat):
        floor.append(_pull_bare(stage, course))
        serial.append(_pull_bare(stage, course, "--serial"))
        ours.append(_pull(stage))
    best, peak = _median(floor), max(each.megabytes for each in ours)
    yield Figure("pull", "seconds / floor", _median(ours) / best, course.limit(_PULL_RATIO))
    yield Figure("pull", "processor seconds / floor", _median(ours, "cpu") / _median(floor, "cpu"))
    yield Figure("pull", "seconds", _median(ours))
    yield Figure("pull", "seconds of the floor (lists)", best)
    yield Figure("pull", "seconds of a floor by delta", _median(serial))
    yield Figure("pull", "peak MB", peak, course.megabytes)


def measure_latency(stage: Stage, course: Course) -> Iterator[Figure]:
    """The same with every answer held back, against the floor without and with that."""
    best = _median([_pull_bare(stage, course) for _ in range(course.repeat)])
    for latency in _LATENCIES:
        stage.turn(latency=latency)
        name = f"{latency * 1000:.0f} ms"
        bare = _median([_pull_bare(stage, course) for _ in range(course.repeat)])
        ours = _median([_pull(stage) for _ in range(course.repeat)])
        limit = _SECONDS_OVER_FLOOR if latency == _LATENCIES[0] else None
        yield Figure("latency", f"{name}: seconds", ours)
        yield Figure("latency", f"{name}: seconds over floor at 0 ms", ours - best, limit)
        yield Figure("latency", f"{name}: seconds over floor at {name}", ours - bare)
    stage.turn(latency=0.0)


def measure_batching(stage: Stage, course: Course) -> Iterator[Figure]:
    """Why members are read by batches: the floor with a request per group, as a multiple of the one with batches.

    The imitation holds a batch back once, as it does a single request.
    """
    for latency in (0.0, *_LATENCIES):
        stage.turn(latency=latency)
        together = _median([_pull_bare(stage, course) for _ in range(course.repeat)])
        singly = _median([_pull_bare(stage, course, "--single") for _ in range(course.repeat)])
        name = f"{latency * 1000:.0f} ms"
        yield Figure("batch", f"{name}: seconds with a request per group", singly)
        yield Figure("batch", f"{name}: that / seconds with batches", singly / together)
    stage.turn(latency=0.0)


def measure_throttling(stage: Stage, course: Course) -> Iterator[Figure]:
    """A full pull with an imitated bucket, against the time in which the units it spends flow into that bucket.

    The bucket is full at the start, and what does not fit into it comes at its pace.
    """
    for limit in _THROTTLES:
        stage.turn(resource_units_per_10s=limit)
        stage.count_requests()
        ours = _pull(stage).seconds
        spent, refused = stage.count_units(), stage.count_refusals()
        stage.turn(resource_units_per_10s=0)
        allowed = (spent - limit) * 10 / limit
        name = f"{limit:,} units"
        yield Figure("throttle", f"{name}: seconds", ours)
        yield Figure("throttle", f"{name}: resource units spent", spent)
        yield Figure("throttle", f"{name}: requests refused", refused)
        if allowed > 0:
            yield Figure("throttle", f"{name}: seconds / allowed", ours / allowed, _THROTTLED_RATIO)


def measure_changes(stage: Stage, course: Course) -> Iterator[Figure]:
    """A delta pull of a thousand changes, here and in a company of a hundredth of the size."""
    with open_stage(course.folder / "small", course.size.scale_to(_SMALL)) as small:
        large, little = _pull_changes(stage, course), _pull_changes(small, course)
    yield Figure("changes", f"seconds / in a company of {_SMALL:,}", large.seconds / little.seconds, _CHANGES_RATIO)
    yield Figure("changes", "processor seconds / there", large.cpu / little.cpu)
    yield Figure("changes", "seconds", large.seconds)
    yield Figure("changes", f"seconds in a company of {_SMALL:,}", little.seconds)


def _pull_changes(stage: Stage, course: Course) -> _Pulled:
    """Return the median pull of a thousand changes of titles and the like, after a full one."""
    _pull(stage)
    found = []
    for _ in range(max(3, course.repeat)):
        stage.change("retitle", _CHANGES)
        found.append(_read(stage.work("measured", "pull-delta")))
    return sorted(found, key=lambda each: each.seconds)[len(found) // 2]


@dataclass(frozen=True, slots=True)
class _Pulled:
    """What one pull took."""

    seconds: float
    cpu: float
    megabytes: float


def _read(found: dict[str, Any]) -> _Pulled:
    return _Pulled(found["seconds"], found["cpu_seconds"], found["peak_mb"])


def _median(found: list[_Pulled], what: str = "seconds") -> float:
    return float(statistics.median(getattr(each, what) for each in found))


def _pull(stage: Stage) -> _Pulled:
    stage.empty_store()
    return _read(stage.work("measured", "pull"))


def _pull_bare(stage: Stage, course: Course, *options: str) -> _Pulled:
    empty = stage.empty_store(course.folder / "floor.db")
    try:
        return _read(stage.work("floor", "pull", "--store", str(empty), *options))
    finally:
        empty.unlink()


def measure_plan(stage: Stage, course: Course) -> Iterator[Figure]:
    """The plan of a first push of everything, the portal being empty."""
    found = stage.work("measured", "plan")
    yield Figure("plan", "seconds", found["phases"]["plan"])
    yield Figure("plan", "changes", sum(number for name, number in found["counts"].items() if name in _ACTIONS))
    yield Figure("plan", "peak MB", found["peak_mb"], course.megabytes)


_ACTIONS = ("create", "update", "link", "unlink")


def measure_push(stage: Stage, course: Course) -> Iterator[Figure]:
    """That push, against a bare client that sends the same writes to another portal at the same concurrency.

    They are compared in pairs, each with sandboxes of their own that have done the same before: an imitation that has
    answered for minutes is slower than a fresh one.
    """
    stage.count_requests()
    found = stage.work("measured", "push")
    sent = sum(number for route, number in stage.count_requests().items() if route.startswith("portal"))
    pairs = [_push_pair(course, course.size) for _ in range(course.repeat if course.wants("push") else 0)]
    if pairs:
        ratio = statistics.median(pair.ours / pair.bare for pair in pairs)
        yield Figure("push", "seconds / bare client", ratio, course.limit(_PUSH_RATIO))
        yield Figure("push", "least of these", min(pair.ours / pair.bare for pair in pairs))
        yield Figure("push", "most of these", max(pair.ours / pair.bare for pair in pairs))
        yield Figure("push", "seconds", statistics.median(pair.ours for pair in pairs))
        yield Figure("push", "seconds of the bare client", statistics.median(pair.bare for pair in pairs))
        yield Figure("push", "writes (the least possible)", pairs[0].writes)
    yield Figure("push", "requests", sent)
    yield Figure("push", "peak MB", found["peak_mb"], course.megabytes)


def measure_far_push(_stage: Stage, course: Course) -> Iterator[Figure]:
    """A first push with every answer of the portal held back: a small company, since its requests are waited for."""
    for latency in _LATENCIES:
        name = f"{latency * 1000:.0f} ms"
        pair = _push_pair(course, course.size.scale_to(_FAR), latency=latency)
        yield Figure("far-push", f"{name}: seconds / bare client", pair.ours / pair.bare, _FAR_PUSH_RATIO)
        yield Figure("far-push", f"{name}: seconds", pair.ours)
        yield Figure("far-push", f"{name}: writes", pair.writes)


def measure_bearing(_stage: Stage, course: Course) -> Iterator[Figure]:
    """A first push at a portal with a fixed number of workers, whose own users want answers meanwhile.

    Beside it the bare client at several numbers of requests under way: the best of them is what is possible.
    """
    requests, size = course.folder / "requests.jsonl", course.size.scale_to(_BEARING)
    for workers in _WORKERS:
        knobs = {"workers": workers, "service_time": _SERVICE_TIME}
        with open_stage(course.folder / "ours", size) as ours:
            ours.empty_store()
            ours.work("measured", "pull")
            ours.turn("portal", **knobs)
            with ours.watch_users() as users:
                found = ours.work("measured", "push")
                waited = users.mean(found["phases"]["apply"])
            writes = ours.work("measured", "requests", "--run", str(found["run"]), "--out", str(requests))["requests"]
        bare: dict[int, float] = {}
        for number in sorted({workers, workers + 2, workers * 2}):
            with open_stage(course.folder / "other", size) as other:
                other.empty_store()
                other.work("measured", "pull")
                other.turn("portal", **knobs)
                found_bare = other.work("floor", "push", "--requests", str(requests), "--concurrency", str(number))
                bare[number] = found_bare["seconds"]
        requests.unlink()
        best = min(bare, key=lambda number: bare[number])
        name = f"{workers} workers"
        yield Figure("bearing", f"{name}: seconds / bare client", found["phases"]["apply"] / bare[best], _BEARING_RATIO)
        yield Figure("bearing", f"{name}: best number of the bare client", best)
        yield Figure("bearing", f"{name}: seconds", found["phases"]["apply"])
        yield Figure("bearing", f"{name}: writes", writes)
        yield Figure("bearing", f"{name}: users wait, times alone", waited / _SERVICE_TIME, _USERS_RATIO)


@dataclass(frozen=True, slots=True)
class _Pushed:
    """What a first push took, what a bare client needs for its writes, and how many these are."""

    ours: float
    bare: float
    writes: float


def _push_pair(course: Course, size: Size, *, latency: float = 0.0) -> _Pushed:
    requests = course.folder / "requests.jsonl"
    with open_stage(course.folder / "ours", size, latency=latency) as ours:
        ours.empty_store()
        ours.work("measured", "pull")
        found = ours.work("measured", "push")
        writes = ours.work("measured", "requests", "--run", str(found["run"]), "--out", str(requests))["requests"]
    with open_stage(course.folder / "other", size, latency=latency) as other:
        other.empty_store()
        other.work("measured", "pull")
        bare = other.work("floor", "push", "--requests", str(requests), "--concurrency", "4")["seconds"]
    requests.unlink()
    return _Pushed(found["phases"]["apply"], bare, writes)


def measure_delta(stage: Stage, course: Course) -> Iterator[Figure]:
    """A delta run in which nothing has changed."""
    stage.count_requests()
    found = stage.work("measured", "delta")
    requests = stage.count_requests()
    for stream in ("users", "groups"):
        mine = sum(number for route, number in requests.items() if route.startswith("graph") and stream in route)
        yield Figure("delta", f"requests for {stream}", mine, 1)
    others = sum(number for route, number in requests.items() if route.startswith(("graph", "portal")))
    yield Figure("delta", "requests to Graph and the portal", others, 2)
    yield Figure("delta", "seconds", found["seconds"], 1.0)
    yield Figure("delta", "peak MB", found["peak_mb"], course.megabytes)


def measure_news(stage: Stage, course: Course) -> Iterator[Figure]:
    """A delta run with a thousand changes, pulled, planned and pushed: here and in a company of fewer people."""
    with open_stage(course.folder / "small", course.size.scale_to(_SMALL)) as small:
        small.empty_store()
        small.work("measured", "pull")
        small.work("measured", "push")
        there = _carry_news(small, course)
    here = _carry_news(stage, course)
    for phase in sorted(here["phases"]):
        yield Figure("news", f"seconds of {phase}", here["phases"][phase])
        yield Figure("news", f"seconds of {phase} in a company of {_SMALL:,}", there["phases"][phase])
    yield Figure("news", "changes planned", here["planned"])
    yield Figure("news", f"changes planned in a company of {_SMALL:,}", there["planned"])
    yield Figure("news", f"seconds / in a company of {_SMALL:,}", here["seconds"] / there["seconds"])
    yield Figure("news", "processor seconds / there", here["cpu_seconds"] / there["cpu_seconds"])
    yield Figure("news", "peak MB", here["peak_mb"], course.megabytes)


def _carry_news(stage: Stage, course: Course) -> dict[str, Any]:
    """Return the median delta run with a thousand changes."""
    found = []
    for _ in range(max(3, course.repeat)):
        for what, count in _NEWS.items():
            stage.change(what, count)
        found.append(stage.work("measured", "delta"))
        found[-1]["planned"] = sum(number for name, number in found[-1]["counts"].items() if name in _ACTIONS)
    return sorted(found, key=lambda each: each["seconds"])[len(found) // 2]


def measure_full(stage: Stage, course: Course) -> Iterator[Figure]:
    """A full run in which nothing has changed: both sides read again, everything compared."""
    found = stage.work("measured", "full")
    yield Figure("full", "seconds", found["seconds"])
    for phase, seconds in sorted(found["phases"].items()):
        yield Figure("full", f"seconds of {phase}", seconds)
    yield Figure("full", "peak MB", found["peak_mb"], course.megabytes)


_WORKS: dict[str, Callable[[Stage, Course], Iterator[Figure]]] = {
    "latency": measure_latency,
    "batch": measure_batching,
    "throttle": measure_throttling,
    "changes": measure_changes,
    "pull": measure_pull,
    "plan": measure_plan,
    "push": measure_push,
    "far-push": measure_far_push,
    "bearing": measure_bearing,
    "delta": measure_delta,
    "news": measure_news,
    "full": measure_full,
}
_NEEDED = {
    "plan": {"pull"},
    "push": {"pull"},
    "delta": {"pull", "push"},
    "news": {"pull", "push"},
    "full": {"pull", "push"},
}


def measure(course: Course) -> Iterator[Figure]:
    """Do what is asked for, in order, and whatever has to come before it."""
    needed = set(course.only or _WORKS.keys() - {"changes"})
    for name in sorted(needed):
        needed |= _NEEDED.get(name, set())
    with open_stage(course.folder / "stage", course.size) as stage:
        for name, work in _WORKS.items():
            if name in needed:
                print(f"measuring: {name}", file=sys.stderr)
                figures = list(work(stage, course))
                yield from figures if course.wants(name) else ()


def parse_arguments() -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--users", type=int, default=50_000)
    parser.add_argument("--groups", type=int, default=5_000)
    parser.add_argument("--memberships", type=int, default=300_000)
    parser.add_argument("--big-groups", type=int, default=3, help="groups of 10,000 among them")
    parser.add_argument("--quick", action="store_true", help="a small company, each thing once")
    parser.add_argument(
        "--ten-times", action="store_true", help="ten times the company: all but what is far or throttled"
    )
    parser.add_argument("--only", action="append", choices=sorted({*_WORKS, *WORKS}), help="may be repeated")
    parser.add_argument("--repeat", type=int, default=3, help="how often ratios are measured; the median counts")
    parser.add_argument("--against", metavar="COMMIT", help="planning and pages of today's build beside that commit's")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def _say(figure: Figure) -> Figure:
    """Tell a figure as soon as it is known: what is measured takes long, and may be broken off."""
    print(f"{figure.work}: {figure.what}: {figure.value:.2f}", file=sys.stderr, flush=True)
    return figure


def main() -> int:
    """Measure and print."""
    options = parse_arguments()
    size = Size(options.users, options.groups, options.memberships, options.big_groups)
    only = frozenset(options.only or ())
    if options.quick:
        size = _QUICK
    if options.ten_times:
        size, only = size.times(10), only or frozenset({"changes", "pull", "plan", "push", "delta", "news", "full"})
    large = options.ten_times
    with tempfile.TemporaryDirectory(prefix="syncd-bench-") as folder:
        course = Course(
            size,
            Path(folder),
            1 if options.quick or large else options.repeat,
            _MEGABYTES_TEN_TIMES if large else _MEGABYTES,
            only,
            ratios=not large,
        )
        if options.against:
            rows = compare(options.against, Path(folder), size, course.repeat, only=only)
            figures = [_say(Figure(work, what, value, limit)) for work, what, value, limit in rows]
        else:
            figures = list(measure(course))
    if options.json:
        document: dict[str, Any] = {
            "size": asdict(size),
            "machine": f"{os.cpu_count()} cores, Python {platform.python_version()}",
            "figures": [{**asdict(figure), "good": figure.good} for figure in figures],
        }
        print(json.dumps(document, indent=2))
    else:
        print(f"{size.users:,} users, {size.groups:,} groups, {size.memberships:,} memberships, {os.cpu_count()} cores")
        for figure in figures:
            limit = "" if figure.limit is None else f"at most {figure.limit:g}  {'ok' if figure.good else 'BEYOND'}"
            print(f"{figure.work:6} {figure.what:48} {figure.value:12,.2f}  {limit}".rstrip())
    return 0 if all(figure.good for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
