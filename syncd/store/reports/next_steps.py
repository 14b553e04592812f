"""What happens next about a person or group, and what somebody can do: loaded for explanations."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from syncd.model.run import HELD_FOR
from syncd.model.source import STREAMS
from syncd.plan.report.next_steps import Place, Step, list_steps
from syncd.store.db.database import Database
from syncd.store.decisions.pauses import Pauses
from syncd.store.directory.full_read import Baseline
from syncd.store.reports.explain import Explanation
from syncd.store.reports.overview import ENDED, PULLS, load_role
from syncd.store.reports.status import Line
from syncd.store.runs.daemons import Daemons
from syncd.store.runs.runlog import RunLog


def load_steps(database: Database, explanation: Explanation, lines: Sequence[Line], *, now: datetime) -> list[Step]:
    """Return what happens next about each record of an object, and what a person can do; each once."""
    found, desired, log = explanation.found, explanation.desired, RunLog(database)
    held: dict[int, datetime | None] = {}
    for run in explanation.open.held:
        record = log.load_run.blocking(run)
        held[run] = record.finished_at + HELD_FOR if record and record.finished_at else None
    pauses = [pause.until for pause in Pauses(database).load_pauses(now=now) if pause.source == found.key]
    next_run, last = _find_next(database, now), log.load_last.blocking(kinds=PULLS, statuses=ENDED)
    concerned = STREAMS if found.kind == "user" else ("groups",)
    unproven: dict[str, str] = {
        stream: why
        for doubts in Baseline(database).load_doubts.blocking().values()
        for stream, why in doubts.items()
        if stream in concerned
    }
    steps: dict[Step, None] = {}
    for line in lines:
        place = Place(
            kind=found.kind,
            id=found.id,
            state=line.state,
            bps_id=line.bps_id or "",
            cause=str(desired["cause"]) if desired else "",
            open=bool(explanation.open.number),
            held=held,
            adopting=explanation.open.adopting,
            retried_at=explanation.open.retried_at,
            paused_until=min(pauses, default=None),
            next_run=next_run,
            unproven=unproven,
            failed=(last.id, last.error or "") if last and last.status == "failed" else None,
        )
        steps |= dict.fromkeys(list_steps(place))
    return list(steps)


def _find_next(database: Database, now: datetime) -> datetime | None:
    """Return when the working daemon starts its next run, None when none works."""
    if load_role(database, now=now) != "daemon":
        return None
    times = [
        moment
        for seen in Daemons(database).load_up(now=now)
        if seen.role == "working"
        for moment in (seen.next_full, seen.next_delta)
        if moment is not None
    ]
    return min(times, default=None)
