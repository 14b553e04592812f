"""``syncd explain``: everything about one person or group, from the store alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from syncd.cli.options import STORE_ONLY, Invocation, pass_invocation, shared_options
from syncd.cli.screen.explanation import print_explanation, print_found, print_record
from syncd.cli.screen.handovers import describe_card, make_cards
from syncd.cli.screen.output import format_time, print_json, print_line
from syncd.cli.screen.pager import paged
from syncd.cli.screen.steps import describe_steps, load_names, print_steps
from syncd.model.reason import Cause
from syncd.plan.desired import FROZEN_STATES, is_mapped_by_mail
from syncd.plan.group_names import fold_name
from syncd.plan.report.privileges import describe_held
from syncd.plan.report.scope_verdicts import Place, find_place, list_verdicts

if TYPE_CHECKING:
    from syncd.plan.group_names import Remembered
    from syncd.plan.rules import Rules
    from syncd.store.db.database import Database
    from syncd.store.reports.explain import Explanation, Found
    from syncd.store.reports.status import Line, Report


@click.command("explain")
@click.argument("name", metavar="WHO")
@click.option("--at", "at", metavar="DATE", help="What a person had on a day (2026-03-01) or at a moment instead.")
@shared_options
@pass_invocation
def explain(invocation: Invocation, *, name: str, at: str | None) -> None:
    """Explain one user or group: the rule that decided, mapping, record, what is open, what happens next, history.

    WHO is the Entra id, the UPN, the BPS id or the display name, in part if only one bears it; where several do, they
    are listed. Neither side is asked. --at lists the accounts, groups and licences of a person at that time, and by
    which run each came and went; a day is one in schedule.timezone.

    \b
    Examples:
      syncd explain ann@example.com
      syncd explain "Invoices, readers"
      syncd explain ann@example.com --at 2026-03-01
    """
    if at is not None:
        from syncd.cli.commands.explain_at import explain_at

        explain_at(invocation, name, at)
        return
    from syncd.bootstrap.rules import make_rules
    from syncd.bootstrap.store import open_store
    from syncd.clock import Clock
    from syncd.store.reports.explain import Explanations
    from syncd.store.reports.status import Report
    from syncd.store.store import Store

    settings, now = invocation.start(need=STORE_ONLY), Clock().now()
    rules = make_rules(settings)
    database = open_store(settings, create=False)
    try:
        explanations = Explanations(database)
        found = explanations.find(name, in_part=False)
        if not found and (record := explanations.find_record(name)):
            _explain_record(database, record, as_json=invocation.json)
            return
        found = found or explanations.find(name)
        if not found:
            raise click.UsageError(
                f"the store knows nobody and no group by '{name}': give the Entra id, the UPN, the BPS id or the exact "
                "display name ('syncd users TEXT' searches)"
            )
        report = Report(database, rules.policy, now=now, protect=rules.scope.protect)
        if len(found) > 1:
            if not invocation.json:
                print_found(found, report, name)
            raise click.UsageError(f"'{name}' names {len(found)} objects; give the id of the one you mean")
        explanation = explanations.explain(found[0], now=now)
        lines = _load_lines(report, found[0])
        named = Store(database).desired.load_group_names()
        records = explanations.find_records(found[0])
        card = make_cards(settings, database).find(found[0].kind, records, found[0].key)
        document = _describe(explanation, lines, rules, named=named, now=now)
        document["next"] = describe_steps(database, explanation, lines, now=now)
        document["names"] = load_names(database, document)
    finally:
        database.close()
    document["handover"] = describe_card(card) if card else None
    if invocation.json:
        print_json(document)
    else:
        with paged():
            print_explanation(document)


def _explain_record(database: Database, record: Mapping[str, Any], *, as_json: bool) -> None:
    """Tell of a record of the portal that belongs to nobody in the tenant, in the shape of any explanation."""
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
    document = _make_plain(
        {
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
            "next": [{"happens": "nothing: no run touches it", "do": "'syncd link WHO BPSID' binds it to somebody"}],
        }
    )
    document["names"] = load_names(database, document)
    if as_json:
        print_json(document)
        return
    print_line(f"The portal has a {record['kind']} of this BPS id that nothing in the tenant has: {reason}.")
    print_record(document["target"], document["names"])
    print_steps(document["next"])


def _load_lines(report: Report, found: Found) -> list[Line]:
    """Return the lines that the list of users or groups has for an object: its own, and those of other records."""
    return [line for line in report.iterate(found.kind, needle=found.id) if line.source_id == found.id]


def _describe(
    explanation: Explanation, lines: Sequence[Line], rules: Rules, *, named: Mapping[str, Remembered], now: datetime
) -> dict[str, Any]:
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
    document = {
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
    plain: dict[str, Any] = _make_plain(document)
    return plain


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
    return [
        {"rule": rule, "group": group, "licence": licence, "path": list(place.path)}
        for rule, group, licence in _list_rules_over_groups(rules)
        if (place := find_place(group, places, named)) is not None
    ]


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


def _make_plain(value: Any) -> Any:
    """Return a value with instants as text, all the way down."""
    if isinstance(value, datetime):
        return format_time(value)
    if isinstance(value, Mapping):
        return {name: _make_plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_make_plain(item) for item in value]
    return value
