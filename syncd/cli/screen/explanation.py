"""What is known of one person or group, on the screen."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from syncd.cli.screen.handovers import print_cards
from syncd.cli.screen.impact import print_impact_of
from syncd.cli.screen.output import print_line, print_table
from syncd.cli.screen.steps import name_id, print_steps
from syncd.cli.screen.table import find_width

_PLACES = 200

if TYPE_CHECKING:
    from syncd.store.reports.explain import Found
    from syncd.store.reports.status import Line, Report


def print_explanation(document: Mapping[str, Any]) -> None:
    """Print what is known of one person or group: the answer first, then the way to it through syncd."""
    source, scope, target = document["source"], document["scope"], document["target"]
    names = document["names"]
    print_line(f"Source: {source['kind']} {source['id']}, {source['state'].replace('_', ' ')}")
    for item in document["standing"]:
        print_line(f"State: {item['state']}{': ' + item['reason'] if item['reason'] else ''}")
    print_steps(document["next"])
    print_line()
    print_table([("attribute", 20), ("value", 60)], sorted(source["attributes"].items()))
    if "contains" in source:
        inside = ", ".join(item["name"] or item["id"] for item in source["contains"]["groups"])
        nested = f", and the groups {inside}" if inside else ""
        print_line(f"Directly in it: {source['contains']['users']:,} people{nested}")
    for title, key in (("Owned by", "owners"), ("Owns", "owns")):
        if source.get(key):
            owned = (
                f"{item['name'] or item['id']}{'' if item['state'] == 'active' else ' (not active)'}"
                for item in source[key]
            )
            print_line(f"{title}, in the tenant: {', '.join(owned)}")
    if source["groups"]:
        print_line()
        rows = [[item["name"], item["id"], item["through"] or "directly"] for item in source["groups"]]
        print_table([("in group", 40), ("id", 36), ("through", 30)], rows)
    print_line()
    print_line(f"Decision: {scope['state'].replace('_', ' ')}: {scope['reason']}")
    if scope["rules"]:
        rows = [
            [item["rule"], item["value"], item["says"], item["detail"] or " > ".join(item["path"])]
            for item in scope["rules"]
        ]
        print_table([("scope rule", 20), ("value", 40), ("says", 8), ("through, why", 40)], rows)
    for item in document["used_by"]:
        what = f"{item['rule']} ({item['licence'] or item['group']})"
        print_line(f"Its members count for {what}, through {' > '.join(item['path'])}")
        if item["detail"]:
            print_line(f"  {item['detail']}")
    for item in document["namesake_of"]:
        print_line(f"It is named like {item['rule']} ({item['group']}), which means another group ({item['means']})")
    if document["mapping"]:
        rows = [[name, _say_value(item), item["rule"]] for name, item in document["mapping"].items()]
        print_table([("field", 12), ("value", 40), ("made by", 40)], rows)
    print_line()
    if target is None:
        print_line("Target: the portal has no record of it, as far as is known")
    for record in _list_records(target):
        print_record(record, names)
    licences = document["licences"]
    if licences is not None:
        print_line()
        print_line(f"Licence: {licences['wanted'] or 'none'} by the rules: {licences['reason']}")
        rows = [[item["type"], item["granted"], _say_settings(item["settings"])] for item in licences["held"]]
        print_table([("licence held", 20), ("granted", 10), ("settings", 50)], rows)
    if document["handover"]:
        print_cards([document["handover"]])
    for title, entries in (("Open", document["pending"]), ("Last outcomes", document["outcomes"])):
        print_line()
        print_line(f"{title}: {'nothing' if not entries else len(entries)}")
        if entries and find_width() is not None:
            _print_entries(entries, {record["bps_id"] for record in _list_records(target)}, names)
        elif entries:
            rows = [
                [
                    item["run"],
                    (item["at"] or "").replace("T", " ")[:16],
                    f"{item['action']} {item['object']}",
                    name_id(item["bps_id"], names),
                    item["target"],
                    item["outcome"],
                    _say(item),
                ]
                for item in entries
            ]
            columns = [("run", 5), ("when (UTC)", 8), ("what", 12), ("bps id", 30), ("member", 30), ("outcome", 9)]
            print_table([*columns, ("why", 40)], rows)
        print_impact_of(entries)
    if document["rejected"]:
        print_line()
        print_line("Rejected, and not proposed again until the person or group changes:")
        rows = [
            [item["run"], f"{item['action']} {item['object']}", name_id(item["bps_id"], names), item["target"]]
            for item in document["rejected"]
        ]
        print_table([("run", 5), ("what", 12), ("bps id", 30), ("member", 30)], rows)


def _list_records(target: Mapping[str, Any] | None) -> list[Mapping[str, Any]]:
    return [target, *target["other_records"]] if target else []


def _print_entries(entries: Sequence[Mapping[str, Any]], own: Collection[str], names: Mapping[str, str]) -> None:
    """Print changes under what they have in common; of each the other end is named, ``own`` being the object itself."""
    groups: dict[tuple[str, str, str], list[str]] = {}
    for item in entries:
        when = f", {item['at'].replace('T', ' ')[:16]} UTC" if item["at"] else ""
        head = f"run {item['run']}{when}: {item['outcome']}", f"{item['action']} {item['object']}", _say(item)
        other = item["target"] if item["bps_id"] in own and item["target"] else item["bps_id"]
        groups.setdefault(head, []).append("" if other in own else name_id(other, names) or "")
    for (begin, what, why), others in groups.items():
        count = f", {len(others):,}" if len(others) > 1 else ""
        print_line(f"  {begin} {what}{count}{f': {why}' if why else ''}")
        for other in filter(None, others):
            print_line(f"    {other}")


def print_found(found: Sequence[Found], report: Report, needle: str) -> None:
    """Print the objects that a name may mean, with what the lists of users and groups say of each."""
    wanted = {(item.kind, item.id): item for item in found}
    standing: dict[tuple[str, str], Line] = {}
    for kind in sorted({item.kind for item in found}):
        for line in report.iterate(kind, needle=needle.strip()):
            if line.source_id is not None and (kind, line.source_id) in wanted:
                standing.setdefault((kind, line.source_id), line)
    rows = []
    for (kind, source_id), item in wanted.items():
        known = standing.get((kind, source_id))
        state = known.state if known else item.state.replace("_", " ")
        rows.append([kind, item.name, known.bps_id if known else "", state, source_id])
    print_table([("object", 6), ("name", 30), ("bps id", 40), ("state", 10), ("id", 36)], rows)


def _say_settings(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in sorted(settings.items()))


def _say_value(item: Mapping[str, Any]) -> str | None:
    """Return how a field is told: its value, and why there is none, or what it waits for."""
    value: str | None = item["value"]
    return f"{value or 'none'}: {item['reason']}" if item.get("reason") else value


def _say_values(item: Mapping[str, Any]) -> str:
    before = item["before"]
    return ", ".join(
        f"{name}: {before.get(name) or '–'} → {value or '–'}" for name, value in sorted(item["after"].items()) if before
    )


def _say(item: Mapping[str, Any]) -> str:
    words = [item["error"] or item["reason"], _say_values(item)]
    if item.get("next_attempt_at"):
        words.append(f"next attempt {item['next_attempt_at']}")
    return "; ".join(word for word in words if word)


def print_record(record: Mapping[str, Any], names: Mapping[str, str]) -> None:
    """Print a record of the portal with its values and places. ``names``: of groups, by their BPS ids."""
    print_line(
        f"Target: {record['bps_id']}, {record['ownership']}, {record['status']}, "
        f"last written {record['last_synced_at'] or 'never'}"
        + (f", leaving since {record['leaving_since']}" if record["leaving_since"] else "")
    )
    print_table([("field", 12), ("value", 60)], list(record["fields"].items()))
    if record.get("substitution"):
        print_line(f"  tasks go to {record['substitution']['substitute']} until {record['substitution']['until']}")
    for item in record["by_hand"]:
        accepted = ", accepted" if item["accepted"] else ""
        ours, theirs = name_id(item["ours"], names) or "–", name_id(item["theirs"], names) or "–"
        print_line(f"  changed by hand{accepted}: {item['field']}: {ours} → {theirs}")
    places = record.get("groups") or record.get("members") or []
    if places:
        _print_places("in" if "groups" in record else "members:", places, names)
    owned = record.get("owns") or record.get("owners") or []
    if owned:
        _print_places("owns" if "owns" in record else "owners:", owned, names)


def _print_places(title: str, ids: Sequence[str], names: Mapping[str, str]) -> None:
    """Print groups by name and id, one a line; a few hundred people of a group at most."""
    more = f" and {len(ids) - _PLACES:,} more; --json has all" if len(ids) > _PLACES else ""
    if not names.keys() & set(ids):
        print_line(f"  {title} {', '.join(ids[:_PLACES])}{more}")
        return
    print_line(f"  {title}")
    for bps_id in ids[:_PLACES]:
        print_line(f"    {names[bps_id]}, {bps_id}" if bps_id in names else f"    {bps_id}")
    if more:
        print_line(f"   {more}")
