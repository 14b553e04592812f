"""What the web pages need to know: the daemon, as a protocol that it fulfils unknowingly, and what its store said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol

from syncd.model.durations import Durations
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
    def changes_total(self) -> Mapping[tuple[str, str, str], int]:
        """Return the changes of this process by action and outcome."""
        ...

    @property
    def traffic_total(self) -> Mapping[tuple[str, str], int]:
        """Return requests and throttled answers of this process by side."""
        ...

    @property
    def messages_total(self) -> Mapping[tuple[str, str], int]:
        """Return the messages of this process by channel and by what became of them: sent, failed."""
        ...

    @property
    def durations(self) -> Mapping[tuple[str, str], Durations]:
        """Return how long runs (by kind) and phases (by name) of this process took."""
        ...

    @property
    def reload_refused(self) -> bool:
        """Return whether the settings were refused when they were last read."""
        ...

    @property
    def settings_since(self) -> datetime:
        """Return since when the settings in force are in force."""
        ...

    @property
    def credentials(self) -> Mapping[str, datetime]:
        """Return when the credentials end that end soon or have ended, by setting."""
        ...

    def now(self) -> datetime:
        """Return the daemon's own time."""
        ...

    def next_times(self) -> Mapping[str, datetime]:
        """Return when each kind of run comes next."""
        ...

    def is_stale(self, last_through: datetime | None) -> bool:
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

    async def load_last_through(self) -> datetime | None:
        """Return when the last run went through, though it may have held or failed something; raises StoreError."""
        ...

    async def load_last_good(self) -> datetime | None:
        """Return when the last run that went through ended."""
        ...

    async def load_held(self) -> HeldNow:
        """Return what waits for approval."""
        ...

    async def load_states(self) -> Mapping[str, Mapping[str, int]]:
        """Return how many people and groups are in each state, as they were a few minutes ago at the longest."""
        ...

    async def load_drift(self) -> Mapping[str, int]:
        """Return how many differences by hand are known, by kind of object; as old as the states."""
        ...

    async def load_allowances(self) -> Sequence[Allowance]:
        """Return what the last 24 hours took away unasked, and how much of it a day allows."""
        ...

    async def load_last_success(self) -> datetime | None:
        """Return when the last run ended of which nothing was held or failed."""
        ...

    async def load_gauges(self) -> Glance:
        """Return what the store tells at a glance."""
        ...


class HeldNow(Protocol):
    """What waits for approval, each change once, however many runs held it."""

    @property
    def changes(self) -> int:
        """Return the number of changes."""
        ...

    @property
    def since(self) -> datetime | None:
        """Return since when the oldest of them is held, None when nothing is."""
        ...

    @property
    def runs(self) -> Sequence[int]:
        """Return the runs that hold them."""
        ...


class Glance(Protocol):
    """Numbers of the store that cost the same however large the company is."""

    @property
    def failing(self) -> int:
        """Return the number of objects whose writing is tried again."""
        ...

    @property
    def seats(self) -> Mapping[str, int]:
        """Return all seats, by type of licence."""
        ...

    @property
    def seats_free(self) -> Mapping[str, int]:
        """Return the seats that are left, by type of licence."""
        ...

    @property
    def licences_waiting(self) -> Mapping[str, int]:
        """Return the people who are to get a licence and have none yet, by type."""
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
    last_success: datetime | None = None
    glance: Glance | None = None
    stale: bool = False
    held: HeldNow | None = None
    allowances: Sequence[Allowance] = ()
    states: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    drift: Mapping[str, int] | None = None
