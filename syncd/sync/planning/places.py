"""Planning memberships and ownerships: who should be in each group, beside who is.

Of most places nothing is to be said but that somebody who is wanted goes into a group that is wanted. Those are found a
page of groups at a time, judged once for each group (`syncd.plan.membership.links_plainly`), and written as keys.
Whatever a rule, a person or the portal says something about is judged one by one.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING

from syncd.model.change import LinkKind, PlainLinks
from syncd.model.packed import MASK, pack
from syncd.model.reason import Cause
from syncd.model.run import Removals
from syncd.plan.closure import Edges, find_below, make_edges
from syncd.plan.membership import (
    Doubt,
    GroupView,
    MemberView,
    decide_link,
    decide_unlink,
    is_unwritable,
    links_plainly,
    puts_others_in,
)
from syncd.plan.rules import Rules
from syncd.plan.words import say
from syncd.sync.planning.evidence import Evidence
from syncd.sync.planning.handovers import PlannedHandovers
from syncd.sync.planning.kept_by_hand import KeptDrift
from syncd.sync.planning.writing import Placed, PlanWriter

if TYPE_CHECKING:
    from syncd.store.store import Store

_MEMBERS_AT_ONCE = 400
_GROUPS_AT_ONCE = 50
_ABSENCES = (Cause.LEFT, Cause.PUT_IN_BY_HAND, Cause.UNKNOWN_MEMBER)
"""Why somebody is taken out of a group who is not known to be in it: by a full read without proof nobody can tell."""


class PlacePlanning:
    """Plans the places of one run. Not reused; called in the store's thread."""

    def __init__(
        self,
        store: Store,
        rules: Rules,
        *,
        removals: Removals,
        declined: frozenset[int],
        held: frozenset[int],
        by_hand: KeptDrift,
        evidence: Evidence,
        handovers: PlannedHandovers,
        writer: PlanWriter,
        go_on: Callable[[], None],
    ) -> None:
        """``declined``: hands off; ``held``: adoptions that wait.

        ``removals`` and the rest are as `syncd.sync.planning.planner.Planner` takes and makes them.
        """
        self._store = store
        self._rules = rules
        self._removals = removals
        self._declined = declined
        self._held = held
        self._by_hand = by_hand
        self._evidence = evidence
        self._handovers = handovers
        self._writer = writer
        self._go_on = go_on
        self._edges: Edges | None = None
        self._spoken: frozenset[int] | None = None

    def plan(self, kind: LinkKind, touched: list[int] | None, doubts: Doubt) -> None:
        """Compare members or owners: whole groups, and (delta) the places of touched people in all the others.

        ``doubts``: where it is not known who is in a group. Whoever is wanted is put in, and whoever is not is taken
        out.
        """
        groups = self._store.pairs.load_group_rows_to_compare(touched_only=touched is not None)
        doubted = {group for group, _ in (*doubts.there, *doubts.gone)}
        if touched is None:
            single = doubted | self._by_hand.list_groups(kind)
            for start in range(0, len(groups), _GROUPS_AT_ONCE):
                self._go_on()
                self._plan_page(kind, groups[start : start + _GROUPS_AT_ONCE], doubts, single=single)
            return
        for group in groups:
            self._go_on()
            self._plan_group(kind, group, doubts)
        if touched:
            self._plan_touched(kind, touched, doubts, done={group.key for group in groups})

    def _plan_page(self, kind: LinkKind, groups: Sequence[GroupView], doubts: Doubt, *, single: set[int]) -> None:
        """Compare some groups together, and those of ``single`` each by itself."""
        together = [group for group in groups if group.key not in single]
        below = [
            pack(group.key, source)
            for group in together
            if group.state == "wanted"
            for source in self._find_below(kind, group)
        ]
        wanted = self._store.pairs.load_desired_of(below, kind=kind) if below else set[int]()
        exist = [group.key for group in together if group.exists]
        current = self._store.pairs.load_current_of(exist, kind=kind) if exist else set[int]()
        missing, extra = sorted(wanted - current if current else wanted), sorted(current - wanted)
        for group in groups:
            if group.key in single:
                self._plan_group(kind, group, doubts)
                continue
            lacking, beyond = _cut(missing, group.key), _cut(extra, group.key)
            if lacking and not beyond and self._are_plain(kind, group, lacking):
                members = sorted([place & MASK for place in lacking], key=self._order.__getitem__)
                self._writer.add_links(kind, PlainLinks(group.key, group.source_key, members))
            elif lacking or beyond:
                self._compare(kind, group, missing=_members(lacking), extra=_members(beyond))

    @cached_property
    def _order(self) -> Sequence[int]:
        """The place of each principal among all of them, by key, as they are sorted by their BPS ids."""
        return self._store.pairs.load_order()

    def _are_plain(self, kind: LinkKind, group: GroupView, missing: Sequence[int]) -> bool:
        """Return whether nothing is to be said of any of these links but that they are made."""
        if group.key in self._declined or self._by_hand.stays_away(group.key):
            return False
        if not links_plainly(group, self._rules, adoption_held=self._held, kind=kind):
            return False
        if self._spoken is None:
            others = puts_others_in(self._rules)
            known = self._store.pairs.load_spoken_of(self._rules.scope.protect, others=not others)
            self._spoken = frozenset(known) | self._declined | self._held | self._by_hand.away
        return not self._spoken or self._spoken.isdisjoint(_members(missing))

    def _plan_group(self, kind: LinkKind, group: GroupView, doubts: Doubt) -> None:
        """Compare one group."""
        store = self._store
        below = self._find_below(kind, group) if group.state == "wanted" else frozenset[int]()
        wanted = store.pairs.load_desired_members(below, kind=kind) if below else []
        current = store.pairs.load_current_members(group.key, kind=kind) if group.exists else []
        self._by_hand.settle_group(kind, group.key, current=current, wanted=wanted)
        there = {member for at, member in doubts.there if at == group.key}
        gone = {member for at, member in doubts.gone if at == group.key}
        if wanted != current or there or gone:
            have, want = set(current), set(wanted)
            self._compare(kind, group, missing=want - (have - gone), extra=(have | there) - want)

    def _plan_touched(self, kind: LinkKind, touched: list[int], doubts: Doubt, *, done: set[int]) -> None:
        """Compare the places of some people in all groups but those that are done."""
        store = self._store
        doubted = bool(doubts.there or doubts.gone)
        pairs: dict[int, tuple[set[int], set[int]]] = {}
        for start in range(0, len(touched), _MEMBERS_AT_ONCE):
            self._go_on()
            some = touched[start : start + _MEMBERS_AT_ONCE]
            wanted_pairs = store.pairs.load_desired_pairs(some, kind=kind)
            current_pairs = store.pairs.load_current_pairs(some, kind=kind)
            self._by_hand.settle_members(kind, some, have=current_pairs, want=wanted_pairs)
            there_pairs = {pair for pair in doubts.there if pair[1] in set(some)} if doubted else doubts.there
            for key, member in wanted_pairs - (current_pairs - doubts.gone):
                pairs.setdefault(key, (set(), set()))[0].add(member)
            for key, member in (current_pairs | there_pairs) - wanted_pairs:
                pairs.setdefault(key, (set(), set()))[1].add(member)
        rows = store.pairs.load_group_views(pairs.keys() - done)
        for group in sorted(rows.values(), key=lambda row: row.bps_id.casefold()):
            missing, extra = pairs[group.key]
            self._compare(kind, group, missing=missing, extra=extra)

    def _compare(self, kind: LinkKind, group: GroupView, *, missing: set[int], extra: set[int]) -> None:
        rules = self._rules
        if group.bps_id.casefold() in rules.scope.protect:
            return
        members = self._store.pairs.load_member_views(missing | extra)
        left = self._by_hand.find_left(kind, group.key, members.values())
        left = {key for key in left if key in missing or not self._handovers.passes(key)}
        order = sorted(members.values(), key=lambda member: member.bps_id.casefold())
        there = [members[key] for key in extra if key in members]
        proven = self._find_proven(kind, group, there)
        inside = self._find_inside(kind, group, [each for each in there if is_unwritable(group, each)], proven)
        found: list[Placed] = []
        for member in order:
            if member.key in left or not self._declined.isdisjoint((group.key, member.key)):
                continue
            if member.key in missing:
                change = decide_link(group, member, rules, adoption_held=self._held, kind=kind)
                if change is not None and self._is_first(kind, group, member):
                    found.append((change, group.key, member.key))
            else:
                decide = partial(decide_unlink, group, member, rules, kind=kind, inside=member.key in inside)
                change = decide(adoption_held=self._held)
                if change is None and not self._held.isdisjoint((group.key, member.key)):
                    follows = decide(adoption_held=())
                    change = replace(follows, held=say(Cause.FOLLOWS_ADOPTION)) if follows else None
                if change is not None and (change.reason.cause not in _ABSENCES or member.key in proven):
                    found.append((change, group.key, member.key))
        self._writer.add([placed for placed in found if self._removals != "none" or placed[0].action == "link"])

    def _find_below(self, kind: LinkKind, group: GroupView) -> frozenset[int]:
        """Return the source groups of which the members (or owners) belong into a group."""
        if kind == "ownership":
            return frozenset({group.source_key})
        if self._edges is None:
            self._edges = make_edges(self._store.desired.load_edges())
        return find_below(self._edges, group.source_key)

    def _find_inside(
        self, kind: LinkKind, group: GroupView, members: list[MemberView], proven: Collection[int]
    ) -> set[int]:
        """Return those of the members who are in the group by the tenant, or of whom nobody can tell."""
        people = {member.source_key for member in members if member.source_key is not None}
        if not people:
            return {member.key for member in members}
        there = self._store.pairs.find_inside(self._find_below(kind, group), people, kind=kind)
        return {
            member.key
            for member in members
            if member.source_key is None or member.source_key in there or member.key not in proven
        }

    def _find_proven(self, kind: LinkKind, group: GroupView, extra: list[MemberView]) -> set[int]:
        """Return those of the superfluous members whose absence from the directory is proven.

        What somebody is a member of only because of the former owner of the account needs no proof.
        """
        if self._removals == "all":
            return {member.key for member in extra}
        handed = {member.key for member in extra if self._handovers.passes(member.key)}
        known = {member.source_key for member in extra if member.source_key is not None}
        left = self._evidence.find_left(kind, [group.source_key], known)
        return handed | {member.key for member in extra if member.source_key in left}

    def _is_first(self, kind: LinkKind, group: GroupView, member: MemberView) -> bool:
        """In create_only mode: whether this belongs to the first memberships of something new, begun earlier or now."""
        if self._rules.policy.mode != "create_only" or not (group.exists and member.exists):
            return True
        return self._store.plans.was_left_unlinked(group.key, member.key, kind=kind)


def _cut(places: Sequence[int], group: int) -> Sequence[int]:
    """Return those of sorted places that are in a group."""
    start = bisect_left(places, pack(group, 0))
    return places[start : bisect_left(places, pack(group + 1, 0), start)]


def _members(places: Sequence[int]) -> set[int]:
    return {place & MASK for place in places}
