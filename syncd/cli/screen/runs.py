"""Runs as lines, tables and documents."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click

from syncd.cli.screen.changes import STATUSES
from syncd.cli.screen.output import (
    format_time,
    print_line,
    print_table,
    printable,
)
from syncd.model.numbers import tell_number

if TYPE_CHECKING:
    from syncd.cli.documents.shared import Run
    from syncd.model.change import Action, ObjectKind, OutcomeStatus
    from syncd.model.run import RunRecord
    from syncd.store.db.database import Database
    from syncd.store.decisions.records import DecisionRecord

_PHASES = ("pull", "read portal", "plan", "read portal members", "apply")


def find_run(database: Database, wanted: str, *, changing: bool = False) -> RunRecord:
    """Return the run of a number, or the newest one for 'last'; a usage error when there is none.

    ``changing``: 'last' is the newest one that changed something in the target and is itself no undo: who says 'undo
    last' twice would otherwise have done again what was undone.
    """
    from syncd.store.store import Store

    log = Store(database).runs
    newest = log.load_runs(1)
    if not newest:
        raise click.BadParameter("there is no run yet: 'syncd sync full' makes the first", param_hint="RUN")
    if wanted == "last" and changing:
        last, newer = log.load_last_changing(), log.load_last_changing(undos=True)
        if last is None:
            raise click.BadParameter("no run has changed anything in the portal yet", param_hint="RUN")
        if newer is not None and newer.id != last.id:
            click.echo(
                f"syncd: 'last' passes over run {newer.id}, which is itself an undo; to undo that one, give its number",
                err=True,
            )
        return last
    if wanted == "last":
        return newest[0]
    if not wanted.isascii() or not wanted.isdecimal():
        raise click.BadParameter(f"{wanted!r} is no run: give its number, or 'last'", param_hint="RUN")
    found = log.load_run.blocking(int(wanted)) if len(wanted) < 18 else None
    if found is None:
        raise click.BadParameter(f"there is no run {wanted}; the newest is {newest[0].id}", param_hint="RUN")
    return found


def describe_run(record: RunRecord) -> Run:
    """Return a run as its JSON document, without its changes."""
    return {
        "id": record.id,
        "kind": record.kind,
        "trigger": record.trigger,
        "status": record.status,
        "started_at": format_time(record.started_at),
        "finished_at": format_time(record.finished_at),
        "counts": dict(sorted(record.counts.items())),
        "phases": dict(record.phases),
        "error": record.error or None,
        "proof": {stream: dict(told) for stream, told in record.proof.items()} or None,
    }


def print_run(database: Database, record: RunRecord, *, whole: bool = False) -> None:
    """Print how a run went: head, phases, how many changes of each kind ended how, and why it did not simply succeed.

    The reason is left to `explain_result` where a person reads both (``whole``: not even then). It may name people,
    which stderr may not where it goes into a file.
    """
    from syncd.store.store import Store

    print_line(
        f"Run {record.id}: {record.kind}, trigger {record.trigger}, {record.status}"
        f" · {format_time(record.started_at)} · {format_duration(record) or 'still running'}"
    )
    asked = Store(database).asked.load_askers(record.id)
    if asked:
        print_line(f"  asked for by {', '.join(asked)}")
    for each in Store(database).decisions.load_decisions(record.id):
        print_line(f"  {tell_decision(each, record.id)}")
    if record.phases:
        phases = sorted(record.phases.items(), key=lambda phase: _PHASES.index(phase[0]) if phase[0] in _PHASES else 99)
        print_line("  " + " · ".join(f"{name} {seconds:.1f} s" for name, seconds in phases))
    read = _sum_up_reading(record.counts)
    if read:
        print_line(f"  {read}")
    for line in _describe_proof(record.proof):
        print_line(f"  {line}")
    outcomes = Store(database).plans.count_outcomes.blocking(record.id)
    if not outcomes:
        print_line("  No changes." if record.status == "succeeded" else "  No change was planned.")
    else:
        _print_outcomes(outcomes)
    if record.error and (whole or not sys.stderr.isatty()):
        print_line(record.error)


def _print_outcomes(outcomes: Mapping[tuple[Action, ObjectKind, OutcomeStatus], int]) -> None:
    found = [status for status in reversed(STATUSES) if any(key[2] == status for key in outcomes)]
    kinds = sorted({(action, kind) for action, kind, _ in outcomes})
    print_table(
        (("change", 4), *((status, 1) for status in found)),
        (
            (f"{action} {kind}", *(_number(outcomes.get((action, kind, status), 0)) for status in found))
            for action, kind in kinds
        ),
    )


def tell_decision(record: DecisionRecord, run_id: int) -> str:
    """Return who decided what and when, told of a run: the one that held it, or the one that carried it out."""
    number = "" if record.number is None else f" {tell_number(record.number, 'change')}"
    meant = " ".join((*(f"--kind {each}" for each in record.actions), *(f"--only {each}" for each in record.only)))
    of = "" if record.run_id == run_id else f" what run {record.run_id} held"
    done = f", done by run {record.result_run}" if record.result_run not in (None, run_id) else ""
    why = f": {record.by.reason}" if record.by.reason else ""
    verb = {"approve": "approved", "reject": "rejected", "withdraw": "withdrew the rejection of"}[record.decision]
    return (
        f"{record.by.name} {verb}{number}{of}{f' ({meant})' if meant else ''} "
        f"in the {record.by.via} at {record.at:%Y-%m-%d %H:%M} UTC{done}{why}"
    ).replace("in the command", "by command")


def explain_result(record: RunRecord) -> None:
    """Say on stderr why a run did not simply succeed, and what helps; off a terminal nobody is named."""
    from syncd.logs.redaction import redact_text

    if record.error:
        reason = printable(redact_text(record.error, personal=sys.stderr.isatty()))
        left_out = reason != printable(redact_text(record.error, personal=True))
        verb = "would hold changes back" if (record.kind, record.status) == ("plan", "held") else _verbs[record.status]
        if left_out and record.status not in ("held", "partial"):  # the reason stays the last line
            click.echo(f"syncd: 'syncd runs show {record.id}' has whom the following names", err=True)
        click.echo(f"syncd: run {record.id} {verb}: {reason}", err=True)
    if record.status in ("held", "partial"):
        click.echo(f"syncd: 'syncd runs show {record.id}' shows each change and its reason", err=True)
    held = record.status == "held" or (record.status == "partial" and record.counts.get("held"))
    if held and record.kind != "plan":
        click.echo(
            f"syncd: 'syncd approve {record.id}' lets through what is held, 'syncd reject {record.id}' drops it",
            err=True,
        )


_verbs = {
    "running": "goes on",
    "succeeded": "succeeded",
    "partial": "was done in part",
    "held": "holds changes back",
    "failed": "failed",
    "interrupted": "was interrupted",
}


def format_clock_time(record: RunRecord) -> str:
    """Return when a run started, in UTC, for a table."""
    return (format_time(record.started_at) or "").replace("T", " ").removesuffix("Z")


def format_duration(record: RunRecord) -> str:
    """Return how long a run took; empty while it runs."""
    if record.finished_at is None:
        return ""
    seconds = (record.finished_at - record.started_at).total_seconds()
    return f"{seconds:.1f} s" if seconds < 60 else f"{seconds // 60:.0f} min {seconds % 60:.0f} s"


def summarize_run(record: RunRecord) -> str:
    """Return the counts of a run and its error in one line."""
    return "; ".join(part for part in (tell_run(record), record.error) if part)


def tell_run(record: RunRecord) -> str:
    """Return the counts of a run."""
    from syncd.plan.report.counts import tell_counts

    return tell_counts(record.counts)


def _sum_up_reading(counts: Mapping[str, int]) -> str:
    parts = [
        f"{what} {counts[key]:,}"
        for key, what in (("users_read", "users"), ("groups_read", "groups"), ("links_read", "memberships"))
        if counts.get(key)
    ]
    malformed = sum(number for name, number in counts.items() if name.endswith("_malformed"))
    parts += [f"malformed and skipped {malformed:,}"] if malformed else []
    return f"read: {', '.join(parts)}" if parts else ""


def _describe_proof(proof: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Yield per stream what the completeness of a full read rests on, and the groups that seemed to lose members."""
    for stream in sorted(proof, reverse=True):
        found = proof[stream]
        verdict = "complete" if found["proven"] else "without proof"
        counted = "" if found["counted"] is None else f", Graph counts {found['counted']:,} (± {found['tolerance']:,})"
        missing = f"; {found['missing']:,} were not met, {found['removed']:,} of them gone" if found["missing"] else ""
        yield f"{stream} {verdict}: {found['read']:,} met{counted}{missing}"
        if not found.get("groups"):
            continue
        again = tell_number(found["groups_rechecked"], "group lacked members and was", "groups lacked members and were")
        removed = tell_number(found["memberships_removed"], "membership is", "memberships are")
        yield f"  {again} read again: {removed} gone"
        for loss in found["groups"]:
            if loss["doubt"]:
                yield f"  group {loss['source_id']}: {loss['doubt']}; nobody was taken out"


def _number(count: int) -> str:
    return f"{count:,}" if count else ""
