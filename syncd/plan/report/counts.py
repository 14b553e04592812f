"""What a run came to, in words: of its many counters those that tell of changes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import get_args

from syncd.model.change import Action, OutcomeStatus
from syncd.model.run import RunRecord

_TOLD = (*get_args(Action), *get_args(OutcomeStatus))


def tell_counts(counts: Mapping[str, int]) -> str:
    """Return how many changes of each kind a run had and how they ended; empty when it had none."""
    return ", ".join(f"{name} {counts[name]:,}" for name in _TOLD if counts.get(name))


def find_same(records: Sequence[RunRecord]) -> dict[int, int]:
    """Return for each run that says what the one before it in the list says which run says it first."""
    found: dict[int, int] = {}
    for before, record in pairwise(records):
        if record.error and record.error == before.error:
            found[record.id] = found.get(before.id, before.id)
    return found


def group_holds(holds: Iterable[tuple[Action, int, str]]) -> dict[str, list[tuple[Action, int]]]:
    """Return what is withheld by the reason, so that each is said once, however many kinds of change it concerns."""
    found: dict[str, list[tuple[Action, int]]] = {}
    for action, number, reason in holds:
        found.setdefault(reason, []).append((action, number))
    return found
