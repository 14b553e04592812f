"""The run history, page by page."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import timedelta
from typing import get_args

from syncd.model.run import RunKind, RunRecord, RunStatus
from syncd.plan.report.counts import find_same
from syncd.store.reports.run_lists import load_days, load_runs_before
from syncd.web.console.charts import draw_kinds
from syncd.web.console.pages.exports import export
from syncd.web.console.pages.overview import DAYS
from syncd.web.console.summary import summarize
from syncd.web.console.texts.catalogue import Texts
from syncd.web.console.view import PAGE_ROWS, Page, View

HEADINGS = ("run", "kind", "trigger", "status", "started (UTC)", "finished (UTC)", "what", "error")
_CHUNK = 500


def show(view: View) -> Page:
    """Return the page."""
    status, kind = view.pick("status", get_args(RunStatus)), view.pick("kind", get_args(RunKind))
    wanted = {"statuses": [status] if status else [], "kinds": [kind] if kind else []}
    if page := export(view, "runs", HEADINGS, map(_make_row, _iterate(view, **wanted))):
        return page
    before = view.count("before", most=1 << 60)
    records = load_runs_before(view.database, before=before, limit=PAGE_ROWS + 1, **wanted)
    first = (view.now - timedelta(days=DAYS - 1)).replace(hour=0, minute=0, second=0, microsecond=0)
    return view.render(
        "runs.html",
        title=view.texts("runs.title"),
        records=records[:PAGE_ROWS],
        same=find_same(records),
        older=records[PAGE_ROWS - 1].id if len(records) > PAGE_ROWS else None,
        newest=not before,
        status=status,
        kind=kind,
        statuses=get_args(RunStatus),
        kinds=get_args(RunKind),
        summarize=lambda record: summarize(record, view.texts),
        chart=draw_kinds(load_days(view.database, since=first), view.texts, now=view.now, days=DAYS),
    )


def _iterate(view: View, **wanted: Collection[str]) -> Iterator[RunRecord]:
    before = 0
    while records := load_runs_before(view.database, before=before, limit=_CHUNK, **wanted):
        yield from records
        before = records[-1].id


def _make_row(record: RunRecord) -> tuple[object, ...]:
    return (
        record.id,
        record.kind,
        record.trigger,
        record.status,
        record.started_at,
        record.finished_at,
        summarize(record, Texts("en")),
        record.error,
    )
