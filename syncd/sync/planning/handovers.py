"""The handovers of one planning: which records pass to another source object now, which wait, and what follows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from syncd.model.change import Change, Phase
from syncd.model.kinds import RecordKind
from syncd.model.reason import Cause, Reason
from syncd.model.run import Approval, Removals
from syncd.model.target import fold
from syncd.plan.desired import SourceGroup, decide_group
from syncd.plan.diff import changes_allowed
from syncd.plan.guard import Hold
from syncd.plan.handover import Claim, Decisions, Judged, choose_remade, judge, make_change, say_skipped
from syncd.plan.moment import Moment
from syncd.plan.rules import Rules
from syncd.plan.selection import Selection, Stop
from syncd.plan.words import say

if TYPE_CHECKING:
    from syncd.store.store import Store

Placed = tuple[Change, int, int | None]


class PlannedHandovers:
    """Decides about handovers once everybody is decided about, and tells the rest of a planning. Not reused."""

    def __init__(
        self,
        store: Store,
        rules: Rules,
        run_id: int,
        *,
        moment: Moment,
        removals: Removals,
        write: bool,
        approval: Approval | None,
    ) -> None:
        self._store = store
        self._rules = rules
        self._run_id = run_id
        self._moment = moment
        self._now = moment.choose_rule_time(None)
        """While our clock is not believed, what the sides state: a grace neither ends nor begins by mistake."""
        self._write = write
        self._approval = approval
        self._allowed = removals != "none" and changes_allowed(rules.policy, "handover")
        self._judged: dict[tuple[RecordKind, int], Judged] = {}
        self.holds: list[Hold] = []
        """What of it the guard withholds."""

    def settle(self, *, full: bool) -> None:
        """Judge every record that another source object wants; who has to wait is not wanted any more."""
        desired, rules = self._store.desired, self._rules
        claims = desired.load_claims(rules, touched_only=not full, now=self._now)
        remade, shared = desired.load_remade(rules, touched_only=not full, now=self._now)
        if not claims and not remade:
            return
        holding = self._store.decisions.load_holding_runs(now=self._moment.expiring)
        decisions = desired.load_handover_decisions(self._run_id, claims, holding=holding, approval=self._approval)
        claims += self._bind(choose_remade(remade, shared), decisions)
        judged, breach = judge(claims, decisions, limit=rules.limits.max_handovers, allowed=self._allowed)
        self._judged = {each.claim.place: each for each in judged}
        for each in judged:
            if each.verdict != "pass":
                desired.skip_heir(each.claim, say_skipped(each))
        waiting = [each for each in judged if each.verdict == "wait"]
        if waiting and self._approval is None:
            self.holds = [Hold("handover", len(waiting), breach or waiting[0].hold.text)]
        passing = [each.claim for each in judged if each.verdict == "pass"]
        if passing:
            desired.prepare_handovers(passing, write=self._write)

    def _bind(self, remade: Sequence[Claim], decisions: Decisions) -> list[Claim]:
        """Decide about groups made anew under the BPS id of the one before, and return them.

        Where that is not wanted, or not possible, such a group is one like any other.
        """
        found = []
        for claim in remade if changes_allowed(self._rules.policy, "handover") else ():
            if (*claim.place, claim.heir.id) in decisions.rejected:
                continue
            heir = claim.heir
            group = SourceGroup(heir.key, "active", {**heir.attributes, "id": heir.id}, bound=claim.bps_id)
            decided = decide_group(group, self._rules, now=self._now)
            if decided.state == "wanted":
                self._store.desired.store_groups([decided], touch=True)
                found.append(replace(claim, desired=decided))
        return found

    # ---- what the rest of the planning asks -------------------------------------------------------------------------

    def find(self, kind: RecordKind, record: int) -> Change | None:
        """Return the change by which a record passes now, None when it does not."""
        judged = self._judged.get((kind, record))
        if judged is None or judged.verdict != "pass":
            return None
        return make_change(judged, managers=self._rules.mapping.managers)

    def passes(self, record: int | None) -> bool:
        """Return whether an account passes now, whoever is its former owner."""
        judged = None if record is None else self._judged.get(("user", record))
        return judged is not None and judged.verdict == "pass"

    def is_inherited(self, record: int) -> bool:
        """Return whether what was given by hand to an account was given to somebody who is not its owner any more."""
        judged = self._judged.get(("user", record))
        return judged is not None and judged.verdict == "pass" and judged.cause is Cause.HANDED_OVER

    @property
    def passing(self) -> list[int]:
        """Return the accounts that pass now."""
        return sorted(record for kind, record in self._judged if kind == "user" and self.passes(record))

    def find_wait(self, kind: RecordKind, record: int) -> Reason | None:
        """Return why a record must stay: a person is asked whether it passes."""
        judged = self._judged.get((kind, record)) if self._judged else None
        return say(Cause.HANDOVER_ASKED) if judged is not None and judged.verdict == "wait" else None

    def list_stops(self) -> tuple[Stop, ...]:
        """Return by what the waiting changes are held; in an approval they are like any that was not released."""
        if self._approval is not None:
            return ()
        return tuple(
            Stop(
                "held",
                each.hold,
                (Selection(actions=("handover",), objects=(each.claim.kind,), records=frozenset({each.claim.record})),),
                each.since,
            )
            for each in self._judged.values()
            if each.verdict == "wait"
        )

    def list_waiting(self) -> list[Placed]:
        """Return the changes that wait for approval."""
        return [
            (make_change(each, managers=self._rules.mapping.managers), each.claim.record, None)
            for each in self._judged.values()
            if each.verdict == "wait"
        ]

    def list_followers(self) -> list[Placed]:
        """Return the changes by which accounts that nobody wants stop to name somebody as manager by a mere id."""
        names = {each.claim.bps_id for each in self._judged.values() if each.verdict == "pass"}
        if not names or not self._rules.mapping.managers:
            return []
        found: list[Placed] = []
        for key, bps_id, source_key, manager in self._store.desired.load_unwanted_followers(names):
            if fold(bps_id) in self._rules.scope.protect or self.passes(key):
                continue
            change = Change(
                phase=Phase.USERS,
                action="update",
                object="user",
                bps_id=bps_id,
                source_key=source_key,
                before={"manager": manager},
                after={"manager": None},
                reason=say(Cause.MANAGER_GONE),
            )
            found.append((change, key, None))
        return found

    def put_first(self, change: Change, record: int, member: int | None) -> Change:
        """Return a change as it is made around a handover: what the former owner had goes before the record passes."""
        if not self._judged or not (self.passes(record) or self.passes(member)):
            return change
        gone = change.action in ("unlink", "revoke") and change.phase is not Phase.GRANTS
        ended = change.object == "substitution" and change.phase is Phase.SUBSTITUTION_ENDS
        return replace(change, phase=Phase.HANDOVER_ENDS) if gone or ended else change
