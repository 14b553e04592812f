"""Which memberships to add and to remove. An owned group's membership is ours as a whole.

=========================  ==================  ======================================================================
a group of ours            a member of it      then
=========================  ==================  ======================================================================
wanted, frozen, renamed    left it             unlink
                           a leaver            unlink, unless the policy keeps leavers
wanted                     frozen, not left    nothing
                           renamed, not left   unlink when the new account is there
                           put in by hand      unlink if policy.drift is revert
frozen                     any other           nothing
renamed                    any other           unlink when the new group is there
gone                       any                 unlink, unless the policy keeps such groups
=========================  ==================  ======================================================================

Frozen: its owner is in the tenant and cannot be written (`syncd.plan.desired.FROZEN_STATES`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from syncd.model.change import Change, LinkKind, Phase
from syncd.model.reason import NO_REASON, Cause, Reason
from syncd.plan.desired import FROZEN_STATES
from syncd.plan.diff import changes_allowed, choose_leaver_policy
from syncd.plan.rules import PolicyRules, Rules
from syncd.plan.words import say, say_leaving

_STANDING = FROZEN_STATES | {"renamed"}
"""Why nobody wants a record whose owner is in the tenant all the same: its places go when the tenant ends them."""
_GRAVEST_FIRST = ("deleted", "disabled", "out_of_scope")
"""States of leavers, in the order in which one of several is named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupView:
    """A target group of which members are compared. ``state``: wanted, or why nobody wants it any more."""

    key: int
    bps_id: str
    source_key: int
    state: str
    exists: bool
    owned: bool
    taken: bool = False
    """Its BPS id belongs to a user of the portal."""
    made: bool = True
    """We made it: who is in it and unknown in the tenant was put in by hand."""


class MemberView(NamedTuple):
    """A member, or somebody who should be one. ``state``: why nobody wants the account, when nobody does."""

    key: int
    bps_id: str
    exists: bool
    owned: bool
    source_key: int | None
    state: str
    wanted: bool
    taken: bool = False
    """The BPS id belongs to a group of the portal."""
    named: bool = False
    """Somebody of the tenant has this BPS id, who cannot be written: skipped, or in a collision."""
    left_by: frozenset[str] = frozenset()
    """Of an account that nobody wants and that is not ours: the states of those of the tenant who have its BPS id."""


@dataclass(slots=True)
class Doubt:
    """Places in groups, as (group, member): ``there`` may be there without our knowing it, ``gone`` may be gone."""

    there: set[tuple[int, int]] = field(default_factory=set)
    gone: set[tuple[int, int]] = field(default_factory=set)


NO_DOUBTS: Mapping[LinkKind, Doubt] = {"membership": Doubt(), "ownership": Doubt()}


def decide_link(
    group: GroupView,
    member: MemberView,
    rules: Rules,
    *,
    adoption_held: Collection[int],
    kind: LinkKind = "membership",
) -> Change | None:
    """Return the link for somebody who should be in a group and is not; None when hands must be kept off."""
    policy = rules.policy
    if group.taken or member.taken:
        return None
    if group.state != "wanted" or not member.wanted or member.bps_id.casefold() in rules.scope.protect:
        return None
    foreign = (member.exists and not member.owned) or (group.exists and not group.owned)
    if foreign and (policy.adopt == "never" or not changes_allowed(policy, "adopt")):
        return None
    held = NO_REASON
    if member.key in adoption_held:
        held = say(Cause.ADOPTION_HELD, what="account")
    elif group.key in adoption_held:
        held = say(Cause.ADOPTION_HELD, what="group")
    phase = Phase.LINKS if kind == "membership" else Phase.OWNERS
    return Change(
        phase=phase,
        action="link",
        object=kind,
        bps_id=group.bps_id,
        target=member.bps_id,
        source_key=group.source_key,
        held=held,
    )


