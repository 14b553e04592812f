"""The documents of runs, plans and the state of everything."""

from __future__ import annotations

from typing import Annotated, Literal, TypedDict

from msgspec import Meta

from syncd.cli.documents.lists import Date
from syncd.cli.documents.shared import (
    Allowance,
    Change,
    Count,
    Licence,
    PlannedChange,
    ReasonedChange,
    Run,
    Time,
    TriedChange,
    WithheldChange,
)
from syncd.model.change import Action, OutcomeStatus
from syncd.plan.report.status import ObjectStatus
from syncd.store.reports.overview import Role


class RunShown(Run):
    """One run with every change."""

    asked_by: Annotated[list[str], Meta(description="Who asked for it by `syncd trigger`.")]
    changes: list[TriedChange]


class Believed(TypedDict):
    """A list of the tenant that somebody says is truly empty."""

    stream: Literal["users", "groups"]
    needs_full_run: Annotated[
        bool,
        Meta(description="The next full run acts on it; false: any run does, as every object is known to be gone."),
    ]


class Approved(Run):
    """The run that an approval made, with what it refused; of an emptied tenant the run that holds it."""

    refused: list[ReasonedChange]
    believed: list[Believed]


class Skipped(TypedDict):
    """Who is not mapped."""

    source_id: str
    reason: str


class WaveOfPlan(TypedDict):
    """One wave of a plan that goes in waves."""

    wave: Count
    changes: Count


class Plan(TypedDict):
    """What a push would do."""

    id: Annotated[int, Meta(description="The run that planned.")]
    changes: list[PlannedChange]
    counts: dict[Action, int]
    skipped: list[Skipped]
    held: list[WithheldChange]
    deferred: list[WithheldChange]
    dropped: list[ReasonedChange]
    follows: Annotated[
        list[ReasonedChange], Meta(description="What the run after an adoption would remove; no part of the plan.")
    ]
    waves: Annotated[list[WaveOfPlan], Meta(description="By `policy.waves`; empty when the plan goes at once.")]


class Undone(Change):
    """A change that sets something back."""

    outcome: OutcomeStatus


class NotUndone(ReasonedChange):
    """What cannot be undone."""

    source_id: str | None


class Undo(TypedDict):
    """The reverse of a run."""

    id: int
    changes: list[Undone]
    counts: dict[Action, int]
    skipped: list[NotUndone]
    held: list[ReasonedChange]
    deferred: list[ReasonedChange]


class Daemon(TypedDict):
    """A daemon that is up."""

    role: str
    host: str
    pid: int
    since: Time


class Store(TypedDict):
    """Where the store is, and its revision. ``fresh``: no full run has succeeded in it, and nothing is ours."""

    address: str
    revision: str | None
    fresh: bool


class Side(TypedDict):
    """How the last run fared with one side."""

    state: Literal["ok", "failed", "unknown"]
    run: int | None
    at: Time | None
    reason: str | None


class Sides(TypedDict):
    """Both sides."""

    graph: Side
    bps: Side


class LastRuns(TypedDict):
    """The last run of each kind, and the last one that succeeded."""

    full: Run | None
    delta: Run | None
    succeeded: Run | None


class NextRuns(TypedDict):
    """When each kind comes next."""

    full: Time | None
    delta: Time | None


class Holding(TypedDict):
    """A run that withholds something."""

    run: int
    changes: Count
    since: Time | None
    expires_at: Time


class HeldNow(TypedDict):
    """How much waits for approval."""

    changes: Count
    runs: list[Holding]
    emptied: Annotated[
        list[Literal["users", "groups"]],
        Meta(description="Held as a whole: the tenant shows no active one of them any more."),
    ]
    allowances: list[Allowance]


class Failing(TypedDict):
    """How much failed and is tried again."""

    changes: Count
    next_at: Time | None


class Drift(TypedDict):
    """How many differences are known."""

    differences: Count


class Status(TypedDict):
    """Whether all is well, and what comes next."""

    well: bool
    troubles: list[str]
    role: Role
    daemons: list[Daemon]
    running: Run | None
    store: Store
    sides: Sides
    last_runs: LastRuns
    next_runs: NextRuns
    people: dict[ObjectStatus, int]
    groups: dict[ObjectStatus, int]
    held: HeldNow
    failing: Failing
    drift: Drift
    licences: list[Licence]
    due: Annotated[list[Date], Meta(description="What comes within 30 days.")]
