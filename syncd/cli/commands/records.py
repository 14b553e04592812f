"""``syncd users`` and ``syncd groups``: where everybody stands, from the store, without asking either side."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from syncd.cli.options import STORE_ONLY, Invocation, pass_invocation, shared_options
from syncd.cli.screen.output import Stream, format_time, print_json, print_line, print_table
from syncd.clock import Clock
from syncd.model.kinds import RecordKind

if TYPE_CHECKING:
    from syncd.store.reports.status import Line, Report

STATES = ("active", "pending", "skipped", "leaving", "held", "failing", "foreign", "out_of_scope")

_state = click.option("--state", type=click.Choice(STATES), help="Only those in this state.")
_name = click.argument("name", required=False, default="", metavar="[NAME]")


@click.command("users")
@_name
@_state
@shared_options
@pass_invocation
def users(invocation: Invocation, *, name: str, state: str | None) -> None:
    """List every user of the tenant: where it stands in the portal, and why it is not there.

    NAME: only those whose name, principal name, BPS id or source id contains it.
    """
    _list(invocation, "user", name, state=state)


@click.command("groups")
@_name
@_state
@shared_options
@pass_invocation
def groups(invocation: Invocation, *, name: str, state: str | None) -> None:
    """List every group of the tenant: where it stands in the portal, and why it is not there.

    NAME: only those whose name, BPS id or source id contains it.
    """
    _list(invocation, "group", name, state=state)


def _list(invocation: Invocation, kind: RecordKind, needle: str, *, state: str | None) -> None:
    from syncd.bootstrap.rules import make_rules
    from syncd.bootstrap.store import open_store
    from syncd.store.reports.status import Report

    settings = invocation.start(need=STORE_ONLY)
    with contextlib.closing(open_store(settings, create=False)) as database:
        rules = make_rules(settings)
        report = Report(database, rules.policy, now=Clock().now(), protect=rules.scope.protect)
        counts: dict[str, int] = {}
        lines = _select(report, kind, needle, state=state, counts=counts)
        if invocation.json:
            print_json(Stream(_describe(line) for line in lines))
            return
        print_table(
            (("name", 4), ("bps id", 6), ("state", 2), ("synced (UTC)", 3), ("source id", 5), ("why", 10)),
            (
                (
                    line.name,
                    line.bps_id,
                    line.state,
                    f"{line.last_synced_at:%Y-%m-%d %H:%M}" if line.last_synced_at else "never",
                    line.source_id,
                    line.reason,
                )
                for line in lines
            ),
        )
        unread = not counts and report.is_unread()
    if unread:
        print_line(
            f"0 {kind}s: nothing was read from the tenant yet. 'syncd sync full' or the daemon does, and "
            "'syncd plan full' without writing to the portal."
        )
        return
    shown = ", ".join(f"{name} {counts[name]:,}" for name in STATES if name in counts)
    none = "none that fits" if needle or state else "none"
    print_line(f"{sum(counts.values()):,} {kind}{'s' if sum(counts.values()) != 1 else ''}: {shown or none}")


def _select(
    report: Report, kind: RecordKind, needle: str, *, state: str | None, counts: dict[str, int]
) -> Iterator[Line]:
    for line in report.iterate(kind, needle=needle):
        if state is None or line.state == state:
            counts[line.state] = counts.get(line.state, 0) + 1
            yield line


def _describe(line: Line) -> dict[str, object]:
    return {
        "source_id": line.source_id,
        "name": line.name,
        "bps_id": line.bps_id,
        "state": line.state,
        "reason": line.reason or None,
        "last_synced_at": format_time(line.last_synced_at),
    }
