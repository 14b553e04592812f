"""``syncd explain``: everything about one person or group, from the store alone."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from syncd.cli.options import STORE_ONLY, Invocation, pass_invocation, shared_options
from syncd.cli.screen.explanation import print_explanation, print_found, print_record
from syncd.cli.screen.handovers import describe_card, make_cards
from syncd.cli.screen.output import format_time, print_json, print_line
from syncd.cli.screen.pager import paged
from syncd.cli.screen.steps import describe_steps, load_names, print_steps

if TYPE_CHECKING:
    from syncd.store.db.database import Database
    from syncd.store.reports.explain import Found
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
    from syncd.store.reports.explain_document import describe_explanation
    from syncd.store.reports.status import Report
    from syncd.store.store import Store

    settings, now = invocation.start(need=STORE_ONLY, quiet=True), Clock().now()
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
        document = _make_plain(describe_explanation(explanation, lines, rules, named=named, now=now))
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
    from syncd.store.reports.explain_document import describe_record

    document = _make_plain(describe_record(record))
    document["next"] = [{"happens": "nothing: no run touches it", "do": "'syncd link WHO BPSID' binds it to somebody"}]
    document["names"] = load_names(database, document)
    reason = document["scope"]["reason"]
    if as_json:
        print_json(document)
        return
    print_line(f"The portal has a {record['kind']} of this BPS id that nothing in the tenant has: {reason}.")
    print_record(document["target"], document["names"])
    print_steps(document["next"])


def _load_lines(report: Report, found: Found) -> list[Line]:
    """Return the lines that the list of users or groups has for an object: its own, and those of other records."""
    return [line for line in report.iterate(found.kind, needle=found.id) if line.source_id == found.id]


def _make_plain(value: Any) -> Any:
    """Return a value with instants as text, all the way down."""
    if isinstance(value, datetime):
        return format_time(value)
    if isinstance(value, Mapping):
        return {name: _make_plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_make_plain(item) for item in value]
    return value
