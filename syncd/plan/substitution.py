"""Who gets the tasks of an account that nobody goes by any more: a leaver's, or the old one of a renamed person.

=========================  =============================================================================================
the account                its tasks
=========================  =============================================================================================
left by a rename           go to the person's new account until the grace ends (policy.rename_substitute)
of a leaver                go to the nearest manager up the chain who is in the portal and no leaver, until the grace
                           ends (policy.substitute); nobody: a substitute who still fits stays, otherwise there is none
of a leaver who is kept    stay as they are: ``keep`` freezes
in use, or gone            are nobody else's: a substitution of ours ends
held back, unclear         stay as they are
=========================  =============================================================================================

A substitution ends by its own end date and is not made anew. Only those that we made are ever looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from syncd.model.change import Change, Phase
from syncd.model.reason import NO_REASON, Cause, Reason
from syncd.plan.desired import LEAVER_STATES
from syncd.plan.diff import changes_allowed, choose_leaver_policy
from syncd.plan.rules import PolicyRules
from syncd.plan.words import say

ALIKE = timedelta(days=1)
"""Two ends that are closer than this are the same: the grace of a renamed account starts when the new one is there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Superior:
    """Somebody who may stand in. ``fit``: wanted in the portal, and the account there is no stranger's."""

    key: int
    manager_key: int | None
    principal: int | None
    bps_id: str
    fit: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Arranged:
    """A substitution of ours. ``confirmed``: made for certain; ``fit``: somebody goes by the substitute's account."""

    principal: int
    bps_id: str
    ends_at: datetime
    confirmed: bool
    fit: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Departed:
    """An account that nobody goes by any more, or one for which a substitution of ours exists.

    ``state``: why nobody wants it; wanted: somebody does; gone: it is not ours or not there.
    ``heir``: the account by which its person goes now, when that is another one.
    """

    key: int
    bps_id: str
    source_key: int | None
    state: str
    leaving_at: datetime | None = None
    manager_key: int | None = None
    heir: Superior | None = None
    arranged: Arranged | None = None


def needs_manager(departed: Departed, policy: PolicyRules) -> bool:
    """Return whether the managers of its person decide about a substitution."""
    return (
        policy.substitute == "manager"
        and policy.mode in ("sync", "plan_only")
        and departed.state in LEAVER_STATES
        and choose_leaver_policy(departed.state, "user", policy) != "keep"
    )


def decide_substitution(
    departed: Departed, superiors: Mapping[int, Superior], policy: PolicyRules, *, now: datetime
) -> tuple[Change, int] | None:
    """Return the change for one account with the key of the substitute's account, None when all is as it should be."""
    if not changes_allowed(policy, "update"):
        return None
    present = departed.arranged
    until = (departed.leaving_at or now) + policy.grace
    if departed.state in ("wanted", "gone"):
        return _end(departed, "the account is in use again" if departed.state == "wanted" else "", policy, now)
    if departed.state == "renamed":
        if not policy.rename_substitute or departed.heir is None or until <= now:
            return _end(departed, "no substitution is wanted", policy, now)
        return _arrange(departed, departed.heir, until, say(Cause.RENAMED)) if departed.heir.fit else None
    if departed.state not in LEAVER_STATES or choose_leaver_policy(departed.state, "user", policy) == "keep":
        return None
    if policy.substitute == "none" or until <= now:
        return _end(departed, "no substitution is wanted", policy, now)
    if not needs_manager(departed, policy):
        return None
    manager = find_manager(departed, superiors)
    if manager is not None:
        return _arrange(departed, manager, until, say(Cause.STANDS_IN))
    if present is None or present.fit:
        return None
    return _end(departed, "the substitute is not available any more", policy, now)


def find_manager(departed: Departed, superiors: Mapping[int, Superior]) -> Superior | None:
    """Return the nearest manager who may stand in; circles of managers end."""
    met = {departed.source_key}
    key = departed.manager_key
    while key is not None and key not in met:
        met.add(key)
        superior = superiors.get(key)
        if superior is None:
            return None
        if superior.fit and superior.principal != departed.key:
            return superior
        key = superior.manager_key
    return None


def _arrange(departed: Departed, substitute: Superior, until: datetime, reason: Reason) -> tuple[Change, int] | None:
    present = departed.arranged
    if substitute.principal is None:
        return None
    wanted = {"substitute": substitute.bps_id, "until": until.isoformat()}
    before: dict[str, str | None] = {}
    if present is not None and present.confirmed:
        if present.principal == substitute.principal and abs(present.ends_at - until) < ALIKE:
            return None
        before = {"substitute": present.bps_id, "until": present.ends_at.isoformat()}
    change = Change(
        phase=Phase.SUBSTITUTIONS,
        action="update" if before else "create",
        object="substitution",
        bps_id=departed.bps_id,
        target=substitute.bps_id,
        source_key=departed.source_key,
        before=before,
        after=wanted,
        reason=reason,
    )
    return change, substitute.principal


def _end(departed: Departed, reason: str, policy: PolicyRules, now: datetime) -> tuple[Change, int] | None:
    """End a substitution of ours; where nothing may be removed, by its end date."""
    present = departed.arranged
    if present is None:
        return None
    before: dict[str, str | None] = {"substitute": present.bps_id, "until": present.ends_at.isoformat()}
    removable = changes_allowed(policy, "delete")
    after: dict[str, str | None] = {} if removable else {"until": now.isoformat()}
    change = Change(
        phase=Phase.SUBSTITUTION_ENDS,
        action="delete" if removable else "update",
        object="substitution",
        bps_id=departed.bps_id,
        target=present.bps_id,
        source_key=departed.source_key,
        before=before,
        after=after,
        reason=say(Cause.SUBSTITUTION_OVER, why=reason) if reason else NO_REASON,
    )
    return change, present.principal
