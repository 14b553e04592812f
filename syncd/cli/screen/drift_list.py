"""What was changed by hand, as a list: numbers first, and apart what setting it back would leave as it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from syncd.cli.screen.lists import Listing
from syncd.cli.screen.names import OF_GROUPS, name_groups, name_owners
from syncd.cli.screen.output import ROWS_SHOWN, print_line
from syncd.cli.screen.table import find_width

if TYPE_CHECKING:
    from syncd.cli.documents.lists import Difference
    from syncd.plan.drift import Drift
    from syncd.plan.rules import Rules
    from syncd.store.db.database import Database

LONG = 20
COLUMNS = (("object", 3), ("bps id", 8), ("field", 3), ("ours", 8), ("theirs", 8), ("owned for", 8))
HEADINGS = ("object", "bps id", "group name", "field", "ours", "theirs", "owned for", "left as it is because")
_NOBODY = "gone from the tenant"
_AT_ONCE = 200

Told = tuple["Drift", str | None, str]
"""A difference, whom its record is owned for, and why setting back would leave it (empty: it would not)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftList:
    """The differences that ``load`` yields, those of some kinds of object or (none given) all; it is asked anew."""

    database: Database
    rules: Rules
    load: Callable[[], Iterator[list[Drift]]]
    objects: Collection[str] = ()

    def iterate(self) -> Iterator[Told]:
        """Yield them in the order of the reading."""
        from syncd.plan.drift import revert

        policy, protect = self.rules.policy, self.rules.scope.protect
        chosen = ([each for each in some if not self.objects or each.object in self.objects] for some in self.load())
        for entry, owner in name_owners(self.database, chosen):
            yield entry, owner, revert(entry, policy, protect=protect).left

    def describe(self) -> Iterator[Difference]:
        """Yield them as the JSON document has them. ``owner``: the login of the person, or the group's name."""
        for entry, owner, left in self.iterate():
            yield {
                "object": entry.object,
                "bps_id": entry.bps_id,
                "field": entry.field,
                "ours": entry.ours,
                "theirs": entry.theirs,
                "source_id": entry.source_id,
                "owner": owner,
                "left": left or None,
            }

    def iterate_cells(self) -> Iterator[Sequence[object]]:
        """Yield a row of `HEADINGS` for each."""
        from itertools import islice

        from syncd.store.inventory.bps_ids import load_group_names

        source = self.iterate()
        while chunk := list(islice(source, _AT_ONCE)):
            ids = {entry.bps_id for entry, _, _ in chunk if entry.object in OF_GROUPS}
            names = load_group_names(self.database, ids) if ids else {}
            for entry, owner, left in chunk:
                name = names.get(entry.bps_id) if entry.object in OF_GROUPS else None
                yield entry.object, entry.bps_id, name, entry.field, entry.ours, entry.theirs, owner or _NOBODY, left

    def print(self, listing: Listing) -> None:
        """Print them: what would be set back, then for each reason what would not."""
        numbers = _Numbers()
        for told in self.iterate():
            numbers.add(*told)
        if not numbers.total:
            print_line("Nothing that fits was changed by hand." if self.objects else _nothing())
            return
        print_line(f"Changed by hand since syncd's last write: {numbers.total:,}")
        if numbers.total > LONG and find_width(wide=listing.wide) is not None:
            for line in numbers.iterate_lines(self.database):
                print_line(f"  {line}")
        room = listing.limit or (numbers.total if find_width(wide=listing.wide) is None else ROWS_SHOWN)
        narrow, shown = find_width(wide=listing.wide) is not None, 0
        for why, number in sorted(numbers.left.items(), key=lambda item: (item[0] != "", -item[1])):
            if why:
                print_line()
                print_line(f"Of these {number:,} {'are' if number != 1 else 'is'} left by --revert as it is: {why}")
            if room > shown:
                part = Listing(limit=room - shown, wide=listing.wide)
                rows = (_make_row(entry, owner, narrow=narrow) for entry, owner, left in self.iterate() if left == why)
                shown += part.print(COLUMNS, name_groups(self.database, rows, kind=0))
        if shown < numbers.total:
            print_line(f"{numbers.total - shown:,} more are not shown: --limit N shows more, --csv FILE writes all")


def _nothing() -> str:
    return (
        "Nothing was changed by hand. (Memberships that syncd wrote within the last hour are judged later: the portal "
        "may not show them yet.)"
    )


def _make_row(entry: Drift, owner: str | None, *, narrow: bool) -> tuple[str, ...]:
    """Return a row; a narrow one does not repeat the id of a record that is owned for the person of the same login."""
    known = "" if narrow and owner == entry.bps_id else owner or _NOBODY
    return entry.object, entry.bps_id, entry.field, entry.ours or "–", entry.theirs or "–", known


@dataclass(kw_only=True)
class _Numbers:
    """What the list comes to; of whole companies only numbers are kept."""

    total: int = 0
    left: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    fields: Counter[tuple[str, str]] = field(default_factory=Counter)
    records: Counter[str] = field(default_factory=Counter)
    groups: Counter[str] = field(default_factory=Counter)
    last: str = ""

    def add(self, entry: Drift, owner: str | None, left: str) -> None:
        del owner
        self.total += 1
        self.left[left] += 1
        self.kinds[entry.object] += 1
        self.fields[entry.object, entry.field] += 1
        if entry.bps_id != self.last:
            self.records[entry.object] += 1  # those of one record come side by side
            self.last = entry.bps_id
        if entry.object == "membership":
            self.groups[entry.bps_id] += 1

    def iterate_lines(self, database: Database) -> Iterator[str]:
        """Yield a line for each kind of object: how many, of how many records, in which fields, the worst hit."""
        from syncd.store.inventory.bps_ids import load_group_names

        for kind, number in self.kinds.most_common():
            told = [f"{self.records[kind]:,} record{'s' if self.records[kind] != 1 else ''}"]
            fields = [(name, count) for (about, name), count in self.fields.most_common() if about == kind]
            if len(fields) > 1 or kind in ("user", "group"):
                told.append(", ".join(f"{name} {count:,}" for name, count in fields))
            if kind == "membership":
                ((worst, count),) = self.groups.most_common(1)
                name = load_group_names(database, {worst}).get(worst)
                told.append(f"worst hit {f'{name} ({worst})' if name else worst}, {count:,}")
            yield f"{number:,} × {kind}: {'; '.join(told)}"
        kept = self.total - self.left[""]
        if kept:
            yield f"--revert would leave {kept:,} of all as {'they are' if kept != 1 else 'it is'}, see below"
