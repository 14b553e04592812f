"""``syncd held``, ``approve`` and ``reject``: what a guard withheld, and the word of a person about it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from itertools import chain
from typing import TYPE_CHECKING

import click

from syncd.cli.options import STORE_ONLY, Invocation, name_person, pass_invocation, shared_options
from syncd.cli.screen.change_list import (
    HEADINGS,
    chain_rows,
    print_refused,
)
from syncd.cli.screen.changes import describe_refused
from syncd.cli.screen.handovers import load_cards, print_cards
from syncd.cli.screen.held_list import describe_emptied, describe_held, list_held, print_emptied, print_held
from syncd.cli.screen.impact import places_option, read_places
from syncd.cli.screen.lists import Listing, list_options
from syncd.cli.screen.output import Stream, print_json, print_line
from syncd.cli.screen.pager import paged
from syncd.cli.screen.runs import describe_run, explain_result, print_run
from syncd.clock import Clock
from syncd.model.numbers import tell_number

if TYPE_CHECKING:
    from syncd.model.change import Action
    from syncd.model.run import Approval, RunRecord
    from syncd.store.db.database import Database
    from syncd.store.decisions.records import DecisionKind

_ACTIONS = ("delete", "unlink", "revoke", "update", "adopt", "handover", "create", "link", "grant")
_PATIENCE_SECONDS = 900.0
_LOOK_SECONDS = 0.5

_kind = click.option(
    "--kind", "kinds", multiple=True, type=click.Choice(_ACTIONS), help="Only changes of this action; may be repeated."
)
_only = click.option(
    "--only", multiple=True, metavar="BPSID", help="Only changes of this user, group or member; may be repeated."
)
_more = click.argument("more", nargs=-1, metavar="[MORE]…")


@click.command("held")
@click.option("--action", "actions", multiple=True, type=click.Choice(_ACTIONS), help="Only these; may be repeated.")
@places_option
@list_options
@shared_options
@pass_invocation
def held(invocation: Invocation, *, actions: tuple[Action, ...], places: bool | None, listing: Listing) -> None:
    """List what a guard withheld and nobody has decided on yet, and how much was rejected.

    A tenant that shows no user or no group any more is held as a whole, and listed first: no change is planned then.
    Each removal has a card: what hangs on it. What may be done in the portal by it is read there for the cards,
    unless --no-places says otherwise.

    \b
    Examples:
      syncd held
      syncd held --action unlink --xlsx held.xlsx
    """
    from syncd.bootstrap.store import open_store
    from syncd.model.reason import Cause
    from syncd.plan.words import say
    from syncd.store.reports.emptied import load_emptied
    from syncd.store.store import Store

    settings = invocation.start(need=STORE_ONLY, quiet=True)
    database = open_store(settings, create=False)
    try:
        approvals = Store(database).decisions
        holding = approvals.load_holding_runs(now=Clock().now())
        lists = {run_id: list_held(database, run_id, actions) for run_id in holding}
        if places is not False and not listing.exports:
            read_places(settings, database, holding, ("held",), wanted=bool(places))
        emptied = load_emptied(database)
        if invocation.json:
            documents = (describe_held(settings, database, lists[run_id], listing) for run_id in holding)
            print_json(Stream(chain(describe_emptied(database, emptied, holding), documents)))
            return
        if listing.export(["run", *HEADINGS], lambda: chain_rows(lists)):
            return
        with paged():
            print_emptied(emptied)
            if not holding and not emptied:
                print_line("Nothing is held.")
            for run_id in holding:
                print_held(settings, database, lists[run_id], listing)
            if _waits_for_scope(database, holding):
                print_line(say(Cause.PRIVILEGES_REFUSED).text)
            for run_id, number in approvals.count_rejections().items():
                print_line(
                    "Rejected, and not proposed again until their objects change: "
                    f"{tell_number(number, 'change')} of run {run_id}. "
                    f"To take that back: syncd reject {run_id} --withdraw"
                )
    finally:
        database.close()


def _waits_for_scope(database: Database, runs: Iterable[int]) -> bool:
    """Return whether privileges are held that nobody lets us give or take: an approval would put them off."""
    from syncd.store.store import Store

    store = Store(database)
    if store.privileges.load_refusal.blocking() is None:
        return False
    kinds = {kind for run_id in runs for kind in store.plans.count_outcomes.blocking(run_id)}
    return any(what == "privilege" and status == "held" for _, what, status in kinds)


@click.command("approve")
@click.argument("run", type=int)
@_more
@_kind
@_only
@shared_options
@pass_invocation
@click.pass_context
def approve(
    context: click.Context,
    invocation: Invocation,
    *,
    run: int,
    more: tuple[str, ...],
    kinds: tuple[str, ...],
    only: tuple[str, ...],
) -> None:
    """Apply what run RUN held, at once: all of it, or what --kind and --only name (several words may follow each).

    What is new in the tenant and in the portal is read before. What has changed there since it was shown is refused
    by name, and the rest is applied; without the tenant nothing is. Beside a working daemon the daemon does it, and
    this command waits for the result.

    \b
    Examples:
      syncd approve 12
      syncd approve 12 --kind unlink revoke
      syncd approve 12 --only ann@example.com bob@example.com
    """
    from syncd.bootstrap.store import open_store
    from syncd.cli.one_run import execute
    from syncd.errors import StoreLocked
    from syncd.model.run import RunRequest, find_exit_code
    from syncd.store.store import Store

    settings = invocation.start()
    database = open_store(settings, create=False)
    try:
        approval = _make_approval(database, run, kinds=kinds, only=only, more=more, as_json=invocation.json)
        if approval is None:
            context.exit(0)
        if not invocation.json:
            cards = load_cards(settings, database, run, ["held"]).values()
            print_cards(card for card in cards if approval.covers("handover", str(card["bps_id"])))
        decision = _record(database, "approve", approval)
        try:
            record = execute(
                settings, database, RunRequest(pull="none", trigger="approval", retry_failed=True, approval=approval)
            )
            Store(database).decisions.note_result(decision, record.id)
        except StoreLocked:
            record = asyncio.run(_order(database, approval, decision))
        if invocation.json:
            print_json({**describe_run(record), "refused": describe_refused(database, record.id), "believed": []})
        else:
            print_run(database, record)
            print_refused(database, record.id)
    finally:
        database.close()
    explain_result(record)
    context.exit(find_exit_code(record))


@click.command("reject")
@click.argument("run", type=int)
@_more
@_kind
@_only
@click.option("--withdraw", is_flag=True, help="Take the rejection back: the next run plans those changes again.")
@shared_options
@pass_invocation
def reject(
    invocation: Invocation,
    *,
    run: int,
    more: tuple[str, ...],
    kinds: tuple[str, ...],
    only: tuple[str, ...],
    withdraw: bool,
) -> None:
    """Drop what run RUN held, all or in part; it is not proposed again until that person or group changes.

    --withdraw takes that back, all or in part.

    \b
    Examples:
      syncd reject 12
      syncd reject 12 --only ann@example.com
      syncd reject 12 --withdraw
    """
    from syncd.bootstrap.store import open_store
    from syncd.store.store import Store

    database = open_store(invocation.start(need=STORE_ONLY), create=False)
    try:
        if withdraw:
            kinds, only = _join_words(kinds, only, more)
            _withdraw(database, run, kinds=kinds, only=only, as_json=invocation.json)
            return
        approval = _make_approval(database, run, kinds=kinds, only=only, more=more, believes=False)
        if approval is not None:
            number = Store(database).decisions.reject(approval)
            _record(database, "reject", approval, number)
            if invocation.json:
                print_json({"run": run, "changes": number, "withdrawn": False})
                return
            print_line(
                f"Rejected: {tell_number(number, 'change')}, not proposed again until what is concerned changes, or "
                f"until 'syncd reject {run} --withdraw'."
            )
    finally:
        database.close()


def _withdraw(database: Database, run: int, *, kinds: tuple[str, ...], only: tuple[str, ...], as_json: bool) -> None:
    from syncd.model.run import Approval
    from syncd.store.store import Store

    approval = Approval(run_id=run, actions=kinds, only=tuple(word.casefold() for word in only))
    number = Store(database).decisions.withdraw_rejections(approval)
    if not number:
        fits = " that fits --kind and --only" if kinds or only else ""
        raise click.UsageError(f"nothing{fits} that run {run} held is rejected (any more)")
    _record(database, "withdraw", approval, number)
    if as_json:
        print_json({"run": run, "changes": number, "withdrawn": True})
        return
    print_line(
        f"Withdrawn: {tell_number(number, 'rejection')}. The next run looks at everybody: it carries out what is "
        "within the guard's limits, and holds the rest."
    )


def _join_words(
    kinds: tuple[str, ...], only: tuple[str, ...], more: tuple[str, ...]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return kinds and BPS ids. Words behind the options belong to the option before them: --kind unlink delete."""
    if more and not kinds and not only:
        raise click.UsageError(f"'{more[0]}' follows no option: use --kind ACTION or --only BPSID")
    if only:
        return kinds, (*only, *more)
    wrong = [word for word in more if word not in _ACTIONS]
    if wrong:
        raise click.UsageError(f"'{wrong[0]}' is no action; the actions are {', '.join(_ACTIONS)}")
    return (*kinds, *more), only


