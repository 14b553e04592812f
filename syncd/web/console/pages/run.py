"""One run: how it went, what its full read rests on, and its changes by person or by group."""

from __future__ import annotations

from itertools import groupby
from typing import get_args

from syncd.model.change import Action, ObjectKind, OutcomeStatus
from syncd.model.run import RunRecord
from syncd.store.reports.run_lists import (
    ChangeLine,
    Filter,
    Grouping,
    count_changes,
    find_size,
    iterate_changes,
    load_changes,
)
from syncd.store.store import Store
from syncd.web.console.charts import draw_phases
from syncd.web.console.pages.exports import export
from syncd.web.console.pages.missing import show_missing
from syncd.web.console.summary import summarize
from syncd.web.console.view import PAGE_ROWS, Page, View

HEADINGS = ("action", "object", "bps id", "member", "name", "before", "after", "outcome", "reason", "error")
PROOF_HEADINGS = ("stream", "complete", "read", "counted", "missing", "removed")
NUMBER_HEADINGS = ("action", "object", "outcome", "number")
_LARGE = 20_000
"""Of a plan with more changes nothing is counted or sorted while a reader waits."""
_OUTCOMES: tuple[OutcomeStatus, ...] = ("failed", "held", "deferred", "started", "planned", "dropped", "done")


def show(view: View) -> Page:
    """Return the page."""
    run_id = int(view.parts["run"])
    store = Store(view.database)
    record = store.runs.load_run.blocking(run_id)
    if record is None:
        return show_missing(view, view.texts("run.missing", n=run_id))
    wanted, by = read_filter(view), read_grouping(view)
    if view.query.get("export") and (
        page := export(
            view,
            f"run-{run_id}",
            HEADINGS,
            map(make_row, iterate_changes(view.database, run_id, wanted=wanted, by=by)),
        )
    ):
        return page
    if page := _export_tables(view, record):
        return page
    size, start = find_size(view.database, run_id), view.count("page") * PAGE_ROWS
    large = size > _LARGE
    lines = load_changes(
        view.database,
        run_id,
        wanted=wanted,
        by=by,
        start=start,
        limit=PAGE_ROWS + 1,
        as_planned=large and not wanted.needle,
    )
    more, lines = len(lines) > PAGE_ROWS, lines[:PAGE_ROWS]
    outcomes = {} if large else store.plans.count_outcomes.blocking(run_id)
    return view.render(
        "run.html",
        title=view.texts("run.title", n=run_id),
        run=record,
        asked=store.asked.load_askers(run_id),
        decisions=store.decisions.load_decisions(run_id),
        phases=draw_phases(record.phases, view.texts),
        outcomes=outcomes,
        columns=[each for each in _OUTCOMES if any(key[2] == each for key in outcomes)],
        kinds=sorted({(action, kind) for action, kind, _ in outcomes}),
        holds=run_id in store.decisions.load_holding_runs(now=view.now),
        groups=group_lines(lines),
        total=None if large and not wanted.needle else count_changes(view.database, run_id, wanted=wanted),
        start=start,
        page=view.count("page"),
        more=more,
        large=size if large else 0,
        summary=summarize(record, view.texts) if large else "",
        wanted=wanted,
        by=by,
        actions=get_args(Action),
        objects=get_args(ObjectKind),
        all_outcomes=_OUTCOMES,
    )


def _export_tables(view: View, record: RunRecord) -> Page | None:
    """Return one of the two smaller tables as a file."""
    proof = (
        (stream, "proven" if found["proven"] else "not proven", *(found[name] for name in PROOF_HEADINGS[2:]))
        for stream, found in sorted(record.proof.items())
    )
    if page := export(view, f"run-{record.id}", PROOF_HEADINGS, proof, table="proof"):
        return page
    if view.query.get("table") != "numbers":
        return None
    numbers = Store(view.database).plans.count_outcomes.blocking(record.id)
    rows = ((*key, number) for key, number in sorted(numbers.items()))
    return export(view, f"run-{record.id}", NUMBER_HEADINGS, rows, table="numbers")


def read_filter(view: View, outcome: str = "") -> Filter:
    """Return which changes the address asks for."""
    return Filter(
        outcome=outcome or view.pick("outcome", get_args(OutcomeStatus)),
        action=view.pick("action", get_args(Action)),
        object=view.pick("object", get_args(ObjectKind)),
        needle=view.query.get("q", "").strip()[:200],
    )


def read_grouping(view: View) -> Grouping:
    """Return by what the address puts changes together."""
    return "record" if view.query.get("by") == "record" else "person"


def group_lines(lines: list[ChangeLine]) -> list[tuple[ChangeLine, list[ChangeLine]]]:
    """Return the lines of each person or group together, with the first of them."""
    found = []
    for _, group in groupby(lines, key=lambda line: line.subject.casefold()):
        together = list(group)
        found.append((together[0], together))
    return found


def make_row(line: ChangeLine) -> tuple[object, ...]:
    """Return a change as a row of a file."""
    before, after = (
        ", ".join(f"{name}: {value or '–'}" for name, value in sorted(values.items()))
        for values in (line.before, line.after)
    )
    return (
        line.action, line.object, line.bps_id, line.target, line.name, before, after, line.outcome, line.reason,
        line.error,
    )  # fmt: skip
