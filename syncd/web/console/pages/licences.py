"""Licences: seats by type, who uses them, whom each rule covers, and how the seats will do."""

from __future__ import annotations

from syncd.store.reports.licence_forecast import Forecast, foresee
from syncd.store.reports.licences import LicenceUse, load_licence_use, load_rule_cover
from syncd.web.console.charts import draw_seats
from syncd.web.console.counts import LOOKED_BACK
from syncd.web.console.pages.exports import export
from syncd.web.console.view import Page, View

HEADINGS = ("type", "seats", "by rule", "by hand", "free", "waiting", "missing", "granted", "revoked", "ends (UTC)")
RULE_HEADINGS = ("rule", "group", "type", "covers", "gives")


def show(view: View) -> Page:
    """Return the page."""
    rules = view.settings.licences
    used = load_licence_use(view.database, [rule.type for rule in rules])
    counted = view.counts.load(view.database, view.rules, now=view.now)
    forecasts = {} if counted is None else foresee(used, counted.licences, now=counted.at, back=LOOKED_BACK)
    if page := export(view, "licences", HEADINGS, (_make_row(use, forecasts.get(use.type)) for use in used)):
        return page
    covers = load_rule_cover(view.database, len(rules))
    cover_rows = (
        (f"licences[{each.place}]", rules[each.place].group, rules[each.place].type, each.covers, each.first)
        for each in covers
    )
    if page := export(view, "licences", RULE_HEADINGS, cover_rows, table="rules"):
        return page
    return view.render(
        "licences.html",
        title=view.texts("licences.title"),
        used=used,
        seats=draw_seats(used, view.texts),
        forecasts=forecasts,
        counting=counted is None,
        rules=rules,
        covers=covers,
    )


def _make_row(use: LicenceUse, foreseen: Forecast | None) -> tuple[object, ...]:
    free = None if use.seats is None else use.seats - use.by_rule - use.by_hand
    ahead = (None,) * 4 if foreseen is None else (foreseen.short, foreseen.granted, foreseen.revoked, foreseen.ends_at)
    return (use.type, use.seats, use.by_rule, use.by_hand, free, use.waiting, *ahead)
