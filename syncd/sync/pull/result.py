"""What a pull did, as the run and the push after it look at it."""

from __future__ import annotations

from dataclasses import dataclass, field

from syncd.model.run import Removals, Subject
from syncd.model.source import Stream


@dataclass(slots=True, kw_only=True)
class PullResult:
    """What a pull did. ``full``: at least one stream was read as a whole. ``unproven``: why a read has no proof.

    ``emptied``: streams that read empty although objects are stored; ``shown``: those of which any object came.
    ``uncounted``: the last full read has no proof, but nothing contradicts it; ``unbelieved``: what it showed is wrong.
    ``subject``: the only object that was read; ``doubts``: what a reading could not settle. ``proof``: per stream
    that was read as a whole what its completeness rests on, as plain values.
    """

    full: bool = False
    unproven: dict[Stream, str] = field(default_factory=dict)
    emptied: list[Stream] = field(default_factory=list)
    uncounted: bool = False
    unbelieved: bool = False
    shown: set[Stream] = field(default_factory=set)
    counts: dict[str, int] = field(default_factory=dict)
    subject: Subject | None = None
    doubts: list[str] = field(default_factory=list)
    proof: dict[str, dict[str, object]] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Return whether everything may be concluded from what is stored now."""
        return self.removals == "all"

    @property
    def removals(self) -> Removals:
        """Return what may be taken away because of what is stored now."""
        if self.emptied or self.unbelieved:
            return "none"
        return "stated" if self.unproven or self.uncounted else "all"

    def add(self, name: str, number: int) -> None:
        """Add to a counter."""
        if number:
            self.counts[name] = self.counts.get(name, 0) + number
