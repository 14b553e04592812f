"""Write the plan of a run, in its order and in larger pieces: changes as decided, and plain links in columns."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from syncd.model.change import Change, LinkKind, PlainLinks

if TYPE_CHECKING:
    from syncd.store.store import Store

Placed = tuple[Change, int, int | None]

_CHANGES_AT_ONCE = 2000
_LINKS_AT_ONCE = 500_000


class PlanWriter:
    """Appends to the plan of one run. What was added is in the store after `flush`."""

    def __init__(self, store: Store, run_id: int, put_first: Callable[[Change, int, int | None], Change]) -> None:
        """``put_first`` returns a change as it is made around a handover."""
        self._store = store
        self._run_id = run_id
        self._put_first = put_first
        self._changes: list[Placed] = []
        self._links: list[PlainLinks] = []
        self._waiting = 0
        self._kind: LinkKind = "membership"
        self._next = 0

    @property
    def count(self) -> int:
        """Return how many changes the plan has in the store."""
        return self._next

    def add(self, placed: Iterable[Placed]) -> None:
        """Append changes."""
        if self._links:
            self.flush()
        put_first = self._put_first
        self._changes += [(put_first(change, record, member), record, member) for change, record, member in placed]
        if len(self._changes) >= _CHANGES_AT_ONCE:
            self.flush()

    def add_links(self, kind: LinkKind, links: PlainLinks) -> None:
        """Append the plain links (`syncd.plan.membership.links_plainly`) of one group."""
        if self._changes or kind != self._kind:
            self.flush()
        self._kind = kind
        self._links.append(links._replace(members=array("q", links.members)))  # a quarter of the room
        self._waiting += len(links.members)
        if self._waiting >= _LINKS_AT_ONCE:
            self.flush()

    def flush(self) -> None:
        """Write what is not written yet."""
        plans = self._store.plans
        if not self._next and (self._changes or self._links):
            plans.begin_plan(self._run_id)
        for start in range(0, len(self._changes), _CHANGES_AT_ONCE):
            some = self._changes[start : start + _CHANGES_AT_ONCE]
            self._next = plans.add_changes.blocking(self._run_id, self._next, some)
        if self._links:
            self._next = plans.add_links(self._run_id, self._next, kind=self._kind, links=self._links)
        self._changes, self._links, self._waiting = [], [], 0
