"""Which memberships to add and to remove. An owned group's membership is ours as a whole."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple

from syncd.model.change import Change, LinkKind, Phase
from syncd.model.reason import NO_REASON, Cause
from syncd.plan.desired import LEAVER_STATES
from syncd.plan.diff import changes_allowed, choose_leaver_policy
from syncd.plan.rules import Rules
from syncd.plan.words import say, say_leaving

"""Why the record that a group had before its BPS id changed is emptied: once the new record is there, not earlier."""


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
    """Of an account that nobody wants and that is not there: the states of those of the tenant who have its BPS id."""


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


def decide_unlink(
    group: GroupView,
    member: MemberView,
    rules: Rules,
    *,
    adoption_held: Collection[int],
    kind: LinkKind = "membership",
) -> Change | None:
    """Return the removal of somebody who is in a group and should not be; None when it stays as it is.

    What this very plan adopts counts as ours already; applying it makes sure that the adoption came about.
    """
    policy = rules.policy
    if not changes_allowed(policy, "unlink") or member.bps_id.casefold() in rules.scope.protect:
        return None
    adopting = policy.adopt == "match" and changes_allowed(policy, "adopt")
    if not group.owned and not (adopting and group.state == "wanted" and group.key not in adoption_held):
        return None
    if group.state != "wanted":
        if choose_leaver_policy(group.state, "group", policy) == "keep":
            return None
        state = group.state.replace("_", " ")
        reason = say(Cause.GROUP_RENAMED) if state == "renamed" else say(Cause.GROUP_LEAVES, state=state)
    elif member.wanted:
        if not member.owned and not (adopting and member.key not in adoption_held):
            return None  # its account is not ours: hands off
        reason = say(Cause.LEFT, what="a member" if kind == "membership" else "an owner")
    elif member.owned:
        if choose_leaver_policy(member.state, "user", policy) == "keep":
            return None
        reason = say_leaving(member.state)
    elif member.named or policy.drift != "revert":
        return None  # whom the tenant names, and whose account is not ours, was not put in by hand
    elif any(
        state in LEAVER_STATES and choose_leaver_policy(state, "user", policy) == "keep" for state in member.left_by
    ):
        return None  # somebody removed the account of a leaver who is kept: the place is kept for that person's return
    else:
        reason = say(Cause.PUT_IN_BY_HAND)
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
