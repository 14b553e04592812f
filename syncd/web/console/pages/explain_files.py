"""What the page of one person, group or record shows in tables, as files: the whole of each."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from syncd.model.kinds import RecordKind
from syncd.store.reports.explain_records import Part, iterate_linked
from syncd.web.console.pages.exports import export
from syncd.web.console.view import Page, View

LINK_HEADINGS = ("object", "bps id", "with", "name", "source id")
RULE_HEADINGS = ("rule", "value", "says", "through", "detail")
MAPPING_HEADINGS = ("field", "value", "made by", "reason")
CHANGE_HEADINGS = (
    "run", "action", "object", "bps id", "with", "outcome", "reason", "error", "next attempt (UTC)", "before", "after",
)  # fmt: skip
PRIVILEGE_HEADINGS = ("privilege", "group", "state", "detail")
TABLES = ("rules", "mapping", "privileges", "open", "outcomes")
"""Tables of their own. What the address does not name is the list of memberships and ownerships."""
WHOLE = Part(0, 0, 1 << 31)
"""No links, and all that is open: as much of an explanation as these tables need."""


def export_links(view: View, name: str, kind: RecordKind, records: Collection[int]) -> Page | None:
    """Return everybody in the records, or every place of them, as the file that the address asks for."""
    return export(view, name, LINK_HEADINGS, iterate_linked(view.database, kind, records))


def export_table(view: View, name: str, document: Mapping[str, Any]) -> Page | None:
    """Return a table of an explanation as the file that the address asks for; ``document`` has all of it."""
    table = view.pick("table", TABLES)
    match table:
        case "rules":
            return export(view, name, RULE_HEADINGS, _list_rules(document), table=table)
        case "mapping":
            return export(view, name, MAPPING_HEADINGS, _list_mapping(document), table=table)
        case "privileges":
            return export(view, name, PRIVILEGE_HEADINGS, _list_privileges(document), table=table)
        case "open":
            return export(view, name, CHANGE_HEADINGS, map(_make_row, document["pending"]), table=table)
        case "outcomes":
            return export(view, name, CHANGE_HEADINGS, map(_make_row, document["outcomes"]), table=table)
    return None


def _list_rules(document: Mapping[str, Any]) -> Iterator[tuple[object, ...]]:
    for each in document["scope"]["rules"]:
        yield each["rule"], each["value"], each["says"], " › ".join(each["path"]), each["detail"]


def _list_mapping(document: Mapping[str, Any]) -> Iterator[tuple[object, ...]]:
    for name, each in document["mapping"].items():
        yield name, each["value"], each["rule"], each.get("reason")


def _list_privileges(document: Mapping[str, Any]) -> Iterator[tuple[object, ...]]:
    for each in document["privileges"]:
        yield each["privilege"], each["group"], each["state"], each["detail"]


def _make_row(change: Mapping[str, Any]) -> tuple[object, ...]:
    before, after = (
        ", ".join(f"{name}: {value or '–'}" for name, value in sorted((change[key] or {}).items()))
        for key in ("before", "after")
    )
    return (
        change["run"], change["action"], change["object"], change["bps_id"], change["target"], change["outcome"],
        change["reason"], change["error"], change.get("next_attempt_at"), before, after,
    )  # fmt: skip