def _make_approval(
    database: Database,
    run: int,
    *,
    kinds: tuple[str, ...],
    only: tuple[str, ...],
    more: tuple[str, ...],
    believes: bool = True,
    as_json: bool = False,
) -> Approval | None:
    """Return what is meant, checked against what is held; None when an empty tenant was what waited for a word.

    ``believes``: an empty tenant is believed by it, and that is told, as a document where ``as_json`` says so. A
    rejection never is such a word.
    """
    from syncd.model.run import HELD_FOR, Approval
    from syncd.store.store import Store

    approvals = Store(database).decisions
    record = Store(database).runs.load_run.blocking(run)
    if record is None:
        raise click.UsageError(f"there is no run {run}: 'syncd held' names the run that holds something")
    kinds, only = _join_words(kinds, only, more)
    emptied = [name.removesuffix("_emptied") for name in record.counts if name.endswith("_emptied")]
    believed = approvals.believe_empty(emptied, run) if believes and not kinds and not only else {}
    if believed:
        _record(database, "approve", Approval(run_id=run))
        if as_json:
            streams = [{"stream": stream, "needs_full_run": not told} for stream, told in believed.items()]
            print_json({**describe_run(record), "refused": [], "believed": streams})
            return None
        next_run = "next run" if all(believed.values()) else "next full run"
        print_line(f"Noted: {' and '.join(believed)} are truly empty. The {next_run} acts on it, guarded as ever.")
        return None
    now = Clock().now()
    holding = approvals.load_holding_runs(now=now)
    if run not in holding and record.counts.get("held") and record.finished_at and now - record.finished_at > HELD_FOR:
        raise click.UsageError(f"what run {run} held has expired: look at what the next run holds")
    if run not in holding:
        hint = f"what is held now: run {', '.join(map(str, holding))}" if holding else "nothing is held"
        raise click.UsageError(f"run {run} holds nothing (any more): {hint}")
    approval = Approval(run_id=run, actions=kinds, only=tuple(word.casefold() for word in only))
    users, groups = approvals.load_concerned.blocking(approval)
    if not users and not groups:
        raise click.UsageError(f"run {run} holds nothing that fits --kind and --only (BPS ids): 'syncd held' lists it")
    return approval


