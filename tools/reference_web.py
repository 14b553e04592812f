"""The metrics, as a daemon shows them that has done a little of everything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from prometheus_client.parser import text_string_to_metric_families

from syncd.daemon.state import HeldChanges
from syncd.model.durations import Durations
from syncd.model.run import RunKind, RunRecord, RunRequest
from syncd.plan.daily import Allowance
from syncd.store.reports.gauges import Gauges
from syncd.web.metrics import render_metrics
from syncd.web.vitals import StoreView
from tools.reference_table import escape

_NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
_HELD = HeldChanges(1, _NOON, (1,))
_GAUGES = Gauges(failing=1, seats={"PowerUser": 2}, seats_free={"PowerUser": 1}, licences_waiting={"PowerUser": 1})
_HEAD = ["| metric | type | labels | meaning |", "|---|---|---|---|"]


@dataclass(frozen=True, slots=True)
class _Sample:
    """The vitals of a daemon in which each counter has counted something."""

    role: Literal["starting", "standby", "working", "stopping"] = "working"
    running: RunRequest | None = None
    running_since: datetime | None = None
    progress: Mapping[str, int] = field(default_factory=dict)
    runs_total: Mapping[tuple[str, str], int] = field(default_factory=lambda: {("delta", "succeeded"): 1})
    changes_total: Mapping[tuple[str, str, str], int] = field(default_factory=lambda: {("create", "user", "done"): 1})
    traffic_total: Mapping[tuple[str, str], int] = field(
        default_factory=lambda: {("graph", "requests"): 1, ("graph", "throttled"): 1}
    )

    messages_total: Mapping[tuple[str, str], int] = field(default_factory=dict)
    durations: Mapping[tuple[str, str], Durations] = field(
        default_factory=lambda: {("run", "full"): Durations(), ("phase", "pull"): Durations()}
    )
    reload_refused: bool = False
    settings_since: datetime = _NOON
    credentials: Mapping[str, datetime] = field(default_factory=lambda: {"graph.certificate_file": _NOON})

    def now(self) -> datetime:
        return _NOON

    def next_times(self) -> Mapping[str, datetime]:
        return {"full": _NOON}

    def is_stale(self, last_good: datetime | None) -> bool:
        return last_good is None

    async def probe_store(self) -> str:
        return ""

    async def load_runs(self, limit: int) -> Sequence[RunRecord]:
        del limit
        return ()

    async def load_last(self, kind: RunKind) -> RunRecord | None:
        del kind
        return None

    async def load_last_good(self) -> datetime | None:
        return None

    async def load_last_through(self) -> datetime | None:
        return None

    async def load_held(self) -> HeldChanges:
        return _HELD

    async def load_states(self) -> Mapping[str, Mapping[str, int]]:
        return {}

    async def load_drift(self) -> Mapping[str, int]:
        return {"user": 1}

    async def load_allowances(self) -> Sequence[Allowance]:
        return ()

    async def load_last_success(self) -> datetime | None:
        return None

    async def load_gauges(self) -> Gauges:
        return _GAUGES


def make_table(kept: Mapping[str, str]) -> list[str]:
    """Return a table of all metrics."""
    lines = list(_HEAD)
    for name, kind, labels in list_metrics():
        cell = f"`{name}`"
        lines.append(f"| {cell} | {kind} | {escape(labels)} | {kept.get(cell, '')} |")
    return lines


def list_metrics() -> list[tuple[str, str, str]]:
    """Return the name as it is scraped, the type and the labels of each metric, in the order of the page."""
    run = RunRecord(id=1, kind="full", trigger="schedule", status="succeeded", started_at=_NOON, finished_at=_NOON)
    last: Mapping[RunKind, RunRecord] = {"full": run}
    store = StoreView(
        problem="",
        runs=tuple(last.values()),
        last=last,
        last_good=_NOON,
        last_success=_NOON,
        glance=_GAUGES,
        states={"user": {"active": 1}, "group": {"active": 1}},
        drift={"user": 1},
        held=_HELD,
        allowances=(Allowance(action="unlink", object="membership", used=1, allowed=20),),
    )
    text = render_metrics(_Sample(), store).decode()
    found: list[tuple[str, str, str]] = []
    for family in text_string_to_metric_families(text):
        samples = [sample for sample in family.samples if not sample.name.endswith("_created")]
        if not family.name.startswith("syncd_"):
            continue  # those of the process are everybody's
        labels = sorted({label for sample in samples for label in sample.labels} - {"le"})
        found.append(
            (
                family.name if family.type == "histogram" else samples[0].name,
                family.type,
                ", ".join(f"`{label}`" for label in labels) or "–",
            )
        )
    return found
