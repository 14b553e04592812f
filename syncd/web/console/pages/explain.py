"""Everything about one person, one group, or one record that nothing in the tenant has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from syncd.model.kinds import RecordKind
from syncd.plan.report.scope_verdicts import Place
from syncd.store.inventory.bps_ids import load_group_names
from syncd.store.reports.explain import Explanations, Found
from syncd.store.reports.explain_document import describe_explanation, describe_record
from syncd.store.reports.explain_records import Part
from syncd.store.reports.handovers import HandoverCards
from syncd.store.reports.next_steps import load_steps
from syncd.store.reports.search import find_keys
from syncd.store.reports.status import Line, Report
from syncd.store.store import Store
from syncd.web.console.pages.explain_files import WHOLE, export_links, export_table
from syncd.web.console.pages.missing import show_missing
from syncd.web.console.paths import draw_paths
from syncd.web.console.view import Page, View

_LINKS = 200
_CHANGES = 100


def show(view: View) -> Page:
    """Return the page of a source object, by its id."""
    kind: RecordKind = "user" if view.parts["kind"] == "users" else "group"
    explanations = Explanations(view.database)
    found = explanations.find_source(kind, view.parts["id"])
    if found is None:
        return show_missing(view, view.texts("explain.missing"))
    records = explanations.find_records(found)
    if page := export_links(view, found.id, found.kind, records):
        return page
    start = view.count("page") * _LINKS
    part = WHOLE if view.query.get("export") else Part(start, _LINKS, _CHANGES)
    explanation = explanations.explain(found, now=view.now, part=part)
    lines = _load_lines(view, found)
    named = Store(view.database).desired.load_group_names()
    document = describe_explanation(explanation, lines, view.rules, named=named, now=view.now)
    if page := export_table(view, found.id, document):
        return page
    cards = HandoverCards(view.database, view.rules, now=view.now)
    document["next"] = load_steps(view.database, explanation, lines, now=view.now)
    document["handover"] = cards.find(found.kind, records, found.key, hanging=False)
    places: list[Place] = explanation.places
    return view.render(
        "explain.html",
        title=found.name or found.id,
        kind=view.parts["kind"],
        found=found,
        document=document,
        names=_name_groups(view, document),
        drawn=draw_paths(places, found.name or found.id, view.texts),
        places=len(places),
        held=explanation.open.held,
        open=explanation.open.number,
        open_runs=explanation.open.runs,
        start=start,
        page=view.count("page"),
    )


def show_record(view: View) -> Page:
    """Return the page of a record of the portal that nothing in the tenant has, by its BPS id."""
    start = view.count("page") * _LINKS
    explanations, wanted = Explanations(view.database), view.parts["id"]
    record = explanations.find_record(wanted, Part(start, _LINKS, _CHANGES))
    if record is None:
        return show_missing(view, view.texts("explain.missing"))
    if view.query.get("export") and (untied := explanations.find_untied(wanted)):
        kind, key = untied
        if page := export_links(view, "record", kind, [key]):
            return page
    return view.render(
        "explain.html",
        title=record["bps_id"],
        kind=f"{record['kind']}s",
        found=Found(kind=record["kind"], key=0, id=""),
        document={**describe_record(record), "next": []},
        names={},
        drawn="",
        places=0,
        held=[],
        open=0,
        open_runs=[],
        start=start,
        page=view.count("page"),
    )


def _name_groups(view: View, document: Mapping[str, Any]) -> Mapping[str, str]:
    """Return the names of the groups that an explanation mentions, by their BPS ids."""
    target = document["target"]
    ids = {str(each["bps_id"]) for key in ("pending", "outcomes", "rejected") for each in document[key]}
    ids.update(each["group"] for each in document["privileges"])
    for record in [target, *target["other_records"]] if target else []:
        ids.update((*record.get("groups", ()), *record.get("owns", ())))
    return load_group_names(view.database, ids)


def _load_lines(view: View, found: Found) -> list[Line]:
    """Return the lines that the lists have for an object: its own, and those of other records of it."""
    report = Report(view.database, view.rules.policy, now=view.now, protect=view.rules.scope.protect)
    return report.load_lines(found.kind, find_keys(view.database, found.kind, found.key))
