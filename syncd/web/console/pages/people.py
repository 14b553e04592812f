"""Everybody of the tenant, or every group: where each stands, and why."""

from __future__ import annotations

from typing import cast

from syncd.model.kinds import RecordKind
from syncd.plan.report.status import ObjectStatus
from syncd.store.reports.census import STATES
from syncd.store.reports.search import search_keys
from syncd.store.reports.status import Line, Report
from syncd.web.console.pages.exports import export
from syncd.web.console.view import PAGE_ROWS, Page, View

HEADINGS = ("name", "bps id", "state", "last synced (UTC)", "source id", "reason")
_FOUND_AT_MOST = 500


def show(view: View) -> Page:
    """Return the page."""
    kind: RecordKind = "user" if view.parts["kind"] == "users" else "group"
    state = cast(ObjectStatus | None, view.pick("state", STATES) or None)
    needle = view.query.get("q", "").strip()[:200]
    report = Report(view.database, view.rules.policy, now=view.now, protect=view.rules.scope.protect)
    if view.query.get("export"):
        lines = (line for line in report.iterate(kind, needle=needle) if state in (None, line.state))
        if page := export(view, f"{kind}s", HEADINGS, map(_make_row, lines)):
            return page
    counted = view.counts.load(view.database, view.rules, now=view.now)
    start = view.count("page") * PAGE_ROWS
    cut = False
    if needle:
        keyed = search_keys(view.database, kind, needle, limit=_FOUND_AT_MOST + 1)
        cut = len(keyed) > _FOUND_AT_MOST
        found = [line for line in report.load_lines(kind, keyed[:_FOUND_AT_MOST]) if state in (None, line.state)]
        total, shown = len(found), found[start : start + PAGE_ROWS]
    else:
        keys, total = counted.census[kind].find(state, start=start, limit=PAGE_ROWS)
        shown = report.load_lines(kind, keys)
    return view.render(
        "people.html",
        title=view.texts(f"{kind}s.title"),
        kind=f"{kind}s",
        lines=shown,
        total=total,
        start=start,
        page=view.count("page"),
        more=start + PAGE_ROWS < total,
        cut=_FOUND_AT_MOST if cut else 0,
        counts=counted.census[kind].counts,
        counted_at=counted.at,
        states=STATES,
        state=state or "",
        needle=needle,
        unread=not total and not needle and report.is_unread(),
    )


def _make_row(line: Line) -> tuple[object, ...]:
    return line.name, line.bps_id, line.state, line.last_synced_at, line.source_id, line.reason
