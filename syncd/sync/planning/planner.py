"""Make a plan: from the directory over the rules to a complete, ordered list of changes in the store.

Everything here runs in the store's thread and asks neither side anything. Desired and current are streamed in one
order and compared record by record, so that memory does not grow with the number of people. A full planning looks at
everybody; a delta planning only at what was touched.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from syncd.errors import Interrupted
from syncd.model.change import Action, Change, LinkKind, ObjectKind, Phase
from syncd.model.kinds import RECORD_KINDS, RecordKind
from syncd.model.licence import LICENCE_PLACES
from syncd.model.reason import Cause
from syncd.model.run import Approval, Removals
from syncd.plan.closure import Edges, find_below, make_edges
from syncd.plan.desired import decide_group, decide_user, resolve_collision
from syncd.plan.diff import Pair, diff_group, diff_user
from syncd.plan.guard import Hold
from syncd.plan.licences import PersonView, decide_licences, find_settled_licences
from syncd.plan.membership import NO_DOUBTS, GroupView, MemberView, decide_link, decide_unlink, is_unwritable
from syncd.plan.moment import Moment
from syncd.plan.passing_time import changes_with_time
from syncd.plan.privileges import WantedPrivilege
from syncd.plan.returns import tell_returns
from syncd.plan.rules import Rules
from syncd.plan.substitution import Superior, decide_substitution, needs_manager
from syncd.plan.words import say
from syncd.sync.passage import pass_complete, pass_records
from syncd.sync.planning.evidence import Evidence
from syncd.sync.planning.handovers import PlannedHandovers
from syncd.sync.planning.kept_by_hand import KeptDrift
from syncd.sync.planning.named_groups import NamedGroups
from syncd.sync.planning.privileges import plan_privileges

if TYPE_CHECKING:
    from syncd.store.store import Store

_MEMBERS_AT_ONCE = 400
_WHOLE_BEYOND = 20_000
_WRITTEN_AT_ONCE = 2000
_ABSENCES = (Cause.LEFT, Cause.PUT_IN_BY_HAND, Cause.UNKNOWN_MEMBER)
"""Why somebody is taken out of a group who is not known to be in it: by a full read without proof nobody can tell."""
_SIGNS = {"include": "+", "exclude": "-"}

Placed = tuple[Change, int, int | None]


@dataclass(slots=True)
class Planned:
    """What a planning found. ``full``: everybody was looked at."""

    full: bool
    changes: int = 0
    holds: list[Hold] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What the run says beside."""


