"""Privileges: what the rules give a group against what it has, as far as that can be known. Pure.

A reading tells who has something at a place, and not what. So an own record says what we gave, and in which way:

=========  ============================================================================================
state      means
=========  ============================================================================================
granted    given by us
sent       sent by us; it is not known whether it arrived, or will
unsure     the portal said 409: it may be there, by hand or by us, and asking again would say the same
left       not taken, for the portal said 409, and no reading proves that it is gone: it may be there
taken      given by us, and the portal names the group there no more: somebody took it
let go     the same, and a person or the policy took it as it is
=========  ============================================================================================

``beside``: the group had something there that is not ours before we gave this, or between sending this and learning
how that ended. Which level that is nobody can tell, so that ours is not taken any more: it may be the very same.
Only what is surely ours is taken: granted, and not beside.

409 may mean that this very level is there already, that the group has any level there, or that the portal refuses it
(its document: "Selected bpsId does not exists"). The first one may be by hand. Under the second nothing of ours is
there, and what is in the way may be another rule's: so it is asked for again once that one was taken.

==========================  =====================  =================================================================
the rules                   the record             then
==========================  =====================  =================================================================
give it                     none, left             grant
give it                     sent                   grant again
give it                     granted, unsure        nothing
give it                     taken                  grant if policy.drift is revert, else nothing
do not                      granted                revoke, unless it was given beside something by hand
do not                      sent, unsure, left     nothing: it is told
do not                      taken, let go          forgotten
the group is renamed        granted                revoke from the old record, once the new one has it
the group leaves            granted                revoke, unless the policy for groups says keep
a rule gives what it may    any                    nothing, until a list tells: one of them is known by a number, and
be                                                 the other by a guid, or nobody has looked up the rule's place
the place is gone, or was   any                    nothing: it is told
never read
==========================  =====================  =================================================================
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from syncd.model.change import Change, Phase
from syncd.model.privilege import PLACE_WORDS, PLACES_WORDS, Listed, ListKind, Privilege, PrivilegeAnswer
from syncd.model.reason import NO_REASON, Cause, Reason
from syncd.plan.desired import LEAVER_STATES
from syncd.plan.diff import changes_allowed, choose_leaver_policy
from syncd.plan.group_names import name_choice
from syncd.plan.membership import GroupView
from syncd.plan.rules import Rules
from syncd.plan.words import say

GrantState = Literal["granted", "sent", "unsure", "left", "taken", "let go"]
OURS: tuple[GrantState, ...] = ("granted", "sent", "unsure")
"""What may be there by our doing."""
GONE: tuple[GrantState, ...] = ("taken", "let go")
LEFT: GrantState = "left"
RULE_GROUP = "group "
"""What stands before the name of a rule's group among what names were found to mean."""
RULE_WAITS = "waits "
"""What stands there before what a rule says of its place, for one that waits for a scope."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldPrivilege:
    """A privilege in the own record of a group. ``shown``: a reading has named the group there since for it alone."""

    privilege: Privilege
    state: GrantState
    beside: bool = False
    shown: bool = False

    @property
    def surely_ours(self) -> bool:
        """Return whether it was given by us, and by nobody else as far as anybody can know."""
        return self.state == "granted" and not self.beside


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedPrivilege:
    """What a rule gives: ``group`` is the store's key of the source group, ``rule`` the place among the rules."""

    rule: int
    group: int
    name: str
    privilege: Privilege


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """A group of the portal with what its source group is given by rules, and what the own record says.

    ``readable``: tokens of the places that were read and are there.
    """

    group: GroupView
    wanted: tuple[WantedPrivilege, ...] = ()
    held: tuple[HeldPrivilege, ...] = ()
    readable: frozenset[str] = field(default=frozenset())


def decide_privileges(view: Allowed, rules: Rules, *, adoption_held: Collection[int]) -> list[Change]:
    """Return the changes for one group."""
    group, policy = view.group, rules.policy
    if group.taken or group.bps_id.casefold() in rules.scope.protect:
        return []
    known = {held.privilege.token: held for held in view.held}
    wanted = {each.privilege.token: each for each in view.wanted}
    found = list[Change]()
    foreign = group.exists and not group.owned
    if group.state == "wanted" and not (foreign and (policy.adopt == "never" or not changes_allowed(policy, "adopt"))):
        waits = say(Cause.ADOPTION_HELD, what="group") if group.key in adoption_held else NO_REASON
        for token, each in wanted.items():
            reason = _find_need(known.get(token) or _find_taken(view, each.privilege), policy.drift)
            if reason is not None and each.privilege.place.token in view.readable:
                found.append(_grant(group, each, reason=reason, held=waits))
    if not changes_allowed(policy, "revoke") or not group.owned:
        return found
    swapped = {change.after["place"] for change in found}
    for held in known.values():
        if not held.surely_ours or held.privilege.place.token not in view.readable:
            continue
        covered = any(held.privilege.may_be(each.privilege) for each in view.wanted)
        gone = _find_end(view.group, covered=covered, rules=rules)
        if gone.cause is Cause.PRIVILEGE_OVER and held.privilege.place.key in swapped:
            gone = say(Cause.PRIVILEGE_SWAPPED)
        if gone:
            found.append(_revoke(group, held, gone))
    return found


def _find_taken(view: Allowed, privilege: Privilege) -> HeldPrivilege | None:
    """Return what somebody took, and may be this under another identity."""
    return next((each for each in view.held if each.state in GONE and each.privilege.may_be(privilege)), None)


