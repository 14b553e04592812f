"""Make a plan: from the directory over the rules to a complete, ordered list of changes in the store.

Everything here runs in the store's thread and asks neither side anything. Desired and current are streamed in one
order and compared record by record, so that memory does not grow with the number of people. A full planning looks at
everybody; a delta planning only at what was touched.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from syncd.errors import Interrupted
from syncd.model.change import REMOVALS, Phase
from syncd.model.kinds import RecordKind
from syncd.model.reason import Cause
from syncd.model.run import Approval, Removals
from syncd.plan.diff import Pair, diff_group, diff_user
from syncd.plan.guard import Hold
from syncd.plan.membership import NO_DOUBTS
from syncd.plan.moment import Moment
from syncd.plan.privileges import WantedPrivilege
from syncd.plan.restored import Restored
from syncd.plan.returns import tell_returns
from syncd.plan.rules import Rules
from syncd.plan.substitution import Superior, decide_substitution, needs_manager
from syncd.sync.passage import pass_complete, pass_records
from syncd.sync.planning.deciding import Deciding
from syncd.sync.planning.evidence import Evidence
from syncd.sync.planning.handovers import PlannedHandovers
from syncd.sync.planning.kept_by_hand import KeptDrift
from syncd.sync.planning.licences import LicencePlanning
from syncd.sync.planning.places import PlacePlanning
from syncd.sync.planning.privileges import plan_privileges
from syncd.sync.planning.writing import Placed, PlanWriter

if TYPE_CHECKING:
    from syncd.store.store import Store

_WHOLE_BEYOND = 20_000


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
        self._writer = PlanWriter(store, run_id, self._handovers.put_first)
        self._deciding = Deciding(
            store,
            rules,
            moment=moment,
            removals=removals,
            write=write,
            single=single,
            evidence=self._evidence,
            handovers=self._handovers,
            go_on=self._go_on,
        )
        self._second_pass: bool | None = None
        """The portal wants managers after the creations; None: not looked up yet."""
        self.deletes = False
        """The plan deletes records."""
        self._touched: list[int] | None = None
        """The records of the portal to compare; None: all."""

    def decide(self, *, full: bool) -> None:
        """Bring the desired state up to date, for everybody or for what was touched.

        Raises ConfigError when a configured group cannot be found, before anything is planned.
        """
        self._deciding.decide(full=full)

    @property
    def news(self) -> list[str]:
        """What the administrator should know of the groups that the settings name."""
        return self._deciding.news

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
                self._writer.add(
                    [placed for placed in changes if self._removals != "none" or placed[0].action != "delete"]
                )
                self._go_on()
        self._writer.add(self._handovers.list_waiting())
        self._writer.add(self._handovers.list_followers())
        self._plan_substitutions(full=full)
        self._writer.flush()
        store.stops.stop(self._run_id, self._handovers.list_stops())
        if judged:
            passed = pass_records(store, self._run_id, rules.limits)
            self._declined, self._held = passed.declined, passed.held

    def plan_places(self, *, deletions_read: bool, judged: bool = True, restored: Restored | None = None) -> Planned:
        """Complete the plan with memberships, ownerships and licences, and ask the guard.

        ``deletions_read``: what those hold whose accounts this plan deletes was read just now. ``restored``: the portal
        went back in time, and almost everything waits.
        """
        store, rules, touched = self._store, self._rules, self._touched
        full = touched is None
        doubts = store.outcomes.load_doubtful_places(touched_only=not full) if self._doubtful else NO_DOUBTS
        if self._write and any(doubt.there for doubt in doubts.values()):
            store.outcomes.forget_settled_doubts()
        places = PlacePlanning(
            store,
            rules,
            removals=self._removals,
            declined=self._declined,
            held=self._held,
            by_hand=self._by_hand,
            evidence=self._evidence,
            handovers=self._handovers,
            writer=self._writer,
            go_on=self._go_on,
        )
        places.plan("membership", touched, doubts["membership"])
        if rules.mapping.owners and store.pairs.knows_owners():
            places.plan("ownership", touched, doubts["ownership"])
        LicencePlanning(
            store,
            rules,
            self._run_id,
            removals=self._removals,
            write=self._write,
            licences=self._licences,
            groups=self._deciding.licence_groups,
            declined=self._declined,
            held=self._held,
            evidence=self._evidence,
            handovers=self._handovers,
            writer=self._writer,
            go_on=self._go_on,
        ).plan(full=full, deletions_read=deletions_read)
        self._plan_privileges()
        self._writer.flush()
        if not judged:
            return Planned(full, self._writer.count)
        passed = pass_complete(
            store, self._run_id, rules.limits, decisions=True, moment=self._moment, restored=restored
        )
        if restored is not None:
            return Planned(full, self._writer.count, [hold for hold in passed.holds if hold.action in REMOVALS])
        holds = [*self._handovers.holds, *(hold for hold in passed.holds if hold.action != "handover")]
        return Planned(full, self._writer.count, holds, tell_returns(passed.returned))

    # ---- accounts and groups ----------------------------------------------------------------------------------------

    def _records(self, phase: Phase, full: bool) -> Iterator[list[Placed]]:
        rules = self._rules
        differing = full and not self._by_hand.looks_at_all
        if phase is Phase.USERS:
            fields = rules.mapping.user_fields.keys()
            passing = self._handovers.passing
            for rows in self._store.pairs.iterate_user_pairs(
                fields, touched_only=not full, passing=passing, differing=differing
            ):
                yield self._place(rows, user=True)
        else:
            fields = rules.mapping.group_fields.keys()
            for rows in self._store.pairs.iterate_group_pairs(fields, touched_only=not full, differing=differing):
                yield self._place(rows, user=False)

    def _place(self, rows: list[tuple[int, Pair]], *, user: bool) -> list[Placed]:
        rules, placed = self._rules, list[Placed]()
        protect = rules.scope.protect
        kind: RecordKind = "user" if user else "group"
        for key, pair in self._by_hand.adjust(rows, user=user):
            if protect and pair.bps_id.casefold() in protect:
                continue
            if pair.current is not None and key in self._leaving_now[0 if user else 1]:
                pair = pair._replace(current=replace(pair.current, leaving_at=self._moment.latest))
            pair = pair._replace(handover=self._handovers.find(kind, key)) if pair.is_anothers else pair
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
            if found and (wait := self._handovers.find_wait(kind, key)):
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
            self._writer.add(found)
            self._go_on()

    def _load_superiors(self, known: dict[int, Superior], wanted: set[int | None]) -> None:
        """Load these people, and the managers above those of them who cannot stand in."""
        while missing := {key for key in wanted if key is not None and key not in known}:
            found = self._store.substitutions.load_superiors(missing)
            known.update(found)
            wanted = {superior.manager_key for superior in found.values() if not superior.fit}

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
        self._writer.add(
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