class Planner:
    """Plans one run. Not reused."""

    def __init__(
        self,
        store: Store,
        rules: Rules,
        run_id: int,
        *,
        moment: Moment,
        removals: Removals,
        write: bool = True,
        single: bool = False,
        licences: bool = False,
        approval: Approval | None = None,
        doubtful: bool = True,
        privileges: Collection[WantedPrivilege] | None = None,
        stopping: Callable[[], bool],
    ) -> None:
        """``removals``: what may be taken away, as `syncd.model.run.Removals` has it.

        ``write`` False: a dry run, which starts and ends no grace. ``single``: only what is touched is planned, even
        where something concerns everybody; the next run over everything finds that out by itself. ``licences``: they
        are looked after. ``approval``: what a person has released, which is the only thing that this run is for.
        ``doubtful`` False: how everything ended that was ever sent is known. ``privileges``: what rules give of these;
        None: they are not looked after.
        ``stopping`` is asked between chunks; when it says so, planning ends with Interrupted and nothing is applied.
        """
        self._stopping = stopping
        self._store = store
        self._rules = rules
        self._run_id = run_id
        self._moment = moment
        self._now = moment.now
        self._removals = removals
        self._write = write
        self._single = single
        self._licences = licences
        self._doubtful = doubtful
        self._privileges = privileges
        self.records: Collection[str] = ()
        """In a run over one object: the BPS ids that it wants or has."""
        self._next = 0
        self._unwritten: list[Placed] = []
        self._held = frozenset[int]()
        self._declined = frozenset[int]()
        """Records of others whose adoption a person rejected: hands off, as with policy.adopt = "never". Also the old
        and the new account of renamed people whose move was rejected.
        """
        self._leaving_now: tuple[set[int], set[int]] = set(), set()
        self._by_hand = KeptDrift(store, rules, write=write)
        self._evidence = Evidence(store)
        self._handovers = PlannedHandovers(
            store, rules, run_id, moment=moment, removals=removals, write=write, approval=approval
        )
        self._licence_groups: list[list[int]] = []
        self._edges: Edges | None = None
        self._doubts = NO_DOUBTS
        """Where it is not known who is in a group: whoever is wanted is put in, and whoever is not is taken out."""
        self._second_pass: bool | None = None
        """The portal wants managers after the creations; None: not looked up yet."""
        self.deletes = False
        """The plan deletes records."""
        self._touched: list[int] | None = None
        """The records of the portal to compare; None: all."""
        self.news: list[str] = []
        """What the administrator should know of the groups that the settings name."""

    def decide(self, *, full: bool) -> None:
        """Bring the desired state up to date, for everybody or for what was touched.

        Raises ConfigError when a configured group cannot be found, before anything is planned.
        """
        rules, store = self._rules, self._store
        named = NamedGroups(store, rules)
        found = named.find(full=full, write=self._write)
        self.news = named.news
        included, excluded = found.pop("include", []), found.pop("exclude", [])
        self._licence_groups = list(found.values())
        roles = {"include": included, "exclude": excluded, **found}
        roots = " ".join(f"{_SIGNS.get(role, role)}{key}" for role, keys in roles.items() for key in sorted(keys))
        if not self._single:
            store.desired.follow_scope_groups(roots, before=named.before, touch=not full)
        if full:
            store.licences.forget_licence_roles(len(rules.licences))
        if any(roles.values()):
            edges = make_edges(store.desired.load_edges())
            for role, keys in roles.items():
                below = set().union(*(find_below(edges, key) for key in keys)) if keys else set()
                store.desired.store_scope(role, below, touched_only=not full)
        grouped = bool(included), bool(excluded)
        asked = store.desired.load_rules_asked() if rules.uses_now else None
        now = self._moment.choose_rule_time(asked)
        if rules.uses_now and not full and not self._single:
            self._touch_whose_day_has_come(asked, now)
        bound = store.decisions.load_bindings()
        for users in store.desired.iterate_users(touched_only=not full, grouped=grouped):
            if self._removals == "stated":
                users = self._evidence.keep_unproven(users, included)
            decided = [decide_user(user, rules, now=now, bound=bound.get(user.key, "")) for user in users]
            store.desired.store_users(decided, touch=not full)
            self._go_on()
        if not full and not self._single:
            store.desired.touch_collided_groups()  # what they lost may be free again
        for groups in store.desired.iterate_source_groups(touched_only=not full):
            judged = [decide_group(group, rules, now=now, bound=bound.get(group.key, "")) for group in groups]
            store.desired.store_groups(judged, touch=not full)
        if full or store.desired.has_touched():
            self._settle_claims(full=full)
        if full:
            store.desired.save_rules_asked(now)

    def _settle_claims(self, *, full: bool) -> None:
        """Decide whose a BPS id is that several want, or that another one has."""
        store = self._store
        for principal, claimants in store.desired.load_collisions(touched_only=not full):
            winner = claimants[0][0] if len(claimants) == 1 else resolve_collision(claimants)
            reason = say(Cause.USER_COLLISION if winner is None else Cause.USER_COLLISION_LOST)
            store.desired.store_collision(principal, winner, reason=reason)
        store.desired.resolve_group_collisions(reason=say(Cause.GROUP_COLLISION), touched_only=not full)
        self._handovers.settle(full=full)

    def _touch_whose_day_has_come(self, then: datetime | None, now: datetime) -> None:
        """Touch people and groups of whom rules over ``now`` say something else than when they were last asked."""
        desired, rules = self._store.desired, self._rules
        for variable in RECORD_KINDS:
            expressions = rules.list_time_rules(variable)
            for chunk in desired.iterate_active(variable) if expressions else ():
                keys = [
                    key
                    for key, attributes in chunk
                    if then is None
                    or changes_with_time(attributes, variable, expressions=expressions, then=then, now=now)
                ]
                desired.touch_judged_anew(variable, keys)
                self._go_on()
        desired.save_rules_asked(now)

    def plan_records(self, *, full: bool, judged: bool = True) -> None:
        """Begin the plan of the run: accounts, groups and substitutions. Call `decide` first, `plan_places` afterwards.

        ``judged`` False: the guard is not asked, because a person has decided what may be applied.
        """
        store, rules = self._store, self._rules
        # Without such a policy every leaver of the past would be looked at in every run.
        if rules.policy.deletes and not self._single:
            store.desired.touch_due(grace=rules.policy.grace, now=self._now)
        if self._write:
            if self._removals != "none":
                store.desired.mark_leavers(touched_only=not full, now=self._moment.latest)
            if not self._moment.doubt:
                store.substitutions.forget_ended(now=self._now)
        elif rules.policy.deletes and not rules.policy.grace:
            self._leaving_now = store.desired.load_new_leavers(touched_only=not full)
        if not full and rules.policy.substitute == "manager":
            store.substitutions.touch_left_to_managers()
        self._by_hand.begin()
        self._touched = None if full else store.pairs.load_touched_principals()
        if self._touched is not None and len(self._touched) > _WHOLE_BEYOND and not self._single:
            self._touched = None
        full = self._touched is None
        for phase in (Phase.USERS, Phase.GROUPS):
            for changes in self._records(phase, full):
                self._add([placed for placed in changes if self._removals != "none" or placed[0].action != "delete"])
                self._go_on()
        self._add(self._handovers.list_waiting())
        self._add(self._handovers.list_followers())
        self._plan_substitutions(full=full)
        self._flush()
        store.stops.stop(self._run_id, self._handovers.list_stops())
        if judged:
            passed = pass_records(store, self._run_id, rules.limits)
            self._declined, self._held = passed.declined, passed.held

    def plan_places(self, *, deletions_read: bool, judged: bool = True) -> Planned:
        """Complete the plan with memberships, ownerships and licences, and ask the guard.

        ``deletions_read``: what those hold whose accounts this plan deletes was read just now.
        """
        store, rules, touched = self._store, self._rules, self._touched
        full = touched is None
        self._doubts = store.outcomes.load_doubtful_places(touched_only=not full) if self._doubtful else NO_DOUBTS
        if self._write and any(doubt.there for doubt in self._doubts.values()):
            store.outcomes.forget_settled_doubts()
        self._plan_groups("membership", touched)
        if rules.mapping.owners and store.pairs.knows_owners():
            self._plan_groups("ownership", touched)
        self._plan_licences(full, deletions_read=deletions_read)
        self._plan_privileges()
        self._flush()
        if not judged:
            return Planned(full, self._next)
        passed = pass_complete(store, self._run_id, rules.limits, decisions=True, moment=self._moment)
        holds = [*self._handovers.holds, *(hold for hold in passed.holds if hold.action != "handover")]
        return Planned(full, self._next, holds, tell_returns(passed.returned))

    # ---- accounts and groups ----------------------------------------------------------------------------------------

    def _records(self, phase: Phase, full: bool) -> Iterator[list[Placed]]:
        rules = self._rules
        if phase is Phase.USERS:
            fields = rules.mapping.user_fields.keys()
            passing = self._handovers.passing
            for rows in self._store.pairs.iterate_user_pairs(fields, touched_only=not full, passing=passing):
                yield self._place(rows, user=True)
        else:
            fields = rules.mapping.group_fields.keys()
            for rows in self._store.pairs.iterate_group_pairs(fields, touched_only=not full):
                yield self._place(rows, user=False)

    def _place(self, rows: list[tuple[int, Pair]], *, user: bool) -> list[Placed]:
        rules, placed = self._rules, list[Placed]()
        for key, pair in self._by_hand.adjust(rows, user=user):
            if pair.bps_id.casefold() in rules.scope.protect:
                continue
            if pair.current is not None and key in self._leaving_now[0 if user else 1]:
                pair = replace(pair, current=replace(pair.current, leaving_at=self._moment.latest))
            kind: RecordKind = "user" if user else "group"
            pair = replace(pair, handover=self._handovers.find(kind, key)) if pair.is_anothers else pair
            if user:
                if self._second_pass is None and pair.current is None:
                    self._second_pass = self._store.plans.load_manager_manner() == "second_pass"
                found = diff_user(
                    pair,
                    rules.policy,
                    managers=rules.mapping.managers,
                    now=self._now,
                    second_pass=bool(self._second_pass),
                )
            else:
                found = diff_group(pair, rules.policy, now=self._now)
            if wait := self._handovers.find_wait(kind, key):
                found = [replace(change, held=wait) if change.action == "delete" else change for change in found]
            placed += [(change, key, None) for change in found]
        return self._spare_tied(placed, user=user)

    def _spare_tied(self, placed: list[Placed], *, user: bool) -> list[Placed]:
        """Leave out deletions with which the portal would change something on the protect list."""
        deleted = {record for change, record, _ in placed if change.action == "delete"}
        self.deletes = self.deletes or bool(deleted)
        tied = self._store.inventory.find_tied("user" if user else "group", deleted, self._rules.scope.protect)
        return [each for each in placed if each[0].action != "delete" or each[1] not in tied] if tied else placed

    def _plan_substitutions(self, *, full: bool) -> None:
        policy, protect = self._rules.policy, self._rules.scope.protect
        superiors: dict[int, Superior] = {}
        for rows in self._store.substitutions.iterate_departed(
            touched_only=not full, grace=policy.grace, now=self._now
        ):
            self._load_superiors(superiors, {row.manager_key for row in rows if needs_manager(row, policy)})
            found: list[Placed] = []
            for row in rows:
                decided = decide_substitution(row, superiors, policy, now=self._now)
                if decided is None or row.bps_id.casefold() in protect:
                    continue
                change, substitute = decided
                if self._removals != "none" or change.reason.cause is not Cause.STANDS_IN:
                    found.append((change, row.key, substitute))
            self._add(found)
            self._go_on()

    def _load_superiors(self, known: dict[int, Superior], wanted: set[int | None]) -> None:
        """Load these people, and the managers above those of them who cannot stand in."""
        while missing := {key for key in wanted if key is not None and key not in known}:
            found = self._store.substitutions.load_superiors(missing)
            known.update(found)
            wanted = {superior.manager_key for superior in found.values() if not superior.fit}

    # ---- memberships and ownerships ---------------------------------------------------------------------------------

    def _plan_groups(self, kind: LinkKind, touched: list[int] | None) -> None:
        """Compare members or owners: whole groups, and (delta) the places of touched people in all the others."""
        store = self._store
        groups = store.pairs.load_group_rows_to_compare(touched_only=touched is not None)
        done: set[int] = set()
        doubts = self._doubts[kind]
        doubted = {group for group, _ in (*doubts.there, *doubts.gone)}
        for group in groups:
            self._go_on()
            done.add(group.key)
            below = self._find_below(kind, group) if group.state == "wanted" else frozenset[int]()
            wanted = store.pairs.load_desired_members(below, kind=kind) if below else []
            current = store.pairs.load_current_members(group.key, kind=kind) if group.exists else []
            self._by_hand.settle_group(kind, group.key, current=current, wanted=wanted)
            if wanted != current or group.key in doubted:
                have, want = set(current), set(wanted)
                there = {member for at, member in doubts.there if at == group.key}
                gone = {member for at, member in doubts.gone if at == group.key}
                self._compare(kind, group, missing=want - (have - gone), extra=(have | there) - want)
        if touched:
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
        self._add([placed for placed in found if self._removals != "none" or placed[0].action == "link"])

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

    # ---- licences ---------------------------------------------------------------------------------------------------

    def _plan_licences(self, full: bool, *, deletions_read: bool) -> None:
        """Compare licences, of everybody or of who was touched; what rules of the past granted is revoked."""
        rules, store = self._rules, self._store
        looked_after = self._licences and store.licences.are_licences_known()
        if not (looked_after or deletions_read):
            return
        self._flush()  # deletions of this plan decide about licences
        for people in store.licences.iterate_people(self._run_id, len(rules.licences), touched_only=not full):
            self._go_on()
            for person in people:
                if person.key in self._declined or not (looked_after or person.deleting):
                    continue
                if self._handovers.is_inherited(person.key):
                    person = replace(person, inherited=True)
                settled = find_settled_licences(person, rules) if self._write else []
                store.licences.forget_taken_licences([(person.key, kind) for kind in settled])
                changes = decide_licences(person, rules, adoption_held=self._held)
                self._add(
                    [
                        (change, person.key, LICENCE_PLACES.get(change.target, -len(LICENCE_PLACES) - 1))
                        for change in changes
                        if self._may_revoke(person, change) and self._is_first_licence(person, change)
                    ]
                )

    def _may_revoke(self, person: PersonView, change: Change) -> bool:
        """Return whether a licence may be taken away: who is covered no more must be known to have left the group."""
        if change.action != "revoke" or self._removals == "all" or self._handovers.passes(person.key):
            return True
        if self._removals == "none":
            return False
        if change.reason.cause not in (Cause.NO_RULE, Cause.RULE_GIVES_OTHER):
            return True
        rules = zip(self._rules.licences, self._licence_groups, strict=True)
        groups = [key for rule, keys in rules if rule.type == change.target for key in keys]
        users = [] if person.source_key is None else [person.source_key]
        return bool(self._evidence.find_left("membership", groups, users))

    def _is_first_licence(self, person: PersonView, change: Change) -> bool:
        """In create_only mode: whether this belongs to what a new account gets, begun earlier or now."""
        if self._rules.policy.mode != "create_only" or not person.exists:
            return True
        return not change.before and self._store.plans.was_left_ungranted(
            person.key, LICENCE_PLACES[change.target], kind="licence"
        )

    # ---- privileges -------------------------------------------------------------------------------------------------

    def _plan_privileges(self) -> None:
        """Compare the privileges of all groups, for they are few; in a run over one object, of those it touched."""
        if self._privileges is None:
            return
        store, rules = self._store, self._rules
        only: frozenset[int] | None = None
        if self._single:
            only = frozenset(store.pairs.load_touched_principals())
            only |= frozenset(store.plan_files.load_principals(self.records).values())
        found = plan_privileges(store, rules, self._privileges, adoption_held=self._held, only=only, write=self._write)
        self._add(
            [
                (change, group.key, number)
                for change, group, number in found
                if group.key not in self._declined
                and (change.action == "grant" or self._removals != "none")
                and (
                    rules.policy.mode != "create_only"
                    or not group.exists
                    or store.plans.was_left_ungranted(group.key, number, kind="privilege")
                )
            ]
        )

    def _go_on(self) -> None:
        if self._stopping():
            raise Interrupted("asked to stop while planning")

    # ---- the end ----------------------------------------------------------------------------------------------------

    def _add(self, placed: list[Placed]) -> None:
        """Append to the plan. It is written in larger pieces; `_flush` writes the rest."""
        put_first = self._handovers.put_first
        self._unwritten += [(put_first(change, record, member), record, member) for change, record, member in placed]
        if len(self._unwritten) >= _WRITTEN_AT_ONCE:
            self._flush()

    def _flush(self) -> None:
        for start in range(0, len(self._unwritten), _WRITTEN_AT_ONCE):
            some = self._unwritten[start : start + _WRITTEN_AT_ONCE]
            self._next = self._store.plans.add_changes.blocking(self._run_id, self._next, some)
        self._unwritten = []


def describe(counts: dict[tuple[Action, ObjectKind], int]) -> dict[str, int]:
    """Return counts per action, as the plan document and the run log show them."""
    found: dict[str, int] = {}
    for (action, _kind), number in sorted(counts.items()):
        found[action] = found.get(action, 0) + number
    return found
