"""Licences: what the rules give a person against what that person holds, and who gets a seat when they are short.

=====================  ====================  ==========================================================================
the first rule gives   held                  then
=====================  ====================  ==========================================================================
a type                 no                    grant
a type                 yes, by us            its settings are corrected, when the rule states any
a type                 yes, by hand          nothing: it stays manual
another type, or none  yes, by us            revoke; together with the grant of the other type, in one request
a type                 taken by hand         grant if policy.drift is revert, else nothing until a rule says otherwise
any or none            yes, by hand          nothing, until the account itself is deleted
another type, or none  by hand, before us    revoke: it was given to the former owner of an account that passes
any or none            renamed, by hand      it moves to the new account, and stays manual there
nobody wants them      yes, by us            revoke, unless the policy for leavers says keep
cannot be written      yes, by us            revoke when no rule that gives the type covers the person any more
=====================  ====================  ==========================================================================
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from syncd.model.change import Change, Phase
from syncd.model.licence import Settings, join_processes, subtract_processes
from syncd.model.reason import NO_REASON, Cause, Reason
from syncd.plan.desired import FROZEN_STATES
from syncd.plan.diff import changes_allowed, choose_leaver_policy
from syncd.plan.rules import LicenceRule, PolicyRules, Rules
from syncd.plan.words import say, say_leaving

FOR_DELETION = (Cause.ACCOUNT_DELETED, Cause.HAND_DELETED)
"""Revokes that go on only together with the deletion of the account."""

STAYS_MANUAL = (Cause.MOVED, Cause.GIVEN_AGAIN)
"""Grants that do not make a licence ours."""

LICENCE_ROLE = "licence "


def name_licence_role(rule: int) -> str:
    """Return the role under which the people of a licence rule are remembered; in the order of the rules."""
    return f"{LICENCE_ROLE}{rule:03d}"


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldLicence:
    """A licence that a person has. ``shown``: its settings as the portal tells them, ``written``: as we sent them."""

    type: str
    ours: bool
    shown: Settings | None = None
    written: Settings | None = None

    @property
    def settings(self) -> Settings:
        """Return the settings as far as they are known."""
        return self.shown if self.shown is not None else self.written or {}


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonView:
    """A person whose licences are compared. ``rule``: the place of the first rule that covers the person.

    ``deleting``: this plan deletes the account. ``state``: why nobody wants the account, when nobody does.
    ``moving``: what was given by hand to the account that this person left by a rename.
    """

    key: int
    bps_id: str
    source_key: int | None
    wanted: bool
    state: str
    exists: bool
    owned: bool
    taken: bool
    rule: int | None
    deleting: bool
    licences: tuple[HeldLicence, ...]
    moving: tuple[HeldLicence, ...] = ()
    covered: frozenset[int] = frozenset()
    """Of somebody who cannot be written: the places of all rules that cover the person."""
    inherited: bool = False
    """The account passes in this plan, and nothing proves that its former owner is the same human being."""
    removed: Mapping[str, bool] = field(default_factory=dict)
    """Types of ours that somebody took by hand, each with whether a person accepted that."""


def find_settled_licences(person: PersonView, rules: Rules) -> list[str]:
    """Return types that somebody took by hand and that no rule gives this person any more: that is settled."""
    rule = rules.licences[person.rule].type if person.rule is not None and person.wanted else ""
    return sorted(person.removed.keys() - {rule})


def decide_licences(person: PersonView, rules: Rules, *, adoption_held: Collection[int]) -> list[Change]:
    """Return the changes for one person, a revoke before the grant that takes its place."""
    policy = rules.policy
    if person.taken or person.bps_id.casefold() in rules.scope.protect:
        return []
    if person.deleting:
        return [
            _revoke(person, licence, Phase.REVOKES, say(Cause.ACCOUNT_DELETED if licence.ours else Cause.HAND_DELETED))
            for licence in person.licences
        ]
    if not person.wanted:
        return _decide_leaver(person, rules)
    foreign = person.exists and not person.owned
    if foreign and (policy.adopt == "never" or not changes_allowed(policy, "adopt")):
        return []
    rule = rules.licences[person.rule] if person.rule is not None else None
    waits = say(Cause.ADOPTION_HELD, what="account") if person.key in adoption_held else NO_REASON
    given = _take_along(person, policy, waits)
    if rule is not None:
        present = next((licence for licence in person.licences if licence.type == rule.type), None)
        stays_away = person.exists and (
            rule.type in person.removed and (policy.drift != "revert" or person.removed[rule.type])
        )
        if present is None and not stays_away and not any(change.target == rule.type for change in given):
            given.append(_grant(person, rule, dict(rule.settings), waits))
        elif present is not None and present.ours:
            given += _correct(person, rule, present, policy)
    if not changes_allowed(policy, "revoke"):
        return given
    swapped = any(change.action == "grant" for change in given)
    reason = say(Cause.RULE_GIVES_OTHER, type=rule.type) if rule else say(Cause.NO_RULE)
    gone = [
        _revoke(person, licence, Phase.GRANTS if swapped else Phase.REVOKES, reason)
        for licence in person.licences
        if licence.ours and (rule is None or licence.type != rule.type)
    ]
    if person.inherited:
        kept = rule.type if rule else ""
        gone += [
            _revoke(person, licence, Phase.REVOKES, say(Cause.INHERITED))
            for licence in person.licences
            if not licence.ours and licence.type != kept
        ]
    return gone + given


def _decide_leaver(person: PersonView, rules: Rules) -> list[Change]:
    policy = rules.policy
    if not person.owned or not changes_allowed(policy, "revoke"):
        return []
    if person.state in FROZEN_STATES:
        given = {rules.licences[place].type for place in person.covered}
        over = [licence for licence in person.licences if licence.ours and licence.type not in given]
        return [_revoke(person, licence, Phase.REVOKES, say(Cause.NO_RULE)) for licence in over]
    if choose_leaver_policy(person.state, "user", policy) == "keep":
        return []
    renamed = person.state == "renamed"
    return [
        _revoke(person, licence, Phase.REVOKES, say_leaving(person.state))
        for licence in person.licences
        if licence.ours or renamed
    ]


def _take_along(person: PersonView, policy: PolicyRules, held: Reason) -> list[Change]:
    """Return the grants of what a renamed person was given by hand; the account before gives it up in this plan."""
    if not changes_allowed(policy, "revoke"):
        return []
    there = {licence.type for licence in person.licences}
    return [
        Change(
            phase=Phase.GRANTS,
            action="grant",
            object="licence",
            bps_id=person.bps_id,
            target=licence.type,
            source_key=person.source_key,
            after=dict(licence.settings),
            reason=say(Cause.MOVED),
            held=held,
        )
        for licence in person.moving
        if licence.type not in there
    ]


def _grant(person: PersonView, rule: LicenceRule, after: Mapping[str, str | None], held: Reason) -> Change:
    return Change(
        phase=Phase.GRANTS, action="grant", object="licence", bps_id=person.bps_id, target=rule.type,
        source_key=person.source_key,
        after=after, reason=say(Cause.RULE_GIVES, group=rule.group), held=held,
    )  # fmt: skip


def _revoke(person: PersonView, licence: HeldLicence, phase: Phase, reason: Reason) -> Change:
    before = dict(licence.settings)
    return Change(
        phase=phase,
        action="revoke",
        object="licence",
        bps_id=person.bps_id,
        target=licence.type,
        source_key=person.source_key,
        before=before,
        reason=reason,
    )


def _correct(person: PersonView, rule: LicenceRule, present: HeldLicence, policy: PolicyRules) -> list[Change]:
    """Return what brings the settings of a licence of ours to those that the rule states; it states none, or some.

    Processes that the rule does not name are taken away afterwards, by a revoke of their own, so that the guard counts
    it: whether assigning replaces the processes or adds to them, nobody loses one by it.
    """
    have, found = present.settings, list[Change]()
    corrected = say(Cause.RULE_SETTINGS, what="the settings of its rule")
    if rule.settings and policy.drift != "revert" and _was_changed_by_hand(rule, present):
        return []
    differing = [name for name, value in rule.settings.items() if name != "processes" and have.get(name) != value]
    wanted, there = rule.settings.get("processes"), have.get("processes") or ""
    extra = subtract_processes(there, wanted) if wanted is not None else ""
    missing = subtract_processes(wanted, there) if wanted is not None else ""
    if differing or missing:
        after: dict[str, str | None] = dict(rule.settings)
        if wanted is not None:
            after["processes"] = join_processes([*there.split(), *missing.split()])
        before = {name: have.get(name) for name in after}
        found.append(replace(_grant(person, rule, after, NO_REASON), before=before, reason=corrected))
    if extra and changes_allowed(policy, "revoke"):
        taken = replace(present, shown={"processes": extra})
        revoke = _revoke(
            person, taken, Phase.UNLINKS, say(Cause.RULE_SETTINGS, what="processes that its rule does not name")
        )
        found.append(replace(revoke, after={"processes": wanted}))
    return found


def _was_changed_by_hand(rule: LicenceRule, present: HeldLicence) -> bool:
    written, shown = present.written, present.shown
    if written is None or shown is None:
        return False
    return all(written.get(name) == value for name, value in rule.settings.items()) and any(
        shown.get(name) != written.get(name) for name in rule.settings
    )


# ---- seats -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Claim:
    """A grant that needs a seat, in the order in which seats are given away.

    ``gives``: the types of the licences that this person gives up for it.
    """

    seq: int
    type: str
    gives: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Shortage:
    """Seats of one type that are lacking: ``need`` grants, ``free`` seats (with those that this plan frees)."""

    type: str
    need: int
    free: int

    @property
    def without(self) -> int:
        """Return how many go without."""
        return self.need - max(self.free, 0)

    @property
    def reason(self) -> str:
        """Return the numbers in words."""
        free = "no seat is free" if self.free <= 0 else f"{self.free} {'is' if self.free == 1 else 'are'} free"
        return f"{self.type}: {self.need} seat{'s' if self.need != 1 else ''} needed, {free}"


@dataclass(frozen=True, slots=True)
class Allotment:
    """Who goes without (by ``seq``), the shortages, and the types of which seats must be freed before they are given.

    A type is in ``early`` when its grants are possible only after licences of that type were given up in this plan.
    """

    without: Mapping[int, Shortage]
    shortages: tuple[Shortage, ...]
    early: frozenset[str]


def allot(claims: Sequence[Claim], free: Mapping[str, int]) -> Allotment:
    """Give seats to claims in their order; a type that ``free`` does not name is not limited.

    Whoever changes the type frees a seat of the old one, but only by getting one of the new: so it starts with
    everybody being served, and takes the last claims of an overdrawn type back until the sums are right.
    """
    served = {claim.seq: claim for claim in claims}
    without: dict[int, Shortage] = {}
    needs: dict[str, int] = {}
    for claim in claims:
        needs[claim.type] = needs.get(claim.type, 0) + 1
    while True:
        overdrawn = False
        for kind in sorted(free.keys() & needs.keys()):
            wanting = [claim for claim in served.values() if claim.type == kind]
            freed = sum(claim.gives.count(kind) for claim in served.values())
            supply = max(free[kind], 0) + freed
            if len(wanting) > supply:
                overdrawn = True
                shortage = Shortage(kind, needs[kind], supply)
                for claim in wanting[supply:]:
                    without[claim.seq] = shortage
                    del served[claim.seq]
        if not overdrawn:
            break
    last = {shortage.type: shortage for _, shortage in sorted(without.items())}
    final: dict[str, Shortage] = {}
    for kind in sorted(last):
        freed = sum(claim.gives.count(kind) for claim in served.values())
        final[kind] = Shortage(kind, needs[kind], max(free[kind], 0) + freed)
    early = frozenset(
        kind
        for kind in free.keys() & needs.keys()
        if sum(claim.type == kind for claim in served.values()) > max(free[kind], 0)
    )
    return Allotment({seq: final[found.type] for seq, found in without.items()}, tuple(final.values()), early)
