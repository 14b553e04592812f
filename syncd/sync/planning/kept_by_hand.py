"""What was changed by hand and stays so, as one planning sees it: it is left out of what would be planned."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Literal, Protocol

from syncd.model.change import LinkKind
from syncd.model.target import fold
from syncd.plan.diff import Pair
from syncd.plan.drift import Ours, Vanished, find_settled, stays_away
from syncd.plan.membership import MemberView
from syncd.plan.rules import Rules
from syncd.sync.ports.planning import PlanStore

Kind = Literal["user", "group"]
Membership = tuple[int, int]


class PlanningStore(PlanStore, Protocol):
    """The store as a planner reads and writes it, with what was changed by hand."""

    def has_hand_links(self) -> bool:
        """Return whether any membership was changed by hand."""
        ...

    def load_hand_links(
        self, kind: LinkKind, groups: Collection[int], members: Collection[int] | None
    ) -> dict[Membership, tuple[bool, bool]]:
        """Return (added, accepted) of memberships that were changed by hand."""
        ...

    def forget_hand_links(self, kind: LinkKind, pairs: Collection[Membership]) -> None:
        """Source and target agree about these again."""
        ...

    def load_vanished(self) -> list[Vanished]:
        """Return the records of ours that were removed by hand."""
        ...

    def load_rejected_removals(self) -> set[tuple[str, int, int]]:
        """Return the removals that a person rejected."""
        ...

    def forget_rejected_removals(self, removals: Collection[tuple[str, int, int]]) -> None:
        """The source wants these to be there."""
        ...

    def forget_vanished(self, keys: Collection[int]) -> None:
        """Forget removed records."""
        ...

    def settle_fields(self, kind: Kind, settled: Mapping[int, Mapping[str, str | None]]) -> None:
        """Source and target agree about these fields again."""
        ...


def list_ours(rules: Rules) -> Ours:
    """Return what is ours to write: fields with a rule, managers, members, and owners where that is asked for."""
    managers = {"manager"} if rules.mapping.managers else set[str]()
    fields: dict[Kind, Collection[str]] = {
        "user": rules.mapping.user_fields.keys() | managers,
        "group": rules.mapping.group_fields.keys(),
    }
    return Ours(fields, ("membership", "ownership") if rules.mapping.owners else ("membership",))


class ByHand:
    """Tells one planning what to leave alone, and forgets what source and target agree about again. Not reused."""

    def __init__(self, store: PlanningStore, rules: Rules, *, write: bool = True) -> None:
        """``write`` False: a dry run, perhaps under other rules, after which nothing that was noted is forgotten."""
        self._store = store
        self._rules = rules
        self._write = write
        self._rejected: set[tuple[str, int, int]] = set()
        self._some = False
        self._away: set[int] = set()
        self._away_ids: set[str] = set()

    def begin(self) -> None:
        """Look at what was changed by hand; to be called when the desired state is up to date."""
        store = self._store
        self._some = store.has_hand_links()
        self._rejected = store.load_rejected_removals() if self._write else set()
        vanished = store.load_vanished()
        if self._write:
            store.forget_vanished([record.key for record in vanished if record.desired is None])
        away = [record for record in vanished if record.desired is not None and stays_away(record, self._rules.policy)]
        self._away = {record.key for record in away}
        self._away_ids = {fold(record.bps_id) for record in away}

    def adjust(self, rows: list[tuple[int, Pair]], *, user: bool) -> list[tuple[int, Pair]]:
        """Return the records to compare: without those that stay away, also as managers of others."""
        managers = user and self._rules.mapping.managers
        found: list[tuple[int, Pair]] = []
        settled: dict[int, Mapping[str, str | None]] = {}
        for key, pair in rows:
            if key in self._away and pair.current is None:
                continue
            if self._rejected and pair.desired is not None:
                self._forget_rejected({("user" if user else "group", key, 0)})
            seen = pair
            if pair.manager is not None and fold(pair.manager) in self._away_ids:
                seen = replace(pair, manager=None)
            found.append((key, seen))
            agreed = find_settled(seen, managers=managers) if self._write else None
            if agreed:
                settled[key] = agreed
        if settled:
            self._store.settle_fields("user" if user else "group", settled)
        return found

    def settle_group(self, kind: LinkKind, group: int, current: Collection[int], wanted: Collection[int]) -> None:
        """Forget what was done by hand, or rejected, about the members of a group about whom both sides agree."""
        if self._rejected:
            self._forget_rejected({(kind, group, member) for member in set(current) & set(wanted)})
        if self._some and self._write:
            have, want = set(current), set(wanted)
            known = self._store.load_hand_links(kind, [group], None)
            self._store.forget_hand_links(kind, [pair for pair in known if (pair[1] in have) == (pair[1] in want)])

    def settle_members(
        self, kind: LinkKind, members: Collection[int], have: set[Membership], want: set[Membership]
    ) -> None:
        """Forget what was done by hand, or rejected, about the places of people about whom both sides agree."""
        if self._rejected:
            self._forget_rejected({(kind, *pair) for pair in have & want})
        if self._some and self._write:
            known = self._store.load_hand_links(kind, [], members)
            self._store.forget_hand_links(kind, [pair for pair in known if (pair in have) == (pair in want)])

    def _forget_rejected(self, wanted: set[tuple[str, int, int]]) -> None:
        over = wanted & self._rejected
        if over:
            self._store.forget_rejected_removals(over)
            self._rejected -= over

    def find_left(self, kind: LinkKind, group: int, members: Iterable[MemberView]) -> set[int]:
        """Return those members of a group who stay as somebody put them: in it or out of it.

        A leaver of ours who was put in again is no such case: the policy for leavers decides.
        """
        views = {member.key: member for member in members}
        if group in self._away:
            return set(views)
        left = self._away & views.keys()
        if not self._some:
            return left
        kept = self._rules.policy.drift != "revert"
        for (_, key), (added, accepted) in self._store.load_hand_links(kind, [group], None).items():
            member = views.get(key)
            if member is not None and (kept or accepted) and not (added and member.owned and not member.wanted):
                left.add(key)
        return left
