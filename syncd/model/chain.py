"""The chain of run records: each entry is hashed together with the one before it, so that a changed one is noticed.

An entry holds a digest of what it is about, and no copy of it. Whoever can write the store can make the whole chain
anew: that is noticed only by somebody who noted a hash elsewhere before.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

EntryKind = Literal["begin", "run", "settled", "pruned", "anchor"]
"""begin: where the chain begins; run: how a run ended; settled: what became later of what that run had left open;
pruned: runs that retention lets go; anchor: up to which entry the chain itself was let go.
"""
OPEN_STATUSES = ("planned", "started", "deferred", "held")
"""How a change may stand when its run ends, and be settled later: it becomes ``dropped``, and nothing else."""
SETTLED_STATUS = "dropped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One entry. ``digest``: of what it is about; ``content``: JSON, what is in the entry itself and nowhere else."""

    seq: int
    kind: EntryKind
    run_id: int | None
    digest: str
    previous: str
    hash: str
    content: str = ""


@dataclass(frozen=True, slots=True)
class Break:
    """Where the chain does not hold: the run concerned, if any, and what is wrong with it."""

    run_id: int | None
    what: str


@dataclass(slots=True, kw_only=True)
class Verdict:
    """What a walk along the chain has shown."""

    broken: list[Break] = field(default_factory=list)
    checked: int = 0
    """Runs of which the record, the changes and the outcomes are as they were when they ended."""
    pruned: int = 0
    unhashed: int = 0
    """Runs from before the chain began."""
    pending: int = 0
    """Changes that were settled since the last run ended: the next run appends that."""
    first: int | None = None
    head: str = ""
    entries: int = 0
    has_noted: bool | None = None
    """Whether a hash that was noted before is still in the chain; None: none was given."""


def hash_entry(*, previous: str, kind: EntryKind, run_id: int | None, digest: str) -> str:
    """Return the hash of an entry: SHA-256 over canonical JSON, in hexadecimal."""
    text = json.dumps([previous, kind, run_id, digest], separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def digest_content(content: str) -> str:
    """Return the digest of what stands in the entry itself."""
    return hashlib.sha256(content.encode()).hexdigest()


class Digest:
    """Sums up rows, one after the other: where each ends is part of it, and how many came at once is not."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def add(self, rows: bytes) -> None:
        """Go on with these rows, as one JSON array that is not empty: each is an array in it."""
        self._hash.update(memoryview(rows)[1:-1])
        self._hash.update(b",")

    def finish(self) -> str:
        """Return the digest in hexadecimal."""
        return self._hash.hexdigest()


def join_numbers(numbers: Sequence[int]) -> list[list[int]]:
    """Return sorted numbers as runs of consecutive ones, each with its first and last."""
    found: list[list[int]] = []
    for number in sorted(numbers):
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return found
