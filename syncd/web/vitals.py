"""What the web pages need to know: the daemon, as a protocol that it fulfils unknowingly, and what its store said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol

from syncd.model.run import RunKind, RunRecord, RunRequest
from syncd.plan.daily import Allowance

PULLS: tuple[RunKind, ...] = ("full", "delta")


class Vitals(Protocol):
    """A running daemon, as seen from outside. Times are aware UTC; the loading methods raise StoreError."""

    @property
    def role(self) -> Literal["starting", "standby", "working", "stopping"]:
        """Return the daemon's part."""
        ...

    @property
    def running(self) -> RunRequest | None:
        """Return what the run in hand was asked to do."""
        ...

    @property
    def running_since(self) -> datetime | None:
        """Return when the run in hand began."""
        ...

    @property
    def progress(self) -> Mapping[str, int]:
        """Return how far the run in hand has come, by counter."""
        ...

    @property
    def runs_total(self) -> Mapping[tuple[str, str], int]:
        """Return the runs of this process by kind and status."""
        ...

    @property
    def changes_total(self) -> Mapping[tuple[str, str], int]:
        """Return the changes of this process by action and outcome."""
        ...

    @property
    def traffic_total(self) -> Mapping[tuple[str, str], int]:
        """Return requests and throttled answers of this process by side."""
        ...

    def now(self) -> datetime:
        """Return the daemon's own time."""
        ...

    def next_times(self) -> Mapping[str, datetime]:
        """Return when each kind of run comes next."""
        ...

    def is_stale(self, last_good: datetime | None) -> bool:
        """Return whether no run went well for too long."""
        ...

    async def probe_store(self) -> str:
        """Return why the store cannot be used, nothing when it can."""
        ...

    async def load_runs(self, limit: int) -> Sequence[RunRecord]:
        """Return the newest runs, newest first."""
        ...

    async def load_last(self, kind: RunKind) -> RunRecord | None:
        """Return the newest closed run of a kind."""
        ...

    async def load_last_good(self) -> datetime | None:
        """Return when the last run that went through ended."""
        ...

    async def load_held_since(self) -> datetime | None:
        """Return since when the oldest is held of what waits for approval, None when nothing does."""
        ...

    async def load_allowances(self) -> Sequence[Allowance]:
        """Return what the last 24 hours took away unasked, and how much of it a day allows."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreView:
    """What the store said when it was asked for a page: nothing but ``problem`` when it said nothing.

    ``runs`` are the newest ones of all, newest first, ``last`` the newest closed one of each kind.
    """

    problem: str
    runs: Sequence[RunRecord] = ()
    last: Mapping[RunKind, RunRecord] = field(default_factory=dict)
    last_good: datetime | None = None
    stale: bool = False
    held_since: datetime | None = None
    allowances: Sequence[Allowance] = ()

    def count_held(self) -> tuple[int, RunRecord | None]:
        """Return how many changes the newest run withheld, and which run that is."""
        newest = max(self.last.values(), key=lambda run: run.id, default=None)
        return (0 if newest is None else newest.counts.get("held", 0)), newest
