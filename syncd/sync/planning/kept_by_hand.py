"""What was changed by hand and stays so, as one planning sees it: it is left out of what would be planned."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING

from syncd.model.change import LinkKind
from syncd.model.kinds import RecordKind
from syncd.model.target import fold
from syncd.plan.desired import FROZEN_STATES
from syncd.plan.diff import Pair
from syncd.plan.drift import Ours, find_settled, stays_away
from syncd.plan.membership import MemberView
from syncd.plan.rules import Rules

if TYPE_CHECKING:
    from syncd.store.store import Store


Membership = tuple[int, int]


def list_ours(rules: Rules) -> Ours:
    """Return what is ours to write: fields with a rule, managers, members, and owners where that is asked for."""
    managers = {"manager"} if rules.mapping.managers else set[str]()
    fields: dict[RecordKind, Collection[str]] = {
        "user": rules.mapping.user_fields.keys() | managers,
        "group": rules.mapping.group_fields.keys(),
    }
    return Ours(fields, ("membership", "ownership") if rules.mapping.owners else ("membership",))


class KeptDrift:
    """Tells one planning what to leave alone, and forgets what source and target agree about again. Not reused."""

    def __init__(self, store: Store, rules: Rules, *, write: bool = True) -> None:
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
        self._some = store.drift.has_hand_links()
        self._rejected = store.decisions.load_rejected_removals() if self._write else set()
        vanished = store.drift.load_vanished()
        if self._write:
            store.drift.forget_vanished([record.key for record in vanished if record.desired is None])
        away = [record for record in vanished if record.desired is not None and stays_away(record, self._rules.policy)]
        self._away = {record.key for record in away}
        self._away_ids = {fold(record.bps_id) for record in away}

    @property
    def away(self) -> frozenset[int]:
        """Return the records that somebody removed from the portal, and that stay away."""
        return frozenset(self._away)

    @property
    def looks_at_all(self) -> bool:
        """Return whether `adjust` has something to do with records in which nothing changes."""
        return bool(self._rejected or self._away)

    def stays_away(self, record: int) -> bool:
        """Return whether a record is one of `away`."""
        return record in self._away

    def list_groups(self, kind: LinkKind) -> set[int]:
        """Return the groups of which a place was changed by hand, or its removal rejected."""
        known = self._store.drift.load_groups_with_hand_links(kind) if self._some else []
        return {*known, *(group for what, group, _ in self._rejected if what == kind)}

    def adjust(self, rows: list[tuple[int, Pair]], *, user: bool) -> list[tuple[int, Pair]]:
        """Return the records to compare: without those that stay away, also as managers of others."""
        if not self._rejected and not self._away and all(pair.current is None for _, pair in rows):
            return rows  # nobody can have changed by hand what is not there
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
                seen = pair._replace(manager=None)
            found.append((key, seen))
            agreed = find_settled(seen, managers=managers) if self._write else None
            if agreed:
                settled[key] = agreed
        if settled:
            self._store.drift.settle_fields("user" if user else "group", settled)
        return found

    def settle_group(self, kind: LinkKind, group: int, *, current: Collection[int], wanted: Collection[int]) -> None:
        """Forget what was done by hand, or rejected, about the members of a group about whom both sides agree."""
        if self._rejected:
            self._forget_rejected({(kind, group, member) for member in set(current) & set(wanted)})
        if self._some and self._write:
            have, want = set(current), set(wanted)
            known = self._store.drift.load_hand_links(kind, [group], None)
            self._store.drift.forget_hand_links(
                kind, [pair for pair in known if (pair[1] in have) == (pair[1] in want)]
            )

    def settle_members(
        self, kind: LinkKind, members: Collection[int], *, have: set[Membership], want: set[Membership]
    ) -> None:
        """Forget what was done by hand, or rejected, about the places of people about whom both sides agree."""
        if self._rejected:
            self._forget_rejected({(kind, *pair) for pair in have & want})
        if self._some and self._write:
            known = self._store.drift.load_hand_links(kind, [], members)
            self._store.drift.forget_hand_links(kind, [pair for pair in known if (pair in have) == (pair in want)])

    def _forget_rejected(self, wanted: set[tuple[str, int, int]]) -> None:
        over = wanted & self._rejected
        if over:
            self._store.decisions.forget_rejected_removals(over)
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
        for (_, key), (added, accepted) in self._store.drift.load_hand_links(kind, [group], None).items():
            member = views.get(key)
            if member is None or not (kept or accepted):
                continue
            if not (added and member.owned and not member.wanted and member.state not in FROZEN_STATES):
                left.add(key)
        return left
