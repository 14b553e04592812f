"""Changes as a list: a summary when there are many, and rows under the reason that they share.

On a terminal the same reason is said once, above the rows that have it, and a long list is shown in part. In a pipe,
with ``--wide`` and in files each change is one row with everything on it, in the order of the plan.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import TYPE_CHECKING

from syncd.cli.screen.changes import (
    describe_values,
    iterate_following,
    iterate_refused,
    put_in_words,
    tell_why,
)
from syncd.cli.screen.lists import Listing
from syncd.cli.screen.names import OF_GROUPS, name_groups
from syncd.cli.screen.output import ROWS_SHOWN, print_line, print_rows, print_table
from syncd.cli.screen.table import find_width
from syncd.model.reason import Cause

if TYPE_CHECKING:
    from syncd.model.change import Action, Change, OutcomeStatus, PlannedChange
    from syncd.store.db.database import Database
    from syncd.store.plans.changes import Placed
    from syncd.store.reports.change_summary import KindSummary

LONG = 20
"""A list of more rows begins with a summary."""
_LEAVERS = (Cause.DISABLED, Cause.DELETED, Cause.OUT_OF_SCOPE)
_AT_ONCE = 5000
"""So many rows are put in order at most; more of them are shown as they come."""
COLUMNS = (
    ("outcome", 3),
    ("action", 2),
    ("object", 3),
    ("bps id", 8),
    ("member", 8),
    ("what, why", 12),
)
PLAIN_COLUMNS = COLUMNS[1:]
"""Where the outcome is the same for all."""
HEADINGS = ("outcome", "action", "object", "bps id", "group name", "member", "what", "why")
"""Of a file, in which an id stands alone in its cell."""
_BELOW = (("bps id", 8), ("member", 8), ("what", 12))

Explain = Callable[[Sequence["Placed"]], list[str]]


def tell_values(change: Change) -> str:
    """Return the values of what is written over; those of a creation would only repeat its person."""
    return describe_values(change) if change.before else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeList:
    """The changes of a run in some statuses, in this order.

    ``explain`` says why each of some changes is wanted, withheld or failed; ``values`` what it writes.
    """

    database: Database
    run_id: int
    statuses: Sequence[OutcomeStatus]
    explain: Explain
    actions: Sequence[Action] | None = None
    values: Callable[[Change], str] = tell_values
    apart: Cause | None = None
    """Without those that are left alone for this cause."""
    outcomes: bool = False
    """Whether each row says how it ended."""

    def iterate(self) -> Iterator[tuple[PlannedChange, str]]:
        """Yield the changes in the order of the plan, each with the reason."""
        from syncd.store.store import Store

        plans = Store(self.database).plans
        for status in self.statuses:
            for placed in plans.iterate_changes(self.run_id, statuses=[status], actions=self.actions):
                yield from self._choose(placed)

    def iterate_rows(self) -> Iterator[Sequence[object]]:
        """Yield a row of `COLUMNS` for each change."""
        return name_groups(self.database, (self._make_row(*each) for each in self.iterate()), kind=2)

    def iterate_cells(self) -> Iterator[Sequence[object]]:
        """Yield a row of `HEADINGS` for each change."""
        from syncd.store.inventory.bps_ids import load_group_names

        source = self.iterate()
        while chunk := list(islice(source, _AT_ONCE)):
            ids = {planned.change.bps_id for planned, _ in chunk if planned.change.object in OF_GROUPS}
            names = load_group_names(self.database, ids) if ids else {}
            for planned, why in chunk:
                c = planned.change
                name = names.get(c.bps_id) if c.object in OF_GROUPS else None
                yield planned.status, c.action, c.object, c.bps_id, name, c.target, self.values(c), why

    def count(self) -> int:
        """Return how many there are."""
        from syncd.store.store import Store

        found = Store(self.database).plans.count_outcomes.blocking(self.run_id)
        return sum(
            number
            for (action, _, status), number in found.items()
            if status in self.statuses and (self.actions is None or action in self.actions)
        )

    def print(self, listing: Listing, *, total: int | None = None, rest: str = "") -> None:
        """Print them; ``total``: how many there are, ``rest``: how those are seen that are not shown."""
        number = self.count() if total is None else total
        if not number:
            return
        if listing.wide or find_width() is None:
            columns = COLUMNS if self.outcomes else PLAIN_COLUMNS
            rows = self.iterate_rows() if self.outcomes else (row[1:] for row in self.iterate_rows())
            _tell_rest(number - print_table(columns, listing.take(rows), wide=listing.wide), rest)
            return
        if number > LONG:
            print_summary(self)
        most = min(number, listing.limit or ROWS_SHOWN)
        pairs = self._load_first(most) if most <= _AT_ONCE else islice(self.iterate(), most)
        shown = print_grouped(self.database, pairs, self.values, outcomes=self.outcomes, whole=most == number)
        _tell_rest(number - shown, rest)

    def _load_first(self, most: int) -> Iterator[tuple[PlannedChange, str]]:
        from syncd.store.store import Store

        plans, left = Store(self.database).plans, most
        for status in self.statuses:
            if left > 0:
                found = plans.load_first(
                    self.run_id, status=status, actions=self.actions, at_most=left, apart=self.apart
                )
                pairs = self._choose(found)
                left -= len(pairs)
                yield from pairs

    def _choose(self, placed: Sequence[Placed]) -> list[tuple[PlannedChange, str]]:
        chosen = [each for each in placed if self.apart is None or each[0].error.cause is not self.apart]
        return [(each[0], why) for each, why in zip(chosen, self.explain(chosen), strict=True)]

    def _make_row(self, planned: PlannedChange, why: str) -> tuple[object, ...]:
        change = planned.change
        told = "; ".join(part for part in (why, self.values(change)) if part)
        return planned.status, change.action, change.object, change.bps_id, change.target, told


def _tell_rest(left: int, rest: str) -> None:
    if left > 0:
        print_line(f"{left:,} more are not shown: {rest or '--limit N shows more, --csv FILE writes all'}")


def print_grouped(
    database: Database,
    pairs: Iterable[tuple[PlannedChange, str]],
    values: Callable[[Change], str],
    *,
    outcomes: bool = False,
    whole: bool = True,
) -> int:
    """Print changes under what they have in common: the outcome, the action and the reason; return how many.

    ``whole``: these are all, so that they may be counted.
    """
    groups: dict[tuple[str, ...], list[Change]] = {}
    for planned, why in pairs:
        change = planned.change
        head = (planned.status if outcomes else "", f"{change.action} {change.object}", why)
        groups.setdefault(head, []).append(change)
    printed = 0
    for (outcome, what, why), changes in groups.items():
        print_line()
        count = f", {len(changes):,}" if len(changes) > 1 and whole else ""
        print_line(f"{outcome}{' ' if outcome else ''}{what}{count}{f': {why}' if why else ''}")
        rows = ((change.object, change.bps_id, change.target, values(change)) for change in changes)
        named = [tuple(map(str, row[1:])) for row in name_groups(database, rows, kind=0)]
        printed += _print_below(named, whole=whole)
    return printed


def _print_below(rows: Sequence[tuple[str, ...]], *, whole: bool) -> int:
    """Print rows of `_BELOW`; a group of many of these members is named once, and so is a member of many groups."""
    groups, members = {row[0] for row in rows}, {row[1] for row in rows}
    place = 0 if len(groups) <= len(members) else 1
    if min(len(groups), len(members)) * 2 > len(rows) or members == {""}:
        return _print_used(rows, indent=2)
    parts: dict[str, list[tuple[str, ...]]] = {}
    for row in rows:
        parts.setdefault(row[place], []).append((*row[:place], "", *row[place + 1 :]))
    printed = 0
    for name, found in parts.items():
        print_line(f"  {name}{f', {len(found):,}' if len(found) > 1 and whole else ''}")
        printed += _print_used(found, indent=4)
    return printed


def _print_used(rows: Sequence[tuple[str, ...]], *, indent: int) -> int:
    """Print rows without the columns that are empty in all of them."""
    used = [place for place in range(len(_BELOW)) if any(row[place] for row in rows)]
    chosen = ([row[place] for place in used] for row in rows)
    return print_rows([_BELOW[place] for place in used], chosen, indent=indent)


def print_summary(listed: ChangeList) -> None:
    """Print a line for each kind of change: how many, whom, why, and which group is hit worst."""
    from syncd.store.reports.change_summary import load_summary

    for kind in load_summary(listed.database, listed.run_id, listed.statuses, listed.actions):
        parts = [f"{kind.concerned:,} {_name_concerned(kind.object, kind.concerned)}"]
        if kind.object in ("user", "group") and kind.concerned == kind.number:
            parts = []
        if kind.values:
            parts.append(", ".join(f"{value} {number:,}" for value, number in kind.values[:4]))
        parts.append(_tell_reasons(kind, listed.statuses))
        if kind.worst is not None:
            named = f"{kind.worst.name} ({kind.worst.bps_id})" if kind.worst.name else kind.worst.bps_id
            parts.append(f"worst hit {named}, {kind.worst.lost:,} of {kind.worst.of:,}")
        told = "; ".join(part for part in parts if part)
        print_line(f"  {kind.number:,} × {kind.action} {kind.object}{f': {told}' if told else ''}")


def _name_concerned(kind: str, number: int) -> str:
    one, many = ("group", "groups") if kind in ("group", "privilege") else ("person", "people")
    return one if number == 1 else many


def _tell_reasons(kind: KindSummary, statuses: Sequence[OutcomeStatus]) -> str:
    found: dict[str, int] = {}
    gone = (Cause.DISABLED.value, Cause.DELETED.value)
    for cause, reason, error, number in kind.reasons:
        words = put_in_words(reason)
        if cause in gone:
            words = f"{words} in the tenant"
        if not words or set(statuses) == {"failed"}:
            words = error or words
        found[words] = found.get(words, 0) + number
    told = sorted(((words, number) for words, number in found.items() if words), key=lambda item: -item[1])
    if not told:
        return ""
    if len(found) == 1 and not kind.others:
        shared = "all " if kind.reasons[0][0] in gone else "all for one reason: "
        return told[0][0] if kind.number == 1 else f"{shared}{told[0][0]}"
    rest = kind.others + sum(number for _, number in told[3:])
    parts = [f"{words}: {number:,}" for words, number in told[:3]]
    return ", ".join([*parts, *([f"for other reasons: {rest:,}"] if rest else [])])


def print_refused(database: Database, run_id: int) -> None:
    """Print by name what an approval refused, and why."""
    pairs = [(planned, planned.error.text.removeprefix("refused: ")) for planned in iterate_refused(database, run_id)]
    if pairs:
        print_line("Refused, because one of the sides has changed since it was shown:")
        _print_apart(database, run_id, pairs, len(pairs))


def print_following(database: Database, run_id: int) -> None:
    """Print apart what would be removed after the adoptions that a run withholds, each with the true reason."""
    from syncd.store.store import Store

    total = Store(database).plans.count_following(run_id)
    if not total:
        return
    print_line()
    print_line(
        f"Not part of it: once they are adopted, the next run would remove {total:,}, within the guard's limits:"
    )
    pairs = ((planned, tell_why(planned.change)) for planned in iterate_following(database, run_id))
    _print_apart(database, run_id, pairs, total)


def _print_apart(database: Database, run_id: int, pairs: Iterable[tuple[PlannedChange, str]], total: int) -> None:
    if find_width() is not None:
        shown = print_grouped(database, islice(pairs, ROWS_SHOWN), lambda _change: "")
    else:
        rows = ((c.action, c.object, c.bps_id, c.target, why) for planned, why in pairs for c in (planned.change,))
        columns = (("action", 8), ("object", 10), ("bps id", 30), ("member", 30), ("why", 40))
        shown = print_table(columns, name_groups(database, rows, kind=1))
    _tell_rest(total - shown, f"'syncd runs show {run_id} --json' has all")


def explain_by_leaving(database: Database, *, first: Callable[[PlannedChange], str] = lambda _planned: "") -> Explain:
    """Return what explains changes by why their people or groups leave; ``first`` says what comes before that."""
    from syncd.store.store import Store

    approvals = Store(database).decisions

    def explain(placed: Sequence[Placed]) -> list[str]:
        keys = [_find_leaver(planned.change, record, target) for planned, record, target in placed]
        reasons = approvals.load_leaver_reasons({key for key in keys if key is not None})
        return [
            first(planned) or tell_why(planned.change, "" if key is None else reasons.get(key, ""))
            for (planned, _, _), key in zip(placed, keys, strict=True)
        ]

    return explain


def _find_leaver(change: Change, record: int, target: int | None) -> int | None:
    """Return whose leaving a change follows, if any: a person's in a group, or that of the record itself."""
    if change.action == "unlink" and change.reason.cause in _LEAVERS:
        return target
    return record if change.action in ("delete", "unlink", "revoke") or change.reason.cause is Cause.STANDS_IN else None


def explain_each(words: Callable[[PlannedChange], str]) -> Explain:
    """Return what explains changes one by one."""
    return lambda placed: [words(planned) for planned, _, _ in placed]


def chain_rows(lists: Mapping[int, ChangeList]) -> Iterator[Sequence[object]]:
    """Yield the rows of several runs, each with the number of its run before it."""
    return chain.from_iterable(((run, *row) for row in listed.iterate_cells()) for run, listed in lists.items())
