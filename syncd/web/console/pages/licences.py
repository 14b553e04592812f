"""Licences: seats by type, who uses them, whom each rule covers, and how the seats will do."""

from __future__ import annotations

from syncd.store.reports.licence_forecast import foresee
from syncd.store.reports.licences import load_licence_use, load_rule_cover
from syncd.web.console.charts import draw_seats
from syncd.web.console.counts import LOOKED_BACK
from syncd.web.console.pages.exports import export
from syncd.web.console.view import Page, View

HEADINGS = ("type", "seats", "by rule", "by hand", "free", "waiting")


def show(view: View) -> Page:
    """Return the page."""
    rules = view.settings.licences
    used = load_licence_use(view.database, [rule.type for rule in rules])
    rows = [
        (
            use.type,
            use.seats,
            use.by_rule,
            use.by_hand,
            None if use.seats is None else use.seats - use.by_rule - use.by_hand,
            use.waiting,
        )
        for use in used
    ]
    if page := export(view, "licences", HEADINGS, rows):
        return page
    counted = view.counts.load(view.database, view.rules, now=view.now)
    forecasts = {} if counted is None else foresee(used, counted.licences, now=counted.at, back=LOOKED_BACK)
    return view.render(
        "licences.html",
        title=view.texts("licences.title"),
        used=used,
        seats=draw_seats(used, view.texts),
        forecasts=forecasts,
        counting=counted is None,
        rules=rules,
        covers=load_rule_cover(view.database, len(rules)),
    )
