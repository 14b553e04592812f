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
    census = None if counted is None else counted.census[kind]
    start = view.count("page") * PAGE_ROWS
    cut = False
    if needle:
        found = search_keys(view.database, kind, needle, limit=_FOUND_AT_MOST + 1)
        cut, found = len(found) > _FOUND_AT_MOST, found[:_FOUND_AT_MOST]
        if state is not None:
            found = [] if census is None else census.choose(found, state)
        total, keys = len(found), found[start : start + PAGE_ROWS]
    elif census is not None:
        keys, total = census.find(state, start=start, limit=PAGE_ROWS)
    else:  # nobody knows yet who is in which state
        keys = [] if state else [(key, False) for key in report.load_keys(kind, start=start, limit=PAGE_ROWS + 1)]
        total, keys = start + len(keys), keys[:PAGE_ROWS]
    shown = report.load_lines(kind, keys)
    moved = sum(state is not None and line.state != state for line in shown)
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
        moved=moved,
        counted_at=None if counted is None else counted.at,
        counts={} if census is None else census.counts,
        counting=counted is None,
        states=STATES,
        state=state or "",
        needle=needle,
        unread=not total and not needle and report.is_unread(),
    )


def _make_row(line: Line) -> tuple[object, ...]:
    return line.name, line.bps_id, line.state, line.last_synced_at, line.source_id, line.reason
