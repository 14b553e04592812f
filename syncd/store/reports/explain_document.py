"""What an explanation tells, as one document: for the command, as text or JSON, and for the console.

Plain values, but for instants.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from syncd.model.reason import Cause
from syncd.plan.desired import FROZEN_STATES, is_mapped_by_mail
from syncd.plan.group_names import Remembered, fold_name
from syncd.plan.report.privileges import describe_held
from syncd.plan.report.scope_verdicts import Place, find_place, list_verdicts
from syncd.plan.rules import Rules
from syncd.plan.words import say
from syncd.store.reports.explain import Explanation
from syncd.store.reports.status import Line


def describe_explanation(
    explanation: Explanation, lines: Sequence[Line], rules: Rules, *, named: Mapping[str, Remembered], now: datetime
) -> dict[str, Any]:
    """Return all that is told of an object; ``lines``: what the list of users or groups says of it."""
    desired = explanation.desired
    mapping = rules.mapping
    user = explanation.found.kind == "user"
    rule_of = mapping.user_fields if user else mapping.group_fields
    key_rule = mapping.user_bps_id if user else mapping.group_bps_id
    mapped: dict[str, Any] = {}
    if desired is not None:
        by_mail = user and is_mapped_by_mail(explanation.source["attributes"], rules)
        rule = "mail (a guest or external member)" if by_mail else key_rule.text
        rule = "bound by hand ('syncd link')" if desired["bound"] else rule
        mapped["bps_id"] = {"rule": rule, "value": desired["bps_id"]}
        for name, value in desired["fields"].items():
            if name in rule_of:
                mapped[name] = {"rule": rule_of[name].text, "value": value}
        manager = desired["manager"]
        if manager is not None and mapping.managers:
            mapped["manager"] = {
                "rule": f"the manager, {manager['name'] or manager['id']}",
                "value": manager["bps_id"],
                "reason": manager["reason"],
            }
    undecided = "no push has looked at it yet"
    verdicts = list_verdicts(
        explanation.found.kind,
        {"id": explanation.found.id, **explanation.source["attributes"]},
        explanation.places,
        desired["bps_id"] if desired else None,
        rules.scope,
        named=named,
        now=now,
    )
    return {
        "source": explanation.source,
        "standing": [
            {
                "bps_id": line.bps_id,
                "state": line.state,
                "reason": line.reason or None,
                "last_synced_at": line.last_synced_at,
            }
            for line in lines
        ],
        "scope": {
            "state": _name_state(desired) if desired else "undecided",
            "reason": (desired["reason"] or "in scope") if desired else undecided,
            "rules": [
                {
                    "rule": verdict.rule,
                    "value": verdict.value,
                    "says": verdict.says,
                    "detail": verdict.detail or None,
                    "path": list(verdict.path),
                }
                for verdict in verdicts
            ],
        },
        "mapping": mapped,
        "target": explanation.target,
        "licences": _describe_licences(explanation, lines, rules, named) if user else None,
        "privileges": describe_held(explanation.privileges),
        "used_by": [] if user else _list_uses(explanation, rules, named),
        "namesake_of": [] if user else _list_namesakes(explanation, rules, named),
        "pending": explanation.pending,
        "rejected": explanation.rejected,
        "outcomes": explanation.outcomes,
    }


def describe_record(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the same of a record of the portal that belongs to nobody in the tenant."""
    if record["ownership"] != "not ours":
        reason = "ours, and the tenant does not know its object any more"
    else:
        kept = "never changes, empties or removes it"
        if record["kind"] == "user":
            kept = "never changes or removes it (out of a group of ours it goes like anybody put in by hand)"
        reason = (
            "not ours, made by hand, by another system or by the portal itself, an API application say: syncd "
            f"{kept}, unless somebody in the tenant gets this BPS id and its adoption is allowed"
        )
    return {
        "source": None,
        "standing": [],
        "scope": {"state": "unknown", "reason": reason, "rules": []},
        "mapping": {},
        "target": {name: value for name, value in record.items() if name != "kind"} | {"other_records": []},
        "licences": None,
        "privileges": [],
        "used_by": [],
        "namesake_of": [],
        "handover": None,
        "pending": [],
        "rejected": [],
        "outcomes": [],
    }


