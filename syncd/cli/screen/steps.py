"""What an explanation says of the future of a person or group: loaded, described, printed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from syncd.cli.screen.names import OF_GROUPS
from syncd.cli.screen.output import print_line

if TYPE_CHECKING:
    from syncd.store.db.database import Database
    from syncd.store.reports.explain import Explanation
    from syncd.store.reports.status import Line


def describe_steps(
    database: Database, explanation: Explanation, lines: Sequence[Line], *, now: datetime
) -> list[dict[str, str]]:
    """Return what happens next about each record of an object, and what a person can do."""
    from syncd.model.run import HELD_FOR
    from syncd.model.source import STREAMS
    from syncd.plan.report.next_steps import Place, find_held_runs, list_steps
    from syncd.store.decisions.pauses import Pauses
    from syncd.store.store import Store

    found, desired, store = explanation.found, explanation.desired, Store(database)
    held: dict[int, datetime | None] = {}
    for run in find_held_runs(explanation.pending):
        record = store.runs.load_run.blocking(run)
        held[run] = record.finished_at + HELD_FOR if record and record.finished_at else None
    attempts = [entry["next_attempt_at"] for entry in explanation.pending if entry.get("next_attempt_at")]
    pauses = [pause.until for pause in Pauses(database).load_pauses(now=now) if pause.source == found.key]
    concerned = STREAMS if found.kind == "user" else ("groups",)
    unproven: dict[str, str] = {
        stream: why
        for doubts in store.full_reads.load_doubts.blocking().values()
        for stream, why in doubts.items()
        if stream in concerned
    }
    steps: dict[tuple[str, str], None] = {}
    for line in lines:
        place = Place(
            kind=found.kind,
            id=found.id,
            state=line.state,
            bps_id=line.bps_id or "",
            cause=str(desired["cause"]) if desired else "",
            open=bool(explanation.pending),
            held=held,
            retried_at=min(attempts, default=None),
            paused_until=min(pauses, default=None),
            next_run=_find_next(database, now),
            unproven=unproven,
        )
        steps |= {(step.happens, step.do): None for step in list_steps(place)}
    return [{"happens": happens, "do": do} for happens, do in steps]


def _find_next(database: Database, now: datetime) -> datetime | None:
    """Return when the working daemon starts its next run, None when none works."""
    from syncd.store.reports.overview import load_role
    from syncd.store.store import Store

    if load_role(database, now=now) != "daemon":
        return None
    times = [
        moment
        for seen in Store(database).daemons.load_up(now=now)
        if seen.role == "working"
        for moment in (seen.next_full, seen.next_delta)
        if moment is not None
    ]
    return min(times, default=None)


def print_steps(steps: Sequence[Mapping[str, str]]) -> None:
    """Print what happens next, and what a person can do."""
    for step in steps:
        print_line(f"Next: {step['happens']}")
        if step["do"]:
            print_line(f"  you can: {step['do']}")


def load_names(database: Database, document: Mapping[str, Any]) -> dict[str, str]:
    """Return the names of all groups of the portal that an explanation mentions, by their BPS ids."""
    from syncd.store.inventory.bps_ids import load_group_names

    return load_group_names(database, set(_iterate_group_ids(document)))


def _iterate_group_ids(document: Mapping[str, Any]) -> Iterator[str]:
    target = document["target"]
    for record in [target, *target["other_records"]] if target else []:
        yield from (*(record.get("groups") or ()), *(record.get("owns") or ()))
        yield from (item[side] for item in record["by_hand"] for side in ("ours", "theirs") if item[side])
    for entry in (*document["pending"], *document["outcomes"], *document["rejected"]):
        if entry["object"] in OF_GROUPS:
            yield entry["bps_id"]


def name_id(bps_id: str | None, names: Mapping[str, str]) -> str | None:
    """Return a BPS id with the name of its group beside it, where it has one."""
    name = names.get(bps_id or "")
    return f"{bps_id} ({name})" if name else bps_id