def links_plainly(
    group: GroupView, rules: Rules, *, adoption_held: Collection[int], kind: LinkKind = "membership"
) -> bool:
    """Return whether nothing is to be said of a group when anybody `decide_link` has nothing to say of is put into it.

    Then such links are planned as they are (`PLAIN`), without asking for each of them. Of a member something is to be
    said who is on the protect list, has a group's BPS id, is somebody else's (unless `puts_others_in`), or of whom a
    person has decided something. In create_only mode the first memberships of a group are such; of a group that is
    there it has to be asked whether they are the first.
    """
    if group.bps_id.casefold() in rules.scope.protect or (rules.policy.mode == "create_only" and group.exists):
        return False
    return all(
        (link := decide_link(group, each, rules, adoption_held=adoption_held, kind=kind)) is not None and not link.held
        for each in (_ABSENT, _OURS)
    )


def puts_others_in(rules: Rules) -> bool:
    """Return whether an account that is not ours is put into groups like any other: because it is adopted, too."""
    return rules.policy.adopt == "match" and changes_allowed(rules.policy, "adopt")


_ABSENT = MemberView(0, "absent@example.org", exists=False, owned=False, source_key=0, state="wanted", wanted=True)
_OURS = _ABSENT._replace(bps_id="ours@example.org", exists=True, owned=True)
"""Wanted people of whom nothing is to be said, one without an account and one with an account of ours."""


def decide_unlink(
    group: GroupView,
    member: MemberView,
    rules: Rules,
    *,
    adoption_held: Collection[int],
    kind: LinkKind = "membership",
    inside: bool = False,
) -> Change | None:
    """Return the removal of somebody who is in a group and should not be; None when it stays as it is.

    What this very plan adopts counts as ours already; applying it makes sure that the adoption came about.
    ``inside``: by the tenant that person is in the group all the same, so that it is one of both that cannot be written
    or has another name now.
    """
    policy = rules.policy
    if not changes_allowed(policy, "unlink") or member.bps_id.casefold() in rules.scope.protect:
        return None
    adopting = policy.adopt == "match" and changes_allowed(policy, "adopt")
    if not group.owned and not (adopting and group.state == "wanted" and group.key not in adoption_held):
        return None
    untouchable = not member.owned and not (adopting and member.key not in adoption_held)
    reason = _find_reason(group, member, policy, inside=inside, untouchable=untouchable, kind=kind)
    if reason is None:
        return None
    phase = Phase.UNLINKS if kind == "membership" else Phase.DISOWNS
    return Change(
        phase=phase,
        action="unlink",
        object=kind,
        bps_id=group.bps_id,
        target=member.bps_id,
        source_key=group.source_key,
        reason=reason,
    )


def is_unwritable(group: GroupView, member: MemberView) -> bool:
    """Return whether one of both cannot be written or has another name now: then the tenant has to say who is in."""
    kept = member.owned and not member.wanted and member.state in _STANDING
    return kept or (group.state in _STANDING and (member.wanted or member.owned))


def _find_reason(
    group: GroupView, member: MemberView, policy: PolicyRules, *, inside: bool, untouchable: bool, kind: LinkKind
) -> Reason | None:
    if group.state != "wanted" and group.state not in _STANDING:
        if choose_leaver_policy(group.state, "group", policy) == "keep":
            return None
        return say(Cause.GROUP_LEAVES, state=group.state.replace("_", " "))
    standing = member.wanted or (member.owned and member.state in _STANDING)
    if standing and not inside:
        if member.wanted and untouchable:
            return None  # its account is not ours: hands off
        return say(Cause.LEFT, what="a member" if kind == "membership" else "an owner")
    if not standing and member.owned:
        if choose_leaver_policy(member.state, "user", policy) != "keep":
            return say_leaving(member.state)
        if group.state != "renamed":
            return None
    if group.state == "renamed":
        return say(Cause.GROUP_RENAMED)
    if standing:
        return say_leaving("renamed") if member.state == "renamed" and group.state == "wanted" else None
    if group.state != "wanted" or member.named or policy.drift != "revert":
        return None  # whom the tenant names, and whose account is not ours, was not put in by hand
    leaving = [state for state in _GRAVEST_FIRST if state in member.left_by]
    if any(choose_leaver_policy(state, "user", policy) == "keep" for state in leaving):
        return None  # a leaver who is kept, without an account or with one not ours: the place is kept, too
    if leaving:
        return say_leaving(leaving[0])
    return say(Cause.PUT_IN_BY_HAND if group.made else Cause.UNKNOWN_MEMBER)