def _record(database: Database, decision: DecisionKind, approval: Approval, number: int | None = None) -> int:
    """Write down, and log without a name, that a person decided; return the number of the record."""
    from syncd.logs.pipe import get_logger
    from syncd.store.decisions.records import Decider
    from syncd.store.store import Store

    by = Decider(via="command", name=name_person())
    record = Store(database).decisions.record(decision, approval, by, now=Clock().now(), number=number)
    get_logger("syncd.decisions").info(
        "decision.recorded", record=record, decision=decision, run=approval.run_id, changes=number, via=by.via
    )
    return record


async def _order(database: Database, approval: Approval, decision: int) -> RunRecord:
    """Let the daemon that holds the lock carry it out, and wait for its result."""
    from syncd.errors import StoreLocked
    from syncd.store.store import Store

    clock = Clock()
    approvals = Store(database).decisions
    order = approvals.add_order(approval, decision=decision)
    click.echo("syncd: the daemon that works on this store carries it out", err=True)
    deadline = clock.monotonic() + _PATIENCE_SECONDS
    try:
        while (result := approvals.load_order_result(order)) is None:
            if clock.monotonic() > deadline:
                raise StoreLocked(
                    "whoever works on this store did not carry out the approval in time; it was withdrawn"
                )
            await clock.sleep(_LOOK_SECONDS)
    finally:
        approvals.withdraw_order(order)
    record = Store(database).runs.load_run.blocking(result)
    if record is None:
        raise StoreLocked(f"run {result} carried it out, and is gone from the run log")
    return record