def _find_need(held: HeldPrivilege | None, drift: str) -> Reason | None:
    """Return why something that a rule gives is to be given; None when it is not."""
    if held is None or held.state == "left":
        return NO_REASON
    if held.state == "sent":
        return say(Cause.PRIVILEGE_UNSETTLED)
    return say(Cause.TAKEN_BY_HAND) if held.state == "taken" and drift == "revert" else None


def _find_end(group: GroupView, *, covered: bool, rules: Rules) -> Reason:
    """Return why something of ours is to be taken; no reason when it stays."""
    if group.state == "renamed":
        return say(Cause.GROUP_RENAMED) if covered else say(Cause.PRIVILEGE_OVER)
    if group.state in LEAVER_STATES:
        if choose_leaver_policy(group.state, "group", rules.policy) == "keep":
            return NO_REASON
        return say(Cause.GROUP_LEAVES, state=group.state.replace("_", " "))
    return NO_REASON if covered else say(Cause.PRIVILEGE_OVER)


def find_settled(view: Allowed) -> list[str]:
    """Return tokens of what somebody took and no rule gives any more: nothing is left to remember."""
    wanted = [each.privilege for each in view.wanted] if view.group.state == "wanted" else []
    return [
        held.privilege.token
        for held in view.held
        if held.state in GONE and not any(held.privilege.may_be(each) for each in wanted)
    ]


def _grant(group: GroupView, wanted: WantedPrivilege, *, reason: Reason, held: Reason) -> Change:
    return Change(
        phase=Phase.PRIVILEGES, action="grant", object="privilege", bps_id=group.bps_id, target=str(wanted.privilege),
        source_key=group.source_key, after=wanted.privilege.values(),
        reason=reason or say(Cause.PRIVILEGE_GIVEN, group=wanted.name), held=held,
    )  # fmt: skip


def _revoke(group: GroupView, held: HeldPrivilege, reason: Reason) -> Change:
    return Change(
        phase=Phase.PRIVILEGE_REVOKES, action="revoke", object="privilege", bps_id=group.bps_id,
        target=str(held.privilege), source_key=group.source_key, before=held.privilege.values(), reason=reason,
    )  # fmt: skip


# ---- what the portal said --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What the own record says after a change (``state`` None: nothing any more), and how that ended.

    ``shown``: a reading after an attempt of ours named the group newly.
    """

    state: GrantState | None
    outcome: Literal["done", "dropped", "failed"]
    beside: bool = False
    shown: bool = False
    reason: Reason = NO_REASON


def settle_grant(answer: PrivilegeAnswer, *, sent_before: bool, beside: bool, listed: bool) -> Settled:
    """Judge the answer to a grant.

    ``sent_before``: an earlier attempt of ours may have given it. ``listed``: the group had something there before.
    """
    newly = answer.unsure and answer.listed is True and not listed  # by us, or by hand meanwhile
    beside = beside or newly
    if answer.said == "done":
        return Settled(state="granted", outcome="done", beside=beside)
    if answer.said == "unclear":  # also where no reading names the group: it may take effect after that
        return Settled(state="sent", outcome="failed", beside=beside, reason=Reason(Cause.NONE, answer.reason))
    ours = answer.unsure or sent_before
    if answer.listed is False:
        state: GrantState | None = "sent" if ours else None  # readings may be behind what the portal refuses by
        return Settled(state=state, outcome="failed", beside=beside, reason=Reason(Cause.REFUSED, answer.reason))
    foreign = not ours  # no attempt of ours can explain it: by hand, or something else is in the way
    said = _say_unsure(answer)
    return Settled(state="unsure", outcome="dropped", beside=beside or foreign, shown=newly, reason=said)


def settle_revoke(answer: PrivilegeAnswer) -> Settled:
    """Judge the answer to a revoke."""
    if answer.said == "done" or answer.listed is False:
        return Settled(state=None, outcome="done")
    if answer.said == "unclear":
        return Settled(state="granted", outcome="failed", reason=Reason(Cause.NONE, answer.reason))
    return Settled(state="left", outcome="dropped", reason=_say_unsure(answer))


def _say_unsure(answer: PrivilegeAnswer) -> Reason:
    return say(Cause.MAY_BE_THERE, said=answer.reason)


# ---- places ----------------------------------------------------------------------------------------------------------


def choose_listed(listed: Sequence[Listed], reference: str, kind: ListKind) -> Listed | str:
    """Return the entry that a reference means, or what is wrong and what there is to choose from."""
    wanted, what = reference.casefold(), PLACE_WORDS[kind]
    for fitting in (
        [each for each in listed if wanted == each.guid or wanted == str(each.number)],
        [each for each in listed if wanted in (each.name.casefold(), each.code.casefold())],
    ):
        unique = {each.key: each for each in fitting}
        if len(unique) == 1:
            return next(iter(unique.values()))
        if unique:
            keys = ", ".join(sorted(unique))
            return f"{len(unique)} {PLACES_WORDS[kind]} are named '{reference}' ({keys}); name the one by its guid"
    if not listed:
        return f"the portal shows us no {what} there, so '{reference}' cannot be found; name it by its guid"
    names = sorted({f"{each.name or each.key}" for each in listed}, key=str.casefold)
    return f"there is no {what} '{reference}'; {name_choice(reference, names)}"


def find_repeated(wanted: Sequence[WantedPrivilege]) -> Mapping[int, int]:
    """Return the rules that give what an earlier one gives, each with the earlier one."""
    first = dict[tuple[int, str], int]()
    return {
        each.rule: earlier
        for each in wanted
        if (earlier := first.setdefault((each.group, each.privilege.token), each.rule)) != each.rule
    }
