"""A run is one execution: a pull, or a push, or both; its record is the run log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from syncd.model.kinds import RECORD_KINDS, RecordKind

PullKind = Literal["full", "delta", "none"]
RunKind = Literal["full", "delta", "plan", "apply", "undo", "drift", "replay", "user", "group"]
SINGLE_KINDS: tuple[RunKind, ...] = RECORD_KINDS
"""Runs over one object: they say nothing about the others, and what is open of those stays open."""
REVERSALS: tuple[RunKind, ...] = ("undo", "drift", "replay")
"""Kinds of run that set something back and compare nothing: what other runs left open stays open beside them."""

Removals = Literal["all", "stated", "none"]
"""What may be taken away: all that the directory calls for; only what the tenant has stated itself, since a full read
without proof may have missed something; or nothing, since a stream that had objects shows none, or shows what is wrong.
"""

Trigger = Literal["schedule", "signal", "cli", "start", "approval"]
RunStatus = Literal["running", "succeeded", "partial", "held", "failed", "interrupted"]

HELD_FOR = timedelta(days=7)
"""How long a held plan may be approved; after that it has to be planned anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How long something is kept: runs with their changes, and who was where since it is over."""

    runs: timedelta
    history: timedelta


RUN_EXIT_CODES: Mapping[RunStatus, int] = {
    "succeeded": 0,
    "partial": 3,
    "held": 4,
    "failed": 1,
    "interrupted": 1,
    "running": 1,
}


def find_exit_code(record: RunRecord) -> int:
    """Return the exit code of a command that carried out this run."""
    return 2 if record.status == "failed" and record.misconfigured else RUN_EXIT_CODES[record.status]


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """Which held changes of a run a person released: all, or those of some actions, or of some (folded) BPS ids."""

    run_id: int
    actions: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    order: int = 0
    """The order in the store by which a daemon was asked for it; 0: this process carries it out unasked."""

    def covers(self, action: str, *bps_ids: str) -> bool:
        """Return whether a change is meant."""
        folded = {bps_id.casefold() for bps_id in bps_ids}
        return (not self.actions or action in self.actions) and (not self.only or not folded.isdisjoint(self.only))


@dataclass(frozen=True, slots=True)
class Wanted:
    """The one object that an operator asked for: by its id, a user also by UPN, a group also by its display name."""

    kind: RecordKind
    name: str


@dataclass(frozen=True, slots=True)
class Subject:
    """The one object of a run, found: its kind and its source id."""

    kind: RecordKind
    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """What a trigger asks for. ``write`` False: plan only, the target is never written."""

    pull: PullKind
    trigger: Trigger
    write: bool = True
    retry_failed: bool = False
    """Ignore the retry delay of failing objects (an operator's explicit sync does)."""
    approval: Approval | None = None
    """Apply exactly these held changes of an earlier run, and nothing else."""
    only: Wanted | None = None
    """Read, plan and push this one object; ``pull`` is none then."""
    drift: bool = False
    """Read the whole portal and find what was changed by hand, and do nothing about it; ``pull`` is none then."""
    wishes: tuple[int, ...] = ()
    """The wishes in the store that it serves (`store.runs.asked`)."""

    @property
    def is_question(self) -> bool:
        """Return whether it only looks: nothing is written to the target for it."""
        return self.drift or not self.write

    def merge(self, other: RunRequest) -> RunRequest:
        """Return the one request that serves both: full beats delta."""
        order: dict[PullKind, int] = {"none": 0, "delta": 1, "full": 2}
        stronger = self if order[self.pull] >= order[other.pull] else other
        return RunRequest(
            pull=stronger.pull,
            trigger=stronger.trigger,
            write=self.write or other.write,
            retry_failed=self.retry_failed or other.retry_failed,
            wishes=tuple(sorted({*self.wishes, *other.wishes})),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """One row of the run history. Times are aware UTC; ``counts`` and ``phases`` (seconds) have stable keys.

    ``proof`` says per stream that was read in full what its completeness rests on; plain JSON values.
    ``misconfigured``: it failed for what the settings say; known to the one who carried it out, and not remembered.
    """

    id: int
    kind: RunKind
    trigger: Trigger
    status: RunStatus
    started_at: datetime
    finished_at: datetime | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    phases: Mapping[str, float] = field(default_factory=dict)
    error: str = ""
    proof: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    misconfigured: bool = False
