"""Bring the desired state up to date: what the rules make of people and groups, and who gets a contested BPS id."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from syncd.model.kinds import RECORD_KINDS
from syncd.model.reason import Cause
from syncd.model.run import Removals
from syncd.plan.closure import find_below, make_edges
from syncd.plan.desired import decide_group, decide_user, resolve_collision
from syncd.plan.moment import Moment
from syncd.plan.passing_time import changes_with_time
from syncd.plan.rules import Rules
from syncd.plan.words import say
from syncd.sync.planning.evidence import Evidence
from syncd.sync.planning.handovers import PlannedHandovers
from syncd.sync.planning.named_groups import NamedGroups

if TYPE_CHECKING:
    from syncd.store.store import Store

_SIGNS = {"include": "+", "exclude": "-"}


class Deciding:
    """Decides for one run. Not reused; called in the store's thread."""

    def __init__(
        self,
        store: Store,
        rules: Rules,
        *,
        moment: Moment,
        removals: Removals,
        write: bool,
        single: bool,
        evidence: Evidence,
        handovers: PlannedHandovers,
        go_on: Callable[[], None],
    ) -> None:
        """``go_on`` is called between chunks; the rest is as `syncd.sync.planning.planner.Planner` takes it."""
        self._store = store
        self._rules = rules
        self._moment = moment
        self._removals = removals
        self._write = write
        self._single = single
        self._evidence = evidence
        self._handovers = handovers
        self._go_on = go_on
        self.licence_groups: list[list[int]] = []
        """The source groups of each licence rule."""
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
        self.licence_groups = list(found.values())
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
        known = self._identify_rules()
        for users in store.desired.iterate_users(touched_only=not full, grouped=grouped, rules=known, bound=bound):
            if self._removals == "stated":
                users = self._evidence.keep_unproven(users, included)
            decided = [decide_user(user, rules, now=now, bound=bound.get(user.key, "")) for user in users]
            store.desired.store_users(decided, touch=not full)
            self._go_on()
        if not full and not self._single:
            store.desired.touch_collided_groups()  # what they lost may be free again
        for groups in store.desired.iterate_source_groups(touched_only=not full, rules=known, bound=bound):
            judged = [decide_group(group, rules, now=now, bound=bound.get(group.key, "")) for group in groups]
            store.desired.store_groups(judged, touch=not full)
        if full or store.desired.has_touched():
            self._settle_claims(full=full)
        if full:
            store.desired.save_rules_asked(now)

    def _identify_rules(self) -> str | None:
        """Return what the same decision about the same object would be made by; None: by more than the rules.

        That is the time where rules look at it, and, after a read without proof, what was known of groups before.
        """
        return None if self._rules.uses_now or self._removals == "stated" else self._rules.fingerprint()

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