def _describe_licences(
    explanation: Explanation, lines: Sequence[Line], rules: Rules, named: Mapping[str, Remembered]
) -> dict[str, Any] | None:
    """Return what a person holds, and what the rules give and why; None where no licence is managed or known.

    ``lines``: what the list of users says of the person, for an account that is somebody else's gets nothing.
    """
    found, desired = explanation.licences, explanation.desired
    if found is None or not (rules.licences or found["held"]):
        return None
    number = found["rule"]
    rule = rules.licences[number] if number is not None and number < len(rules.licences) else None
    wanted = rule is not None and desired is not None and desired["state"] == "wanted"
    record = explanation.target
    foreign = next((line.reason for line in lines if line.state == "foreign"), None) if wanted else None
    if found["perpetual"]:
        reason = "the portal has perpetual licensing and assigns licences by itself: no rule is carried out"
    elif rule is not None and foreign is not None:
        reason = f"licences[{number}] ({rule.group}) would, but the account is not ours: {foreign}"
    elif rule is None:
        reason = "no licence rule covers this person" if rules.licences else "there are no licence rules"
    elif wanted:
        place = find_place(rule.group, explanation.places, named)
        path = f", through {' > '.join(place.path)}" if place and len(place.path) > 1 else ""
        reason = f"a member of {rule.group}, the first licence rule that covers this person (licences[{number}]){path}"
        if record is not None and record["ownership"] == "not ours":
            reason += "; it waits until the account is adopted"
    else:
        reason = f"licences[{number}] ({rule.group}) would, but the person is not wanted: see the decision"
        if desired is not None and desired["state"] in FROZEN_STATES:
            reason += "; nothing is given, and what was given stays as long as a rule that gives it covers the person"
    given = wanted and foreign is None and not found["perpetual"]
    return {"wanted": rule.type if rule and given else None, "reason": reason, "held": found["held"]}


def _list_uses(explanation: Explanation, rules: Rules, named: Mapping[str, Remembered]) -> list[dict[str, Any]]:
    """Return the rules that reach people through this group: it is the one they name, or lies in that."""
    found = explanation.found
    places = [Place(found.id, found.name, (found.name or found.id,)), *explanation.places]
    refused = say(Cause.PRIVILEGES_REFUSED).text if explanation.privilege_rules.refused else None
    uses = []
    for rule, group, licence in _list_rules_over_groups(rules):
        gives = rule.startswith("privileges[")
        if place := find_place(group, places, explanation.privilege_rules.groups if gives else named):
            path, waits = list(place.path), refused if gives else None
            uses.append({"rule": rule, "group": group, "licence": licence, "path": path, "detail": waits})
    return uses


def _list_namesakes(explanation: Explanation, rules: Rules, named: Mapping[str, Remembered]) -> list[dict[str, Any]]:
    """Return the rules that name a group like this one, and mean another."""
    return [
        {"rule": rule, "group": group, "means": known.id}
        for rule, group, _ in _list_rules_over_groups(rules)
        if (known := named.get(fold_name(group))) and explanation.found.id in known.rivals
    ]


def _list_rules_over_groups(rules: Rules) -> list[tuple[str, str, str | None]]:
    found: list[tuple[str, str, str | None]] = [
        *(("scope.include_groups", group, None) for group in rules.scope.include_groups),
        *(("scope.exclude_groups", group, None) for group in rules.scope.exclude_groups),
    ]
    found += [(f"licences[{number}]", rule.group, rule.type) for number, rule in enumerate(rules.licences)]
    return found + [(f"privileges[{number}]", rule.group, None) for number, rule in enumerate(rules.privileges)]


def _name_state(desired: Mapping[str, Any]) -> str:
    """Return the decision in the words of ``syncd users``: a guest or agent whom the rules leave out is skipped."""
    return "skipped" if desired["cause"] in (Cause.GUEST.value, Cause.AGENT.value) else str(desired["state"])
