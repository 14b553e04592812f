"""What the tenant has stated itself, while the last full read has no proof of being complete.

Nothing is concluded then from what is missing in the directory. A membership that is not there any more counts as ended
only when it is known to have been there: the directory lets go of none without a word of the tenant. Who was never seen
in a group may be in it all the same.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from syncd.model.change import LinkKind
from syncd.plan.closure import Edges, find_below, make_edges
from syncd.plan.desired import SourceUser

if TYPE_CHECKING:
    from syncd.store.store import Store


class Evidence:
    """Tells one planning who has left a group for certain. Not reused; called in the store's thread."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._edges: Edges | None = None
        self._below: dict[int, frozenset[int]] = {}

    def find_left(self, kind: LinkKind, groups: Collection[int], users: Collection[int]) -> set[int]:
        """Return those users of whom it is known that they were in one of these groups (or owned it), by source key."""
        if not users or not groups:
            return set()
        if kind == "ownership":
            return set().union(*(self._store.desired.find_former_owners(group, users) for group in groups))
        return self._store.desired.find_members_ever(set().union(*map(self._find_below, groups)), users)

    def keep_unproven(self, users: Sequence[SourceUser], included: Collection[int]) -> list[SourceUser]:
        """Leave in the scope who was in it and is not known to have left one of its groups."""
        outside = [user.key for user in users if not user.in_groups]
        if not outside or not included:
            return list(users)
        kept = self._store.desired.find_wanted_outside(outside)
        kept -= self.find_left("membership", included, kept)
        return [user._replace(in_groups=True, made_of=None) if user.key in kept else user for user in users]

    def _find_below(self, group: int) -> frozenset[int]:
        if self._edges is None:
            self._edges = make_edges(self._store.desired.load_edges_ever())
        if group not in self._below:
            self._below[group] = find_below(self._edges, group)
        return self._below[group]
