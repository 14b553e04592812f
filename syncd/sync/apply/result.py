"""What a push did, as numbers and sentences."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from syncd.plan.guard import Hold

if TYPE_CHECKING:
    from syncd.store.store import Store


@dataclass(slots=True, kw_only=True)
class PushResult:
    """What a push did. ``outcomes``: number of changes per status; ``planned``: per action."""

    full: bool = False
    holds: list[Hold] = field(default_factory=list)
    planned: dict[str, int] = field(default_factory=dict)
    outcomes: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    """What the administrator should know although nothing failed: seats that are lacking, say."""
    refused: str = ""
    """What of an approval was refused, because a side has changed since it was shown."""
    restored: str = ""
    """That the portal went back in time, and what was written all the same: the run has failed."""
    malformed: dict[str, int] = field(default_factory=dict)
    """Records of the portal that could not be understood, under the names of the run's counts."""


async def add_outcomes(result: PushResult, store: Store, run_id: int) -> PushResult:
    """Count in a result what became of a run's changes, and return it."""
    for (action, _kind, status), number in sorted((await store.plans.count_outcomes(run_id)).items()):
        if status != "dropped":
            result.planned[action] = result.planned.get(action, 0) + number
        result.outcomes[status] = result.outcomes.get(status, 0) + number
    return result
