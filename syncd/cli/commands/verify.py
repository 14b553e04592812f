"""``syncd verify``: does each run still look as it did when it ended?"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import click

from syncd.cli.options import STORE_ONLY, Invocation, pass_invocation, shared_options
from syncd.cli.screen.output import print_json, print_line
from syncd.model.numbers import tell_number

if TYPE_CHECKING:
    from syncd.model.chain import Verdict

_PRUNED = "let go since (store.keep_runs): not checked any more"
_UNHASHED = "from before the chain began: unhashed, and nothing is said of them"
_PENDING = "settled since the last run: the next run adds that to the chain"
_SHOWN = 20
PROVES = (
    "This proves that nobody changed, removed or inserted a run, a change or an outcome without making the chain anew "
    "behind it. Whoever can write the store can make it anew: note the head elsewhere, and ask for it with --head."
)


@click.command("verify")
@click.option("--head", metavar="HASH", help="A hash that was noted before: it must still be in the chain.")
@shared_options
@pass_invocation
def verify(invocation: Invocation, *, head: str | None) -> None:
    """Check the chain of run records: the first run that was changed, removed or inserted since it ended is named.

    Each run that ends is hashed, with its changes and outcomes, together with the hash before. Exit 1 where the chain
    does not hold, or lacks the hash that --head names. It may run beside a daemon at work.

    \b
    Examples:
      syncd verify
      syncd verify --head HASH
    """
    from syncd.bootstrap.store import open_store
    from syncd.store.store import Store

    if head is not None and not _is_hash(head):
        raise click.BadParameter(
            f"'{head}' is no hash: 64 hexadecimal digits, as 'syncd verify' prints them", param_hint="--head"
        )
    with contextlib.closing(open_store(invocation.start(need=STORE_ONLY, quiet=True), create=False)) as database:
        verdict = Store(database).chain.verify(head)
    good = not verdict.broken and verdict.has_noted is not False
    if invocation.json:
        print_json(_describe(verdict, good=good))
    else:
        _print(verdict, head)
    if not good:
        raise click.exceptions.Exit(1)


def _is_hash(text: str) -> bool:
    return len(text.strip()) == 64 and set(text.strip().lower()) <= set("0123456789abcdef")


def _describe(verdict: Verdict, *, good: bool) -> dict[str, object]:
    return {
        "ok": good,
        "head": verdict.head or None,
        "noted_head_is_there": verdict.has_noted,
        "runs_checked": verdict.checked,
        "first_run": verdict.first,
        "runs_pruned": verdict.pruned,
        "runs_unhashed": verdict.unhashed,
        "settled_since": verdict.pending,
        "broken": [{"run": each.run_id, "problem": each.what} for each in verdict.broken],
    }


def _print(verdict: Verdict, head: str | None) -> None:
    if verdict.broken:
        first = verdict.broken[0]
        about = "" if first.run_id is None else f"run {first.run_id}: "
        print_line(f"The chain is BROKEN, first here: {about}{first.what}")
        for each in verdict.broken[1:_SHOWN]:
            print_line(f"  also {'' if each.run_id is None else f'run {each.run_id}: '}{each.what}")
        if len(verdict.broken) > _SHOWN:
            print_line(f"  and {len(verdict.broken) - _SHOWN:,} more: --json has all of them")
    since = "" if verdict.first is None else f", from run {verdict.first} on"
    print_line(
        tell_number(verdict.checked, "run is as it was when it", "runs are as they were when they") + f" ended{since}"
    )
    for number, told, many, more in (
        (verdict.pruned, "run in the chain was", "runs in the chain were", _PRUNED),
        (verdict.unhashed, "run is", "runs are", _UNHASHED),
        (verdict.pending, "change was", "changes were", _PENDING),
    ):
        if number:
            print_line(f"{tell_number(number, told, many)} {more}")
    if head is not None:
        there = "is in the chain" if verdict.has_noted else "is NOT in the chain: it was made anew, or cut behind it"
        print_line(f"The noted head {there}")
    print_line(f"head {verdict.head or 'none'}")
    print_line(PROVES)
