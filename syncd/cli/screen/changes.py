"""Changes as rows of a table and as entries of a document."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from syncd.model.reason import Cause

if TYPE_CHECKING:
    from syncd.cli.documents import shared as documents
    from syncd.cli.documents.shared import ReasonedChange, TriedChange
    from syncd.model.change import Action, Change, OutcomeStatus, PlannedChange
    from syncd.store.db.database import Database

STATUSES: tuple[OutcomeStatus, ...] = ("failed", "held", "deferred", "started", "planned", "dropped", "done")
"""What an operator looks for comes first."""
ROWS: tuple[OutcomeStatus, ...] = (*STATUSES[:-2], "done", "dropped")
"""The same for single changes, of which not all are shown: what was done is more than what was only thought of."""


def describe_changes(
    database: Database,
    run_id: int,
    *,
    statuses: Sequence[OutcomeStatus] | None = None,
    actions: Sequence[Action] | None = None,
) -> Iterator[TriedChange]:
    """Yield the changes of a run, all or some, as entries of its JSON document."""
    from syncd.store.store import Store

    for chunk in Store(database).plans.iterate_changes(run_id, statuses=statuses, actions=actions):
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


def describe_change(planned: PlannedChange) -> documents.Change:
    """Return the entry of a change in a plan's document."""
    change = planned.change
    return {
        "action": change.action,
        "object": change.object,
        "bps_id": change.bps_id,
        "target": change.target or None,
    }


def describe_refused(database: Database, run_id: int) -> list[ReasonedChange]:
    """Return the entries of what an approval refused, each with the reason."""
    return [{**describe_change(planned), "reason": planned.error.text} for planned in iterate_refused(database, run_id)]


def iterate_refused(database: Database, run_id: int) -> Iterator[PlannedChange]:
    """Yield what an approval refused."""
    return (each for each in iterate_dropped(database, run_id) if each.error.cause is Cause.OVERTAKEN)


def describe_following(database: Database, run_id: int) -> Iterator[ReasonedChange]:
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


def explain_change(planned: PlannedChange) -> str:
    """Return why a change ended as it did, and why it was wanted."""
    return "; ".join(part for part in (planned.error.text, put_in_words(planned.change.reason.text)) if part)


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
    """Return the values that a change sets, each with the one before where there was one.

    Of a privilege they are how the store knows it; what a person calls it is the target of the change.
    """
    if change.object == "privilege":
        return ""
    return ", ".join(
        f"{name}: {change.before.get(name) or '–'} → {value or '–'}" if name in change.before else f"{name}: {value}"
        for name, value in sorted(change.after.items())
    )
