"""How long things took, counted into buckets: what a histogram of a metrics page is made from."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field

BOUNDS = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14400.0)
"""Seconds, from a delta without news to a full read of the largest tenants."""


@dataclass(slots=True)
class Durations:
    """Durations in seconds. ``counts`` has one entry for each bound, and a last one for what is longer than all."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))
    total: float = 0.0

    def add(self, seconds: float) -> None:
        """Count one; what lasted exactly as long as a bound is within it."""
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.total += seconds
