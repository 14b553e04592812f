"""How each side was when a run last talked to it, as far as the records of the newest runs tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from syncd.model.run import RunRecord

Side = Literal["graph", "bps"]
SIDES: Mapping[Side, str] = {"graph": "Entra ID", "bps": "WEBCON BPS"}


@dataclass(frozen=True, slots=True, kw_only=True)
class SideState:
    """What is known of a side. ``reason``: why it did not work; ``run``: the run that tells, None before the first."""

    state: Literal["ok", "failed", "unknown"]
    run: int | None = None
    at: datetime | None = None
    reason: str = ""


def find_side(side: Side, runs: Sequence[RunRecord]) -> SideState:
    """Return how a side was in the newest run that talked to it. ``runs``: newest first."""
    for run in runs:
        if run.status in ("running", "interrupted"):
            continue
        state = _judge(run, side)
        if state is not None:
            return SideState(state=state, run=run.id, at=run.started_at, reason=run.error if state == "failed" else "")
    return SideState(state="unknown")


def _judge(run: RunRecord, side: Side) -> Literal["ok", "failed"] | None:
    """Return how a side was in a run, None when the run does not tell."""
    pulled_only = set(run.phases) <= {"pull"}
    if run.status == "failed" and _failed_in_planning(run):  # it may be the fault of neither
        return "ok" if side == "graph" and "pull" in run.phases else None
    if run.status == "failed" and not run.phases:
        return "failed"
    if side == "graph":
        if run.status == "failed" and pulled_only:
            return "failed"
        return "ok" if "pull" in run.phases else None
    if run.status == "failed":
        return None if pulled_only else "failed"
    wrote = run.phases.keys() & {"apply", "read portal", "read portal members"}
    return "ok" if wrote else None


def _failed_in_planning(run: RunRecord) -> bool:
    """Return whether a run failed with both sides read: a plan that is refused, say, or a group that is not found."""
    return "plan" in run.phases and not run.phases.keys() & {"apply", "read portal members"}
