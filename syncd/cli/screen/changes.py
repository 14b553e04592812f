"""Changes as rows of a table and as entries of a document."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from syncd.cli.screen.names import name_groups
from syncd.cli.screen.output import (
    print_line,
    print_table,
    take_shown,
)
from syncd.model.reason import Cause

if TYPE_CHECKING:
    from syncd.model.change import Change, OutcomeStatus, PlannedChange
    from syncd.model.run import RunRecord
    from syncd.store.db.database import Database

STATUSES: tuple[OutcomeStatus, ...] = ("failed", "held", "deferred", "started", "planned", "dropped", "done")
"""What an operator looks for comes first."""
_ROWS: tuple[OutcomeStatus, ...] = (*STATUSES[:-2], "done", "dropped")
"""The same for single changes, of which not all are shown: what was done is more than what was only thought of."""


def print_changes(database: Database, record: RunRecord) -> None:
    """Print the changes of a run with their outcomes, failures first, as many as a screen bears."""
    from syncd.store.store import Store

    plans = Store(database).plans
    total = sum(plans.count_outcomes.blocking(record.id).values())
    rows = (
        (planned.status, change.action, change.object, change.bps_id, change.target, _explain_change(planned))
        for status in _ROWS
        for chunk in plans.iterate_changes(record.id, statuses=[status])
        for planned, _, _ in chunk
        for change in (planned.change,)
    )
    shown, left = take_shown(rows, total)
    columns = (("outcome", 3), ("action", 2), ("object", 3), ("bps id", 8), ("member", 8), ("what, why", 12))
    print_table(columns, name_groups(database, shown, kind=2))
    if left:
        print_line(f"{left:,} more changes are not shown: 'syncd runs show {record.id} --json' has all {total:,}.")


def describe_changes(database: Database, run_id: int) -> Iterator[dict[str, object]]:
    """Yield the changes of a run as entries of its JSON document."""
    from syncd.store.store import Store

    for chunk in Store(database).plans.iterate_changes(run_id):
        for planned, _, _ in chunk:
            change = planned.change
            yield {
                **describe_change(planned),
                "outcome": planned.status,
                "before": dict(change.before),
                "after": dict(change.after),
                "cause": change.reason.cause.value or None,
                "reason": change.reason.text or None,
                "error": planned.error.text or None,
            }


def describe_change(planned: PlannedChange) -> dict[str, object]:
    """Return the entry of a change in a plan's document."""
    change = planned.change
    return {
        "action": change.action,
        "object": change.object,
        "bps_id": change.bps_id,
        "target": change.target or None,
    }


def print_refused(database: Database, run_id: int) -> None:
    """Print by name what an approval refused, and why."""
    rows = [
        (change.action, change.object, change.bps_id, change.target, planned.error.text.removeprefix("refused: "))
        for planned in _iterate_refused(database, run_id)
        for change in (planned.change,)
    ]
    if rows:
        print_line("Refused, because one of the sides has changed since it was shown:")
        shown, left = take_shown(iter(rows), len(rows))
        columns = (("action", 8), ("object", 10), ("bps id", 30), ("member", 30), ("why", 40))
        print_table(columns, name_groups(database, shown, kind=1))
        if left:
            print_line(f"… and {left:,} more: 'syncd runs show {run_id} --json' has all")


def describe_refused(database: Database, run_id: int) -> list[dict[str, object]]:
    """Return the entries of what an approval refused, each with the reason."""
    return [
        {**describe_change(planned), "reason": planned.error.text} for planned in _iterate_refused(database, run_id)
    ]


def _iterate_refused(database: Database, run_id: int) -> Iterator[PlannedChange]:
    return (each for each in iterate_dropped(database, run_id) if each.error.cause is Cause.OVERTAKEN)


def print_following(database: Database, run_id: int) -> None:
    """Print apart what would be removed after the adoptions that a run withholds, each with the true reason."""
    from syncd.store.store import Store

    total = Store(database).plans.count_following(run_id)
    if not total:
        return
    print_line()
    print_line(
        f"Not part of it: once they are adopted, the next run would remove {total:,}, within the guard's limits:"
    )
    rows = (
        (change.action, change.object, change.bps_id, change.target, tell_why(change))
        for planned in iterate_following(database, run_id)
        for change in (planned.change,)
    )
    shown, left = take_shown(rows, total)
    columns = (("action", 8), ("object", 10), ("bps id", 30), ("member", 30), ("why", 40))
    print_table(columns, name_groups(database, shown, kind=1))
    if left:
        print_line(f"… and {left:,} more; --json shows all")


def describe_following(database: Database, run_id: int) -> Iterator[dict[str, object]]:
    """Yield the entries of what would follow from the adoptions that a run withholds."""
    for planned in iterate_following(database, run_id):
        yield {**describe_change(planned), "reason": tell_why(planned.change)}


def iterate_following(database: Database, run_id: int) -> Iterator[PlannedChange]:
    """Yield what would be removed once the adoptions are approved."""
    return (each for each in iterate_dropped(database, run_id) if each.error.cause is Cause.FOLLOWS_ADOPTION)


def iterate_dropped(database: Database, run_id: int) -> Iterator[PlannedChange]:
    """Yield what stands in the plan of a run and is not carried out."""
    from syncd.store.store import Store

    for chunk in Store(database).plans.iterate_changes(run_id, statuses=["dropped"]):
        yield from (planned for planned, _, _ in chunk)


def _explain_change(planned: PlannedChange) -> str:
    change = planned.change
    return "; ".join(
        part for part in (planned.error.text, put_in_words(change.reason.text), describe_values(change)) if part
    )


def tell_why(change: Change, leaving: str = "") -> str:
    """Return the reason of a change in words; ``leaving``: why nobody wants the record concerned any more."""
    words, cause = put_in_words(change.reason.text), change.reason.cause
    if cause in (Cause.DISABLED, Cause.DELETED) and change.action != "delete":
        return leaving or f"{words} in the tenant"
    told = cause in (Cause.OUT_OF_SCOPE, Cause.STANDS_IN)
    return f"{words}: {leaving}" if told and leaving else words


def put_in_words(reason: str) -> str:
    """Return the reason of a change as a person would write it."""
    return reason.replace("out_of_scope", "out of scope")


def describe_values(change: Change) -> str:
    """Return the values that a change sets, each with the one before where there was one."""
    return ", ".join(
        f"{name}: {change.before.get(name) or '–'} → {value or '–'}" if name in change.before else f"{name}: {value}"
        for name, value in sorted(change.after.items())
    )
