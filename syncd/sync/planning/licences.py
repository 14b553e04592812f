"""Planning licences: what everybody, or who was touched, should have, beside what they have."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from syncd.model.change import Change
from syncd.model.licence import number_type
from syncd.model.reason import Cause
from syncd.model.run import Removals
from syncd.plan.licences import PersonView, decide_licences, find_settled_licences
from syncd.plan.rules import Rules
from syncd.sync.planning.evidence import Evidence
from syncd.sync.planning.handovers import PlannedHandovers
from syncd.sync.planning.writing import PlanWriter

if TYPE_CHECKING:
    from syncd.store.store import Store


class LicencePlanning:
    """Plans the licences of one run. Not reused; called in the store's thread."""

    def __init__(
        self,
        store: Store,
        rules: Rules,
        run_id: int,
        *,
        removals: Removals,
        write: bool,
        licences: bool,
        groups: Sequence[Sequence[int]],
        declined: Collection[int],
        held: Collection[int],
        evidence: Evidence,
        handovers: PlannedHandovers,
        writer: PlanWriter,
        go_on: Callable[[], None],
    ) -> None:
        """``groups``: the source groups of each licence rule. ``declined``: hands off; ``held``: adoptions that wait.

        The rest is as `syncd.sync.planning.planner.Planner` takes it.
        """
        self._store = store
        self._rules = rules
        self._run_id = run_id
        self._removals = removals
        self._write = write
        self._licences = licences
        self._groups = groups
        self._declined = declined
        self._held = held
        self._evidence = evidence
        self._handovers = handovers
        self._writer = writer
        self._go_on = go_on

    def plan(self, *, full: bool, deletions_read: bool) -> None:
        """Compare licences, of everybody or of who was touched; what rules of the past granted is revoked."""
        rules, store = self._rules, self._store
        looked_after = self._licences and store.licences.are_licences_known()
        if not (looked_after or deletions_read):
            return
        self._writer.flush()  # deletions of this plan decide about licences
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
                self._writer.add(
                    [
                        (change, person.key, number_type(change.target))
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
        rules = zip(self._rules.licences, self._groups, strict=True)
        groups = [key for rule, keys in rules if rule.type == change.target for key in keys]
        users = [] if person.source_key is None else [person.source_key]
        return bool(self._evidence.find_left("membership", groups, users))

    def _is_first_licence(self, person: PersonView, change: Change) -> bool:
        """In create_only mode: whether this belongs to what a new account gets, begun earlier or now."""
        if self._rules.policy.mode != "create_only" or not person.exists:
            return True
        return not change.before and self._store.plans.was_left_ungranted(
            person.key, number_type(change.target), kind="licence"
        )
